//! The one thread of this process that waits.
//!
//! It sleeps in `epoll_wait(2)` without a timeout as long as nothing has a deadline. With one pending it wakes once a second
//! and looks; the caller who sets the first deadline has to wake it once for that (an eventfd), every later one finds it ticking
//! and does nothing. So a deadline is met to within a second, costs an idle process nothing, and a busy one nothing measurable.
//!
//! Sources are looked up by a key that is never used twice: an event that was already fetched for a source which is gone by then
//! finds nothing. From each ready socket one packet is taken, then `epoll_wait` is asked again: that is one system call less for
//! a lone reply, and a container that never stops talking cannot keep the thread from the others.

use crate::connection::Connection;
use crate::error::{Error, errno};
use crate::event::{Batch, RequestId};
use crate::launch::Launcher;
use crate::lock;
use crate::run::Collector;
use hotcell_protocol::codec::PACKET_MAX;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Events taken from the kernel at once.
const EVENTS: usize = 64;
/// The token of the eventfd. Every other is a source's key, shifted by [`PART_BITS`], and a part.
const WAKE: u64 = u64::MAX;
const PART_BITS: u32 = 2;

/// The part of a container or launcher that is its socket.
pub(crate) const SOCKET: u64 = 0;
/// The part of a container or launcher that is its process.
pub(crate) const PROCESS: u64 = 1;

/// Whose event it is.
#[derive(Clone)]
pub(crate) enum Source {
    /// A container.
    Connection(Arc<Connection>),
    /// The process that clones them.
    Launcher(Arc<Launcher>),
    /// The output of a run; its parts are descriptor numbers.
    Collector(Arc<Collector>),
}

/// See the module's documentation.
pub(crate) struct Reactor {
    epoll: Epoll,
    wake: EventFd,
    sources: Mutex<HashMap<u64, Source>>,
    /// While set, the thread wakes every [`TICK`].
    ticking: AtomicBool,
}

/// What the reactor thread reads into, and what it has to tell.
pub(crate) struct Scratch {
    pub(crate) buffer: Vec<u8>,
    pub(crate) batch: Batch,
}

