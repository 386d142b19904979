//! The terminal of a run: a pseudoterminal (pty(7)) of the container's own devpts.
//!
//! Its master never leaves init, which passes on what is typed and what is shown between it and two pipes of the host's. Status flags
//! belong to what all copies of a descriptor share (fcntl(2)): with a master of its own the host could be made to wait in a read(2) by whoever
//! took over init and cleared `O_NONBLOCK` there.

use serde::{Deserialize, Serialize};

/// A run's descriptors 0, 1 and 2, and its controlling terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// How large it is at the start.
    pub size: WindowSize,
    /// Whether a pipe comes beside the packet that holds what is typed. At its end, and without one, the end of file is typed.
    pub keyboard: bool,
    /// Whether a pipe comes beside the packet that takes what is shown. When nobody reads it any more, the terminal is hung up. Without one, all
    /// of that is thrown away.
    pub screen: bool,
}

impl Terminal {
    /// How many descriptors come for it.
    pub const fn descriptors(self) -> usize {
        self.keyboard as usize + self.screen as usize
    }
}

/// `struct winsize` of ioctl_tty(2), as far as anybody looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}
