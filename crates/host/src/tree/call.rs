//! Asking init and waiting for the answer.

use crate::blocking::Mailbox;
use crate::connection::Connection;
use crate::error::Error;
use crate::event::{Event, RequestId, Sink};
use crate::pending::{Deadline, Kind};
use hotcell_protocol::{Base, Failure, Filled, Item, ItemKind, Listing, RequestBody, Settled};
use serde_bytes::Bytes;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long one piece of work may take; it may stand behind a reset.
const SECONDS: u64 = 30;

/// What a copier asks init for.
pub(super) struct Calls {
    connection: Arc<Connection>,
    mailbox: Arc<Mailbox>,
    sink: Arc<dyn Sink>,
    stop: Arc<AtomicBool>,
    /// How many resets were asked for before this began.
    resets: u32,
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.connection.transfers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Calls {
    pub(super) fn new(connection: Arc<Connection>, stop: Arc<AtomicBool>) -> Self {
        let mailbox = Mailbox::new();
        connection.transfers.fetch_add(1, Ordering::SeqCst);
        let resets = connection.resets.load(Ordering::SeqCst);
        Self { connection, sink: mailbox.clone(), mailbox, stop, resets }
    }

    /// An error if the copy was stopped.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::SeqCst) { Err(Error::Stop) } else { Ok(()) }
    }

    fn ask(&self, kind: Kind, name: &'static str, body: RequestBody<'_>) -> Result<Event, Error> {
        let id = RequestId::next();
        self.connection.request(id, kind, Some(Deadline::after(SECONDS, name)), &self.sink, body, &[]);
        match self.mailbox.wait(id) {
            Event::Failed(error) => Err(error),
            event => Ok(event),
        }
    }

    pub(super) fn list(&self, base: Base<'_>, directory: &[u8], offset: i64) -> Result<Listing, Error> {
        self.check()?;
        let resets = self.resets;
        match self.ask(Kind::List, "list", RequestBody::List { resets, base, directory, offset })? {
            Event::Listed(listing) => Ok(listing),
            _ => Err(Error::KeepContainer),
        }
    }

    pub(super) fn read(
        &self,
        base: Base<'_>,
        directory: &[u8],
        names: &[&[u8]],
    ) -> Result<Vec<Result<File, Failure>>, Error> {
        self.check()?;
        let resets = self.resets;
        let names: Vec<_> = names.iter().map(|name| Bytes::new(name)).collect();
        match self.ask(
            Kind::Read { count: names.len() },
            "read",
            RequestBody::Read { resets, base, directory, names },
        )? {
            Event::Files(files) => Ok(files.into_iter().map(|file| file.map(File::from)).collect()),
            _ => Err(Error::KeepContainer),
        }
    }

    pub(super) fn fill(&self, base: &[u8], items: Vec<Item<'_>>) -> Result<(Vec<Filled>, Vec<OwnedFd>), Error> {
        self.check()?;
        let resets = self.resets;
        let files = items.iter().map(|item| matches!(item.kind, ItemKind::File { .. })).collect();
        match self.ask(Kind::Fill { files }, "fill", RequestBody::Fill { resets, base, items })? {
            Event::Filled { items, files } => Ok((items, files)),
            _ => Err(Error::KeepContainer),
        }
    }

    pub(super) fn settle(&self, base: &[u8], items: Vec<Settled<'_>>) -> Result<(), Error> {
        self.ask(Kind::Plain, "settle", RequestBody::Settle { resets: self.resets, base, items }).map(drop)
    }

    /// Whatever becomes of it: it is asked for because something has failed already.
    pub(super) fn discard(&self, tickets: Vec<u32>) {
        let _ = self.ask(Kind::Plain, "discard", RequestBody::Discard(tickets));
    }

    /// The same.
    pub(super) fn unmake(&self, base: &[u8]) {
        let _ = self.ask(Kind::Plain, "unmake", RequestBody::Unmake { resets: self.resets, base });
    }
}
