//! Supervision of programs by ptrace(2): which files they may use, which system calls they make, and what a policy would have to allow them.
//!
//! # Theory of operation
//!
//! | process | does | with which rights |
//! |---|---|---|
//! | **init**, pid 1 of a container | forks the program's process, which waits before execve(2), and one supervisor for each traced run; reaps both | – |
//! | **supervisor** | all that is in this crate, in one thread that does nothing else | `CAP_SYS_PTRACE` in the container's user namespace; better with `CAP_SYS_NICE` |
//! | **tracees** | the run's program, and whatever processes and threads come of it | none |
//!
//! The supervisor is a process of its own because wait4(2) by pid 1 must not take what tracees have to say; nothing of that reaches the real
//! parent, who gets each end of a process after the supervisor did, as without one. It attaches with `PTRACE_SEIZE`, so stops by signals (job
//! control) stay what they are, and with `PTRACE_O_EXITKILL`: no supervisor, no program.
//!
//! Only calls of interest stop. The run's seccomp filter answers them with `SECCOMP_RET_TRACE` ([`traced_calls`] says which those are), and all others
//! run at full speed. At such a stop the call has not taken place: it is judged, perhaps answered with an errno in its stead, and goes on
//! to its end in the kernel; if it is to be reported it stops there once more.
//!
//! ```no_run
//! use hotcell_protocol::{FileRules, TraceConfig};
//! use hotcell_tracer::Supervisor;
//! # fn main() -> Result<(), hotcell_tracer::Error> {
//! # let (proc, pid) = (None, 1);
//! let read = vec!["/usr/**".into(), "/etc/ld.so.cache".into(), "/w/".into()];
//! let config = TraceConfig { files: Some(FileRules { read, ..FileRules::default() }), ..TraceConfig::default() };
//! // in the supervisor's process, once the program's stands before execve, with a filter that asks about traced_calls(&config)
//! let mut supervisor = Supervisor::new(&config, proc, Vec::new())?;
//! supervisor.seize(pid)?;
//! // let it go on
//! let report = supervisor.run()?;
//! println!("{} violations", report.summary.violations);
//! # Ok(())
//! # }
//! ```
//!
//! # What it cannot do
//!
//! **The file policy is no boundary.** The kernel reads a path again after the supervisor did. Another thread, or a process that shares the memory, can
//! change it in between, and who may write to a directory can exchange what is in it. (seccomp(2) says so about all such supervision.) Of a program that has
//! one thread and shares no memory, and whose directories nobody else writes to, it is exact. The boundary is Landlock, and which files there are in the
//! container; use both. `tests/tracer/evasion.rs` counts how often such a race is won.
//!
//! What is *not* judged: descriptors that a program was given, or got from another over a socket; pipes, sockets and memory files (memfd_create(2)); addresses
//! of `AF_UNIX` sockets;
//! what the kernel opens by itself (the ELF interpreter; a script's interpreter is judged after the fact). Names of descriptors whose mount is not in the
//! container's tree are names in that other tree.
//!
//! What leads out of sight is closed, see `scope.rs`: `CLONE_UNTRACED`, seccomp listeners, io_uring, other architectures' calls. Whoever
//! gets out nevertheless has fewer rights than before, because the kernel answers `SECCOMP_RET_TRACE` with ENOSYS where nobody traces.
//!
//! A traced program cannot be debugged by another, or itself use ptrace(2) on its children. Time passes for it: limits of wall time should be generous.
//!
//! # What it costs
//!
//! Two cores of a virtual machine, Linux 6.18; `tests/tracer/cost.rs` measures:
//!
//! | what | how long |
//! |---|---|
//! | a call that the filter does not ask about | what the filter takes, 40 ns, as without a supervisor |
//! | a stop, supervisor and tracee on one processor (`affinity.rs`) | 6 to 7 µs: two switches between processes and three calls |
//! | the same on two processors, as strace(1) has it | 8 µs if the scheduler keeps both on one, else 20 to 50 |
//! | a call whose path is judged, its stop included | 16 to 18 µs; 30 where it leads through /proc/self |
//! | a call that is reported | two stops |
//!
//! The kernel has no stop at the end of a call alone, so a reported call cannot have fewer than two, and a program in C that does nothing but
//! to let calls go on takes 12 to 14 µs for each; strace takes 18 to 110.
//!
//! # Errors
//!
//! A tracee may be killed at any time, so a request that finds it gone is no error. What is left for [`Error`] ends the supervision.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod affinity;
mod arguments;
pub mod calls;
mod error;
mod event;
mod files;
pub mod learn;
mod look;
mod memory;
mod path;
mod policy;
mod process;
mod ptrace;
mod regs;
mod scope;
mod supervisor;
mod tracee;
mod wait;

pub use error::Error;
pub use event::Sink;
pub use learn::Learned;
pub use policy::check_rules;
pub use scope::traced_calls;
pub use supervisor::{Report, Supervisor};
