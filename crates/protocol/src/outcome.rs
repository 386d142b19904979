//! How a run ended, and what it used.

use crate::filter::Disallowed;
use serde::{Deserialize, Serialize};

/// The end of a run whose program was executed. One that could not be is a [`crate::Failure`], never an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What became of the main process.
    pub verdict: Verdict,
    /// What the run used.
    pub usage: Usage,
    /// With [`Verdict::DisallowedSyscall`]: which call, if that is known.
    pub disallowed: Option<Disallowed>,
    /// Whether its group was killed as a whole, by `cgroup.kill`: it cannot be used again.
    pub group_killed: bool,
    /// Whether the container is like new: nothing goes on in it, and nothing is there for a reset to do. Not known before its first one.
    pub untouched: bool,
}

/// The most samples of one run. Where there would be more, two become one and the time between them twice as long. Whatever they are, as many
/// fit a packet.
pub const SAMPLES_MAX: usize = 900;

/// What a run used up to a moment, and had at it. Of samples that became one: the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Microseconds since the start of the fork (`CLOCK_MONOTONIC`).
    pub time_us: u64,
    /// Microseconds of CPU time since then.
    pub cpu_us: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u32,
}

/// Judged by init from evidence (wait status, rusage, the limits in force), never from a signal's number alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// `_exit` with this code; 0 is success.
    Exited(u8),
    /// Ended by this signal.
    Signaled(u8),
    /// `RLIMIT_CPU` reached, or [`crate::limits::RunLimits::cpu_us`] exceeded.
    CpuTimeLimit,
    /// [`crate::limits::RunLimits::wall_us`] exceeded.
    WallTimeLimit,
    /// [`crate::limits::RunLimits::memory_bytes`] exceeded.
    MemoryLimit,
    /// `RLIMIT_FSIZE` exceeded.
    FileSizeLimit,
    /// A seccomp filter ended it: by telling init ([`Outcome::disallowed`]), or by SIGSYS.
    DisallowedSyscall,
    /// The supervisor of a traced run ended it for the use of a file; which, is in its summary.
    DisallowedFile,
}

/// Times and memory of a run, as wait4(2) reports them for the main process and every descendant that was waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Microseconds in user mode.
    pub user_us: u64,
    /// Microseconds in the kernel.
    pub system_us: u64,
    /// Microseconds from the start of the fork to the reaped main process (CLOCK_MONOTONIC).
    pub wall_us: u64,
    /// Microseconds of these before the program's own first instruction. 0 for a run with a sync point.
    pub setup_us: u64,
    /// The largest resident set of any one process, in bytes. Never below that of init, which the kernel counts in.
    pub max_rss_bytes: u64,
}
