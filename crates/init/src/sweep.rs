//! Ending what a run leaves behind.
//!
//! Runs in pid 1, to which every process of the container is reparented when its parent ends. A container with no other run
//! needs nothing of this: `kill(-1)` reaches all at once, and no fork escapes it.
//!
//! Runs that overlap have to be told apart. Each has a UTS namespace that no other run in flight has (pid 1 takes a new one before
//! it clones; that costs a few microseconds, and changes nothing that a program sees), and that namespace is its **tag**: every
//! descendant inherits it, and leaving it takes CAP_SYS_ADMIN, which no program has or can get. It is known before the first
//! instruction of the run. So whatever carries the tag of no run that goes on has no business to be there.
//!
//! Killing one by one can be outrun by forking. After a few rounds everything in the container gets SIGSTOP at once, which no
//! fork escapes either, then the strangers are killed, and the others continue, as soon as all have stopped (see [`Thaw`] for why). Nothing here waits for a process to end: one that is
//! traced by a sibling is reaped when that one is gone, and a zombie does no harm.

use crate::watch::processes;
use hotcell_linux::{directory, file, process};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

/// How many rounds of killing one by one come before stopping everybody.
pub const GENTLE_ROUNDS: u32 = 3;

/// How long to wait for all to stop, and how long between two looks, in microseconds.
const STOP_US: u64 = 2_000;
const LOOK_US: u64 = 100;
/// Of [`Thaw`], in microseconds.
const FIRST_PAUSE_US: u64 = 1_000;
const LAST_PAUSE_US: u64 = 2_048_000;

/// How processes of a run are told from others': what /proc/PID/ns/uts says, `uts:[inode]`.
pub type Tag = Vec<u8>;

/// The tag of a process; `None` for one that has ended, and for one that even we may not look at.
///
/// A process whose first thread has ended goes on with the others, and says only by them where it is.
pub fn tag(proc: BorrowedFd<'_>, pid: i32) -> Option<Tag> {
    let read = |path: String| file::readlinkat(proc, &CString::new(path).ok()?).ok();
    read(format!("{pid}/ns/uts")).or_else(|| {
        let threads = CString::new(format!("{pid}/task")).ok()?;
        let threads = file::openat(proc, &threads, libc::O_RDONLY | libc::O_DIRECTORY, 0).ok()?;
        let names = directory::entries(threads.as_fd(), usize::MAX).ok()?;
        names.iter().find_map(|thread| read(format!("{pid}/task/{}/ns/uts", thread.to_str().ok()?)))
    })
}

/// The tag of what a thread of pid 1 clones.
pub fn thread_tag(proc: BorrowedFd<'_>, thread: i32) -> Option<Tag> {
    file::readlinkat(proc, &CString::new(format!("1/task/{thread}/ns/uts")).ok()?).ok()
}

/// Whether pid 1 has a child that is no run's main process: without one there is no stranger at all, because every stranger has
/// an ancestor among them. Children of other threads of pid 1 are all main processes. `None` where the kernel does not list
/// children (CONFIG_PROC_CHILDREN).
pub fn has_orphans(proc: BorrowedFd<'_>, is_main: impl Fn(i32) -> bool) -> Option<bool> {
    let list = file::openat(proc, c"1/task/1/children", libc::O_RDONLY, 0).ok()?;
    let mut text = String::new();
    std::fs::File::from(list).read_to_string(&mut text).ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).any(|pid: i32| !is_main(pid)))
}

/// Kills every process that this holds for, by its tag, but for `spared` ones (supervisors, which have pid 1's tag); says how many there
/// were. With `freeze` nobody runs meanwhile, and who may have to be continued once more is left to that.
pub fn kill_if(proc: &impl AsFd, freeze: Option<&mut Thaw>, spared: &[i32], condemned: impl Fn(&Tag) -> bool) -> usize {
    if freeze.is_some() {
        let _ = process::kill(-1, libc::SIGSTOP);
    }
    let mut killed = Vec::new();
    for pid in processes(proc) {
        if !spared.contains(&pid) && tag(proc.as_fd(), pid).is_some_and(|tag| condemned(&tag)) {
            killed.push(pid);
            let _ = process::kill(pid, libc::SIGKILL);
        }
    }
    if let Some(thaw) = freeze {
        if !have_stopped(proc, &killed) {
            thaw.begin(process::monotonic_us());
        }
        let _ = process::kill(-1, libc::SIGCONT);
    }
    killed.len()
}

