//! The threads that clone programs.
//!
//! A thread of pid 1 that does nothing else. There are three reasons for it:
//!
//! - **A seccomp filter is inherited from the thread that clones.** This one installs it once, which costs a tenth of a millisecond; the
//!   programs have it from birth, for nothing. Pid 1's main thread has none.
//! - **On cgroup v1 a child is born in the cgroups of the thread that clones it.** This one enters a group once, by a write to each `tasks` file, and
//!   from then on a run costs no write. Memory is charged to the cgroup of the main thread, and the OOM killer looks at main threads only
//!   (since Linux 5.3), so pid 1 is no victim of a program's limit.
//! - **The OOM killer kills whoever shares memory with its victim**, but spares children between vfork and execve. So in a group every child
//!   has to be cloned with `CLONE_VFORK`, also one with a sync point and one beside other runs; the thread stands still with it,
//!   and the command loop goes on.
//!
//! On cgroup v2 children are born in the group by `CLONE_INTO_CGROUP`. The kernel asks for the right to write to cgroup.procs by the *file
//! system* user id of who clones: this thread has pid 1's own, which no program has.
//!
//! # Under its own filter
//!
//! The filter may deny anything at all: it is a policy for programs, and possibly a stranger's. What this thread and its children call
//! before execve passes by a token in the argument registers that a call makes no use of ([`Pass`]; [`hotcell_protocol::PASSING_CALLS`] is the list). So all of it
//! is raw system calls, and as no libc is to make one for it either, the thread is none of libc's ([`hotcell_linux::thread`]): it does not
//! allocate, frees nothing, takes no lock and touches no thread-local storage. Everything is said through words in shared memory.
//!
//! Actions of the policy that kill are answered by a notification instead (seccomp_unotify(2)), so that pid 1 learns which call it was;
//! the listener is made with the filter.
//!
//! What is the same for all of its programs it does once instead of each of them: its cgroup namespace is theirs, and where the filter keeps
//! programs from keyrings, so is pid 1's session keyring. (Where it does not, each takes a keyring of its own.)
//!
//! It has a UTS namespace of its own, which is the tag of whatever it clones ([`crate::sweep`]). The kernel stores a child's pid in the [`Plan`]
//! before the child runs, so the command loop can tell whose end it sees even when this thread has not had a turn since, because the
//! group's CPU quota is used up. No one ever waits for it while it has work to do.

use super::child;
use super::plan::Plan;
use super::spawn::{Child, watch_progress};
use crate::sweep::{self, Tag};
use hotcell_linux::clone3::{CloneVm, clone_vm};
use hotcell_linux::errno;
use hotcell_linux::eventfd::EventFd;
use hotcell_linux::process::raw::{self, Pass};
use hotcell_linux::seccomp::{NEW_LISTENER, SET_MODE_FILTER};
use hotcell_linux::signal::Stack;
use hotcell_linux::thread::RawThread;
use hotcell_protocol::{Failure, Identity, Reach, Step};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32};

/// How long to wait for a child to stop behind its execve until looking again, in nanoseconds.
const HAND_OVER_NS: i64 = 20_000;

/// A compiled filter, and what passes it.
pub struct Filter {
    /// Its number.
    pub number: u32,
    /// Instructions of classic BPF.
    program: Vec<libc::sock_filter>,
    /// In the argument registers of what this process itself calls.
    pass: Pass,
    /// What programs can get at.
    reach: Reach,
}

