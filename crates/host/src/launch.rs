//! The launcher: one process, made of the init image, that is the parent of every container.
//!
//! It is started when the first container is created, by `clone3(CLONE_VM|CLONE_VFORK)` and `execveat`, which copies no page
//! tables; from then on a container costs the same whatever this process has on its heap. It trusts us and we trust it. When we
//! end, even by SIGKILL, it sees the end of its socket and takes every container along; when *it* ends, its containers die
//! (parent-death signal, and for the moments in which that is not set, by us), and whoever creates the next one starts another.

use crate::cgroups;
use crate::connection::Connection;
use crate::error::{Error, errno};
use crate::event::RequestId;
use crate::outgoing::{self, Outgoing};
use crate::reactor::{PROCESS, Reactor, SOCKET, Scratch, Source};
use crate::{image, lock, pipe};
use hotcell_linux::seqpacket::{self, Received, RecvError, Wait};
use hotcell_linux::{pidfd, spawn};
use hotcell_protocol::codec::{PACKET_MAX, split};
use hotcell_protocol::{Guard, Launch, Launched, Order, Setup, decode};
use nix::libc;
use nix::sys::epoll::EpollFlags;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};

/// The name by which the image knows which of its two roles it plays.
const ARGV0: &std::ffi::CStr = c"hotcell-launcher";

/// The launcher that takes new containers, if there is one.
static CURRENT: Mutex<Option<Arc<Launcher>>> = Mutex::new(None);

/// A launcher process.
pub(crate) struct Launcher {
    key: RequestId,
    reactor: &'static Reactor,
    socket: OwnedFd,
    pidfd: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It takes no more containers.
    lost: bool,
    /// Containers that it has not answered for.
    waiting: HashMap<u32, Arc<Connection>>,
    /// Those that it has made. They die with it by themselves, but for the moments in which they change credentials.
    made: Vec<Weak<Connection>>,
    queue: VecDeque<Outgoing>,
    /// Of which [`cgroups::generation`] it knows.
    guarded: u64,
}

impl State {
    fn remember(&mut self, connection: &Arc<Connection>) {
        // Forgets those that are gone whenever there would be no room without: an amortised constant a container.
        if self.made.len() == self.made.capacity() {
            self.made.retain(|made| made.strong_count() > 0);
        }
        self.made.push(Arc::downgrade(connection));
    }
}

/// Has a container made. `end` is init's end of its socket. What becomes of it is told to the connection.
/// `cgroup`: the directory (v2) that its init is to be born in.
pub(crate) fn launch(
    connection: &Arc<Connection>,
    setup: Setup,
    end: OwnedFd,
    cgroup: Option<OwnedFd>,
) -> Result<(), Error> {
    let id = connection.key().wire();
    let order = Order::Launch(Box::new(Launch { id, setup, cgroup: cgroup.is_some() }));
    let fds: Vec<_> = std::iter::once(&end).chain(&cgroup).map(AsFd::as_fd).collect();
    // A launcher may have died unnoticed until the packet is refused, so there is a second attempt, with a new one.
    for _ in 0..2 {
        let launcher = Launcher::current()?;
        launcher.guard_cgroups();
        if launcher.send_launch(connection, id, &order, &fds)? {
            return Ok(());
        }
        launcher.lose();
    }
    Err(Error::KeepLauncher)
}

impl Launcher {
    fn current() -> Result<Arc<Self>, Error> {
        // Held while it starts: others who create a first container would only start a second launcher.
        let mut current = lock(&CURRENT);
        if let Some(launcher) = &*current
            && !lock(&launcher.state).lost
        {
            return Ok(Arc::clone(launcher));
        }
        let launcher = Self::start()?;
        *current = Some(Arc::clone(&launcher));
        Ok(launcher)
    }

    fn start() -> Result<Arc<Self>, Error> {
        let reactor = Reactor::get()?;
        let image = image::executable()?;
        let null = pipe::null()?.as_raw_fd();
        let (socket, its_end) = seqpacket::pair().map_err(|error| Error::MakeSocket { errno: errno(&error) })?;
        let fds = [null, null, null, its_end.as_raw_fd()];
        let (_, pidfd) =
            spawn::spawn_image(image, ARGV0, &fds).map_err(|error| Error::StartLauncher { errno: errno(&error) })?;
        let key = RequestId::next();
        let launcher = Arc::new(Self { key, reactor, socket, pidfd, state: Mutex::default() });
        reactor.insert(key, Source::Launcher(Arc::clone(&launcher)));
        let watched = reactor
            .watch(key, SOCKET, launcher.socket.as_fd(), EpollFlags::EPOLLIN)
            .and_then(|()| reactor.watch(key, PROCESS, launcher.pidfd.as_fd(), EpollFlags::EPOLLIN));
        if let Err(error) = watched {
            launcher.lose();
            let _ = pidfd::reap(launcher.pidfd.as_fd());
            reactor.remove(key);
            return Err(error);
        }
        Ok(launcher)
    }

    /// Has it remove the cgroups that there are when this process is gone. Best effort: the next process sweeps, too.
    fn guard_cgroups(&self) {
        let generation = cgroups::generation();
        if std::mem::replace(&mut lock(&self.state).guarded, generation) == generation {
            return;
        }
        for parent in cgroups::all() {
            for legacy in parent.legacies() {
                let bytes = |text: &str| text.as_bytes().to_vec().into();
                let (parent, owner) = (bytes(legacy.parent), bytes(legacy.owner));
                let guard = Guard { parent, owner, enabled: bytes(&legacy.enabled.to_string()) };
                let _ = self.send(&Order::Guard(guard), &[legacy.base]);
            }
        }
    }

