//! The thread that makes and removes cgroups when nobody waits for it.
//!
//! Started with the first job, and there until the process ends. Every wait here is bounded: what cannot be removed is left to the next
//! container's sweep, or to the next process's.

use super::groups::Remains;
use super::{BoxedGroup, parents};
use crate::connection::Connection;
use nix::sys::signal::SigSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{OnceLock, Weak};
use std::thread;
use std::time::Duration;

/// How long a parent without containers is kept: a program that makes one container after another needs it again at once.
const LINGER: Duration = Duration::from_millis(250);

/// What there is to do.
pub(crate) enum Job {
    /// A container shall have a free group, if it has none.
    Prepare(Weak<Connection>),
    /// A group that nothing is in any more, and that init has forgotten.
    Remove(BoxedGroup),
    /// A container is gone.
    Bury(Box<Remains>),
    /// The last container of a parent is gone.
    Linger,
}

static JOBS: OnceLock<Option<Sender<Job>>> = OnceLock::new();

/// Has it done later; here and now where there can be no such thread.
pub(crate) fn hand_over(job: Job) {
    let refused = match JOBS.get_or_init(start) {
        Some(jobs) => jobs.send(job).err().map(|error| error.0),
        None => Some(job),
    };
    if let Some(job) = refused {
        work(job);
    }
}

fn start() -> Option<Sender<Job>> {
    let (jobs, inbox) = channel();
    thread::Builder::new().name("hotcell-cgroups".to_owned()).spawn(move || run(&inbox)).ok()?;
    Some(jobs)
}

fn run(inbox: &Receiver<Job>) {
    // Signals of the process are for its own threads.
    let _ = SigSet::all().thread_block();
    let mut lingers = false;
    loop {
        let next = if lingers { inbox.recv_timeout(LINGER) } else { inbox.recv().map_err(RecvTimeoutError::from) };
        match next {
            Ok(Job::Linger) => lingers = true,
            Ok(job) => work(job),
            Err(RecvTimeoutError::Timeout) => {
                lingers = false;
                let _ = catch_unwind(parents::remove_unused);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn work(job: Job) {
    let _ = catch_unwind(AssertUnwindSafe(|| match job {
        Job::Prepare(connection) => {
            if let Some(connection) = connection.upgrade() {
                connection.prepare_group();
            }
        }
        Job::Remove(group) => drop(group),
        Job::Bury(remains) => remains.bury(),
        Job::Linger => {}
    }));
}
