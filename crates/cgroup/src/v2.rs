//! The half of a group that is on cgroup v2: one directory.
//!
//! A process is in it from birth, by `CLONE_INTO_CGROUP` with the descriptor of the directory.

use crate::backend::Backend;
use crate::controller::{Controller, Controllers};
use crate::directory::{Control, Directory};
use crate::error::{Error, errno};
use crate::kill;
use crate::limits::{CpuQuota, CpuSet};
use crate::usage::{CpuTime, OomCounts, cpu_stat, keyed};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A run group's half on v2.
#[derive(Debug)]
pub struct V2 {
    directory: Arc<Directory>,
    controllers: Controllers,
    /// Whether it can be told so far: each file is missing before some kernel version.
    peak: Peak,
    memory_max: Control,
    memory_current: Control,
    memory_events: Control,
    pids_max: Control,
    pids_peak: Option<Control>,
    pids_events: Control,
    cpu_max: Control,
    cpuset_cpus: Control,
    /// Those that it may use without a limit, noted before the first one.
    all_cpus: Option<String>,
    cpu_stat: Control,
}

/// memory.peak: Linux 5.19; reset by writing to an open file, which from then on tells its own peak: 6.12.
#[derive(Debug)]
enum Peak {
    Resettable(Control),
    Lasting(Control),
    Missing,
}

impl V2 {
    /// Of a cgroup that was made, with these controllers enabled in the one above.
    pub fn new(directory: Arc<Directory>, controllers: Controllers) -> Result<Self, Error> {
        let at = |name| Control::reading(Arc::clone(&directory), name);
        let to = |name| Control::writing(Arc::clone(&directory), name);
        if controllers.has(Controller::Memory) {
            // Absent without swap support in the kernel.
            optional(&directory, "memory.swap.max", "0")?;
            // Linux 4.19. All or nobody: a run that lost a process to the OOM killer is over.
            optional(&directory, "memory.oom.group", "1")?;
        }
        let peak = if !controllers.has(Controller::Memory) || !directory.has(c"memory.peak") {
            Peak::Missing
        } else {
            let mut control = Control::both(Arc::clone(&directory), "memory.peak");
            match control.write("0") {
                Ok(()) => Peak::Resettable(control),
                Err(_) => Peak::Lasting(at("memory.peak")),
            }
        };
        Ok(Self {
            controllers,
            peak,
            memory_max: to("memory.max"),
            memory_current: at("memory.current"),
            memory_events: at("memory.events"),
            pids_max: to("pids.max"),
            pids_peak: (controllers.has(Controller::Pids) && directory.has(c"pids.peak")).then(|| at("pids.peak")),
            pids_events: at("pids.events"),
            cpu_max: to("cpu.max"),
            cpuset_cpus: to("cpuset.cpus"),
            all_cpus: None,
            cpu_stat: at("cpu.stat"),
            directory,
        })
    }

