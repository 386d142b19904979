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
