//! One container, as the host holds it: the socket to its init, init's pidfd, and what is in flight.
//!
//! Any thread makes requests; only the reactor thread receives, and only it declares the container gone. The life of one:
//!
//! ```text
//! Launching ── Launched and Hello ──▶ Open
//!     │                                │
//!     └── destroy, violation, deadline, end of file: SIGKILL ──▶ Ending ── pidfd readable ──▶ Closed
//! ```
//!
//! Once init's pidfd is readable every process of the container is dead: the kernel lets a pid 1 end only after all others.
//! Then, and only then, what is still in flight fails and [`Event::Closed`] is delivered.

use crate::cgroups::{Groups, Job, hand_over};
use crate::error::{Error, Violation};
use crate::event::{Batch, Event, RequestId, Sink};
use crate::filters::Filters;
use crate::lock;
use crate::outgoing::{self, Outgoing};
use crate::pending::{Deadline, Kind, Pending};
use crate::reactor::{PROCESS, Reactor, SOCKET, Scratch, Source, borrow};
use hotcell_linux::pidfd;
use hotcell_protocol::Cloned;
use nix::libc;
use nix::sys::epoll::EpollFlags;
use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The key under which [`Kind::Create`] is in flight; requests never use it.
pub(crate) const CREATE: u32 = 0;

/// How long the kernel may take to end a killed init. Then the container counts as closed all the same: it is one that nothing
/// can end, with a process in an uninterruptible sleep, and whoever waits must not hang with it.
const DEATH: Duration = Duration::from_secs(10);
/// The most replies read from an init that is dead or late, before what is in flight is failed.
const LAST_PACKETS: usize = 4096;

pub(crate) struct Connection {
    /// In the reactor, and of `Created`.
    pub(crate) key: RequestId,
    closed_id: RequestId,
    closed_sink: Arc<dyn Sink>,
    pub(crate) reactor: &'static Reactor,
    /// The seccomp filters that its init knows.
    pub(crate) filters: Filters,
    /// Where runs with limits are born, if it has cgroups.
    pub(crate) groups: Option<Groups>,
    /// Whether one of these is to be ready before the first run asks for it.
    prepare: bool,
    /// How many resets it was asked for.
    pub(crate) resets: AtomicU32,
    /// How many copies and listings of directories go on, each of which may ask for something at any moment.
    pub(crate) transfers: AtomicU32,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Why init is being killed; without one, it ended by itself.
    cause: Option<Cause>,
    /// Whether `destroy` was called.
    pub(crate) requested: bool,
    /// Shared with threads that are sending: the descriptor may not be used again for something else until they are through.
    pub(crate) socket: Option<Arc<OwnedFd>>,
    /// Init's pidfd.
    init: Option<Arc<OwnedFd>>,
    pid: Option<u32>,
    pub(crate) in_flight: HashMap<u32, Pending>,
    pub(crate) queue: VecDeque<Outgoing>,
    /// Whether the container is like new: so said init with its last answer, and nothing was asked for since.
    pub(crate) untouched: bool,
    /// In [`Phase::Ending`]: when to wait no longer.
    give_up: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Launching,
    Open,
    Ending,
    Closed,
}

/// Why init is killed.
#[derive(Debug, Clone)]
enum Cause {
    /// It was asked for.
    Destroyed,
    /// It could not be created.
    NotCreated(Error),
    /// Its launcher is dead.
    Orphaned,
    /// A reply was wrong.
    Violated(Violation),
    /// A deadline has passed.
    Late(Instant),
}

impl Connection {
    /// A container about to be launched, known to the reactor.
    pub(crate) fn open(
        socket: OwnedFd,
        ids: (RequestId, RequestId),
        sink: Arc<dyn Sink>,
        deadline: Deadline,
        (groups, prepare): (Option<Groups>, bool),
    ) -> Result<Arc<Self>, Error> {
        let reactor = Reactor::get()?;
        let (key, closed_id) = ids;
        let create = Pending {
            id: key,
            sink: Arc::clone(&sink),
            kind: Kind::Create { greeted: false },
            deadline: Some(deadline),
        };
        let connection = Arc::new(Self {
            key,
            closed_id,
            closed_sink: sink,
            reactor,
            filters: Filters::default(),
            groups,
            prepare,
            resets: AtomicU32::new(0),
            transfers: AtomicU32::new(0),
            state: Mutex::new(State {
                phase: Phase::Launching,
                cause: None,
                requested: false,
                socket: Some(Arc::new(socket)),
                init: None,
                pid: None,
                in_flight: HashMap::from([(CREATE, create)]),
                queue: VecDeque::new(),
                untouched: false,
                give_up: None,
            }),
        });
        reactor.insert(key, Source::Connection(Arc::clone(&connection)));
        if let Some(socket) = connection.socket()
            && let Err(error) = reactor.watch(key, SOCKET, borrow(&socket), EpollFlags::EPOLLIN)
        {
            reactor.remove(key);
            return Err(error);
        }
        reactor.tick_from_now();
        Ok(connection)
    }