/// Waits a moment until all processes but these have stopped; whether they have.
fn have_stopped(proc: &impl AsFd, but: &[i32]) -> bool {
    let began_us = process::monotonic_us();
    loop {
        if processes(proc).into_iter().filter(|pid| !but.contains(pid)).all(|pid| has_stopped(proc.as_fd(), pid)) {
            return true;
        }
        if process::monotonic_us().saturating_sub(began_us) > STOP_US {
            return false;
        }
        thread::sleep(Duration::from_micros(LOOK_US));
    }
}

/// Whether each thread of a process is stopped, or has ended.
fn has_stopped(proc: BorrowedFd<'_>, pid: i32) -> bool {
    let read = |path: String| {
        let stat = file::openat(proc, &CString::new(path).ok()?, libc::O_RDONLY, 0).ok()?;
        let mut text = Vec::new();
        std::fs::File::from(stat).read_to_end(&mut text).ok()?;
        state(&text)
    };
    let is_still = |state: Option<u8>| state.is_none_or(|state| b"TtZXx".contains(&state));
    if !is_still(read(format!("{pid}/stat"))) {
        return false;
    }
    let tasks = CString::new(format!("{pid}/task")).ok();
    let Some(Ok(tasks)) = tasks.map(|path| file::openat(proc, &path, libc::O_RDONLY | libc::O_DIRECTORY, 0)) else {
        return true;
    };
    let threads = directory::entries(tasks.as_fd(), usize::MAX).unwrap_or_default();
    let mut threads = threads.iter().filter_map(|name| name.to_str().ok()?.parse::<i32>().ok());
    threads.all(|thread| thread == pid || is_still(read(format!("{pid}/task/{thread}/stat"))))
}

/// The letter of /proc/PID/stat (proc_pid_stat(5)). The name before it may have any character.
fn state(stat: &[u8]) -> Option<u8> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(behind_name + 2).copied()
}

/// SIGCONT, some more times.
///
/// A process that is in the middle of fork(2) when SIGSTOP goes to all has a child that is born stopped (so no fork escapes). When SIGCONT follows
/// before that fork is through, the child should be spared, but is not: a signal that is ignored by default is dropped before the kernel
/// takes note of it for children that are not there yet (Linux 6.18, `__send_signal_locked`). A processor that is busy is enough for that. So
/// there is no SIGCONT before all have stopped, and where that takes too long (a process can be kept from stopping, by vfork(2) for one) it is sent
/// again later.
#[derive(Debug, Default)]
pub struct Thaw {
    next_us: Option<u64>,
    pause_us: u64,
}

impl Thaw {
    /// Somebody may be born stopped from now on.
    pub const fn begin(&mut self, now_us: u64) {
        self.pause_us = FIRST_PAUSE_US;
        self.next_us = Some(now_us + FIRST_PAUSE_US);
    }

    /// When it is due; `u64::MAX` for never.
    pub fn next_us(&self) -> u64 {
        self.next_us.unwrap_or(u64::MAX)
    }

    /// Whether it is; then the next time comes after twice as long, until it is enough.
    pub fn is_due(&mut self, now_us: u64) -> bool {
        if now_us < self.next_us() {
            return false;
        }
        self.pause_us *= 2;
        self.next_us = (self.pause_us <= LAST_PAUSE_US).then_some(now_us + self.pause_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_stands_behind_the_name() {
        assert_eq!(state(b"7753 (behave) T 7668 7684"), Some(b'T'));
        assert_eq!(state(b"1 (a) R (b) S) Z 1 1"), Some(b'Z'));
        assert_eq!((state(b""), state(b"1 (a)")), (None, None));
    }

    #[test]
    fn it_is_tried_again_after_longer_and_longer_pauses_and_then_no_more() {
        let mut thaw = Thaw::default();
        assert!(!thaw.is_due(u64::MAX - 1));
        thaw.begin(5);
        let mut times = Vec::new();
        while thaw.next_us() < u64::MAX {
            let now = thaw.next_us();
            assert!(!thaw.is_due(now - 1));
            assert!(thaw.is_due(now));
            times.push(now - 5);
        }
        assert_eq!(times.first(), Some(&FIRST_PAUSE_US));
        assert!(times.last().is_some_and(|last| *last > LAST_PAUSE_US && *last < 3 * LAST_PAUSE_US));
        assert_eq!(times.len(), 12);
    }

    #[test]
    fn who_runs_has_not_stopped() {
        let proc = std::fs::File::open("/proc").unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(!has_stopped(proc.as_fd(), pid));
        process::kill(pid, libc::SIGSTOP).unwrap();
        while !has_stopped(proc.as_fd(), pid) {
            thread::yield_now();
        }
        process::kill(pid, libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(has_stopped(proc.as_fd(), pid), "who is gone does not run");
    }
}
