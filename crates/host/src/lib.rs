//! Containers, made and driven from one process.
//!
//! # Theory of operation
//!
//! Few threads of this process take part:
//!
//! * **Callers**, any thread at all. A request is encoded into a buffer of the calling thread and written straight to the
//!   container's socket. A call never waits: what the socket does not take is queued, and every outcome is an [`Event`].
//! * **The reactor** (`reactor.rs`), one thread a process whatever the number of containers. It waits in `epoll_wait(2)` for replies,
//!   for deaths (pidfds), for output of programs whose output is collected, for room in full sockets, and for deadlines; it
//!   hands each event to the [`Sink`] that the request named, and tells each sink once a batch that the batch is over.
//! * **The housekeeper** (`cgroups/`), one thread a process with cgroups, that makes and removes these when nobody waits for it.
//! * A **copier** (`tree/`) for each directory that is being copied or listed, as long as that takes: a thread that waits for one
//!   answer after the other, and for whoever reads or writes the archive.
//! * Nobody else. There is no thread for a container and none for a run.
//!
//! Outside of this process there are the **launcher** (`launch.rs`), one small process that clones every container, so that
//! the cost of one does not depend on the heap here, and the **init** of each container.
//!
//! ```text
//! callers ── sendmsg ──▶ init of a container ──▶ programs
//!    ▲                     │
//!    └── Sink ◀─ reactor ◀─┘   replies, pidfd, output pipes
//! ```
//!
//! What comes out of a container is hostile: `reply.rs` checks each packet against what was asked, and the first that does
//! not fit costs that container its life and fails what it had in flight. Every wait on a container that has no natural
//! length has a deadline that ends in SIGKILL to its init, which the kernel answers by killing all else in the container.
//!
//! # Example
//!
//! ```no_run
//! use hotcell_host::{blocking::Container, Program, default_setup};
//!
//! let container = Container::create(&default_setup())?;
//! let result = container.run(Program::new(b"echo\0hello\0"), &[], 1 << 20)?;
//! assert_eq!(result.stdout, b"hello\n");
//! # Ok::<(), hotcell_host::Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod blocking;
mod cgroups;
mod connection;
mod error;
mod event;
pub mod file_copy;
mod filters;
#[cfg(test)]
mod hostile;
pub mod image;
mod launch;
mod limits;
mod master;
mod outcome;
mod outgoing;
mod pending;
pub mod pipe;
pub mod probe;
mod reactor;
mod reply;
mod request;
mod run;
pub mod sealed;
mod seccomp;
mod setup;
pub mod trace;
pub mod tree;

pub use cgroups::CgroupChoice;
pub use error::{Error, Violation};
pub use event::{Collected, Event, RequestId, Sink, Stream};
pub use hotcell_cgroup as cgroup;
pub use hotcell_protocol as protocol;
pub use hotcell_seccomp as policy;
pub use hotcell_tracer as tracer;
pub use limits::Limits;
pub use master::{Master, Pipes, Program, Spawned};
pub use outcome::{Accounting, Outcome, Usage};
pub use seccomp::{Seccomp, call_name};
pub use setup::default_setup;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever a thread that panicked with the lock held has left: each holder leaves the data valid at every step.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
