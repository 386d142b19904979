//! The root file system: a small tmpfs that becomes `/` and then read-only.
//!
//! Runs in pid 1 before the container has any program. Everything is done relative to the descriptor of the new root with
//! openat2(2), so no path of the set-up (which the user of hotcell chose, not a program) can lead out of it, not by `..`, nor
//! by a link in a mounted tree.

use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::openat2::{openat2, resolve};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, Identity, Step};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const ATTRIBUTES: u64 = attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;

/// The container's root directory.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

/// Makes a root and attaches it at `place`, or where any will do: over the host's root, which is out of sight anyway once
/// we enter.
pub fn make(place: Option<&[u8]>) -> Result<Tree, Failure> {
    let failed = |error: io::Error| Failure::new(Step::MakeRoot, errno(&error)).of(place.unwrap_or_default());
    let context = mount_api::fsopen(c"tmpfs").map_err(failed)?;
    for (key, value) in [(c"size", c"1m"), (c"nr_inodes", c"4096"), (c"mode", c"0755")] {
        context.set(key, value).map_err(failed)?;
    }
    let root = context.mount(ATTRIBUTES).map_err(failed)?;
    let place = match place {
        None => c"/".to_owned(),
        Some(path) => CString::new(path).map_err(|_| failed(io::Error::from_raw_os_error(libc::EINVAL)))?,
    };
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    let target = file::openat(here, &place, libc::O_PATH | libc::O_DIRECTORY, 0).map_err(failed)?;
    mount_api::move_mount(root.as_fd(), target.as_fd()).map_err(failed)?;
    Ok(Tree { root })
}

/// Opens a path of a container as the container sees it: `/` is `root`, and no link leads out, /proc's magic ones included.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    openat2(root, path, flags, mode, resolve::IN_ROOT | resolve::NO_MAGICLINKS)
}

impl Tree {
    /// The root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// A handle (`O_PATH`) on what is at a path.
    pub fn handle(&self, path: &[u8]) -> io::Result<OwnedFd> {
        open_in_root(self.root(), &terminated(path)?, libc::O_PATH, 0)
    }

    /// A handle on a directory, made with its parents (0755) where it is missing.
    pub fn make_directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        make_directory(self.root(), path, 0o755)
    }

    /// Makes the directory that programs start in, theirs, unless it is there.
    pub fn make_work_directory(&self, path: &[u8], program: Identity) -> io::Result<()> {
        match self.handle(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => return other.map(drop),
        }
        drop(self.make_directory(path)?);
        let directory = open_in_root(self.root(), &terminated(path)?, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        file::chown(directory.as_fd(), program.uid, program.gid)
    }

    /// A handle on a file, made empty with its parents where it is missing.
    pub fn make_file(&self, path: &[u8]) -> io::Result<OwnedFd> {
        match self.handle(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => return other,
        }
        let (parent, name) = split(path);
        let parent = self.make_directory(parent)?;
        let name = terminated(name)?;
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        drop(file::openat(parent.as_fd(), &name, flags, 0o444)?);
        file::openat(parent.as_fd(), &name, libc::O_PATH | libc::O_NOFOLLOW, 0)
    }

    /// As [`Tree::make_directory`], refusing a path with a symbolic link in it.
    pub fn make_real_directory(&self, path: &[u8]) -> io::Result<OwnedFd> {
        drop(self.make_directory(path)?);
        self.real_handle(path)
    }

    /// As [`Tree::make_file`], refusing a path with a symbolic link in it.
    pub fn make_real_file(&self, path: &[u8]) -> io::Result<OwnedFd> {
        drop(self.make_file(path)?);
        self.real_handle(path)
    }

    /// A handle on what is there, refusing a path with a symbolic link in it.
    pub fn real_handle(&self, path: &[u8]) -> io::Result<OwnedFd> {
        openat2(self.root(), &terminated(path)?, libc::O_PATH, 0, resolve::IN_ROOT | resolve::NO_SYMLINKS)
    }

    /// A symbolic link, made with its parents.
    pub fn make_symlink(&self, target: &[u8], path: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        let parent = self.make_directory(parent)?;
        file::symlinkat(&terminated(target)?, parent.as_fd(), &terminated(name)?)
    }

    /// Makes this the root of the mount namespace and lets go of the host's. (`pivot_root(".", ".")` puts the old root on
    /// top of the new one, so that `.` names it for umount2 without a directory to park it in: pivot_root(2), NOTES.)
    pub fn enter(&self) -> Result<(), Failure> {
        let pivot = |error: io::Error| Failure::new(Step::PivotRoot, errno(&error));
        let old = |error: io::Error| Failure::new(Step::DetachOldRoot, errno(&error));
        file::fchdir(self.root()).map_err(pivot)?;
        mount_api::pivot_root_here().map_err(pivot)?;
        mount_api::detach(c".").map_err(old)?;
        file::fchdir(self.root()).map_err(old)?;
        mount_api::set_attributes(self.root(), ATTRIBUTES | attribute::RDONLY, false)
            .map_err(|error| Failure::new(Step::SetMountAttributes, errno(&error)).of(b"/"))
    }
}

/// As [`Tree::make_directory`], with a mode. Depth is bounded by that of the path.
pub fn make_directory(root: BorrowedFd<'_>, path: &[u8], mode: u32) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    // from the deepest part that exists
    let mut missing = Vec::new();
    let mut existing = path;
    let mut directory = loop {
        match open_in_root(root, &terminated(existing)?, flags, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && existing != b"/" => {
                let (parent, name) = split(existing);
                missing.push(name);
                existing = parent;
            }
            other => break other?,
        }
    };
    for name in missing.into_iter().rev() {
        let name = terminated(name)?;
        match file::mkdirat(directory.as_fd(), &name, mode) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
        directory = file::openat(directory.as_fd(), &name, flags | libc::O_NOFOLLOW, 0)?;
    }
    Ok(directory)
}

/// The directory and the last name of an absolute path; `/` for the directory of what is in it. Trailing slashes do not count.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let parent = path.get(..slash).unwrap_or_default();
            (if parent.is_empty() { b"/" } else { parent }, path.get(slash + 1..).unwrap_or_default())
        }
        None => (b"/", path),
    }
}

/// The path as the kernel wants it; a NUL inside is `EINVAL`, nothing at all `ENOENT` (path_resolution(7)).
pub fn terminated(path: &[u8]) -> io::Result<CString> {
    if path.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_splits_before_its_last_name() {
        for (path, parent, name) in
            [("/w/a", "/w", "a"), ("/w/a//", "/w", "a"), ("/a", "/", "a"), ("/", "/", ""), ("/w/..", "/w", "..")]
        {
            assert_eq!(split(path.as_bytes()), (parent.as_bytes(), name.as_bytes()), "{path}");
        }
    }

    #[test]
    fn directories_are_made_inside_of_the_root_only() {
        let base = std::env::temp_dir().join(format!("hotcell-root-{}", std::process::id()));
        std::fs::create_dir_all(base.join("real")).unwrap();
        std::os::unix::fs::symlink("/real", base.join("link")).unwrap();
        let root = OwnedFd::from(std::fs::File::open(&base).unwrap());
        make_directory(root.as_fd(), b"/link/../../x/y", 0o755).unwrap();
        make_directory(root.as_fd(), b"/link/z", 0o755).unwrap();
        assert!(base.join("x/y").is_dir());
        assert!(base.join("real/z").is_dir());
        std::fs::write(base.join("file"), "").unwrap();
        let error = make_directory(root.as_fd(), b"/file/x", 0o755).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
        std::fs::remove_dir_all(base).unwrap();
    }
}
