//! Tests: an init that was taken over, at the other end of a real socket.
//!
//! What stands for init is a process that does nothing (its pidfd must become readable when it is killed); its replies are ours.

use crate::blocking::Mailbox;
use crate::connection::Connection;
use crate::error::{Error, Violation};
use crate::event::{Batch, Event, RequestId, Sink};
use crate::master::{Master, Program};
use crate::pending::{Deadline, Kind};
use hotcell_linux::seqpacket::{self, Wait};
use hotcell_linux::{file, pidfd};
use hotcell_protocol::codec::{PACKET_MAX, TAG_MEMFD};
use hotcell_protocol::{
    Base, Cloned, DecodeError, Failure, FileKind, Filled, Identity, Listed, Listing, Opened, Outcome, Reply, ReplyBody,
    Request, RequestBody, SAMPLES_MAX, Sample, Step, Usage, VERSION, Verdict, encode,
};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

struct Fake {
    master: Master,
    mailbox: Arc<Mailbox>,
    sink: Arc<dyn Sink>,
    socket: OwnedFd,
    process: Child,
}

/// A container whose init has been cloned, and has said nothing yet.
fn silent() -> Fake {
    let mailbox = Mailbox::new();
    let sink: Arc<dyn Sink> = mailbox.clone();
    let (ours, socket) = seqpacket::pair().unwrap();
    seqpacket::enable_credentials(ours.as_fd()).unwrap();
    let ids = (RequestId::next(), RequestId::next());
    let connection = Connection::open(ours, ids, sink.clone(), Deadline::after(30, "test"), (None, false)).unwrap();
    let process = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let descriptor = pidfd::open(process.id() as i32).unwrap();
    let cloned = Cloned { pid: process.id(), init: Identity { uid: 1, gid: 1 } };
    connection.launched(cloned, descriptor, &mut Batch::default());
    Fake { master: Master::of(connection), mailbox, sink, socket, process }
}

