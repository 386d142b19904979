//! Killing everything in a cgroup, so that no fork outruns it.
//!
//! Runs in the host process. Where there is `cgroup.kill` (v2, Linux 5.14) it is one write. Elsewhere forking is ended first: by a
//! limit of no processes at all (pids), else by stopping everybody (the freezer). Then each process gets SIGKILL, and we wait for them.
//! The limit comes first because the freezer leaves traces: should we be killed between stopping and killing, what is frozen on v1
//! cannot even die with its container until somebody thaws it.
//!
//! A pid is a number that may belong to somebody else by the time a signal is sent. So pidfds are opened for what is listed, the
//! list is read once more, and only who is still in it gets the signal: whoever had the number when the pidfd was opened is then
//! either a member, or gone.

use crate::directory::Directory;
use crate::error::{Error, errno};
use crate::name;
use crate::usage::{keyed, pids};
use hotcell_linux::pidfd;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Processes that are killed and waited for at once, each with a descriptor.
const BATCH: usize = 64;

/// The longest single wait: a fork that was under way shows up in no event, only in the next list.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long processes get to stop.
const FREEZE_WITHIN: Duration = Duration::from_millis(500);

/// `cgroup.kill`; false where the kernel has none.
pub fn kill_v2(directory: &Directory) -> Result<bool, Error> {
    match directory.write(c"cgroup.kill", "1") {
        Ok(()) => Ok(true),
        Err(error) if matches!(errno(&error), libc::ENOENT | libc::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(Error::Kill { path: directory.path().to_owned(), errno: errno(&error) }),
    }
}

/// Whether a cgroup of v2, and all below it, has no living process.
pub fn is_empty_v2(directory: &Directory) -> Result<bool, Error> {
    let path = || directory.path().join("cgroup.events");
    let text =
        directory.read(c"cgroup.events").map_err(|error| Error::ReadCounter { path: path(), errno: errno(&error) })?;
    keyed(&text, "populated").map(|populated| populated == 0).ok_or_else(|| Error::ParseCounter { path: path() })
}

/// Waits until a cgroup of v2, and all below it, has no living process. The event that `cgroup.events` raises then is up to ten
/// milliseconds late (the kernel raises no more than one in that time), so members are waited for by pidfd as long as any can be seen.
pub fn wait_empty_v2(directory: &Directory, within: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + within;
    let events = File::from(directory.open_file("cgroup.events", libc::O_RDONLY)?);
    let path = || directory.path().join("cgroup.events");
    loop {
        // An event is one since this open file was last read.
        let mut buffer = [0; 256];
        let length = events.read_at(&mut buffer, 0);
        let length = length.map_err(|error| Error::ReadCounter { path: path(), errno: errno(&error) })?;
        let text = buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        match text.and_then(|text| keyed(text, "populated")) {
            Some(0) => return Ok(()),
            Some(_) => {}
            None => return Err(Error::ParseCounter { path: path() }),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Empty { path: directory.path().to_owned(), milliseconds: within.as_millis() as u64 });
        }
        let mut seen = open_members(directory, None)?;
        for leaf in directory.names(|found| name::is_run(found) || found == name::INIT) {
            seen.extend(directory.enter(&leaf).and_then(|leaf| open_members(&leaf, None)).unwrap_or_default());
        }
        for (_, process) in &seen {
            wait_for(process, deadline);
        }
        if seen.is_empty() {
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
            let _ = poll(&mut fds, timeout(left.min(LOOK_AGAIN)));
        }
    }
}

/// Waits until a process is dead, for [`LOOK_AGAIN`] at most.
fn wait_for(process: &OwnedFd, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).min(LOOK_AGAIN);
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, timeout(left));
}

/// Kills the members of a cgroup one by one, until none is left but `spared`. Forking has to be impossible by now, or slow.
pub fn kill_members(directory: &Directory, spared: Option<i32>, within: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + within;
    loop {
        let batch = open_members(directory, spared)?;
        if batch.is_empty() && members(directory, spared)?.is_empty() {
            return Ok(());
        }
        let still = members(directory, spared)?;
        for (pid, process) in &batch {
            if still.contains(pid) {
                match pidfd::send_signal(process.as_fd(), libc::SIGKILL) {
                    Err(error) if errno(&error) != libc::ESRCH => {
                        return Err(Error::Kill { path: directory.path().to_owned(), errno: errno(&error) });
                    }
                    _ => {}
                }
            }
        }
        for (_, process) in &batch {
            wait_for(process, deadline);
        }
        if Instant::now() >= deadline {
            return Err(Error::Empty { path: directory.path().to_owned(), milliseconds: within.as_millis() as u64 });
        }
    }
}

