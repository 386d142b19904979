//! Stops in the life of a thread: its beginning, execve, signals, its end.
//!
//! Runs in the supervisor. A request that finds the thread gone is passed over, here and in `calls.rs`: wait4(2) will tell of its end.

use super::Supervisor;
use crate::calls::{self, Operations};
use crate::error::Error;
use crate::event::Sink;
use crate::files::Breach;
use crate::process;
use crate::ptrace;
use crate::regs;
use hotcell_protocol::trace::{CallResult, DisallowedCall};
use hotcell_protocol::{OnViolation, TraceEvent};

/// `si_code` of a SIGSYS from a seccomp filter (asm-generic/siginfo.h).
const SYS_SECCOMP: i32 = 1;

impl<S: Sink> Supervisor<S> {
    /// A new one, or one that SIGCONT lets go on.
    pub(super) fn stopped(&mut self, tid: i32) -> Result<(), Error> {
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

    pub(super) fn born(&mut self, parent: i32) -> Result<(), Error> {
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
    pub(super) fn announce(&mut self, child: i32, parent_pid: i32, parent: i32) -> Result<(), Error> {
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
    pub(super) fn let_go_of_overdue(&mut self) -> Result<(), Error> {
        for pid in self.tracees.overdue() {
            self.announce(pid, pid, 0)?;
        }
        Ok(())
    }

    pub(super) fn executed(&mut self, tid: i32) -> Result<(), Error> {
        let former = ptrace::event_message(tid).map_or(tid, |former| former as i32);
        self.tracees.executed(former, tid);
        self.follower.renamed(former, tid);
        let is_launch = self.launching == Some(tid);
        if is_launch {
            self.launching = None;
        }
        self.learn_executable(tid);
        // For a script this is its interpreter, which is to be judged even where the script was chosen by whoever started the run; but the run's own
        // program is not.
        let breach = if is_launch { None } else { self.files.as_mut().and_then(|files| files.judge_executable(tid)) };
        let logged = self.logged_execute.take_if(|(by, _)| *by == former);
        let is_told = |breach: &Breach| {
            let path = self.files.as_ref().map_or(&[][..], |files| files.breach_path(breach));
            logged.as_ref().is_some_and(|(_, logged)| logged == path)
        };
        if let Some(breach) = breach.filter(|breach| !is_told(breach)) {
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

    /// It has just executed a program.
    pub(super) fn learn_executable(&mut self, pid: i32) {
        let (Some(learned), Some(files)) = (&mut self.learned, &mut self.files) else { return };
        if let Some(path) = files.executable(pid) {
            learned.add_file(path, Operations::EXECUTE);
        }
        for path in files.mapped(pid) {
            learned.add_file(&path, Operations::EXECUTE);
        }
        if let Some(path) = files.script(pid) {
            learned.add_file(path, Operations::EXECUTE);
        }
    }

    /// The last stop of a thread, with everything of it still there.
    pub(super) fn ending(&mut self, tid: i32) -> Result<(), Error> {
        let status = ptrace::event_message(tid).unwrap_or_default() as i32;
        self.end_call(tid, CallResult::None)?;
        if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS && self.summary.disallowed.is_none() {
            self.killed_by_filter(tid)?;
        }
        self.go_on(tid, 0);
        Ok(())
    }

    pub(super) fn killed_by_filter(&mut self, tid: i32) -> Result<(), Error> {
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

    pub(super) fn ended(&mut self, tid: i32, status: i32) -> Result<(), Error> {
        self.end_call(tid, CallResult::None)?;
        let who = self.who(tid);
        let was_known = self.tracees.remove(tid).is_some();
        if was_known && self.scope.reports_life() {
            self.outbox.push(&TraceEvent::Ended { who, status })
        } else {
            Ok(())
        }
    }

    pub(super) fn signal(&mut self, tid: i32, signal: i32) -> Result<(), Error> {
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
}
