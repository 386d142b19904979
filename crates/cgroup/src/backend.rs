//! What both versions do for a run group. Counters are those since the group was made; [`crate::Group`] takes differences.

use crate::controller::Controllers;
use crate::error::Error;
use crate::limits::{CpuQuota, CpuSet};
use crate::usage::{CpuTime, OomCounts};
use std::time::Duration;

/// One half of a group, on v1 or on v2. What it is asked for without the controller for it is `None`, zero, or ignored.
pub trait Backend {
    /// What it can limit and count.
    fn controllers(&self) -> Controllers;

    /// Limits memory; `None` is without limit, here and below.
    fn set_memory(&mut self, bytes: Option<u64>) -> Result<(), Error>;
    /// Limits processes and threads.
    fn set_processes(&mut self, most: Option<u64>) -> Result<(), Error>;
    /// Limits the share of CPU time.
    fn set_cpu(&mut self, quota: Option<CpuQuota>) -> Result<(), Error>;
    /// Limits the CPUs.
    fn set_cpus(&mut self, cpus: Option<&CpuSet>) -> Result<(), Error>;

    /// CPU time, cheaply.
    fn cpu_usage_us(&mut self) -> Result<Option<u64>, Error>;
    /// CPU time and its parts.
    fn cpu_time(&mut self) -> Result<Option<CpuTime>, Error>;
    /// Bytes in use.
    fn memory_current(&mut self) -> Result<Option<u64>, Error>;
    /// Has [`Self::memory_peak`] start from here; false where the kernel cannot.
    fn reset_memory_peak(&mut self) -> Result<bool, Error>;
    /// The most bytes in use.
    fn memory_peak(&mut self) -> Result<Option<u64>, Error>;
    /// What the OOM killer did.
    fn oom(&mut self) -> Result<OomCounts, Error>;
    /// Whether the peak of memory is at the limit, where that says more than the counts.
    fn peak_at_limit(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
    /// The most processes and threads.
    fn processes_peak(&mut self) -> Result<Option<u64>, Error>;
    /// Forks that failed.
    fn processes_refused(&mut self) -> Result<u64, Error>;

    /// Ends every process, for certain, and waits for it.
    fn kill(&mut self, within: Duration) -> Result<(), Error>;
    /// Whether there is none.
    fn is_empty(&self) -> Result<bool, Error>;
}
