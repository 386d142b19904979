//! What init says, taken for hostile.
//!
//! Whoever took over an init can send anything at all here: bytes, descriptors, claims. Each packet is compared with what is in
//! flight, and one that does not fit is a [`Violation`]: the container is killed, this process and all other containers go on. Bounds
//! are [`PACKET_MAX`](hotcell_protocol::codec::PACKET_MAX) for a reply, one reply for a request, one descriptor for a file.

use crate::cgroups::{Job, Lease, hand_over};
use crate::connection::{CREATE, Connection};
use crate::error::{Error, Violation};
use crate::event::{Collected, Event};
use crate::limits::Limits;
use crate::lock;
use crate::outcome::{self, Outcome};
use crate::pending::{Kind, Pending};
use crate::reactor::Scratch;
use hotcell_linux::seqpacket::{self, RecvError, Wait};
use hotcell_protocol::codec::{PACKET_MAX, PATH_MAX, TAG_INLINE, split};
use hotcell_protocol::tree::NAMES_MAX;
use hotcell_protocol::{
    Failure, FileKind, Filled, Listed, Opened, Reply, ReplyBody, SAMPLES_MAX, Step, VERSION, Verdict, decode,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::stat::{SFlag, fstat};
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What a look at the socket gave.
pub(crate) enum Receipt {
    /// A packet, which is dealt with.
    Packet,
    /// None at the moment.
    Nothing,
    /// The other end is closed.
    End,
}

/// Takes one packet from a container's socket and deals with it.
pub(crate) fn receive(
    connection: &Arc<Connection>,
    socket: BorrowedFd<'_>,
    scratch: &mut Scratch,
) -> Result<Receipt, Violation> {
    let Some(buffer) = scratch.buffer.get_mut(..PACKET_MAX) else { return Ok(Receipt::Nothing) };
    let received = match seqpacket::recv(socket, buffer, Wait::DontWait) {
        Ok(received) => received,
        Err(RecvError::Truncated) => return Err(Violation::Truncated),
        Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Receipt::Nothing),
        // It went with packets of ours unread. That is said once, and what it sent before comes after.
        Err(RecvError::Io(error)) if error.raw_os_error() == Some(libc::ECONNRESET) => return Ok(Receipt::Packet),
        Err(RecvError::Io(_)) => return Ok(Receipt::End),
    };
    if received.len == 0 && received.fds.is_empty() && !received.fds_lost {
        return Ok(Receipt::End);
    }
    let packet = scratch.buffer.get(..received.len).unwrap_or_default();
    let (tag, payload) = split(packet).map_err(Violation::Malformed)?;
    if tag != TAG_INLINE {
        return Err(Violation::Memfd);
    }
    let reply: Reply = decode(payload).map_err(Violation::Malformed)?;
    check_ranges(&reply.body)?;
    if !matches!(reply.body, ReplyBody::Opened(_) | ReplyBody::Filled(_))
        && (received.fds_lost || !received.fds.is_empty())
    {
        return Err(Violation::DescriptorCount);
    }
    let body = if received.fds_lost { without_descriptors(reply.body) } else { reply.body };
    match body {
        body @ (ReplyBody::Started | ReplyBody::SyncPoint) => {
            let pid = program_pid(connection, received.pid)?;
            let event = if body == ReplyBody::Started { Event::Started { pid } } else { Event::SyncPoint { pid } };
            pass(connection, reply.id, &body, event, scratch)?;
        }
        ReplyBody::Timeline(samples) => {
            let kind = ReplyBody::Timeline(Vec::new());
            pass(connection, reply.id, &kind, Event::Timeline(samples), scratch)?;
        }
        ReplyBody::Hello { version } => greet(connection, reply.id, version, scratch)?,
        body => end(connection, reply.id, body, received.fds, scratch)?,
    }
    Ok(Receipt::Packet)
}

