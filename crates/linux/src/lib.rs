//! Kernel calls with types, and without policy.
//!
//! Each module is one facility of the kernel and says which man page it follows and since when Linux has it. Nothing here
//! decides: who calls what in which order is for `init` (pid 1 and the launcher) and `host` to know. What a function is
//! named after is what it calls, once, unless its documentation says otherwise; errors are the kernel's errno as
//! [`std::io::Error`], unchanged.
//!
//! This is one of the few crates with `unsafe` in it: every block wraps one system call.

pub mod affinity;
pub mod capability;
pub mod clone3;
pub mod close_range;
pub mod directory;
pub mod epoll;
pub mod eventfd;
pub mod file;
pub mod id_map;
pub mod keyring;
pub mod landlock;
pub mod memfd;
pub mod mount_api;
pub mod net;
pub mod openat2;
pub mod pidfd;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod seccomp;
pub mod seqpacket;
pub mod signal;
pub mod spawn;
pub mod thread;
pub mod transfer;
pub mod tty;
pub mod uts;

use std::io;

/// The result of a system call: negative means errno.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The errno of an error of this crate.
pub fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
