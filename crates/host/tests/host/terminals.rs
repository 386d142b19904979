//! Programs on terminals.

use crate::support::{container, exit_code, until};
use hotcell_host::protocol::{Failure, Step, Verdict, WindowSize};
use hotcell_host::{Error, Event, Pipes, Program, Spawned, Stream, pipe};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const SIZE: WindowSize = WindowSize { columns: 132, rows: 43 };

fn on_terminal<'a>(args: &'a str) -> Program<'a> {
    Program { terminal: Some(SIZE), ..Program::new(args.as_bytes()) }
}

/// Reads a non-blocking pipe until it has given this.
fn read_to(pipe: &mut File, end: &str) -> String {
    let mut read = Vec::new();
    let began = Instant::now();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&read).contains(end) {
        match pipe.read(&mut buffer) {
            Ok(count) => {
                assert!(count > 0, "the end came before {end:?}: {:?}", String::from_utf8_lossy(&read));
                read.extend_from_slice(&buffer[..count]);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never: {end:?}");
        std::thread::yield_now();
    }
    String::from_utf8(read).unwrap()
}

#[test]
fn a_program_finds_a_terminal_of_the_container() {
    let Some(container) = container() else { return };
    let collected = container.run(on_terminal("sh\0-c\0tty; stty size; echo error >&2\0"), &[], 1 << 20).unwrap();
    assert_eq!(collected.outcome.verdict, Verdict::Exited(0));
    assert_eq!(String::from_utf8(collected.stdout).unwrap(), "/dev/pts/0\r\n43 132\r\nerror\r\n");
    assert_eq!(collected.stderr, b"");
    // What was typed is echoed, and has an end.
    let collected = container.run(on_terminal("cat\0"), b"x\n", 1 << 20).unwrap();
    assert_eq!(String::from_utf8(collected.stdout).unwrap(), "x\r\nx\r\n");
}

#[test]
fn a_limit_of_output_is_that_of_the_terminal() {
    let Some(container) = container() else { return };
    let collected = container.run(on_terminal("yes\0"), &[], 1000).unwrap();
    assert_eq!((collected.breach, collected.stdout.len()), (Some(Stream::Stdout), 1000));
}

#[test]
fn keys_make_signals_and_sizes_change() {
    let Some(container) = container() else { return };
    let script =
        "trap 'echo interrupted' INT; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.01; done";
    let args = format!("sh\0-c\0{script}\0");
    let pipes = Pipes { stdin: true, stdout: true, stderr: true };
    let spawned = container.master().spawn(on_terminal(&args), pipes, container.sink()).unwrap();
    let Spawned { id, stdin: Some(stdin), stdout: Some(stdout), stderr: None } = spawned else {
        panic!("a terminal has no standard error");
    };
    let (mut keyboard, mut screen) = (File::from(stdin), File::from(stdout));
    read_to(&mut screen, "ready\r\n");
    keyboard.write_all(b"\x03").unwrap();
    read_to(&mut screen, "interrupted\r\n");
    container.master().resize(id, WindowSize { columns: 20, rows: 10 });
    read_to(&mut screen, "10 20\r\n");
    assert_eq!(exit_code(&container.ended(id).unwrap()), 3);
    // Behind the last word there is the end of the file, not an error.
    assert_eq!(screen.read(&mut [0]).unwrap(), 0);
    // Of a run that is over there is nothing to resize.
    container.master().resize(id, SIZE);
    container.ping().unwrap();
}

#[test]
fn a_run_without_a_terminal_is_not_resized() {
    let Some(container) = container() else { return };
    let id = container.master().execve(Program::new(b"sleep\x000.1\0"), &[], container.sink());
    container.master().resize(id, SIZE);
    assert_eq!(exit_code(&container.ended(id).unwrap()), 0);
}

#[test]
fn who_reads_no_more_hangs_up() {
    let Some(container) = container() else { return };
    let pipes = Pipes { stdin: true, stdout: true, stderr: false };
    let spawned = container.master().spawn(on_terminal("sleep\x00100\0"), pipes, container.sink()).unwrap();
    drop(spawned.stdout);
    assert_eq!(container.ended(spawned.id).unwrap().verdict, Verdict::Signaled(1));
}

#[test]
fn the_terminal_of_execve_is_connected_to_two_pipes_or_none() {
    let Some(container) = container() else { return };
    let nowhere = container.execve(on_terminal("sh\0-c\0test -t 0 && ! read line\0"), &[]).unwrap();
    assert_eq!(exit_code(&nowhere), 0);

    let keyboard = pipe::make(pipe::Ours::Write).unwrap();
    let screen = pipe::make(pipe::Ours::Read).unwrap();
    let args = "sh\0-c\0read line; echo \"<$line>\"\0";
    let fds = [keyboard.read.as_fd(), screen.write.as_fd()];
    let id = container.master().execve(on_terminal(args), &fds, container.sink());
    drop((keyboard.read, screen.write));
    let mut screen = File::from(screen.read);
    File::from(keyboard.write).write_all(b"typed\n").unwrap();
    read_to(&mut screen, "<typed>\r\n");
    assert_eq!(exit_code(&container.ended(id).unwrap()), 0);

    let null = File::open("/dev/null").unwrap();
    let three = container.execve(on_terminal("true\0"), &[null.as_fd(); 3]).unwrap_err();
    assert_eq!(three, Error::Perform(Failure::new(Step::OpenTerminal, 22)));
    // What epoll(7) cannot watch is no keyboard.
    let file = container.execve(on_terminal("true\0"), &[null.as_fd()]).unwrap_err();
    assert_eq!(file, Error::Perform(Failure::new(Step::OpenTerminal, 1)));
}

#[test]
fn a_sync_point_of_another_run_keeps_no_terminal_open() {
    let Some(container) = container() else { return };
    let pipes = Pipes { stdin: true, stdout: true, stderr: false };
    let spawned = container.master().spawn(on_terminal("sleep\x00100\0"), pipes, container.sink()).unwrap();
    let program = Program { sync: true, ..Program::new(b"true\0") };
    let waiting = container.master().execve(program, &[], container.sink());
    assert!(matches!(container.mailbox().wait(waiting), Event::SyncPoint { .. }));
    drop(spawned.stdout);
    assert_eq!(container.ended(spawned.id).unwrap().verdict, Verdict::Signaled(1));
    container.master().resume(waiting);
    assert_eq!(exit_code(&container.ended(waiting).unwrap()), 0);
}

#[test]
fn a_reset_leaves_no_terminal_behind() {
    let Some(container) = container() else { return };
    let pipes = Pipes { stdin: true, stdout: true, stderr: false };
    let one = container.master().spawn(on_terminal("sleep\x00100\0"), pipes, container.sink()).unwrap();
    let mounted =
        || std::fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap().contains(" /dev/pts ");
    until("a terminal", mounted);
    container.reset().unwrap();
    assert_eq!(container.ended(one.id).unwrap().verdict, Verdict::Signaled(9));
    assert!(!mounted());
    // The next one is the first of a new instance.
    let collected = container.run(on_terminal("tty\0"), &[], 1 << 20).unwrap();
    assert_eq!(collected.stdout, b"/dev/pts/0\r\n");
}
