//! One cgroup: a directory of a cgroup file system, by descriptor, and its control files.
//!
//! Runs in the host process. Nothing is reached by path once the directory is open, so that neither a removal nor a namesake
//! in its place can make us write elsewhere.

use crate::error::{Error, errno};
use hotcell_linux::file;
use nix::libc;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const MAGIC: [i64; 2] = [0x0027_e0eb, 0x6367_7270];
/// What is read of one file. A list of pids may be longer; who reads one goes on until it is empty.
const FILE_MAX: u64 = 64 * 1024;

/// An open cgroup. The path is for messages.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens by path, and makes sure that it is a cgroup.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |errno| Error::Open { path: path.to_owned(), errno };
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC);
        let fd = OwnedFd::from(options.open(path).map_err(|error| failed(errno(&error)))?);
        match file::file_system(fd.as_fd()) {
            Ok(system) if MAGIC.contains(&file::magic(&system)) => Ok(Self { fd, path: path.to_owned() }),
            Ok(_) => Err(failed(libc::ENOTDIR)),
            Err(error) => Err(failed(errno(&error))),
        }
    }

    /// Opens a cgroup in this one.
    pub fn enter(&self, name: &str) -> Result<Self, Error> {
        let path = self.path.join(name);
        let opened =
            c_name(name).and_then(|name| file::openat(self.as_fd(), &name, libc::O_DIRECTORY | libc::O_NOFOLLOW, 0));
        match opened {
            Ok(fd) => Ok(Self { fd, path }),
            Err(error) => Err(Error::Open { path, errno: errno(&error) }),
        }
    }

    /// Makes a cgroup in this one, and opens it.
    pub fn make(&self, name: &str, mode: u32) -> Result<Self, Error> {
        let made = c_name(name).and_then(|name| file::mkdirat(self.as_fd(), &name, mode));
        made.map_err(|error| Error::Make { path: self.path.join(name), errno: errno(&error) })?;
        self.enter(name)
    }

    /// rmdir of a cgroup in this one. `EBUSY` as long as there are processes or cgroups in it; that it is gone already is fine.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        match c_name(name).and_then(|name| file::unlinkat(self.as_fd(), &name, true)) {
            Err(error) if errno(&error) != libc::ENOENT => {
                Err(Error::Remove { path: self.path.join(name), errno: errno(&error) })
            }
            _ => Ok(()),
        }
    }

    /// The names in it that `wanted` accepts; at most some thousands.
    pub fn names(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        // A descriptor of its own: the offset of a directory is shared by all that have the same one.
        let Ok(listing) = file::openat(self.as_fd(), c".", libc::O_DIRECTORY, 0) else { return Vec::new() };
        let names = hotcell_linux::directory::entries(listing.as_fd(), 16 * 1024).unwrap_or_default();
        names.iter().filter_map(|name| name.to_str().ok()).filter(|name| wanted(name)).map(str::to_owned).collect()
    }

    /// The content of a control file, opened anew: lists of pids on v1 stay what they were at the first read of an open file.
    pub fn read(&self, name: &CStr) -> io::Result<String> {
        let opened = file::openat(self.as_fd(), name, libc::O_RDONLY | libc::O_NOFOLLOW, 0)?;
        let mut bytes = Vec::new();
        File::from(opened).take(FILE_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes a control file, once.
    pub fn write(&self, name: &CStr, value: &str) -> io::Result<()> {
        let opened = file::openat(self.as_fd(), name, libc::O_WRONLY | libc::O_NOFOLLOW, 0)?;
        File::from(opened).write_all_at(value.as_bytes(), 0)
    }

    /// Whether it has such a control file.
    pub fn has(&self, name: &CStr) -> bool {
        file::openat(self.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0).is_ok()
    }

    /// Opens a control file to be kept.
    pub fn open_file(&self, name: &str, flags: i32) -> Result<OwnedFd, Error> {
        let opened = c_name(name).and_then(|name| file::openat(self.as_fd(), &name, flags | libc::O_NOFOLLOW, 0));
        opened.map_err(|error| Error::Open { path: self.path.join(name), errno: errno(&error) })
    }

    /// Where it is, or was.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn c_name(name: &str) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The longest of the files that are kept open: memory.events, cpu.stat, oom_control.
const CONTENT_MAX: usize = 4096;

/// A control file that is opened at its first use and then kept: pread(2) at 0 has the kernel write it anew.
#[derive(Debug)]
pub struct Control {
    directory: Arc<Directory>,
    name: &'static str,
    flags: i32,
    file: Option<File>,
    written: Option<String>,
}

impl Control {
    /// To be read.
    pub const fn reading(directory: Arc<Directory>, name: &'static str) -> Self {
        Self { directory, name, flags: libc::O_RDONLY, file: None, written: None }
    }

    /// To be written.
    pub const fn writing(directory: Arc<Directory>, name: &'static str) -> Self {
        Self { directory, name, flags: libc::O_WRONLY, file: None, written: None }
    }

    /// To be read, and written to reset it.
    pub const fn both(directory: Arc<Directory>, name: &'static str) -> Self {
        Self { directory, name, flags: libc::O_RDWR, file: None, written: None }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn file(&mut self) -> Result<&File, Error> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::from(self.directory.open_file(self.name, self.flags)?),
        };
        Ok(self.file.insert(file))
    }

    /// Its text, given to `parse`.
    pub fn read<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
        let mut buffer = [0; CONTENT_MAX];
        let length = self.file()?.read_at(&mut buffer, 0);
        let length = length.map_err(|error| Error::ReadCounter { path: self.path(), errno: errno(&error) })?;
        let text = buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(parse).ok_or_else(|| Error::ParseCounter { path: self.path() })
    }

    /// Its one number; `max` is the largest.
    pub fn number(&mut self) -> Result<u64, Error> {
        self.read(crate::usage::number)
    }

    /// Writes, whatever it holds.
    pub fn write(&mut self, value: &str) -> Result<(), Error> {
        let result = self.file()?.write_all_at(value.as_bytes(), 0);
        result.map_err(|error| Error::SetLimit { path: self.path(), value: value.to_owned(), errno: errno(&error) })
    }

    /// Forgets what was written last: somebody else wrote.
    pub fn forget(&mut self) {
        self.written = None;
    }

    /// Writes unless it was this that was written last.
    pub fn set(&mut self, value: &str) -> Result<(), Error> {
        if self.written.as_deref() == Some(value) {
            return Ok(());
        }
        self.written = None;
        self.write(value)?;
        self.written = Some(value.to_owned());
        Ok(())
    }
}
