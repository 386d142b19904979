//! Requests, as any thread makes them: put among what is in flight, encoded, written to the socket. No call here waits.

use crate::connection::{Connection, Phase, State};
use crate::error::{Error, errno};
use crate::event::{Batch, Event, RequestId, Sink};
use crate::lock;
use crate::outgoing::{self, Outgoing};
use crate::pending::{Deadline, Kind, Pending};
use crate::reactor::borrow;
use hotcell_protocol::{Failure, Request, RequestBody, Step};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How long a run may take to end once it is cancelled, before init is killed with all else.
const CANCEL_SECONDS: u64 = 5;

impl Connection {
    /// Makes a request. Whatever goes wrong is delivered to `sink`.
    pub(crate) fn request(
        &self,
        id: RequestId,
        kind: Kind,
        deadline: Option<Deadline>,
        sink: &Arc<dyn Sink>,
        body: RequestBody<'_>,
        fds: &[BorrowedFd<'_>],
    ) {
        let timed = deadline.is_some();
        let pending = Pending { id, sink: Arc::clone(sink), kind, deadline };
        // Taken out of the guard's statement: a sink must not be called with the lock held.
        let enlisted = lock(&self.state).enlist(pending);
        let sending = match enlisted {
            Ok(sending) => sending,
            Err((pending, error)) => return fail(pending, error),
        };
        if timed {
            self.reactor.tick_from_now();
        }
        if let Err(error) = self.send(&sending, id, body, fds) {
            let pending = lock(&self.state).in_flight.remove(&id.wire());
            if let Some(pending) = pending {
                fail(pending, error);
            }
        }
    }

    /// Says something that has no answer.
    fn tell(&self, body: RequestBody<'_>) {
        let sending = lock(&self.state).sending();
        if let Some(sending) = sending {
            // Without an answer there is nobody to tell; `cancel` has its deadline.
            let _ = self.send(&sending, RequestId::next(), body, &[]);
        }
    }

    fn send(
        &self,
        sending: &Sending,
        id: RequestId,
        body: RequestBody<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let execute_fd = matches!(&body, RequestBody::Execve(exec) if exec.flags.execute_fd);
        let request = Request { id: id.wire(), body };
        let result = outgoing::encoded(&request, |packet, memfd| {
            let with_memfd: Vec<_>;
            let fds = match memfd {
                None => fds,
                Some(memfd) => {
                    with_memfd = std::iter::once(memfd).chain(fds.iter().copied()).collect();
                    &with_memfd
                }
            };
            if !sending.behind_others {
                match outgoing::send(borrow(&sending.socket), packet, fds) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
            let outgoing = Outgoing::copy_of(packet, fds)?;
            let mut state = lock(&self.state);
            state.queue.push_back(outgoing);
            if let Some(socket) = &state.socket {
                self.reactor.watch_for_room(self.key, borrow(socket), true);
            }
            Ok(())
        });
        match result {
            Ok(()) => Ok(()),
            // Init is gone or going: the reactor fails this with all else that is in flight.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN)) => {
                Ok(())
            }
            Err(error) => Err(why_not_sent(errno(&error), fds, execute_fd)),
        }
    }

    /// Sends a signal to the main process of a run.
    pub(crate) fn kill(&self, run: RequestId, signal: u8) {
        if self.is_running(run) {
            self.tell(RequestBody::Kill { run: run.wire(), signal });
        }
    }

    /// Lets a run pass its sync point, or not.
    pub(crate) fn answer_sync(&self, run: RequestId, resume: bool) {
        if self.is_running(run) {
            let run = run.wire();
            self.tell(if resume { RequestBody::Resume(run) } else { RequestBody::Abort(run) });
        }
    }

    /// Kills a run; and if init does not report its end in time, the container.
    pub(crate) fn cancel(&self, run: RequestId) {
        {
            let mut state = lock(&self.state);
            match state.in_flight.get_mut(&run.wire()) {
                Some(pending) if pending.id == run && matches!(pending.kind, Kind::Run { .. }) => {
                    let deadline = || Deadline::after(CANCEL_SECONDS, "the cancelling of a run");
                    pending.deadline.get_or_insert_with(deadline);
                }
                _ => return,
            }
        }
        self.reactor.tick_from_now();
        self.tell(RequestBody::Kill { run: run.wire(), signal: libc::SIGKILL as u8 });
    }

    fn is_running(&self, run: RequestId) -> bool {
        let state = lock(&self.state);
        matches!(state.in_flight.get(&run.wire()), Some(Pending { id, kind: Kind::Run { .. }, .. }) if *id == run)
    }
}

/// Where to send, and whether to line up.
struct Sending {
    socket: Arc<OwnedFd>,
    behind_others: bool,
}

impl State {
    fn sending(&self) -> Option<Sending> {
        match (self.phase, &self.socket) {
            (Phase::Launching | Phase::Open, Some(socket)) => {
                Some(Sending { socket: Arc::clone(socket), behind_others: !self.queue.is_empty() })
            }
            _ => None,
        }
    }

    /// Puts a request among those in flight, before it is sent: its answer may be faster than the sender.
    fn enlist(&mut self, pending: Pending) -> Result<Sending, (Pending, Error)> {
        let Some(sending) = self.sending() else {
            let error = if self.requested { Error::UseDestroyed } else { Error::KeepContainer };
            return Err((pending, error));
        };
        match self.in_flight.entry(pending.id.wire()) {
            // Only under a run that has been going for four thousand million requests.
            Entry::Occupied(_) => Err((pending, Error::SendRequest { errno: libc::EBUSY })),
            Entry::Vacant(place) => {
                place.insert(pending);
                Ok(sending)
            }
        }
    }
}

/// Fails a request that was not sent, from the thread that made it.
fn fail(pending: Pending, error: Error) {
    if let Kind::Run { collector: Some(collector), .. } = &pending.kind {
        collector.close();
    }
    Batch::default().deliver(pending.sink, pending.id, Event::Failed(error));
}

/// The kernel does not say which descriptor was bad, so look, now that something is wrong anyway.
fn why_not_sent(errno: i32, fds: &[BorrowedFd<'_>], execute_fd: bool) -> Error {
    match errno {
        libc::EBADF => {
            let bad = fds.iter().position(|fd| fcntl(fd, FcntlArg::F_GETFD) == Err(Errno::EBADF)).unwrap_or(0);
            Error::Perform(match bad.checked_sub(usize::from(execute_fd)) {
                Some(index) => Failure::new(Step::DupDescriptor, errno).at(index as u32),
                None => Failure::new(Step::Execve, errno),
            })
        }
        libc::E2BIG => Error::Perform(Failure::new(Step::Execve, errno)),
        errno => Error::SendRequest { errno },
    }
}
