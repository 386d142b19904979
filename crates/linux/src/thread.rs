//! Threads that the C library knows nothing of: clone(2) with `CLONE_THREAD`.
//!
//! They have a stack, and the thread-local storage of who started them, which they must leave alone: raw system calls and shared
//! memory only. So they may live under any seccomp filter, and end by a single system call.

use crate::clone3::{CloneVm, clone_vm};
use crate::process::raw::{self, Pass};
use crate::signal::Stack;
use std::io;
use std::ptr;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;

/// One of them.
#[derive(Debug)]
pub struct RawThread {
    /// Its tid; 0 when it has ended.
    tid: Box<AtomicI32>,
    number: i32,
    _stack: Stack,
}

impl RawThread {
    /// Starts one at `entry(argument)`, with our signal mask.
    ///
    /// # Safety
    /// `argument` must stay valid until [`RawThread::join`]. `entry` must use neither thread-local storage nor anything that does
    /// (allocation, locks of the standard library, errno), and end by [`raw::exit_thread`].
    pub unsafe fn start(
        entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
        argument: *mut libc::c_void,
    ) -> io::Result<Self> {
        let stack = Stack::new()?;
        let tid = Box::new(AtomicI32::new(0));
        let flags = libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_PARENT_SETTID;
        let how = CloneVm { pid: Some(&tid), clear: Some(&tid), ..CloneVm::new(flags as u64, 0, &stack) };
        // SAFETY: stack and word live in the value returned, which waits for the thread before they go; the rest is the caller's.
        let number = unsafe { clone_vm(how, entry, argument) }?;
        Ok(Self { tid, number, _stack: stack })
    }

    /// Its thread id.
    pub const fn id(&self) -> i32 {
        self.number
    }

    /// Waits until it has ended.
    pub fn join(&self) {
        loop {
            let tid = self.tid.load(SeqCst);
            if tid == 0 {
                return;
            }
            // SAFETY: the word lives as long as we. The kernel wakes by its address, not as a private futex (set_tid_address(2)).
            unsafe { raw::futex(&Pass::NONE, self.tid.as_ptr().cast(), libc::FUTEX_WAIT, tid as u32, ptr::null()) };
        }
    }
}

impl Drop for RawThread {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    unsafe extern "C" fn count(argument: *mut libc::c_void) -> ! {
        // SAFETY: the test's counter.
        let counter = unsafe { &*argument.cast::<AtomicU32>() };
        counter.fetch_add(1, SeqCst);
        loop {
            // SAFETY: ends this thread.
            unsafe { raw::exit_thread(&Pass::NONE, 0) };
        }
    }

    #[test]
    fn a_thread_runs_and_is_waited_for() {
        let counter = AtomicU32::new(0);
        for round in 1..=100 {
            // SAFETY: the counter outlives the thread, which is joined here; `count` makes one system call.
            let thread = unsafe { RawThread::start(count, (&raw const counter).cast_mut().cast()) }.unwrap();
            assert!(thread.id() > 0);
            thread.join();
            assert_eq!(counter.load(SeqCst), round);
        }
    }
}
