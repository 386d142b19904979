//! The verdict on a run, and the figures that it rests on.
//!
//! Init tells how the main process ended and which of its limits it found exceeded; the cgroups tell what all processes used. What
//! ended a run first is its verdict. A run that ended by itself is judged by what it used: the figures in a result never contradict
//! its verdict.

use crate::limits::Limits;
use hotcell_cgroup::Oom;
use hotcell_protocol::{Disallowed, Verdict};

/// The end of a run, whose last process is dead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// What became of it.
    pub verdict: Verdict,
    /// The system call that its seccomp filter ended it for, with [`Verdict::DisallowedSyscall`] and where that is known.
    pub disallowed: Option<Disallowed>,
    /// What it used.
    pub usage: Usage,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Microseconds of CPU time in user mode.
    pub user_us: u64,
    /// Microseconds of CPU time in the kernel.
    pub system_us: u64,
    /// Microseconds from the start of the fork to the end of the main process (`CLOCK_MONOTONIC`).
    pub wall_us: u64,
    /// Microseconds of these before the program's own first instruction. 0 for a run with a sync point.
    pub setup_us: u64,
    /// The most bytes of memory: of all processes at once, else of the largest one.
    pub memory_bytes: u64,
    /// The most processes and threads at once, where the kernel tells.
    pub processes_peak: Option<u64>,
    /// Where the figures come from.
    pub accounting: Accounting,
}

/// Where figures come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accounting {
    /// wait4(2) and looks at /proc: the main process, and descendants that were waited for.
    #[default]
    Rusage,
    /// Cgroups: every process.
    Cgroup,
}

/// Of what init and the cgroups say.
pub(crate) fn conclude(
    reported: &hotcell_protocol::Outcome,
    counted: Option<&hotcell_cgroup::Usage>,
    limits: &Limits,
) -> Outcome {
    let hotcell_protocol::Usage { user_us, system_us, wall_us, setup_us, max_rss_bytes } = reported.usage;
    let mut usage = Usage { user_us, system_us, wall_us, setup_us, memory_bytes: max_rss_bytes, ..Usage::default() };
    let (cpu, memory) = counted.map_or((None, None), |counted| (counted.cpu, memory_of(counted, max_rss_bytes)));
    if let Some(cpu) = cpu {
        (usage.user_us, usage.system_us) = (cpu.user_us, cpu.system_us);
    }
    if let Some(memory) = memory {
        usage.memory_bytes = memory;
    }
    if cpu.is_some() && memory.is_some() {
        usage.accounting = Accounting::Cgroup;
    }
    if usage.accounting == Accounting::Cgroup
        && counted.is_some_and(|counted| counted.oom.is_none())
        && let Some(limit) = limits.memory_bytes
    {
        // The kernel would have refused more; what is above was there before.
        usage.memory_bytes = usage.memory_bytes.min(limit);
    }
    usage.processes_peak = counted.and_then(|counted| counted.processes_peak);
    let (disallowed, oom) = (reported.disallowed, counted.and_then(|counted| counted.oom));
    // What it was ended for came first.
    let verdict = if disallowed.is_some() || reported.verdict == Verdict::DisallowedFile {
        reported.verdict
    } else {
        judge(reported.verdict, oom, &usage, limits)
    };
    Outcome { verdict, disallowed, usage }
}

/// Memory is charged in batches, and a small program may live on what was charged for the last one: then its peak is nothing. It had
/// what it had resident, as far as that was charged at all.
fn memory_of(counted: &hotcell_cgroup::Usage, max_rss_bytes: u64) -> Option<u64> {
    let (peak, charged) = (counted.memory_peak_bytes?, counted.memory_charged_bytes?);
    Some(peak.max(charged.min(max_rss_bytes)))
}