    /// For `CLONE_INTO_CGROUP`.
    pub fn entrance(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// `cpu.stat`.
    pub fn open_cpu_counter(&self) -> Result<OwnedFd, Error> {
        self.directory.open_file("cpu.stat", nix::libc::O_RDONLY)
    }

    /// `memory.current`; takes the controller.
    pub fn open_memory_counter(&self) -> Result<OwnedFd, Error> {
        self.directory.open_file("memory.current", nix::libc::O_RDONLY)
    }

    /// `pids.current`; takes the controller.
    pub fn open_process_counter(&self) -> Result<OwnedFd, Error> {
        self.directory.open_file("pids.current", nix::libc::O_RDONLY)
    }

    /// `cgroup.kill`, since Linux 5.14.
    pub fn open_kill(&self) -> Result<Option<OwnedFd>, Error> {
        match self.directory.open_file("cgroup.kill", nix::libc::O_WRONLY) {
            Err(Error::Open { errno: nix::libc::ENOENT, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    fn has(&self, controller: Controller) -> bool {
        self.controllers.has(controller)
    }
}

/// Writes a file that need not be there.
fn optional(directory: &Directory, name: &str, value: &str) -> Result<(), Error> {
    let Ok(c_name) = CString::new(name) else { return Ok(()) };
    match directory.write(&c_name, value) {
        Err(error) if errno(&error) != nix::libc::ENOENT => {
            Err(Error::SetLimit { path: directory.path().join(name), value: value.to_owned(), errno: errno(&error) })
        }
        _ => Ok(()),
    }
}

/// Lets cgroups below this one have these controllers, as far as it has them itself and they are not enabled yet; returns those
/// that were enabled just now. One by one, because a single one that cannot be had fails the whole write.
pub fn enable(directory: &Directory, wanted: Controllers) -> Result<Controllers, Error> {
    let names = |file| Controllers::from_names(directory.read(file).unwrap_or_default().split_ascii_whitespace());
    let missing = wanted.and(names(c"cgroup.controllers")).without(names(c"cgroup.subtree_control"));
    if missing.is_empty() {
        return Ok(Controllers::NONE);
    }
    let list =
        |sign: char| missing.iter().map(|controller| format!("{sign}{controller}")).collect::<Vec<_>>().join(" ");
    if directory.write(c"cgroup.subtree_control", &list('+')).is_ok() {
        return Ok(missing);
    }
    let mut enabled = Controllers::NONE;
    let mut refused = None;
    for controller in missing.iter() {
        match directory.write(c"cgroup.subtree_control", &format!("+{controller}")) {
            Ok(()) => enabled = enabled.with(controller),
            Err(error) => {
                let path = directory.path().to_owned();
                refused = Some(Error::EnableController { path, controller, errno: errno(&error) });
            }
        }
    }
    match refused {
        Some(error) if enabled.is_empty() => Err(error),
        _ => Ok(enabled),
    }
}

/// The opposite, best effort.
pub fn disable(directory: &Directory, controllers: Controllers) {
    let list: Vec<_> = controllers.iter().map(|controller| format!("-{controller}")).collect();
    let _ = directory.write(c"cgroup.subtree_control", &list.join(" "));
}

/// The controllers that cgroups in this one have.
pub fn enabled(directory: &Directory) -> Controllers {
    let text = directory.read(c"cgroup.subtree_control").unwrap_or_default();
    Controllers::from_names(text.split_ascii_whitespace())
}

impl Backend for V2 {
    fn controllers(&self) -> Controllers {
        // Without being controllers there.
        self.controllers.with(Controller::CpuAcct).with(Controller::Freezer)
    }

    fn set_memory(&mut self, bytes: Option<u64>) -> Result<(), Error> {
        let value = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        self.memory_max.set(&value)
    }

    fn set_processes(&mut self, most: Option<u64>) -> Result<(), Error> {
        let value = most.map_or_else(|| "max".to_owned(), |most| most.to_string());
        self.pids_max.set(&value)
    }

    fn set_cpu(&mut self, quota: Option<CpuQuota>) -> Result<(), Error> {
        let value = quota.map_or_else(|| "max".to_owned(), |quota| format!("{} {}", quota.quota_us, quota.period_us));
        self.cpu_max.set(&value)
    }

    fn set_cpus(&mut self, cpus: Option<&CpuSet>) -> Result<(), Error> {
        if let Some(cpus) = cpus {
            if self.all_cpus.is_none() {
                self.all_cpus =
                    self.directory.read(c"cpuset.cpus.effective").ok().map(|list| list.trim_end().to_owned());
            }
            return self.cpuset_cpus.set(&cpus.to_string());
        }
        // Nothing: those of the cgroup above. Linux 6.1 for one refuses that for as long as there are processes.
        match (self.cpuset_cpus.set("\n"), &self.all_cpus) {
            (Err(Error::SetLimit { errno: nix::libc::ENOSPC, .. }), Some(all)) => self.cpuset_cpus.set(all),
            (result, _) => result,
        }
    }

    fn cpu_usage_us(&mut self) -> Result<Option<u64>, Error> {
        self.cpu_stat.read(|text| keyed(text, "usage_usec")).map(Some)
    }

    fn cpu_time(&mut self) -> Result<Option<CpuTime>, Error> {
        self.cpu_stat.read(cpu_stat).map(Some)
    }

    fn memory_current(&mut self) -> Result<Option<u64>, Error> {
        self.has(Controller::Memory).then(|| self.memory_current.number()).transpose()
    }

    fn reset_memory_peak(&mut self) -> Result<bool, Error> {
        match &mut self.peak {
            Peak::Resettable(control) => control.write("0").map(|()| true),
            Peak::Lasting(_) | Peak::Missing => Ok(false),
        }
    }

    fn memory_peak(&mut self) -> Result<Option<u64>, Error> {
        match &mut self.peak {
            Peak::Resettable(control) | Peak::Lasting(control) => control.number().map(Some),
            Peak::Missing => Ok(None),
        }
    }

    fn oom(&mut self) -> Result<OomCounts, Error> {
        if !self.has(Controller::Memory) {
            return Ok(OomCounts::default());
        }
        self.memory_events
            .read(|text| Some(OomCounts { kills: keyed(text, "oom_kill")?, at_limit: keyed(text, "oom")? }))
    }

    fn processes_peak(&mut self) -> Result<Option<u64>, Error> {
        self.pids_peak.as_mut().map(Control::number).transpose()
    }

    fn processes_refused(&mut self) -> Result<u64, Error> {
        if !self.has(Controller::Pids) {
            return Ok(0);
        }
        self.pids_events.read(|text| keyed(text, "max"))
    }

    fn kill(&mut self, within: Duration) -> Result<(), Error> {
        if !kill::kill_v2(&self.directory)? {
            return kill::freeze_and_kill(&self.directory, &kill::FREEZER_V2, None, within);
        }
        kill::wait_empty_v2(&self.directory, within)
    }

    fn is_empty(&self) -> Result<bool, Error> {
        kill::is_empty_v2(&self.directory)
    }
}