/// The same, ready for requests.
fn ready() -> Fake {
    let fake = silent();
    fake.reply(0, ReplyBody::Hello { version: VERSION });
    assert!(matches!(fake.mailbox.wait(fake.master.id()), Event::Created { .. }));
    fake
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Fake {
    fn send(&self, packet: &[u8], fds: &[&dyn AsRawFd], pid: Option<u32>) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        seqpacket::send(self.socket.as_fd(), packet, &fds, pid.map(|pid| pid as i32), Wait::Block).unwrap();
    }

    fn reply_with(&self, id: u32, body: ReplyBody, fds: &[&dyn AsRawFd], pid: Option<u32>) {
        let mut packet = Vec::new();
        encode(&Reply { id, body }, &mut packet);
        self.send(&packet, fds, pid);
    }

    fn reply(&self, id: u32, body: ReplyBody) {
        self.reply_with(id, body, &[], None);
    }

    fn ping(&self) -> (RequestId, u32) {
        let id = self.master.ping(&self.sink);
        (id, id.wire())
    }

    fn open(&self) -> (RequestId, u32) {
        let id = self.master.open(b"file", 0, 0, &self.sink);
        (id, id.wire())
    }

    fn execve(&self, sync: bool, report_start: bool) -> (RequestId, u32) {
        let program = Program { sync, report_start, ..Program::new(b"true\0") };
        let id = self.master.execve(program, &[], &self.sink);
        (id, id.wire())
    }

    fn sampled(&self) -> (RequestId, u32) {
        let program = Program { sample_us: Some(1000), ..Program::new(b"true\0") };
        let id = self.master.execve(program, &[], &self.sink);
        (id, id.wire())
    }

    fn next(&self, id: RequestId) -> Event {
        self.mailbox.wait_for(id, Duration::from_secs(5)).expect("an event within five seconds")
    }

    /// The request fails for this reason, the container is killed, and nothing else is told.
    fn condemned(&mut self, id: RequestId, violation: Violation) {
        match self.next(id) {
            Event::Failed(error) => assert_eq!(error, Error::TrustReply(violation)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(self.next(self.master.closed_id()), Event::Closed { requested: false }));
        assert!(!self.process.wait().unwrap().success());
    }
}

fn outcome(verdict: Verdict) -> ReplyBody {
    ReplyBody::Ended(Outcome {
        verdict,
        usage: Usage::default(),
        disallowed: None,
        group_killed: false,
        untouched: false,
    })
}

fn files<const N: usize>() -> ReplyBody {
    ReplyBody::Opened(vec![Ok(Opened { ticket: 0 }); N])
}

#[test]
fn honest_replies_are_believed() {
    let fake = ready();
    let ((ping, ping_wire), (run, run_wire)) = (fake.ping(), fake.execve(true, true));
    let pid = std::process::id();
    fake.reply_with(run_wire, ReplyBody::SyncPoint, &[], Some(pid));
    fake.reply(ping_wire, ReplyBody::Done);
    fake.reply_with(run_wire, ReplyBody::Started, &[], Some(pid));
    fake.reply(run_wire, outcome(Verdict::Exited(3)));
    assert!(matches!(fake.next(ping), Event::Done));
    assert!(matches!(fake.next(run), Event::SyncPoint { pid: told } if told == pid));
    assert!(matches!(fake.next(run), Event::Started { pid: told } if told == pid));
    assert!(matches!(fake.next(run), Event::Ended(crate::Outcome { verdict: Verdict::Exited(3), .. })));
    let (open, wire) = fake.open();
    fake.reply_with(wire, files::<1>(), &[&File::open("/etc/passwd").unwrap()], None);
    assert!(matches!(fake.next(open), Event::File { ticket: 0, .. }));
}

#[test]
fn what_is_no_reply_condemns() {
    for (packet, error) in [
        (&[][..], None),
        (&[9], Some(DecodeError::Tag)),
        (&[0], Some(DecodeError::Payload)),
        (&[0, 1], Some(DecodeError::Payload)),
        (&[0, 1, 200], Some(DecodeError::Payload)),
        (&[0; 30], Some(DecodeError::TrailingBytes)),
        (&[0xff; 1000], Some(DecodeError::Tag)),
    ] {
        let mut fake = ready();
        let (ping, _) = fake.ping();
        fake.send(packet, &[], None);
        match error {
            Some(error) => fake.condemned(ping, Violation::Malformed(error)),
            // An empty packet is what a closed socket looks like.
            None => assert!(matches!(fake.next(ping), Event::Failed(Error::KeepContainer))),
        }
    }
}

#[test]
fn bytes_behind_a_reply_condemn() {
    let mut fake = ready();
    let (ping, wire) = fake.ping();
    let mut packet = Vec::new();
    encode(&Reply { id: wire, body: ReplyBody::Done }, &mut packet);
    packet.push(0);
    fake.send(&packet, &[], None);
    fake.condemned(ping, Violation::Malformed(DecodeError::TrailingBytes));
}

#[test]
fn an_oversize_reply_condemns() {
    let mut fake = ready();
    let (ping, _) = fake.ping();
    fake.send(&[0; PACKET_MAX + 1], &[], None);
    fake.condemned(ping, Violation::Truncated);
}

#[test]
fn a_reply_in_a_memfd_condemns() {
    let mut fake = ready();
    let (ping, _) = fake.ping();
    fake.send(&[TAG_MEMFD], &[&File::open("/etc/passwd").unwrap()], None);
    fake.condemned(ping, Violation::Memfd);
}

#[test]
fn an_answer_to_nothing_condemns() {
    let mut fake = ready();
    let (ping, wire) = fake.ping();
    fake.reply(wire.wrapping_add(1000), ReplyBody::Done);
    fake.condemned(ping, Violation::UnknownId);

    let mut fake = ready();
    let (first, wire) = fake.ping();
    let (second, _) = fake.ping();
    fake.reply(wire, ReplyBody::Done);
    fake.reply(wire, ReplyBody::Done);
    assert!(matches!(fake.next(first), Event::Done));
    fake.condemned(second, Violation::UnknownId);
}

#[test]
fn an_answer_of_another_kind_condemns() {
    let pid = Some(std::process::id());
    for body in [outcome(Verdict::Exited(0)), files::<1>(), ReplyBody::Hello { version: VERSION }] {
        let mut fake = ready();
        let (ping, wire) = fake.ping();
        let file = File::open("/etc/passwd").unwrap();
        let fds: &[&dyn AsRawFd] = if matches!(body, ReplyBody::Opened(_)) { &[&file] } else { &[] };
        fake.reply_with(wire, body, fds, None);
        fake.condemned(ping, Violation::WrongKind);
    }
    // Neither was asked for, or not twice, or not any more.
    for bodies in [&[ReplyBody::SyncPoint][..], &[ReplyBody::Started, ReplyBody::Started], &[ReplyBody::Done]] {
        let mut fake = ready();
        let (run, wire) = fake.execve(false, true);
        bodies.iter().for_each(|body| fake.reply_with(wire, body.clone(), &[], pid));
        if bodies.len() == 2 {
            assert!(matches!(fake.next(run), Event::Started { .. }));
        }
        fake.condemned(run, Violation::WrongKind);
    }
    let mut fake = ready();
    let (run, wire) = fake.execve(true, true);
    fake.reply_with(wire, ReplyBody::Started, &[], pid);
    fake.reply_with(wire, ReplyBody::SyncPoint, &[], pid);
    assert!(matches!(fake.next(run), Event::Started { .. }));
    fake.condemned(run, Violation::WrongKind);
}

#[test]
fn a_timeline_is_believed_once_and_only_if_it_was_asked_for() {
    let samples = vec![Sample { time_us: 5, ..Sample::default() }; 2];
    let timeline = ReplyBody::Timeline(samples.clone());
    let mut fake = ready();
    let (run, wire) = fake.sampled();
    fake.reply(wire, timeline.clone());
    assert!(matches!(fake.next(run), Event::Timeline(told) if told == samples));
    fake.reply(wire, timeline.clone());
    fake.condemned(run, Violation::WrongKind);

    let mut fake = ready();
    let (run, wire) = fake.execve(false, false);
    fake.reply(wire, timeline);
    fake.condemned(run, Violation::WrongKind);
}

#[test]
fn a_timeline_that_is_none_condemns() {
    let at = |time_us| Sample { time_us, ..Sample::default() };
    for samples in [vec![at(2), at(1)], vec![at(1); SAMPLES_MAX + 1]] {
        let mut fake = ready();
        let (run, wire) = fake.sampled();
        fake.reply(wire, ReplyBody::Timeline(samples));
        fake.condemned(run, Violation::Range);
    }
}

#[test]
fn a_pid_that_is_not_the_programs_condemns() {
    for body in [ReplyBody::SyncPoint, ReplyBody::Started] {
        let mut fake = ready();
        let (run, wire) = fake.execve(true, true);
        // Whoever says nothing is spoken for by the kernel, with the pid of init. (Here: of whoever holds the socket.)
        fake.reply_with(wire, body, &[], Some(fake.process.id()));
        fake.condemned(run, Violation::Pid);
    }
}

#[test]
fn surplus_and_missing_descriptors_condemn_and_are_closed() {
    let file = File::open("/etc/passwd").unwrap();
    for (body, count) in [
        (ReplyBody::Done, 1),
        (files::<1>(), 0),
        (files::<1>(), 2),
        (files::<1>(), 253),
        (ReplyBody::Opened(vec![Err(Failure::new(Step::OpenFile, 2))]), 1),
        (ReplyBody::Failed(Failure::new(Step::OpenFile, 2)), 1),
    ] {
        let mut fake = ready();
        let (id, wire) = if body == ReplyBody::Done { fake.ping() } else { fake.open() };
        // The end of a pipe, so that it can be seen that no copy of it stays open.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut fds: Vec<&dyn AsRawFd> = vec![&file; count];
        if let Some(last) = fds.last_mut() {
            *last = &writer;
        }
        fake.reply_with(wire, body, &fds, None);
        drop(writer);
        fake.condemned(id, Violation::DescriptorCount);
        assert_eq!(std::io::Read::read(&mut &reader, &mut [0]).unwrap(), 0);
    }
}

#[test]
fn descriptors_that_are_no_open_regular_files_condemn() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let directory = File::open("/").unwrap();
    let device = File::open("/dev/null").unwrap();
    let (socket, _other) = seqpacket::pair().unwrap();
    // Not by File::options: where libc counts O_PATH to O_ACCMODE (musl), it takes the flag away.
    let path_only = file::openat(directory.as_fd(), c"etc/passwd", nix::libc::O_PATH, 0).unwrap();
    let all: [&dyn AsRawFd; 5] = [&pipe, &directory, &device, &socket, &path_only];
    for fd in all {
        let mut fake = ready();
        let (open, wire) = fake.open();
        fake.reply_with(wire, files::<1>(), &[fd], None);
        fake.condemned(open, Violation::DescriptorType);
    }
}