impl Filter {
    /// Its program is the bytes of its instructions, each 8, in native order.
    pub fn new(filter: &hotcell_protocol::Filter<'_>) -> Result<Self, Failure> {
        let invalid = || Failure::new(Step::InstallFilter, libc::EINVAL);
        let (instructions, rest) = filter.program.as_chunks::<8>();
        if instructions.is_empty() || !rest.is_empty() || instructions.len() > usize::from(u16::MAX) {
            return Err(invalid());
        }
        let instruction = |bytes: &[u8; 8]| {
            let [code_low, code_high, jt, jf, k0, k1, k2, k3] = *bytes;
            let code = u16::from_ne_bytes([code_low, code_high]);
            libc::sock_filter { code, jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
        };
        Ok(Self {
            number: filter.filter,
            program: instructions.iter().map(instruction).collect(),
            pass: Pass(filter.token),
            reach: filter.reach,
        })
    }
}

/// Where a thread goes before it clones anything.
pub struct Place {
    /// A `tasks` file of each v1 hierarchy.
    pub tasks: Vec<OwnedFd>,
    /// The directory on v2.
    pub directory: Option<OwnedFd>,
    /// Pid 1's own identity.
    pub init: Identity,
    /// The container's /proc.
    pub proc: Option<OwnedFd>,
    /// What its programs have.
    pub filter: Option<Rc<Filter>>,
    /// Whether programs are to see their own cgroup as the root of all.
    pub hides_cgroup: bool,
}

/// The command loop's end.
pub struct Forker {
    /// Dropped first: it waits for the thread.
    thread: Option<RawThread>,
    shared: Box<Shared>,
    place: Place,
    /// The thread writes to it.
    _news: Arc<EventFd>,
    entered: OnceCell<Result<Entered, Failure>>,
    /// The plans that the thread may still look at, oldest first.
    kept: RefCell<VecDeque<Arc<Plan>>>,
    given: Cell<u32>,
}

/// What there is once it is in its place.
struct Entered {
    tag: Tag,
    /// Readable when a program has made a call that its filter kills for.
    listener: Option<OwnedFd>,
}

/// What the thread reads and writes. It outlives the thread, and what is not atomic never changes.
struct Shared {
    tasks: Vec<RawFd>,
    directory: RawFd,
    init: Identity,
    /// Namespaces to unshare.
    namespaces: i32,
    program: Option<libc::sock_fprog>,
    pass: Pass,
    news: RawFd,
    /// Pid 1, as it knows itself.
    pid_1: i32,
    stack: Stack,
    /// Bits of [`order`]; a futex.
    orders: AtomicU32,
    /// What to clone next.
    plan: AtomicPtr<Plan>,
    /// How many plans it is done with.
    done: AtomicU32,
    /// One of [`state`].
    state: AtomicU32,
    failed_step: AtomicU8,
    failed_index: AtomicU32,
    failed_errno: AtomicI32,
    listener: AtomicI32,
    /// Whether its children begin with a nice value of 0.
    levels: AtomicBool,
}

// SAFETY: vectors and pointers are never changed after the thread has started; all else is atomic. The stack has one user, its child.
unsafe impl Sync for Shared {}

mod order {
    /// There is a plan.
    pub const CLONE: u32 = 1;
    /// Pid 1 has another IPC namespace.
    pub const FOLLOW: u32 = 2;
    /// That was all.
    pub const END: u32 = 4;
}

mod state {
    /// On its way.
    pub const STARTING: u32 = 0;
    /// In its place.
    pub const READY: u32 = 1;
    /// It could not get there.
    pub const FAILED: u32 = 2;
}

impl Forker {
    /// Starts the thread. It says by `news` that it is in its place, or could not get there.
    pub fn start(place: Place, news: &Arc<EventFd>) -> io::Result<Self> {
        let filter = place.filter.as_ref();
        let program = filter.map(|filter| libc::sock_fprog {
            len: filter.program.len() as u16,
            filter: filter.program.as_ptr().cast_mut(),
        });
        // Who is born in another cgroup than this thread's needs a namespace that begins there.
        let hides_here = place.hides_cgroup && place.directory.is_none();
        let namespaces = libc::CLONE_NEWUTS | if hides_here { libc::CLONE_NEWCGROUP } else { 0 };
        let shared = Box::new(Shared {
            tasks: place.tasks.iter().map(AsRawFd::as_raw_fd).collect(),
            directory: place.directory.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            init: place.init,
            namespaces,
            program,
            pass: filter.map_or(Pass::NONE, |filter| filter.pass),
            news: news.as_fd().as_raw_fd(),
            pid_1: std::process::id() as i32,
            stack: Stack::new()?,
            orders: AtomicU32::new(0),
            plan: AtomicPtr::new(ptr::null_mut()),
            done: AtomicU32::new(0),
            state: AtomicU32::new(state::STARTING),
            failed_step: AtomicU8::new(0),
            failed_index: AtomicU32::new(0),
            failed_errno: AtomicI32::new(0),
            listener: AtomicI32::new(-1),
            levels: AtomicBool::new(false),
        });
        let argument = ptr::from_ref::<Shared>(&shared).cast_mut().cast();
        // SAFETY: the box outlives the thread, which is joined when this value is dropped; `main` keeps to raw system calls.
        let thread = unsafe { RawThread::start(main, argument) }?;
        Ok(Self {
            thread: Some(thread),
            shared,
            place,
            _news: Arc::clone(news),
            entered: OnceCell::new(),
            kept: RefCell::default(),
            given: Cell::new(0),
        })
    }

