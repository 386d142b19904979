//! Deleting trees that hostile programs made.
//!
//! Runs in pid 1, a slice at a time between requests, so that a ping does not wait for 100,000 files. It cannot be made to run out
//! of descriptors, stack or path length, however deep the tree: it never descends. A directory that is not empty is *moved up*,
//! into the directory that is being deleted, and comes up for deletion there.

use crate::files::absolute;
use crate::setup::{Tree, open_in_root, split, terminated};
use hotcell_linux::{directory, errno, file};
use hotcell_protocol::{Failure, Step};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// How many entries a slice deletes.
const SLICE: usize = 512;
/// After so many microseconds the host is told to go on without us: programs that go on making files could keep us for ever.
/// Below the deadline that the host has for an answer.
const TIME_MAX_US: u64 = 8_000_000;

/// A tree being deleted.
pub struct Deletion {
    /// The request to answer.
    pub id: u32,
    path: Vec<u8>,
    parent: OwnedFd,
    name: CString,
    top: OwnedFd,
    moved: u64,
    started_us: u64,
}

/// What became of a request to delete.
pub enum Progress {
    /// Done, or it cannot be done.
    Finished(Result<(), Failure>),
    /// There is more to do.
    Unfinished(Deletion),
}

/// Deletes a file or an empty directory at once, and begins with a tree.
pub fn start(tree: &Tree, work_dir: &[u8], id: u32, path: &[u8], recursive: bool) -> Progress {
    match begin(tree, work_dir, id, path, recursive) {
        Ok(None) => Progress::Finished(Ok(())),
        Ok(Some(deletion)) => Progress::Unfinished(deletion),
        Err(error) if recursive && error.raw_os_error() == Some(libc::ENOENT) => Progress::Finished(Ok(())),
        Err(error) => Progress::Finished(Err(failure(&error, path))),
    }
}

fn failure(error: &io::Error, path: &[u8]) -> Failure {
    Failure::new(Step::Unlink, errno(error)).of(path)
}

fn begin(tree: &Tree, work_dir: &[u8], id: u32, path: &[u8], recursive: bool) -> io::Result<Option<Deletion>> {
    let absolute = absolute(work_dir, path)?;
    let (parent, name) = split(&absolute);
    if matches!(name, b"" | b"." | b"..") {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let name = terminated(name)?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let parent = open_in_root(tree.root(), &terminated(parent)?, flags, 0)?;
    match file::unlinkat(parent.as_fd(), &name, false) {
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {}
        other => return other.map(|()| None),
    }
    match file::unlinkat(parent.as_fd(), &name, true) {
        Err(error) if recursive && error.raw_os_error() == Some(libc::ENOTEMPTY) => {}
        other => return other.map(|()| None),
    }
    let top = open_directory(&parent, &name)?;
    let started_us = hotcell_linux::process::monotonic_us();
    Ok(Some(Deletion { id, path: path.to_vec(), parent, name, top, moved: 0, started_us }))
}

/// Opens a directory for reading and deleting in it, which a program may have forbidden for its own (`chmod 0`): as its owner, which is
/// what init is to files, we may allow it again.
fn open_directory(parent: &OwnedFd, name: &CString) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match file::openat(parent.as_fd(), name, flags, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            // Should a link have taken its place meanwhile, that is to a file of the program's, which it may change itself.
            file::chmodat(parent.as_fd(), name, 0o700)?;
            file::openat(parent.as_fd(), name, flags, 0)
        }
        other => other,
    }
}

impl Deletion {
    /// Deletes a slice.
    pub fn advance(mut self) -> Progress {
        match self.slice() {
            Ok(true) => Progress::Finished(Ok(())),
            Ok(false) if hotcell_linux::process::monotonic_us().saturating_sub(self.started_us) > TIME_MAX_US => {
                Progress::Finished(Err(failure(&io::Error::from_raw_os_error(libc::ENOTEMPTY), &self.path)))
            }
            Ok(false) => Progress::Unfinished(self),
            Err(error) => Progress::Finished(Err(failure(&error, &self.path))),
        }
    }

    /// True when nothing is left.
    fn slice(&mut self) -> io::Result<bool> {
        directory::rewind(self.top.as_fd())?;
        let names = directory::entries(self.top.as_fd(), SLICE)?;
        if names.is_empty() {
            return match file::unlinkat(self.parent.as_fd(), &self.name, true) {
                // a program put something there just now; or was faster
                Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => Ok(false),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
                other => other.map(|()| true),
            };
        }
        for name in names {
            self.delete(&name)?;
        }
        Ok(false)
    }

    /// Deletes one entry of the top directory; one that is a full directory loses its entries, to the top those that are full.
    fn delete(&mut self, name: &CString) -> io::Result<()> {
        if gone(&self.top, name)? {
            return Ok(());
        }
        let directory = match open_directory(&self.top, name) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
                return Ok(());
            }
            other => other?,
        };
        for inner in directory::entries(directory.as_fd(), SLICE)? {
            if gone(&directory, &inner)? {
                continue;
            }
            self.moved += 1;
            let unique = CString::new(format!(".hotcell-delete-{}", self.moved)).map_err(io::Error::from)?;
            let (from, to) = (directory.as_fd(), self.top.as_fd());
            let mut renamed = file::renameat2(from, &inner, to, &unique, libc::RENAME_NOREPLACE);
            if renamed.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EACCES)) {
                // Moving a directory changes what its `..` is, and so takes the right to write to it.
                file::chmodat(from, &inner, 0o700)?;
                renamed = file::renameat2(from, &inner, to, &unique, libc::RENAME_NOREPLACE);
            }
            match renamed {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EEXIST)) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Deletes an entry if it is not a full directory; true when it is gone.
fn gone(parent: &OwnedFd, name: &CString) -> io::Result<bool> {
    let attempt = || -> io::Result<bool> { Ok(unlinked(parent, name, false)? || unlinked(parent, name, true)?) };
    match attempt() {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            file::chmod(parent.as_fd(), 0o700)?;
            attempt()
        }
        other => other,
    }
}

fn unlinked(parent: &OwnedFd, name: &CString, directory_entry: bool) -> io::Result<bool> {
    match file::unlinkat(parent.as_fd(), name, directory_entry) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(true),
            Some(libc::EISDIR | libc::ENOTEMPTY | libc::ENOTDIR) => Ok(false),
            _ => Err(error),
        },
    }
}