    /// Sends a container's order. False: this launcher takes none any more, and does not know of it.
    fn send_launch(
        &self,
        connection: &Arc<Connection>,
        id: u32,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> Result<bool, Error> {
        {
            let mut state = lock(&self.state);
            if state.lost {
                return Ok(false);
            }
            state.waiting.insert(id, Arc::clone(connection));
        }
        match self.send(order, fds) {
            Ok(()) => Ok(true),
            Err(error) => {
                // Unless the reactor was faster: then the connection knows that it has failed.
                let forgotten = lock(&self.state).waiting.remove(&id).is_some();
                match error.raw_os_error() {
                    _ if !forgotten => Ok(true),
                    Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN) => Ok(false),
                    _ => Err(Error::SendRequest { errno: errno(&error) }),
                }
            }
        }
    }

    fn send(&self, order: &Order, own: &[BorrowedFd<'_>]) -> io::Result<()> {
        outgoing::encoded(order, |packet, memfd| {
            let with_memfd: Vec<_>;
            let fds = match memfd {
                None => own,
                Some(memfd) => {
                    with_memfd = std::iter::once(memfd).chain(own.iter().copied()).collect();
                    &with_memfd
                }
            };
            let mut state = lock(&self.state);
            if state.queue.is_empty() {
                match outgoing::send(self.socket.as_fd(), packet, fds) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
            state.queue.push_back(Outgoing::copy_of(packet, fds)?);
            self.reactor.watch_for_room(self.key, self.socket.as_fd(), true);
            Ok(())
        })
    }

    /// The socket can be read or written.
    pub(crate) fn ready(&self, flags: EpollFlags, scratch: &mut Scratch) {
        if flags.contains(EpollFlags::EPOLLOUT) {
            let mut state = lock(&self.state);
            if outgoing::flush(self.socket.as_fd(), &mut state.queue).unwrap_or(true) {
                self.reactor.watch_for_room(self.key, self.socket.as_fd(), false);
            }
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            self.receive_one(scratch);
        }
    }

    /// Takes one packet. Whether there was one.
    fn receive_one(&self, scratch: &mut Scratch) -> bool {
        let Some(buffer) = scratch.buffer.get_mut(..PACKET_MAX) else { return false };
        let received = match seqpacket::recv(self.socket.as_fd(), buffer, Wait::DontWait) {
            Ok(received) if received.len > 0 => received,
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(RecvError::Io(error)) if error.raw_os_error() == Some(libc::ECONNRESET) => return true,
            // Without its socket it is of no use, and on its way out.
            Ok(_) | Err(_) => {
                self.lose();
                return false;
            }
        };
        let packet = scratch.buffer.get(..received.len).unwrap_or_default();
        let launched = split(packet).and_then(|(_, payload)| decode::<Launched>(payload));
        match launched {
            Ok(launched) => self.answer(launched, received, scratch),
            Err(_) => self.lose(),
        }
        true
    }

    fn answer(&self, launched: Launched, received: Received, scratch: &mut Scratch) {
        let connection = lock(&self.state).waiting.remove(&launched.id);
        let Some(connection) = connection else { return };
        match (launched.result, received.fds.into_iter().next()) {
            (Ok(cloned), Some(pidfd)) => {
                lock(&self.state).remember(&connection);
                connection.launched(cloned, pidfd, &mut scratch.batch);
            }
            (Err(failure), _) => {
                // It may be for want of an init, which then had a reason of its own.
                connection.take_last_words(scratch);
                connection.not_launched(Error::Perform(failure), &mut scratch.batch);
            }
            // Its init sees the end of its socket, and ends.
            (Ok(_), None) if received.fds_lost => {
                connection.not_launched(Error::TakePidfd { errno: libc::EMFILE }, &mut scratch.batch);
            }
            (Ok(_), None) => connection.not_launched(Error::KeepLauncher, &mut scratch.batch),
        }
    }

    /// Takes no more containers, and ends.
    fn lose(&self) {
        lock(&self.state).lost = true;
        self.reactor.unwatch(self.socket.as_fd());
        let _ = pidfd::send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// It is dead. Those of its containers that it has answered for have pidfds that tell of their end.
    pub(crate) fn ended(self: &Arc<Self>, scratch: &mut Scratch) {
        while !lock(&self.state).lost && self.receive_one(scratch) {}
        self.lose();
        self.reactor.unwatch(self.pidfd.as_fd());
        let _ = pidfd::reap(self.pidfd.as_fd());
        {
            let mut current = lock(&CURRENT);
            if current.as_ref().is_some_and(|launcher| Arc::ptr_eq(launcher, self)) {
                *current = None;
            }
        }
        let made = std::mem::take(&mut lock(&self.state).made);
        for connection in made.iter().filter_map(Weak::upgrade) {
            connection.orphaned();
        }
        let waiting = std::mem::take(&mut lock(&self.state).waiting);
        for connection in waiting.into_values() {
            connection.not_launched(Error::KeepLauncher, &mut scratch.batch);
        }
        self.reactor.remove(self.key);
    }
}
