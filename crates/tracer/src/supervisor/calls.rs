//! Stops at the beginnings and ends of calls.
//!
//! Runs in the supervisor. At its beginning a call has not taken place, and whether it will is decided here.

use super::Supervisor;
use crate::calls::{self, Signature};
use crate::error::Error;
use crate::event::Sink;
use crate::files::Breach;
use crate::process;
use crate::ptrace::{self, Gone, Resume};
use crate::regs;
use crate::scope::Guard;
use crate::tracee::Pending;
use hotcell_protocol::trace::{CallCount, CallResult, FatalViolation, TraceSubject, TracedCall, Violation};
use hotcell_protocol::{FileOperation, OnViolation, TraceEvent};

impl<S: Sink> Supervisor<S> {
    pub(super) fn call_begins(&mut self, tid: i32) -> Result<(), Error> {
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

    pub(super) fn use_files(
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
            OnViolation::Log => {
                if breach.operation == FileOperation::Execute {
                    let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(&breach)).to_vec();
                    self.logged_execute = Some((tid, path));
                }
                Ok(Verdict::Allow)
            }
            OnViolation::Kill => {
                self.kill_all(call, &breach);
                Ok(Verdict::Killed)
            }
        }
    }

    pub(super) fn report(&mut self, tid: i32, call: u32, breach: &Breach, response: OnViolation) -> Result<(), Error> {
        self.summary.violations += 1;
        let who = self.who(tid);
        let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(breach));
        let violation = Violation { who, call, operation: breach.operation, path, response };
        self.outbox.push(&TraceEvent::Violation(violation))
    }

    /// Ends the run. A process that stands before a call does not carry it out: the kernel looks for SIGKILL after the stop.
    pub(super) fn kill_all(&mut self, call: u32, breach: &Breach) {
        self.is_killing = true;
        let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(breach)).to_vec();
        self.summary.fatal = Some(FatalViolation { call, operation: breach.operation, path });
        for pid in self.tracees.pids() {
            process::kill(pid);
        }
    }

    /// What nobody could watch does not take place; unless nothing is to be changed.
    pub(super) fn refuse(&mut self, tid: i32, call: u32, errno: i32, how: Resume) -> Result<(), Error> {
        let errno = if self.on_violation == OnViolation::Log { 0 } else { errno };
        // It may be a clone in other words.
        self.follower.release();
        let event = TraceEvent::Refused { who: self.who(tid), call, errno: errno as u16 };
        self.outbox.push(&event)?;
        let _gone = if errno == 0 { ptrace::resume(tid, how, 0) } else { skip(tid, errno, how) };
        Ok(())
    }

    pub(super) fn call_ends(&mut self, tid: i32) -> Result<(), Error> {
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
    pub(super) fn end_call(&mut self, tid: i32, result: CallResult) -> Result<(), Error> {
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

pub(super) enum Verdict {
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
