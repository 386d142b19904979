//! prctl(2): what a process says about itself.

use crate::check;
use std::io;

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<libc::c_long> {
    // SAFETY: none of the options used here takes a pointer.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) }.into())
}

/// `PR_SET_DUMPABLE`: whether there is a core dump, and whether an equal without CAP_SYS_PTRACE may look inside.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, dumpable.into()).map(drop)
}

/// `PR_SET_PDEATHSIG`: the signal to get when the *thread* that cloned us ends. Forgotten when credentials change.
pub fn set_parent_death_signal(signal: i32) -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong).map(drop)
}

/// `PR_SET_NO_NEW_PRIVS`: execve never grants anything from now on, to us and all descendants.
pub fn set_no_new_privs() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// `PR_SET_SECUREBITS` (capabilities(7)).
pub fn set_securebits(bits: u32) -> io::Result<()> {
    prctl(libc::PR_SET_SECUREBITS, bits.into()).map(drop)
}

/// `PR_SET_TIMERSLACK` in nanoseconds, of this thread and what it forks.
pub fn set_timer_slack(nanoseconds: u64) -> io::Result<()> {
    prctl(libc::PR_SET_TIMERSLACK, nanoseconds).map(drop)
}

/// `PR_SET_THP_DISABLE`.
pub fn set_huge_pages_disabled(disabled: bool) -> io::Result<()> {
    prctl(libc::PR_SET_THP_DISABLE, disabled.into()).map(drop)
}
