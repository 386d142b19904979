//! Run groups: the cgroups that programs are born in, as pid 1 knows them.
//!
//! The host makes them, sets their limits and reads what was used; init gets a few open files of each, by which it can put
//! programs there, count their CPU time while they run, see the OOM killer at work, and kill them all at once. It never opens a file of a cgroup
//! file system itself, and has none in its mount namespace.

use hotcell_linux::errno;
use hotcell_protocol::{CpuCounter, Failure, GroupFiles, Step};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// One group. Who clones programs into it is a slot, see [`crate::slots`].
pub struct Group {
    /// Its number.
    pub number: u32,
    tasks: Vec<OwnedFd>,
    directory: Option<OwnedFd>,
    cpu: Option<(File, CpuCounter)>,
    oom_kills: Option<File>,
    kill: Option<File>,
    memory: Option<File>,
    processes: Option<(File, bool)>,
}

impl Group {
    /// Of the descriptors that came beside the request.
    pub fn new(number: u32, files: GroupFiles, fds: Vec<OwnedFd>) -> Result<Self, Failure> {
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(|| Failure::new(Step::Request, libc::EBADF));
        let mut only = |wanted: bool| wanted.then(&mut next).transpose();
        let tasks = (0..files.v1_tasks).map(|_| only(true)).collect::<Result<Option<Vec<_>>, _>>()?;
        let directory = only(files.v2_directory)?;
        let kill = only(files.v2_kill)?.map(File::from);
        let cpu = only(files.cpu.is_some())?.map(File::from).zip(files.cpu);
        let oom_kills = only(files.oom_kills)?.map(File::from);
        let memory = only(files.memory)?.map(File::from);
        let processes = only(files.processes.is_some())?.map(File::from).zip(files.processes);
        Ok(Self { number, tasks: tasks.unwrap_or_default(), directory, cpu, oom_kills, kill, memory, processes })
    }

    /// How a thread gets in: a `tasks` file of each v1 hierarchy, and the directory on v2.
    pub fn entrance(&self) -> Result<(Vec<OwnedFd>, Option<OwnedFd>), Failure> {
        let failed = |error| Failure::new(Step::EnterGroup, errno(&error));
        let tasks = self.tasks.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>().map_err(failed)?;
        Ok((tasks, self.directory.as_ref().map(OwnedFd::try_clone).transpose().map_err(failed)?))
    }

    /// CPU time of everybody who was ever in it, in microseconds, if it counts that.
    pub fn cpu_us(&self) -> Option<u64> {
        let (file, counter) = self.cpu.as_ref()?;
        let text = read(file, &mut [0; 1024], |text| match counter {
            CpuCounter::Nanoseconds => number(text).map(|nanoseconds| nanoseconds / 1000),
            CpuCounter::Stat => keyed(text, "usage_usec "),
        });
        text.flatten()
    }

    /// The bytes of memory that are charged to it at the moment, if it counts them.
    pub fn memory_bytes(&self) -> Option<u64> {
        read(self.memory.as_ref()?, &mut [0; 64], number).flatten()
    }

    /// The processes and threads in it, if it counts them, without `own` of init's that live there.
    pub fn processes(&self, own: u64) -> Option<u64> {
        let (file, has_own) = self.processes.as_ref()?;
        let all = read(file, &mut [0; 64], number).flatten()?;
        Some(if *has_own { all.saturating_sub(own) } else { all })
    }

    /// How many processes the OOM killer has ended in it; `None` where somebody else looks after that.
    pub fn oom_kills(&self) -> Option<u64> {
        read(self.oom_kills.as_ref()?, &mut [0; 1024], |text| keyed(text, "oom_kill ")).flatten()
    }

    /// Whether it is told of OOM kills.
    pub fn sees_oom_kills(&self) -> bool {
        self.oom_kills.is_some()
    }

    /// Kills everybody in it, where the kernel can do that at once. It is of no use to later runs then.
    pub fn kill(&self) -> bool {
        self.kill.as_ref().is_some_and(|file| file.write_at(b"1", 0).is_ok())
    }
}

fn read<T>(file: &File, buffer: &mut [u8], parse: impl FnOnce(&str) -> T) -> Option<T> {
    let length = file.read_at(buffer, 0).ok()?;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    Some(parse(text))
}

fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

/// The number behind a key at the beginning of a line.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::keyed;

    #[test]
    fn counters_are_found_by_their_whole_key() {
        let stat = "usage_usec 1234\nuser_usec 1000\nnr_periods 0\n";
        assert_eq!(keyed(stat, "usage_usec "), Some(1234));
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(keyed(control, "oom_kill "), Some(7));
        assert_eq!(keyed("", "oom_kill "), None);
    }
}
