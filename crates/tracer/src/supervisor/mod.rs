//! The supervisor: seize, wait, decide, let go.
//!
//! One thread of a process that does nothing else. It waits for whoever stops next, does what that stop asks for, and lets the tracee go on, at once:
//! nothing here waits for anything but the next stop, and for a sink that is full.
//!
//! A call that the filter asks about stops once, at its beginning (`PTRACE_EVENT_SECCOMP`), where it is judged. If its end is of interest,
//! it goes on with `PTRACE_SYSCALL` and stops at that, too; else with `PTRACE_CONT`. All other calls run at full speed.

mod calls;
mod life;

use crate::affinity::Follower;
use crate::calls::Signatures;
use crate::error::Error;
use crate::event::{Outbox, Sink};
use crate::files::Files;
use crate::learn::Learned;
use crate::path::Places;
use crate::policy::Policy;
use crate::process;
use crate::ptrace::{self, Resume};
use crate::scope::Scope;
use crate::tracee::Tracees;
use crate::wait::{self, Change, Event, Waited};
use hotcell_protocol::trace::{CallCount, TraceSubject};
use hotcell_protocol::{OnViolation, TraceConfig, TraceEvent, TraceSummary};
use std::os::fd::OwnedFd;

/// How long an event waits at most before it is given to the sink.
const TICK_US: u32 = 50_000;

/// Supervises one run. See the [crate]'s documentation.
#[derive(Debug)]
pub struct Supervisor<S> {
    scope: Scope,
    files: Option<Files>,
    on_violation: OnViolation,
    learned: Option<Learned>,
    tracees: Tracees,
    outbox: Outbox<S>,
    follower: Follower,
    counts: Vec<CallCount>,
    summary: TraceSummary,
    /// The process that has not executed its program yet.
    launching: Option<i32>,
    /// The file that was executed all the same by the last execve that was a violation, and by whom: it is seen again when that is done.
    logged_execute: Option<(i32, Vec<u8>)>,
    /// Whether the run is being ended.
    is_killing: bool,
    started_ns: u64,
    signatures: Signatures,
    /// For the names of constants.
    names: String,
}

/// What a supervised run came to.
#[derive(Debug)]
pub struct Report<S> {
    /// Counts, and what ended it.
    pub summary: TraceSummary,
    /// What was used, if that was asked for.
    pub learned: Option<Learned>,
    /// The sink, with every event given to it.
    pub sink: S,
}

impl<S: Sink> Supervisor<S> {
    /// Prepares to supervise one run.
    ///
    /// `proc` is a directory of a /proc that shows the supervisor and its tracees, with rights to see them; without it neither files can be judged nor
    /// anything be learned. A rule about a path with links in it counts for where they lead now.
    pub fn new(config: &TraceConfig, proc: Option<OwnedFd>, sink: S) -> Result<Self, Error> {
        let needs_files = config.files.is_some() || config.learn;
        let files = if needs_files {
            let places = Places::new(proc.ok_or(Error::FindProc)?)?;
            let policy = match &config.files {
                Some(rules) => Some(Policy::new(rules, |path| places.canonical(path, config.program_uid))?),
                None => None,
            };
            Some(Files::new(places, policy))
        } else {
            None
        };
        Ok(Self {
            scope: Scope::new(config),
            files,
            on_violation: config.on_violation,
            learned: config.learn.then(Learned::default),
            tracees: Tracees::default(),
            outbox: Outbox::new(sink, config.overflow),
            follower: Follower::new(),
            counts: Vec::new(),
            summary: TraceSummary::default(),
            launching: None,
            logged_execute: None,
            is_killing: false,
            started_ns: 0,
            signatures: Signatures::default(),
            names: String::new(),
        })
    }

    /// Attaches to the process that will execute the run's program, and to all that comes of it. It has to stand before its execve(2), with one thread.
    ///
    /// Its own first execve is not judged: whoever started it chose the program.
    pub fn seize(&mut self, pid: i32) -> Result<(), Error> {
        ptrace::seize(pid).map_err(|error| Error::Seize { pid, errno: hotcell_linux::errno(&error) })?;
        let tracee = self.tracees.entry(pid);
        tracee.pid = pid;
        tracee.is_announced = true;
        self.launching = Some(pid);
        if let Some(files) = &mut self.files {
            files.look_at_root(pid);
        }
        Ok(())
    }

    /// The same for one that has executed its program already, and has not come to its first instruction: it is stopped, until SIGCONT. What it is
    /// judged by begins with its next call.
    pub fn seize_stopped(&mut self, pid: i32) -> Result<(), Error> {
        self.seize(pid)?;
        self.launching = None;
        if self.scope.reports_life() {
            let who = self.who(pid);
            self.outbox.push(&TraceEvent::Started { who, parent: 0 })?;
        }
        self.learn_executable(pid);
        Ok(())
    }

    /// Supervises until nobody is left.
    ///
    /// Takes SIGALRM, SIGCHLD and the real interval timer of this process for itself. On an error the caller has to end: with it the kernel ends all
    /// tracees (`PTRACE_O_EXITKILL`).
    pub fn run(mut self) -> Result<Report<S>, Error> {
        self.started_ns = process::now_ns();
        process::start_ticking(TICK_US)?;
        loop {
            match wait::wait_any().map_err(|error| Error::Wait { errno: hotcell_linux::errno(&error) })? {
                Waited::Event(event) => self.handle(event)?,
                Waited::Interrupted => {}
                Waited::NobodyLeft => break,
            }
            if process::has_ticked() {
                self.follower.tick();
                self.let_go_of_overdue()?;
                self.outbox.flush()?;
            }
        }
        process::stop_ticking();
        self.follower.release();
        self.summary.calls = self.counts.into_iter().filter(|count| count.count > 0).collect();
        self.summary.threads = self.tracees.total;
        self.summary.lost = self.outbox.lost_total;
        Ok(Report { summary: self.summary, learned: self.learned, sink: self.outbox.finish()? })
    }

    fn handle(&mut self, Event { tid, change }: Event) -> Result<(), Error> {
        if self.is_killing && !matches!(change, Change::Ended(_) | Change::Ending) {
            // One that was born meanwhile.
            process::kill(tid);
            return Ok(());
        }
        match change {
            Change::Ended(status) => self.ended(tid, status),
            Change::Seccomp => self.call_begins(tid),
            Change::Call => self.call_ends(tid),
            Change::Born => self.born(tid),
            Change::Executed => self.executed(tid),
            Change::Ending => self.ending(tid),
            Change::Signal(signal) => self.signal(tid, signal),
            Change::GroupStop => {
                self.tracees.entry(tid);
                let _gone = ptrace::resume(tid, Resume::Listen, 0);
                Ok(())
            }
            Change::Stopped => self.stopped(tid),
        }
    }

    /// Goes on, to the end of the call that it is in if that is waited for.
    fn go_on(&self, tid: i32, signal: i32) {
        let is_in_call = self.tracees.get(tid).is_some_and(|tracee| tracee.pending.is_some());
        // Gone: its end will be waited for.
        let _ = ptrace::resume(tid, if is_in_call { Resume::ToCallEnd } else { Resume::Run }, signal);
    }

    fn who(&self, tid: i32) -> TraceSubject {
        let pid = self.tracees.get(tid).map_or(tid, |tracee| tracee.pid);
        TraceSubject { pid: pid as u32, tid: tid as u32 }
    }
}
