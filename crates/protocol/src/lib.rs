//! What the host and a container say to each other, as data.
//!
//! Three parties use these types and each runs in a process of its own: the **host** (a thread of the embedding
//! program), the **launcher** (one small process per host process, the parent of every container) and **init** (pid 1 of a
//! container). They talk over `SOCK_SEQPACKET` sockets, one message a packet; descriptors travel beside a message as
//! `SCM_RIGHTS` and pids as `SCM_CREDENTIALS`, so none of them is ever a number in the payload.
//!
//! ```text
//! host ── Order ───▶ launcher        host ── Request(id) ──▶ init
//! host ◀─ Launched ─ launcher        host ◀── Reply(id) ──── init     (replies in any order)
//! ```
//!
//! The crate is pure: no system call, no `unsafe`, no I/O. Whoever decodes treats the bytes as hostile: every decode is
//! bounded by the length of the packet or of the memfd that carried it, and by the limits in [`codec`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod codec;
pub mod exec;
pub mod filter;
pub mod landlock;
pub mod launch;
pub mod limits;
pub mod outcome;
pub mod reply;
pub mod request;
pub mod step;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod tree;

pub use codec::{DecodeError, decode, encode};
pub use exec::{Exec, ExecFlags, strings};
pub use filter::{Disallowed, Filter, PASSING_CALLS, Reach};
pub use landlock::{Landlock, LandlockPath};
pub use launch::{
    Cloned, Guard, Identity, Launch, Launched, Mount, MountKind, Network, Order, ProcMode, Setup, TmpfsLimits,
    UserNamespace,
};
pub use limits::{RLimit, Resource, RunGroup, RunLimits};
pub use outcome::{Outcome, SAMPLES_MAX, Sample, Usage, Verdict};
pub use reply::{Opened, Reply, ReplyBody};
pub use request::{CpuCounter, GroupFiles, OpenFile, OpenHow, Request, RequestBody};
pub use step::{Failure, Step};
pub use terminal::{Terminal, WindowSize};
pub use trace::{FileOperation, FileRules, OnViolation, TraceConfig, TraceEvent, TraceSummary};
pub use tree::{Base, FileKind, Filled, Item, ItemKind, Listed, Listing, Settled};

/// The version of everything in this crate; init states it in [`ReplyBody::Hello`] and the host refuses any other.
///
/// Host and init are built and shipped together, so there is no negotiation: a mismatch means that a foreign image ran.
pub const VERSION: u32 = 1;
