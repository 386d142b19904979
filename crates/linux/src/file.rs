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

/// flistxattr(2): how many bytes the list of the names of its extended attributes has; 0 where a file system has none.
pub fn attribute_names_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: with a size of 0 the kernel writes nothing.
    match check(unsafe { libc::flistxattr(fd.as_raw_fd(), std::ptr::null_mut(), 0) } as libc::c_long) {
        Ok(bytes) => Ok(bytes as usize),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(0),
        Err(error) => Err(error),
    }
}

/// fstatat(2) of a name in a directory.
pub fn stat_at(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the kernel reads the name and writes one stat.
    check(unsafe { libc::fstatat(directory.as_raw_fd(), name.as_ptr(), stat.as_mut_ptr(), flags) }.into())?;
    // SAFETY: written by the call above.
    Ok(unsafe { stat.assume_init() })
}

/// The modification time in nanoseconds since 1970, as far as that goes (292 years both ways).
pub const fn mtime_ns(stat: &libc::stat) -> i64 {
    stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec)
}

/// fstatfs(2): what is known of the file system that a descriptor is on.
pub fn file_system(fd: BorrowedFd<'_>) -> io::Result<libc::statfs> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel writes one statfs.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), stat.as_mut_ptr()) }.into())?;
    // SAFETY: written by the call above.
    Ok(unsafe { stat.assume_init() })
}

/// The magic number of a file system (`f_type`), signed as the `…_MAGIC` of libc are: musl has it unsigned.
#[allow(clippy::unnecessary_cast, reason = "musl has it unsigned")]
pub const fn magic(system: &libc::statfs) -> i64 {
    system.f_type as i64
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

/// linkat(2): another name for what is called `name` in `from`, itself, should it be a symbolic link.
pub fn linkat(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads both names.
    check(unsafe { libc::linkat(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), new.as_ptr(), 0) }.into())?;
    Ok(())
}

/// utimensat(2) of a name in a directory: its modification time, in nanoseconds since 1970.
pub fn set_mtime_at(directory: BorrowedFd<'_>, name: &CStr, mtime_ns: i64) -> io::Result<()> {
    let times = times(mtime_ns);
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: the kernel reads the name and two timespec.
    check(unsafe { libc::utimensat(directory.as_raw_fd(), name.as_ptr(), times.as_ptr(), flags) }.into())?;
    Ok(())
}

/// futimens(3): the modification time, in nanoseconds since 1970.
pub fn set_mtime(fd: BorrowedFd<'_>, mtime_ns: i64) -> io::Result<()> {
    let times = times(mtime_ns);
    // SAFETY: the kernel reads two timespec.
    check(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) }.into())?;
    Ok(())
}

/// The access time stays.
const fn times(mtime_ns: i64) -> [libc::timespec; 2] {
    const SECOND: i64 = 1_000_000_000;
    [
        libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        libc::timespec { tv_sec: mtime_ns.div_euclid(SECOND), tv_nsec: mtime_ns.rem_euclid(SECOND) },
    ]
}

/// Whether an extended attribute of an open file has exactly this value (fgetxattr(2)).
pub fn has_attribute(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> bool {
    let mut buffer = [0_u8; 16];
    // SAFETY: the kernel reads the name and writes at most the length of the buffer.
    let length = unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(length).is_ok_and(|length| buffer.get(..length) == Some(value))
}

/// lseek(2) `SEEK_DATA` and `SEEK_HOLE`: the next stretch of data from `offset` on, and where it ends; `None` if nothing but a hole
/// follows. A file system that knows no holes has one stretch.
pub fn data(fd: BorrowedFd<'_>, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |offset: u64, whence| {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
        // SAFETY: no memory involved.
        check(unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) } as libc::c_long).map(|found| found as u64)
    };
    let start = match seek(offset, libc::SEEK_DATA) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        other => other?,
    };
    match seek(start, libc::SEEK_HOLE) {
        // It became shorter meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        other => other.map(|end| Some((start, end))),
    }
}

/// unlinkat(2) of a file, or with `directory_entry` of an empty directory.
pub fn unlinkat(directory: BorrowedFd<'_>, name: &CStr, directory_entry: bool) -> io::Result<()> {
    let flags = if directory_entry { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the kernel reads the name.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), flags) }.into())?;
    Ok(())
}

/// renameat2(2), without a C library's function: glibc has it since 2.28, musl since 1.2.6.
pub fn renameat2(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, new: &CStr, flags: u32) -> io::Result<()> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: the kernel reads both names.
    check(unsafe { libc::syscall(libc::SYS_renameat2, from, name.as_ptr(), to, new.as_ptr(), flags) })?;
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
