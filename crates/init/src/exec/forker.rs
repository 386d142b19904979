//! The thread that clones the programs of one run group.
//!
//! A thread of pid 1, one for each group, that does nothing else. There are two reasons for it:
//!
//! - On cgroup v1 a child is born in the cgroups of the *thread* that clones it. This thread enters the group once, by a write to each
//!   `tasks` file, and from then on a run costs no write. Memory is charged to the cgroup of the main thread, and the OOM killer looks
//!   at main threads only (since Linux 5.3), so pid 1 is no victim of a program's limit.
//! - The OOM killer kills whoever shares memory with its victim, but spares children between vfork and execve. So in a group every child
//!   has to be cloned with `CLONE_VFORK`, also one with a sync point and one beside other runs; the thread stands still with it,
//!   and the command loop goes on.
//!
//! On cgroup v2 children are born in the group by `CLONE_INTO_CGROUP`. The kernel asks for the right to write to cgroup.procs by the *file
//! system* user id of who clones: this thread has pid 1's own, which no program has.
//!
//! It has a UTS namespace of its own, which is the tag of whatever runs in the group ([`crate::sweep`]). Everything else is said through
//! the [`Plan`]: the kernel stores the child's pid there before the child runs, so the command loop can tell whose end it sees even when the
//! thread itself has not had a turn since, because the group's CPU quota is used up. No one ever waits for this thread.

use super::child;
use super::plan::Plan;
use super::spawn::{Child, watch_progress};
use crate::sweep::{self, Tag};
use hotcell_linux::clone3::{CloneVm, clone_vm};
use hotcell_linux::eventfd::EventFd;
use hotcell_linux::signal::Stack;
use hotcell_linux::{errno, pidfd, prctl, process};
use hotcell_protocol::{Failure, Identity, Step};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Release, SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// What it calls and is called in is a few frames deep.
const STACK: usize = 32 * 1024;

/// The command loop's end.
pub struct Forker {
    shared: Arc<Shared>,
}

/// What the thread needs to know about its place.
pub struct Place {
    /// A `tasks` file of each v1 hierarchy.
    pub tasks: Vec<OwnedFd>,
    /// The directory on v2.
    pub directory: Option<OwnedFd>,
    /// Pid 1's own identity.
    pub init: Identity,
    /// The container's /proc.
    pub proc: Option<OwnedFd>,
}

struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
    /// Whether it is in the group, and with which tag; set once.
    entered: OnceLock<Result<Tag, Failure>>,
    /// Tells the command loop that `entered` was set, or that a child could not be cloned.
    news: Arc<EventFd>,
}

#[derive(Default)]
struct Orders {
    /// What to clone next.
    plan: Option<Arc<Plan>>,
    /// Whether pid 1 has another IPC namespace.
    follow: bool,
    end: bool,
}