fn judge(reported: Verdict, oom: Option<Oom>, usage: &Usage, limits: &Limits) -> Verdict {
    match reported {
        Verdict::Exited(_)
        | Verdict::Signaled(_)
        | Verdict::FileSizeLimit
        | Verdict::DisallowedSyscall
        | Verdict::DisallowedFile => {}
        limit => return limit,
    }
    let exceeded = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
    if oom == Some(Oom::Limit) {
        Verdict::MemoryLimit
    } else if usage.accounting == Accounting::Rusage && exceeded(usage.memory_bytes, limits.memory_bytes) {
        // Nothing but these looks has held the limit.
        Verdict::MemoryLimit
    } else if exceeded(usage.user_us + usage.system_us, limits.cpu_us) {
        Verdict::CpuTimeLimit
    } else if exceeded(usage.wall_us, limits.wall_us) {
        Verdict::WallTimeLimit
    } else {
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_cgroup::CpuTime;

    fn reported(verdict: Verdict) -> hotcell_protocol::Outcome {
        let usage =
            hotcell_protocol::Usage { user_us: 10, system_us: 5, wall_us: 20, setup_us: 1, max_rss_bytes: 4096 };
        hotcell_protocol::Outcome { verdict, usage, disallowed: None, group_killed: false, untouched: false }
    }

    #[test]
    fn figures_of_the_cgroup_count_everybody() {
        let cpu = CpuTime { total_us: 100, user_us: 60, system_us: 40 };
        let counted = hotcell_cgroup::Usage {
            cpu: Some(cpu),
            memory_peak_bytes: Some(8192),
            memory_charged_bytes: Some(9000),
            processes_peak: Some(3),
            ..Default::default()
        };
        let Outcome { usage, verdict, .. } =
            conclude(&reported(Verdict::Exited(0)), Some(&counted), &Limits::default());
        assert_eq!((usage.user_us, usage.system_us, usage.memory_bytes), (60, 40, 8192));
        assert_eq!((usage.processes_peak, usage.accounting), (Some(3), Accounting::Cgroup));
        assert_eq!(verdict, Verdict::Exited(0));
        let without = conclude(&reported(Verdict::Exited(0)), None, &Limits::default());
        assert_eq!((without.usage.memory_bytes, without.usage.accounting), (4096, Accounting::Rusage));
    }

    #[test]
    fn who_exits_by_itself_is_judged_by_what_it_used() {
        let with = |limits: Limits| conclude(&reported(Verdict::Exited(0)), None, &limits).verdict;
        assert_eq!(with(Limits { cpu_us: Some(15), ..Limits::default() }), Verdict::Exited(0));
        assert_eq!(with(Limits { cpu_us: Some(14), ..Limits::default() }), Verdict::CpuTimeLimit);
        assert_eq!(with(Limits { wall_us: Some(20), ..Limits::default() }), Verdict::Exited(0));
        assert_eq!(with(Limits { wall_us: Some(19), ..Limits::default() }), Verdict::WallTimeLimit);
        assert_eq!(with(Limits { memory_bytes: Some(4096), ..Limits::default() }), Verdict::Exited(0));
        assert_eq!(with(Limits { memory_bytes: Some(4095), ..Limits::default() }), Verdict::MemoryLimit);
    }

    #[test]
    fn what_came_first_is_the_verdict() {
        let limits = Limits { cpu_us: Some(1), wall_us: Some(1), ..Limits::default() };
        assert_eq!(conclude(&reported(Verdict::WallTimeLimit), None, &limits).verdict, Verdict::WallTimeLimit);
        let oom = |oom| hotcell_cgroup::Usage { oom: Some(oom), ..Default::default() };
        let killed = reported(Verdict::Signaled(9));
        assert_eq!(conclude(&killed, Some(&oom(Oom::Limit)), &Limits::default()).verdict, Verdict::MemoryLimit);
        // Of the host's memory running out the run is not to blame.
        assert_eq!(conclude(&killed, Some(&oom(Oom::Outside)), &Limits::default()).verdict, Verdict::Signaled(9));
    }
}
