//! The half of a group that is on cgroup v1: a directory in each hierarchy.
//!
//! A process is in these because the thread that cloned it is; see the crate's documentation for who that is.

use crate::backend::Backend;
use crate::controller::{Controller, Controllers};
use crate::directory::{Control, Directory};
use crate::error::{Error, errno};
use crate::kill;
use crate::limits::{CpuQuota, CpuSet};
use crate::usage::{CpuTime, OomCounts, keyed};
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// How close to its limit a group is when the OOM killer is called: by what it could not get, at most
/// `1 << PAGE_ALLOC_COSTLY_ORDER` pages.
const OOM_WITHIN: u64 = 8 * 4096;

/// Of one hierarchy.
#[derive(Debug)]
pub struct Part {
    /// Those that are mounted together here.
    pub controllers: Controllers,
    /// The cgroup.
    pub directory: Arc<Directory>,
}

/// A run group's half on v1.
#[derive(Debug)]
pub struct V1 {
    parts: Vec<Part>,
    tasks: Vec<OwnedFd>,
    /// The process whose thread lives in the group: neither killed, nor counted among what runs.
    resident: Option<i32>,
    /// How many of its threads do.
    resident_threads: u64,
    /// Inherited values of cpuset.cpus.
    all_cpus: String,
    memory_bytes: Option<u64>,
    memory_limit: Option<Control>,
    memory_and_swap_limit: Option<Control>,
    memory_usage: Option<Control>,
    memory_peak: Option<Control>,
    memory_failures: [Option<Control>; 2],
    oom_control: Option<Control>,
    pids_max: Option<Control>,
    pids_peak: Option<Control>,
    pids_events: Option<Control>,
    cpu_quota: Option<Control>,
    cpu_period: Option<Control>,
    cpuset_cpus: Option<Control>,
    cpu_usage: Option<Control>,
    cpu_usage_user: Option<Control>,
}

impl V1 {
    /// Of cgroups that were made, and prepared by [`prepare`].
    pub fn new(parts: Vec<Part>) -> Result<Self, Error> {
        let tasks =
            parts.iter().map(|part| part.directory.open_file("tasks", libc::O_WRONLY)).collect::<Result<_, _>>()?;
        let find = |controller| parts.iter().find(|part| part.controllers.has(controller)).map(|part| &part.directory);
        let reading = |controller, name| find(controller).map(|at| Control::reading(Arc::clone(at), name));
        let writing = |controller, name| find(controller).map(|at| Control::writing(Arc::clone(at), name));
        let both = |controller, name| find(controller).map(|at| Control::both(Arc::clone(at), name));
        let memory = find(Controller::Memory);
        let counts_swap = memory.is_some_and(|directory| directory.has(c"memory.memsw.limit_in_bytes"));
        let counts_user = find(Controller::CpuAcct).is_some_and(|directory| directory.has(c"cpuacct.usage_user"));
        let tells_peak = find(Controller::Pids).is_some_and(|directory| directory.has(c"pids.peak"));
        let all_cpus = find(Controller::CpuSet).and_then(|directory| directory.read(c"cpuset.cpus").ok());
        Ok(Self {
            tasks,
            resident: None,
            resident_threads: 1,
            all_cpus: all_cpus.unwrap_or_default().trim_ascii().to_owned(),
            memory_bytes: None,
            memory_limit: writing(Controller::Memory, "memory.limit_in_bytes"),
            memory_and_swap_limit: writing(Controller::Memory, "memory.memsw.limit_in_bytes").filter(|_| counts_swap),
            memory_usage: reading(Controller::Memory, "memory.usage_in_bytes"),
            memory_peak: both(Controller::Memory, "memory.max_usage_in_bytes"),
            memory_failures: [
                reading(Controller::Memory, "memory.failcnt"),
                reading(Controller::Memory, "memory.memsw.failcnt").filter(|_| counts_swap),
            ],
            oom_control: reading(Controller::Memory, "memory.oom_control"),
            pids_max: writing(Controller::Pids, "pids.max"),
            pids_peak: reading(Controller::Pids, "pids.peak").filter(|_| tells_peak),
            pids_events: reading(Controller::Pids, "pids.events"),
            cpu_quota: writing(Controller::Cpu, "cpu.cfs_quota_us"),
            cpu_period: writing(Controller::Cpu, "cpu.cfs_period_us"),
            cpuset_cpus: writing(Controller::CpuSet, "cpuset.cpus"),
            cpu_usage: reading(Controller::CpuAcct, "cpuacct.usage"),
            cpu_usage_user: reading(Controller::CpuAcct, "cpuacct.usage_user").filter(|_| counts_user),
            parts,
        })
    }

