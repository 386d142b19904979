//! Processes as descriptors (pidfd_open(2), pidfd_send_signal(2); Linux 5.3).

use crate::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Sends a signal to the process that the descriptor stands for, never to one that has its number by now.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: without a siginfo the kernel touches no memory of ours.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) })?;
    Ok(())
}

/// A descriptor for a process, close-on-exec.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory involved.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Waits for a child to end and reaps it (waitid(2) with `P_PIDFD`, Linux 5.4). Children without an exit signal count.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        // SAFETY: with a null siginfo the kernel writes nothing.
        let result = unsafe {
            libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as u32, ptr::null_mut(), libc::WEXITED | libc::__WALL)
        };
        match check(result.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            other => return other.map(drop),
        }
    }
}
