//! seccomp(2): what a listener is told (seccomp_unotify(2), Linux 5.0).

use crate::check;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SECCOMP_SET_MODE_FILTER`.
pub const SET_MODE_FILTER: u32 = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: the call returns a descriptor, close-on-exec.
pub const NEW_LISTENER: u32 = 1 << 3;

/// A call that waits for the listener's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// The thread that made it, in our pid namespace.
    pub pid: u32,
    /// Its number.
    pub nr: i32,
    /// `AUDIT_ARCH_*` of the ABI that it was made by.
    pub arch: u32,
    /// Its arguments.
    pub args: [u64; 6],
}

/// The kernel's `struct seccomp_notif`.
#[repr(C)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// `SECCOMP_IOCTL_NOTIF_RECV`: `_IOWR('!', 0, struct seccomp_notif)`.
const NOTIF_RECV: u64 = 3 << 30 | (size_of::<Notif>() as u64) << 16 | (b'!' as u64) << 8;

/// Takes what a listener is told. `ENOENT` if the caller has been killed meanwhile. To be called when the listener is readable: else it
/// waits.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // The kernel wants it zeroed.
    let mut notif = MaybeUninit::<Notif>::zeroed();
    // SAFETY: the kernel writes one struct of this size, which is part of the request's number.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV as _, notif.as_mut_ptr()) }.into())?;
    // SAFETY: zeroed before, and written by the kernel.
    let Notif { pid, nr, arch, args, .. } = unsafe { notif.assume_init() };
    Ok(Notification { pid, nr, arch, args })
}
