//! Programs: how they end, what they are given, what they write.

use crate::support::{container, exit_code, output, sh};
use hotcell_host::protocol::{RLimit, Resource, Step, Verdict};
use hotcell_host::{Error, Event, Pipes, Program, Stream};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

#[test]
fn a_program_ends_by_exit_code_or_by_signal() {
    let Some(container) = container() else { return };
    container.ping().unwrap();
    assert_eq!(container.execve(Program::new(b"/bin/true\0"), &[]).unwrap().verdict, Verdict::Exited(0));
    assert_eq!(container.execve(Program::new(b"/bin/false\0"), &[]).unwrap().verdict, Verdict::Exited(1));
    assert_eq!(exit_code(&sh(&container, "exit 42")), 42);
    for signal in [9, 11, 15] {
        assert_eq!(sh(&container, &format!("kill -{signal} $$")).verdict, Verdict::Signaled(signal));
    }
}

#[test]
fn usage_is_measured() {
    let Some(container) = container() else { return };
    let outcome = sh(&container, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
    let usage = outcome.usage;
    assert!(usage.user_us > 10_000, "{usage:?}");
    assert!(usage.wall_us >= usage.user_us / 2, "{usage:?}");
    assert!(usage.memory_bytes > 500_000, "{usage:?}");
    assert!(usage.setup_us > 0 && usage.setup_us < usage.wall_us, "{usage:?}");
}

#[test]
fn what_cannot_be_started_is_an_error_and_the_next_one_runs() {
    let Some(container) = container() else { return };
    let error = |program: Program<'_>| match container.execve(program, &[]) {
        Err(Error::Perform(failure)) => (failure.step, failure.errno),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(Program::new(b"nothing-of-this-name\0")), (Step::Execve, libc::ENOENT));
    assert_eq!(error(Program::new(b"/usr\0")), (Step::Execve, libc::EACCES));
    assert_eq!(error(Program { cwd: Some(b"/absent"), ..Program::new(b"true\0") }).1, libc::ENOENT);
    assert_eq!(error(Program::new(b"not terminated")).1, libc::EINVAL);
    assert_eq!(error(Program::new(b"")).1, libc::EINVAL);
    assert_eq!(exit_code(&sh(&container, "exit 0")), 0);
}

#[test]
fn a_megabyte_of_arguments_arrives() {
    let Some(container) = container() else { return };
    let argument = vec![b'x'; 100_000];
    let mut args = b"sh\0-c\0echo $# $0 ${#1}\0name\0".to_vec();
    for _ in 0..10 {
        args.extend_from_slice(&argument);
        args.push(0);
    }
    let collected = container.run(Program::new(&args), &[], 1000).unwrap();
    assert_eq!(collected.stdout, b"10 name 100000\n");

    let too_long = vec![b'x'; 20 << 20];
    let Err(Error::Perform(failure)) = container.execve(Program::new(&too_long), &[]) else { panic!() };
    assert_eq!((failure.step, failure.errno), (Step::Execve, libc::E2BIG));
    container.ping().unwrap();
}

#[test]
fn environment_and_directory_are_what_was_given() {
    let Some(container) = container() else { return };
    let env = b"A=\xff\xfe\0B=2\0".as_slice();
    let collected =
        container.run(Program { env: Some(env), ..Program::new(b"/usr/bin/env\0-0\0") }, &[], 1000).unwrap();
    assert_eq!(collected.stdout, env);
    assert_eq!(output(&container, "pwd"), "/w");
    let collected = container.run(Program { cwd: Some(b"/tmp"), ..Program::new(b"pwd\0") }, &[], 1000).unwrap();
    assert_eq!(collected.stdout, b"/tmp\n");
}

#[test]
fn descriptors_become_0_1_2_and_a_bad_one_is_named() {
    let Some(container) = container() else { return };
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let fds = [null.as_fd(), null.as_fd(), null.as_fd(), writer.as_fd()];
    let outcome = container.execve(Program::new(b"sh\0-c\0echo three >&3\0"), &fds).unwrap();
    assert_eq!(exit_code(&outcome), 0);
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "three\n");

    let number = null.as_raw_fd();
    drop(null);
    // SAFETY: not -1; that it is closed is what the test is about.
    let closed = unsafe { BorrowedFd::borrow_raw(number.max(0) + 10_000) };
    let fds = [reader.as_fd(), closed];
    let Err(Error::Perform(failure)) = container.execve(Program::new(b"true\0"), &fds) else { panic!() };
    assert_eq!((failure.step, failure.errno, failure.index), (Step::DupDescriptor, libc::EBADF, 1));

    let many = vec![reader.as_fd(); 252];
    let Err(Error::Perform(failure)) = container.execve(Program::new(b"true\0"), &many) else { panic!() };
    assert_eq!((failure.step, failure.errno), (Step::DupDescriptor, libc::E2BIG));
    let most = vec![reader.as_fd(); 251];
    container.execve(Program::new(b"true\0"), &most).unwrap();
}