/// This process can open no more files (`EMFILE`), so what was opened for it is closed again: init had no part in that.
fn without_descriptors(body: ReplyBody) -> ReplyBody {
    let files = match body {
        ReplyBody::Opened(files) => files,
        ReplyBody::Filled(_) => return ReplyBody::Failed(Failure::new(Step::OpenFile, libc::EMFILE)),
        body => return body,
    };
    let lost = |file: Result<Opened, Failure>| file.and_then(|_| Err(Failure::new(Step::OpenFile, libc::EMFILE)));
    ReplyBody::Opened(files.into_iter().map(lost).collect())
}

fn check_ranges(body: &ReplyBody) -> Result<(), Violation> {
    let fits = |failure: &Failure| (1..=4095).contains(&failure.errno) && failure.subject.len() <= PATH_MAX;
    let good = match body {
        ReplyBody::Failed(failure) => fits(failure),
        ReplyBody::Opened(files) => files.iter().all(|file| file.as_ref().map_or_else(fits, |_| true)),
        ReplyBody::Filled(items) => items.iter().all(|item| match item {
            Filled::Failed(failure) => fits(failure),
            Filled::Known | Filled::Made | Filled::Open(_) => true,
        }),
        ReplyBody::Listed(listing) => listing.entries.len() <= NAMES_MAX && listing.entries.iter().all(is_entry),
        ReplyBody::Timeline(samples) => {
            samples.len() <= SAMPLES_MAX && samples.is_sorted_by_key(|sample| sample.time_us)
        }
        ReplyBody::Ended(outcome) => match outcome.verdict {
            Verdict::Signaled(signal) => (1..=64).contains(&signal),
            _ => true,
        },
        _ => true,
    };
    if good { Ok(()) } else { Err(Violation::Range) }
}

/// Whether this can be what stands under a name in a directory: a name that leads elsewhere would make a path of it that does.
fn is_entry(entry: &Listed) -> bool {
    let name = entry.name.as_slice();
    let is_name = !matches!(name, b"" | b"." | b"..")
        && name.len() <= NAME_MAX
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    let is_target = entry.target.len() <= PATH_MAX && !entry.target.contains(&0);
    is_name && is_target && entry.mode <= 0o7777 && (entry.kind == FileKind::Symlink) != entry.target.is_empty()
}

/// The longest name in a directory.
const NAME_MAX: usize = 255;

/// The pid that the kernel put beside the packet, translated into our pid namespace. A sender that names none has its own put
/// there, so init's own is a lie as well.
fn program_pid(connection: &Connection, pid: Option<i32>) -> Result<u32, Violation> {
    match pid.map(u32::try_from) {
        Some(Ok(pid)) if pid > 0 && Some(pid) != connection.pid() => Ok(pid),
        _ => Err(Violation::Pid),
    }
}

/// `Started`, `SyncPoint` or `Timeline`, each at most once and only if asked for.
fn pass(
    connection: &Connection,
    id: u32,
    body: &ReplyBody,
    event: Event,
    scratch: &mut Scratch,
) -> Result<(), Violation> {
    let (sink, id) = {
        let mut state = lock(&connection.state);
        let pending = state.in_flight.get_mut(&id).ok_or(Violation::UnknownId)?;
        if !pending.kind.passes(body) {
            return Err(Violation::WrongKind);
        }
        (Arc::clone(&pending.sink), pending.id)
    };
    scratch.batch.deliver(sink, id, event);
    Ok(())
}

/// Init's first packet, once.
fn greet(connection: &Arc<Connection>, id: u32, version: u32, scratch: &mut Scratch) -> Result<(), Violation> {
    {
        let mut state = lock(&connection.state);
        match state.in_flight.get_mut(&CREATE) {
            Some(Pending { kind: Kind::Create { greeted: greeted @ false }, .. }) if id == CREATE => *greeted = true,
            _ => return Err(Violation::WrongKind),
        }
        if version != VERSION {
            return Err(Violation::Version);
        }
    }
    connection.open_if_complete(&mut scratch.batch);
    Ok(())
}

