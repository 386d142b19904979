//! Reading directories by descriptor (getdents64(2)), a bounded number of names at a time.

use crate::check;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The offset of `d_name` in `struct linux_dirent64`, and of `d_reclen`.
const NAME: usize = 19;
const LENGTH: usize = 16;

/// Starts over.
pub fn rewind(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::lseek(directory.as_raw_fd(), 0, libc::SEEK_SET) } as libc::c_long)?;
    Ok(())
}

/// The next names but `.` and `..`; at least one and about `most` while there are any.
pub fn entries(directory: BorrowedFd<'_>, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    let mut buffer = [0_u64; 2048];
    while names.len() < most {
        let (fd, size) = (directory.as_raw_fd(), size_of_val(&buffer));
        // SAFETY: the kernel writes at most `size` bytes.
        let length = check(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), size) })? as usize;
        if length == 0 {
            break;
        }
        // SAFETY: the kernel has initialised this many bytes, and any u64 is plain bytes.
        let mut rest = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let (entry, next) = rest.split_at(usize::from(u16::from_ne_bytes([low, high])).min(rest.len()));
            rest = next;
            if let Some(name) = entry.get(NAME..).and_then(|name| CStr::from_bytes_until_nul(name).ok())
                && name != c"."
                && name != c".."
            {
                names.push(name.to_owned());
            }
        }
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
        std::fs::remove_dir_all(path).unwrap();
    }
}