#[test]
fn values_out_of_range_condemn() {
    for body in [
        files::<0>(),
        files::<2>(),
        ReplyBody::Failed(Failure::new(Step::OpenFile, 0)),
        ReplyBody::Failed(Failure::new(Step::OpenFile, 4096)),
        ReplyBody::Failed(Failure { subject: vec![0; 4097], ..Failure::new(Step::OpenFile, 2) }),
        ReplyBody::Opened(vec![Err(Failure::new(Step::OpenFile, -1))]),
    ] {
        let mut fake = ready();
        let (open, wire) = fake.open();
        fake.reply(wire, body);
        fake.condemned(open, Violation::Range);
    }
    for signal in [0, 65, 255] {
        let mut fake = ready();
        let (run, wire) = fake.execve(false, false);
        fake.reply(wire, outcome(Verdict::Signaled(signal)));
        fake.condemned(run, Violation::Range);
    }
    let mut fake = ready();
    let (open, wire) = fake.open();
    let file = File::open("/etc/passwd").unwrap();
    fake.reply_with(wire, ReplyBody::Opened(vec![Ok(Opened { ticket: 7 })]), &[&file], None);
    fake.condemned(open, Violation::Range);
}

/// Whoever listed a directory makes paths of what comes: no name may be one already.
#[test]
fn listings_that_no_directory_has_condemn() {
    let entry = Listed {
        name: b"x".to_vec(),
        kind: FileKind::File,
        mode: 0o644,
        size: u64::MAX,
        mtime_ns: i64::MIN,
        target: Vec::new(),
    };
    let listing = |entries: Vec<Listed>| {
        ReplyBody::Listed(Listing { entries, next: Some(-1), is_opaque: true, mode: 0, mtime_ns: 0 })
    };
    let list = |fake: &Fake| {
        let id = RequestId::next();
        let body = RequestBody::List { resets: 0, base: Base::Path(b"/w"), directory: b"", offset: 0 };
        let deadline = Some(Deadline::after(30, "test"));
        fake.master.connection().request(id, Kind::List, deadline, &fake.sink, body, &[]);
        id
    };
    let named = |name: &[u8]| Listed { name: name.to_vec(), ..entry.clone() };
    let link = |target: &[u8]| Listed { kind: FileKind::Symlink, target: target.to_vec(), ..entry.clone() };
    let fake = ready();
    let id = list(&fake);
    fake.reply(id.wire(), listing(vec![entry.clone(), named(b"\xff\n"), link(b"../..")]));
    assert!(matches!(fake.next(id), Event::Listed(listing) if listing.entries.len() == 3));
    for entries in [
        vec![named(b"")],
        vec![named(b".")],
        vec![named(b"..")],
        vec![named(b"a/b")],
        vec![named(b"/etc")],
        vec![named(b"a\0b")],
        vec![named(&[b'x'; 256])],
        vec![link(b"")],
        vec![link(b"a\0")],
        vec![link(&[b'x'; 5000])],
        vec![Listed { target: b"x".to_vec(), ..entry.clone() }],
        vec![Listed { mode: 0o10_000, ..entry.clone() }],
        vec![entry.clone(); 129],
    ] {
        let mut fake = ready();
        let id = list(&fake);
        fake.reply(id.wire(), listing(entries));
        fake.condemned(id, Violation::Range);
    }
}