/// The last reply to a request.
fn end(
    connection: &Arc<Connection>,
    id: u32,
    body: ReplyBody,
    fds: Vec<OwnedFd>,
    scratch: &mut Scratch,
) -> Result<(), Violation> {
    let pending = {
        let mut state = lock(&connection.state);
        let Entry::Occupied(entry) = state.in_flight.entry(id) else { return Err(Violation::UnknownId) };
        if !entry.get().kind.ends_with(&body) {
            return Err(Violation::WrongKind);
        }
        check_descriptors(&entry.get().kind, &body, &fds)?;
        if id == CREATE {
            // Its failure is delivered when nothing of the container is left.
            drop(state);
            if let ReplyBody::Failed(failure) = body {
                connection.not_created(Error::Perform(failure));
            }
            return Ok(());
        }
        let pending = entry.remove();
        if let ReplyBody::Ended(outcome) = &body {
            // What is in flight came after that, as init sees it.
            state.untouched = outcome.untouched && !state.in_flight.values().any(|other| other.kind.may_change());
        }
        pending
    };
    let event = match (body, pending.kind) {
        (body, Kind::AddGroup { group }) => {
            if body != ReplyBody::Done
                && let Some(group) = connection.groups.as_ref().and_then(|groups| groups.withdraw(group))
            {
                hand_over(Job::Remove(group));
            }
            Event::Done
        }
        (_, Kind::AddFilter) => Event::Done,
        (_, Kind::RemoveGroup { group }) => {
            hand_over(Job::Remove(group));
            Event::Done
        }
        (ReplyBody::Done, _) => Event::Done,
        (ReplyBody::Listed(listing), _) => Event::Listed(listing),
        (ReplyBody::Filled(items), _) => Event::Filled { items, files: fds },
        (ReplyBody::Opened(files), Kind::Read { .. }) => {
            let mut fds = fds.into_iter();
            let opened = files.into_iter().map(|file| file.and_then(|_| fds.next().ok_or_else(lost_descriptor)));
            Event::Files(opened.collect())
        }
        (ReplyBody::Opened(files), _) => match (files.into_iter().next(), fds.into_iter().next()) {
            (Some(Ok(opened)), Some(file)) => Event::File { file, ticket: opened.ticket },
            (Some(Err(failure)), _) => Event::Failed(Error::Perform(failure)),
            _ => return Err(Violation::DescriptorCount),
        },
        (ReplyBody::Ended(reported), Kind::Run { collector, limits, lease, .. }) => {
            let outcome = conclude(connection, &reported, &limits, lease);
            match collector {
                None => Event::Ended(outcome),
                Some(collector) => {
                    let (stdout, stderr, breach) = collector.finish(&mut scratch.buffer);
                    // Of a run that was ended for another limit there may be more in the pipes than was to be kept.
                    let breach = breach.filter(|_| !is_limit(outcome.verdict));
                    Event::Collected(Box::new(Collected { outcome, breach, stdout, stderr }))
                }
            }
        }
        (ReplyBody::Failed(failure), Kind::Run { collector, lease, resources, .. }) => {
            if let Some(collector) = collector {
                collector.close();
            }
            if let Some(lease) = lease {
                // Without a thread in it, or unknown to init, it is of no use.
                let is_known = !matches!(failure.step, Step::EnterGroup | Step::Request);
                let _ = end_lease(connection, lease, !is_known);
            }
            Event::Failed(Error::Perform(name_limit(failure, &resources)))
        }
        (ReplyBody::Failed(failure), _) => Event::Failed(Error::Perform(failure)),
        // `ends_with` lets nothing else through.
        (
            ReplyBody::Hello { .. }
            | ReplyBody::Started
            | ReplyBody::SyncPoint
            | ReplyBody::Timeline(_)
            | ReplyBody::Ended(_),
            _,
        ) => {
            return Err(Violation::WrongKind);
        }
    };
    scratch.batch.deliver(pending.sink, pending.id, event);
    Ok(())
}

