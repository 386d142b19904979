//! Claims about the child, made with real children of the test process.
//!
//! The allocator of the test binary ends whoever allocates in a process other than the one that said it may: the child shares our
//! memory, so an allocation there would corrupt ours, and a lock taken there would stay taken.

use super::{Plan, Progress, Spawner};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::{self, raw};
use hotcell_protocol::{Exec, ExecFlags, Failure, RLimit, Resource, Step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

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
    if owner != 0 && unsafe { raw::getpid() } != owner as isize {
        // SAFETY: as above.
        unsafe { raw::exit(ALLOCATED) };
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
    let mut plan = Plan::new(exec, b"PATH=/usr/bin:/bin\0", fds, None).unwrap();
    OWNER.store(std::process::id() as i32, Ordering::Relaxed);
    let started = spawner.execute(&mut plan);
    OWNER.store(0, Ordering::Relaxed);
    Ok(exit_code(started?.pid))
}

fn exit_code(pid: i32) -> i32 {
    loop {
        let reaped = process::wait_any(true).unwrap().unwrap();
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
    let next = |waiting: &mut super::Waiting| loop {
        if let Some(progress) = waiting.advance(&epoll) {
            break progress;
        }
        std::thread::yield_now();
    };
    assert_eq!(next(&mut waiting), Progress::AtSyncPoint);
    let executable = std::fs::read_link(format!("/proc/{}/exe", waiting.pid)).unwrap();
    assert_eq!(executable, std::env::current_exe().unwrap(), "the program does not run yet");
    waiting.resume();
    assert_eq!(next(&mut waiting), Progress::Over);
    assert!(waiting.failure().is_none());
    assert_eq!(exit_code(waiting.pid), 5);
}
