//! Traced runs: their supervisors, each a process of its own.
//!
//! [`Trace`] is pid 1's view of one; [`supervise`] is what runs in the process, which is a fork of pid 1: a copy of its memory, its rights but for those
//! that supervision has no use for, and of its descriptors only three. All of the work is `hotcell-tracer`'s.
//!
//! # How a program comes to its supervisor
//!
//! A process that has not executed its program shares pid 1's memory, which belongs to a user namespace outside of the container: the kernel lets nobody
//! in it seize such a process. So the child asks to be traced by the thread that has cloned it (`PTRACE_TRACEME`), just before execve(2); that stops it behind
//! execve, before its first instruction. There the thread lets go of it with SIGSTOP in the place of the stop's SIGTRAP, so that it stays stopped
//! with nobody tracing it ([`crate::exec::forker`]); a supervisor is forked, seizes it and says so; and pid 1 sends SIGCONT. Should anybody else send
//! that before, the program begins without a tracer, and then the kernel answers what its filter asks about with ENOSYS: it can do less.
//!
//! # How it ends
//!
//! A supervisor ends by itself when the last of its run has, with a summary. A run is not over before. Who kills the run therefore spares it, for a while;
//! if it ends first, the kernel ends the run (`PTRACE_O_EXITKILL`).
//!
//! In a container whose programs have pid 1's own identity they can signal their supervisor: that ends or stops their own run.

use hotcell_linux::capability::{self, Capabilities};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::monotonic_us;
use hotcell_linux::{errno, file, poll, process};
use hotcell_protocol::trace::frame;
use hotcell_protocol::{Failure, Step, TraceConfig, codec};
use hotcell_tracer::{Error, Sink, Supervisor};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// How long a supervisor may take to write what it has once its run is over: whoever reads its pipe may be slow.
const END_US: u64 = 10_000_000;
/// The same if the run was killed: somebody waits, and kills the container in the end.
const KILLED_END_US: u64 = 2_000_000;

/// What a supervisor says to pid 1: this, a [`Step`], and errno(3).
mod word {
    pub const READY: u8 = 1;
    pub const DONE: u8 = 2;
    pub const FATAL: u8 = 3;
    pub const FAILED: u8 = 4;
    pub const BYTES: usize = 6;
}

/// The tracing of one run.
pub struct Trace {
    config: TraceConfig,
    /// Where frames go, until the supervisor has it.
    events: Option<OwnedFd>,
    supervisor: Option<i32>,
    said: Option<PipeReader>,
    /// Whether the supervisor was started and has been reaped.
    has_ended: bool,
    is_done: bool,
    is_fatal: bool,
    is_ready: bool,
    failure: Option<Failure>,
    /// When not to wait for it any longer.
    deadline_us: Option<u64>,
    /// Whether we have ended it.
    killed: bool,
}

/// What a supervisor has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It traces the program, which may begin.
    Ready,
    /// It does not.
    Failed,
}

impl Trace {
    /// Of a request.
    pub fn new(config: TraceConfig, events: OwnedFd) -> Self {
        Self {
            config,
            events: Some(events),
            supervisor: None,
            said: None,
            has_ended: false,
            is_done: false,
            is_fatal: false,
            is_ready: false,
            failure: None,
            deadline_us: None,
            killed: false,
        }
    }

    /// The supervisor, while there is one.
    pub fn living(&self) -> Option<i32> {
        self.supervisor.filter(|_| !self.has_ended)
    }

    /// Whether it has not been started.
    pub fn is_to_start(&self) -> bool {
        self.supervisor.is_none() && self.failure.is_none()
    }

    /// Whether the program has been let go on, or never will be.
    pub fn is_ready(&self) -> bool {
        self.is_ready || self.failure.is_some() || self.has_ended
    }

    /// Whether the run was ended for a violation.
    pub fn is_fatal(&self) -> bool {
        self.is_fatal
    }

    /// Why there is no trace, or only a part of one.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Starts the supervisor of a process that is stopped behind its execve.
    pub fn start(
        &mut self,
        pid: i32,
        proc: Option<&OwnedFd>,
        is_bare: bool,
        epoll: &Epoll,
        token: u64,
    ) -> Result<(), Failure> {
        let result = self.try_start(pid, proc, is_bare, epoll, token);
        result.map_err(|error| {
            let failure = Failure::new(Step::StartSupervisor, errno(&error));
            self.failure = Some(failure.clone());
            failure
        })
    }

