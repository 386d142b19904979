//! From the master to the host's pipe: what is shown.

use super::CHUNK_BYTES;
use super::watched::Watched;
use hotcell_linux::file::set_pipe_size;
use std::io;
use std::os::fd::AsFd;

/// What a pipe is enlarged to once a run is over: its usual 64 KiB may be full, and the kernel holds some 16 KiB more.
const ENLARGED_BYTES: i32 = 128 * 1024;

/// What came of moving a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Something was moved.
    Moved,
    /// There was nothing to move.
    Idle,
    /// The pipe is full.
    Full,
    /// Nobody reads it any more.
    Gone,
}

/// See the module's documentation.
pub struct Screen {
    /// None: all is thrown away.
    pipe: Option<Watched>,
    /// Read from the master, and not taken by the pipe yet.
    pending: Vec<u8>,
    is_enlarged: bool,
}

impl Screen {
    /// One that shows nothing yet.
    pub fn new(pipe: Option<Watched>) -> Self {
        Self { pipe, pending: Vec::new(), is_enlarged: false }
    }

    /// The host's end, while it is open.
    pub fn pipe(&self) -> Option<&Watched> {
        self.pipe.as_ref()
    }

    /// Whether the pipe is to be written to before more is read.
    pub fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Moves a chunk.
    pub fn advance(&mut self, master: &Watched) -> Flow {
        if self.is_full() {
            return self.write();
        }
        let mut chunk = [0; CHUNK_BYTES];
        let count = match master.read(&mut chunk) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Idle,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Flow::Moved,
            // Of a master whose slave is open there is no other answer.
            _ => return Flow::Gone,
        };
        if self.pipe.is_none() {
            return Flow::Moved;
        }
        self.pending.extend_from_slice(chunk.get(..count).unwrap_or_default());
        self.write()
    }

    fn write(&mut self) -> Flow {
        let Some(pipe) = &self.pipe else { return Flow::Gone };
        match pipe.write(&self.pending) {
            Ok(count) => {
                self.pending.drain(..count.min(self.pending.len()));
                Flow::Moved
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Full,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Flow::Moved,
            Err(_) => Flow::Gone,
        }
    }

    /// Makes the pipe hold more, once. Whether it does: a user with thousands of pipes may have none that is larger (pipe(7)).
    pub fn enlarge(&mut self) -> bool {
        if std::mem::replace(&mut self.is_enlarged, true) {
            return false;
        }
        self.pipe.as_ref().is_some_and(|pipe| set_pipe_size(pipe.as_fd(), ENLARGED_BYTES).is_ok())
    }

    /// Nothing is shown any more.
    pub fn end(&mut self) {
        self.pipe = None;
        self.pending = Vec::new();
    }

    /// Has epoll(7) tell of room, or of nobody reading.
    pub fn watch(&mut self) -> io::Result<()> {
        let room = if self.is_full() { libc::EPOLLOUT as u32 } else { 0 };
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.watch(Some(room)))
    }
}
