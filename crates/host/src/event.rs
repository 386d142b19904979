//! What becomes of requests, and who is told.

use crate::error::Error;
use crate::outcome::Outcome;
use hotcell_protocol::{Failure, Filled, Listing, Sample};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one request, and every [`Event`] that belongs to it. Unique in this process for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// A new one, for instance for a request that could not even be made. Its low half, which goes over the wire, is not 0.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        loop {
            let id = Self(NEXT.fetch_add(1, Ordering::Relaxed));
            if id.wire() != 0 {
                return id;
            }
        }
    }

    /// As a number, below 2⁵³ for the first 285 years at a million requests a second.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// From a number that [`RequestId::get`] gave; any other names no request.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The id of the wire protocol.
    pub(crate) const fn wire(self) -> u32 {
        self.0 as u32
    }
}

/// Something that became of a request. All but [`Event::Started`], [`Event::SyncPoint`] and [`Event::Timeline`] are its last.
#[derive(Debug)]
pub enum Event {
    /// Done as asked.
    Done,
    /// It could not be done.
    Failed(Error),
    /// A run of `execve` or `spawn` is over, and every process of it is dead.
    Ended(Outcome),
    /// A run of `run` is over, and every process of it is dead.
    Collected(Box<Collected>),
    /// The program was executed.
    Started {
        /// As this process sees it.
        pid: u32,
    },
    /// The program is about to be executed, and waits for `resume` or `abort`.
    SyncPoint {
        /// As this process sees it.
        pid: u32,
    },
    /// What a run has used in the course of time, if its [`crate::Program`] asked for it and was executed. Its end comes next.
    Timeline(Vec<Sample>),
    /// A file was opened. It is a regular file.
    File {
        /// Opened as asked.
        file: OwnedFd,
        /// For `commit` and `discard`.
        ticket: u32,
    },
    /// A part of a directory.
    Listed(Listing),
    /// Files of a directory were opened. Each is a regular file.
    Files(Vec<Result<OwnedFd, Failure>>),
    /// Things were made in a directory; the files among them are open, in order.
    Filled {
        /// One for each, up to the first that failed.
        items: Vec<Filled>,
        /// Of those that are [`Filled::Open`].
        files: Vec<OwnedFd>,
    },
    /// The container is ready.
    Created {
        /// Init's, as this process sees it.
        pid: u32,
    },
    /// The container is gone, with every process in it. Arrives under [`crate::Master::closed_id`], once, whatever happened.
    Closed {
        /// Whether [`crate::Master::destroy`] was called.
        requested: bool,
    },
}

/// The result of a run whose output was collected.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// How it ended, and what it used.
    pub outcome: Outcome,
    /// The stream that went over the limit, for which the run was killed.
    pub breach: Option<Stream>,
    /// What was written to descriptor 1, at most as much as the limit.
    pub stdout: Vec<u8>,
    /// What was written to descriptor 2, at most as much as the limit.
    pub stderr: Vec<u8>,
}

/// An output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Who is told what becomes of requests.
///
/// Called by the reactor thread, or by the thread that makes a request which fails at once (before its method returns).
/// Every container of the process waits meanwhile, so an implementation hands over and returns; it must not panic.
pub trait Sink: Send + Sync {
    /// Takes an event.
    fn deliver(&self, id: RequestId, event: Event);

    /// The events of this moment are all delivered: called once after one or more [`Sink::deliver`].
    fn flush(&self) {}
}

/// Events on their way out of the reactor, and the sinks that have yet to be told that this was all.
#[derive(Default)]
pub(crate) struct Batch {
    sinks: Vec<Arc<dyn Sink>>,
}

impl Batch {
    pub(crate) fn deliver(&mut self, sink: Arc<dyn Sink>, id: RequestId, event: Event) {
        sink.deliver(id, event);
        if !self.sinks.iter().any(|known| Arc::ptr_eq(known, &sink)) {
            self.sinks.push(sink);
        }
    }

    pub(crate) fn flush(&mut self) {
        for sink in self.sinks.drain(..) {
            sink.flush();
        }
    }
}

/// Who is told of requests that nobody made but this library itself.
pub(crate) struct Nobody;

impl Sink for Nobody {
    fn deliver(&self, _: RequestId, _: Event) {}
}

impl Nobody {
    /// Shared by all.
    pub(crate) fn sink() -> Arc<dyn Sink> {
        Arc::new(Self)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.flush();
    }
}
