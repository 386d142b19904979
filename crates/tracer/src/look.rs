//! Looking at files without opening them: `O_PATH` descriptors and what they say.
//!
//! Runs in the supervisor. Nothing here reads, writes, or waits for a file. Errors are errno(3).

use crate::path::{PATH_MAX, Place};
use std::ffi::CStr;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A C string in a place of ours, cut where that ends.
pub fn c_string<'a>(place: &'a mut [u8], text: std::fmt::Arguments<'_>) -> &'a CStr {
    let length = place.len();
    let mut rest = &mut place[..length - 1];
    let _ = rest.write_fmt(text);
    CStr::from_bytes_until_nul(place).unwrap_or_default()
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// openat(2), `O_PATH`.
pub fn open(dir: RawFd, path: &CStr, flags: i32) -> Result<OwnedFd, i32> {
    // SAFETY: the kernel reads a NUL-terminated string.
    let fd = unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// openat2(2), `O_PATH`.
pub fn open_how(dir: RawFd, path: &CStr, flags: i32, resolve: u64) -> Result<OwnedFd, i32> {
    let how = [(flags | libc::O_PATH | libc::O_CLOEXEC) as u64, 0, resolve];
    // SAFETY: the kernel reads a NUL-terminated string and `struct open_how`, three u64.
    let fd = unsafe { libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const how, size_of_val(&how)) };
    if fd < 0 {
        return Err(errno());
    }
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Another descriptor of the same.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd, Place> {
    // SAFETY: no memory involved.
    let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if fd < 0 {
        return Err(Place::Unknown);
    }
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Appends what a link says.
pub fn read_link(dir: RawFd, path: &CStr, into: &mut Vec<u8>) -> Result<(), i32> {
    let start = into.len();
    into.resize(start + PATH_MAX, 0);
    let place = into.get_mut(start..).unwrap_or_default();
    // SAFETY: the kernel reads a NUL-terminated string, and writes into `place` at most.
    let length = unsafe { libc::readlinkat(dir, path.as_ptr(), place.as_mut_ptr().cast(), place.len()) };
    into.truncate(start + usize::try_from(length).unwrap_or(0));
    if length < 0 { Err(errno()) } else { Ok(()) }
}

/// fstat(2).
pub fn status(fd: RawFd) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes one stat.
    if unsafe { libc::fstat(fd, status.as_mut_ptr()) } < 0 {
        return None;
    }
    // SAFETY: zeroed before, and written.
    Some(unsafe { status.assume_init() })
}

/// Whether two descriptors are of one file.
pub fn is_same(a: RawFd, b: RawFd) -> bool {
    match (status(a), status(b)) {
        (Some(a), Some(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// Whether a file is one of a /proc.
pub fn is_in_proc(fd: RawFd) -> bool {
    let mut status = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the kernel writes one statfs.
    if unsafe { libc::fstatfs(fd, status.as_mut_ptr()) } < 0 {
        return false;
    }
    // SAFETY: zeroed before, and written.
    let status = unsafe { status.assume_init() };
    #[allow(clippy::unnecessary_cast, reason = "it is signed in glibc, and unsigned in musl")]
    let magic = status.f_type as i64;
    magic == libc::PROC_SUPER_MAGIC
}

/// Whether nobody can write to the file system, as it is mounted there.
pub fn is_read_only(fd: RawFd) -> bool {
    let mut status = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: writes one statvfs.
    if unsafe { libc::fstatvfs(fd, status.as_mut_ptr()) } < 0 {
        return false;
    }
    // SAFETY: zeroed before, and written.
    unsafe { status.assume_init() }.f_flag & libc::ST_RDONLY != 0
}
