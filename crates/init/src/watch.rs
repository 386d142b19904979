//! The limits of a run that have no counterpart in the kernel: wall time, CPU time of a whole tree, and without cgroups memory.
//!
//! Runs in pid 1, which is ahead of the programs (`launcher`) and sees their ends, so neither JavaScript nor the host's reactor has to
//! get a turn for a limit to hold. Nothing is looked at before it can have been exceeded: a program on `n` processors uses at most
//! `n` microseconds of CPU time in one, so the next look at a run with `r` left comes after `r / n`, and after [`LEAST_US`] at the earliest. A run that
//! stays far from its limits costs a handful of looks. Looks that are expensive (the sum over a tree of processes) are spaced so that they take
//! at most one part in [`LOOK_PART`] of the time.
//!
//! A limit is exceeded when more was used than it says; exactly as much is none.

use crate::groups::Group;
use hotcell_linux::process::{self, monotonic_us};
use hotcell_linux::{directory, file};
use hotcell_protocol::{Disallowed, RunGroup, RunLimits, Sample};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

/// The shortest time between two looks.
const LEAST_US: u64 = 1000;
/// How often memory is looked at where nobody tells.
const MEMORY_US: u64 = 5000;
/// How often the OOM killer's count is looked at: it matters for those of a run that it has left alive.
const OOM_US: u64 = 10_000;
/// See the module's documentation.
pub const LOOK_PART: u64 = 20;

/// What was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// [`RunLimits::wall_us`].
    WallTime,
    /// [`RunLimits::cpu_us`].
    CpuTime,
    /// [`RunLimits::memory_bytes`].
    Memory,
    /// The OOM killer ended one of its processes. On whose account the host finds out.
    Oom,
    /// It made a call that its filter kills for.
    Syscall(Disallowed),
}

/// The limits of one run.
#[derive(Debug)]
pub struct Watch {
    limits: RunLimits,
    group: Option<RunGroup>,
    sees_oom_kills: bool,
    started_us: u64,
    /// How many CPUs it can keep busy.
    cpus: u64,
    /// When to look next.
    next_us: u64,
}

/// What the processes of a run use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// CPU time in microseconds: of living processes, and of the children that they have waited for.
    pub cpu_us: u64,
    /// Anonymous memory in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub threads: u64,
}

/// What of it is to be summed up: each costs a look at every process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// [`Sum::cpu_us`].
    pub cpu: bool,
    /// [`Sum::memory_bytes`].
    pub memory: bool,
    /// [`Sum::threads`].
    pub threads: bool,
}

impl Wanted {
    /// Whether there is anything to look for.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl Watch {
    /// Of a run that starts now.
    pub fn new(limits: RunLimits, group: Option<(RunGroup, &Group)>, started_us: u64, cpus: u32) -> Self {
        let mut watch = Self {
            limits,
            group: group.map(|(group, _)| group),
            sees_oom_kills: group.is_some_and(|(_, known)| known.sees_oom_kills()),
            started_us,
            cpus: cpus.into(),
            next_us: u64::MAX,
        };
        watch.plan(started_us, 0, 0);
        watch
    }

    /// When it has to be looked at, in microseconds of `CLOCK_MONOTONIC`; `u64::MAX` for never.
    pub fn next_us(&self) -> u64 {
        self.next_us
    }

    fn plan(&mut self, now: u64, cpu_used: u64, cost: u64) {
        let after = |us: u64| now.saturating_add(us.max(LEAST_US).max(cost.saturating_mul(LOOK_PART)));
        let wall = self.limits.wall_us.map(|limit| self.started_us.saturating_add(limit).saturating_add(1));
        let cpu = self.limits.cpu_us.map(|limit| after(limit.saturating_sub(cpu_used) / self.cpus));
        let memory = self.limits.memory_bytes.map(|_| after(MEMORY_US));
        let oom = self.sees_oom_kills.then(|| after(OOM_US));
        self.next_us = [wall, cpu, memory, oom].into_iter().flatten().min().unwrap_or(u64::MAX);
    }

