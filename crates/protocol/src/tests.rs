//! Claims about the encoding: everything arrives as it was sent, and nothing that was not sent arrives as anything.

use crate::codec::{PACKET_MAX, TAG_INLINE, TAG_MEMFD, split};
use crate::trace::{
    Argument, Arguments, CallCount, CallResult, DisallowedCall, FatalViolation, Overflow, TraceSubject, TracedCall,
    TracedCalls, Violation, append_event, split_batch,
};
use crate::*;
use serde_bytes::{ByteBuf, Bytes};

fn payload<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut packet = Vec::new();
    encode(message, &mut packet);
    assert_eq!(packet.remove(0), TAG_INLINE);
    packet
}

fn failure() -> Failure {
    Failure::new(Step::OpenFile, 2).of(b"/w/\xff").at(7)
}

fn requests() -> Vec<RequestBody<'static>> {
    let file = OpenFile { path: b"a", how: OpenHow::Flags(0o102), mode: 0o644 };
    let exec = Exec {
        args: b"ls\0-l\0",
        env: Some(Bytes::new(b"A=\x80\0")),
        cwd: Some(Bytes::new(b"/tmp")),
        rlimits: Resource::ALL.iter().map(|&resource| RLimit { resource, soft: 1, hard: RLimit::UNLIMITED }).collect(),
        limits: RunLimits { wall_us: Some(1), cpu_us: Some(u64::MAX), memory_bytes: None, processes: Some(64) },
        group: Some(RunGroup { group: 2, cpu_base_us: 3, oom_base: u64::MAX, memory_base_bytes: 4 }),
        filter: 5,
        trace: Some(Box::new(TraceConfig { learn: true, ..TraceConfig::default() })),
        landlock: Some(Box::new(Landlock {
            paths: vec![LandlockPath { path: b"/w", read: true, write: false, execute: true }],
            connect: Some(vec![443]),
            bind: Some(vec![]),
            degrade: true,
        })),
        sample_us: 1000,
        fds: 3,
        terminal: Some(Terminal { size: WindowSize { columns: 80, rows: u16::MAX }, keyboard: true, screen: false }),
        flags: ExecFlags { execute_fd: true, sync: true, report_start: true },
    };
    let files = GroupFiles {
        v1_tasks: 5,
        v2_directory: true,
        v2_kill: false,
        cpu: Some(CpuCounter::Stat),
        oom_kills: true,
        memory: true,
        processes: Some(true),
    };
    let filter =
        Filter { filter: 5, reach: Reach::ALL, token: [u64::MAX, 1, 2, 3, 4, 0], program: b"\x06\0\0\0\0\0\xff\x7f" };
    vec![
        RequestBody::Ping,
        RequestBody::Open(vec![file.clone(), OpenFile { how: OpenHow::Replace, ..file }]),
        RequestBody::Commit(vec![1, u32::MAX]),
        RequestBody::Discard(vec![]),
        RequestBody::Delete { path: b"/w", recursive: true },
        RequestBody::Symlink { target: b"../x", path: b"y" },
        RequestBody::Unmake { resets: 2, base: b"out" },
        RequestBody::List { resets: 3, base: Base::Path(b"/w"), directory: b"a/b", offset: i64::MAX },
        RequestBody::Read {
            resets: 0,
            base: Base::Upper(b"/w/p"),
            directory: b"",
            names: vec![serde_bytes::Bytes::new(b"x"), serde_bytes::Bytes::new(b"\xff\n")],
        },
        RequestBody::Fill {
            resets: u32::MAX,
            base: b"out",
            items: vec![
                Item { path: b"", kind: ItemKind::Directory },
                Item { path: b"a/b", kind: ItemKind::File { mode: 0o644 } },
                Item { path: b"a/c", kind: ItemKind::Symlink { target: b"/" } },
                Item { path: b"a/d", kind: ItemKind::HardLink { target: b"a/b" } },
            ],
        },
        RequestBody::Settle {
            resets: 1,
            base: b"out",
            items: vec![
                Settled::File { ticket: 7, mtime_ns: Some(-1) },
                Settled::Directory { path: b"a", mode: 0o555, mtime_ns: None },
            ],
        },
        RequestBody::Reset,
        RequestBody::Execve(exec),
        RequestBody::Execve(Exec::default()),
        RequestBody::Resume(1),
        RequestBody::Abort(2),
        RequestBody::Kill { run: 3, signal: 9 },
        RequestBody::Resize { run: 3, size: WindowSize { columns: 1, rows: 2 } },
        RequestBody::AddGroup { group: 4, files, filter: 5 },
        RequestBody::AddGroup { group: 0, files: GroupFiles::default(), filter: 0 },
        RequestBody::RemoveGroup(4),
        RequestBody::AddFilter { filter, warm: true },
        RequestBody::RemoveFilter(5),
    ]
}

