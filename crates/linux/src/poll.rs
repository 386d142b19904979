//! poll(2) of one descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether a read would not have to wait: there is data, or the other end is closed.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel reads and writes one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
}
