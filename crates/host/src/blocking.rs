//! The same, for threads that may wait: each call returns its result.

use crate::cgroups::CgroupChoice;
use crate::error::Error;
use crate::event::{Collected, Event, RequestId, Sink};
use crate::limits::Limits;
use crate::lock;
use crate::master::{Master, Program};
use crate::outcome::Outcome;
use crate::seccomp::Seccomp;
use hotcell_protocol::Setup;
use hotcell_seccomp::Profile;
use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A sink that keeps events until somebody asks for them.
#[derive(Default)]
pub struct Mailbox {
    events: Mutex<VecDeque<(RequestId, Event)>>,
    arrived: Condvar,
}

impl Sink for Mailbox {
    fn deliver(&self, id: RequestId, event: Event) {
        lock(&self.events).push_back((id, event));
    }

    fn flush(&self) {
        self.arrived.notify_all();
    }
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next event of this request, waited for.
    pub fn wait(&self, id: RequestId) -> Event {
        let mut events = lock(&self.events);
        loop {
            if let Some(event) = take(&mut events, id) {
                return event;
            }
            events = self.arrived.wait(events).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for so long at most.
    pub fn wait_for(&self, id: RequestId, timeout: Duration) -> Option<Event> {
        let end = Instant::now() + timeout;
        let mut events = lock(&self.events);
        loop {
            if let Some(event) = take(&mut events, id) {
                return Some(event);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            events = self.arrived.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn take(events: &mut VecDeque<(RequestId, Event)>, id: RequestId) -> Option<Event> {
    let index = events.iter().position(|(of, _)| *of == id)?;
    events.remove(index).map(|(_, event)| event)
}

/// A [`Master`] with a [`Mailbox`]. Each method waits for the end of what it asks for; several threads may ask at once.
pub struct Container {
    master: Master,
    mailbox: Arc<Mailbox>,
    sink: Arc<dyn Sink>,
    pid: u32,
}

impl Container {
    /// Creates a container, with cgroups where they can be had and the default profile for system calls.
    pub fn create(setup: &Setup) -> Result<Self, Error> {
        Self::create_in(setup, &CgroupChoice::Preferred, Seccomp::profile(Profile::Default)?)
    }

    /// The same, with a choice of both.
    pub fn create_in(setup: &Setup, cgroup: &CgroupChoice, seccomp: Seccomp) -> Result<Self, Error> {
        let mailbox = Mailbox::new();
        let sink: Arc<dyn Sink> = mailbox.clone();
        let master = Master::create_in(setup.clone(), cgroup, &Limits::default(), seccomp, &sink)?;
        match mailbox.wait(master.id()) {
            Event::Created { pid } => Ok(Self { master, mailbox, sink, pid }),
            event => Err(failure(event)),
        }
    }

    /// Init's pid, as this process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// For requests that shall not be waited for.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// Where to have their events sent, to be waited for here.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// Where these arrive.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// [`Master::ping`].
    pub fn ping(&self) -> Result<(), Error> {
        self.done(self.master.ping(&self.sink))
    }

    /// [`Master::open`].
    pub fn open(&self, path: &[u8], flags: i32, mode: u32) -> Result<File, Error> {
        self.file(self.master.open(path, flags, mode, &self.sink)).map(|(file, _)| file)
    }

    /// [`Master::replace`]: the file, and the ticket to commit or discard it by.
    pub fn replace(&self, path: &[u8], mode: u32) -> Result<(File, u32), Error> {
        self.file(self.master.replace(path, mode, &self.sink))
    }

    /// [`Master::commit`].
    pub fn commit(&self, ticket: u32) -> Result<(), Error> {
        self.done(self.master.commit(ticket, &self.sink))
    }

    /// [`Master::discard`].
    pub fn discard(&self, ticket: u32) -> Result<(), Error> {
        self.done(self.master.discard(ticket, &self.sink))
    }

    /// [`Master::delete`].
    pub fn delete(&self, path: &[u8], recursive: bool) -> Result<(), Error> {
        self.done(self.master.delete(path, recursive, &self.sink))
    }

    /// [`Master::symlink`].
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<(), Error> {
        self.done(self.master.symlink(target, path, &self.sink))
    }

    /// [`Master::reset`].
    pub fn reset(&self) -> Result<(), Error> {
        self.done(self.master.reset(&self.sink))
    }

    /// [`Master::execve`], for a program without a sync point.
    pub fn execve(&self, program: Program<'_>, fds: &[BorrowedFd<'_>]) -> Result<Outcome, Error> {
        let id = self.master.execve(program, fds, &self.sink);
        self.ended(id)
    }

    /// [`Master::run`], for a program without a sync point.
    pub fn run(&self, program: Program<'_>, input: &[u8], limit: usize) -> Result<Collected, Error> {
        let id = self.master.run(program, input, limit, &self.sink);
        match self.last(id) {
            Event::Collected(collected) => Ok(*collected),
            event => Err(failure(event)),
        }
    }

    /// Waits for the end of a run that [`Container::master`] was asked for.
    pub fn ended(&self, run: RequestId) -> Result<Outcome, Error> {
        match self.last(run) {
            Event::Ended(outcome) => Ok(outcome),
            event => Err(failure(event)),
        }
    }

    /// Kills everything in the container, and waits until that is done.
    pub fn destroy(self) {
        self.master.destroy();
        self.mailbox.wait(self.master.closed_id());
    }

    fn done(&self, id: RequestId) -> Result<(), Error> {
        match self.mailbox.wait(id) {
            Event::Done => Ok(()),
            event => Err(failure(event)),
        }
    }

    fn file(&self, id: RequestId) -> Result<(File, u32), Error> {
        match self.mailbox.wait(id) {
            Event::File { file, ticket } => Ok((File::from(file), ticket)),
            event => Err(failure(event)),
        }
    }

    fn last(&self, run: RequestId) -> Event {
        loop {
            match self.mailbox.wait(run) {
                Event::Started { .. } | Event::SyncPoint { .. } | Event::Timeline(_) => {}
                event => return event,
            }
        }
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// An event that is not the one hoped for.
fn failure(event: Event) -> Error {
    match event {
        Event::Failed(error) => error,
        // Replies are checked against their requests, so no other kind comes.
        _ => Error::KeepContainer,
    }
}
