//! The pipes between this process and a program, those between two programs, and /dev/null where there is none.
//!
//! Never a file of the host: a regular file can be opened again through /proc/self/fd with other rights.

use crate::error::{Error, errno};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// A pipe, as seen from here.
pub(crate) struct Pipe {
    /// Non-blocking, close-on-exec.
    pub(crate) ours: OwnedFd,
    /// Blocking, as programs expect; close-on-exec, until it is placed as the program's 0, 1 or 2.
    pub(crate) theirs: OwnedFd,
}

/// A pipe that the program reads.
pub(crate) fn to_program() -> Result<Pipe, Error> {
    let Ends { read, write } = make(Ours::Write)?;
    Ok(Pipe { ours: write, theirs: read })
}

/// A pipe that the program writes.
pub(crate) fn from_program() -> Result<Pipe, Error> {
    let Ends { read, write } = make(Ours::Read)?;
    Ok(Pipe { ours: read, theirs: write })
}

/// A pipe that has programs at its ends, or a program and this process. Both are close-on-exec.
#[derive(Debug)]
pub struct Ends {
    /// To read from.
    pub read: OwnedFd,
    /// To write to.
    pub write: OwnedFd,
}

/// Which end of a pipe is for this process, and non-blocking therefore: programs expect theirs to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// None: one program writes what another one reads.
    Neither,
    /// The one to read from.
    Read,
    /// The one to write to.
    Write,
}

/// Makes a pipe whose other end, or both, are given to programs by [`crate::Master::execve`].
pub fn make(ours: Ours) -> Result<Ends, Error> {
    let made = pipe().and_then(|(read, write)| {
        match ours {
            Ours::Neither => {}
            Ours::Read => non_blocking(&read)?,
            Ours::Write => non_blocking(&write)?,
        }
        Ok(Ends { read, write })
    });
    made.map_err(|errno| Error::MakePipe { errno: errno as i32 })
}

/// The end to read, and the end to write.
fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // Opening /dev/stdout is opening this inode again, which a program of another uid could not with the 0600 it is born with.
    // Mode bits belong to the inode of the pipe: one call covers both ends.
    fchmod(&write, Mode::from_bits_truncate(0o666))?;
    Ok((read, write))
}

/// Only this end: the other one is an open file description of its own.
fn non_blocking(end: &OwnedFd) -> nix::Result<()> {
    fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}

/// /dev/null for reading and writing, opened once a process.
pub(crate) fn null() -> Result<BorrowedFd<'static>, Error> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(null) = NULL.get() {
        return Ok(null.as_fd());
    }
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Error::OpenNull { errno: errno(&error) })?;
    Ok(NULL.get_or_init(|| opened).as_fd())
}
