//! Telling that a tmpfs is as it was made, so that nobody needs to replace it.
//!
//! Runs in pid 1, when no program does. Two things are looked at, and both have to be as they were:
//!
//! - **What is in use** of its inodes and blocks: nothing but the root directory. So no file is left, neither one with a name nor one
//!   without that the host holds.
//! - **The root directory**, the one inode that was there: owner, mode, times, extended attributes (access control lists are among them). Whoever
//!   makes, renames or removes a name in it, or changes any of that, also sets the time of the change, which cannot be set by hand. As
//!   that clock ticks but every few milliseconds, attributes are compared themselves.
//!
//! What files that came and went within the tick in which the tmpfs was made, or that never had a name, leave behind is that the numbers of
//! later inodes are higher. Whatever cannot be looked at counts as changed.

use hotcell_linux::file;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An untouched tmpfs.
#[derive(Debug)]
pub struct Pristine {
    /// Its root. What is mounted is known by descriptors that cannot read (open(2), `O_PATH`), which do not do for attributes.
    root: OwnedFd,
    look: Look,
}

#[derive(Debug, PartialEq, Eq)]
struct Look {
    free_inodes: u64,
    free_blocks: u64,
    mode: u32,
    owner: (u32, u32),
    links: libc::nlink_t,
    bytes: i64,
    /// Of access, modification and change: seconds, nanoseconds.
    times: [(i64, i64); 3],
    /// The size of the list of their names.
    attributes: usize,
}

impl Look {
    fn at(root: BorrowedFd<'_>) -> io::Result<Self> {
        let (stat, system) = (file::stat(root)?, file::file_system(root)?);
        Ok(Self {
            free_inodes: system.f_ffree,
            free_blocks: system.f_bfree,
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            links: stat.st_nlink,
            bytes: stat.st_size,
            times: [
                (stat.st_atime, stat.st_atime_nsec),
                (stat.st_mtime, stat.st_mtime_nsec),
                (stat.st_ctime, stat.st_ctime_nsec),
            ],
            attributes: file::attribute_names_bytes(root)?,
        })
    }
}

impl Pristine {
    /// The tmpfs with this root, which nobody has had a chance to touch.
    pub fn new(mount: BorrowedFd<'_>) -> io::Result<Self> {
        let root = file::openat(mount, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        let look = Look::at(root.as_fd())?;
        Ok(Self { root, look })
    }

    /// Whether it still is.
    pub fn is_still(&self) -> bool {
        Look::at(self.root.as_fd()).is_ok_and(|look| look == self.look)
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
        let pristine = Pristine::new(mount.as_fd()).unwrap();
        for _ in 0..3 {
            assert!(pristine.is_still());
        }
        // Reading leaves nothing.
        assert_eq!(fs::read_dir(path(&mount)).unwrap().count(), 0);
        assert!(pristine.is_still());
        // One without a name, for as long as there is one.
        let unnamed = file::openat(mount.as_fd(), c".", libc::O_TMPFILE | libc::O_RDWR, 0o600).unwrap();
        assert!(!pristine.is_still());
        drop(unnamed);
        assert!(pristine.is_still());
    }

    #[test]
    fn nothing_that_was_done_to_it_stays_unnoticed() {
        type Change = fn(&OwnedFd);
        let changes: [(&str, Change); 6] = [
            ("a file", |mount| fs::write(path(mount).join("x"), "x").unwrap()),
            ("a file that is gone", |mount| {
                fs::write(path(mount).join("x"), "x").unwrap();
                fs::remove_file(path(mount).join("x")).unwrap();
            }),
            ("a directory that is gone", |mount| {
                fs::create_dir(path(mount).join("x")).unwrap();
                fs::remove_dir(path(mount).join("x")).unwrap();
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
            let pristine = Pristine::new(mount.as_fd()).unwrap();
            assert!(pristine.is_still(), "{what}");
            change(&mount);
            assert!(!pristine.is_still(), "{what}");
        }
    }
}