    /// Looks. `reaped_us`: CPU time of descendants that pid 1 has reaped; `sum` sums up over the processes that live.
    pub fn look(&mut self, group: Option<&Group>, reaped_us: u64, sum: impl FnOnce(Wanted) -> Sum) -> Option<Breach> {
        let began = monotonic_us();
        let counted = group.and_then(Group::cpu_us);
        let cpu = self.limits.cpu_us.is_some() && counted.is_none();
        let wanted = Wanted { cpu, memory: self.limits.memory_bytes.is_some(), threads: false };
        let sampled = if wanted.is_any() { sum(wanted) } else { Sum::default() };
        let cpu_us = counted.map_or(sampled.cpu_us + reaped_us, |counted| self.since_start(counted));
        let oom_base = self.group.map_or(0, |group| group.oom_base);
        let exceeded = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
        // Where the clock runs while we look, the look counts.
        let now = monotonic_us();
        if exceeded(cpu_us, self.limits.cpu_us) {
            return Some(Breach::CpuTime);
        }
        if exceeded(sampled.memory_bytes, self.limits.memory_bytes) {
            return Some(Breach::Memory);
        }
        if group.and_then(Group::oom_kills).is_some_and(|kills| kills > oom_base) {
            return Some(Breach::Oom);
        }
        if exceeded(now.saturating_sub(self.started_us), self.limits.wall_us) {
            return Some(Breach::WallTime);
        }
        self.plan(now, cpu_us, now.saturating_sub(began));
        None
    }

    fn since_start(&self, counted_us: u64) -> u64 {
        counted_us.saturating_sub(self.group.map_or(0, |group| group.cpu_base_us))
    }

    /// What the run has used up to now, from the same sources, for [`crate::timeline`].
    /// `own`: threads of pid 1 that live in the group.
    pub fn sample(&self, group: Option<(&Group, u64)>, reaped_us: u64, sum: impl FnOnce(Wanted) -> Sum) -> Sample {
        let cpu = group.and_then(|(group, _)| group.cpu_us());
        let memory = group.and_then(|(group, _)| group.memory_bytes());
        let processes = group.and_then(|(group, own)| group.processes(own));
        let wanted = Wanted { cpu: cpu.is_none(), memory: memory.is_none(), threads: processes.is_none() };
        let sum = if wanted.is_any() { sum(wanted) } else { Sum::default() };
        let base = self.group.map_or(0, |group| group.memory_base_bytes);
        Sample {
            time_us: monotonic_us().saturating_sub(self.started_us),
            cpu_us: cpu.map_or(sum.cpu_us + reaped_us, |counted| self.since_start(counted)),
            memory_bytes: memory.map_or(sum.memory_bytes, |bytes| bytes.saturating_sub(base.into())),
            processes: processes.unwrap_or(sum.threads).try_into().unwrap_or(u32::MAX),
        }
    }

    /// No more looks.
    pub fn end(&mut self) {
        self.next_us = u64::MAX;
    }
}

/// Sums up what processes use.
pub fn sum(proc: BorrowedFd<'_>, pids: impl Iterator<Item = i32>, wanted: Wanted) -> Sum {
    let mut sum = Sum::default();
    for pid in pids {
        if wanted.cpu || wanted.threads {
            let mut buffer = [0; 1024];
            let stat = read(proc, pid, "stat", &mut buffer).and_then(Stat::parse).unwrap_or_default();
            let waited_for_us = stat.children_ticks.saturating_mul(1_000_000) / process::ticks_per_second();
            sum.cpu_us += process::cpu_time_us(pid).unwrap_or(0) + waited_for_us;
            sum.threads += stat.threads;
        }
        if wanted.memory {
            sum.memory_bytes += anonymous_bytes(proc, pid).unwrap_or(0);
        }
    }
    sum
}

/// Of proc_pid_stat(5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stat {
    /// CPU time of the children that the process has waited for, and theirs: cutime and cstime.
    children_ticks: u64,
    /// `num_threads`, which is 0 of a zombie.
    threads: u64,
}

impl Stat {
    /// The name may hold anything, so the fields are counted from its end.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13).map(str::parse::<u64>);
        let children_ticks = fields.next()?.ok()? + fields.next()?.ok()?;
        // Behind priority and nice, which may be negative.
        let threads = fields.nth(2)?.ok()?;
        Some(Self { children_ticks, threads })
    }
}

/// Resident, and neither of a file nor shared (proc_pid_statm(5)).
fn anonymous_bytes(proc: BorrowedFd<'_>, pid: i32) -> Option<u64> {
    let mut buffer = [0; 256];
    let text = read(proc, pid, "statm", &mut buffer)?;
    Some(anonymous_pages(text)? * process::page_bytes())
}

fn anonymous_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

