//! Claims about what is between the pipes and the pseudoterminal, made with real ones of the test process.

use super::{Ends, Pair, Terminal};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::file;
use hotcell_linux::process::monotonic_us;
use hotcell_protocol::WindowSize;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

const TOKEN: u64 = 7;
/// No wait in here is longer, in microseconds.
const DEADLINE_US: u64 = 20_000_000;

/// A terminal, and the three parties around it: who types, who looks, and the program.
struct Desk {
    epoll: Rc<Epoll>,
    terminal: Terminal,
    keyboard: Option<PipeWriter>,
    screen: Option<PipeReader>,
    program: File,
}

impl Desk {
    fn new() -> Self {
        let epoll = Rc::new(Epoll::new().unwrap());
        let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
        let pair = Pair::of(OwnedFd::from(master), WindowSize { columns: 80, rows: 24 }).unwrap();
        let program = File::from(pair.slave.try_clone().unwrap());
        let (typed, keyboard) = io::pipe().unwrap();
        let (screen, shown) = io::pipe().unwrap();
        file::set_status_flags(screen.as_fd(), libc::O_NONBLOCK).unwrap();
        file::set_status_flags(program.as_fd(), libc::O_NONBLOCK).unwrap();
        let ends = Ends { keyboard: Some(typed.into()), screen: Some(shown.into()) };
        let terminal = Terminal::new(pair, ends, &epoll, TOKEN).unwrap();
        Self { epoll, terminal, keyboard: Some(keyboard), screen: Some(screen), program }
    }

    /// One turn of the command loop. Whether there was anything to do.
    fn turn(&mut self, wait_ms: i32) -> bool {
        let mut told = Vec::new();
        self.epoll.wait(Some(wait_ms), |token, events| told.push((token, events))).unwrap();
        assert!(told.iter().all(|(token, _)| *token == TOKEN));
        let is_due = self.terminal.next_us() <= monotonic_us();
        for events in told.iter().map(|(_, events)| *events).chain(is_due.then_some(0)) {
            self.terminal.advance(events);
        }
        is_due || !told.is_empty()
    }

    /// Turns until this has a result.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = monotonic_us() + DEADLINE_US;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(monotonic_us() < end, "never: {what}");
            self.turn(5);
        }
    }

    fn is_idle(&mut self) -> bool {
        !self.turn(0)
    }

    /// The program writes until nothing takes any more; how much.
    fn fill(&mut self) -> usize {
        let mut written = 0;
        self.until("a full screen", |desk| match desk.program.write(&[b'y'; 1000]) {
            Ok(count) => {
                written += count;
                None
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                desk.is_idle().then_some(())
            }
        });
        written
    }

    fn types(&mut self, text: &[u8]) {
        self.keyboard.as_ref().unwrap().write_all(text).unwrap();
    }

    /// What the program reads next; nothing at the end of the file.
    fn line(&mut self) -> Vec<u8> {
        self.until("a line", |desk| some(&mut desk.program))
    }

    fn shown(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("output", |desk| {
            all.extend(desk.screen.as_mut().and_then(some).unwrap_or_default());
            (all.len() >= count).then(|| std::mem::take(&mut all))
        })
    }
}

