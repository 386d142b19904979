//! wait4(2) for tracees: what a status means under `PTRACE_SEIZE`.
//!
//! Runs in the supervisor, whose only children, real or traced, are the processes of one run.

use std::io;

/// What became of a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is gone; the status says how. Its parent gets the same.
    Ended(i32),
    /// A filter asks about the call that begins.
    Seccomp,
    /// A call ended, or began.
    Call,
    /// It made another (fork, vfork or clone); the event's message is its tid.
    Born,
    /// It executes another program; the message is the tid that it had before.
    Executed,
    /// It is about to end; the message is the status.
    Ending,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It is stopped by this signal (job control), until SIGCONT.
    GroupStop,
    /// It was stopped because it is new, or because SIGCONT ended a group stop.
    Stopped,
}

/// Who changed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The thread.
    pub tid: i32,
    /// What became of it.
    pub change: Change,
}

/// What waiting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Something happened.
    Event(Event),
    /// A signal of our own interrupted.
    Interrupted,
    /// Nobody is left to wait for.
    NobodyLeft,
}

/// Waits for whoever is next.
pub fn wait_any() -> io::Result<Waited> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let tid = unsafe { libc::wait4(-1, &raw mut status, libc::__WALL, std::ptr::null_mut()) };
    if tid > 0 {
        return Ok(Waited::Event(Event { tid, change: decode(status) }));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ECHILD) => Ok(Waited::NobodyLeft),
        Some(libc::EINTR) => Ok(Waited::Interrupted),
        _ => Err(error),
    }
}

fn decode(status: i32) -> Change {
    if !libc::WIFSTOPPED(status) {
        return Change::Ended(status);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => Change::Seccomp,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => Change::Born,
        libc::PTRACE_EVENT_EXEC => Change::Executed,
        libc::PTRACE_EVENT_EXIT => Change::Ending,
        libc::PTRACE_EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Change::GroupStop,
            _ => Change::Stopped,
        },
        _ if signal == libc::SIGTRAP | 0x80 => Change::Call,
        _ => Change::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means_what_ptrace_says() {
        let stopped = |event: i32, signal: i32| event << 16 | signal << 8 | 0x7f;
        for (status, change) in [
            (7 << 8, Change::Ended(7 << 8)),
            (9, Change::Ended(9)),
            (stopped(libc::PTRACE_EVENT_SECCOMP, libc::SIGTRAP), Change::Seccomp),
            (stopped(libc::PTRACE_EVENT_VFORK, libc::SIGTRAP), Change::Born),
            (stopped(libc::PTRACE_EVENT_STOP, libc::SIGTSTP), Change::GroupStop),
            (stopped(libc::PTRACE_EVENT_STOP, libc::SIGTRAP), Change::Stopped),
            (stopped(0, libc::SIGTRAP | 0x80), Change::Call),
            (stopped(0, libc::SIGTRAP), Change::Signal(libc::SIGTRAP)),
            (stopped(0, libc::SIGSTOP), Change::Signal(libc::SIGSTOP)),
        ] {
            assert_eq!(decode(status), change, "{status:x}");
        }
    }
}
