//! Whole directories: into a container, out of it as an archive, listed, and compared with what they were.
//!
//! Each of these is a thread of its own, for as long as it takes. It asks init for one bounded piece of work after the other
//! (`hotcell_protocol::tree`), reads and writes contents through the descriptors that it is given, and is the only one who knows
//! where in the tree it is: it can stop at any point, and init has nothing to forget. Init answers everybody else in between.
//!
//! ```text
//! a directory of the host  ─▶ host_tree ─┐                                  ┌─▶ pack ─▶ an archive
//! an archive               ─▶ unpack    ─┴▶ filler ─▶ init ─▶ walk, listing ┼─▶ list
//!                                                                           └─▶ changes
//! ```
//!
//! Archives are tar, ustar with pax(1) records, and both sides of one may be hostile: a container's tree may have any shape and change
//! while it is read, and an archive may say anything at all. Whatever there is no natural bound for (names, records of an entry, maps of
//! holes, entries, bytes) has one here.

mod call;
mod changes;
mod filler;
mod glob;
mod host_tree;
mod list;
mod pack;
mod unpack;
mod walk;

pub use glob::{Selection, is_glob};

use crate::error::{Error, errno};
use crate::event::{Batch, Event, RequestId, Sink};
use crate::master::Master;
use crate::pipe;
use call::Calls;
use hotcell_protocol::Base;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest path below a base, as the kernel has it (`PATH_MAX` without its NUL).
const PATH_MAX: usize = 4095;
/// How much of a file is read or written at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// How much a copy or a listing may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes: of the archive that comes out, or of the contents that go in.
    pub bytes: u64,
    /// Files and directories that are looked at.
    pub entries: u64,
}

/// What goes into a directory.
#[derive(Debug)]
pub enum Source {
    /// A directory of the host's.
    Directory(OwnedFd),
    /// An archive, read to its end.
    Archive(OwnedFd),
}

/// How it goes in.
#[derive(Debug, Clone)]
pub struct CopyIn {
    /// What of it.
    pub selection: Selection,
    /// How much of it.
    pub bounds: Bounds,
    /// Mode bits of every file, instead of its own.
    pub mode: Option<u32>,
    /// How many leading components of each name in an archive are dropped, with what has no more than these.
    pub strip: u32,
}

/// A copy or listing that goes on. Its end arrives under [`Transfer::id`]: [`Event::Done`], or [`Event::Failed`].
#[derive(Debug, Clone)]
pub struct Transfer {
    id: RequestId,
    stop: Arc<AtomicBool>,
}

impl Transfer {
    /// Under which its end arrives.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Makes it end with [`Error::Stop`] soon, if it has not ended. Whoever has the other end of its pipe closes that as well.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Master {
    /// Fills a directory of the container, which is made with its parents where it is missing. What is there stays, unless something comes
    /// in its place. If the directory was missing, it is deleted again should anything fail.
    pub fn copy_in_tree(&self, source: Source, path: &[u8], how: CopyIn, sink: &Arc<dyn Sink>) -> Transfer {
        let path = path.to_vec();
        self.transfer(sink, move |calls| filler::copy_in(calls, source, &path, &how))
    }

    /// The same of an archive that is written to the pipe whose end is returned, which is non-blocking.
    pub fn copy_in_archive(
        &self,
        path: &[u8],
        how: CopyIn,
        sink: &Arc<dyn Sink>,
    ) -> Result<(Transfer, OwnedFd), Error> {
        let pipe = pipe::to_program()?;
        Ok((self.copy_in_tree(Source::Archive(pipe.theirs), path, how, sink), pipe.ours))
    }

    /// Writes what is in a directory of the container to the pipe whose end is returned, which is non-blocking, as an archive.
    pub fn copy_out_tree(
        &self,
        path: &[u8],
        selection: Selection,
        bounds: Bounds,
        sink: &Arc<dyn Sink>,
    ) -> Result<(Transfer, OwnedFd), Error> {
        let path = path.to_vec();
        self.output(sink, move |calls, output| pack::copy_out(calls, &path, &selection, bounds, output))
    }

    /// Lists what is in a directory of the container, and below. For each name that is selected there are six fields, each with a NUL behind it:
    /// the name of its [`hotcell_protocol::FileKind`], its size in bytes, its mode bits in decimal, its modification time in nanoseconds, its
    /// path, and what it says if it is a symbolic link.
    pub fn list_tree(
        &self,
        path: &[u8],
        selection: Selection,
        entries: u64,
        sink: &Arc<dyn Sink>,
    ) -> Result<(Transfer, OwnedFd), Error> {
        let path = path.to_vec();
        self.output(sink, move |calls, output| list::list(calls, Base::Path(&path), &selection, entries, output))
    }

    /// Compares what is in an overlay with what it lies on. For each path that differs there are two fields, each with a NUL behind it: `added`,
    /// `changed` or `deleted`, and the path. In the order of the paths.
    pub fn changes(&self, path: &[u8], entries: u64, sink: &Arc<dyn Sink>) -> Result<(Transfer, OwnedFd), Error> {
        let path = path.to_vec();
        self.output(sink, move |calls, output| changes::changes(calls, &path, entries, output))
    }

    fn output(
        &self,
        sink: &Arc<dyn Sink>,
        work: impl FnOnce(&Calls, File) -> Result<(), Error> + Send + 'static,
    ) -> Result<(Transfer, OwnedFd), Error> {
        let pipe = pipe::from_program()?;
        let output = File::from(pipe.theirs);
        Ok((self.transfer(sink, move |calls| work(calls, output)), pipe.ours))
    }

    fn transfer(
        &self,
        sink: &Arc<dyn Sink>,
        work: impl FnOnce(&Calls) -> Result<(), Error> + Send + 'static,
    ) -> Transfer {
        let transfer = Transfer { id: RequestId::next(), stop: Arc::default() };
        let calls = Calls::new(self.connection(), Arc::clone(&transfer.stop));
        let (id, to) = (transfer.id, Arc::clone(sink));
        let copy = move || {
            let event = match work(&calls) {
                Ok(()) => Event::Done,
                Err(error) => Event::Failed(error),
            };
            Batch::default().deliver(to, id, event);
        };
        if let Err(error) = std::thread::Builder::new().name("hotcell-copy".into()).spawn(copy) {
            let error = Error::StartThread { errno: errno(&error) };
            Batch::default().deliver(Arc::clone(sink), id, Event::Failed(error));
        }
        transfer
    }
}

/// An I/O error of ours, on a file with this path.
fn file_error(doing: &'static str, syscall: &'static str, path: &[u8]) -> impl Fn(io::Error) -> Error {
    move |error| Error::UseFile {
        doing,
        syscall,
        // An end of file where there should be more has no number.
        errno: error.raw_os_error().unwrap_or(nix::libc::EIO),
        path: path.to_vec(),
    }
}

/// A path below a base.
fn join(directory: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
    let path = if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() };
    if path.len() > PATH_MAX {
        let path = path.get(..256).unwrap_or_default();
        return Err(file_error("use a path of more than 4095 bytes", "openat2", path)(io::Error::from_raw_os_error(
            nix::libc::ENAMETOOLONG,
        )));
    }
    Ok(path)
}