    pub(crate) fn key(&self) -> RequestId {
        self.key
    }

    pub(crate) fn closed_id(&self) -> RequestId {
        self.closed_id
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        lock(&self.state).pid
    }

    /// Whether a reset would have nothing to do.
    pub(crate) fn is_untouched(&self) -> bool {
        self.transfers.load(Ordering::SeqCst) == 0 && lock(&self.state).untouched
    }

    fn socket(&self) -> Option<Arc<OwnedFd>> {
        lock(&self.state).socket.clone()
    }

    /// Kills init, as asked.
    pub(crate) fn destroy(&self) {
        lock(&self.state).requested = true;
        self.end(Some(Cause::Destroyed));
    }

    /// The launcher could not clone it, or is gone before it said so.
    pub(crate) fn not_launched(&self, error: Error, batch: &mut Batch) {
        self.end(None);
        // Its socket may have closed first, which says less.
        lock(&self.state).cause.get_or_insert(Cause::NotCreated(error));
        self.finish(batch);
    }

    /// Init failed to set the container up, and said why; or it could not be told what it needs to know.
    pub(crate) fn not_created(&self, error: Error) {
        self.end(Some(Cause::NotCreated(error)));
    }

    /// Its launcher is dead.
    pub(crate) fn orphaned(&self) {
        self.end(Some(Cause::Orphaned));
    }

    /// A reply was wrong.
    pub(crate) fn violated(&self, violation: Violation) {
        self.end(Some(Cause::Violated(violation)));
    }

    /// The launcher has cloned init.
    pub(crate) fn launched(self: &Arc<Self>, cloned: Cloned, pidfd: OwnedFd, batch: &mut Batch) {
        let pidfd = Arc::new(pidfd);
        let ending = {
            let mut state = lock(&self.state);
            if state.phase == Phase::Closed || state.init.is_some() {
                // Given up meanwhile.
                let _ = pidfd::send_signal(borrow(&pidfd), libc::SIGKILL);
                return;
            }
            state.init = Some(Arc::clone(&pidfd));
            state.pid = Some(cloned.pid);
            state.phase == Phase::Ending
        };
        if ending {
            let _ = pidfd::send_signal(borrow(&pidfd), libc::SIGKILL);
        }
        if let Err(error) = self.reactor.watch(self.key, PROCESS, borrow(&pidfd), EpollFlags::EPOLLIN) {
            let _ = pidfd::send_signal(borrow(&pidfd), libc::SIGKILL);
            return self.not_launched(error, batch);
        }
        if let Some(groups) = &self.groups
            && let Err(error) = groups.set_init(cloned.pid, cloned.init)
        {
            return self.end(Some(Cause::NotCreated(error)));
        }
        self.open_if_complete(batch);
    }

    /// Delivers `Created` once both the launcher and init have spoken.
    pub(crate) fn open_if_complete(self: &Arc<Self>, batch: &mut Batch) {
        let (pending, pid) = {
            let mut state = lock(&self.state);
            let greeted =
                matches!(state.in_flight.get(&CREATE), Some(Pending { kind: Kind::Create { greeted: true }, .. }));
            let (Phase::Launching, true, Some(pid)) = (state.phase, greeted, state.pid) else {
                return;
            };
            state.phase = Phase::Open;
            let Some(pending) = state.in_flight.remove(&CREATE) else { return };
            (pending, pid)
        };
        batch.deliver(pending.sink, pending.id, Event::Created { pid });
        if self.prepare && self.groups.is_some() {
            hand_over(Job::Prepare(Arc::downgrade(self)));
        }
    }

    /// The socket can be read or written.
    pub(crate) fn ready(self: &Arc<Self>, flags: EpollFlags, scratch: &mut Scratch) {
        if flags.contains(EpollFlags::EPOLLOUT) {
            self.flush_queue();
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            self.receive_one(scratch);
        }
    }

