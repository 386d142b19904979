//! Cloning the child of a [`Plan`].
//!
//! Runs in pid 1. A run that has the container to itself is cloned with `CLONE_VFORK`: pid 1 stands still for the few system calls
//! until the program is executed, and one stack serves all.
//!
//! With a sync point that could be for ever; and beside other runs it could be made to be, because between its change of identity and
//! execve the child is one that their programs may stop, or keep from executing a file that they hold a lease on (fcntl(2)). Such a child
//! runs beside pid 1, on a stack of its own, and its plan is kept until it is reaped. It has the one end of a pipe of which we read the
//! other: a byte says that it has come to its sync point, the end that it has executed the program, or ended.

use super::Plan;
use super::child::{self, gate};
use hotcell_linux::clone3::clone_vm;
use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::raw;
use hotcell_linux::signal::Stack;
use hotcell_linux::{errno, file, poll, process};
use hotcell_protocol::{Failure, Step};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::Release;

/// Clones children.
pub struct Spawner {
    stack: Stack,
}

/// A program that runs.
pub struct Started {
    /// Its pid.
    pub pid: i32,
}

/// A child that runs beside us.
pub struct Waiting {
    /// Its pid.
    pub pid: i32,
    plan: Box<Plan>,
    /// Unmapped with this value, which is not before the child was reaped.
    _stack: Stack,
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

impl Spawner {
    /// Maps the stack.
    pub fn new() -> io::Result<Self> {
        Ok(Self { stack: Stack::new()? })
    }

    /// Clones and executes; returns when the program runs, or was found not to be executable and is gone.
    pub fn execute(&self, plan: &mut Plan) -> Result<Started, Failure> {
        let flags = libc::CLONE_VFORK as u64;
        let argument = std::ptr::from_mut(plan).cast();
        // SAFETY: CLONE_VFORK keeps us, and with us the plan and the one user of the stack, until the child is done with both;
        // `child::main` keeps to raw system calls.
        let result =
            unsafe { clone_vm(flags, libc::SIGCHLD, self.stack.base(), self.stack.size(), child::main, argument) };
        let pid = result.map_err(|error| Failure::new(Step::CloneChild, errno(&error)))?;
        match plan.failure() {
            None => Ok(Started { pid }),
            Some(failure) => {
                process::wait_for(pid);
                Err(failure)
            }
        }
    }

    /// Clones a child that runs beside us, and waits at its sync point if it has one.
    pub fn start_beside(&self, plan: Plan) -> Result<Waiting, Failure> {
        let failed = |error: io::Error| Failure::new(Step::CloneChild, errno(&error));
        let stack = Stack::new().map_err(failed)?;
        let (progress, arrival) = io::pipe().map_err(failed)?;
        let mut plan = Box::new(plan);
        // Where it is not overwritten when the run's descriptors are placed.
        let lowest = plan.fds.len().max(3) as i32;
        let arrival = file::duplicate_above(arrival.as_fd(), lowest).map_err(failed)?;
        plan.arrival = arrival.as_raw_fd();
        let argument = (&raw mut *plan).cast();
        // SAFETY: plan and stack live in `Waiting`, which is kept until the child is reaped; `child::main` keeps to raw calls.
        let result = unsafe { clone_vm(0, libc::SIGCHLD, stack.base(), stack.size(), child::main, argument) };
        let pid = result.map_err(failed)?;
        // The child has a copy in a table of its own, which execve closes.
        drop(arrival);
        Ok(Waiting { pid, plan, _stack: stack, progress: Some(progress) })
    }
}

impl Waiting {
    /// Opens the gate of the sync point.
    pub fn resume(&self) {
        self.plan.gate.store(gate::OPEN, Release);
        // SAFETY: the word lives as long as the plan.
        unsafe {
            raw::futex(self.plan.gate.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1, std::ptr::null())
        };
    }

    /// Whether it waits for the host on the way.
    pub fn has_sync_point(&self) -> bool {
        self.plan.has_sync_point
    }

    /// What becomes readable when there is [`Progress`]; `None` once it is over.
    pub fn progress(&self) -> Option<BorrowedFd<'_>> {
        self.progress.as_ref().map(AsFd::as_fd)
    }

    /// Takes note of progress, if there is any.
    ///
    /// When it is over, our copies of the run's descriptors are closed, so that who holds the other ends sees what the program does
    /// with its own. Until then the child may read the list of them.
    pub fn advance(&mut self, epoll: &Epoll) -> Option<Progress> {
        let progress = self.progress.as_mut()?;
        if !poll::is_readable(progress.as_fd()) {
            return None;
        }
        if matches!(progress.read(&mut [0]), Ok(1)) {
            return Some(Progress::AtSyncPoint);
        }
        // By name: a child cloned meanwhile may hold a copy of it, with which the registration would live on.
        let _ = epoll.remove(progress.as_fd());
        self.progress = None;
        self.plan.fds.clear();
        self.plan.execute = None;
        Some(Progress::Over)
    }

    /// What the child reported, if it ended without executing the program.
    pub fn failure(&self) -> Option<Failure> {
        self.plan.failure()
    }
}
