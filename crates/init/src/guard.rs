//! Removing the cgroups of a host that is gone.
//!
//! Runs in the launcher, at its very end, when every container of the host is dead. A host that ends in an orderly way removes its cgroups
//! itself, some time after its last container; this is for all other ends, SIGKILL among them. What is not empty stays, and is left to the
//! sweep of the next host.
//!
//! Only names that the host has given are followed, below a directory that it has given, and only directories are removed. They are
//! those of `hotcell-cgroup`: `parent/owner/container/group`, and `parent/owner/host` for the host itself where it had to move there, in
//! which case this process is there too.

use hotcell_linux::{directory, file};
use hotcell_protocol::Guard;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

/// How often to try what is busy: on v1 a cgroup is so for a moment after its last process was reaped.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(2);
/// No host has more containers, no container more groups.
const ENTRIES_MAX: usize = 16 * 1024;

/// What to remove, and in which directory.
pub struct Guarded {
    base: OwnedFd,
    guard: Guard,
}

impl Guarded {
    /// By a message, and the base that came beside it.
    pub fn new(guard: Guard, base: OwnedFd) -> Self {
        Self { base, guard }
    }

    /// Whether they are about the same directory. (A parent is made anew when the last one was removed.)
    pub fn is_same(&self, other: &Self) -> bool {
        let inode = |fd: &OwnedFd| file::stat(fd.as_fd()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        self.guard == other.guard && inode(&self.base) == inode(&other.base)
    }

    /// Removes it, as far as that can be done.
    pub fn remove(&self) {
        let _ = self.try_remove();
    }

    fn try_remove(&self) -> io::Result<()> {
        let (parent_name, owner_name) =
            (CString::new(self.guard.parent.to_vec())?, CString::new(self.guard.owner.to_vec())?);
        let parent = enter(self.base.as_fd(), &parent_name)?;
        let owner = enter(parent.as_fd(), &owner_name)?;
        for name in subdirectories(owner.as_fd())? {
            if name.as_c_str() == c"host" {
                continue;
            }
            if let Ok(container) = enter(owner.as_fd(), &name) {
                for group in subdirectories(container.as_fd())? {
                    remove(container.as_fd(), &group);
                }
            }
            remove(owner.as_fd(), &name);
        }
        if let Ok(host) = enter(owner.as_fd(), c"host") {
            // Back to where the host came from: that takes that no controller is enabled there any more (cgroups(7), "no internal
            // processes").
            for directory in [owner.as_fd(), parent.as_fd(), self.base.as_fd()] {
                disable_controllers(directory, &self.guard.enabled);
            }
            drop(host);
            let _ = write(self.base.as_fd(), c"cgroup.procs", b"0");
            remove(owner.as_fd(), c"host");
        }
        remove(parent.as_fd(), &owner_name);
        // Only one that a host has made has this mark; and somebody else's directory may be in it.
        if file::stat(parent.as_fd())?.st_mode & libc::S_ISVTX != 0 {
            let _ = file::unlinkat(self.base.as_fd(), &parent_name, true);
        }
        Ok(())
    }
}

fn enter(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    file::openat(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)
}

/// Of a cgroup: every name in it that is no control file is a cgroup's, and those with a dot are control files.
fn subdirectories(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let listing = file::openat(directory, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let names = directory::entries(listing.as_fd(), ENTRIES_MAX)?;
    Ok(names.into_iter().filter(|name| !name.to_bytes().contains(&b'.') && enter(directory, name).is_ok()).collect())
}

fn remove(directory: BorrowedFd<'_>, name: &CStr) {
    for _ in 0..TRIES {
        match file::unlinkat(directory, name, true) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => thread::sleep(PAUSE),
            _ => return,
        }
    }
}

fn disable_controllers(directory: BorrowedFd<'_>, names: &[u8]) {
    for name in names.split(|byte| *byte == b' ').filter(|name| !name.is_empty()) {
        let _ = write(directory, c"cgroup.subtree_control", &[b"-", name].concat());
    }
}

fn write(directory: BorrowedFd<'_>, name: &CStr, text: &[u8]) -> io::Result<()> {
    File::from(file::openat(directory, name, libc::O_WRONLY | libc::O_NOFOLLOW, 0)?).write_all(text)
}
