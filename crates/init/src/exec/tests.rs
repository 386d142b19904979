//! Claims about the child, made with real children of the test process.
//!
//! The allocator of the test binary ends whoever allocates in a process other than the one that said it may: the child shares our
//! memory, so an allocation there would corrupt ours, and a lock taken there would stay taken.

use super::forker::{Filter, Place};
use super::{Forker, Plan, Progress, Spawner};
use crate::tty::Pair;
use hotcell_linux::epoll::Epoll;
use hotcell_linux::eventfd::EventFd;
use hotcell_linux::process::raw::{self, Pass};
use hotcell_linux::{process, seccomp};
use hotcell_protocol::{Exec, ExecFlags, Failure, Identity, RLimit, Reach, Resource, Step, Terminal, WindowSize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

/// What a child that allocates ends with.
const ALLOCATED: i32 = 99;

/// The process that may allocate; 0 while nobody looks.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// Children of one test at a time: they are waited for by `wait_any`.
static TURN: Mutex<()> = Mutex::new(());

struct OwnersOnly;

fn check() {
    let owner = OWNER.load(Ordering::Relaxed);
    // SAFETY: neither call touches memory.
    if owner != 0 && unsafe { raw::getpid(&Pass::NONE) } != owner as isize {
        // SAFETY: as above.
        unsafe { raw::exit(&Pass::NONE, ALLOCATED) };
    }
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for OwnersOnly {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check();
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: OwnersOnly = OwnersOnly;

/// Runs a program as a container would, but for the container; its exit code.
fn run(exec: &Exec<'_>, fds: Vec<OwnedFd>) -> Result<i32, Failure> {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let spawner = Spawner::new().unwrap();
    let plan = Plan::new(exec, b"PATH=/usr/bin:/bin\0", fds, None).unwrap();
    OWNER.store(std::process::id() as i32, Ordering::Relaxed);
    let started = spawner.execute(plan);
    OWNER.store(0, Ordering::Relaxed);
    Ok(exit_code(started?.pid().unwrap()))
}

/// Reaps one child, also one that is only about to be cloned.
fn reap() -> process::Reaped {
    let began = std::time::Instant::now();
    loop {
        match process::wait_any(true) {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => std::thread::yield_now(),
            other => return other.unwrap().unwrap(),
        }
        assert!(began.elapsed().as_secs() < 60, "nobody was cloned");
    }
}

fn exit_code(pid: i32) -> i32 {
    loop {
        let reaped = reap();
        if reaped.pid == pid {
            return libc::WEXITSTATUS(reaped.status);
        }
    }
}

fn shell(script: &'static [u8]) -> Exec<'static> {
    Exec { args: script, ..Exec::default() }
}

#[test]
fn the_child_allocates_nothing_on_its_way_to_a_program() {
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let exec = Exec {
        args: b"sh\0-c\0test \"$PWD\" = /usr && exit 7\0",
        cwd: Some(serde_bytes::Bytes::new(b"/usr")),
        rlimits: vec![RLimit { resource: Resource::Nofile, soft: 64, hard: 64 }],
        fds: 3,
        ..Exec::default()
    };
    let fds = super::plan::clear_targets(vec![null(), null(), null()]).unwrap();
    assert_eq!(run(&exec, fds), Ok(7));
}

#[test]
fn nor_on_its_way_to_a_failure() {
    let absent = run(&shell(b"absent\0"), vec![]).unwrap_err();
    assert_eq!(
        (absent.step, absent.errno, absent.subject.as_slice()),
        (Step::Execve, libc::ENOENT, b"absent".as_slice())
    );
    let exec = Exec { cwd: Some(serde_bytes::Bytes::new(b"/absent")), ..shell(b"true\0") };
    let nowhere = run(&exec, vec![]).unwrap_err();
    assert_eq!((nowhere.step, nowhere.errno), (Step::Chdir, libc::ENOENT));
    let raised = RLimit { resource: Resource::Nofile, soft: u64::MAX - 1, hard: u64::MAX - 1 };
    let refused = run(&Exec { rlimits: vec![raised], ..shell(b"true\0") }, vec![]).unwrap_err();
    assert_eq!((refused.step, refused.index, refused.subject.as_slice()), (Step::SetRlimit, 0, b"nofile".as_slice()));
    // not executable, though it is there
    assert_eq!(run(&shell(b"/etc/passwd\0"), vec![]).unwrap_err().errno, libc::EACCES);
}

#[test]
fn a_child_that_runs_beside_us_waits_at_its_sync_point() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let spawner = Spawner::new().unwrap();
    let flags = ExecFlags { sync: true, ..ExecFlags::default() };
    let exec = Exec { flags, ..shell(b"sh\0-c\0exit 5\0") };
    let plan = Plan::new(&exec, b"PATH=/usr/bin:/bin\0", vec![], None).unwrap();
    let mut waiting = spawner.start_beside(plan).unwrap();
    let epoll = Epoll::new().unwrap();
    let next = |waiting: &mut super::Child| loop {
        if let Some(progress) = waiting.advance(&epoll) {
            break progress;
        }
        std::thread::yield_now();
    };
    assert_eq!(next(&mut waiting), Progress::AtSyncPoint);
    let executable = std::fs::read_link(format!("/proc/{}/exe", waiting.pid().unwrap())).unwrap();
    assert_eq!(executable, std::env::current_exe().unwrap(), "the program does not run yet");
    waiting.resume();
    assert_eq!(next(&mut waiting), Progress::Over);
    assert!(waiting.failure().is_none());
    assert_eq!(exit_code(waiting.pid().unwrap()), 5);
}

/// A forker that is where we are: what cgroups do is tested with containers.
fn forker() -> (Forker, Arc<EventFd>) {
    forker_with(None)
}

fn forker_with(filter: Option<Rc<Filter>>) -> (Forker, Arc<EventFd>) {
    // SAFETY: no memory involved.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: no memory involved.
    let gid = unsafe { libc::getegid() };
    let news = Arc::new(EventFd::new().unwrap());
    let place =
        Place { tasks: vec![], directory: None, init: Identity { uid, gid }, proc: None, filter, hides_cgroup: false };
    let forker = Forker::start(place, &news).unwrap();
    while forker.entered().is_none() {
        std::thread::yield_now();
    }
    (forker, news)
}

fn may_unshare() -> bool {
    // SAFETY: no memory involved.
    unsafe { libc::geteuid() == 0 }
}

/// A program on a terminal, and the terminal's ends.
fn on_terminal(exec: &Exec<'_>) -> (Plan, Pair) {
    let size = WindowSize { columns: 80, rows: 24 };
    let exec = Exec { terminal: Some(Terminal { size, keyboard: false, screen: false }), ..exec.clone() };
    let master = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
    let pair = Pair::of(master.into(), size).unwrap();
    let slave = super::plan::clear_targets(vec![pair.slave.try_clone().unwrap()]).unwrap();
    (Plan::new(&exec, b"PATH=/usr/bin:/bin\0", slave, None).unwrap(), pair)
}

#[test]
fn a_terminal_is_all_three_descriptors_and_the_controlling_one() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let script =
        b"sh\0-c\0test -t 0 -a -t 1 -a -t 2 && test \"$TERM\" = xterm-256color && exec 3<>/dev/tty && exit 4\0";
    let (plan, _pair) = on_terminal(&shell(script));
    let child = Spawner::new().unwrap().execute(plan).unwrap();
    assert_eq!(exit_code(child.pid().unwrap()), 4);
    // What the run says of TERM counts.
    let exec = Exec {
        env: Some(serde_bytes::Bytes::new(b"TERM=dumb\0")),
        ..shell(b"/bin/sh\0-c\0test $TERM = dumb && exit 5\0")
    };
    let (plan, _pair) = on_terminal(&exec);
    let child = Spawner::new().unwrap().execute(plan).unwrap();
    assert_eq!(exit_code(child.pid().unwrap()), 5);
}

#[test]
fn what_is_withheld_is_not_kept_open_by_who_waits() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut plan = plan(b"sh\0-c\0exit 5\0", true);
    plan.withhold([writer.as_raw_fd(), 0, 2].into_iter());
    let spawner = Spawner::new().unwrap();
    let mut waiting = spawner.start_beside(plan).unwrap();
    while waiting.advance(&Epoll::new().unwrap()).is_none() {
        std::thread::yield_now();
    }
    drop(writer);
    // It waits, and would keep this from ending. (Children of other tests have copies too, but not for long.)
    assert_eq!(std::io::Read::read(&mut reader, &mut [0]).unwrap(), 0);
    waiting.resume();
    assert_eq!(exit_code(waiting.pid().unwrap()), 5);
}

fn plan(script: &'static [u8], sync: bool) -> Plan {
    let flags = ExecFlags { sync, ..ExecFlags::default() };
    Plan::new(&Exec { flags, ..shell(script) }, b"PATH=/usr/bin:/bin\0", vec![], None).unwrap()
}

#[test]
fn the_thread_of_a_group_clones_one_after_the_other() {
    if !may_unshare() {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (forker, _news) = forker();
    for _ in 0..50 {
        let mut child = forker.clone_child(plan(b"sh\0-c\0exit 6\0", false), false).unwrap();
        let reaped = reap();
        // Known without a word from the thread.
        assert_eq!((child.pid(), libc::WEXITSTATUS(reaped.status)), (Some(reaped.pid), 6));
        assert_eq!(child.over(&Epoll::new().unwrap()), None);
    }
    forker.follow();
    let mut absent = forker.clone_child(plan(b"absent\0", false), false).unwrap();
    let reaped = reap();
    assert_eq!(absent.pid(), Some(reaped.pid));
    let failure = absent.over(&Epoll::new().unwrap()).unwrap();
    assert_eq!((failure.step, failure.errno), (Step::Execve, libc::ENOENT));
}

#[test]
fn the_thread_of_a_group_stands_still_at_a_sync_point_and_we_do_not() {
    if !may_unshare() {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (forker, _news) = forker();
    let epoll = Epoll::new().unwrap();
    let next = |child: &mut super::Child| loop {
        if let Some(progress) = child.advance(&epoll) {
            break progress;
        }
        std::thread::yield_now();
    };
    let mut child = forker.clone_child(plan(b"sh\0-c\0exit 5\0", true), true).unwrap();
    assert_eq!(next(&mut child), Progress::AtSyncPoint);
    assert_eq!(child.executed_us(), None);
    child.resume();
    assert_eq!(next(&mut child), Progress::Over);
    assert_eq!(exit_code(child.pid().unwrap()), 5);
    // Killed there, it never runs.
    let mut child = forker.clone_child(plan(b"sh\0-c\0exit 5\0", true), true).unwrap();
    assert_eq!(next(&mut child), Progress::AtSyncPoint);
    child.signal(libc::SIGKILL);
    let reaped = reap();
    assert_eq!(reaped.status, libc::SIGKILL);
    assert_eq!(next(&mut child), Progress::Over);
}

#[test]
fn who_is_killed_before_his_turn_is_never_cloned() {
    if !may_unshare() {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (forker, news) = forker();
    let mut first = forker.clone_child(plan(b"sh\0-c\0exit 5\0", true), true).unwrap();
    while first.advance(&Epoll::new().unwrap()).is_none() {
        std::thread::yield_now();
    }
    // The thread stands with the first one.
    let second = forker.clone_child(plan(b"sh\0-c\0exit 7\0", false), false).unwrap();
    assert!(forker.clone_child(plan(b"true\0", false), false).is_err(), "there is one place in the queue");
    second.signal(libc::SIGKILL);
    news.drain();
    first.resume();
    assert_eq!(exit_code(first.pid().unwrap()), 5);
    while second.clone_failure().is_none() {
        std::thread::yield_now();
    }
    assert_eq!((second.pid(), second.clone_failure().unwrap().errno), (None, libc::ECANCELED));
    assert!(hotcell_linux::poll::is_readable(std::os::fd::AsFd::as_fd(&*news)));
}

/// Classic BPF (bpf(4) calls it that): nothing passes but with this in the sixth argument register; the listener is told of the rest.
fn nothing_without(token: u64) -> Vec<u8> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // The offset of args[5] in struct seccomp_data.
    const LAST_ARG: u32 = 16 + 5 * 8;
    let instructions: [(u16, u8, u8, u32); 6] = [
        (LOAD, 0, 0, LAST_ARG),
        (EQUAL, 0, 3, token as u32),
        (LOAD, 0, 0, LAST_ARG + 4),
        (EQUAL, 0, 1, (token >> 32) as u32),
        (RETURN, 0, 0, 0x7fff_0000),
        (RETURN, 0, 0, 0x7fc0_0000),
    ];
    let bytes =
        |(code, jt, jf, k): (u16, u8, u8, u32)| [code.to_ne_bytes().as_slice(), &[jt, jf], &k.to_ne_bytes()].concat();
    instructions.into_iter().flat_map(bytes).collect()
}

#[test]
fn a_thread_and_its_child_pass_a_filter_that_lets_nobody_pass_and_the_program_does_not() {
    if !may_unshare() {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    const TOKEN: u64 = 0x1234_5678_9abc_def0;
    let (token, program) = ([0, 0, 0, 0, 0, TOKEN], nothing_without(TOKEN));
    let filter = hotcell_protocol::Filter { filter: 1, reach: Reach::ALL, token, program: &program };
    let filter = Filter::new(&filter).unwrap();
    // SAFETY: no memory involved. Without capabilities a filter takes this, which is inherited, and harmless here.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let (forker, _news) = forker_with(Some(Rc::new(filter)));
    assert_eq!(forker.entered(), Some(Ok(())));
    for has_terminal in [false, true, false] {
        let (plan, _pair) = if has_terminal {
            let (plan, pair) = on_terminal(&shell(b"true\0"));
            (plan, Some(pair))
        } else {
            (plan(b"true\0", false), None)
        };
        let mut child = forker.clone_child(plan, false).unwrap();
        let listener = forker.listener().unwrap();
        while !hotcell_linux::poll::is_readable(listener.as_fd()) {
            std::thread::yield_now();
        }
        let told = seccomp::receive(listener.as_fd()).unwrap();
        assert_eq!(Some(told.pid as i32), child.pid());
        // The program has been executed: it has no token. The thread goes on at the same moment, so it may say so later.
        assert_eq!(i64::from(told.nr), libc::SYS_brk, "the first call of a program that is linked dynamically");
        while child.executed_us().is_none() {
            std::thread::yield_now();
        }
        child.signal(libc::SIGKILL);
        assert_eq!(reap().status, libc::SIGKILL);
        assert_eq!(child.over(&Epoll::new().unwrap()), None);
    }
    // It also ends under it.
    drop(forker);
}
