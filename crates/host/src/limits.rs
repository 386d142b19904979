//! What a run may use, and who sees to it.
//!
//! Three parties share the work: the kernel (resource limits, and the cgroups that the run is born in), init (the clock, and by counting
//! what no cgroup counts), and whoever judges the figures at the end ([`crate::outcome`]). What can be limited by none of them is
//! refused before anything starts.

use crate::error::Error;
use hotcell_cgroup::{Controller, Controllers, CpuQuota, CpuSet};
use hotcell_protocol::{RLimit, Resource, RunLimits};

/// The limits of a run; `None` is none. As much as a limit says is no breach, more is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// CPU time in microseconds, of all processes of the run together: [`Verdict::CpuTimeLimit`](crate::protocol::Verdict::CpuTimeLimit).
    pub cpu_us: Option<u64>,
    /// Microseconds from the fork to the end of the main process (`CLOCK_MONOTONIC`):
    /// [`Verdict::WallTimeLimit`](crate::protocol::Verdict::WallTimeLimit).
    pub wall_us: Option<u64>,
    /// Bytes of memory of all kinds, of all processes together: [`Verdict::MemoryLimit`](crate::protocol::Verdict::MemoryLimit).
    pub memory_bytes: Option<u64>,
    /// Processes and threads at the same time; one more cannot be forked (EAGAIN).
    pub processes: Option<u64>,
    /// CPUs' worth of time: 0.5 is half of one. The program is slowed down, not ended. Takes the cgroup controller `cpu`.
    pub cpu_rate: Option<f64>,
    /// The CPUs to run on. Takes the cgroup controller `cpuset`.
    pub cpus: Option<CpuSet>,
    /// `RLIMIT_STACK`.
    pub stack_bytes: Option<u64>,
    /// `RLIMIT_FSIZE`: [`Verdict::FileSizeLimit`](crate::protocol::Verdict::FileSizeLimit), unless the program takes the signal.
    pub file_size_bytes: Option<u64>,
    /// `RLIMIT_NOFILE`.
    pub open_files: Option<u64>,
}

/// Beside the memory that a run may use without a cgroup: address space for what is never touched.
const DATA_BESIDE: u64 = 64 << 20;

/// Who limits what of one run.
#[derive(Debug)]
pub(crate) struct Shares {
    /// For the cgroups; `None` if none are needed.
    pub(crate) group: Option<hotcell_cgroup::Limits>,
    /// For init.
    pub(crate) init: RunLimits,
    /// For the kernel's resource limits, with the names of the limits that they come from.
    pub(crate) resources: Vec<(RLimit, &'static str)>,
}

impl Limits {
    /// Divides the work. `available`: the controllers of the container's cgroups, if it has any; `always`: whether every run is to be
    /// in one.
    pub(crate) fn share(&self, available: Option<Controllers>, always: bool) -> Result<Shares, Error> {
        let has = |controller| available.is_some_and(|controllers| controllers.has(controller));
        let asks = |asked: bool, controller| asked && has(controller);
        let in_group = always && available.is_some()
            || asks(self.cpu_us.is_some(), Controller::CpuAcct)
            || asks(self.memory_bytes.is_some(), Controller::Memory)
            || asks(self.processes.is_some(), Controller::Pids)
            || self.cpu_rate.is_some()
            || self.cpus.is_some();
        let needs = |asked: bool, controller, limit| {
            if asked && !has(controller) { Err(Error::HoldLimit { limit, controller }) } else { Ok(()) }
        };
        needs(self.cpu_rate.is_some(), Controller::Cpu, "cpuRate")?;
        needs(self.cpus.is_some(), Controller::CpuSet, "cpuSet")?;
        let (memory_by_group, pids_by_group) = (in_group && has(Controller::Memory), in_group && has(Controller::Pids));
        let group = in_group.then(|| hotcell_cgroup::Limits {
            memory_bytes: self.memory_bytes.filter(|_| memory_by_group),
            processes: self.processes.filter(|_| pids_by_group),
            cpu: self.cpu_rate.and_then(CpuQuota::from_rate),
            cpus: self.cpus.clone(),
        });
        let init = RunLimits {
            wall_us: self.wall_us,
            cpu_us: self.cpu_us,
            memory_bytes: self.memory_bytes.filter(|_| !memory_by_group),
            processes: self.processes.filter(|_| !pids_by_group),
        };
        let mut resources = Vec::new();
        let mut limit = |resource, value: Option<u64>, name| {
            if let Some(value) = value {
                resources.push((RLimit { resource, soft: value, hard: value }, name));
            }
        };
        limit(Resource::Stack, self.stack_bytes, "stackBytes");
        limit(Resource::Fsize, self.file_size_bytes, "fileSizeBytes");
        limit(Resource::Nofile, self.open_files, "openFiles");
        // Init looks now and then; a program that grows faster than that gets no memory at twice the limit.
        let most = init.memory_bytes.map(|bytes| bytes.saturating_mul(2).saturating_add(DATA_BESIDE));
        limit(Resource::Data, most, "memoryBytes");
        Ok(Shares { group, init, resources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cgroups_can_do_is_theirs() {
        let limits = Limits { memory_bytes: Some(1 << 20), processes: Some(4), wall_us: Some(5), ..Limits::default() };
        let all = limits.share(Some(Controllers::ALL), false).unwrap();
        let group = all.group.unwrap();
        assert_eq!((group.memory_bytes, group.processes), (Some(1 << 20), Some(4)));
        assert_eq!(all.init, RunLimits { wall_us: Some(5), ..RunLimits::default() });
        assert!(all.resources.is_empty());

        let pids_only = limits.share(Some(Controllers::NONE.with(Controller::Pids)), false).unwrap();
        assert_eq!(pids_only.group.unwrap().memory_bytes, None);
        assert_eq!((pids_only.init.memory_bytes, pids_only.init.processes), (Some(1 << 20), None));
        assert_eq!(pids_only.resources[0].1, "memoryBytes");

        let none = limits.share(None, true).unwrap();
        assert!(none.group.is_none());
        assert_eq!((none.init.memory_bytes, none.init.processes), (Some(1 << 20), Some(4)));
    }

    #[test]
    fn a_run_whose_limits_need_no_cgroup_gets_none() {
        let limits = Limits { wall_us: Some(1), stack_bytes: Some(4096), ..Limits::default() };
        let shares = limits.share(Some(Controllers::ALL), false).unwrap();
        assert!(shares.group.is_none());
        assert_eq!(shares.resources[0].0.resource, Resource::Stack);
        assert!(limits.share(Some(Controllers::ALL), true).unwrap().group.is_some());
    }

    #[test]
    fn what_nobody_can_hold_is_refused() {
        let rate = Limits { cpu_rate: Some(0.5), ..Limits::default() };
        let refused = rate.share(None, false).unwrap_err();
        assert_eq!(refused, Error::HoldLimit { limit: "cpuRate", controller: Controller::Cpu });
        let cpus = Limits { cpus: CpuSet::parse("0"), ..Limits::default() };
        assert!(cpus.share(Some(Controllers::NONE), false).is_err());
    }
}
