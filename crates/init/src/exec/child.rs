//! The child between clone3 and execve.
//!
//! Runs in a process of its own that shares *all memory* with pid 1, beside pid 1 or while it stands still, and with its
//! thread-local storage. One function that never returns: raw system calls only, no allocation, nothing dropped, no lock, no panic,
//! no errno. What it needs lies in the [`Plan`]; what goes wrong it leaves there.
//!
//! The order: session, descriptors, terminal, limits, keyring, cgroup namespace and signals come while there are rights to fail with; the identity goes before
//! the capabilities, because it takes one to change it; the working directory is entered *after* both, with what the program may;
//! then the sync point, Landlock, and the program.

use super::Plan;
use hotcell_linux::capability;
use hotcell_linux::keyring;
use hotcell_linux::process::raw;
use hotcell_linux::tty;
use hotcell_protocol::Step;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Release};

/// What the host decided at a sync point ([`Plan::gate`]).
pub mod gate {
    /// Nothing yet.
    pub const CLOSED: u32 = 0;
    /// Go on.
    pub const OPEN: u32 = 1;
}

/// What a failed step left.
struct Failed {
    step: Step,
    errno: i32,
    index: u32,
}

/// The child's whole life.
///
/// # Safety
/// `argument` points to a [`Plan`] that outlives this function, and that nobody else writes but for its atomics.
pub unsafe extern "C" fn main(argument: *mut libc::c_void) -> ! {
    // SAFETY: the contract of this function.
    let plan = unsafe { &*argument.cast::<Plan>() };
    // SAFETY: as above.
    let failed = unsafe { prepare_and_execute(plan) };
    plan.failed_step.store(failed.step as u8, Release);
    plan.failed_index.store(failed.index, Release);
    plan.failed_errno.store(failed.errno, Release);
    loop {
        // SAFETY: ends this process.
        unsafe { raw::exit(&plan.pass, 127) };
    }
}

/// `Err` of a negative result.
#[inline(always)]
fn check(step: Step, index: u32, result: isize) -> Result<isize, Failed> {
    if result < 0 { Err(Failed { step, errno: -result as i32, index }) } else { Ok(result) }
}

unsafe fn prepare_and_execute(plan: &Plan) -> Failed {
    // SAFETY: the caller's.
    match unsafe { prepare(plan) } {
        Err(failed) => failed,
        // SAFETY: the caller's.
        Ok(execute) => unsafe { execute_program(plan, execute) },
    }
}