    /// What a thread writes `0` to, once each, to live in the group.
    pub fn tasks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.tasks.iter().map(AsFd::as_fd)
    }

    /// The process, one thread of which lives in the group.
    pub fn set_resident(&mut self, pid: Option<i32>) {
        self.resident = pid;
    }

    /// How many of its threads live there. Whether that is news.
    pub fn set_resident_threads(&mut self, threads: u64) -> bool {
        std::mem::replace(&mut self.resident_threads, threads) != threads
    }

    fn residents(&self) -> u64 {
        self.resident.map_or(0, |_| self.resident_threads)
    }

    /// `cpuacct.usage`, if that is counted here.
    pub fn open_cpu_counter(&self) -> Result<Option<OwnedFd>, Error> {
        self.open(Controller::CpuAcct, "cpuacct.usage")
    }

    /// `memory.oom_control`, if memory is limited here.
    pub fn open_oom_control(&self) -> Result<Option<OwnedFd>, Error> {
        self.open(Controller::Memory, "memory.oom_control")
    }

    /// `memory.usage_in_bytes`, if memory is counted here.
    pub fn open_memory_counter(&self) -> Result<Option<OwnedFd>, Error> {
        self.open(Controller::Memory, "memory.usage_in_bytes")
    }

    /// `pids.current`, if processes are counted here.
    pub fn open_process_counter(&self) -> Result<Option<OwnedFd>, Error> {
        self.open(Controller::Pids, "pids.current")
    }

    fn open(&self, controller: Controller, name: &str) -> Result<Option<OwnedFd>, Error> {
        self.directory(controller).map(|directory| directory.open_file(name, libc::O_RDONLY)).transpose()
    }

    fn directory(&self, controller: Controller) -> Option<&Directory> {
        self.parts.iter().find(|part| part.controllers.has(controller)).map(|part| &*part.directory)
    }
}

/// Makes a new cgroup ready for processes: one of cpuset has no CPUs and no memory nodes until told. Those that it has are left alone.
pub fn prepare(controllers: Controllers, directory: &Directory, above: &Directory) -> Result<(), Error> {
    if !controllers.has(Controller::CpuSet) {
        return Ok(());
    }
    for (file, name) in [(c"cpuset.cpus", "cpuset.cpus"), (c"cpuset.mems", "cpuset.mems")] {
        let read = |from: &Directory| {
            from.read(file).map_err(|error| Error::ReadCounter { path: from.path().join(name), errno: errno(&error) })
        };
        if !read(directory)?.trim_ascii().is_empty() {
            continue;
        }
        let value = read(above)?.trim_ascii().to_owned();
        let written = directory.write(file, &value);
        written.map_err(|error| Error::SetLimit { path: directory.path().join(name), value, errno: errno(&error) })?;
    }
    Ok(())
}

impl Backend for V1 {
    fn controllers(&self) -> Controllers {
        self.parts.iter().fold(Controllers::NONE, |all, part| all.or(part.controllers))
    }

    fn set_memory(&mut self, bytes: Option<u64>) -> Result<(), Error> {
        // The limit with swap may never be below that without, so it goes first on the way up and last on the way down.
        let up = bytes.unwrap_or(u64::MAX) > self.memory_bytes.unwrap_or(u64::MAX);
        let value = bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
        let mut order = [&mut self.memory_limit, &mut self.memory_and_swap_limit];
        if up {
            order.reverse();
        }
        for control in order.into_iter().flatten() {
            control.set(&value)?;
        }
        self.memory_bytes = bytes;
        Ok(())
    }

    fn set_processes(&mut self, most: Option<u64>) -> Result<(), Error> {
        let resident = self.residents();
        let value = most.map_or_else(|| "max".to_owned(), |most| most.saturating_add(resident).to_string());
        self.pids_max.as_mut().map_or(Ok(()), |control| control.set(&value))
    }