    /// Whether it is in its place; `None` as long as it is on its way.
    pub fn entered(&self) -> Option<Result<(), &Failure>> {
        let is_over = self.shared.state.load(Acquire) != state::STARTING;
        let entered = is_over.then(|| self.entered.get_or_init(|| self.take_note()));
        entered.map(|entered| entered.as_ref().map(|_| ()))
    }

    fn take_note(&self) -> Result<Entered, Failure> {
        let Shared { state, failed_step, failed_index, failed_errno, listener, .. } = &*self.shared;
        if state.load(Acquire) != state::READY {
            let step = Step::from_u8(failed_step.load(Acquire)).unwrap_or(Step::EnterGroup);
            return Err(Failure::new(step, failed_errno.load(Acquire)).at(failed_index.load(Acquire)));
        }
        let listener = listener.load(Acquire);
        // SAFETY: made by the thread, for us alone.
        let listener = (listener >= 0).then(|| unsafe { OwnedFd::from_raw_fd(listener) });
        let thread = self.thread.as_ref().map_or(0, RawThread::id);
        let tag = match &self.place.proc {
            None => Tag::new(),
            Some(proc) => {
                sweep::thread_tag(proc.as_fd(), thread).ok_or_else(|| Failure::new(Step::EnterGroup, libc::EAGAIN))?
            }
        };
        Ok(Entered { tag, listener })
    }

    fn in_place(&self) -> Option<&Entered> {
        self.entered();
        self.entered.get().and_then(|entered| entered.as_ref().ok())
    }

    /// The tag of its programs. There is none of them before there is a tag.
    pub fn tag(&self) -> Option<&Tag> {
        self.in_place().map(|entered| &entered.tag)
    }

    /// Where it is told of calls that the filter kills for.
    pub fn listener(&self) -> Option<&OwnedFd> {
        self.in_place().and_then(|entered| entered.listener.as_ref())
    }

    /// The filter that its programs have.
    pub fn filter(&self) -> Option<u32> {
        self.place.filter.as_ref().map(|filter| filter.number)
    }

    /// What its programs can get at.
    pub fn reach(&self) -> Reach {
        self.place.filter.as_ref().map_or(Reach::ALL, |filter| filter.reach)
    }

    /// Has a child cloned, now or once the thread is in its place. With a sync point, or if the host wants to know when the program
    /// runs, it tells of its progress. There is room for one plan beside the one that it is at.
    pub fn clone_child(&self, mut plan: Plan, reports: bool) -> Result<Child, Failure> {
        let failed = |errno| Failure::new(Step::CloneChild, errno);
        if self.shared.orders.load(SeqCst) & order::CLONE != 0 {
            return Err(failed(libc::EBUSY));
        }
        plan.pass = self.shared.pass;
        plan.is_born_level = self.shared.levels.load(Acquire);
        plan.joins_keyring = self.reach().keyrings;
        plan.hides_cgroup = self.place.hides_cgroup && self.place.directory.is_some();
        let progress = reports.then(|| watch_progress(&mut plan)).transpose();
        let progress = progress.map_err(|error| failed(errno(&error)))?;
        let plan = Arc::new(plan);
        self.forget_done();
        self.kept.borrow_mut().push_back(Arc::clone(&plan));
        self.given.set(self.given.get().wrapping_add(1));
        self.shared.plan.store(Arc::as_ptr(&plan).cast_mut(), Release);
        self.give(order::CLONE);
        Ok(Child::of_thread(plan, progress))
    }

    /// Drops the plans that the thread is done with.
    pub fn forget_done(&self) {
        let left = self.given.get().wrapping_sub(self.shared.done.load(Acquire)) as usize;
        let mut kept = self.kept.borrow_mut();
        while kept.len() > left {
            kept.pop_front();
        }
    }

    /// Has it follow pid 1 into another IPC namespace, before it clones anything else.
    pub fn follow(&self) {
        self.give(order::FOLLOW);
    }