/// Everything before execve; returns where the descriptor to execute ended up.
unsafe fn prepare(plan: &Plan) -> Result<i32, Failed> {
    // SAFETY: no memory involved.
    check(Step::Setsid, 0, unsafe { raw::setsid(&plan.pass) })?;
    // SAFETY: the caller's.
    let execute = unsafe { place_descriptors(plan) }?;
    if plan.has_terminal {
        // Of a session that was just started, and has none yet.
        // SAFETY: no memory involved.
        let taken = unsafe { raw::ioctl(&plan.pass, 0, tty::TAKE, 0) };
        if taken == -(libc::EIO as isize) {
            // It was hung up before it could be taken, so this is what its session missed. The group of this process is its own.
            // SAFETY: no memory involved.
            unsafe { raw::kill(&plan.pass, 0, libc::SIGHUP) };
        } else {
            check(Step::TakeTerminal, 0, taken)?;
        }
    }
    // SAFETY: no memory involved.
    unsafe { raw::umask(&plan.pass, 0o022) };
    if !plan.is_born_level {
        // Pid 1 may be ahead of its programs (`launcher`); where it is behind, with a host that is nice, so are they, and this fails.
        // SAFETY: no memory involved.
        unsafe { raw::setpriority(&plan.pass, libc::PRIO_PROCESS as i32, 0, 0) };
    }
    for planned in &plan.rlimits {
        // SAFETY: the kernel reads one rlimit64 of the plan.
        let result =
            unsafe { raw::prlimit(&plan.pass, 0, planned.resource, &raw const planned.limit, ptr::null_mut()) };
        // A default that is above the host's hard limit leaves that in force.
        if let Some(index) = planned.index {
            check(Step::SetRlimit, index, result)?;
        }
    }
    if plan.joins_keyring {
        // SAFETY: a null name.
        let result = unsafe { raw::keyctl(&plan.pass, keyring::JOIN_SESSION, 0) };
        // A kernel, or a container around us, without keyrings has none to share. EDQUOT: keyrings of ended runs are freed after an RCU
        // grace period and count until then (keyrings(7), maxkeys); such a run shares init's, which reset replaces.
        if !matches!(-result as i32, libc::ENOSYS | libc::EPERM | libc::EDQUOT) {
            check(Step::JoinKeyring, 0, result)?;
        }
    }
    if plan.hides_cgroup {
        // SAFETY: no memory involved.
        check(Step::HideCgroup, 0, unsafe { raw::unshare(&plan.pass, libc::CLONE_NEWCGROUP) })?;
    }
    if let Some((uid, gid)) = plan.identity {
        // SAFETY: no memory involved.
        check(Step::SetChildIdentity, 0, unsafe { raw::setresgid(&plan.pass, gid, gid, gid) })?;
        // SAFETY: no memory involved.
        check(Step::SetChildIdentity, 0, unsafe { raw::setresuid(&plan.pass, uid, uid, uid) })?;
    }
    // The change of identity has set the memory that we share with pid 1 to fs.suid_dumpable, whatever that is (prctl(2)). Until the
    // capabilities go, no sibling of the same identity may trace this process.
    // SAFETY: no memory involved.
    check(Step::SetChildIdentity, 0, unsafe { raw::prctl(&plan.pass, libc::PR_SET_DUMPABLE, 0) })?;
    let (header, none) = (capability::HEADER, [0_u32; 6]);
    // SAFETY: the kernel reads the header and the sets.
    check(Step::DropCapabilities, 0, unsafe { raw::capset(&plan.pass, &raw const header, &raw const none) })?;
    if !plan.cwd.is_null() {
        // SAFETY: a NUL-terminated string of the plan.
        check(Step::Chdir, 0, unsafe { raw::chdir(&plan.pass, plan.cwd) })?;
    }
    // SAFETY: every signal has its default disposition in pid 1, so no handler can run.
    check(Step::SetSignals, 0, unsafe { raw::set_signal_mask(&plan.pass, 0) })?;
    if plan.has_sync_point {
        for withheld in &plan.withheld {
            // SAFETY: a number of our own table, in which nothing of the program's stands there.
            unsafe { raw::close(&plan.pass, *withheld) };
        }
        // SAFETY: the kernel reads one byte.
        unsafe { raw::write(&plan.pass, plan.arrival, [1_u8].as_ptr(), 1) };
        while plan.gate.load(Acquire) == gate::CLOSED {
            // SAFETY: the word lives in the plan; an early return is what the loop is for.
            unsafe {
                raw::futex(
                    &plan.pass,
                    plan.gate.as_ptr(),
                    libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                    gate::CLOSED,
                    ptr::null(),
                )
            };
        }
    }
    if plan.is_traced {
        // Of a signal before execve the thread that cloned us could not let us go on: it stands still until then. It empties the mask later.
        // SAFETY: as above.
        check(Step::SetSignals, 0, unsafe { raw::set_signal_mask(&plan.pass, !(1 << (libc::SIGTRAP - 1))) })?;
        // SAFETY: no memory involved.
        check(Step::TraceMe, 0, unsafe { raw::ptrace(&plan.pass, libc::PTRACE_TRACEME.into(), 0, 0, 0) })?;
    }
    if plan.landlock >= 0 {
        // SAFETY: no memory involved.
        check(Step::RestrictSelf, 0, unsafe { raw::landlock_restrict_self(&plan.pass, plan.landlock, 0) })?;
    }
    Ok(execute)
}

/// Puts the run's descriptors at 0, 1, 2, …, and marks all others to be closed by execve.
unsafe fn place_descriptors(plan: &Plan) -> Result<i32, Failed> {
    let count = plan.fds.len();
    for (index, fd) in (0..).zip(&plan.fds) {
        // None of the sources is below `count` (`clear_targets`), so none is overwritten before its turn.
        // SAFETY: no memory involved.
        check(Step::DupDescriptor, index, unsafe { raw::dup3(&plan.pass, *fd, index as i32, 0) })?;
    }
    let first_closed = if count == 0 { 3 } else { count as u32 };
    // SAFETY: no memory involved; close-on-exec instead of closing, because the descriptor to execute is among them.
    let result = unsafe { raw::close_range(&plan.pass, first_closed, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(Step::CloseDescriptors, 0, result)?;
    Ok(plan.execute)
}

/// Returns only on failure.
unsafe fn execute_program(plan: &Plan, execute: i32) -> Failed {
    let (argv, envp) = (plan.argv.as_ptr(), plan.envp.as_ptr());
    if execute >= 0 {
        // SAFETY: NULL-terminated vectors of the plan's strings.
        let result = unsafe { raw::execveat(&plan.pass, execute, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH) };
        return Failed { step: Step::Execve, errno: -result as i32, index: 0 };
    }
    let mut worst = libc::ENOENT;
    for path in &plan.candidates {
        // SAFETY: as above, and a NUL-terminated path.
        let errno = -unsafe { raw::execve(&plan.pass, *path, argv, envp) } as i32;
        match errno {
            // not here: elsewhere, perhaps
            libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP => {}
            libc::EACCES => worst = libc::EACCES,
            _ => return Failed { step: Step::Execve, errno, index: 0 },
        }
        // With a single candidate its own error says more.
        if plan.candidates.len() == 1 {
            worst = errno;
        }
    }
    Failed { step: Step::Execve, errno: worst, index: 0 }
}