/// What can be read at once; nothing at the end.
fn some(source: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = [0; 64 * 1024];
    match source.read(&mut buffer) {
        Ok(count) => Some(buffer[..count].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn keys_are_echoed_and_lines_are_read() {
    let mut desk = Desk::new();
    desk.types(b"on\x7fne\n");
    assert_eq!(desk.line(), b"one\n");
    assert_eq!(desk.shown(9), b"on\x08 \x08ne\r\n");
    desk.program.write_all(b"two\n").unwrap();
    assert_eq!(desk.shown(5), b"two\r\n");
}

#[test]
fn nothing_is_done_when_there_is_nothing_to_do() {
    let mut desk = Desk::new();
    assert!(desk.is_idle());
    desk.types(b"x\n");
    desk.line();
    desk.shown(3);
    desk.until("rest", |desk| desk.is_idle().then_some(()));
    // The pipe's end is told once, not again and again, also while it cannot be read for want of room.
    desk.keyboard = None;
    desk.until("rest", |desk| desk.is_idle().then_some(()));
}

#[test]
fn the_end_of_the_keyboard_comes_after_what_was_typed_and_again() {
    let mut desk = Desk::new();
    desk.types(b"a\nb");
    desk.keyboard = None;
    assert_eq!(desk.line(), b"a\n");
    // An end of file in the middle of a line gives what there is of it.
    assert_eq!(desk.line(), b"b");
    assert_eq!(desk.line(), b"");
    assert_eq!(desk.line(), b"");
}

#[test]
fn more_than_the_kernel_holds_waits_in_the_pipe() {
    let mut desk = Desk::new();
    let line = [b'x'; 99];
    let mut expected = Vec::new();
    // 60,000 bytes: the pipe takes them, the terminal a part.
    for _ in 0..600 {
        desk.types(&[&line[..], b"\n"].concat());
        expected.extend([&line[..], b"\n"].concat());
    }
    desk.until("rest", |desk| {
        // The echo is taken, or the terminal would stand still for it.
        desk.screen.as_mut().and_then(some);
        desk.is_idle().then_some(())
    });
    let mut read = Vec::new();
    while read.len() < expected.len() {
        desk.screen.as_mut().and_then(some);
        read.extend(desk.line());
    }
    assert!(read == expected);
}

#[test]
fn a_full_screen_holds_the_program_back_and_loses_nothing() {
    let mut desk = Desk::new();
    let written = desk.fill();
    assert!(written > 64 * 1024);
    // The run is over with all of that unread: the pipe is made to hold the rest.
    assert!(desk.terminal.drain());
    drop(desk.terminal);
    let mut all = Vec::new();
    desk.screen.unwrap().read_to_end(&mut all).unwrap();
    assert!(all == vec![b'y'; written]);
}

#[test]
fn a_reader_is_waited_for_where_the_pipe_cannot_hold_the_rest_but_not_for_ever() {
    let mut desk = Desk::new();
    // The kernel does not make it as small as an enlarged one with so much in it, which stands for a pipe that may not be enlarged.
    file::set_pipe_size(desk.screen.as_ref().unwrap().as_fd(), 1 << 20).unwrap();
    let written = desk.fill();
    assert!(!desk.terminal.drain());
    let read = desk.shown(60_000).len();
    assert!(desk.terminal.drain(), "there is room now");
    assert_eq!(desk.shown(written - read).len(), written - read);

    let written = desk.fill();
    assert!(written > 256 * 1024);
    // On a busy machine the time that it had before is over.
    desk.terminal.deadline_us = None;
    assert!(!desk.terminal.drain());
    desk.terminal.deadline_us = Some(0);
    assert!(desk.terminal.drain(), "it was waited for long enough");
}

#[test]
fn who_looks_no_more_hangs_up() {
    let mut desk = Desk::new();
    desk.screen = None;
    desk.until("a hang-up", |desk| match desk.program.write(b"x") {
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EIO));
            Some(())
        }
        Ok(_) => None,
    });
    assert_eq!(desk.terminal.descriptors().count(), 0);
    assert!(desk.terminal.drain());
    // And there is no end of the file to type any more.
    assert_eq!(desk.terminal.next_us(), u64::MAX);
    assert!(desk.is_idle());
}

#[test]
fn without_a_screen_all_is_thrown_away_and_without_a_keyboard_there_is_an_end() {
    let epoll = Rc::new(Epoll::new().unwrap());
    let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
    let pair = Pair::of(OwnedFd::from(master), WindowSize { columns: 80, rows: 24 }).unwrap();
    let mut program = File::from(pair.slave.try_clone().unwrap());
    let terminal = Terminal::new(pair, Ends::default(), &epoll, TOKEN).unwrap();
    let mut desk = Desk { epoll, terminal, keyboard: None, screen: None, program: program.try_clone().unwrap() };
    file::set_status_flags(program.as_fd(), libc::O_NONBLOCK).unwrap();
    assert_eq!(desk.line(), b"");
    let mut left: usize = 1_000_000;
    desk.until("all written", |_| {
        left = left.saturating_sub(program.write(&[b'z'; 4096]).unwrap_or(0));
        (left == 0).then_some(())
    });
}

#[test]
fn what_is_closed_is_not_watched_though_a_child_has_a_copy() {
    let desk = Desk::new();
    let epoll = Rc::clone(&desk.epoll);
    let copies: Vec<_> = desk.terminal.descriptors().map(duplicate).collect();
    assert_eq!(copies.len(), 4);
    drop(desk);
    let mut told = 0;
    epoll.wait(Some(0), |_, _| told += 1).unwrap();
    assert_eq!(told, 0);
}

fn duplicate(number: i32) -> OwnedFd {
    // SAFETY: the terminal has it open, and outlives this borrow.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().unwrap()
}