fn read<'a>(proc: BorrowedFd<'_>, pid: i32, name: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let path = CString::new(format!("{pid}/{name}")).ok()?;
    let mut file = std::fs::File::from(file::openat(proc, &path, libc::O_RDONLY, 0).ok()?);
    let length = file.read(buffer).ok()?;
    std::str::from_utf8(buffer.get(..length)?).ok()
}

/// Every process but pid 1. The list may be stale by the time it is read; pids of ours to reap are not reused before.
pub fn processes(proc: &impl AsFd) -> Vec<i32> {
    let mut pids = Vec::new();
    let Ok(directory) = file::openat(proc.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0) else { return pids };
    while let Ok(names) = directory::entries(directory.as_fd(), 1024) {
        if names.is_empty() {
            break;
        }
        pids.extend(names.iter().filter_map(|name| name.to_str().ok()?.parse::<i32>().ok()).filter(|pid| *pid != 1));
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn(Wanted) -> Sum = |_| Sum::default();

    #[test]
    fn a_look_comes_when_a_limit_can_have_been_exceeded() {
        let limits = RunLimits { cpu_us: Some(100_000), wall_us: Some(1_000_000), ..RunLimits::default() };
        assert_eq!(Watch::new(limits, None, 500, 2).next_us(), 50_500);
        let slow = RunLimits { cpu_us: Some(100_000_000), ..limits };
        assert_eq!(Watch::new(slow, None, 500, 2).next_us(), 1_000_501);
        let tiny = RunLimits { cpu_us: Some(10), ..RunLimits::default() };
        assert_eq!(Watch::new(tiny, None, 500, 2).next_us(), 500 + LEAST_US);
        assert_eq!(Watch::new(RunLimits::default(), None, 500, 2).next_us(), u64::MAX);
    }

    #[test]
    fn exactly_as_much_is_no_breach() {
        let limits = RunLimits { cpu_us: Some(70), memory_bytes: Some(4096), ..RunLimits::default() };
        let mut watch = Watch::new(limits, None, monotonic_us(), 2);
        assert_eq!(watch.look(None, 30, |_| Sum { cpu_us: 40, memory_bytes: 4096, threads: 1 }), None);
        assert_eq!(watch.look(None, 31, |_| Sum { cpu_us: 40, ..Sum::default() }), Some(Breach::CpuTime));
        assert_eq!(watch.look(None, 0, |_| Sum { memory_bytes: 4097, ..Sum::default() }), Some(Breach::Memory));
    }

    #[test]
    fn wall_time_runs_whatever_the_program_does() {
        let limits = RunLimits { wall_us: Some(1000), ..RunLimits::default() };
        let started = monotonic_us() - 2000;
        assert_eq!(Watch::new(limits, None, started, 2).look(None, 0, NOTHING), Some(Breach::WallTime));
        assert_eq!(Watch::new(limits, None, monotonic_us() + 1000, 2).look(None, 0, NOTHING), None);
    }

    #[test]
    fn a_sample_of_a_run_without_a_group_is_the_sum_over_its_processes() {
        let started = monotonic_us() - 2000;
        let watch = Watch::new(RunLimits::default(), None, started, 2);
        let sample = watch.sample(None, 30, |wanted| {
            assert_eq!(wanted, Wanted { cpu: true, memory: true, threads: true });
            Sum { cpu_us: 40, memory_bytes: 4096, threads: 3 }
        });
        assert!(sample.time_us >= 2000);
        assert_eq!((sample.cpu_us, sample.memory_bytes, sample.processes), (70, 4096, 3));
    }

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "7 (a) R 9 (b) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 11 12 -20 0 3 0 99";
        assert_eq!(Stat::parse(stat), Some(Stat { children_ticks: 23, threads: 3 }));
        assert_eq!(Stat::parse("7 (a"), None);
        assert_eq!(anonymous_pages("100 70 20 1 0 30 0"), Some(50));
    }

    #[test]
    fn what_this_process_uses_is_seen() {
        let proc = file::openat(cwd(), c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0).unwrap();
        let own = std::process::id() as i32;
        let wanted = Wanted { cpu: true, memory: true, threads: true };
        let block = vec![1_u8; 32 << 20];
        let seen = sum(proc.as_fd(), [own].into_iter(), wanted);
        assert!(seen.cpu_us > 0);
        assert!(seen.threads > 0);
        assert!(seen.memory_bytes >= 32 << 20, "{}", seen.memory_bytes);
        assert!(processes(&proc).contains(&own));
        drop(block);
    }

    fn cwd() -> BorrowedFd<'static> {
        // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
        unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
    }
}