#[test]
fn what_was_not_asked_to_be_filled_or_read_condemns() {
    let file = File::open("/etc/passwd").unwrap();
    let failed = || Filled::Failed(Failure::new(Step::OpenFile, 2));
    let ask = |fake: &Fake, kind| {
        let id = RequestId::next();
        // What is asked is not looked at here.
        let deadline = Some(Deadline::after(30, "test"));
        fake.master.connection().request(id, kind, deadline, &fake.sink, RequestBody::Ping, &[]);
        id
    };
    let fill = |fake: &Fake| ask(fake, Kind::Fill { files: vec![false, true] });
    let fake = ready();
    let id = fill(&fake);
    fake.reply_with(id.wire(), ReplyBody::Filled(vec![Filled::Made, Filled::Open(7)]), &[&file], None);
    assert!(matches!(fake.next(id), Event::Filled { files, .. } if files.len() == 1));
    for (items, count, violation) in [
        (vec![Filled::Made], 0, Violation::Range),
        (vec![Filled::Made, Filled::Made], 0, Violation::Range),
        (vec![Filled::Open(1), Filled::Open(2)], 2, Violation::Range),
        (vec![Filled::Made, Filled::Open(0)], 1, Violation::Range),
        (vec![failed(), Filled::Open(1)], 1, Violation::Range),
        (vec![Filled::Made, Filled::Open(1), Filled::Made], 1, Violation::Range),
        (vec![Filled::Made, Filled::Open(1)], 0, Violation::DescriptorCount),
        (vec![Filled::Made, Filled::Open(1)], 2, Violation::DescriptorCount),
        (vec![Filled::Made, failed()], 1, Violation::DescriptorCount),
    ] {
        let mut fake = ready();
        let id = fill(&fake);
        let fds: Vec<&dyn AsRawFd> = vec![&file; count];
        fake.reply_with(id.wire(), ReplyBody::Filled(items), &fds, None);
        fake.condemned(id, violation);
    }
    let opened = |count| ReplyBody::Opened(vec![Ok(Opened { ticket: 0 }); count]);
    for (body, count, violation) in [
        (opened(1), 1, Violation::Range),
        (opened(3), 3, Violation::Range),
        (opened(2), 1, Violation::DescriptorCount),
        (ReplyBody::Opened(vec![Ok(Opened { ticket: 1 }); 2]), 2, Violation::Range),
    ] {
        let mut fake = ready();
        let id = ask(&fake, Kind::Read { count: 2 });
        let fds: Vec<&dyn AsRawFd> = vec![&file; count];
        fake.reply_with(id.wire(), body, &fds, None);
        fake.condemned(id, violation);
    }
}

