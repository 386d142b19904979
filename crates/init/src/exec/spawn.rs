//! Cloning the child of a [`Plan`].
//!
//! Runs in pid 1. A run without a sync point is cloned with `CLONE_VFORK`: pid 1 stands still for the few system calls until the
//! program is executed, and one stack serves all. With a sync point that could be forever, so such a child runs beside pid 1,
//! on a stack of its own, and its plan is kept until it is reaped.

use super::Plan;
use super::child::{self, gate};
use hotcell_linux::clone3::clone_vm;
use hotcell_linux::process::raw;
use hotcell_linux::signal::Stack;
use hotcell_linux::{errno, process};
use hotcell_protocol::{Failure, Step};
use std::io;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Clones children.
pub struct Spawner {
    stack: Stack,
}

/// A program that runs.
pub struct Started {
    /// Its pid.
    pub pid: i32,
}

/// A child at, or on its way to, its sync point: its pid, and what it still reads.
pub struct Waiting {
    /// Its pid.
    pub pid: i32,
    plan: Box<Plan>,
    /// Unmapped with this value, which is not before the child was reaped.
    _stack: Stack,
}

impl Spawner {
    /// Maps the stack.
    pub fn new() -> io::Result<Self> {
        Ok(Self { stack: Stack::new()? })
    }

    /// Clones and executes; returns when the program runs, or was found not to be executable and is gone.
    pub fn execute(&self, plan: &mut Plan, namespaces: u64) -> Result<Started, Failure> {
        let flags = libc::CLONE_VFORK as u64 | namespaces;
        let argument = std::ptr::from_mut(plan).cast();
        // SAFETY: CLONE_VFORK keeps us, and with us the plan and the one user of the stack, until the child is done with both;
        // `child::main` keeps to raw system calls.
        let result = unsafe {
            clone_vm(flags, libc::SIGCHLD, self.stack.base(), self.stack.size(), child::main, argument)
        };
        let pid = result.map_err(|error| Failure::new(Step::CloneChild, errno(&error)))?;
        match plan.failure() {
            None => Ok(Started { pid }),
            Some(failure) => {
                process::wait_for(pid);
                Err(failure)
            }
        }
    }

    /// Clones a child that will wait at its sync point.
    pub fn start_waiting(&self, plan: Plan, namespaces: u64) -> Result<Waiting, Failure> {
        let failed = |error: io::Error| Failure::new(Step::CloneChild, errno(&error));
        let stack = Stack::new().map_err(failed)?;
        let mut plan = Box::new(plan);
        let argument = (&raw mut *plan).cast();
        // SAFETY: plan and stack live in `Waiting`, which is kept until the child is reaped; `child::main` keeps to raw calls.
        let result =
            unsafe { clone_vm(namespaces, libc::SIGCHLD, stack.base(), stack.size(), child::main, argument) };
        let pid = result.map_err(failed)?;
        Ok(Waiting { pid, plan, _stack: stack })
    }
}

impl Waiting {
    /// Opens the gate of the sync point.
    ///
    /// Our copies of the run's descriptors are closed, so that who holds the other ends sees the program's close; if the child
    /// has not come to the gate yet it still reads the list of them, and they stay until it is reaped.
    pub fn resume(&mut self) {
        if self.plan.at_gate.load(Acquire) {
            self.plan.fds.clear();
            self.plan.execute = None;
        }
        self.plan.gate.store(gate::OPEN, Release);
        // SAFETY: the word lives as long as the plan.
        unsafe { raw::futex(self.plan.gate.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1, std::ptr::null()) };
    }

    /// What the child reported, if it ended without executing the program.
    pub fn failure(&self) -> Option<Failure> {
        self.plan.failure()
    }
}
