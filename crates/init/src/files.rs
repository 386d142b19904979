//! Opening, placing, linking: files of the container on behalf of the host.
//!
//! Runs in pid 1, while programs may run that try to have something else opened than what was asked for. So every path is
//! resolved by openat2(2) with the container as root and without /proc's magic links, opened without waiting (a FIFO would hold us
//! for ever) and without following a last link, and only then looked at: what is not a regular file, or in /proc, is closed again. The host
//! never resolves a path of a container; it gets a descriptor.
//!
//! Init's file system identity is the program's, so files belong to the program.

use crate::setup::{Tree, open_in_root};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, OpenFile, OpenHow, Opened, Step};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Files that were opened to replace others, and neither committed nor discarded yet: as many as a forgetful host may have.
const TICKETS_MAX: usize = 4096;
/// A batch has to fit one packet.
pub const BATCH_MAX: usize = 200;

/// A new file under a temporary name.
struct Ticket {
    parent: OwnedFd,
    temporary: CString,
    name: CString,
    path: Vec<u8>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Gone already after a commit; or by the program, whose directory this is.
        let _ = file::unlinkat(self.parent.as_fd(), &self.temporary, false);
    }
}

/// What is open for replacing.
#[derive(Default)]
pub struct Tickets {
    open: HashMap<u32, Ticket>,
    last: u32,
}

