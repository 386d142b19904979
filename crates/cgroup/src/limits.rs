//! What a run may use.

use std::fmt;

/// The limits of a run. `None` is: as much as the cgroups above allow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of every kind: heap, page cache, tmpfs, shared memory, the kernel's own for it. The kernel counts pages, so
    /// it is rounded down to a multiple of 4096. Swap is always off.
    pub memory_bytes: Option<u64>,
    /// Processes and threads at the same time.
    pub processes: Option<u64>,
    /// The share of CPU time.
    pub cpu: Option<CpuQuota>,
    /// The CPUs to run on.
    pub cpus: Option<CpuSet>,
}

/// So much CPU time in each period, of all threads together (sched-bwc in the kernel's documentation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of CPU time, at least 1000.
    pub quota_us: u64,
    /// Microseconds, 1000 to 1,000,000.
    pub period_us: u64,
}

impl CpuQuota {
    /// What the kernel accepts at least, of either.
    const LEAST_US: u64 = 1000;
    /// Short, so that a program at its quota is not stopped for longer than a frame of a film.
    const PERIOD_US: u64 = 20_000;
    /// For rates that are so low that their quota of that would be below the least.
    const LONG_PERIOD_US: u64 = 1_000_000;

    /// Of a rate in CPUs: 0.5 is half of one. `None` unless it is between 0.001 and 10,000.
    pub fn from_rate(rate: f64) -> Option<Self> {
        if !(0.001..=10_000.0).contains(&rate) {
            return None;
        }
        let period_us =
            if rate * Self::PERIOD_US as f64 >= Self::LEAST_US as f64 { Self::PERIOD_US } else { Self::LONG_PERIOD_US };
        Some(Self { quota_us: ((rate * period_us as f64).round() as u64).max(Self::LEAST_US), period_us })
    }
}

/// A set of CPUs, as a list of ranges (cpuset(7), "List format").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet(Vec<(u32, u32)>);

impl CpuSet {
    /// The highest number that a kernel can be built for.
    const HIGHEST: u32 = 8191;
    /// More ranges than that no machine needs, and the list has to fit a page.
    const RANGES_MAX: usize = 512;

    /// Of `0-3,8`. `None` if it is empty, or anything else than numbers and ranges of CPUs.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u32>().ok()).flatten().filter(|number| *number <= Self::HIGHEST)
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last))
        };
        let mut ranges = text.trim().split(',').take(Self::RANGES_MAX + 1).map(range).collect::<Option<Vec<_>>>()?;
        if ranges.len() > Self::RANGES_MAX {
            return None;
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Some(Self(merged))
    }

    /// Whether all of them are in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        let within = |(first, last): &(u32, u32)| other.0.iter().any(|(from, to)| from <= first && last <= to);
        self.0.iter().all(within)
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}") } else { write!(f, "{comma}{first}-{last}") }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_a_quota_that_the_kernel_accepts() {
        assert_eq!(CpuQuota::from_rate(0.5), Some(CpuQuota { quota_us: 10_000, period_us: 20_000 }));
        assert_eq!(CpuQuota::from_rate(2.0), Some(CpuQuota { quota_us: 40_000, period_us: 20_000 }));
        assert_eq!(CpuQuota::from_rate(0.01), Some(CpuQuota { quota_us: 10_000, period_us: 1_000_000 }));
        assert_eq!(CpuQuota::from_rate(0.001), Some(CpuQuota { quota_us: 1000, period_us: 1_000_000 }));
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY, 0.0001, 1e9] {
            assert_eq!(CpuQuota::from_rate(odd), None, "{odd}");
        }
    }

    #[test]
    fn lists_of_cpus_are_checked_and_put_in_order() {
        let list = |text| CpuSet::parse(text).map(|set| set.to_string());
        assert_eq!(list("8,0-3,2-5\n").as_deref(), Some("0-5,8"));
        assert_eq!(list("1").as_deref(), Some("1"));
        let long = "0,".repeat(600) + "0";
        for odd in ["", ",", "1,", "3-1", "-1", "1-", "a", "1 2", "0-99999", "+1", "1-2-3", "8192", long.as_str()] {
            assert_eq!(list(odd), None, "{odd:?}");
        }
        let (two, four) = (CpuSet::parse("1-2").unwrap(), CpuSet::parse("0-3").unwrap());
        assert!(two.is_subset(&four) && !four.is_subset(&two));
        assert_eq!(four.count(), 4);
    }
}
