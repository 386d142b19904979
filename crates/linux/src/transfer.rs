//! Bytes from file to file inside of the kernel, and where in a file there are any.

use crate::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// copy_file_range(2): shares the blocks where the file system can (reflink), and else copies them. Both offsets move by what is
/// returned; those of the descriptors do not.
///
/// `EXDEV` between file systems of different types (always between two tmpfs, since Linux 5.19), `EINVAL` where one of the files is not
/// regular. Some files of procfs and sysfs return 0 before their end.
pub fn copy_file_range(
    from: BorrowedFd<'_>,
    from_offset: &mut i64,
    to: BorrowedFd<'_>,
    to_offset: &mut i64,
    length: usize,
) -> io::Result<usize> {
    // SAFETY: the kernel reads and writes one offset at each pointer.
    let count =
        check(unsafe { libc::copy_file_range(from.as_raw_fd(), from_offset, to.as_raw_fd(), to_offset, length, 0) }
            as libc::c_long)?;
    Ok(count as usize)
}

/// sendfile(2), to another file (Linux 2.6.33): through the page cache, without a copy in this process. `from_offset` moves by what is
/// returned, and so does the position of `to`.
///
/// `EINVAL` where `from` cannot be spliced.
pub fn sendfile(to: BorrowedFd<'_>, from: BorrowedFd<'_>, from_offset: &mut i64, length: usize) -> io::Result<usize> {
    // SAFETY: the kernel reads and writes one offset at the pointer.
    let count =
        check(unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), from_offset, length) } as libc::c_long)?;
    Ok(count as usize)
}

/// lseek(2) `SEEK_SET`.
pub fn seek_to(fd: BorrowedFd<'_>, offset: i64) -> io::Result<()> {
    lseek(fd, offset, libc::SEEK_SET).map(drop)
}

/// lseek(2) `SEEK_CUR` by 0: where the descriptor stands.
pub fn position(fd: BorrowedFd<'_>) -> io::Result<i64> {
    lseek(fd, 0, libc::SEEK_CUR)
}

/// lseek(2) `SEEK_DATA`: the first byte from `offset` on that is in no hole. `ENXIO`: there is none up to the end. Moves the position.
pub fn seek_data(fd: BorrowedFd<'_>, offset: i64) -> io::Result<i64> {
    lseek(fd, offset, libc::SEEK_DATA)
}

/// lseek(2) `SEEK_HOLE`: the first byte from `offset` on that is in a hole; there is one at the end of each file. Moves the position.
pub fn seek_hole(fd: BorrowedFd<'_>, offset: i64) -> io::Result<i64> {
    lseek(fd, offset, libc::SEEK_HOLE)
}

fn lseek(fd: BorrowedFd<'_>, offset: i64, whence: i32) -> io::Result<i64> {
    // SAFETY: no memory involved.
    check(unsafe { libc::lseek(fd.as_raw_fd(), offset, whence) })
}