    fn try_start(
        &mut self,
        pid: i32,
        proc: Option<&OwnedFd>,
        is_bare: bool,
        epoll: &Epoll,
        token: u64,
    ) -> io::Result<()> {
        let events = self.events.take().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let (said, says) = io::pipe()?;
        epoll.add(said.as_fd(), libc::EPOLLIN as u32, token)?;
        // SAFETY: glibc's fork makes malloc usable in the child; no other lock of this process is taken there, and it never returns.
        match unsafe { libc::fork() } {
            -1 => {
                let error = io::Error::last_os_error();
                let _ = epoll.remove(said.as_fd());
                Err(error)
            }
            0 => {
                let fds = [says.as_raw_fd(), events.as_raw_fd(), proc.map_or(-1, AsRawFd::as_raw_fd)];
                live(&self.config, pid, fds, is_bare)
            }
            supervisor => {
                self.supervisor = Some(supervisor);
                self.said = Some(said);
                Ok(())
            }
        }
    }

    /// Takes note of what it says.
    pub fn listen(&mut self, epoll: &Epoll) -> Option<Word> {
        let said = self.said.as_mut()?;
        if !poll::is_readable(said.as_fd()) {
            return None;
        }
        let mut bytes = [0; word::BYTES];
        // Written at once, so read at once (pipe(7)).
        let [kind, step, number @ ..] = match said.read(&mut bytes) {
            Ok(word::BYTES) => bytes,
            _ => {
                let _ = epoll.remove(said.as_fd());
                self.said = None;
                return None;
            }
        };
        match kind {
            word::READY => {
                self.is_ready = true;
                return Some(Word::Ready);
            }
            word::DONE => self.is_done = true,
            word::FATAL => (self.is_done, self.is_fatal) = (true, true),
            _ => {
                let step = Step::from_u8(step).unwrap_or(Step::Supervise);
                let number = Some(i32::from_le_bytes(number)).filter(|number| (1..=4095).contains(number));
                self.failure = Some(Failure::new(step, number.unwrap_or(libc::EIO)));
                return Some(Word::Failed);
            }
        }
        None
    }

    /// It was reaped.
    pub fn ended(&mut self, epoll: &Epoll) {
        while self.said.as_ref().is_some_and(|said| poll::is_readable(said.as_fd())) {
            self.listen(epoll);
        }
        self.has_ended = true;
        if !self.is_done && !self.killed && self.failure.is_none() {
            let step = if self.is_ready { Step::Supervise } else { Step::StartSupervisor };
            self.failure = Some(Failure::new(step, libc::ESRCH));
        }
    }

    /// The run has ended, or was killed: it will not be waited for for ever.
    pub fn hurry(&mut self, was_killed: bool) {
        let now = monotonic_us();
        let deadline = now.saturating_add(if was_killed { KILLED_END_US } else { END_US });
        self.deadline_us = Some(self.deadline_us.map_or(deadline, |known| known.min(deadline)));
        let is_late = self.deadline_us.is_some_and(|deadline| deadline <= now);
        if let Some(supervisor) = self.living().filter(|_| is_late) {
            self.killed = true;
            let _ = process::kill(supervisor, libc::SIGKILL);
        }
    }

    /// Everything is being killed, it too.
    pub fn give_up(&mut self) {
        self.killed = true;
    }
}

/// The supervisor's process.
fn live(config: &TraceConfig, pid: i32, fds: [RawFd; 3], is_bare: bool) -> ! {
    let code = match place(fds) {
        Ok((says, events, proc)) => supervise(config, pid, says, events, proc, is_bare),
        Err(_) => 1,
    };
    // SAFETY: ends this process, without what exit(3) would do for pid 1.
    unsafe { libc::_exit(code) }
}

