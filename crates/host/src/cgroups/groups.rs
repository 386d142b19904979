//! The run groups of one container.

use super::housekeeper::{Job, hand_over};
use super::parents::Tenancy;
use crate::error::Error;
use crate::filters::Filters;
use crate::limits::Limits;
use crate::lock;
use hotcell_cgroup::{Container, Controllers, CpuCounter, CpuSet, Group, Reuse};
use hotcell_protocol::{self as protocol, GroupFiles, Identity, RunGroup};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

/// How long the processes of a dead container's cgroups may take to be gone. Its init is dead, so mostly they are.
const BURY_WITHIN: Duration = Duration::from_secs(2);

/// A container's cgroups.
pub(crate) struct Groups {
    /// Whether every run is in one.
    pub(crate) always: bool,
    pub(crate) controllers: Controllers,
    /// Those that a run may be limited to, where that is possible.
    cpus: Option<CpuSet>,
    state: Mutex<State>,
}

struct State {
    /// `None` when the container is gone.
    container: Option<(Container, Tenancy)>,
    /// Init's pid, once there is one; then it may be asked to use groups.
    init: Option<i32>,
    free: Vec<BoxedGroup>,
    next: u32,
}

/// A group, and the number by which init knows it. In a box of its own, which goes to and fro between the free ones and the
/// requests in flight: those are moved about, and are small without it.
pub(crate) struct Numbered {
    pub(crate) number: u32,
    group: Group,
    /// The filters that programs were born with here: on v1 init has a thread in it for each.
    filters: Vec<u32>,
}

pub(crate) type BoxedGroup = Box<Numbered>;

/// A group with a run in it, and what it has to keep to.
pub(crate) struct Lease {
    pub(crate) numbered: BoxedGroup,
}

/// What a container leaves.
pub(crate) struct Remains {
    groups: Vec<BoxedGroup>,
    container: Option<(Container, Tenancy)>,
}

/// A group that init has yet to be told of: what comes beside the packet, and what says so.
pub(crate) struct Introduction {
    pub(crate) group: u32,
    pub(crate) files: GroupFiles,
    descriptors: Vec<OwnedFd>,
}

impl Introduction {
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.descriptors.iter().map(AsFd::as_fd).collect()
    }
}

impl Groups {
    pub(crate) fn new((container, tenancy): (Container, Tenancy), always: bool) -> Self {
        let parent = tenancy.parent();
        let controllers = parent.map_or(Controllers::NONE, hotcell_cgroup::Parent::controllers);
        let cpus = parent.and_then(hotcell_cgroup::Parent::cpus);
        let state = State { container: Some((container, tenancy)), init: None, free: Vec::new(), next: 1 };
        Self { always, controllers, cpus, state: Mutex::new(state) }
    }

    /// v2: a copy of the cgroup that init is to be born in.
    pub(crate) fn init_entrance(&self) -> Result<Option<OwnedFd>, Error> {
        let state = lock(&self.state);
        let entrance = state.container.as_ref().and_then(|(container, _)| container.init_entrance());
        let copy = entrance.map(|directory| directory.try_clone_to_owned()).transpose();
        copy.map_err(|error| Error::SendRequest { errno: crate::error::errno(&error) })
    }

    /// Init is there, with this identity.
    pub(crate) fn set_init(&self, pid: u32, identity: Identity) -> Result<(), Error> {
        let mut state = lock(&self.state);
        state.init = i32::try_from(pid).ok();
        let Some((container, _)) = &state.container else { return Ok(()) };
        // Our own may write what we have made.
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        if (identity.uid, identity.gid) == (uid, gid) {
            return Ok(());
        }
        container.grant(identity.uid, identity.gid).map_err(Error::MakeCgroup)
    }

