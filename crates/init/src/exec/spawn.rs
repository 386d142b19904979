//! Cloning the child of a [`Plan`].
//!
//! Runs in pid 1. A run that has the container to itself is cloned with `CLONE_VFORK`: pid 1 stands still for the few system calls
//! until the program is executed, and one stack serves all.
//!
//! With a sync point that could be for ever; and beside other runs it could be made to be, because between its change of identity and
//! execve the child is one that their programs may stop, or keep from executing a file that they hold a lease on (fcntl(2)). Such a child
//! runs beside pid 1, on a stack of its own, and its plan is kept until it is reaped. It has the one end of a pipe of which we read the
//! other: a byte says that it has come to its sync point, the end that it has executed the program, or ended.
//!
//! Runs in a group, or with a seccomp filter, are cloned by threads, see [`super::forker`].

use super::Plan;
use super::child::{self, gate};
use hotcell_linux::clone3::{CloneVm, clone_vm};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::raw::{self, Pass};
use hotcell_linux::signal::Stack;
use hotcell_linux::{errno, file, poll, process};
use hotcell_protocol::{Failure, Step};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};

/// Clones children.
pub struct Spawner {
    stack: Stack,
}

/// A child that was cloned, or is about to be.
pub struct Child {
    plan: Arc<Plan>,
    /// Of one that runs beside us. Unmapped with this value, which is not before the child was reaped.
    _stack: Option<Stack>,
    /// See the module's documentation.
    progress: Option<PipeReader>,
}

/// What a child that runs beside us has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Its sync point.
    AtSyncPoint,
    /// The program, or its end.
    Over,
}

/// Gives the plan a pipe of which the child has the one end, and returns the other.
pub fn watch_progress(plan: &mut Plan) -> io::Result<PipeReader> {
    let (progress, arrival) = io::pipe()?;
    // Where it is not overwritten when the run's descriptors are placed.
    let lowest = plan.fds.len().max(3) as i32;
    let arrival = file::duplicate_above(arrival.as_fd(), lowest)?;
    plan.arrival = arrival.as_raw_fd();
    plan.keep(arrival);
    Ok(progress)
}

impl Spawner {
    /// Maps the stack.
    pub fn new() -> io::Result<Self> {
        Ok(Self { stack: Stack::new()? })
    }

    /// Clones and executes; returns when the program runs, or was found not to be executable and is gone.
    pub fn execute(&self, plan: Plan) -> Result<Child, Failure> {
        let plan = Arc::new(plan);
        let flags = libc::CLONE_VFORK as u64;
        let how = CloneVm { pid: Some(&plan.pid), ..CloneVm::new(flags, libc::SIGCHLD, &self.stack) };
        let argument = Arc::as_ptr(&plan).cast_mut().cast();
        // SAFETY: CLONE_VFORK keeps us, and with us the plan and the one user of the stack, until the child is done with both;
        // `child::main` keeps to raw system calls.
        let result = unsafe { clone_vm(how, child::main, argument) };
        let pid = result.map_err(|error| Failure::new(Step::CloneChild, errno(&error)))?;
        match plan.failure() {
            None => {
                plan.close_descriptors();
                Ok(Child { plan, _stack: None, progress: None })
            }
            Some(failure) => {
                process::wait_for(pid);
                Err(failure)
            }
        }
    }

    /// Clones a child that runs beside us, and waits at its sync point if it has one.
    pub fn start_beside(&self, mut plan: Plan) -> Result<Child, Failure> {
        let failed = |error: io::Error| Failure::new(Step::CloneChild, errno(&error));
        let stack = Stack::new().map_err(failed)?;
        let progress = watch_progress(&mut plan).map_err(failed)?;
        let plan = Arc::new(plan);
        let how = CloneVm { pid: Some(&plan.pid), ..CloneVm::new(0, libc::SIGCHLD, &stack) };
        let argument = Arc::as_ptr(&plan).cast_mut().cast();
        // SAFETY: plan and stack live in `Child`, which is kept until the child is reaped; `child::main` keeps to raw calls.
        let result = unsafe { clone_vm(how, child::main, argument) };
        result.map_err(failed)?;
        // The child has a table of its own, with copies that execve closes or the program keeps.
        plan.close_descriptors();
        Ok(Child { plan, _stack: Some(stack), progress: Some(progress) })
    }
}

