//! Ending what a run leaves behind.
//!
//! Runs in pid 1, to which every process of the container is reparented when its parent ends. A container with no other run
//! needs nothing of this: `kill(-1)` reaches all at once, and no fork escapes it.
//!
//! Runs that overlap have to be told apart. Each but one gets a UTS namespace of its own (which costs nothing measurable and
//! changes nothing that a program sees), and that namespace is its **tag**: every descendant inherits it, and to leave it takes
//! CAP_SYS_ADMIN, which no program has or can get. The one without is the run that carries init's tag.
//!
//! When a run's main process ends while others go on, its orphans are those children of pid 1 that carry its tag. Killing one makes
//! its children orphans in turn. A program that forks faster than this goes on is stopped: everything in the container gets
//! SIGSTOP at once, which no fork escapes either, then the tagged ones are killed to the last, and the others continue.

use hotcell_linux::{file, process};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

/// How many rounds of killing one by one come before stopping everybody.
pub const GENTLE_ROUNDS: u32 = 3;

/// The tag of a process: what /proc/PID/ns/uts says, `uts:[inode]`.
pub fn tag(proc: BorrowedFd<'_>, pid: &str) -> Option<Vec<u8>> {
    let path = CString::new(format!("{pid}/ns/uts")).ok()?;
    file::readlinkat(proc, &path).ok()
}

/// The children of pid 1 that are no run's main process. `None` where the kernel does not list them (CONFIG_PROC_CHILDREN).
pub fn orphans(proc: BorrowedFd<'_>, is_main: impl Fn(i32) -> bool) -> Option<Vec<i32>> {
    let list = file::openat(proc, c"1/task/1/children", libc::O_RDONLY, 0).ok()?;
    let mut text = String::new();
    std::fs::File::from(list).read_to_string(&mut text).ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| !is_main(*pid)).collect())
}

/// Kills the orphans with this tag; says how many there were. Ended ones that are not reaped yet have no tag any more.
pub fn kill_tagged(proc: BorrowedFd<'_>, orphans: &[i32], tag_of_run: &[u8]) -> Vec<i32> {
    let tagged = |pid: &&i32| tag(proc, &pid.to_string()).as_deref() == Some(tag_of_run);
    let found: Vec<i32> = orphans.iter().filter(tagged).copied().collect();
    for pid in &found {
        let _ = process::kill(*pid, libc::SIGKILL);
    }
    found
}

/// Stops every process of the container, kills what carries this tag to the last, and lets the others continue.
pub fn freeze_and_kill(proc: &impl AsFd, is_main: impl Fn(i32) -> bool, tag_of_run: &[u8]) {
    let _ = process::kill(-1, libc::SIGSTOP);
    while let Some(orphans) = orphans(proc.as_fd(), &is_main) {
        let killed = kill_tagged(proc.as_fd(), &orphans, tag_of_run);
        if killed.is_empty() {
            break;
        }
        for pid in killed {
            process::wait_for(pid);
        }
    }
    let _ = process::kill(-1, libc::SIGCONT);
}