#[test]
fn a_descriptor_can_be_what_is_executed() {
    let Some(container) = container() else { return };
    let program = File::open("/bin/sh").unwrap();
    let run = |executable: BorrowedFd<'_>| {
        let program = Program { executable: Some(executable), ..Program::new(b"sh\0-c\0exit 7\0") };
        container.execve(program, &[])
    };
    assert_eq!(exit_code(&run(program.as_fd()).unwrap()), 7);
    // SAFETY: not -1; that it is closed is what the test is about.
    let Err(Error::Perform(failure)) = run(unsafe { BorrowedFd::borrow_raw(10_000) }) else { panic!() };
    assert_eq!((failure.step, failure.errno), (Step::Execve, libc::EBADF));
}

#[test]
fn resource_limits_hold() {
    let Some(container) = container() else { return };
    let limit = |resource, soft| vec![RLimit { resource, soft, hard: soft }];
    let run = |script: &str, rlimits| {
        container
            .execve(Program { rlimits, ..Program::new(format!("sh\0-c\0{script}\0").as_bytes()) }, &[])
            .unwrap()
            .verdict
    };
    assert_eq!(run("while :; do :; done", limit(Resource::Cpu, 1)), Verdict::CpuTimeLimit);
    assert_eq!(run("exec head -c 100000 /dev/zero >/w/file", limit(Resource::Fsize, 1000)), Verdict::FileSizeLimit);
    let impossible = vec![RLimit { resource: Resource::Stack, soft: 2, hard: 1 }];
    let Err(Error::Perform(failure)) =
        container.execve(Program { rlimits: impossible, ..Program::new(b"true\0") }, &[])
    else {
        panic!()
    };
    assert_eq!((failure.step, failure.errno), (Step::SetRlimit, libc::EINVAL));
}

#[test]
fn output_is_collected_and_input_is_fed() {
    let Some(container) = container() else { return };
    let program = Program::new(b"sh\0-c\0cat; echo wrong >&2\0");
    let collected = container.run(program.clone(), b"hello", 1000).unwrap();
    assert_eq!((collected.stdout.as_slice(), collected.stderr.as_slice()), (&b"hello"[..], &b"wrong\n"[..]));
    assert_eq!((collected.outcome.verdict, collected.breach), (Verdict::Exited(0), None));

    // Far more than any pipe holds, in both directions at once.
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
    let collected = container.run(program.clone(), &input, usize::MAX).unwrap();
    assert!(collected.stdout == input);

    // Input that nobody reads.
    let collected = container.run(Program::new(b"true\0"), &input, 1000).unwrap();
    assert_eq!(collected.outcome.verdict, Verdict::Exited(0));
}

#[test]
fn output_over_the_limit_ends_the_run_and_exactly_the_limit_does_not() {
    let Some(container) = container() else { return };
    let exactly = container.run(Program::new(b"head\0-c\x00100000\0/dev/zero\0"), &[], 100_000).unwrap();
    assert_eq!((exactly.outcome.verdict, exactly.breach, exactly.stdout.len()), (Verdict::Exited(0), None, 100_000));
    // Short enough for the program to have ended by itself.
    let over = container.run(Program::new(b"head\0-c\x00101\0/dev/zero\0"), &[], 100).unwrap();
    assert_eq!((over.breach, over.stdout.len()), (Some(Stream::Stdout), 100));
    let start = Instant::now();
    let endless = container.run(Program::new(b"sh\0-c\0yes >&2\0"), &[], 65_536).unwrap();
    assert_eq!((endless.breach, endless.stderr.len()), (Some(Stream::Stderr), 65_536));
    assert!(start.elapsed() < Duration::from_secs(2));
    let none = container.run(Program::new(b"echo\0"), &[], 0).unwrap();
    assert_eq!((none.breach, none.stdout.len()), (Some(Stream::Stdout), 0));
}