impl Child {
    /// One that a thread of its own clones.
    pub(super) fn of_thread(plan: Arc<Plan>, progress: Option<PipeReader>) -> Self {
        Self { plan, _stack: None, progress }
    }

    /// Its pid; `None` until it was cloned.
    pub fn pid(&self) -> Option<i32> {
        Some(self.plan.pid.load(SeqCst)).filter(|pid| *pid > 0)
    }

    /// Signals it, now or as soon as it was cloned. A child that nobody has cloned yet is not cloned any more after a SIGKILL.
    pub fn signal(&self, signal: i32) {
        if self.pid().is_none() {
            self.plan.pending_signal.store(signal, SeqCst);
        }
        // Either we find the pid here, or who clones it finds the signal there; twice is no harm.
        if let Some(pid) = self.pid() {
            let _ = process::kill(pid, signal);
        }
    }

    /// Opens the gate of the sync point.
    pub fn resume(&self) {
        self.plan.gate.store(gate::OPEN, Release);
        // SAFETY: the word lives as long as the plan.
        unsafe {
            raw::futex(
                &Pass::NONE,
                self.plan.gate.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
                std::ptr::null(),
            )
        };
    }

    /// Whether it waits for the host on the way.
    pub fn has_sync_point(&self) -> bool {
        self.plan.has_sync_point
    }

    /// When the thread that cloned it saw it run, in microseconds of `CLOCK_MONOTONIC`.
    pub fn executed_us(&self) -> Option<u64> {
        Some(self.plan.executed_us.load(Acquire)).filter(|us| *us > 0)
    }

    /// Why a thread could not clone it.
    pub fn clone_failure(&self) -> Option<Failure> {
        let errno = self.plan.clone_errno.load(Acquire);
        (errno != 0).then(|| Failure::new(Step::CloneChild, errno))
    }

    /// What becomes readable when there is [`Progress`]; `None` once it is over, and where nobody asked.
    pub fn progress(&self) -> Option<BorrowedFd<'_>> {
        self.progress.as_ref().map(AsFd::as_fd)
    }

    /// Takes note of progress, if there is any.
    pub fn advance(&mut self, epoll: &Epoll) -> Option<Progress> {
        let progress = self.progress.as_mut()?;
        if !poll::is_readable(progress.as_fd()) {
            return None;
        }
        if matches!(progress.read(&mut [0]), Ok(1)) {
            // It came while nobody was there to be signalled.
            let signal = self.plan.pending_signal.load(SeqCst);
            if signal == libc::SIGKILL {
                self.signal(signal);
            }
            return Some(Progress::AtSyncPoint);
        }
        // By name: a child cloned meanwhile may hold a copy of it, with which the registration would live on.
        let _ = epoll.remove(progress.as_fd());
        self.progress = None;
        Some(Progress::Over)
    }

    /// It was reaped: closes what is left of its descriptors. Returns what it reported, if it ended without executing the program.
    pub fn over(&mut self, epoll: &Epoll) -> Option<Failure> {
        if let Some(progress) = self.progress.take() {
            let _ = epoll.remove(progress.as_fd());
        }
        self.plan.close_descriptors();
        self.plan.is_over.store(true, Release);
        self.plan.failure()
    }

    /// Whether it stands behind its execve and waits for a supervisor.
    pub fn is_handed_over(&self) -> bool {
        self.plan.is_handed_over.load(Acquire)
    }

    /// What it reported so far.
    pub fn failure(&self) -> Option<Failure> {
        self.plan.failure()
    }
}