    fn set_cpu(&mut self, quota: Option<CpuQuota>) -> Result<(), Error> {
        if let (Some(quota), Some(period)) = (quota, &mut self.cpu_period) {
            period.set(&quota.period_us.to_string())?;
        }
        let value = quota.map_or_else(|| "-1".to_owned(), |quota| quota.quota_us.to_string());
        self.cpu_quota.as_mut().map_or(Ok(()), |control| control.set(&value))
    }

    fn set_cpus(&mut self, cpus: Option<&CpuSet>) -> Result<(), Error> {
        let value = cpus.map_or_else(|| self.all_cpus.clone(), ToString::to_string);
        self.cpuset_cpus.as_mut().map_or(Ok(()), |control| control.set(&value))
    }

    fn cpu_usage_us(&mut self) -> Result<Option<u64>, Error> {
        self.cpu_usage.as_mut().map(|control| control.number().map(|nanoseconds| nanoseconds / 1000)).transpose()
    }

    fn cpu_time(&mut self) -> Result<Option<CpuTime>, Error> {
        let Some(total_us) = self.cpu_usage_us()? else { return Ok(None) };
        // Since Linux 4.7; by timer ticks, so it may be ahead of the exact total.
        let user = self.cpu_usage_user.as_mut().map_or(Ok(total_us * 1000), Control::number)?;
        let user_us = (user / 1000).min(total_us);
        Ok(Some(CpuTime { total_us, user_us, system_us: total_us - user_us }))
    }

    fn memory_current(&mut self) -> Result<Option<u64>, Error> {
        self.memory_usage.as_mut().map(Control::number).transpose()
    }

    fn reset_memory_peak(&mut self) -> Result<bool, Error> {
        self.memory_peak.as_mut().map_or(Ok(false), |control| control.write("0").map(|()| true))
    }

    fn memory_peak(&mut self) -> Result<Option<u64>, Error> {
        self.memory_peak.as_mut().map(Control::number).transpose()
    }

    fn oom(&mut self) -> Result<OomCounts, Error> {
        // oom_kill is there since Linux 4.13.
        let kills = self
            .oom_control
            .as_mut()
            .map_or(Ok(0), |control| control.read(|text| Some(keyed(text, "oom_kill").unwrap_or(0))))?;
        let mut at_limit = 0;
        // Where both limits are the same it is the one with swap that is found exceeded first.
        for control in self.memory_failures.iter_mut().flatten() {
            at_limit += control.number()?;
        }
        Ok(OomCounts { kills, at_limit })
    }

    fn peak_at_limit(&mut self) -> Result<bool, Error> {
        // Linux 6.18 was seen to count no failures.
        let Some(limit) = self.memory_bytes else { return Ok(false) };
        Ok(self.memory_peak()?.is_some_and(|peak| peak.saturating_add(OOM_WITHIN) >= limit))
    }

    fn processes_peak(&mut self) -> Result<Option<u64>, Error> {
        let resident = self.residents();
        let peak = self.pids_peak.as_mut().map(Control::number).transpose()?;
        Ok(peak.map(|peak| peak.saturating_sub(resident)))
    }

    fn processes_refused(&mut self) -> Result<u64, Error> {
        self.pids_events.as_mut().map_or(Ok(0), |control| control.read(|text| keyed(text, "max")))
    }

    fn kill(&mut self, within: Duration) -> Result<(), Error> {
        if let Some(directory) = self.directory(Controller::Pids) {
            directory
                .write(c"pids.max", "0")
                .map_err(|error| Error::Kill { path: directory.path().to_owned(), errno: errno(&error) })?;
            let result = kill::kill_members(directory, self.resident, within);
            if let Some(control) = &mut self.pids_max {
                control.forget();
            }
            result
        } else if let Some(directory) = self.directory(Controller::Freezer) {
            kill::freeze_and_kill(directory, &kill::FREEZER_V1, self.resident, within)
        } else if let Some(part) = self.parts.first() {
            kill::kill_members(&part.directory, self.resident, within)
        } else {
            Ok(())
        }
    }

    fn is_empty(&self) -> Result<bool, Error> {
        self.parts.first().map_or(Ok(true), |part| Ok(kill::members(&part.directory, self.resident)?.is_empty()))
    }
}
