//! Directories: listing them, reading what is in them, and filling them, a bounded number of names at a time.
//!
//! None of these requests leaves anything behind in init: whoever walks a tree keeps track of it on the other side, and can give up at
//! any moment. Each names a *base*, which is resolved as every path of a request, and what is below of it by a relative path, on
//! which no symbolic link is followed: what was a directory when it was listed and is a link by now is an error (`ELOOP`).

use crate::step::Failure;
use serde::{Deserialize, Serialize};

/// The most names in one request or reply of this kind: as many descriptors fit beside a packet.
pub const NAMES_MAX: usize = 128;

/// How many bytes of names and targets a [`Listing`] holds before it ends; one more entry fits a packet all the same.
pub const LISTING_BYTES: usize = 20 * 1024;

/// Where a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base<'a> {
    /// At a path of the container.
    Path(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// What was changed in the overlay that is mounted at this path, with overlayfs' own marks.
    Upper(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// What that overlay lies on: a directory of the host.
    Lower(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// A part of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// In the order of the file system.
    pub entries: Vec<Listed>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
    /// Of a directory of [`Base::Upper`]: whether it hides what the lower one with its name holds.
    pub is_opaque: bool,
    /// Mode bits (0o7777) of the directory itself.
    pub mode: u32,
    /// Its modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// One component.
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Mode bits (0o7777).
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// What a symbolic link says; empty for all else.
    #[serde(with = "serde_bytes")]
    pub target: Vec<u8>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// The character device 0:0, by which an upper layer says that there is nothing under this name any more.
    Whiteout,
}

impl FileKind {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharacterDevice => "character-device",
            Self::BlockDevice => "block-device",
            Self::Whiteout => "whiteout",
        }
    }
}

/// Something to be made below a base. Missing parents are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Relative to the base; no component is empty, `.` or `..`. Empty: the base itself, for a directory.
    #[serde(borrow, with = "serde_bytes")]
    pub path: &'a [u8],
    /// What.
    pub kind: ItemKind<'a>,
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemKind<'a> {
    /// A directory, unless it is there. Its mode is set by [`Settled::Directory`], when nothing more goes into it.
    Directory,
    /// A regular file with this mode, to be written and committed as with [`crate::OpenHow::Replace`].
    File {
        /// Mode bits (0o7777).
        mode: u32,
    },
    /// A symbolic link, in the place of what is there and is no directory.
    Symlink {
        /// What it says; not checked, not resolved.
        #[serde(borrow, with = "serde_bytes")]
        target: &'a [u8],
    },
    /// Another name for a regular file below the same base, in the place of what is there and is no directory.
    HardLink {
        /// Relative to the base.
        #[serde(borrow, with = "serde_bytes")]
        target: &'a [u8],
    },
}

/// Something that gets its last touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settled<'a> {
    /// A file gets its name.
    File {
        /// By which it is known.
        ticket: u32,
        /// Its modification time, in nanoseconds since 1970.
        mtime_ns: Option<i64>,
    },
    /// A directory gets its mode.
    Directory {
        /// Relative to the base.
        #[serde(borrow, with = "serde_bytes")]
        path: &'a [u8],
        /// Mode bits (0o7777).
        mode: u32,
        /// Its modification time, in nanoseconds since 1970.
        mtime_ns: Option<i64>,
    },
}

/// What became of an [`Item`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filled {
    /// It is there, and was before: a directory.
    Known,
    /// It was made.
    Made,
    /// A file is open for writing, with its descriptor beside the packet; to be committed or discarded by this ticket.
    Open(u32),
    /// It could not be made. Without a subject if there are several items.
    Failed(Failure),
}