    fn flush_queue(&self) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        if let Some(socket) = &state.socket {
            // With the lock held, or a caller could overtake what is first in the queue. On an error init is gone.
            if outgoing::flush(borrow(socket), &mut state.queue).unwrap_or(true) {
                self.reactor.watch_for_room(self.key, borrow(socket), false);
            }
        }
    }

    /// Takes one packet. Whether there was one.
    fn receive_one(self: &Arc<Self>, scratch: &mut Scratch) -> bool {
        let socket = {
            let state = lock(&self.state);
            match (&state.socket, state.phase) {
                (Some(socket), Phase::Launching | Phase::Open) => Arc::clone(socket),
                _ => return false,
            }
        };
        match crate::reply::receive(self, borrow(&socket), scratch) {
            Ok(crate::reply::Receipt::Packet) => true,
            Ok(crate::reply::Receipt::Nothing) => false,
            Ok(crate::reply::Receipt::End) => {
                self.end(None);
                false
            }
            Err(violation) => {
                self.violated(violation);
                false
            }
        }
    }

    /// The pidfd is readable: init is dead, and all else in the container with it.
    pub(crate) fn init_ended(self: &Arc<Self>, scratch: &mut Scratch) {
        self.take_last_words(scratch);
        self.finish(&mut scratch.batch);
    }

    /// What a dead init said before may still be under way to us.
    pub(crate) fn take_last_words(self: &Arc<Self>, scratch: &mut Scratch) {
        for _ in 0..LAST_PACKETS {
            if !self.receive_one(scratch) {
                break;
            }
        }
    }

    /// Kills init for the first cause there is.
    fn end(&self, cause: Option<Cause>) {
        let (socket, init) = {
            let mut state = lock(&self.state);
            if matches!(state.phase, Phase::Ending | Phase::Closed) {
                return;
            }
            state.phase = Phase::Ending;
            state.cause = cause;
            state.give_up = Some(Instant::now() + DEATH);
            (state.socket.clone(), state.init.clone())
        };
        // Nothing it says counts any more, and its end of file must not wake the reactor again and again.
        if let Some(socket) = socket {
            self.reactor.unwatch(borrow(&socket));
        }
        if let Some(init) = init {
            let _ = pidfd::send_signal(borrow(&init), libc::SIGKILL);
        }
        self.reactor.tick_from_now();
    }

    /// The container is gone: fails what is in flight and closes everything.
    fn finish(&self, batch: &mut Batch) {
        let (cause, requested, socket, init, in_flight) = {
            let mut state = lock(&self.state);
            if state.phase == Phase::Closed {
                return;
            }
            state.phase = Phase::Closed;
            state.queue.clear();
            let in_flight = std::mem::take(&mut state.in_flight);
            (state.cause.clone(), state.requested, state.socket.take(), state.init.take(), in_flight)
        };
        if let Some(socket) = socket {
            self.reactor.unwatch(borrow(&socket));
        }
        if let Some(init) = init {
            self.reactor.unwatch(borrow(&init));
        }
        let mut in_flight: Vec<_> = in_flight.into_values().collect();
        in_flight.sort_by_key(|pending| pending.id);
        let mut leased = Vec::new();
        for pending in in_flight {
            let error = Cause::of(cause.as_ref(), &pending);
            match pending.kind {
                Kind::Run { collector, lease, .. } => {
                    if let Some(collector) = collector {
                        collector.close();
                    }
                    leased.extend(lease.map(|lease| lease.numbered));
                }
                Kind::RemoveGroup { group } => leased.push(group),
                _ => {}
            }
            batch.deliver(pending.sink, pending.id, Event::Failed(error));
        }
        if let Some(groups) = &self.groups {
            groups.end(leased);
        }
        batch.deliver(Arc::clone(&self.closed_sink), self.closed_id, Event::Closed { requested });
        self.reactor.remove(self.key);
    }

    /// Ends the container if something is overdue. Whether anything has a deadline.
    pub(crate) fn expire(self: &Arc<Self>, now: Instant, scratch: &mut Scratch) -> bool {
        let due = |state: &State| {
            let passed = |pending: &Pending| pending.deadline.is_some_and(|deadline| deadline.at <= now);
            state.in_flight.values().any(passed)
        };
        let (give_up, late) = {
            let state = lock(&self.state);
            (state.give_up.filter(|_| state.phase == Phase::Ending), state.phase != Phase::Ending && due(&state))
        };
        match give_up {
            Some(at) if at <= now => self.finish(&mut scratch.batch),
            Some(_) => return true,
            None => {}
        }
        if late {
            // It may be us who are late (a stopped process): the answer counts if it is there.
            for _ in 0..LAST_PACKETS {
                if !self.receive_one(scratch) {
                    break;
                }
            }
            if due(&lock(&self.state)) {
                self.end(Some(Cause::Late(now)));
            }
        }
        let state = lock(&self.state);
        state.phase == Phase::Ending || state.in_flight.values().any(|pending| pending.deadline.is_some())
    }
}

impl Cause {
    /// What a request is told that was in flight when the container ended.
    fn of(cause: Option<&Self>, pending: &Pending) -> Error {
        match (cause, pending.deadline) {
            (Some(Self::Destroyed), _) => Error::UseDestroyed,
            (Some(Self::NotCreated(error)), _) if matches!(pending.kind, Kind::Create { .. }) => error.clone(),
            (Some(Self::Violated(violation)), _) => Error::TrustReply(*violation),
            (Some(Self::Late(at)), Some(deadline)) if deadline.at <= *at => {
                Error::AwaitReply { request: deadline.request, seconds: deadline.seconds }
            }
            _ => Error::KeepContainer,
        }
    }
}
