//! The samples of one run that asked for them: what it used in the course of time.
//!
//! Runs in pid 1, whose loop looks at a run when [`Timeline::next_us`] has come. Memory and packet are bounded by [`SAMPLES_MAX`]: when there are
//! as many, each two become one and the time between them doubles, so a timeline of any length has at least half as many, evenly spaced. As with
//! limits, looks that are expensive are spaced so that they take at most one part in [`LOOK_PART`] of the time.

use crate::watch::LOOK_PART;
use hotcell_protocol::{SAMPLES_MAX, Sample};

/// See the module's documentation.
#[derive(Debug)]
pub struct Timeline {
    interval_us: u64,
    next_us: u64,
    samples: Vec<Sample>,
}

impl Timeline {
    /// Of a run that starts now.
    pub fn new(interval_us: u32, started_us: u64) -> Self {
        let interval_us = u64::from(interval_us).max(1);
        Self { interval_us, next_us: started_us.saturating_add(interval_us), samples: Vec::new() }
    }

    /// When to look next, in microseconds of `CLOCK_MONOTONIC`.
    pub fn next_us(&self) -> u64 {
        self.next_us
    }

    /// Takes a sample, a look that ended at `now` and took `cost`.
    pub fn add(&mut self, sample: Sample, now: u64, cost: u64) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples = self.samples.chunks(2).filter_map(|pair| pair.iter().copied().reduce(merged)).collect();
            self.interval_us = self.interval_us.saturating_mul(2);
        }
        // Whose parent has not waited for it yet is in no sum for a moment.
        let least = self.samples.last().map_or(0, |last| last.cpu_us);
        self.samples.push(Sample { cpu_us: sample.cpu_us.max(least), ..sample });
        self.next_us = now.saturating_add(self.interval_us.max(cost.saturating_mul(LOOK_PART)));
    }

    /// What there is. No more looks.
    pub fn end(self) -> Vec<Sample> {
        self.samples
    }
}

/// A peak shall not get lost.
fn merged(earlier: Sample, later: Sample) -> Sample {
    Sample {
        memory_bytes: earlier.memory_bytes.max(later.memory_bytes),
        processes: earlier.processes.max(later.processes),
        ..later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_us: u64, memory_bytes: u64) -> Sample {
        Sample { time_us, cpu_us: time_us / 2, memory_bytes, processes: 1 }
    }

    #[test]
    fn a_long_run_has_no_more_samples_than_a_short_one_and_keeps_its_peaks() {
        let mut timeline = Timeline::new(1000, 0);
        let mut now = 0;
        while now < 100_000_000 {
            now = timeline.next_us();
            timeline.add(at(now, if now == 7000 { 99 } else { 1 }), now, 0);
        }
        let samples = timeline.end();
        assert!((SAMPLES_MAX / 2..=SAMPLES_MAX).contains(&samples.len()), "{}", samples.len());
        assert_eq!(samples.iter().map(|sample| sample.memory_bytes).max(), Some(99));
        assert!(samples.is_sorted_by(|a, b| a.time_us < b.time_us && a.cpu_us < b.cpu_us));
        let gaps: Vec<_> = samples.windows(2).map(|pair| pair[1].time_us - pair[0].time_us).collect();
        assert!(gaps.iter().max() <= gaps.iter().min().map(|least| least * 2).as_ref(), "{gaps:?}");
    }

    #[test]
    fn expensive_looks_are_rare() {
        let mut timeline = Timeline::new(1000, 0);
        timeline.add(at(1000, 1), 1500, 500);
        assert_eq!(timeline.next_us(), 1500 + 500 * LOOK_PART);
        timeline.add(at(20_000, 1), 20_000, 3);
        assert_eq!(timeline.next_us(), 21_000);
    }
}
