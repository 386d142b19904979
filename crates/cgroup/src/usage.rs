//! What a run used, and the texts of the counters it comes from.

/// What was used between [`crate::Group::begin`] and [`crate::Group::usage`]. `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all processes, ended ones too.
    pub cpu: Option<CpuTime>,
    /// The most bytes of memory at once, beyond what had been in the group before.
    pub memory_peak_bytes: Option<u64>,
    /// The same with what had been in the group before, most of it pages that the kernel had charged in advance. The truth lies between
    /// the two.
    pub memory_charged_bytes: Option<u64>,
    /// Whether the OOM killer was at work, and on whose account.
    pub oom: Option<Oom>,
    /// The most processes and threads at once. The counter cannot be reset: told only if it exceeds that of all former runs.
    pub processes_peak: Option<u64>,
    /// How many forks were refused because of the limit on processes.
    pub processes_refused: u64,
}

/// CPU time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Microseconds in all: exact.
    pub total_us: u64,
    /// Microseconds in user mode: the kernel divides the total by what it saw at timer ticks.
    pub user_us: u64,
    /// Microseconds in the kernel.
    pub system_us: u64,
}

impl CpuTime {
    pub(crate) const fn since(self, start: Self) -> Self {
        Self {
            total_us: self.total_us.saturating_sub(start.total_us),
            user_us: self.user_us.saturating_sub(start.user_us),
            system_us: self.system_us.saturating_sub(start.system_us),
        }
    }
}

/// Why the OOM killer killed a process of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oom {
    /// The run was at its own limit.
    Limit,
    /// A cgroup above, or the host, was out of memory: no fault of the limit.
    Outside,
}

/// Counters that only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OomCounts {
    /// Processes killed.
    pub kills: u64,
    /// How often the limit was in the way.
    pub at_limit: u64,
}

impl OomCounts {
    pub const fn since(self, start: Self) -> Option<Oom> {
        match (self.kills > start.kills, self.at_limit > start.at_limit) {
            (false, _) => None,
            (true, true) => Some(Oom::Limit),
            (true, false) => Some(Oom::Outside),
        }
    }
}

/// The one number of a file, `max` being the largest.
pub(crate) fn number(text: &str) -> Option<u64> {
    match text.trim_ascii() {
        "max" => Some(u64::MAX),
        digits => digits.parse().ok(),
    }
}

/// The number behind a key, in a file of lines `key number`.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ').and_then(number);
    text.lines().find_map(value)
}

/// cpu.stat of v2, in microseconds.
pub(crate) fn cpu_stat(text: &str) -> Option<CpuTime> {
    let total_us = keyed(text, "usage_usec")?;
    // Its two parts are rounded each for itself.
    let user_us = keyed(text, "user_usec")?.min(total_us);
    Some(CpuTime { total_us, user_us, system_us: total_us - user_us })
}

/// The numbers in a list of pids, one a line. v2 writes 0 for processes of other pid namespaces.
pub(crate) fn pids(text: &str) -> Vec<i32> {
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_v2_are_read() {
        let stat = "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnice_usec 0\ncore_sched.force_idle_usec 0\nnr_periods 0\n";
        assert_eq!(cpu_stat(stat), Some(CpuTime { total_us: 1_234_567, user_us: 1_000_000, system_us: 234_567 }));
        assert_eq!(cpu_stat("usage_usec 1\n"), None);
        let events = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(
            (keyed(events, "oom"), keyed(events, "oom_kill"), keyed(events, "max")),
            (Some(2), Some(1), Some(7))
        );
    }

    #[test]
    fn counters_of_v1_are_read() {
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!((keyed(control, "oom_kill"), keyed(control, "under_oom")), (Some(3), Some(0)));
        assert_eq!(keyed("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None);
        assert_eq!(
            (number("9223372036854771712\n"), number("max\n")),
            (Some(9_223_372_036_854_771_712), Some(u64::MAX))
        );
    }

    #[test]
    fn odd_texts_are_no_numbers() {
        for text in ["", "\n", "-1", "1 2", "18446744073709551616", "é", "usage_usec", "usage_usec ", "usage_usec x"] {
            assert_eq!((number(text), keyed(text, "usage_usec"), cpu_stat(text)), (None, None, None), "{text:?}");
        }
        assert_eq!(pids("1\n-5\n0\nx\n99999999999\n7\n"), [1, 7]);
    }

    #[test]
    fn an_oom_kill_is_the_limits_only_if_the_limit_was_reached() {
        let start = OomCounts { kills: 1, at_limit: 4 };
        assert_eq!(start.since(start), None);
        assert_eq!(OomCounts { kills: 1, at_limit: 9 }.since(start), None, "reclaim was enough");
        assert_eq!(OomCounts { kills: 2, at_limit: 5 }.since(start), Some(Oom::Limit));
        assert_eq!(OomCounts { kills: 2, at_limit: 4 }.since(start), Some(Oom::Outside));
    }
}
