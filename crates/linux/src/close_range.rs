//! close_range(2), Linux 5.9.

use crate::check;
use std::io;

/// Closes every descriptor from `first` on.
///
/// # Safety
/// No owner of such a descriptor may use it again, or close it.
pub unsafe fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller's.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })?;
    Ok(())
}

/// Closes every descriptor from `first` to `last`.
///
/// # Safety
/// As for [`close_from`].
pub unsafe fn close_between(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller's.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}
