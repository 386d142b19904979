//! Filling a directory of a container with what comes from an archive or from a directory of the host's.
//!
//! Small files are gathered, so that a thousand of them take some ten round trips: init opens a batch under temporary names, the contents are
//! written from here, and init gives them their names. Large ones are written on the way. The order of what comes is kept where it can be seen: what
//! concerns a name that waits in the batch, or might, waits for the batch first. Directories get their modes and times at the end, the
//! deepest first.

use super::call::Calls;
use super::unpack::{Entry, Kind, Reader, not_read};
use super::{CHUNK_BYTES, CopyIn, Source, file_error, host_tree};
use crate::error::Error;
use hotcell_protocol::tree::NAMES_MAX;
use hotcell_protocol::{Failure, Filled, Item, ItemKind, Settled};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Up to here a file is kept in memory until its batch is whole.
pub(super) const SMALL_BYTES: u64 = 64 * 1024;
/// How much of files a batch holds.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// As [`crate::Master::copy_in_tree`] says.
pub(super) fn copy_in(calls: &Calls, source: Source, path: &[u8], how: &CopyIn) -> Result<(), Error> {
    let mut filler = Filler::start(calls, path, how)?;
    let filled = match source {
        Source::Archive(archive) => unpack(&mut filler, File::from(archive)),
        Source::Directory(directory) => host_tree::copy(&mut filler, &directory),
    };
    // Who stopped it may have closed the pipe where an archive could end.
    let finished = filled.and_then(|()| calls.check()).and_then(|()| filler.finish());
    if finished.is_err() && filler.base_is_new {
        calls.unmake(path);
    }
    finished
}

