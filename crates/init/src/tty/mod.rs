//! Terminals of runs: what is typed on its way from a pipe of the host's to a pseudoterminal, and what is shown on its way back.
//!
//! Runs in pid 1's command loop, which moves a few kilobytes at a time and never waits. The master is pid 1's alone (why:
//! [`hotcell_protocol::terminal`]); programs have the slave as their 0, 1 and 2 and as their controlling terminal, and all that a terminal does is the
//! kernel's doing: line editing, ^C and ^Z, sizes, job control.
//!
//! ```text
//!   host                        pid 1                          program
//!   keyboard ──── pipe ────▶ Keyboard ── master ── slave ──▶ 0
//!   screen   ◀─── pipe ────── Screen  ◀─ master ── slave ─── 1, 2, /dev/tty
//! ```
//!
//! # How it ends
//!
//! - Nobody reads the screen any more: the terminal is hung up. Closing the last descriptor of a master does that, with SIGHUP for the session
//!   and its foreground processes, so no child may keep one for long: see [`crate::exec::Plan::withhold`].
//! - The keyboard is at its end: the end of file is typed, see [`Keyboard`].
//! - The run is over: what is left is moved to the screen, then all is closed. Pid 1 has the slave open until then. Without, a read of the master
//!   would fail with EIO as soon as no program has it open, though one may open /dev/tty later.

mod devpts;
mod keyboard;
mod screen;
#[cfg(test)]
mod tests;
mod watched;

pub use devpts::{Devpts, Pair};

use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::monotonic_us;
use hotcell_linux::{errno, tty};
use hotcell_protocol::{Failure, Step, WindowSize};
use keyboard::Keyboard;
use screen::{Flow, Screen};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use watched::Watched;

/// The most that is moved at once: as much as the kernel's line discipline gives.
const CHUNK_BYTES: usize = 4096;
/// How long a run that is over waits for a slow reader, in microseconds, where the pipe cannot be made to hold the rest.
const LAST_US: u64 = 1_000_000;
/// The most chunks that are moved once a run is over, several times what the kernel holds (8 KiB between the ends of a pseudoterminal, 4 KiB in its line
/// discipline): who has smuggled the slave into another run could go on writing for ever.
const LAST_CHUNKS: usize = 64;

/// The terminal of one run.
pub struct Terminal {
    /// None once it is hung up.
    line: Option<Line>,
    keyboard: Keyboard,
    screen: Screen,
    /// Once the run is over: until when to wait for room.
    deadline_us: Option<u64>,
}

/// Both ends of the pseudoterminal.
struct Line {
    master: Watched,
    slave: OwnedFd,
}

/// The host's ends.
#[derive(Debug, Default)]
pub struct Ends {
    /// What is typed, to read from.
    pub keyboard: Option<OwnedFd>,
    /// What is shown, to write to.
    pub screen: Option<OwnedFd>,
}

impl Terminal {
    /// Connects them. Events come under the token.
    pub fn new(pair: Pair, ends: Ends, epoll: &Rc<Epoll>, token: u64) -> Result<Self, Failure> {
        let connect = || {
            let watched = |end: OwnedFd| Watched::new(end, epoll, token);
            let line = Line { master: watched(pair.master)?, slave: pair.slave };
            let keyboard = Keyboard::new(ends.keyboard.map(watched).transpose()?, monotonic_us());
            let screen = Screen::new(ends.screen.map(watched).transpose()?);
            let mut terminal = Self { line: Some(line), keyboard, screen, deadline_us: None };
            terminal.watch().map(|()| terminal)
        };
        connect().map_err(|error: io::Error| Failure::new(Step::OpenTerminal, errno(&error)))
    }

    /// What pid 1 has open for it.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let line = self.line.as_ref().map(|line| [line.master.as_raw_fd(), line.slave.as_raw_fd()]);
        let pipes = [self.keyboard.pipe(), self.screen.pipe()].into_iter().flatten().map(AsRawFd::as_raw_fd);
        line.into_iter().flatten().chain(pipes)
    }

    /// Moves what there is to move, after these events of epoll(7).
    pub fn advance(&mut self, events: u32) {
        let Some(line) = &self.line else { return };
        self.keyboard.advance(&line.master, line.slave.as_fd(), monotonic_us());
        // Of our descriptors only the writing end of a pipe has that event: nobody will read the screen any more.
        let is_gone = events & libc::EPOLLERR as u32 != 0 || self.screen.advance(&line.master) == Flow::Gone;
        if is_gone || self.watch().is_err() {
            self.hang_up();
        }
    }

    /// When there is something to do without an event, in microseconds of `CLOCK_MONOTONIC`.
    pub fn next_us(&self) -> u64 {
        self.line.as_ref().map_or(u64::MAX, |_| self.keyboard.next_us())
    }

    /// Gives it another size; its foreground processes get SIGWINCH.
    pub fn resize(&self, size: WindowSize) {
        if let Some(line) = &self.line {
            // A size is all that could be wrong with it, and the kernel takes every one.
            let _ = tty::set_window_size(line.master.as_fd(), size.columns, size.rows);
        }
    }

    /// Every process of the run is dead: moves the rest to the screen. Whether that was all.
    pub fn drain(&mut self) -> bool {
        let Some(line) = &self.line else { return true };
        self.keyboard.end();
        let now = monotonic_us();
        for _ in 0..LAST_CHUNKS {
            match self.screen.advance(&line.master) {
                Flow::Moved => {}
                Flow::Idle | Flow::Gone => return true,
                Flow::Full if self.screen.enlarge() => {}
                Flow::Full => return now >= *self.deadline_us.get_or_insert(now + LAST_US),
            }
        }
        true
    }

    fn hang_up(&mut self) {
        self.line = None;
        self.keyboard.end();
        self.screen.end();
    }

    /// Has epoll(7) tell of what can be done next.
    fn watch(&mut self) -> io::Result<()> {
        let shows = if self.screen.is_full() { 0 } else { libc::EPOLLIN };
        let types = if self.keyboard.is_full() { libc::EPOLLOUT } else { 0 };
        if let Some(line) = &mut self.line {
            line.master.watch(Some((shows | types) as u32))?;
        }
        self.keyboard.watch()?;
        self.screen.watch()
    }
}
