//! The init image: the launcher, and what every container has as pid 1.
//!
//! Two kinds of processes run this ELF, and no third:
//!
//! ```text
//! host process ──clone3(VM|VFORK) + execveat──▶ launcher        one per host process; the host's identity, no namespaces
//!                                                  │ clone3(NEWUSER|NEWPID|NEWNS|NEWNET|NEWIPC|NEWUTS|NEWCGROUP)
//!                                                  ▼
//!                                                init            one per container; pid 1, a fork of the launcher (no exec)
//!                                                  │ clone3(VM|VFORK)
//!                                                  ▼
//!                                                the program     unprivileged identity, no capability
//! ```
//!
//! The launcher exists so that making a container costs the same whatever the host's heap is: it is a process of a few hundred
//! kilobytes, and init is a fork of it that never has to execute anything. It is also the guard: it ends, and kills every
//! container, when the host closes its socket, be it by dying of SIGKILL. Modules: [`launcher`], [`identity`] and [`guard`] are the
//! launcher's; [`setup`] turns a fork into a container; [`container`] is pid 1's command loop, and what it calls are [`files`],
//! [`deletion`], [`exec`], [`groups`], [`slots`], [`runs`], [`tty`], [`watch`], [`sweep`] and [`reset`]. A traced run has a supervisor beside its program, a
//! fork of pid 1 that lives as long as the run: [`trace`].
//!
//! Nothing here prints: what goes wrong is a [`hotcell_protocol::Failure`] on the socket. A panic aborts, and with pid 1 the whole
//! container ends, which the host reports as a lost container.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod container;
mod deletion;
mod exec;
mod files;
mod groups;
mod guard;
mod identity;
mod landlock;
mod launcher;
mod owner_map;
mod reset;
mod runs;
mod setup;
mod slots;
mod sweep;
mod timeline;
mod trace;
mod tree;
mod tty;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Rust ignores SIGPIPE and catches SIGSEGV, Node ignores more: pid 1 and the programs it starts inherit none of it.
    hotcell_linux::signal::default_dispositions();
    hotcell_linux::process::use_one_heap();
    match std::env::args_os().next() {
        Some(name) if name == "hotcell-launcher" => launcher::main(),
        _ => ExitCode::from(2),
    }
}