fn unpack(filler: &mut Filler<'_>, archive: File) -> Result<(), Error> {
    let how = filler.how;
    let mut reader = Reader::new(BufReader::with_capacity(CHUNK_BYTES, archive), how.bounds.entries, how.strip);
    while let Some(Entry { path, kind, mode, mtime_ns }) = reader.next()? {
        filler.count()?;
        if !how.selection.includes(&path) && !path.is_empty() {
            continue;
        }
        match kind {
            Kind::Directory => filler.directory(path, mode, mtime_ns)?,
            Kind::Symlink(target) => filler.symlink(path, target)?,
            Kind::HardLink(target) => filler.hard_link(path, target)?,
            Kind::File { size, holes: None } if size <= SMALL_BYTES => {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).map_err(|error| not_read(&error))?;
                filler.small_file(path, mode, mtime_ns, content)?;
            }
            Kind::File { size, holes } => {
                let stretches = holes.unwrap_or_else(|| vec![(0, size)]);
                filler.large_file(path, mode, mtime_ns, size, |output| {
                    for (offset, length) in stretches {
                        output.copy(&mut reader, offset, length, |error| not_read(&error))?;
                    }
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}

/// What waits for its batch.
struct Waiting {
    path: Vec<u8>,
    kind: WaitingKind,
}

enum WaitingKind {
    Directory { mode: u32, mtime_ns: Option<i64> },
    File { mode: u32, mtime_ns: Option<i64>, content: Vec<u8> },
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
}

/// A directory that was made.
struct Made {
    path: Vec<u8>,
    mode: u32,
    mtime_ns: Option<i64>,
}

pub(super) struct Filler<'a> {
    pub(super) calls: &'a Calls,
    pub(super) how: &'a CopyIn,
    base: &'a [u8],
    base_is_new: bool,
    entries_left: u64,
    bytes_left: u64,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    waiting_names: HashSet<Vec<u8>>,
    directories: Vec<Made>,
}

impl<'a> Filler<'a> {
    fn start(calls: &'a Calls, base: &'a [u8], how: &'a CopyIn) -> Result<Self, Error> {
        let (filled, _) = calls.fill(base, vec![Item { path: b"", kind: ItemKind::Directory }])?;
        let base_is_new = filled.first() == Some(&Filled::Made);
        Ok(Self {
            calls,
            how,
            base,
            base_is_new,
            entries_left: how.bounds.entries,
            bytes_left: how.bounds.bytes,
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_names: HashSet::new(),
            directories: Vec::new(),
        })
    }

    /// One more entry is looked at.
    pub(super) fn count(&mut self) -> Result<(), Error> {
        let most = self.how.bounds.entries;
        self.entries_left = self.entries_left.checked_sub(1).ok_or(Error::Exceed { limit: "maxEntries", most })?;
        Ok(())
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), Error> {
        let most = self.how.bounds.bytes;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Error::Exceed { limit: "maxBytes", most })?;
        Ok(())
    }

    pub(super) fn directory(&mut self, path: Vec<u8>, mode: u32, mtime_ns: Option<i64>) -> Result<(), Error> {
        // Whoever may read a file in it may also find it.
        let mode = self.how.mode.map_or(mode, |mode| mode | (mode & 0o444) >> 2);
        if path.is_empty() {
            if self.base_is_new {
                self.directories.push(Made { path, mode, mtime_ns });
            }
            return Ok(());
        }
        self.push(path, WaitingKind::Directory { mode, mtime_ns }, 0)
    }

    pub(super) fn symlink(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<(), Error> {
        self.push(path, WaitingKind::Symlink { target }, 0)
    }

    pub(super) fn hard_link(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<(), Error> {
        // The target may be in the batch.
        self.flush()?;
        self.push(path, WaitingKind::HardLink { target }, 0)
    }

    pub(super) fn small_file(
        &mut self,
        path: Vec<u8>,
        mode: u32,
        mtime_ns: Option<i64>,
        content: Vec<u8>,
    ) -> Result<(), Error> {
        self.count_bytes(content.len() as u64)?;
        let (mode, bytes) = (self.how.mode.unwrap_or(mode), content.len());
        self.push(path, WaitingKind::File { mode, mtime_ns, content }, bytes)
    }

    fn push(&mut self, path: Vec<u8>, kind: WaitingKind, bytes: usize) -> Result<(), Error> {
        if self.waiting_names.contains(&path) {
            self.flush()?;
        }
        self.waiting_names.insert(path.clone());
        self.waiting.push(Waiting { path, kind });
        self.waiting_bytes += bytes;
        if self.waiting.len() >= NAMES_MAX || self.waiting_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// A file whose content `write` writes.
    pub(super) fn large_file(
        &mut self,
        path: Vec<u8>,
        mode: u32,
        mtime_ns: Option<i64>,
        size: u64,
        write: impl FnOnce(&mut Output<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.flush()?;
        let mode = self.how.mode.unwrap_or(mode);
        let (filled, files) = self.calls.fill(self.base, vec![Item { path: &path, kind: ItemKind::File { mode } }])?;
        let (ticket, file) = match (filled.into_iter().next(), files.into_iter().next()) {
            (Some(Filled::Open(ticket)), Some(file)) => (ticket, File::from(file)),
            (Some(Filled::Failed(failure)), _) => return Err(self.failed(failure, &path)),
            _ => return Err(Error::KeepContainer),
        };
        let mut output = Output { filler: self, file: &file, path: &path };
        let written = write(&mut output).and_then(|()| output.set_length(size));
        drop(file);
        if let Err(error) = written {
            self.calls.discard(vec![ticket]);
            return Err(error);
        }
        self.calls.settle(self.base, vec![Settled::File { ticket, mtime_ns }])
    }

    /// Makes everything that waits.
    fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_names.clear();
        self.waiting_bytes = 0;
        let items = waiting.iter().map(|Waiting { path, kind }| {
            let kind = match kind {
                WaitingKind::Directory { .. } => ItemKind::Directory,
                WaitingKind::File { mode, .. } => ItemKind::File { mode: *mode },
                WaitingKind::Symlink { target } => ItemKind::Symlink { target },
                WaitingKind::HardLink { target } => ItemKind::HardLink { target },
            };
            Item { path, kind }
        });
        let (filled, files) = self.calls.fill(self.base, items.collect())?;
        let tickets: Vec<u32> = filled
            .iter()
            .filter_map(|filled| match filled {
                Filled::Open(ticket) => Some(*ticket),
                _ => None,
            })
            .collect();
        let written = self.write_all(waiting, filled, files.into_iter().map(File::from));
        match written {
            Ok(settled) if settled.is_empty() => Ok(()),
            Ok(settled) => self.calls.settle(self.base, settled),
            Err(error) => {
                self.calls.discard(tickets);
                Err(error)
            }
        }
    }

    /// Writes the contents of a batch. All files are closed then: one that is open for writing cannot be executed (ETXTBSY).
    fn write_all(
        &mut self,
        waiting: Vec<Waiting>,
        filled: Vec<Filled>,
        mut files: impl Iterator<Item = File>,
    ) -> Result<Vec<Settled<'static>>, Error> {
        let mut settled = Vec::new();
        for (Waiting { path, kind }, filled) in waiting.into_iter().zip(filled) {
            match (kind, filled) {
                (_, Filled::Failed(failure)) => return Err(self.failed(failure, &path)),
                (WaitingKind::File { mtime_ns, content, .. }, Filled::Open(ticket)) => {
                    let file = files.next().ok_or(Error::KeepContainer)?;
                    file.write_all_at(&content, 0).map_err(|error| self.not_written(&path, error))?;
                    settled.push(Settled::File { ticket, mtime_ns });
                }
                (WaitingKind::Directory { mode, mtime_ns }, Filled::Made) => {
                    self.directories.push(Made { path, mode, mtime_ns });
                }
                _ => {}
            }
        }
        Ok(settled)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.flush()?;
        let mut directories = std::mem::take(&mut self.directories);
        directories.reverse();
        for part in directories.chunks(NAMES_MAX) {
            let items = part.iter().map(|Made { path, mode, mtime_ns }| Settled::Directory {
                path,
                mode: *mode,
                mtime_ns: *mtime_ns,
            });
            self.calls.settle(self.base, items.collect())?;
        }
        Ok(())
    }

    /// What init says of one of several, with the path that it left out.
    fn failed(&self, failure: Failure, path: &[u8]) -> Error {
        Error::Perform(failure.of(&self.display(path)))
    }

    fn not_written(&self, path: &[u8], error: io::Error) -> Error {
        file_error("write the file in the container", "write", &self.display(path))(error)
    }

    fn display(&self, path: &[u8]) -> Vec<u8> {
        [self.base, b"/", path].concat()
    }
}

/// A file that is being written.
pub(super) struct Output<'a, 'b> {
    filler: &'a mut Filler<'b>,
    file: &'a File,
    path: &'a [u8],
}

impl Output<'_, '_> {
    /// Writes so many bytes at an offset.
    pub(super) fn copy(
        &mut self,
        source: &mut impl Read,
        offset: u64,
        length: u64,
        not_read: impl Fn(io::Error) -> Error,
    ) -> Result<(), Error> {
        self.filler.count_bytes(length)?;
        let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(length).unwrap_or(CHUNK_BYTES))];
        let (mut at, end) = (offset, offset + length);
        while at < end {
            self.filler.calls.check()?;
            let wanted = (end - at).min(buffer.len() as u64) as usize;
            let read = match source.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                // The host's file became shorter meanwhile.
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(not_read(error)),
            };
            let part = buffer.get(..read).unwrap_or_default();
            self.file.write_all_at(part, at).map_err(|error| self.filler.not_written(self.path, error))?;
            at += read as u64;
        }
        Ok(())
    }

    /// A hole at the end, if nothing was written there.
    fn set_length(&mut self, size: u64) -> Result<(), Error> {
        self.file.set_len(size).map_err(|error| self.filler.not_written(self.path, error))
    }
}
