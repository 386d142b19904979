//! Starting a program from memory, from any thread of a large process.
//!
//! `CLONE_VM|CLONE_VFORK` copies no page tables, so the cost does not grow with the heap of the caller, and the caller's
//! thread stands still until the child has executed the image: everything that the child reads lives on our stack.
//! The child is one function that never returns and makes raw system calls only; it reports a failure through the memory
//! that it shares with us.

use crate::clone3::{CloneVm, clone_vm};
use crate::process::raw::{self, Pass};
use crate::signal;
use std::convert::Infallible;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

/// Executes `image` (execveat(2) with `AT_EMPTY_PATH`) in a child with `argv[0]`, no environment, default signal dispositions,
/// an empty signal mask, and exactly the descriptors `fds`, as 0, 1, 2, …. Its end raises no signal in us: wait with the pidfd,
/// see [`crate::pidfd::reap`].
pub fn spawn_image(image: BorrowedFd<'_>, argv0: &CStr, fds: &[RawFd]) -> io::Result<(i32, OwnedFd)> {
    let stack = signal::Stack::new()?;
    let argv = [argv0.as_ptr(), ptr::null()];
    let envp = [ptr::null()];
    let mut plan = Plan {
        image: image.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        fds,
        moved: &mut vec![-1; fds.len()],
        errno: 0,
    };
    // The child shares our signal handlers' code and data: none may run in it before they are reset.
    let blocked = signal::block_all()?;
    let flags = libc::CLONE_VFORK as u64 | CLEAR_SIGHAND;
    let argument = (&raw mut plan).cast();
    let how = CloneVm::new(flags, 0, &stack);
    // SAFETY: the stack and the plan outlive the child's use of them, because CLONE_VFORK holds us here until it has executed
    // the image or ended; `child` keeps to raw system calls.
    let result = unsafe { clone_vm(how, child, argument) };
    drop(blocked);
    let pid = result?;
    let pidfd = crate::pidfd::open(pid);
    if plan.errno != 0 {
        if let Ok(pidfd) = &pidfd {
            crate::pidfd::reap(std::os::fd::AsFd::as_fd(pidfd))?;
        }
        return Err(io::Error::from_raw_os_error(plan.errno));
    }
    Ok((pid, pidfd?))
}

/// `CLONE_CLEAR_SIGHAND`, Linux 5.5, is above the 32 bits of the libc constant's type.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;

struct Plan<'a> {
    image: RawFd,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    fds: &'a [RawFd],
    /// Where they are while they are being placed.
    moved: &'a mut [RawFd],
    errno: i32,
}

/// Runs in the child, on our memory: raw calls only.
unsafe extern "C" fn child(argument: *mut libc::c_void) -> ! {
    // SAFETY: the parent waits with the plan alive on its stack, and nobody else looks at it.
    let plan = unsafe { &mut *argument.cast::<Plan<'_>>() };
    plan.errno = match prepare_and_execute(plan) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    loop {
        // SAFETY: ends this process.
        unsafe { raw::exit(&Pass::NONE, 127) };
    }
}

fn check(result: isize) -> Result<i32, i32> {
    if result < 0 { Err(-result as i32) } else { Ok(result as i32) }
}

fn prepare_and_execute(plan: &mut Plan<'_>) -> Result<Infallible, i32> {
    let count = plan.fds.len() as i32;
    // Above every target first, so that placing one cannot overwrite another's source.
    // SAFETY: no memory involved.
    let image = check(unsafe { raw::fcntl(&Pass::NONE, plan.image, libc::F_DUPFD_CLOEXEC, count) })?;
    for (place, fd) in plan.moved.iter_mut().zip(plan.fds) {
        // SAFETY: no memory involved.
        *place = check(unsafe { raw::fcntl(&Pass::NONE, *fd, libc::F_DUPFD_CLOEXEC, count) })?;
    }
    for (target, fd) in (0..).zip(plan.moved.iter()) {
        // SAFETY: no memory involved.
        check(unsafe { raw::dup3(&Pass::NONE, *fd, target, 0) })?;
    }
    // SAFETY: no memory involved.
    check(unsafe { raw::close_range(&Pass::NONE, count as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    // SAFETY: no handler of ours is left in this process (CLONE_CLEAR_SIGHAND).
    check(unsafe { raw::set_signal_mask(&Pass::NONE, 0) })?;
    // SAFETY: argv and envp are NULL-terminated arrays of NUL-terminated strings in the waiting parent's memory.
    Err(-unsafe { raw::execveat(&Pass::NONE, image, c"".as_ptr(), plan.argv, plan.envp, libc::AT_EMPTY_PATH) } as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_program_runs_with_exactly_its_descriptors_and_no_environment() {
        let image = File::open("/bin/sh").unwrap();
        let script = c"sh";
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (input, mut feed) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut feed, b"ls /proc/self/fd | wc -l; env | grep -v -e PWD -e _= -e SHLVL\n")
            .unwrap();
        drop(feed);
        let fds = [input.as_raw_fd(), writer.as_raw_fd(), writer.as_raw_fd()];
        let (_, pidfd) = spawn_image(image.as_fd(), script, &fds).unwrap();
        drop(writer);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        crate::pidfd::reap(pidfd.as_fd()).unwrap();
        // 0, 1, 2 and the directory that ls itself opened
        assert_eq!(output.trim(), "4");
    }

    #[test]
    fn what_cannot_be_executed_is_an_error_and_leaves_no_child() {
        let image = File::open("/dev/null").unwrap();
        let error = spawn_image(image.as_fd(), c"x", &[]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    }
}