/// The processes of a cgroup, without `spared`, as far as one read tells.
pub fn members(directory: &Directory, spared: Option<i32>) -> Result<Vec<i32>, Error> {
    let text = directory.read(c"cgroup.procs");
    let text =
        text.map_err(|error| Error::ReadCounter { path: directory.path().join("cgroup.procs"), errno: errno(&error) })?;
    let mut pids = pids(&text);
    pids.retain(|pid| Some(*pid) != spared);
    Ok(pids)
}

fn open_members(directory: &Directory, spared: Option<i32>) -> Result<Vec<(i32, OwnedFd)>, Error> {
    let open = |pid| match pidfd::open(pid) {
        Ok(process) => Some(Ok((pid, process))),
        // gone meanwhile
        Err(error) if matches!(errno(&error), libc::ESRCH | libc::EINVAL) => None,
        Err(error) => Some(Err(Error::Kill { path: directory.path().to_owned(), errno: errno(&error) })),
    };
    members(directory, spared)?.into_iter().filter_map(open).take(BATCH).collect()
}

/// How a cgroup's processes are stopped: the file, what to write, and the opposite.
pub struct Freezer {
    /// `freezer.state` or `cgroup.freeze`.
    pub file: &'static CStr,
    /// Stops.
    pub freeze: &'static str,
    /// Continues.
    pub thaw: &'static str,
    /// Where it says whether all are stopped, and the line that says so.
    frozen: (&'static CStr, &'static str),
}

/// The freezer of v1.
pub const FREEZER_V1: Freezer =
    Freezer { file: c"freezer.state", freeze: "FROZEN", thaw: "THAWED", frozen: (c"freezer.state", "FROZEN") };
/// That of v2, Linux 5.2.
pub const FREEZER_V2: Freezer =
    Freezer { file: c"cgroup.freeze", freeze: "1", thaw: "0", frozen: (c"cgroup.events", "frozen 1") };

/// Stops a cgroup's processes, sends SIGKILL to each, and continues them, which ends them. Goes on until none is left.
pub fn freeze_and_kill(
    directory: &Directory,
    freezer: &Freezer,
    spared: Option<i32>,
    within: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + within;
    let failed = |error: std::io::Error| Error::Kill { path: directory.path().to_owned(), errno: errno(&error) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let thaw = Thaw { directory, freezer };
        directory.write(freezer.file, freezer.freeze).map_err(failed)?;
        wait_frozen(directory, freezer, left.min(FREEZE_WITHIN));
        let listed = members(directory, spared)?;
        for pid in &listed {
            if let Ok(process) = pidfd::open(*pid) {
                let _ = pidfd::send_signal(process.as_fd(), libc::SIGKILL);
            }
        }
        drop(thaw);
        if listed.is_empty() {
            return Ok(());
        }
        if left.is_zero() {
            return Err(Error::Empty { path: directory.path().to_owned(), milliseconds: within.as_millis() as u64 });
        }
        for pid in &listed {
            if let Ok(process) = pidfd::open(*pid) {
                wait_for(&process, deadline);
            }
        }
    }
}

/// A process is stopped at its next return from the kernel, and a child that it forks before is stopped at birth. v1 raises no event
/// for it. Who does not stop for long is uninterruptible; the others are killed in the meantime.
fn wait_frozen(directory: &Directory, freezer: &Freezer, within: Duration) {
    let deadline = Instant::now() + within;
    let (file, line) = freezer.frozen;
    let is_frozen = || directory.read(file).is_ok_and(|text| text.lines().any(|found| found == line));
    while !is_frozen() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Continues what was stopped, on each way out.
struct Thaw<'a> {
    directory: &'a Directory,
    freezer: &'a Freezer,
}

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        let _ = self.directory.write(self.freezer.file, self.freezer.thaw);
    }
}

/// Rounded up, so that a wait is never a spin.
fn timeout(left: Duration) -> PollTimeout {
    let milliseconds = left.as_micros().div_ceil(1000).min(60_000) as i32;
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::ZERO)
}
