//! Requests, as any thread makes them: put among what is in flight, encoded, written to the socket. No call here waits.

use crate::cgroups::{BoxedGroup, Job, Lease, hand_over};
use crate::connection::{Connection, Phase, State};
use crate::error::{Error, errno};
use crate::event::{Batch, Event, Nobody, RequestId, Sink};
use crate::lock;
use crate::outgoing::{self, Outgoing};
use crate::pending::{Deadline, Kind, Pending};
use crate::reactor::borrow;
use crate::seccomp::Seccomp;
use hotcell_protocol::{Failure, Filter, Request, RequestBody, Step, WindowSize};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How long a run may take to end once it is cancelled, before init is killed with all else.
const CANCEL_SECONDS: u64 = 10;
/// How long init may take to put a thread into a group, or to end one.
const GROUP_SECONDS: u64 = 30;

impl Connection {
    /// Makes a request. Whatever goes wrong is delivered to `sink`.
    pub(crate) fn request(
        self: &Arc<Self>,
        id: RequestId,
        kind: Kind,
        deadline: Option<Deadline>,
        sink: &Arc<dyn Sink>,
        body: RequestBody<'_>,
        fds: &[BorrowedFd<'_>],
    ) {
        let pending = Pending { id, sink: Arc::clone(sink), kind, deadline };
        if let Err(unsent) = self.try_request(pending, body, fds) {
            let (pending, error) = *unsent;
            self.fail(pending, error);
        }
    }

    /// The same, but for what goes wrong here, which is returned.
    fn try_request(
        &self,
        pending: Pending,
        body: RequestBody<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Box<(Pending, Error)>> {
        let (id, timed) = (pending.id, pending.deadline.is_some());
        // Taken out of the guard's statement: a sink must not be called with the lock held.
        let enlisted = lock(&self.state).enlist(pending);
        let sending = enlisted?;
        if timed {
            self.reactor.tick_from_now();
        }
        match self.send(&sending, id, body, fds) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Unless the reactor was faster: then it has failed already.
                let pending = lock(&self.state).in_flight.remove(&id.wire());
                pending.map_or(Ok(()), |pending| Err(Box::new((pending, error))))
            }
        }
    }

    /// Fails a request that was not sent, from the thread that made it.
    fn fail(self: &Arc<Self>, pending: Pending, error: Error) {
        match pending.kind {
            Kind::Run { collector, lease, .. } => {
                if let Some(collector) = collector {
                    collector.close();
                }
                if let (Some(groups), Some(lease)) = (&self.groups, lease) {
                    groups.put(lease.numbered);
                }
            }
            Kind::RemoveGroup { group } => hand_over(Job::Remove(group)),
            _ => {}
        }
        Batch::default().deliver(pending.sink, pending.id, Event::Failed(error));
    }

    /// A group with these limits, for one run: a free one, or if there is none one made here.
    pub(crate) fn lease(&self, limits: &hotcell_cgroup::Limits, filter: u32) -> Result<Option<Lease>, Error> {
        let Some(groups) = &self.groups else { return Ok(None) };
        if let Some(lease) = groups.take(limits, filter, &self.filters)? {
            return Ok(Some(lease));
        }
        let numbered = self.add_group()?;
        groups.begin(numbered, limits, filter, &self.filters).map(Some)
    }

    /// Makes a group and tells init of it. What is asked of init from now on may name it.
    fn add_group(&self) -> Result<BoxedGroup, Error> {
        let groups = self.groups.as_ref().ok_or(Error::KeepContainer)?;
        let filter = self.filters.usual();
        let (numbered, introduction) = groups.make(filter)?;
        let body = RequestBody::AddGroup { group: introduction.group, files: introduction.files, filter };
        let kind = Kind::AddGroup { group: introduction.group };
        let deadline = Some(Deadline::after(GROUP_SECONDS, "a run group"));
        let pending = Pending { id: RequestId::next(), sink: Nobody::sink(), kind, deadline };
        let asked = self.try_request(pending, body, &introduction.descriptors());
        asked.map(|()| numbered).map_err(|unsent| unsent.1)
    }

    /// Has a group ready, if there is none. Nobody waits for it, so nobody hears if that fails; a run that needs one tries again.
    pub(crate) fn prepare_group(&self) {
        if let Some(groups) = &self.groups
            && !groups.has_free()
            && let Ok(numbered) = self.add_group()
        {
            groups.put(numbered);
        }
    }

    /// Has a group removed that is not good for another run, and another one made in its place.
    pub(crate) fn retire(self: &Arc<Self>, group: BoxedGroup) {
        let (number, kind) = (group.number, Kind::RemoveGroup { group });
        let deadline = Some(Deadline::after(GROUP_SECONDS, "the end of a run group"));
        self.request(RequestId::next(), kind, deadline, &Nobody::sink(), RequestBody::RemoveGroup(number), &[]);
        hand_over(Job::Prepare(Arc::downgrade(self)));
    }

    /// The number by which init knows a policy: it is told now, if it has not been.
    pub(crate) fn filter(&self, seccomp: &Seccomp, warm: bool) -> Result<u32, Error> {
        if seccomp.is_off() {
            return Ok(0);
        }
        let (number, forgotten) = self.filters.number(seccomp, |number| {
            let filter = Filter {
                filter: number,
                reach: seccomp.reach(),
                token: crate::seccomp::token()?,
                program: seccomp.program(),
            };
            let deadline = Some(Deadline::after(GROUP_SECONDS, "a seccomp filter"));
            let pending = Pending { id: RequestId::next(), sink: Nobody::sink(), kind: Kind::AddFilter, deadline };
            let asked = self.try_request(pending, RequestBody::AddFilter { filter, warm }, &[]);
            asked.map_err(|unsent| unsent.1)
        })?;
        if let Some(forgotten) = forgotten {
            self.tell(RequestBody::RemoveFilter(forgotten));
        }
        Ok(number)
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

    /// Gives the terminal of a run another size.
    pub(crate) fn resize(&self, run: RequestId, size: WindowSize) {
        if self.is_running(run) {
            self.tell(RequestBody::Resize { run: run.wire(), size });
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
    fn enlist(&mut self, pending: Pending) -> Result<Sending, Box<(Pending, Error)>> {
        let Some(sending) = self.sending() else {
            let error = if self.requested { Error::UseDestroyed } else { Error::KeepContainer };
            return Err(Box::new((pending, error)));
        };
        match self.in_flight.entry(pending.id.wire()) {
            // Only under a run that has been going for four thousand million requests.
            Entry::Occupied(_) => Err(Box::new((pending, Error::SendRequest { errno: libc::EBUSY }))),
            Entry::Vacant(place) => {
                self.untouched &= !pending.kind.may_change();
                place.insert(pending);
                Ok(sending)
            }
        }
    }
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
