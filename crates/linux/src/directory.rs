//! Reading directories by descriptor (getdents64(2)), a bounded number of names at a time, from any place that was reached before.

use crate::check;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The offset of `d_name` in `struct linux_dirent64`, of `d_off` and of `d_reclen`.
const NAME: usize = 19;
const NEXT: usize = 8;
const LENGTH: usize = 16;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One component; neither `.` nor `..`.
    pub name: CString,
    /// Where the next one is, for [`seek`].
    pub next: i64,
}

/// Starts over.
pub fn rewind(directory: BorrowedFd<'_>) -> io::Result<()> {
    seek(directory, 0)
}

/// Goes on behind an entry, by its [`Entry::next`].
pub fn seek(directory: BorrowedFd<'_>, offset: i64) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::lseek(directory.as_raw_fd(), offset, libc::SEEK_SET) } as libc::c_long)?;
    Ok(())
}

/// The next entries, as many as one getdents64 gives: none at the end.
pub fn read(directory: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut buffer = [0_u64; 2048];
    while entries.is_empty() {
        let (fd, size) = (directory.as_raw_fd(), size_of_val(&buffer));
        // SAFETY: the kernel writes at most `size` bytes.
        let length = check(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), size) })? as usize;
        if length == 0 {
            break;
        }
        // SAFETY: the kernel has initialised this many bytes, and any u64 is plain bytes.
        let mut rest = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let (entry, behind) = rest.split_at(usize::from(u16::from_ne_bytes([low, high])).min(rest.len()));
            rest = behind;
            let next =
                entry.get(NEXT..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| i64::from_ne_bytes(*bytes));
            if let Some(name) = entry.get(NAME..).and_then(|name| CStr::from_bytes_until_nul(name).ok())
                && name != c"."
                && name != c".."
            {
                entries.push(Entry { name: name.to_owned(), next });
            }
        }
    }
    Ok(entries)
}

/// The next names; at least one and about `most` while there are any.
pub fn entries(directory: BorrowedFd<'_>, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    while names.len() < most {
        let entries = read(directory)?;
        if entries.is_empty() {
            break;
        }
        names.extend(entries.into_iter().map(|entry| entry.name));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn every_name_is_listed_once() {
        let path = std::env::temp_dir().join(format!("hotcell-directory-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        for number in 0..1000 {
            std::fs::write(path.join(format!("file-{number}")), "").unwrap();
        }
        let directory = std::fs::File::open(&path).unwrap();
        let mut all = std::collections::BTreeSet::new();
        loop {
            let names = entries(directory.as_fd(), 100).unwrap();
            if names.is_empty() {
                break;
            }
            all.extend(names);
        }
        assert_eq!(all.len(), 1000);
        rewind(directory.as_fd()).unwrap();
        assert!(!entries(directory.as_fd(), 1).unwrap().is_empty());
        // from the middle, by another descriptor
        let again = std::fs::File::open(&path).unwrap();
        let first = read(again.as_fd()).unwrap();
        let middle = first.get(9).unwrap();
        let third = std::fs::File::open(&path).unwrap();
        seek(third.as_fd(), middle.next).unwrap();
        assert_eq!(read(third.as_fd()).unwrap().first(), first.get(10));
        std::fs::remove_dir_all(path).unwrap();
    }
}