    fn give(&self, order: u32) {
        self.shared.orders.fetch_or(order, SeqCst);
        // SAFETY: the word lives as long as we.
        unsafe {
            raw::futex(
                &Pass::NONE,
                self.shared.orders.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
                ptr::null(),
            )
        };
    }
}

impl Drop for Forker {
    /// Waits for the thread, which takes as long as a child of it that was not executed yet.
    fn drop(&mut self) {
        self.give(order::END);
        drop(self.thread.take());
        // A listener that nobody has asked for is closed with this.
        let _ = self.entered();
    }
}

/// The thread's whole life.
///
/// # Safety
/// `argument` points to a [`Shared`] that outlives it.
unsafe extern "C" fn main(argument: *mut libc::c_void) -> ! {
    // SAFETY: the contract of this function.
    let shared = unsafe { &*argument.cast::<Shared>() };
    match shared.enter() {
        Ok(()) => shared.state.store(state::READY, Release),
        Err(Refused { step, index, errno }) => {
            shared.failed_step.store(step as u8, Release);
            shared.failed_index.store(index, Release);
            shared.failed_errno.store(errno, Release);
            shared.state.store(state::FAILED, Release);
        }
    }
    shared.notify();
    shared.serve();
    loop {
        // SAFETY: ends this thread.
        unsafe { raw::exit_thread(&shared.pass, 0) };
    }
}

/// A step on the way to its place that failed.
struct Refused {
    step: Step,
    index: u32,
    errno: i32,
}

fn check(step: Step, index: u32, result: isize) -> Result<isize, Refused> {
    if result < 0 { Err(Refused { step, index, errno: -result as i32 }) } else { Ok(result) }
}

impl Shared {
    fn enter(&self) -> Result<(), Refused> {
        let none = &Pass::NONE;
        for (index, tasks) in (0..).zip(&self.tasks) {
            // SAFETY: the kernel reads one byte.
            check(Step::EnterGroup, index, unsafe { raw::write(none, *tasks, b"0".as_ptr(), 1) })?;
        }
        // SAFETY: no memory involved.
        check(Step::EnterGroup, 0, unsafe { raw::unshare(none, self.namespaces) })?;
        // SAFETY: no memory involved; reports no error.
        unsafe { raw::setfsgid(none, self.init.gid) };
        // SAFETY: as above.
        unsafe { raw::setfsuid(none, self.init.uid) };
        // The change has undone it for the whole process (prctl(2)).
        // SAFETY: no memory involved.
        check(Step::EnterGroup, 0, unsafe { raw::prctl(none, libc::PR_SET_DUMPABLE, 0) })?;
        let (policy, priority) = (libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK, 0);
        // SAFETY: the kernel reads one int.
        let levels = unsafe { raw::sched_setscheduler(none, 0, policy, &raw const priority) };
        self.levels.store(levels == 0, Release);
        if let Some(program) = &self.program {
            // SAFETY: the kernel reads the program, which lives in the filter that `Place` holds.
            let result = unsafe { raw::seccomp(none, SET_MODE_FILTER, NEW_LISTENER, ptr::from_ref(program)) };
            let listener = check(Step::InstallFilter, 0, result)?;
            self.listener.store(listener as i32, Release);
        }
        Ok(())
    }

    /// Clones until that was all. Who could not get to its place refuses.
    fn serve(&self) {
        let in_place = self.state.load(Acquire) == state::READY;
        // Whether pid 1 has an IPC namespace that we are not in.
        let mut is_behind = false;
        loop {
            let orders = self.orders.load(SeqCst);
            if orders == 0 {
                // SAFETY: the word lives as long as this thread.
                unsafe {
                    raw::futex(
                        &self.pass,
                        self.orders.as_ptr(),
                        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                        0,
                        ptr::null(),
                    )
                };
                continue;
            }
            let plan = self.plan.load(Acquire);
            // From here on there is room for the next one.
            self.orders.fetch_and(!orders, SeqCst);
            if orders & order::END != 0 {
                return;
            }
            is_behind |= orders & order::FOLLOW != 0;
            // A program shall not find the leftovers of others, so without that nobody is cloned.
            let followed = if is_behind { self.follow_pid_1() } else { 0 };
            is_behind = followed < 0;
            if orders & order::CLONE == 0 {
                continue;
            }
            // SAFETY: the command loop keeps it until we are done with it.
            let plan = unsafe { &*plan };
            if !in_place {
                self.give_up(plan, libc::ENODEV);
            } else if is_behind {
                self.give_up(plan, -followed as i32);
            } else {
                self.clone_one(plan);
            }
            self.done.fetch_add(1, Release);
        }
    }

