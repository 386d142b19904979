//! clone3(2), Linux 5.3.

use crate::check;
use crate::process::raw::Pass;
use crate::signal::Stack;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicI32;

/// The kernel's `struct clone_args`, up to the fields of Linux 5.7.
#[repr(C, align(8))]
#[derive(Debug, Default, Clone, Copy)]
pub struct CloneArgs {
    /// `CLONE_*`.
    pub flags: u64,
    /// Where to store the pidfd.
    pub pidfd: u64,
    /// Where to store the child's tid in its memory.
    pub child_tid: u64,
    /// Where to store the child's tid in ours.
    pub parent_tid: u64,
    /// The signal that tells of its end; 0 for none.
    pub exit_signal: u64,
    /// The lowest byte of its stack.
    pub stack: u64,
    /// The size of its stack.
    pub stack_size: u64,
    /// Its thread-local storage.
    pub tls: u64,
    /// Chosen pids.
    pub set_tid: u64,
    /// How many of these.
    pub set_tid_size: u64,
    /// A cgroup's descriptor.
    pub cgroup: u64,
}

/// Which side of a [`fork`] returned.
#[derive(Debug)]
pub enum Fork {
    /// The parent, with the child's pid and a pidfd, close-on-exec.
    Parent(i32, OwnedFd),
    /// The child.
    Child,
}

/// clone3 as a fork (no `CLONE_VM`) into new namespaces, and into `cgroup` (a directory of v2; Linux 5.7) if there is one.
///
/// # Safety
/// As after fork(2): the calling process must have a single thread, or the child must restrict itself to
/// async-signal-safe functions.
pub unsafe fn fork(namespaces: u64, exit_signal: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: i32 = -1;
    let args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64 | into_cgroup(cgroup),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: exit_signal as u64,
        cgroup: cgroup.map_or(0, |directory| directory.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child has its own copy of the stack that we return on; the kernel writes one int to `pidfd`.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has made this descriptor for us.
    Ok(Fork::Parent(pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// `CLONE_INTO_CGROUP`, Linux 5.7, is above the 32 bits of the libc constant's type.
const INTO_CGROUP: u64 = 0x2_0000_0000;

fn into_cgroup(cgroup: Option<BorrowedFd<'_>>) -> u64 {
    if cgroup.is_some() { INTO_CGROUP } else { 0 }
}

/// What a child that shares our memory is cloned with.
#[derive(Clone, Copy)]
pub struct CloneVm<'a> {
    /// `CLONE_*` beside `CLONE_VM`. With `CLONE_VFORK` we stand still until it has executed another program or ended.
    pub flags: u64,
    /// What tells of its end; 0 for nothing.
    pub exit_signal: i32,
    /// Where it runs.
    pub stack: &'a Stack,
    /// Where its pid is stored before it runs, if anywhere.
    pub pid: Option<&'a AtomicI32>,
    /// What becomes 0, and a futex that is woken, when it has ended (with `CLONE_THREAD`).
    pub clear: Option<&'a AtomicI32>,
    /// The directory of the cgroup (v2) that it is born in, if not in ours.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// For the filter of who calls.
    pub pass: Pass,
}

impl<'a> CloneVm<'a> {
    /// With these flags, and nothing else.
    pub const fn new(flags: u64, exit_signal: i32, stack: &'a Stack) -> Self {
        Self { flags, exit_signal, stack, pid: None, clear: None, cgroup: None, pass: Pass::NONE }
    }
}

impl std::fmt::Debug for CloneVm<'_> {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloneVm").field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// clone3 of a child that shares our memory, running `entry(argument)`, which must not return. Returns its pid.
///
/// # Safety
/// Nothing else may use the stack until the child has executed another program or ended; likewise `argument` must stay valid.
/// `entry` runs beside our other threads with our thread-local storage: raw system calls only, no allocation, no lock, no errno.
pub unsafe fn clone_vm(
    how: CloneVm<'_>,
    entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> io::Result<i32> {
    let CloneVm { flags, exit_signal, stack, pid, clear, cgroup, pass } = how;
    let tell_pid = if pid.is_some() { libc::CLONE_PARENT_SETTID as u64 } else { 0 };
    let tell_end = if clear.is_some() { libc::CLONE_CHILD_CLEARTID as u64 } else { 0 };
    let args = CloneArgs {
        flags: flags | libc::CLONE_VM as u64 | tell_pid | tell_end | into_cgroup(cgroup),
        child_tid: clear.map_or(0, |place| place.as_ptr() as u64),
        parent_tid: pid.map_or(0, |place| place.as_ptr() as u64),
        exit_signal: exit_signal as u64,
        stack: stack.base() as u64,
        stack_size: stack.size() as u64,
        cgroup: cgroup.map_or(0, |directory| directory.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: the contract of this function.
    let result = unsafe { raw_clone3(&args, &pass, entry, argument) };
    if result < 0 { Err(io::Error::from_raw_os_error(-result as i32)) } else { Ok(result as i32) }
}

/// The call itself. The child returns from the kernel on an empty stack, so it cannot return to compiled code: it goes
/// straight to `entry`.
#[cfg(target_arch = "x86_64")]
unsafe fn raw_clone3(
    args: &CloneArgs,
    pass: &Pass,
    entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> isize {
    let result: isize;
    // SAFETY: clone3 preserves all registers but rax, rcx and r11 in both processes. The child's stack pointer is the
    // 16-aligned top of its stack, so `call` leaves the alignment that the ABI asks for at entry.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("rdx") pass.0[2],
            in("r10") pass.0[3],
            in("r8") pass.0[4],
            in("r9") pass.0[5],
            in("r12") entry,
            in("r13") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn raw_clone3(
    args: &CloneArgs,
    pass: &Pass,
    entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> isize {
    let result: isize;
    // SAFETY: clone3 preserves all registers but x0 in both processes; the child's stack pointer is 16-aligned.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x21",
            "blr x20",
            "brk #1",
            "2:",
            inlateout("x0") ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(),
            in("x2") pass.0[2],
            in("x3") pass.0[3],
            in("x4") pass.0[4],
            in("x5") pass.0[5],
            in("x8") libc::SYS_clone3,
            in("x20") entry,
            in("x21") argument,
        );
    }
    result
}
