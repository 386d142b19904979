//! openat2(2), Linux 5.6: opening a path without leaving a tree.

use crate::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// `RESOLVE_*` flags that we use.
pub mod resolve {
    /// No crossing of /proc-style links, which lead out of any tree.
    pub const NO_MAGICLINKS: u64 = 0x02;
    /// No symbolic links at all, in any component.
    pub const NO_SYMLINKS: u64 = 0x04;
    /// The start directory is the root: `..` and absolute links stay inside.
    pub const IN_ROOT: u64 = 0x10;
}

/// How often a race with a rename elsewhere is taken up again. (`EAGAIN` also means a lease that somebody holds on the file: no
/// waiting for that, nor for a program that renames in a loop.)
const RETRIES: u32 = 32;

/// Opens `path` below `directory`; close-on-exec always.
pub fn openat2(directory: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> io::Result<OwnedFd> {
    let how = [(flags | libc::O_CLOEXEC) as u32 as u64, mode.into(), resolve];
    let directory = directory.as_raw_fd();
    let mut retries = 0;
    loop {
        // SAFETY: the kernel reads the path and `struct open_how`, three u64.
        let result = unsafe {
            libc::syscall(libc::SYS_openat2, directory, path.as_ptr(), ptr::from_ref(&how), size_of_val(&how))
        };
        match check(result) {
            // SAFETY: a new descriptor that nothing else knows.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            Err(error) if retries < RETRIES && matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                retries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
