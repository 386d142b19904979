//! A run group: where the programs of a container run, one run at a time.

use crate::backend::Backend;
use crate::container::Made;
use crate::controller::{Controller, Controllers};
use crate::error::Error;
use crate::limits::Limits;
use crate::usage::{CpuTime, Oom, OomCounts, Usage};
use crate::v1::V1;
use crate::v2::V2;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// How much memory may still be in a group for the next run to be limited and counted exactly: what the kernel keeps by the CPU
/// (up to 64 pages each) and in caches. It is added to the limit and taken from the peak.
const RESIDUE_MAX: u64 = 1 << 20;

/// By how much a limit may be above what was asked for: what is left is rounded up to a multiple of it, because it is another number
/// after each run, and the limit would have to be written each time.
const RESIDUE_STEP: u64 = 512 << 10;

/// A run group. Files are opened at their first use and kept.
#[derive(Debug)]
pub struct Group {
    v1: Option<V1>,
    v2: Option<V2>,
    start: Start,
    /// What [`Self::usage`] and [`Self::reuse`] have read, as long as nothing has happened since.
    known: Option<Known>,
    killed: bool,
    _made: Made,
}

/// How a program gets into a group.
#[derive(Debug)]
pub struct Entrance<'a> {
    /// For `CLONE_INTO_CGROUP`.
    pub v2: Option<BorrowedFd<'a>>,
    /// For the thread that will clone: it writes `0` to each, once, and so do its children get there.
    pub v1: Vec<BorrowedFd<'a>>,
}

/// Open files of a group, by which somebody without a cgroup file system can look after a run.
#[derive(Debug)]
pub struct Instruments {
    /// CPU time of everybody who was ever in it.
    pub cpu: Option<(OwnedFd, CpuCounter)>,
    /// `cgroup.kill`, open for writing. See [`Reuse::Killed`].
    pub kill: Option<OwnedFd>,
    /// `memory.oom_control` of v1, with a line `oom_kill N`: there the OOM killer ends one process, and somebody has to end the rest.
    pub oom_kills: Option<OwnedFd>,
    /// Bytes in use: `memory.usage_in_bytes`, `memory.current`.
    pub memory: Option<OwnedFd>,
    /// Processes and threads: `pids.current`; and whether the threads that entered to clone are among them.
    pub processes: Option<(OwnedFd, bool)>,
}

/// How a counter of CPU time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuCounter {
    /// `cpuacct.usage`: nanoseconds.
    Nanoseconds,
    /// `cpu.stat`: a line `usage_usec N`.
    Stat,
}

/// Whether a group is as good as new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Yes.
    Yes,
    /// Processes are left.
    Occupied,
    /// It was killed by `cgroup.kill`. Since Linux 6.14 (and the stable releases that took over the fix of a race) what is cloned into
    /// such a group is killed at birth: clone3 compares the group's count of kills with that of the group it is *called* in.
    Killed,
    /// Memory is left: files of the last run on a tmpfs, or file pages that it was the first to read. They would be counted against
    /// the next run, or be freed at its cost.
    Residue {
        /// How much.
        bytes: u64,
    },
    /// The peak of memory cannot be reset (before Linux 6.12), and was moved by a run.
    Peak,
}

/// The counters at the beginning of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    residue: u64,
    /// The peak so far, if it could not be reset.
    lasting_peak: Option<u64>,
    cpu: CpuTime,
    counts: Counts,
}

/// Counters that nothing but a run moves.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    oom: OomCounts,
    processes_peak: Option<u64>,
    refused: u64,
}

/// What is known at the end of a run.
#[derive(Debug, Clone, Copy)]
struct Known {
    counts: Counts,
    /// v2 only: on v1 the thread that clones is counted, too.
    cpu: Option<CpuTime>,
    residue: Option<u64>,
}

impl Group {
    pub(crate) fn new(v1: Option<V1>, v2: Option<V2>, made: Made) -> Self {
        Self { v1, v2, start: Start::default(), known: None, killed: false, _made: made }
    }

    /// What can be limited and counted.
    pub fn controllers(&self) -> Controllers {
        let v1 = self.v1.as_ref().map_or(Controllers::NONE, Backend::controllers);
        self.v2.as_ref().map_or(v1, |v2| v1.or(v2.controllers()))
    }