impl Reactor {
    /// The reactor of this process, started by whoever asks first.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        static REACTOR: OnceLock<Arc<Reactor>> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        let _starting = lock(&STARTING);
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        let reactor = Arc::new(Self::new().map_err(|errno| Error::StartReactor { errno: errno as i32 })?);
        let its_own = Arc::clone(&reactor);
        thread::Builder::new()
            .name("hotcell-reactor".to_owned())
            .spawn(move || its_own.run())
            .map_err(|error| Error::StartReactor { errno: errno(&error) })?;
        Ok(REACTOR.get_or_init(|| reactor))
    }

    fn new() -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        Ok(Self { epoll, wake, sources: Mutex::default(), ticking: AtomicBool::new(false) })
    }

    /// Makes a source known under a key. Nothing is watched yet.
    pub(crate) fn insert(&self, key: RequestId, source: Source) {
        lock(&self.sources).insert(key.get(), source);
    }

    /// Forgets a source. What was watched for it must be unwatched by then, or closed.
    pub(crate) fn remove(&self, key: RequestId) {
        let removed = lock(&self.sources).remove(&key.get());
        // Dropped with the lock released: this may be the last that holds the source.
        drop(removed);
    }

    /// Watches a descriptor, level-triggered.
    pub(crate) fn watch(&self, key: RequestId, part: u64, fd: BorrowedFd<'_>, flags: EpollFlags) -> Result<(), Error> {
        self.epoll
            .add(fd, EpollEvent::new(flags, token(key, part)))
            .map_err(|errno| Error::WatchDescriptor { errno: errno as i32 })
    }

    /// Watches a socket for room as well, or no longer. One that is not watched any more stays so.
    pub(crate) fn watch_for_room(&self, key: RequestId, socket: BorrowedFd<'_>, room: bool) {
        let flags = if room { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        let _ = self.epoll.modify(socket, &mut EpollEvent::new(flags, token(key, SOCKET)));
    }

    /// Stops watching. Closing alone does not do that where a forked child of the process still holds a copy.
    pub(crate) fn unwatch(&self, fd: BorrowedFd<'_>) {
        let _ = self.epoll.delete(fd);
    }

    /// To be called when a deadline has been set: sees to it that somebody looks.
    pub(crate) fn tick_from_now(&self) {
        // Pairs with the fence in `tick`: either that one sees the new deadline, or this one sees that it no longer ticks.
        fence(Ordering::SeqCst);
        if !self.ticking.load(Ordering::SeqCst) && !self.ticking.swap(true, Ordering::SeqCst) {
            let _ = self.wake.write(1);
        }
    }

    fn run(&self) {
        // Signals of the process are for its own threads, and a write to a program that has gone shall be EPIPE.
        let _ = SigSet::all().thread_block();
        let mut scratch = Scratch { buffer: vec![0; 2 * PACKET_MAX], batch: Batch::default() };
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut next_tick = None::<Instant>;
        loop {
            let timeout = match next_tick {
                Some(at) => until(at),
                None => EpollTimeout::NONE,
            };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                // Only if somebody closed our descriptor: there is nothing left to wait for.
                Err(_) => return,
            };
            for event in events.iter().take(count) {
                // A bug in one container's handling must not end the service to all others.
                let _ = catch_unwind(AssertUnwindSafe(|| self.dispatch(event.data(), event.events(), &mut scratch)));
            }
            match next_tick {
                Some(at) if at <= Instant::now() => {
                    let again = catch_unwind(AssertUnwindSafe(|| self.tick(&mut scratch))).unwrap_or(true);
                    next_tick = again.then(|| Instant::now() + TICK);
                }
                None if self.ticking.load(Ordering::SeqCst) => next_tick = Some(Instant::now() + TICK),
                _ => {}
            }
            let _ = catch_unwind(AssertUnwindSafe(|| scratch.batch.flush()));
        }
    }

    fn dispatch(&self, token: u64, flags: EpollFlags, scratch: &mut Scratch) {
        if token == WAKE {
            let _ = self.wake.read();
            return;
        }
        let source = lock(&self.sources).get(&(token >> PART_BITS)).cloned();
        let part = token & ((1 << PART_BITS) - 1);
        match source {
            Some(Source::Connection(connection)) if part == PROCESS => connection.init_ended(scratch),
            Some(Source::Connection(connection)) => connection.ready(flags, scratch),
            Some(Source::Launcher(launcher)) if part == PROCESS => launcher.ended(scratch),
            Some(Source::Launcher(launcher)) => launcher.ready(flags, scratch),
            Some(Source::Collector(collector)) => collector.ready(part, &mut scratch.buffer),
            None => {}
        }
    }

    /// Looks at every deadline. Whether there are any left to look at later.
    fn tick(&self, scratch: &mut Scratch) -> bool {
        if self.expire(scratch) {
            return true;
        }
        self.ticking.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !self.expire(scratch) {
            return false;
        }
        self.ticking.store(true, Ordering::SeqCst);
        true
    }

    fn expire(&self, scratch: &mut Scratch) -> bool {
        let connections: Vec<_> = lock(&self.sources)
            .values()
            .filter_map(|source| match source {
                Source::Connection(connection) => Some(Arc::clone(connection)),
                _ => None,
            })
            .collect();
        let now = Instant::now();
        let mut left = false;
        for connection in connections {
            left |= connection.expire(now, scratch);
        }
        left
    }
}

fn token(key: RequestId, part: u64) -> u64 {
    key.get() << PART_BITS | part
}

/// Rounded up, so that the tick is not early.
fn until(at: Instant) -> EpollTimeout {
    let left = at.saturating_duration_since(Instant::now());
    EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::ZERO)
}

/// The descriptor of a shared owner.
pub(crate) fn borrow<T: AsFd>(owner: &Arc<T>) -> BorrowedFd<'_> {
    owner.as_ref().as_fd()
}