    /// Whether these are CPUs that a run can be limited to.
    pub(crate) fn check_cpus(&self, limits: &Limits) -> Result<(), Error> {
        match (&limits.cpus, &self.cpus) {
            (Some(wanted), Some(there)) if !wanted.is_subset(there) => {
                Err(Error::UseCpus { wanted: wanted.to_string(), available: there.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// A free group with these limits set, for a program with this filter; `None` if there is none.
    pub(crate) fn take(
        &self,
        limits: &hotcell_cgroup::Limits,
        filter: u32,
        filters: &Filters,
    ) -> Result<Option<Lease>, Error> {
        let free = lock(&self.state).free.pop();
        free.map(|numbered| self.begin(numbered, limits, filter, filters)).transpose()
    }

    /// Sets the limits of a run in a group.
    pub(crate) fn begin(
        &self,
        mut numbered: BoxedGroup,
        limits: &hotcell_cgroup::Limits,
        filter: u32,
        filters: &Filters,
    ) -> Result<Lease, Error> {
        numbered.admit(filter, filters);
        match numbered.group.begin(limits) {
            Ok(()) => Ok(Lease { numbered }),
            Err(error) => {
                // It is as it was, or gets other limits set by the next.
                self.put(numbered);
                Err(Error::MakeCgroup(error))
            }
        }
    }

    /// Another group, which init has to be told of before anything else is done with it.
    /// Its first programs are expected to have this filter.
    pub(crate) fn make(&self, filter: u32) -> Result<(BoxedGroup, Introduction), Error> {
        let mut state = lock(&self.state);
        let Some(init) = state.init else { return Err(Error::UseEarly) };
        let Some((container, _)) = &state.container else { return Err(Error::KeepContainer) };
        let mut group = container.group().map_err(Error::MakeCgroup)?;
        group.set_resident(Some(init));
        let number = state.next;
        state.next = number.wrapping_add(1);
        drop(state);
        let introduction = introduce(number, &group)?;
        Ok((Box::new(Numbered { number, group, filters: vec![filter] }), introduction))
    }

    /// Has a group ready for the next run. It is dropped if the container is gone.
    pub(crate) fn put(&self, numbered: BoxedGroup) {
        let mut state = lock(&self.state);
        if state.container.is_some() {
            state.free.push(numbered);
        }
    }

    /// Whether a run with limits would find one.
    pub(crate) fn has_free(&self) -> bool {
        !lock(&self.state).free.is_empty()
    }

    /// Takes a free group away, because init could not make use of it.
    pub(crate) fn withdraw(&self, number: u32) -> Option<BoxedGroup> {
        let mut state = lock(&self.state);
        let index = state.free.iter().position(|numbered| numbered.number == number)?;
        Some(state.free.swap_remove(index))
    }

    /// The container is gone: whatever it had is removed by the housekeeper, with the groups that runs were in.
    pub(crate) fn end(&self, leased: Vec<BoxedGroup>) {
        let mut state = lock(&self.state);
        let Some(container) = state.container.take() else { return };
        let mut groups = std::mem::take(&mut state.free);
        groups.extend(leased);
        drop(state);
        hand_over(Job::Bury(Box::new(Remains { groups, container: Some(container) })));
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.end(Vec::new());
    }
}

impl Numbered {
    /// Before a run with this filter: who clones it counts as a process on v1, and so do those that cloned others.
    fn admit(&mut self, filter: u32, filters: &Filters) {
        if self.filters != [filter] {
            self.filters.retain(|known| *known == 0 || filters.knows(*known));
            if !self.filters.contains(&filter) {
                self.filters.push(filter);
            }
        }
        self.group.set_resident_threads(self.filters.len() as u64);
    }

    /// What its last run used, and whether another may have it.
    pub(crate) fn finish(&mut self, killed: bool) -> (Option<hotcell_cgroup::Usage>, bool) {
        let usage = self.group.usage().ok();
        // Init has reaped everybody.
        let reusable = !killed && matches!(self.group.reuse_emptied(), Ok(Reuse::Yes));
        (usage, reusable)
    }

    /// For init, with what the counters say now.
    pub(crate) fn as_run_group(&self) -> RunGroup {
        let (cpu_base_us, oom_base) = self.group.start_counts();
        // Some pages: a group with more in it serves no other run.
        let memory_base_bytes = self.group.start_memory_bytes().try_into().unwrap_or(u32::MAX);
        RunGroup { group: self.number, cpu_base_us, oom_base, memory_base_bytes }
    }
}

impl Remains {
    /// Removes everything. What cannot be removed yet is looked at again when the parent makes or loses another container.
    pub(super) fn bury(self) {
        let Self { groups, container } = self;
        drop(groups);
        if let Some((container, tenancy)) = container {
            let _ = container.destroy(BURY_WITHIN);
            drop(tenancy);
        }
    }
}

/// In the order that [`protocol::RequestBody::AddGroup`] gives.
fn introduce(group_number: u32, group: &Group) -> Result<Introduction, Error> {
    let failed = |error: std::io::Error| Error::SendRequest { errno: crate::error::errno(&error) };
    let entrance = group.entrance();
    let instruments = group.instruments().map_err(Error::MakeCgroup)?;
    let mut descriptors = Vec::new();
    for tasks in &entrance.v1 {
        descriptors.push(tasks.try_clone_to_owned().map_err(failed)?);
    }
    let mut files = GroupFiles { v1_tasks: entrance.v1.len() as u8, ..GroupFiles::default() };
    if let Some(directory) = entrance.v2 {
        files.v2_directory = true;
        descriptors.push(directory.try_clone_to_owned().map_err(failed)?);
    }
    files.v2_kill = instruments.kill.is_some();
    descriptors.extend(instruments.kill);
    if let Some((counter, kind)) = instruments.cpu {
        files.cpu = Some(match kind {
            CpuCounter::Nanoseconds => protocol::CpuCounter::Nanoseconds,
            CpuCounter::Stat => protocol::CpuCounter::Stat,
        });
        descriptors.push(counter);
    }
    files.oom_kills = instruments.oom_kills.is_some();
    descriptors.extend(instruments.oom_kills);
    files.memory = instruments.memory.is_some();
    descriptors.extend(instruments.memory);
    if let Some((counter, has_own)) = instruments.processes {
        files.processes = Some(has_own);
        descriptors.push(counter);
    }
    Ok(Introduction { group: group_number, files, descriptors })
}
