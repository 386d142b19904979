//! A descriptor that the command loop watches now and then.

use hotcell_linux::epoll::Epoll;
use hotcell_linux::file::set_status_flags;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

/// Non-blocking, and out of the epoll by name before it is closed: a child cloned meanwhile may hold a copy, with which the registration would
/// live on.
pub struct Watched {
    file: File,
    epoll: Rc<Epoll>,
    token: u64,
    events: Option<u32>,
}

impl Watched {
    /// Not watched yet. Status flags belong to this end of a pipe alone: who has the other one does not notice.
    pub fn new(descriptor: OwnedFd, epoll: &Rc<Epoll>, token: u64) -> io::Result<Self> {
        set_status_flags(descriptor.as_fd(), libc::O_NONBLOCK)?;
        Ok(Self { file: File::from(descriptor), epoll: Rc::clone(epoll), token, events: None })
    }

    /// Has these events told, beside errors and hang-ups, which always are; with `None` not even these.
    pub fn watch(&mut self, events: Option<u32>) -> io::Result<()> {
        let (fd, token) = (self.file.as_fd(), self.token);
        match (self.events, events) {
            (before, now) if before == now => {}
            (None, Some(now)) => self.epoll.add(fd, now, token)?,
            (Some(_), Some(now)) => self.epoll.modify(fd, now, token)?,
            (Some(_), None) => self.epoll.remove(fd)?,
            (None, None) => {}
        }
        self.events = events;
        Ok(())
    }

    /// read(2); `WouldBlock` if there is nothing.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// write(2) of as much as is taken; `WouldBlock` if that is nothing.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.watch(None);
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
