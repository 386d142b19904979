//! Making a used container like new.
//!
//! Runs in pid 1 when the last process of every run is gone. Whatever outlives processes is *replaced*, not searched: each
//! tmpfs (with /dev/shm), the IPC namespace (System V objects, POSIX message queues), and the user's keyrings. So after a program that
//! left 100,000 files in a tree 20,000 levels deep it costs what it costs after one that left a single one.
//!
//! What nobody can have touched is not replaced: a tmpfs in which no file was ever made ([`crate::setup`]), and what the filters of all runs
//! since the last time kept programs from.
//!
//! The files themselves are freed with the last user of the old tmpfs, which is us: a thread of its own closes them, after the
//! answer. It has no other work and no memory of its own but its stack.

use crate::setup::{Attached, Tree};
use hotcell_linux::{capability, errno, keyring, prctl, process};
use hotcell_protocol::{Failure, Identity, Reach, Step};
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::thread;

/// Of the thread that frees files (setpriority(2)).
const DISPOSER_NICE: i32 = 5;

/// Replaces what runs can leave behind, but for terminals ([`crate::tty::Devpts`]).
#[derive(Debug, Default)]
pub struct Resetter {
    /// The numbers of descriptors to close, to the thread that closes them. It is started by the first reset.
    disposer: Option<PipeWriter>,
}

impl Resetter {
    /// Does so. The current directory is somewhere in the new tree afterwards. Returns what holds the old files: to be disposed of
    /// when the host has its answer.
    pub fn reset(
        tree: &Tree,
        attached: &mut Attached,
        (init, program): (Identity, Identity),
        reached: Reach,
    ) -> Result<Vec<OwnedFd>, Failure> {
        let old = attached.replace_tmpfs(tree)?;
        if reached.ipc {
            process::unshare(libc::CLONE_NEWIPC).map_err(|error| Failure::new(Step::ResetIpc, errno(&error)))?;
        }
        if reached.keyrings {
            clear_keyrings(init, program).map_err(|error| Failure::new(Step::ResetKeyrings, errno(&error)))?;
        }
        Ok(old)
    }

    /// How many threads of pid 1 this takes.
    pub fn threads(&self) -> u64 {
        u64::from(self.disposer.is_some())
    }

    /// Closes a descriptor without waiting for it; here and now if the thread cannot be had.
    pub fn dispose(&mut self, descriptor: OwnedFd) {
        if self.disposer.is_none() {
            self.disposer = start_disposer();
        }
        if let Some(disposer) = &mut self.disposer {
            let number = descriptor.into_raw_fd();
            if disposer.write_all(&number.to_ne_bytes()).is_err() {
                // SAFETY: ours a moment ago, and nobody took it.
                drop(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
}

fn start_disposer() -> Option<PipeWriter> {
    let (mut numbers, writer) = pipe().ok()?;
    let close_all = move || {
        // A thread keeps the namespaces that it started with, and what is in them: not those of the runs to come.
        let _ = process::unshare(libc::CLONE_NEWIPC);
        // Not ahead of whoever was answered, as pid 1 is.
        let _ = process::set_nice(process::thread_id(), DISPOSER_NICE);
        let _ = capability::set(capability::Capabilities::NONE);
        let mut number = [0; 4];
        while numbers.read_exact(&mut number).is_ok() {
            // SAFETY: the writer gave up this descriptor when it wrote its number.
            drop(unsafe { OwnedFd::from_raw_fd(i32::from_ne_bytes(number)) });
        }
    };
    thread::Builder::new().name("disposer".into()).stack_size(32 * 1024).spawn(close_all).ok()?;
    Some(writer)
}

/// The keyrings belong to the *real* user id, so we are the program for a moment; nobody is there to notice.
fn clear_keyrings(init: Identity, program: Identity) -> io::Result<()> {
    // Runs that could have none of their own shared this one. (A new one might not be had: the quota may be theirs.)
    keyring::clear_session().or_else(|_| keyring::join_new_session())?;
    let result = if init.uid == program.uid {
        keyring::clear_user_keyrings()
    } else {
        process::set_real_uid(program.uid)?;
        // setresuid has taken the file system identity along.
        super::setup::act_on_files_as(program);
        let cleared = keyring::clear_user_keyrings();
        cleared.and(process::set_real_uid(init.uid))
    };
    super::setup::act_on_files_as(program);
    // Every change of credentials takes these two along (prctl(2)).
    let _ = prctl::set_dumpable(false);
    let _ = prctl::set_parent_death_signal(libc::SIGKILL);
    result
}
