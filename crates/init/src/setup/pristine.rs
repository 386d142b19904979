//! Telling that a tmpfs is as it was made, so that nobody needs to replace it.
//!
//! Runs in pid 1, when no program does. Two things are looked at, and both have to be as they were:
//!
//! - **Inode numbers.** A tmpfs hands them out one after the other (Linux 5.9). If the one of an unnamed file that we make and drop at once
//!   follows on the one of the last such file, nothing was made in between, of whatever kind and however short-lived.
//! - **The root directory**, the one inode that was there: owner, mode, times, extended attributes (access control lists are among them). Whoever
//!   changes any of it also sets the time of the change, which cannot be set by hand; that clock ticks but every few milliseconds, hence
//!   the rest.
//!
//! Whatever cannot be looked at counts as changed.

use hotcell_linux::file;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What an untouched tmpfs looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pristine {
    root: Root,
    /// The number of the file that was made last.
    inode: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Root {
    mode: u32,
    owner: (u32, u32),
    links: libc::nlink_t,
    bytes: i64,
    /// Of access, modification and change: seconds, nanoseconds.
    times: [(i64, i64); 3],
    /// The size of the list of their names.
    attributes: usize,
}

impl Pristine {
    /// Of the tmpfs with this root, which nobody has had a chance to touch.
    pub fn of(mount: BorrowedFd<'_>) -> io::Result<Self> {
        let directory = file::openat(mount, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        let stat = file::stat(directory.as_fd())?;
        let root = Root {
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            links: stat.st_nlink,
            bytes: stat.st_size,
            times: [
                (stat.st_atime, stat.st_atime_nsec),
                (stat.st_mtime, stat.st_mtime_nsec),
                (stat.st_ctime, stat.st_ctime_nsec),
            ],
            attributes: file::attribute_names_bytes(directory.as_fd())?,
        };
        let unnamed = file::openat(directory.as_fd(), c".", libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
        Ok(Self { root, inode: file::stat(unnamed.as_fd())?.st_ino })
    }

    /// Whether it still is. Looking counts as having looked: what is true once can be asked again.
    pub fn is_still(&mut self, mount: BorrowedFd<'_>) -> bool {
        let Ok(now) = Self::of(mount) else { return false };
        let expected = Self { root: self.root.clone(), inode: self.inode.wrapping_add(1) };
        let is_still = now == expected;
        *self = expected;
        is_still
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_linux::mount_api::{self, attribute};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::{fs, thread, time};

    /// A tmpfs that is attached nowhere; `None` where that takes rights that we have not.
    fn tmpfs() -> Option<OwnedFd> {
        let context = mount_api::fsopen(c"tmpfs").ok()?;
        context.mount(attribute::NOATIME).ok()
    }

    /// Its root, as a path for the standard library.
    fn path(mount: &OwnedFd) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()))
    }

    #[test]
    fn a_tmpfs_that_nobody_touched_is_pristine_however_often_it_is_asked() {
        let Some(mount) = tmpfs() else { return eprintln!("skipped: tmpfs cannot be mounted here") };
        let mut pristine = Pristine::of(mount.as_fd()).unwrap();
        for _ in 0..3 {
            assert!(pristine.is_still(mount.as_fd()));
        }
        // Reading leaves nothing.
        assert_eq!(fs::read_dir(path(&mount)).unwrap().count(), 0);
        assert!(pristine.is_still(mount.as_fd()));
    }

    #[test]
    fn nothing_that_was_done_to_it_stays_unnoticed() {
        type Change = fn(&OwnedFd);
        let changes: [(&str, Change); 7] = [
            ("a file", |mount| fs::write(path(mount).join("x"), "x").unwrap()),
            ("a file that is gone", |mount| {
                fs::write(path(mount).join("x"), "x").unwrap();
                fs::remove_file(path(mount).join("x")).unwrap();
            }),
            ("a directory that is gone", |mount| {
                fs::create_dir(path(mount).join("x")).unwrap();
                fs::remove_dir(path(mount).join("x")).unwrap();
            }),
            ("an unnamed file", |mount| {
                drop(file::openat(mount.as_fd(), c".", libc::O_TMPFILE | libc::O_RDWR, 0).unwrap())
            }),
            ("its mode", |mount| fs::set_permissions(path(mount), fs::Permissions::from_mode(0o700)).unwrap()),
            ("its times", |mount| {
                let root = fs::File::open(path(mount)).unwrap();
                root.set_modified(time::SystemTime::UNIX_EPOCH).unwrap();
            }),
            ("its times, there and back", |mount| {
                // A tick of that clock later.
                thread::sleep(time::Duration::from_millis(20));
                let root = fs::File::open(path(mount)).unwrap();
                let modified = root.metadata().unwrap().modified().unwrap();
                root.set_modified(time::SystemTime::UNIX_EPOCH).unwrap();
                root.set_modified(modified).unwrap();
            }),
        ];
        for (what, change) in changes {
            let Some(mount) = tmpfs() else { return eprintln!("skipped: tmpfs cannot be mounted here") };
            let mut pristine = Pristine::of(mount.as_fd()).unwrap();
            assert!(pristine.is_still(mount.as_fd()), "{what}");
            change(&mount);
            assert!(!pristine.is_still(mount.as_fd()), "{what}");
        }
    }
}
