//! The supervisor: seize, wait, decide, let go.
//!
//! One thread of a process that does nothing else. It waits for whoever stops next, does what that stop asks for, and lets the tracee go on, at once:
//! nothing here waits for anything but the next stop, and for a sink that is full.
//!
//! A call that the filter asks about stops once, at its beginning (`PTRACE_EVENT_SECCOMP`), where it is judged. If its end is of interest,
//! it goes on with `PTRACE_SYSCALL` and stops at that, too; else with `PTRACE_CONT`. All other calls run at full speed.

use crate::affinity::Follower;
use crate::calls::{self, Signature, Signatures};
use crate::error::Error;
use crate::event::{Outbox, Sink};
use crate::files::{Breach, Files};
use crate::learn::Learned;
use crate::path::Places;
use crate::policy::Policy;
use crate::process;
use crate::ptrace::{self, Gone, Resume};
use crate::regs;
use crate::scope::{Guard, Scope};
use crate::tracee::{Pending, Tracees};
use crate::wait::{self, Change, Event, Waited};
use hotcell_protocol::trace::{
    CallCount, CallResult, DisallowedCall, FatalViolation, TraceSubject, TracedCall, Violation,
};
use hotcell_protocol::{OnViolation, TraceConfig, TraceEvent, TraceSummary};
use std::os::fd::OwnedFd;

