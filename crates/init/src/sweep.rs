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
//! fork escapes either, then the strangers are killed, and the others continue. Nothing here waits for a process to end: one that is
//! traced by a sibling is reaped when that one is gone, and a zombie does no harm.

use crate::watch::processes;
use hotcell_linux::{directory, file, process};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

/// How many rounds of killing one by one come before stopping everybody.
pub const GENTLE_ROUNDS: u32 = 3;

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
/// were. With `freeze` nobody runs meanwhile.
pub fn kill_if(proc: &impl AsFd, freeze: bool, spared: &[i32], condemned: impl Fn(&Tag) -> bool) -> usize {
    if freeze {
        let _ = process::kill(-1, libc::SIGSTOP);
    }
    let mut killed = 0;
    for pid in processes(proc) {
        if !spared.contains(&pid) && tag(proc.as_fd(), pid).is_some_and(|tag| condemned(&tag)) {
            killed += 1;
            let _ = process::kill(pid, libc::SIGKILL);
        }
    }
    if freeze {
        let _ = process::kill(-1, libc::SIGCONT);
    }
    killed
}