#[test]
fn a_wrong_greeting_condemns() {
    let mut fake = silent();
    fake.reply(0, ReplyBody::Hello { version: VERSION + 1 });
    fake.condemned(fake.master.id(), Violation::Version);

    let mut fake = ready();
    let (ping, _) = fake.ping();
    fake.reply(0, ReplyBody::Hello { version: VERSION });
    fake.condemned(ping, Violation::WrongKind);

    let mut fake = silent();
    fake.reply(0, ReplyBody::Done);
    fake.condemned(fake.master.id(), Violation::WrongKind);
}

#[test]
fn a_failed_set_up_is_told_when_nothing_is_left() {
    let mut fake = silent();
    let failure = Failure::new(Step::PivotRoot, 22).of(b"/somewhere");
    fake.reply(0, ReplyBody::Failed(failure.clone()));
    match fake.next(fake.master.id()) {
        Event::Failed(error) => assert_eq!(error, Error::Perform(failure)),
        other => panic!("{other:?}"),
    }
    // It was killed before that was said, and has not been reaped by anybody else.
    assert!(fake.process.try_wait().unwrap().is_some());
}

#[test]
fn a_closed_socket_is_a_lost_container() {
    let mut fake = ready();
    let (ping, wire) = fake.ping();
    let (second, _) = fake.ping();
    // What was said before counts.
    fake.reply(wire, ReplyBody::Done);
    fake.socket = seqpacket::pair().unwrap().0;
    assert!(matches!(fake.next(ping), Event::Done));
    assert!(matches!(fake.next(second), Event::Failed(Error::KeepContainer)));
    assert!(matches!(fake.next(fake.master.closed_id()), Event::Closed { requested: false }));
}

#[test]
fn a_flood_of_garbage_harms_nobody_else() {
    let other = ready();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..300 {
        let fake = ready();
        let (ping, wire) = fake.ping();
        let mut packet = Vec::new();
        encode(&Reply { id: wire, body: ReplyBody::Done }, &mut packet);
        packet.extend((0..random() % 64).map(|_| 0));
        for _ in 0..1 + random() % 4 {
            let place = random() as usize % packet.len();
            packet[place] = random() as u8;
        }
        if packet.len() == 3 {
            packet.push(1);
        }
        // A socket that is closed by then is as good.
        let _ = seqpacket::send(fake.socket.as_fd(), &packet, &[], None, Wait::Block);
        match fake.next(ping) {
            Event::Failed(Error::TrustReply(_) | Error::Perform(_)) => {}
            event => panic!("{event:?} for {packet:?}"),
        }
    }
    let (ping, wire) = other.ping();
    other.reply(wire, ReplyBody::Done);
    assert!(matches!(other.next(ping), Event::Done));
}

/// What init is sent, as it would decode it.
#[test]
fn requests_arrive_as_they_were_made() {
    let fake = ready();
    let (_, wire) = fake.execve(true, false);
    let mut buffer = [0; PACKET_MAX];
    let received = seqpacket::recv(fake.socket.as_fd(), &mut buffer, Wait::Block).unwrap();
    let request: Request<'_> = hotcell_protocol::decode(&buffer[1..received.len]).unwrap();
    assert_eq!(request.id, wire);
    let hotcell_protocol::RequestBody::Execve(exec) = request.body else { panic!() };
    assert_eq!((exec.args, exec.env, exec.fds, exec.flags.sync), (&b"true\0"[..], None, 0, true));
}