/// A path as the container has it: absolute, and NUL-terminated.
pub fn absolute(work_dir: &[u8], path: &[u8]) -> io::Result<Vec<u8>> {
    if path.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    let joined = if path.starts_with(b"/") { path.to_vec() } else { [work_dir, b"/", path].concat() };
    if joined.len() >= libc::PATH_MAX as usize {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    Ok(joined)
}

/// Opens one file.
pub fn open(
    tree: &Tree,
    work_dir: &[u8],
    request: &OpenFile<'_>,
    tickets: &mut Tickets,
) -> Result<(Opened, OwnedFd), Failure> {
    let failed = |error: io::Error| Failure::new(Step::OpenFile, errno(&error)).of(request.path);
    let path = absolute(work_dir, request.path).map_err(failed)?;
    match request.how {
        OpenHow::Flags(flags) => {
            let fd = open_with(tree, &path, flags, request.mode).map_err(failed)?;
            check_type(&fd, flags)
                .map_err(|error| Failure::new(Step::CheckFileType, errno(&error)).of(request.path))?;
            Ok((Opened { ticket: 0 }, fd))
        }
        OpenHow::Replace => tickets.open(tree, path, request.mode).map_err(failed),
    }
}

/// Flags that make something else of open(2) than opening a file to read and write it.
const REFUSED: i32 = libc::O_PATH | libc::O_ASYNC;

fn open_with(tree: &Tree, path: &[u8], flags: i32, mode: u32) -> io::Result<OwnedFd> {
    if flags & REFUSED != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let terminated = CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let flags = flags | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    // openat2 refuses what open ignores: mode bits where nothing is made, and beyond 0o7777
    let mode = if creates { mode & 0o7777 } else { 0 };
    open_in_root(tree.root(), &terminated, flags, mode)
}

/// Refuses what is not a regular file, or lies in /proc; sets the flags that the host is to have.
pub fn check_type(fd: &OwnedFd, flags: i32) -> io::Result<()> {
    let stat = file::stat(fd.as_fd())?;
    if !file::is_type(&stat, libc::S_IFREG) {
        let directory = file::is_type(&stat, libc::S_IFDIR);
        return Err(io::Error::from_raw_os_error(if directory { libc::EISDIR } else { libc::EINVAL }));
    }
    // Regular by name only: /proc/self is *us*, and whoever can leave a link to it would have the host read what pid 1 may.
    if file::magic(&file::file_system(fd.as_fd())?) == libc::PROC_SUPER_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    let kept = flags & (libc::O_APPEND | libc::O_DIRECT | libc::O_NOATIME | libc::O_NONBLOCK);
    file::set_status_flags(fd.as_fd(), kept)
}

impl Tickets {
    fn open(&mut self, tree: &Tree, path: Vec<u8>, mode: u32) -> io::Result<(Opened, OwnedFd)> {
        let (parent, name) = parent_and_name(tree, &path)?;
        self.open_in(parent, name, path, mode)
    }

    /// Opens a new file that is to have this name in this directory; `path` is for messages.
    pub fn open_in(
        &mut self,
        parent: OwnedFd,
        name: CString,
        path: Vec<u8>,
        mode: u32,
    ) -> io::Result<(Opened, OwnedFd)> {
        if self.open.len() >= TICKETS_MAX {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_NOFOLLOW;
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            let ticket = self.last;
            if self.open.contains_key(&ticket) {
                continue;
            }
            let temporary = CString::new(format!(".hotcell-{ticket:08x}")).map_err(io::Error::from)?;
            let fd = match file::openat(parent.as_fd(), &temporary, flags, 0o600) {
                // left by nobody but a program that guesses our names
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => continue,
                other => other?,
            };
            // Before anything can fail: a ticket removes its file.
            self.open.insert(ticket, Ticket { parent, temporary, name, path });
            if let Err(error) = file::chmod(fd.as_fd(), mode & 0o7777) {
                self.open.remove(&ticket);
                return Err(error);
            }
            return Ok((Opened { ticket }, fd));
        }
    }

    /// Gives files their names; stops at the first that cannot have its own.
    pub fn commit(&mut self, tickets: &[u32]) -> Result<(), Failure> {
        tickets.iter().zip(0..).try_for_each(|(ticket, index)| self.commit_one(*ticket, index, None))
    }

    /// Gives a file its name, and a modification time; `index` is for messages.
    pub fn commit_one(&mut self, ticket: u32, index: u32, mtime_ns: Option<i64>) -> Result<(), Failure> {
        let Some(ticket) = self.open.remove(&ticket) else {
            return Err(Failure::new(Step::RenameFile, libc::ESTALE).at(index));
        };
        let failed = |step| {
            let path = &ticket.path;
            move |error: io::Error| Failure::new(step, errno(&error)).of(path).at(index)
        };
        let parent = ticket.parent.as_fd();
        if let Some(mtime_ns) = mtime_ns {
            file::set_mtime_at(parent, &ticket.temporary, mtime_ns).map_err(failed(Step::SetTimes))?;
        }
        file::renameat2(parent, &ticket.temporary, parent, &ticket.name, 0).map_err(failed(Step::RenameFile))
    }

    /// Removes files that shall not get their names.
    pub fn discard(&mut self, tickets: &[u32]) {
        for ticket in tickets {
            self.open.remove(ticket);
        }
    }

    /// Forgets all: their directories are gone.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

/// The directory of a path, made with its parents where it is missing, and the last name in it.
fn parent_and_name(tree: &Tree, path: &[u8]) -> io::Result<(OwnedFd, CString)> {
    let (parent, name) = crate::setup::split(path);
    if path.ends_with(b"/") || matches!(name, b"" | b"." | b"..") {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    Ok((tree.make_directory(parent)?, name))
}

/// Makes a symbolic link, with missing parents.
pub fn symlink(tree: &Tree, work_dir: &[u8], target: &[u8], path: &[u8]) -> Result<(), Failure> {
    let make = || {
        let target = CString::new(target).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let (parent, name) = parent_and_name(tree, &absolute(work_dir, path)?)?;
        file::symlinkat(&target, parent.as_fd(), &name)
    };
    make().map_err(|error| Failure::new(Step::Symlink, errno(&error)).of(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_working_directory() {
        assert_eq!(absolute(b"/w", b"a/b").unwrap(), b"/w/a/b");
        assert_eq!(absolute(b"/w", b"/a").unwrap(), b"/a");
        assert_eq!(absolute(b"/w", b"").unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(absolute(b"/w", &[b'x'; 4094]).unwrap_err().raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
