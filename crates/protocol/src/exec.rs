//! The request that everything else exists for.
//!
//! Descriptors travel beside the packet in this order: the payload's memfd (if any), the program to execute (with
//! [`ExecFlags::execute_fd`]), then those that become 0, 1, 2, …, or in their place those of a terminal (keyboard, screen), and last of all
//! where a traced run's frames go ([`crate::trace::frame`]).

use crate::landlock::Landlock;
use crate::limits::{RLimit, RunGroup, RunLimits};
use crate::terminal::Terminal;
use crate::trace::TraceConfig;
use serde::{Deserialize, Serialize};

/// One `execve`.
///
/// `args` and `env` are lists of NUL-terminated strings laid end to end, as the kernel lays them onto a new stack: both
/// sides can point into them without copying, and no encoding but "no NUL inside" is asked of them. See [`strings`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exec<'a> {
    /// The arguments, `args[0]` (the program, unless [`ExecFlags::execute_fd`]) included.
    #[serde(borrow, with = "serde_bytes")]
    pub args: &'a [u8],
    /// The whole environment; `None` for the container's own.
    #[serde(borrow)]
    pub env: Option<&'a serde_bytes::Bytes>,
    /// The working directory inside of the container; relative to the container's `workDir`, which is also the default.
    #[serde(borrow)]
    pub cwd: Option<&'a serde_bytes::Bytes>,
    /// Resource limits, set in this order just before the identity changes.
    pub rlimits: Vec<RLimit>,
    /// What init enforces.
    pub limits: RunLimits,
    /// Where the program is born; `None`: where init is.
    pub group: Option<RunGroup>,
    /// The seccomp filter that the program is born with, which [`crate::RequestBody::AddFilter`] made known; 0 for none.
    pub filter: u32,
    /// What it may do with files and ports; `None`: what all programs may.
    #[serde(borrow)]
    pub landlock: Option<Box<Landlock<'a>>>,
    /// What a supervisor is to watch; `None` for no supervisor. Takes a filter that asks about what it watches.
    pub trace: Option<Box<TraceConfig>>,
    /// What 0, 1 and 2 are, if they are a terminal.
    pub terminal: Option<Terminal>,
    /// Look now and then at what it uses, with at least so many microseconds in between, and send [`crate::ReplyBody::Timeline`] before its
    /// end; 0 for no looks.
    pub sample_us: u32,
    /// How many descriptors beside the packet become 0, 1, 2, …. With none, all three are `/dev/null`, or the terminal: beside one there
    /// may be none.
    pub fds: u32,
    /// What else is asked for.
    pub flags: ExecFlags,
}

/// What a run asks for beyond the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecFlags {
    /// Execute the descriptor that comes first (`fexecve(3)`), not `args[0]`.
    pub execute_fd: bool,
    /// Stop before `execve`, send [`crate::ReplyBody::SyncPoint`] and wait for `Resume` or `Abort`.
    pub sync: bool,
    /// Send [`crate::ReplyBody::Started`] once the program runs.
    pub report_start: bool,
}

/// The strings of a NUL-terminated list, without their NULs; `None` if the list is not terminated.
///
/// ```
/// # use hotcell_protocol::strings;
/// let list = strings(b"ls\0-l\0").unwrap();
/// assert_eq!(list.collect::<Vec<_>>(), [b"ls".as_slice(), b"-l"]);
/// assert!(strings(b"ls\0-l").is_none());
/// assert_eq!(strings(b"").unwrap().count(), 0);
/// ```
pub fn strings(list: &[u8]) -> Option<impl Iterator<Item = &[u8]> + Clone> {
    let body = match list.split_last() {
        None => None,
        Some((0, body)) => Some(body),
        Some(_) => return None,
    };
    Some(body.into_iter().flat_map(|body| body.split(|byte| *byte == 0)))
}