    fn clone_one(&self, plan: &Plan) {
        if plan.pending_signal.load(SeqCst) == libc::SIGKILL {
            return self.give_up(plan, libc::ECANCELED);
        }
        // SAFETY: the descriptor is the place's, which outlives us.
        let directory = (self.directory >= 0).then(|| unsafe { std::os::fd::BorrowedFd::borrow_raw(self.directory) });
        let how = CloneVm {
            pid: Some(&plan.pid),
            cgroup: directory,
            pass: self.pass,
            ..CloneVm::new(libc::CLONE_VFORK as u64, libc::SIGCHLD, &self.stack)
        };
        let argument = ptr::from_ref(plan).cast_mut().cast();
        // SAFETY: CLONE_VFORK keeps us, the plan and the stack's one user here until the child is done with both; `child::main`
        // keeps to raw system calls.
        match unsafe { clone_vm(how, child::main, argument) } {
            Ok(pid) => {
                plan.executed_us.store(self.monotonic_us(), Release);
                plan.close_descriptors();
                // What came before there was a pid to send it to.
                let signal = plan.pending_signal.load(SeqCst);
                if signal != 0 {
                    // SAFETY: no memory involved.
                    unsafe { raw::kill(&self.pass, pid, signal) };
                }
                if plan.is_traced && plan.failed_errno.load(Acquire) == 0 {
                    self.hand_over(plan, pid);
                }
            }
            Err(error) => self.give_up(plan, error.raw_os_error().unwrap_or(libc::EAGAIN)),
        }
    }

    /// Lets go of a child that is about to stop behind its execve, or does: it stays stopped, see [`crate::trace`].
    fn hand_over(&self, plan: &Plan, pid: i32) {
        const PTRACE_SETSIGMASK: i64 = 0x420b;
        let none = 0_u64;
        // ESRCH: not stopped yet. Pid 1's main thread takes note of its end, and might take wait4(2)'s word of its stop, so that is not waited for.
        while !plan.is_over.load(Acquire) {
            let address = (&raw const none) as usize;
            // SAFETY: the kernel reads eight bytes.
            let emptied = unsafe { raw::ptrace(&self.pass, PTRACE_SETSIGMASK, pid, 8, address) };
            let stop = libc::SIGSTOP as usize;
            // SAFETY: no memory involved.
            if emptied == 0 && unsafe { raw::ptrace(&self.pass, libc::PTRACE_DETACH.into(), pid, 0, stop) } == 0 {
                plan.is_handed_over.store(true, Release);
                return self.notify();
            }
            let soon = libc::timespec { tv_sec: 0, tv_nsec: HAND_OVER_NS };
            let (word, value) = (plan.gate.as_ptr(), plan.gate.load(Acquire));
            // SAFETY: the word lives in the plan, the kernel reads one timespec; nobody changes it any more, so this is a pause.
            unsafe {
                raw::futex(&self.pass, word, libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, value, &raw const soon)
            };
        }
    }

    fn give_up(&self, plan: &Plan, errno: i32) {
        plan.close_descriptors();
        plan.clone_errno.store(errno, Release);
        self.notify();
    }

    fn notify(&self) {
        let one = 1_u64;
        // SAFETY: the kernel reads eight bytes. It fails when the counter is full, and then the eventfd is readable.
        unsafe { raw::write(&self.pass, self.news, (&raw const one).cast(), 8) };
    }

    fn monotonic_us(&self) -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes one timespec.
        unsafe { raw::clock_gettime(&self.pass, libc::CLOCK_MONOTONIC, &raw mut now) };
        now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
    }

    /// Of a process a pidfd means the main thread.
    fn follow_pid_1(&self) -> isize {
        // SAFETY: no memory involved.
        let pid_1 = unsafe { raw::pidfd_open(&self.pass, self.pid_1, 0) };
        if pid_1 < 0 {
            return pid_1;
        }
        // SAFETY: no memory involved.
        let entered = unsafe { raw::setns(&self.pass, pid_1 as RawFd, libc::CLONE_NEWIPC) };
        // SAFETY: opened above, for nobody else.
        unsafe { raw::close(&self.pass, pid_1 as RawFd) };
        entered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_whole_instructions() {
        let filter = |program| hotcell_protocol::Filter { filter: 1, reach: Reach::ALL, token: [0; 6], program };
        let invalid = |program| Filter::new(&filter(program)).err().map(|failure| failure.errno);
        assert_eq!(invalid(&[]), Some(libc::EINVAL));
        assert_eq!(invalid(&[0; 9]), Some(libc::EINVAL));
        assert_eq!(invalid(&[0; 16]), None);
    }
}
