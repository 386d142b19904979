//! Signal masks (sigprocmask(2)), signalfd(2), and the stacks that children sharing our memory run on.

use crate::check;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Puts the calling thread's former signal mask back when dropped.
#[derive(Debug)]
pub struct Blocked(libc::sigset_t);

/// Blocks every signal in the calling thread.
pub fn block_all() -> io::Result<Blocked> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: writes the whole set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut former = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: reads one initialised set and writes another.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // SAFETY: written by the call above.
    Ok(Blocked(unsafe { former.assume_init() }))
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: reads a set that the kernel gave us.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Blocks exactly one signal in the calling thread and makes it readable: a non-blocking, close-on-exec signalfd.
pub fn signalfd_only(signal: i32) -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    // SAFETY: reads the initialised set.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // SAFETY: reads the initialised set.
    let fd = check(unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) }.into())?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Takes what a signalfd has pending, if anything.
pub fn drain(signalfd: BorrowedFd<'_>) {
    let mut info = MaybeUninit::<[libc::signalfd_siginfo; 4]>::uninit();
    // SAFETY: the kernel writes at most the size of the array, which nobody reads.
    unsafe { libc::read(signalfd.as_raw_fd(), info.as_mut_ptr().cast(), size_of_val(&info)) };
}

/// Sets the disposition of every signal to the default, SIGPIPE (which Node and Rust ignore) included.
pub fn default_dispositions() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL runs no code of ours. SIGKILL, SIGSTOP and libc's own two are refused, and default anyway.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Memory for a child's stack, with an unmapped page below it.
#[derive(Debug)]
pub struct Stack {
    mapping: *mut u8,
}

const GUARD: usize = 4096;
const STACK: usize = 32 * 1024;

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Stack {}

impl Stack {
    /// Maps one. Pages are only backed once touched.
    pub fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), GUARD + STACK, protection, flags, -1, 0) };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { mapping: mapping.cast() };
        // SAFETY: the first page of our own mapping.
        check(unsafe { libc::mprotect(mapping, GUARD, libc::PROT_NONE) }.into())?;
        Ok(stack)
    }

    /// The lowest usable byte.
    pub const fn base(&self) -> *mut u8 {
        // SAFETY: inside of the mapping.
        unsafe { self.mapping.add(GUARD) }
    }

    /// How many bytes are usable from there.
    pub const fn size(&self) -> usize {
        STACK
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; whoever ran on it is over (the contract of `clone_vm`).
        unsafe { libc::munmap(self.mapping.cast(), GUARD + STACK) };
    }
}