/// How long an event waits at most before it is given to the sink.
const TICK_US: u32 = 50_000;
/// `si_code` of a SIGSYS from a seccomp filter (asm-generic/siginfo.h).
const SYS_SECCOMP: i32 = 1;

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

    // ── the life of threads ──────────────────────────────────────────────────

    /// A new one, or one that SIGCONT lets go on.
    fn stopped(&mut self, tid: i32) -> Result<(), Error> {
        let tracee = self.tracees.first_stop(tid);
        if tracee.is_announced {
            self.go_on(tid, 0);
            return Ok(());
        }
        tracee.is_held = true;
        if process::is_leader(tid) {
            tracee.pid = tid;
        }
        Ok(())
    }

    fn born(&mut self, parent: i32) -> Result<(), Error> {
        let Ok(child) = ptrace::event_message(parent) else { return Ok(()) };
        let child = child as i32;
        if !self.tracees.is_gone_already(child) {
            let parent_pid = self.tracees.get(parent).map_or(parent, |tracee| tracee.pid);
            self.announce(child, parent_pid, parent)?;
        }
        self.go_on(parent, 0);
        Ok(())
    }

    /// Tells of a new thread or process, once, and lets it go on if it waits for that.
    fn announce(&mut self, child: i32, parent_pid: i32, parent: i32) -> Result<(), Error> {
        let tracee = self.tracees.entry(child);
        if std::mem::replace(&mut tracee.is_announced, true) {
            return Ok(());
        }
        tracee.pid = if process::is_leader(child) { child } else { parent_pid };
        let was_held = std::mem::take(&mut tracee.is_held);
        if self.scope.reports_life() {
            let event = TraceEvent::Started { who: self.who(child), parent: parent as u32 };
            self.outbox.push(&event)?;
        }
        if was_held {
            self.go_on(child, 0);
        }
        Ok(())
    }

    /// A thread that is killed before it tells of its child never does. Then a tick has to do; threads of a process that is killed end with it.
    fn let_go_of_overdue(&mut self) -> Result<(), Error> {
        for pid in self.tracees.overdue() {
            self.announce(pid, pid, 0)?;
        }
        Ok(())
    }

    fn executed(&mut self, tid: i32) -> Result<(), Error> {
        let former = ptrace::event_message(tid).map_or(tid, |former| former as i32);
        self.tracees.executed(former, tid);
        let is_launch = self.launching == Some(tid);
        if is_launch {
            self.launching = None;
        }
        if let (Some(learned), Some(files)) = (&mut self.learned, &mut self.files)
            && let Some(path) = files.executable(tid)
        {
            learned.add_file(path, calls::Operations::EXECUTE);
        }
        // For a script this is its interpreter, which is to be judged even where the script was chosen by whoever started the run; but the run's own
        // program is not.
        let breach = if is_launch { None } else { self.files.as_mut().and_then(|files| files.judge_executable(tid)) };
        if let Some(breach) = breach {
            let call = self.tracees.get(tid).and_then(|tracee| tracee.pending).map(|pending| pending.call);
            let call = call.or_else(|| calls::number("execve")).unwrap_or_default();
            // What is executed already cannot be denied any more.
            let response = if self.on_violation == OnViolation::Deny { OnViolation::Kill } else { self.on_violation };
            self.report(tid, call, &breach, response)?;
            match self.on_violation {
                OnViolation::Deny => {
                    process::kill(tid);
                    return Ok(());
                }
                OnViolation::Kill => {
                    self.kill_all(call, &breach);
                    return Ok(());
                }
                OnViolation::Log => {}
            }
        }
        self.go_on(tid, 0);
        Ok(())
    }

    /// The last stop of a thread, with everything of it still there.
    fn ending(&mut self, tid: i32) -> Result<(), Error> {
        let status = ptrace::event_message(tid).unwrap_or_default() as i32;
        self.end_call(tid, CallResult::None)?;
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS && self.summary.disallowed.is_none() {
            self.killed_by_filter(tid)?;
        }
        self.go_on(tid, 0);
        Ok(())
    }

    fn killed_by_filter(&mut self, tid: i32) -> Result<(), Error> {
        if self.tracees.get(tid).is_some_and(|tracee| tracee.got_sigsys) {
            return Ok(());
        }
        let (Ok(info), Ok(last)) = (ptrace::call_info(tid), regs::last_call(tid)) else { return Ok(()) };
        if !last.is_rolled_back {
            return Ok(());
        }
        let (who, arguments) = (self.who(tid), last.arguments);
        let disallowed = DisallowedCall { who, call: last.number, arch: info.arch, arguments, is_fatal: true };
        self.summary.disallowed = Some(disallowed);
        self.outbox.push(&TraceEvent::Disallowed(disallowed))
    }

    fn ended(&mut self, tid: i32, status: i32) -> Result<(), Error> {
        self.end_call(tid, CallResult::None)?;
        let who = self.who(tid);
        let was_known = self.tracees.remove(tid).is_some();
        if was_known && self.scope.reports_life() {
            self.outbox.push(&TraceEvent::Ended { who, status })
        } else {
            Ok(())
        }
    }

    fn signal(&mut self, tid: i32, signal: i32) -> Result<(), Error> {
        if signal == libc::SIGSYS
            && let Ok(info) = ptrace::signal_info(tid)
        {
            let is_from_filter = info.si_code == SYS_SECCOMP;
            self.tracees.entry(tid).got_sigsys = !is_from_filter;
            if is_from_filter && let Ok(last) = regs::last_call(tid) {
                let arch = ptrace::call_info(tid).map_or(regs::ARCH, |info| info.arch);
                let (who, arguments) = (self.who(tid), last.arguments);
                let call = DisallowedCall { who, call: last.number, arch, arguments, is_fatal: false };
                self.outbox.push(&TraceEvent::Disallowed(call))?;
            }
        }
        self.go_on(tid, signal);
        Ok(())
    }

    // ── calls ────────────────────────────────────────────────────────────────

    fn call_begins(&mut self, tid: i32) -> Result<(), Error> {
        // Gone while it stood there: nothing to do, and so for each request below.
        let Ok(info) = ptrace::call_info(tid) else { return Ok(()) };
        self.follower.stopped(tid);
        let (call, values) = (info.number() as u32, info.arguments());
        let signature = self.signatures.get(call);
        let is_launch = self.launching == Some(tid);
        let is_reported = self.scope.reports(call);
        if is_reported {
            let tracee = self.tracees.entry(tid);
            tracee.gathered.begin(tid, signature, values);
            tracee.pending = Some(Pending { call, signature, start_ns: process::now_ns(), is_launch });
        }
        let how = if is_reported { Resume::ToCallEnd } else { Resume::Run };
        if info.arch != regs::ARCH || call >= calls::MAX {
            return self.refuse(tid, call, libc::ENOSYS, how);
        }
        match self.scope.guard(tid, call, values) {
            Guard::None => {}
            Guard::ClearUntraced(flags) => {
                if regs::set_first_argument(tid, flags).is_err() {
                    return Ok(());
                }
            }
            Guard::Refuse(errno) => return self.refuse(tid, call, errno, how),
            Guard::Roots => {
                if let Some(files) = &mut self.files {
                    files.has_own_roots = true;
                }
            }
        }
        if self.scope.is_about_placement(call) {
            self.follower.release();
            if self.scope.sets_affinity(call) {
                self.follower.disable();
            }
        }
        if let Some(learned) = &mut self.learned {
            learned.add_call(call, values);
        }
        if !signature.files.is_empty() && !is_launch {
            match self.use_files(tid, call, signature, values)? {
                Verdict::Allow => {}
                Verdict::Fail(errno) => {
                    let _gone = skip(tid, errno, how);
                    return Ok(());
                }
                Verdict::Killed => return Ok(()),
            }
        }
        let _gone = ptrace::resume(tid, how, 0);
        Ok(())
    }

    fn use_files(
        &mut self,
        tid: i32,
        call: u32,
        signature: &'static Signature,
        values: [u64; 6],
    ) -> Result<Verdict, Error> {
        let pid = self.tracees.entry(tid).pid;
        let Some(files) = &mut self.files else { return Ok(Verdict::Allow) };
        let uses = match files.uses(pid, tid, signature, values) {
            Ok(uses) => uses,
            Err(answer) => return Ok(Verdict::Fail(answer.0)),
        };
        if let Some(learned) = &mut self.learned {
            for (path, operations) in files.each(&uses) {
                learned.add_file(path, operations);
            }
        }
        let Some(breach) = files.judge(&uses, signature) else { return Ok(Verdict::Allow) };
        let response = match self.on_violation {
            // Nobody is ended for what the supervisor may not look at.
            OnViolation::Kill if !breach.is_resolved => OnViolation::Deny,
            response => response,
        };
        self.report(tid, call, &breach, response)?;
        match response {
            OnViolation::Deny => Ok(Verdict::Fail(libc::EACCES)),
            OnViolation::Log => Ok(Verdict::Allow),
            OnViolation::Kill => {
                self.kill_all(call, &breach);
                Ok(Verdict::Killed)
            }
        }
    }

    fn report(&mut self, tid: i32, call: u32, breach: &Breach, response: OnViolation) -> Result<(), Error> {
        self.summary.violations += 1;
        let who = self.who(tid);
        let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(breach));
        let violation = Violation { who, call, operation: breach.operation, path, response };
        self.outbox.push(&TraceEvent::Violation(violation))
    }

    /// Ends the run. A process that stands before a call does not carry it out: the kernel looks for SIGKILL after the stop.
    fn kill_all(&mut self, call: u32, breach: &Breach) {
        self.is_killing = true;
        let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(breach)).to_vec();
        self.summary.fatal = Some(FatalViolation { call, operation: breach.operation, path });
        for pid in self.tracees.pids() {
            process::kill(pid);
        }
    }

    /// What nobody could watch does not take place; unless nothing is to be changed.
    fn refuse(&mut self, tid: i32, call: u32, errno: i32, how: Resume) -> Result<(), Error> {
        let errno = if self.on_violation == OnViolation::Log { 0 } else { errno };
        let event = TraceEvent::Refused { who: self.who(tid), call, errno: errno as u16 };
        self.outbox.push(&event)?;
        let _gone = if errno == 0 { ptrace::resume(tid, how, 0) } else { skip(tid, errno, how) };
        Ok(())
    }

    fn call_ends(&mut self, tid: i32) -> Result<(), Error> {
        let Ok(info) = ptrace::call_info(tid) else { return Ok(()) };
        if let Some(result) = info.result() {
            let result = if (-4095..0).contains(&result) {
                CallResult::Error(-result as u16)
            } else {
                CallResult::Value(result)
            };
            self.end_call(tid, result)?;
        }
        let _gone = ptrace::resume(tid, Resume::Run, 0);
        Ok(())
    }

    /// Counts and reports the call that a thread was in.
    fn end_call(&mut self, tid: i32, result: CallResult) -> Result<(), Error> {
        let Some(tracee) = self.tracees.get_mut(tid) else { return Ok(()) };
        let Some(Pending { call, signature, start_ns, is_launch }) = tracee.pending.take() else { return Ok(()) };
        if is_launch && result != CallResult::Value(0) {
            return Ok(());
        }
        let duration_ns = process::now_ns().saturating_sub(start_ns);
        let index = call as usize;
        if index < calls::MAX as usize {
            if self.counts.len() <= index {
                self.counts.resize(index + 1, CallCount { call: 0, count: 0, errors: 0, time_ns: 0 });
            }
            if let Some(count) = self.counts.get_mut(index) {
                count.call = call;
                count.count += 1;
                count.errors += u64::from(matches!(result, CallResult::Error(_)));
                count.time_ns += duration_ns;
            }
        }
        if let CallResult::Value(value) = result {
            tracee.gathered.end(tid, signature, value);
        }
        let who = TraceSubject { pid: tracee.pid as u32, tid: tid as u32 };
        let arguments = tracee.gathered.show(signature, &mut self.names);
        let start_ns = start_ns.saturating_sub(self.started_ns);
        self.outbox.push(&TraceEvent::Call(TracedCall { who, call, arguments, result, start_ns, duration_ns }))
    }
}

enum Verdict {
    Allow,
    /// It fails with this errno.
    Fail(i32),
    Killed,
}

/// The call does not take place.
fn skip(tid: i32, errno: i32, how: Resume) -> Result<(), Gone> {
    regs::skip_call(tid, errno)?;
    ptrace::resume(tid, how, 0)
}