fn replies() -> Vec<ReplyBody> {
    let usage = Usage { user_us: 1, system_us: u64::MAX, wall_us: 3, setup_us: 4, max_rss_bytes: 5 };
    let verdicts = [
        Verdict::Exited(255),
        Verdict::Signaled(64),
        Verdict::CpuTimeLimit,
        Verdict::WallTimeLimit,
        Verdict::MemoryLimit,
        Verdict::FileSizeLimit,
        Verdict::DisallowedSyscall,
    ];
    let call = Disallowed { nr: 101, arch: 0xc000_003e, args: [0, u64::MAX, 2, 3, 4, 5] };
    let ends = verdicts.map(|verdict| {
        let disallowed = (verdict == Verdict::DisallowedSyscall).then_some(call);
        ReplyBody::Ended(Outcome { verdict, usage, disallowed, group_killed: true, untouched: true })
    });
    // The longest that there can be.
    let widest = Sample { time_us: u64::MAX, cpu_us: u64::MAX, memory_bytes: u64::MAX, processes: u32::MAX };
    let others = vec![
        ReplyBody::Hello { version: VERSION },
        ReplyBody::Done,
        ReplyBody::Opened(vec![Ok(Opened { ticket: 9 }), Err(failure())]),
        ReplyBody::Started,
        ReplyBody::SyncPoint,
        ReplyBody::Timeline(vec![widest; SAMPLES_MAX]),
        ReplyBody::Failed(failure()),
    ];
    ends.into_iter().chain(others).collect()
}

fn setup() -> Setup {
    let bytes = |text: &str| ByteBuf::from(text.as_bytes());
    let mount = |kind| Mount { kind, target: bytes("/t"), read_only: true, no_exec: false, optional: true };
    Setup {
        root: Some(bytes("/r")),
        mounts: vec![
            mount(MountKind::Bind { source: bytes("/s") }),
            mount(MountKind::Tmpfs { limits: Some(TmpfsLimits { size_bytes: 1, inodes: 2 }) }),
            mount(MountKind::Tmpfs { limits: None }),
            mount(MountKind::Overlay { source: bytes("/s"), limits: None, map_owner: true }),
        ],
        symlinks: vec![(bytes("a"), bytes("/b"))],
        masked_paths: vec![bytes("/proc/kcore")],
        work_dir: bytes("/w"),
        hostname: bytes("h"),
        domainname: bytes(""),
        env: bytes("A=1\0"),
        program: Identity { uid: u32::MAX, gid: 0 },
        user_namespace: UserNamespace::Required,
        network: Network::Host,
        tmpfs: TmpfsLimits { size_bytes: u64::MAX, inodes: 0 },
        proc: ProcMode::Pid,
    }
}

