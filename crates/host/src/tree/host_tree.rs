//! Going through a directory of the host's.
//!
//! By descriptors and without following a symbolic link, so that it ends where it began, whatever is renamed meanwhile. Links are copied as they
//! are; FIFOs, sockets and devices are left out, and never opened for reading. Files with several names stay so, and holes stay holes.

use super::filler::{Filler, SMALL_BYTES};
use super::{file_error, join};
use crate::error::Error;
use hotcell_linux::openat2::{openat2, resolve};
use hotcell_linux::{directory, file};
use nix::libc;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

const DOING: &str = "read the host's directory";
const DOING_FILE: &str = "read the host's file";

/// Copies what is in a directory.
pub(super) fn copy(filler: &mut Filler<'_>, root: &OwnedFd) -> Result<(), Error> {
    let stat = file::stat(root.as_fd()).map_err(file_error(DOING, "fstat", b""))?;
    filler.directory(Vec::new(), stat.st_mode & 0o7777, Some(file::mtime_ns(&stat)))?;
    let mut links = HashMap::new();
    let mut pending: Vec<(Rc<Vec<u8>>, Vec<u8>)> = vec![(Rc::default(), Vec::new())];
    while let Some((parent, name)) = pending.pop() {
        let is_base = parent.is_empty() && name.is_empty();
        let path = Rc::new(if is_base { Vec::new() } else { join(&parent, &name)? });
        let Some(opened) = open_directory(root, &path)? else { continue };
        loop {
            let entries = directory::read(opened.as_fd()).map_err(file_error(DOING, "getdents64", &path))?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                filler.calls.check()?;
                filler.count()?;
                let is_directory = add(filler, &opened, &entry.name, join(&path, entry.name.to_bytes())?, &mut links)?;
                if is_directory {
                    pending.push((Rc::clone(&path), entry.name.into_bytes()));
                }
            }
        }
    }
    Ok(())
}

/// `None` for one that is gone.
fn open_directory(root: &OwnedFd, path: &[u8]) -> Result<Option<OwnedFd>, Error> {
    let failed = file_error(DOING, "openat2", path);
    let name = if path.is_empty() { Ok(c".".to_owned()) } else { CString::new(path) };
    let name = name.map_err(|error| failed(error.into()))?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    match openat2(root.as_fd(), &name, flags, 0, resolve::IN_ROOT | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS) {
        Err(error) if is_gone(&error) && !path.is_empty() => Ok(None),
        other => other.map(Some).map_err(failed),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

type Links = HashMap<(libc::dev_t, libc::ino_t), Vec<u8>>;

/// Whether it is a directory to go into.
fn add(
    filler: &mut Filler<'_>,
    directory: &OwnedFd,
    name: &CStr,
    path: Vec<u8>,
    links: &mut Links,
) -> Result<bool, Error> {
    if !filler.how.selection.includes(&path) {
        let is_directory =
            || file::stat_at(directory.as_fd(), name).is_ok_and(|stat| file::is_type(&stat, libc::S_IFDIR));
        return Ok(!filler.how.selection.excludes_below(&path) && is_directory());
    }
    let stat = match file::stat_at(directory.as_fd(), name) {
        Err(error) if is_gone(&error) => return Ok(false),
        other => other.map_err(file_error(DOING, "fstatat", &path))?,
    };
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            filler.directory(path, stat.st_mode & 0o7777, Some(file::mtime_ns(&stat)))?;
            return Ok(true);
        }
        libc::S_IFLNK => match file::readlinkat(directory.as_fd(), name) {
            Err(error) if is_gone(&error) => {}
            other => {
                let target = other.map_err(file_error(DOING, "readlinkat", &path))?;
                filler.symlink(path, target)?;
            }
        },
        libc::S_IFREG => add_file(filler, directory, name, path, links)?,
        _ => {}
    }
    Ok(false)
}

fn add_file(
    filler: &mut Filler<'_>,
    directory: &OwnedFd,
    name: &CStr,
    path: Vec<u8>,
    links: &mut Links,
) -> Result<(), Error> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = match file::openat(directory.as_fd(), name, flags, 0) {
        Err(error) if is_gone(&error) => return Ok(()),
        other => File::from(other.map_err(file_error(DOING_FILE, "open", &path))?),
    };
    let failed = |syscall| file_error(DOING_FILE, syscall, &path);
    let stat = file::stat(file.as_fd()).map_err(|error| failed("fstat")(error))?;
    if !file::is_type(&stat, libc::S_IFREG) {
        return Ok(());
    }
    if stat.st_nlink > 1 {
        let id = (stat.st_dev, stat.st_ino);
        if let Some(first) = links.get(&id) {
            return filler.hard_link(path, first.clone());
        }
        links.insert(id, path.clone());
    }
    let (mode, mtime_ns) = (stat.st_mode & 0o7777, Some(file::mtime_ns(&stat)));
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size <= SMALL_BYTES {
        let mut content = Vec::with_capacity(size as usize);
        // It may be longer by now.
        file.take(SMALL_BYTES).read_to_end(&mut content).map_err(|error| failed("read")(error))?;
        return filler.small_file(path, mode, mtime_ns, content);
    }
    let shown = path.clone();
    let failed = |syscall| file_error(DOING_FILE, syscall, &shown);
    filler.large_file(path, mode, mtime_ns, size, |output| {
        let mut at = 0;
        while at < size {
            let stretch = file::data(file.as_fd(), at).map_err(|error| failed("lseek")(error))?;
            let Some((from, to)) = stretch.map(|(from, to)| (from.max(at), to.min(size))) else { break };
            if from < to {
                file.seek(SeekFrom::Start(from)).map_err(|error| failed("lseek")(error))?;
                output.copy(&mut file, from, to - from, |error| failed("read")(error))?;
            }
            at = to.max(at + 1);
        }
        Ok(())
    })
}