fn is_limit(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::CpuTimeLimit | Verdict::WallTimeLimit | Verdict::MemoryLimit)
}

/// The verdict; and the group is free for another run, or on its way out.
fn conclude(
    connection: &Arc<Connection>,
    reported: &hotcell_protocol::Outcome,
    limits: &Limits,
    lease: Option<Lease>,
) -> Outcome {
    let counted = lease.and_then(|lease| end_lease(connection, lease, reported.group_killed));
    outcome::conclude(reported, counted.as_ref(), limits)
}

fn end_lease(connection: &Arc<Connection>, mut lease: Lease, useless: bool) -> Option<hotcell_cgroup::Usage> {
    let (usage, reusable) = lease.numbered.finish(useless);
    match &connection.groups {
        Some(groups) if reusable => groups.put(lease.numbered),
        _ => connection.retire(lease.numbered),
    }
    usage
}

/// Resource limits behind those that were asked for as such come from `limits`.
fn name_limit(failure: Failure, (asked, names): &(u32, Vec<&'static str>)) -> Failure {
    let behind = failure.index.checked_sub(*asked).map(|index| index as usize);
    match behind.and_then(|index| names.get(index)) {
        Some(name) if failure.step == Step::SetRlimit => failure.of(format!("limits.{name}").as_bytes()),
        _ => failure,
    }
}

/// As many as the reply speaks of, each a regular file that can be read or written: anything else could make the reader wait
/// (a FIFO), act (a device) or wander off (a directory).
fn check_descriptors(kind: &Kind, body: &ReplyBody, fds: &[OwnedFd]) -> Result<(), Violation> {
    let expected = match (body, kind) {
        (ReplyBody::Opened(files), kind) => {
            let count = if let Kind::Read { count } = kind { *count } else { 1 };
            if files.len() != count {
                return Err(Violation::Range);
            }
            let opened = files.iter().filter_map(|file| file.as_ref().ok());
            if !matches!(kind, Kind::Open { replace: true }) && opened.clone().any(|file| file.ticket != 0) {
                return Err(Violation::Range);
            }
            opened.count()
        }
        (ReplyBody::Filled(items), Kind::Fill { files }) => check_filled(items, files)?,
        _ => return Ok(()),
    };
    if expected != fds.len() {
        return Err(Violation::DescriptorCount);
    }
    for fd in fds {
        let regular =
            fstat(fd).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG);
        let path_only = fcntl(fd, FcntlArg::F_GETFL).is_ok_and(|flags| flags & OFlag::O_PATH.bits() != 0);
        if !regular || path_only {
            return Err(Violation::DescriptorType);
        }
    }
    Ok(())
}

/// Every item, or those before the first that failed; files are open and nothing else is. Returns how many are.
fn check_filled(items: &[Filled], files: &[bool]) -> Result<usize, Violation> {
    let failed = items.iter().position(|item| matches!(item, Filled::Failed(_)));
    let is_whole = match failed {
        None => items.len() == files.len(),
        Some(index) => index + 1 == items.len() && items.len() <= files.len(),
    };
    let fits = |(item, is_file): (&Filled, &bool)| match item {
        Filled::Open(ticket) => *is_file && *ticket != 0,
        Filled::Known | Filled::Made => !is_file,
        Filled::Failed(_) => true,
    };
    if !is_whole || !items.iter().zip(files).all(fits) {
        return Err(Violation::Range);
    }
    Ok(items.iter().filter(|item| matches!(item, Filled::Open(_))).count())
}

/// [`check_descriptors`] has counted them.
fn lost_descriptor() -> Failure {
    Failure::new(Step::OpenFile, libc::EBADF)
}
