//! What the supervisor does to processes and to itself, apart from ptrace(2).

use crate::error::Error;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether a thread is its process's first, so that its number is the process's. One call, and no /proc.
pub fn is_leader(tid: i32) -> bool {
    // SAFETY: no memory involved; signal 0 is none.
    unsafe { libc::syscall(libc::SYS_tgkill, tid, tid, 0) == 0 }
}

/// SIGKILL.
pub fn kill(pid: i32) {
    // SAFETY: no memory involved.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now_ns() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: writes one timespec; this clock cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    // SAFETY: zeroed before, and written.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Whether there was a tick since the last look.
static TICKED: AtomicBool = AtomicBool::new(false);

/// See [`start_ticking`].
pub fn has_ticked() -> bool {
    TICKED.load(Relaxed) && TICKED.swap(false, Relaxed)
}

/// Has SIGALRM interrupt wait4(2) at each tick, and [`has_ticked`] say so. Between looking and waiting is a moment in which a tick is missed; the
/// next one makes up for it.
///
/// SIGCHLD is left at its default with `SA_NOCLDSTOP`: it would be sent at each stop of a tracee, for nothing, as wait4(2) is waited in anyway.
pub fn start_ticking(microseconds: u32) -> Result<(), Error> {
    extern "C" fn tick(_signal: i32) {
        TICKED.store(true, Relaxed);
    }
    let failed = || Error::SetTimer { errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) };
    set_action(libc::SIGALRM, tick as *const () as usize, 0).ok_or_else(failed)?;
    set_action(libc::SIGCHLD, libc::SIG_DFL, libc::SA_NOCLDSTOP).ok_or_else(failed)?;
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM) };
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) };
    set_timer(microseconds).ok_or_else(failed)
}

/// No more of it.
pub fn stop_ticking() {
    set_timer(0);
}

fn set_action(signal: i32, handler: usize, flags: i32) -> Option<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeroes is an action: the default one, with an empty mask.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: reads the action; the handler touches an atomic only, and has the signature that it should have.
    (unsafe { libc::sigaction(signal, action, ptr::null_mut()) } == 0).then_some(())
}

fn set_timer(microseconds: u32) -> Option<()> {
    let interval = libc::timeval { tv_sec: 0, tv_usec: microseconds.into() };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: reads the timer.
    (unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) } == 0).then_some(())
}