#[test]
fn every_message_arrives_as_it_was_sent() {
    for (body, id) in requests().into_iter().zip(1..) {
        let request = Request { id, body };
        assert_eq!(decode::<Request<'_>>(&payload(&request)), Ok(request));
    }
    for (body, id) in replies().into_iter().zip(0..) {
        let reply = Reply { id, body };
        let payload = payload(&reply);
        assert!(payload.len() < PACKET_MAX, "{}", payload.len());
        assert_eq!(decode::<Reply>(&payload), Ok(reply));
    }
    for cgroup in [false, true] {
        let order = Order::Launch(Box::new(Launch { id: 1, setup: setup(), cgroup }));
        assert_eq!(decode::<Order>(&payload(&order)), Ok(order));
    }
    let name = |text: &str| serde_bytes::ByteBuf::from(text.as_bytes());
    let guard = Order::Guard(Guard { parent: name("hotcell"), owner: name("1-2"), enabled: name("cpu pids") });
    assert_eq!(decode::<Order>(&payload(&guard)), Ok(guard));
    for result in [Ok(Cloned { pid: 1, init: Identity { uid: 2, gid: 3 } }), Err(failure())] {
        let launched = Launched { id: 1, result };
        assert_eq!(decode::<Launched>(&payload(&launched)), Ok(launched));
    }
}

#[test]
fn a_shortened_or_lengthened_message_is_refused() {
    let request = Request { id: 1, body: requests().swap_remove(7) };
    let whole = payload(&request);
    for length in 0..whole.len() {
        assert_eq!(decode::<Request<'_>>(&whole[..length]), Err(DecodeError::Payload), "{length} of {}", whole.len());
    }
    let longer = [whole.as_slice(), b"\0"].concat();
    assert_eq!(decode::<Request<'_>>(&longer), Err(DecodeError::TrailingBytes));
}

/// Any bytes at all: an error, or a message that encodes to an equal one; never a panic, and never more memory than a packet's
/// length explains (a declared length is not allocated before the bytes are there).
#[test]
fn garbage_is_an_error_or_a_message() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut accepted = 0;
    for round in 0..200_000 {
        let length = random() as usize % 64;
        let bytes: Vec<u8> = match round % 3 {
            // what decoders trip over: long varints, and lengths far beyond the end
            0 => (0..length).map(|_| if random() % 2 == 0 { 0xff } else { random() as u8 % 20 }).collect(),
            _ => (0..length).map(|_| random() as u8 % 24).collect(),
        };
        if let Ok(request) = decode::<Request<'_>>(&bytes) {
            accepted += 1;
            assert_eq!(decode::<Request<'_>>(&payload(&request)).as_ref(), Ok(&request));
        }
        if let Ok(reply) = decode::<Reply>(&bytes) {
            accepted += 1;
            assert_eq!(decode::<Reply>(&payload(&reply)).as_ref(), Ok(&reply));
        }
        let _ = decode::<Launch>(&bytes);
        let _ = decode::<Launched>(&bytes);
    }
    assert!(accepted > 1000, "the garbage is too wild to test anything: {accepted}");
}

#[test]
fn a_packet_has_a_known_tag() {
    assert_eq!(split(&[TAG_INLINE, 1]), Ok((TAG_INLINE, [1].as_slice())));
    assert_eq!(split(&[TAG_MEMFD]), Ok((TAG_MEMFD, [].as_slice())));
    assert_eq!(split(&[2, 1]), Err(DecodeError::Tag));
    assert_eq!(split(&[]), Err(DecodeError::Tag));
}

#[test]
fn a_failure_fits_a_packet_whatever_its_subject() {
    let failure = Failure::new(Step::OpenFile, 36).of(&vec![b'x'; 100_000]);
    assert_eq!(failure.subject.len(), codec::PATH_MAX);
    assert!(payload(&Reply { id: u32::MAX, body: ReplyBody::Failed(failure) }).len() < PACKET_MAX);
}

#[test]
fn steps_and_resources_are_found_by_number_and_name() {
    for (step, number) in Step::ALL.iter().zip(0..) {
        assert_eq!(*step as u8, number);
        assert_eq!(Step::from_u8(number), Some(*step));
        assert!(!step.syscall().is_empty() && !step.doing().is_empty());
    }
    assert_eq!(Step::from_u8(Step::ALL.len() as u8), None);
    for (resource, number) in Resource::ALL.iter().zip(0..) {
        assert_eq!(resource.number(), number);
        assert_eq!(Resource::from_name(resource.name()), Some(*resource));
    }
    assert_eq!(Resource::from_name("RLIMIT_CPU"), None);
}

fn events() -> Vec<TraceEvent<'static>> {
    let who = TraceSubject { pid: 7, tid: u32::MAX };
    let mut arguments = Arguments::new();
    for argument in [
        Argument::Number(-100),
        Argument::Hex(u64::MAX),
        Argument::Octal(0o644),
        Argument::Name("O_RDONLY|O_CLOEXEC"),
        Argument::Text(b"/w/\xff", true),
        Argument::Bytes(b"abc\0", 4096),
    ] {
        arguments.push(argument);
    }
    let call = |result| TracedCall { who, call: 257, arguments, result, start_ns: 1, duration_ns: u64::MAX };
    let none = TracedCall { arguments: Arguments::new(), ..call(CallResult::None) };
    let violation =
        Violation { who, call: 2, operation: FileOperation::Execute, path: b"/etc", response: OnViolation::Log };
    vec![
        TraceEvent::Call(call(CallResult::Value(-1))),
        TraceEvent::Call(call(CallResult::Error(512))),
        TraceEvent::Call(none),
        TraceEvent::Violation(violation),
        TraceEvent::Refused { who, call: 425, errno: 38 },
        TraceEvent::Disallowed(DisallowedCall { who, call: 41, arch: 0xc000_003e, arguments: [1; 6], is_fatal: true }),
        TraceEvent::Started { who, parent: 7 },
        TraceEvent::Ended { who, status: 31 },
        TraceEvent::Lost(9),
    ]
}

fn batch() -> Vec<u8> {
    events().iter().fold(Vec::new(), |mut batch, event| {
        append_event(event, &mut batch);
        batch
    })
}

#[test]
fn events_arrive_as_they_were_sent() {
    let batch = batch();
    let arrived: Result<Vec<_>, _> = split_batch(&batch).collect();
    assert_eq!(arrived, Ok(events()));
    assert_eq!(split_batch(&[]).count(), 0);
    let config = TraceConfig {
        files: Some(FileRules { read: vec!["/usr/**".into()], ..FileRules::default() }),
        on_violation: OnViolation::Kill,
        calls: TracedCalls::These(vec![0, 511]),
        learn: true,
        program_uid: 2,
        overflow: Overflow::Drop,
    };
    assert_eq!(decode(&payload(&config)), Ok(config));
    let summary = TraceSummary {
        calls: vec![CallCount { call: 1, count: 2, errors: 3, time_ns: 4 }],
        threads: 1,
        violations: 1,
        fatal: Some(FatalViolation { call: 1, operation: FileOperation::Stat, path: b"/x".to_vec() }),
        disallowed: None,
        lost: 3,
    };
    assert_eq!(decode(&payload(&summary)), Ok(summary));
}

/// Every shortened batch, and every batch with a changed byte: events and then at most one error, never a panic.
#[test]
fn a_broken_batch_is_an_error_at_its_end() {
    let whole = batch();
    for length in 0..whole.len() {
        let shortened: Vec<_> = split_batch(&whole[..length]).collect();
        assert!(shortened.iter().rev().skip(1).all(Result::is_ok), "{length}");
    }
    for index in 0..whole.len() {
        for value in [0, 1, 7, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[index] = value;
            let events: Vec<_> = split_batch(&changed).collect();
            assert!(events.iter().rev().skip(1).all(Result::is_ok), "{index} {value}");
        }
    }
    // seven arguments: one more than there can be
    let mut call = payload(&events()[2]);
    let position = call.len() - 12;
    assert_eq!(call[position - 1], 0, "an empty list of arguments");
    call[position - 1] = 7;
    call.splice(position..position, [3; 7]);
    assert_eq!(decode::<TraceEvent<'_>>(&call), Err(DecodeError::Payload));
}