    /// How programs get in.
    pub fn entrance(&self) -> Entrance<'_> {
        let v1 = self.v1.iter().flat_map(V1::tasks).collect();
        Entrance { v2: self.v2.as_ref().map(V2::entrance), v1 }
    }

    /// What init needs in order to look after a run: opened anew, for it alone.
    pub fn instruments(&self) -> Result<Instruments, Error> {
        let v1 = self.v1.as_ref();
        let cpu = match (&self.v2, v1) {
            (Some(v2), _) => Some((v2.open_cpu_counter()?, CpuCounter::Stat)),
            (None, Some(v1)) => v1.open_cpu_counter()?.map(|file| (file, CpuCounter::Nanoseconds)),
            (None, None) => None,
        };
        let kill = self.v2.as_ref().map_or(Ok(None), V2::open_kill)?;
        // On v2 an OOM kill takes the whole group.
        let memory_on_v2 = self.v2.as_ref().is_some_and(|v2| v2.controllers().has(Controller::Memory));
        let oom_kills = if memory_on_v2 { None } else { v1.map_or(Ok(None), V1::open_oom_control)? };
        let memory = match &self.v2 {
            Some(v2) if memory_on_v2 => Some(v2.open_memory_counter()?),
            _ => v1.map_or(Ok(None), V1::open_memory_counter)?,
        };
        let processes = match &self.v2 {
            Some(v2) if v2.controllers().has(Controller::Pids) => Some((v2.open_process_counter()?, false)),
            _ => v1.map_or(Ok(None), V1::open_process_counter)?.map(|file| (file, true)),
        };
        Ok(Instruments { cpu, kill, oom_kills, memory, processes })
    }

    /// What the counters said at [`Self::begin`]: microseconds of CPU time, and processes that the OOM killer had ended.
    pub fn start_counts(&self) -> (u64, u64) {
        (self.start.cpu.total_us, self.start.counts.oom.kills)
    }

    /// The bytes of memory that were in it at [`Self::begin`].
    pub fn start_memory_bytes(&self) -> u64 {
        self.start.residue
    }

    /// v1: the process one thread of which entered to clone programs. It is never killed, and is not one of the processes of a run.
    pub fn set_resident(&mut self, pid: Option<i32>) {
        if let Some(v1) = &mut self.v1 {
            v1.set_resident(pid);
        }
    }

    /// How many threads of the resident have entered: one, unless this says otherwise. To be said before [`Self::begin`].
    pub fn set_resident_threads(&mut self, threads: u64) {
        if let Some(v1) = &mut self.v1
            && v1.set_resident_threads(threads)
        {
            // What was read was without those of before.
            self.known = None;
        }
    }

    /// The half that has this controller.
    fn half(&mut self, controller: Controller) -> Option<&mut dyn Backend> {
        match (&mut self.v2, &mut self.v1) {
            (Some(v2), _) if v2.controllers().has(controller) => Some(v2),
            (_, Some(v1)) if v1.controllers().has(controller) => Some(v1),
            _ => None,
        }
    }

    /// The half that knows who is in it most reliably.
    fn members(&mut self) -> Option<&mut dyn Backend> {
        match (&mut self.v2, &mut self.v1) {
            (Some(v2), _) => Some(v2),
            (None, Some(v1)) => Some(v1),
            (None, None) => None,
        }
    }

    fn limiting(&mut self, controller: Controller) -> Result<&mut dyn Backend, Error> {
        let available = self.controllers();
        self.half(controller).ok_or(Error::UseController { controller, available })
    }

    /// Before a run: sets its limits, as far as they differ from those of the last one, and has all counters start from here. Asking
    /// for a limit without its controller is an error, nothing is dropped in silence.
    pub fn begin(&mut self, limits: &Limits) -> Result<(), Error> {
        let known = self.known.take();
        let residue = match (known.and_then(|known| known.residue), self.half(Controller::Memory)) {
            (Some(residue), _) => residue,
            (None, Some(half)) => half.memory_current()?.unwrap_or(0),
            (None, None) => 0,
        };
        self.apply(limits, residue.next_multiple_of(RESIDUE_STEP))?;
        let mut start = Start { residue, ..Start::default() };
        if let Some(half) = self.half(Controller::Memory)
            && !half.reset_memory_peak()?
        {
            start.lasting_peak = half.memory_peak()?;
        }
        start.counts = known.map_or_else(|| self.counts(), |known| Ok(known.counts))?;
        start.cpu = match (known.and_then(|known| known.cpu), self.half(Controller::CpuAcct)) {
            (Some(cpu), _) => cpu,
            (None, Some(half)) => half.cpu_time()?.unwrap_or_default(),
            (None, None) => CpuTime::default(),
        };
        self.start = start;
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        if let Some(half) = self.half(Controller::Memory) {
            counts.oom = half.oom()?;
        }
        if let Some(half) = self.half(Controller::Pids) {
            counts.processes_peak = half.processes_peak()?;
            counts.refused = half.processes_refused()?;
        }
        Ok(counts)
    }

    /// What is left in the group from before is no part of the run's memory.
    fn apply(&mut self, limits: &Limits, residue: u64) -> Result<(), Error> {
        match limits.memory_bytes {
            Some(bytes) => self.limiting(Controller::Memory)?.set_memory(Some(bytes.saturating_add(residue)))?,
            None => self.half(Controller::Memory).map_or(Ok(()), |half| half.set_memory(None))?,
        }
        match limits.processes {
            Some(most) => self.limiting(Controller::Pids)?.set_processes(Some(most))?,
            None => self.half(Controller::Pids).map_or(Ok(()), |half| half.set_processes(None))?,
        }
        match limits.cpu {
            Some(quota) => self.limiting(Controller::Cpu)?.set_cpu(Some(quota))?,
            None => self.half(Controller::Cpu).map_or(Ok(()), |half| half.set_cpu(None))?,
        }
        match &limits.cpus {
            Some(cpus) => self.limiting(Controller::CpuSet)?.set_cpus(Some(cpus))?,
            None => self.half(Controller::CpuSet).map_or(Ok(()), |half| half.set_cpus(None))?,
        }
        Ok(())
    }

    /// CPU time since [`Self::begin`], cheap enough to be asked for again and again. 0 where nothing counts it.
    pub fn cpu_usage_us(&mut self) -> Result<u64, Error> {
        let start = self.start.cpu.total_us;
        let Some(half) = self.half(Controller::CpuAcct) else { return Ok(0) };
        Ok(half.cpu_usage_us()?.unwrap_or(0).saturating_sub(start))
    }

    /// What was used since [`Self::begin`].
    pub fn usage(&mut self) -> Result<Usage, Error> {
        let start = self.start;
        let mut usage = Usage::default();
        let counts_on_v2 = self.v2.is_some();
        let cpu = match self.half(Controller::CpuAcct) {
            Some(half) => half.cpu_time()?,
            None => None,
        };
        usage.cpu = cpu.map(|cpu| cpu.since(start.cpu));
        if let Some(half) = self.half(Controller::Memory) {
            // A peak that was not moved is that of some earlier run.
            let moved = |peak: &u64| start.lasting_peak.is_none_or(|before| *peak > before);
            let peak = half.memory_peak()?.filter(moved);
            usage.memory_peak_bytes = peak.map(|peak| peak.saturating_sub(start.residue));
            usage.memory_charged_bytes = peak;
        }
        let counts = self.counts()?;
        usage.oom = self.blame(counts.oom.since(start.counts.oom))?;
        usage.processes_peak =
            counts.processes_peak.filter(|peak| start.counts.processes_peak.is_none_or(|before| *peak > before));
        usage.processes_refused = counts.refused.saturating_sub(start.counts.refused);
        self.known = Some(Known { counts, cpu: cpu.filter(|_| counts_on_v2), residue: None });
        Ok(usage)
    }

    /// Whether the OOM killer was at work since [`Self::begin`]: on v1 it kills one process only, and the others go on.
    pub fn oom(&mut self) -> Result<Option<Oom>, Error> {
        let start = self.start.counts.oom;
        let found = self.half(Controller::Memory).map_or(Ok(None), |half| Ok(half.oom()?.since(start)))?;
        self.blame(found)
    }

    /// On whose account it was, where the counts do not tell.
    fn blame(&mut self, found: Option<Oom>) -> Result<Option<Oom>, Error> {
        if found != Some(Oom::Outside) {
            return Ok(found);
        }
        let at_limit = self.half(Controller::Memory).map_or(Ok(false), |half| half.peak_at_limit())?;
        Ok(Some(if at_limit { Oom::Limit } else { Oom::Outside }))
    }

    /// Kills every process in it, however fast they fork, and waits until all are dead (not until their parents reaped them: so long
    /// they count as processes). Nothing is done if there is none. Otherwise the group is not good for another run on v2, see
    /// [`Reuse::Killed`]; on v1 nothing can be forked in it until the next [`Self::begin`].
    pub fn kill(&mut self, within: Duration) -> Result<(), Error> {
        if self.is_empty()? {
            return Ok(());
        }
        self.known = None;
        self.killed |= self.v2.is_some();
        self.members().map_or(Ok(()), |half| half.kill(within))
    }

    /// Whether there is no process in it.
    pub fn is_empty(&mut self) -> Result<bool, Error> {
        self.members().map_or(Ok(true), |half| half.is_empty())
    }

    /// After a run, off the hot path: whether the next one can have this group. If not, drop it and make another.
    pub fn reuse(&mut self) -> Result<Reuse, Error> {
        if self.is_empty()? { self.reuse_emptied() } else { Ok(Reuse::Occupied) }
    }

    /// The same, for those who know that its last process is gone.
    pub fn reuse_emptied(&mut self) -> Result<Reuse, Error> {
        if self.killed {
            return Ok(Reuse::Killed);
        }
        let lasting = self.start.lasting_peak;
        let Some(half) = self.half(Controller::Memory) else { return Ok(Reuse::Yes) };
        let bytes = half.memory_current()?.unwrap_or(0);
        if bytes > RESIDUE_MAX {
            return Ok(Reuse::Residue { bytes });
        }
        let moved = lasting.is_some() && half.memory_peak()? > lasting;
        if let Some(known) = &mut self.known {
            known.residue = Some(bytes);
        }
        Ok(if moved { Reuse::Peak } else { Reuse::Yes })
    }
}