fn lock(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forker {
    /// Starts the thread. It says by `news` that it is in its place, or could not get there.
    pub fn start(place: Place, news: &Arc<EventFd>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            orders: Mutex::default(),
            changed: Condvar::new(),
            entered: OnceLock::new(),
            news: Arc::clone(news),
        });
        let its_own = Arc::clone(&shared);
        let stack = Stack::new()?;
        let run = move || {
            let result = its_own.enter(&place);
            let in_place = result.is_ok();
            // What it needed to get there is closed; what remains is where its children go.
            let directory = place.directory;
            let _ = its_own.entered.set(result);
            its_own.news.notify();
            its_own.serve(in_place, directory.as_ref(), &stack);
        };
        thread::Builder::new().name("forker".into()).stack_size(STACK).spawn(run)?;
        Ok(Self { shared })
    }

    /// Whether it is in its place; `None` as long as it is on its way.
    pub fn entered(&self) -> Option<&Result<Tag, Failure>> {
        self.shared.entered.get()
    }

    /// The tag of its programs. There is none of them before there is a tag.
    pub fn tag(&self) -> Option<&Tag> {
        self.entered().and_then(|entered| entered.as_ref().ok())
    }

    /// Has a child cloned, now or once the thread is in its place. With a sync point, or if the host wants to know when the program
    /// runs, it tells of its progress.
    pub fn clone_child(&self, mut plan: Plan, reports: bool) -> Result<Child, Failure> {
        let failed = |errno| Failure::new(Step::CloneChild, errno);
        let progress = reports.then(|| watch_progress(&mut plan)).transpose();
        let progress = progress.map_err(|error| failed(errno(&error)))?;
        let plan = Arc::new(plan);
        {
            let mut orders = lock(&self.shared.orders);
            if orders.plan.is_some() || orders.end {
                return Err(failed(libc::EBUSY));
            }
            orders.plan = Some(Arc::clone(&plan));
        }
        self.shared.changed.notify_one();
        Ok(Child::of_group(plan, progress))
    }

    /// Has it follow pid 1 into another IPC namespace, before it clones anything else.
    pub fn follow(&self) {
        lock(&self.shared.orders).follow = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Forker {
    fn drop(&mut self) {
        lock(&self.shared.orders).end = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn enter(&self, place: &Place) -> Result<Tag, Failure> {
        let failed = |error: io::Error| Failure::new(Step::EnterGroup, errno(&error));
        for (index, tasks) in (0..).zip(&place.tasks) {
            let written = tasks.try_clone().and_then(|tasks| File::from(tasks).write_all(b"0"));
            written.map_err(|error| failed(error).at(index))?;
        }
        process::unshare(libc::CLONE_NEWUTS).map_err(failed)?;
        process::set_fs_identity(place.init.uid, place.init.gid);
        // The change has undone it for the whole process (prctl(2)).
        prctl::set_dumpable(false).map_err(failed)?;
        let tag = match &place.proc {
            None => Tag::new(),
            Some(proc) => sweep::thread_tag(proc.as_fd(), process::thread_id())
                .ok_or_else(|| Failure::new(Step::EnterGroup, libc::EAGAIN))?,
        };
        Ok(tag)
    }

    /// Clones until there is no group any more. Who could not get to its place refuses.
    fn serve(&self, in_place: bool, directory: Option<&OwnedFd>, stack: &Stack) {
        // Whether pid 1 has an IPC namespace that we are not in.
        let mut is_behind = false;
        loop {
            let mut orders = lock(&self.orders);
            while orders.plan.is_none() && !orders.follow && !orders.end {
                orders = self.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
            }
            if orders.end {
                return;
            }
            is_behind |= std::mem::take(&mut orders.follow);
            let plan = orders.plan.take();
            drop(orders);
            // A program shall not find the leftovers of others, so without that nobody is cloned.
            let followed = if is_behind { follow_pid_1() } else { Ok(()) };
            is_behind = followed.is_err();
            match (plan, followed) {
                (None, _) => {}
                (Some(plan), _) if !in_place => self.give_up(&plan, libc::ENODEV),
                (Some(plan), Err(error)) => self.give_up(&plan, errno(&error)),
                (Some(plan), Ok(())) => self.clone_one(&plan, directory, stack),
            }
        }
    }

    fn clone_one(&self, plan: &Arc<Plan>, directory: Option<&OwnedFd>, stack: &Stack) {
        if plan.pending_signal.load(SeqCst) == libc::SIGKILL {
            return self.give_up(plan, libc::ECANCELED);
        }
        let how = CloneVm {
            flags: libc::CLONE_VFORK as u64,
            exit_signal: libc::SIGCHLD,
            stack,
            pid: Some(&plan.pid),
            cgroup: directory.map(AsFd::as_fd),
        };
        let argument = Arc::as_ptr(plan).cast_mut().cast();
        // SAFETY: CLONE_VFORK keeps us, the plan and the stack's one user here until the child is done with both; `child::main`
        // keeps to raw system calls.
        match unsafe { clone_vm(how, child::main, argument) } {
            Ok(pid) => {
                plan.executed_us.store(process::monotonic_us(), Release);
                plan.close_descriptors();
                // What came before there was a pid to send it to.
                let signal = plan.pending_signal.load(SeqCst);
                if signal != 0 {
                    let _ = process::kill(pid, signal);
                }
            }
            Err(error) => self.give_up(plan, errno(&error)),
        }
    }

    fn give_up(&self, plan: &Plan, errno: i32) {
        plan.close_descriptors();
        plan.clone_errno.store(errno, Release);
        self.news.notify();
    }
}

/// Of a process a pidfd means the main thread.
fn follow_pid_1() -> io::Result<()> {
    let pid_1 = pidfd::open(std::process::id() as i32)?;
    process::enter_namespaces(pid_1.as_fd(), libc::CLONE_NEWIPC)
}
