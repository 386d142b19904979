//! Files by descriptor and by name in a directory that is open: nothing here follows a symbolic link.

use crate::check;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// fstat(2).
pub fn stat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes one stat.
    check(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) }.into())?;
    // SAFETY: written by the call above.
    Ok(unsafe { stat.assume_init() })
}

/// fstatfs(2): the magic number of the file system that a descriptor is on.
pub fn file_system(fd: BorrowedFd<'_>) -> io::Result<i64> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel writes one statfs.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), stat.as_mut_ptr()) }.into())?;
    // SAFETY: written by the call above.
    Ok(unsafe { stat.assume_init() }.f_type)
}

/// Whether a mode is that of this `S_IF*` type.
pub const fn is_type(stat: &libc::stat, kind: libc::mode_t) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

/// openat(2); close-on-exec always.
pub fn openat(directory: BorrowedFd<'_>, name: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the name.
    let fd =
        check(unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// mkdirat(2).
pub fn mkdirat(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the kernel reads the name.
    check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) }.into())?;
    Ok(())
}

/// symlinkat(2).
pub fn symlinkat(target: &CStr, directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads both strings.
    check(unsafe { libc::symlinkat(target.as_ptr(), directory.as_raw_fd(), name.as_ptr()) }.into())?;
    Ok(())
}

/// unlinkat(2) of a file, or with `directory_entry` of an empty directory.
pub fn unlinkat(directory: BorrowedFd<'_>, name: &CStr, directory_entry: bool) -> io::Result<()> {
    let flags = if directory_entry { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the kernel reads the name.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) }.into())?;
    Ok(())
}

/// renameat2(2).
pub fn renameat2(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr, flags: u32) -> io::Result<()> {
    // SAFETY: the kernel reads both names.
    check(unsafe { libc::renameat2(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), new.as_ptr(), flags) }.into())?;
    Ok(())
}

/// readlinkat(2) of a link in a directory, up to `PATH_MAX`.
pub fn readlinkat(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    // SAFETY: the kernel reads the name and writes at most the length of the buffer.
    let length = check(unsafe {
        libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len())
    } as libc::c_long)?;
    target.truncate(length as usize);
    Ok(target)
}

/// fchmod(2).
pub fn chmod(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) }.into())?;
    Ok(())
}

/// fchmodat(2), which follows a symbolic link.
pub fn chmodat(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the kernel reads the name.
    check(unsafe { libc::fchmodat(directory.as_raw_fd(), name.as_ptr(), mode, 0) }.into())?;
    Ok(())
}

/// fchown(2).
pub fn chown(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fchown(fd.as_raw_fd(), uid, gid) }.into())?;
    Ok(())
}

/// fcntl(2) `F_SETFL`.
pub fn set_status_flags(fd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }.into())?;
    Ok(())
}

/// fcntl(2) `F_SETPIPE_SZ`: a pipe that holds at least so many bytes.
pub fn set_pipe_size(pipe: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }.into())?;
    Ok(())
}

/// fcntl(2) `F_DUPFD_CLOEXEC`: a copy with a number of at least `lowest`.
pub fn duplicate_above(fd: BorrowedFd<'_>, lowest: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory involved.
    let fd = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) }.into())?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// fchdir(2).
pub fn fchdir(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fchdir(directory.as_raw_fd()) }.into())?;
    Ok(())
}

/// umask(2).
pub fn set_umask(mask: u32) {
    // SAFETY: no memory involved; cannot fail.
    unsafe { libc::umask(mask) };
}