#[test]
fn what_a_run_leaves_behind_does_not_delay_its_result() {
    let Some(container) = container() else { return };
    let start = Instant::now();
    let collected = container.run(Program::new(b"sh\0-c\0sleep 60 & echo here\0"), &[], 1000).unwrap();
    assert_eq!(collected.stdout, b"here\n");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn standard_output_can_be_opened_again() {
    let Some(container) = container() else { return };
    let collected =
        container.run(Program::new(b"sh\0-c\0echo out >/dev/stdout; echo err >/dev/stderr\0"), &[], 1000).unwrap();
    assert_eq!((collected.stdout.as_slice(), collected.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
}

#[test]
fn a_spawned_program_talks_over_pipes() {
    let Some(container) = container() else { return };
    let pipes = Pipes { stdin: true, stdout: true, stderr: false };
    let spawned = container.master().spawn(Program::new(b"cat\0"), pipes, container.sink()).unwrap();
    let (mut stdin, mut stdout) = (File::from(spawned.stdin.unwrap()), File::from(spawned.stdout.unwrap()));
    assert!(spawned.stderr.is_none());
    assert_eq!(stdout.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stdin.write_all(b"ping").unwrap();
    drop(stdin);
    assert_eq!(exit_code(&container.ended(spawned.id).unwrap()), 0);
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(text, "ping");
}

#[test]
fn runs_overlap_and_a_ping_is_not_held_up() {
    let Some(container) = container() else { return };
    let start = Instant::now();
    let ids: Vec<_> = (0..10)
        .map(|code| {
            let args = format!("sh\0-c\0sleep 0.5; exit {code}\0");
            container.master().execve(Program::new(args.as_bytes()), &[], container.sink())
        })
        .collect();
    container.ping().unwrap();
    assert!(start.elapsed() < Duration::from_millis(450), "{:?}", start.elapsed());
    for (code, id) in ids.into_iter().enumerate() {
        assert_eq!(usize::from(exit_code(&container.ended(id).unwrap())), code);
    }
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn many_threads_use_one_container() {
    let Some(container) = container() else { return };
    std::thread::scope(|scope| {
        for code in 0..8 {
            let container = &container;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(exit_code(&sh(container, &format!("exit {code}"))), code);
                }
            });
        }
    });
}

#[test]
fn more_requests_than_the_socket_takes_line_up() {
    let Some(container) = container() else { return };
    // A stopped init reads nothing, so everything beyond the socket's buffer waits here, in order.
    let pid = i32::try_from(container.pid()).unwrap();
    // SAFETY: no memory involved.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    let path = vec![b'x'; 3000];
    let ids: Vec<_> = (0..500).map(|_| container.master().delete(&path, true, container.sink())).collect();
    let last = container.master().ping(container.sink());
    // SAFETY: as above.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    assert!(matches!(container.mailbox().wait(last), Event::Done));
    for id in ids {
        // Longer than a name may be: each has an answer, and it is the kernel's.
        assert!(matches!(container.mailbox().wait(id), Event::Failed(Error::Perform(_)) | Event::Done));
    }
}

#[test]
fn a_cancelled_run_is_over_at_once() {
    let Some(container) = container() else { return };
    let program = Program { report_start: true, ..Program::new(b"sleep\x0060\0") };
    let id = container.master().execve(program, &[], container.sink());
    assert!(matches!(container.mailbox().wait(id), Event::Started { .. }));
    let start = Instant::now();
    container.master().cancel(id);
    assert_eq!(container.ended(id).unwrap().verdict, Verdict::Signaled(9));
    assert!(start.elapsed() < Duration::from_secs(1));
    // Over is over.
    container.master().cancel(id);
    container.master().kill(id, 9);
    container.ping().unwrap();
}

#[test]
fn a_signal_reaches_the_main_process() {
    let Some(container) = container() else { return };
    let program = Program::new(b"sh\0-c\0trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done\0");
    let pipes = Pipes { stdout: true, ..Pipes::default() };
    let spawned = container.master().spawn(program, pipes, container.sink()).unwrap();
    let mut stdout = File::from(spawned.stdout.unwrap());
    let mut ready = [0; 6];
    while stdout.read_exact(&mut ready).is_err() {
        std::thread::yield_now();
    }
    container.master().kill(spawned.id, libc::SIGUSR1 as u8);
    assert_eq!(exit_code(&container.ended(spawned.id).unwrap()), 5);
}
