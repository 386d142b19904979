//! From the host's pipe to the master: what is typed.
//!
//! # The end
//!
//! A terminal has no end of file of its own. It is typed, as ^D, and means that to who reads lines at that moment only; a program that is about to
//! read keys gets a key, or a NUL if it was typed ahead. So the end is typed when all that came before has been read, and again as long as
//! the run goes on, after pauses that double: who came to read in between, or a second reader, learns of it as from a pipe, if a little later.

use super::CHUNK_BYTES;
use super::watched::Watched;
use hotcell_linux::tty;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How often to look whether all was read, in microseconds.
const LOOK_US: u64 = 20_000;
/// The first pause behind an end of file.
const PAUSE_US: u64 = 50_000;

/// See the module's documentation.
pub struct Keyboard {
    /// None after its end.
    pipe: Option<Watched>,
    /// Read from the pipe, and not taken by the master yet.
    pending: Vec<u8>,
    /// When to type the end of file, and the pause behind it.
    end: Option<(u64, u64)>,
}

impl Keyboard {
    /// One that nothing was typed on yet. Without a pipe its end is due now.
    pub fn new(pipe: Option<Watched>, now: u64) -> Self {
        let end = pipe.is_none().then_some((now, PAUSE_US));
        Self { pipe, pending: Vec::new(), end }
    }

    /// The host's end, while it is open.
    pub fn pipe(&self) -> Option<&Watched> {
        self.pipe.as_ref()
    }

    /// Whether the master is to be written to before more is read.
    pub fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When there is something to do without an event.
    pub fn next_us(&self) -> u64 {
        self.end.map_or(u64::MAX, |(at, _)| at)
    }

    /// Moves a chunk.
    pub fn advance(&mut self, master: &Watched, slave: BorrowedFd<'_>, now: u64) {
        if self.is_full() {
            return self.write(master);
        }
        let Some(pipe) = &self.pipe else { return self.type_end(master, slave, now) };
        let mut chunk = [0; CHUNK_BYTES];
        match pipe.read(&mut chunk) {
            Ok(count) if count > 0 => {
                self.pending.extend_from_slice(chunk.get(..count).unwrap_or_default());
                self.write(master);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => {
                self.pipe = None;
                self.end = Some((now, PAUSE_US));
                self.type_end(master, slave, now);
            }
        }
    }

    fn write(&mut self, master: &Watched) {
        match master.write(&self.pending) {
            Ok(count) => drop(self.pending.drain(..count.min(self.pending.len()))),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // Of a master whose slave is open there is no other answer.
            Err(_) => self.pending.clear(),
        }
    }

    fn type_end(&mut self, master: &Watched, slave: BorrowedFd<'_>, now: u64) {
        let Some((at, pause)) = self.end else { return };
        if now < at {
            return;
        }
        let is_read = tty::unread(slave).is_ok_and(|count| count == 0);
        let is_typed = is_read && master.write(&[tty::end_of_file(master.as_fd())]).is_ok();
        self.end = Some(if is_typed { (now + pause, pause.saturating_mul(2)) } else { (now + LOOK_US, pause) });
    }

    /// Nothing is typed any more.
    pub fn end(&mut self) {
        self.pipe = None;
        self.pending = Vec::new();
        self.end = None;
    }

    /// Has epoll(7) tell of what is typed, but not while there is no room for it: the end of the pipe would be told again and again.
    pub fn watch(&mut self) -> io::Result<()> {
        let events = (!self.is_full()).then_some(libc::EPOLLIN as u32);
        self.pipe.as_mut().map_or(Ok(()), |pipe| pipe.watch(events))
    }
}
