//! `clone(CLONE_VM|CLONE_VFORK)` + `execve` + `wait4`: what vfork(2) does.
//!
//! The child runs on a stack of its own, in the memory of the parent, which stands still until the child has executed the
//! program: so the child only makes system calls.

use std::ffi::CString;
use std::io;
use std::ptr;
use std::time::{Duration, Instant};

const STACK_BYTES: usize = 64 * 1024;

/// What the child needs, laid out before it exists.
struct Plan {
    path: *const libc::c_char,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    null: libc::c_int,
}

extern "C" fn child(plan: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent passes a Plan and stands still (CLONE_VFORK) until this function has executed or ended.
    let plan = unsafe { &*plan.cast::<Plan>() };
    for fd in 0..3 {
        // SAFETY: dup2 takes no pointer.
        unsafe { libc::dup2(plan.null, fd) };
    }
    // SAFETY: path, argv and envp are NUL-terminated and live in `sample`, which waits.
    unsafe { libc::execve(plan.path, plan.argv, plan.envp) };
    // SAFETY: _exit never returns and runs no handler of the parent's.
    unsafe { libc::_exit(127) }
}

/// One run of `path`, from before `clone` until it is reaped.
pub fn sample(path: &str) -> io::Result<Duration> {
    let path = CString::new(path)?;
    let argv = [path.as_ptr(), ptr::null()];
    let environment = c"PATH=/usr/local/bin:/usr/bin:/bin";
    let envp = [environment.as_ptr(), ptr::null()];
    // SAFETY: the path is NUL-terminated; the descriptor is closed below.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if null < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut stack = vec![0u128; STACK_BYTES / size_of::<u128>()];
    let mut plan = Plan { path: path.as_ptr(), argv: argv.as_ptr(), envp: envp.as_ptr(), null };
    let top = stack.as_mut_ptr_range().end;

    let began = Instant::now();
    // glibc's clone() switches stacks, which clone3 leaves to its caller; in the kernel both are kernel_clone().
    // SAFETY: `top` is the 16-byte aligned end of a stack that outlives the child's use of it, as does `plan`.
    let pid = unsafe {
        libc::clone(
            child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_mut(&mut plan).cast::<libc::c_void>(),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: both pointers are valid for writing for the length of the call.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    let elapsed = began.elapsed();
    // SAFETY: opened above, used by nobody else.
    unsafe { libc::close(null) };

    if reaped != pid {
        return Err(io::Error::last_os_error());
    }
    if status != 0 {
        return Err(io::Error::other(format!("{} ended with wait status {status:#x}", path.to_string_lossy())));
    }
    Ok(elapsed)
}

/// So many runs of `path` in a row.
pub fn repeat(count: u32, path: &str) -> io::Result<Duration> {
    let began = Instant::now();
    for _ in 0..count {
        sample(path)?;
    }
    Ok(began.elapsed())
}