/// Keeps these descriptors and /dev/null, and closes all others. The last one may be -1.
fn place(fds: [RawFd; 3]) -> io::Result<(File, File, Option<OwnedFd>)> {
    let [says, events, proc] = fds;
    const FIRST: RawFd = 3;
    // Out of the way of each other.
    let above = |fd: RawFd| -> io::Result<OwnedFd> {
        // SAFETY: pid 1 has it open, and so have we, a copy of it.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        file::duplicate_above(fd, FIRST + 3)
    };
    let kept = [Some(above(says)?), Some(above(events)?), if proc < 0 { None } else { Some(above(proc)?) }];
    for (target, kept) in (FIRST..).zip(kept.iter()) {
        if let Some(kept) = kept {
            // SAFETY: no memory involved; whoever had the number is a copy of pid 1's that is used by nobody here.
            if unsafe { libc::dup3(kept.as_raw_fd(), target, libc::O_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
        } else {
            // SAFETY: no memory involved; as above.
            unsafe { libc::close(target) };
        }
    }
    // Their numbers are closed with all others.
    kept.into_iter().flatten().for_each(std::mem::forget);
    // SAFETY: no memory involved; the owners of these numbers are copies of pid 1's, never used and never dropped here.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST + 3, u32::MAX, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: placed above, for nobody else.
    let says = unsafe { File::from_raw_fd(FIRST) };
    // SAFETY: as above.
    let events = unsafe { File::from_raw_fd(FIRST + 1) };
    // SAFETY: as above.
    let proc = (proc >= 0).then(|| unsafe { OwnedFd::from_raw_fd(FIRST + 2) });
    Ok((says, events, proc))
}

fn supervise(
    config: &TraceConfig,
    pid: i32,
    mut says: File,
    events: File,
    proc: Option<OwnedFd>,
    is_bare: bool,
) -> i32 {
    match trace(config, pid, &mut says, events, proc, is_bare) {
        Ok(is_fatal) => {
            say(&mut says, if is_fatal { word::FATAL } else { word::DONE }, Step::Supervise, 0);
            0
        }
        Err((step, errno)) => {
            say(&mut says, word::FAILED, step, errno);
            1
        }
    }
}

fn trace(
    config: &TraceConfig,
    pid: i32,
    says: &mut File,
    events: File,
    proc: Option<OwnedFd>,
    is_bare: bool,
) -> Result<bool, (Step, i32)> {
    let failed = |error: io::Error| (Step::StartSupervisor, errno(&error));
    // SAFETY: no handler is installed here.
    let result = unsafe { process::raw::set_signal_mask(&process::raw::Pass::NONE, 0) };
    if result < 0 {
        return Err((Step::StartSupervisor, -result as i32));
    }
    // SAFETY: a NUL-terminated name. It is for people who look at /proc, so whether it takes is no matter.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"hotcell-trace".as_ptr()) };
    let rights = if is_bare { Capabilities::SUPERVISOR_BARE } else { Capabilities::SUPERVISOR };
    capability::set(rights).map_err(failed)?;
    let mut supervisor = Supervisor::new(config, proc, Frames(events)).map_err(|error| step_of(&error))?;
    supervisor.seize_stopped(pid).map_err(|error| step_of(&error))?;
    say(says, word::READY, Step::Supervise, 0);
    let report = supervisor.run().map_err(|error| step_of(&error))?;
    let mut sink = report.sink;
    let mut payload = Vec::new();
    let sent = report.learned.map_or(Ok(()), |learned| {
        codec::append(&learned, &mut payload);
        sink.frame(frame::LEARNED, &payload)
    });
    let sent = sent.and_then(|()| {
        payload.clear();
        codec::append(&report.summary, &mut payload);
        sink.frame(frame::SUMMARY, &payload)
    });
    sent.map_err(|error| (Step::Supervise, errno(&error)))?;
    Ok(report.summary.fatal.is_some())
}

fn step_of(error: &Error) -> (Step, i32) {
    let step = match error {
        Error::UseRule { .. } | Error::FindProc | Error::OpenRoot { .. } => Step::UseTrace,
        Error::Seize { .. } => Step::SeizeProgram,
        Error::Wait { .. } | Error::SetTimer { .. } | Error::Send { .. } => Step::Supervise,
    };
    let unnumbered = if matches!(error, Error::FindProc) { libc::ENOENT } else { libc::EINVAL };
    (step, error.errno().unwrap_or(unnumbered))
}

fn say(says: &mut File, kind: u8, step: Step, errno: i32) {
    let [a, b, c, d] = errno.to_le_bytes();
    // Pid 1 learns of an end without a word as well.
    let _ = says.write_all(&[kind, step as u8, a, b, c, d]);
}

/// Where frames go. Writing waits until whoever reads has made room.
struct Frames(File);

impl Frames {
    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        if payload.len() > frame::PAYLOAD_MAX {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        self.0.write_all(&frame::head(kind, payload.len()))?;
        self.0.write_all(payload)
    }
}

impl Sink for Frames {
    /// Waits, whatever is said: a pipe does not tell whether there is room for a whole frame.
    fn send(&mut self, batch: &[u8], _may_wait: bool) -> io::Result<bool> {
        self.frame(frame::EVENTS, batch).map(|()| true)
    }
}
