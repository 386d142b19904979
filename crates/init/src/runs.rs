//! The runs in flight, and what becomes of each.
//!
//! Runs in pid 1. A run lasts from its clone until its last process is gone, and is reported then. Its main process is known by pid
//! (ours to reap, so the number cannot be reused before), every other process of it by a tag that no program can change, see
//! [`crate::sweep`].

use crate::exec::{Child, Limits};
use crate::groups::Group;
use crate::slots::Slot;
use crate::sweep::Tag;
use crate::timeline::Timeline;
use crate::trace::Trace;
use crate::tty::Terminal;
use crate::watch::{Breach, Watch};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::process::{ChildUsage, Reaped, monotonic_us};
use hotcell_protocol::{Disallowed, Failure, Outcome, RLimit, ReplyBody, Step, Usage, Verdict};
use std::rc::Rc;

/// Which part of RLIMIT_CPU must have been used for a signal to be that limit's: half.
///
/// The kernel enforces it by what it sampled at timer ticks, and reports what it measured exactly. On processors that are busy with
/// others, or stolen by a hypervisor, a program that was charged a second may have run for 0.85. Whoever sends itself the signal after
/// half of its time gains nothing by the name of its failure.
const CPU_EVIDENCE_PART: u64 = 2;

/// One run.
pub struct Run {
    /// The id of its request.
    pub id: u32,
    /// Its main process.
    pub child: Child,
    /// The thread that clones it, if not pid 1's main thread.
    pub slot: Option<Rc<Slot>>,
    /// What all its processes carry, and those of no other run in flight; with a slot it is that one's, see [`Run::is_tagged`].
    pub tag: Tag,
    /// `CLOCK_MONOTONIC` at the start of the clone, and how long it took until the program ran.
    pub started_us: u64,
    /// See above.
    pub setup_us: u64,
    /// The resource limits in force.
    pub limits: Limits,
    /// The limits that are ours to enforce.
    pub watch: Watch,
    /// The one that it has exceeded.
    pub breach: Option<Breach>,
    /// Whether to tell the host that the program runs.
    pub report_start: bool,
    /// Whether it was we who sent SIGKILL.
    pub killed: bool,
    /// Its main process was reaped: what to report once the last one is gone.
    pub end: Option<ReplyBody>,
    /// What those of its processes used that pid 1 has reaped, and that are known to be its own.
    pub orphans: ChildUsage,
    /// How often something was found that it had left.
    pub sweeps: u32,
    /// How often in a row nobody was found alive.
    pub quiet_sweeps: u32,
    /// Whether nothing of it is left.
    pub is_swept: bool,
    /// Whether its group was killed as a whole.
    pub group_killed: bool,
    /// Of a traced run.
    pub trace: Option<Trace>,
    /// Of one that has a terminal.
    pub terminal: Option<Terminal>,
    /// Of one that asked for it.
    pub timeline: Option<Timeline>,
}

impl Run {
    /// Where it is born, if not where pid 1 is.
    pub fn group(&self) -> Option<&Rc<Group>> {
        self.slot.as_ref().and_then(|slot| slot.group.as_ref())
    }

    /// Whether that is its tag. The one of a slot is known before there is anybody to carry it.
    pub fn is_tagged(&self, tag: &Tag) -> bool {
        match &self.slot {
            None => self.tag == *tag,
            Some(slot) => slot.forker.tag() == Some(tag),
        }
    }

    /// When it has to be looked at, for a limit or for a sample; `u64::MAX` for never.
    pub fn next_us(&self) -> u64 {
        let sample_us = self.timeline.as_ref().filter(|_| self.end.is_none()).map_or(u64::MAX, Timeline::next_us);
        self.watch.next_us().min(sample_us)
    }

    /// Takes note of the end of the main process.
    pub fn ended(&mut self, reaped: &Reaped, epoll: &Epoll) {
        let now = monotonic_us();
        self.watch.end();
        if self.setup_us == 0 && !self.child.has_sync_point() {
            let executed = self.child.executed_us().unwrap_or(now);
            self.setup_us = executed.min(now).saturating_sub(self.started_us);
        }
        self.end = Some(match self.child.over(epoll) {
            Some(failure) => ReplyBody::Failed(failure),
            None => ReplyBody::Ended(Outcome {
                disallowed: self.disallowed(),
                verdict: self.breach.and_then(verdict).unwrap_or_else(|| judge(reaped, &self.limits, self.killed)),
                usage: Usage {
                    user_us: reaped.usage.user_us,
                    system_us: reaped.usage.system_us,
                    wall_us: now.saturating_sub(self.started_us),
                    setup_us: self.setup_us,
                    max_rss_bytes: reaped.usage.max_rss_bytes,
                },
                group_killed: false,
                untouched: false,
            }),
        });
    }

    /// Whether that is its supervisor, which lives.
    pub fn is_supervised_by(&self, pid: i32) -> bool {
        self.supervisor() == Some(pid)
    }

    /// Whether all of it has been shown that was to be, when no process of it is left.
    pub fn is_shown(&mut self) -> bool {
        self.terminal.as_mut().is_none_or(Terminal::drain)
    }

    /// Its supervisor, while that lives. It is not over before.
    pub fn supervisor(&self) -> Option<i32> {
        self.trace.as_ref().and_then(Trace::living)
    }

    /// What to report, with what its leftovers used. Its terminal is closed.
    pub fn report(self) -> Option<ReplyBody> {
        let (end, orphans, group_killed) = (self.end, self.orphans, self.group_killed);
        // What we have ended ourselves is not judged by what its supervisor says of that.
        let trace = self.trace.filter(|_| self.breach.is_none() && !self.killed);
        let is_fatal = trace.as_ref().is_some_and(Trace::is_fatal);
        let untraced = trace.as_ref().and_then(Trace::failure).cloned();
        end.map(|end| match (end, untraced) {
            (ReplyBody::Ended(_), Some(failure)) => ReplyBody::Failed(failure),
            (ReplyBody::Ended(Outcome { verdict, usage, disallowed, .. }), None) => {
                let verdict = if is_fatal { Verdict::DisallowedFile } else { verdict };
                let usage = Usage {
                    user_us: usage.user_us + orphans.user_us,
                    system_us: usage.system_us + orphans.system_us,
                    max_rss_bytes: usage.max_rss_bytes.max(orphans.max_rss_bytes),
                    ..usage
                };
                ReplyBody::Ended(Outcome { verdict, usage, disallowed, group_killed, untouched: false })
            }
            (other, _) => other,
        })
    }

    /// What to report if there never was a child: the limit that it had exceeded before its turn came, or that it was killed; else why not.
    pub fn not_cloned(self, failure: Option<Failure>) -> ReplyBody {
        let failure = failure.unwrap_or_else(|| Failure::new(Step::CloneChild, libc::EAGAIN));
        let killed = (failure.errno == libc::ECANCELED).then_some(Verdict::Signaled(libc::SIGKILL as u8));
        let verdict = self.breach.and_then(verdict).or(killed);
        verdict.map_or(ReplyBody::Failed(failure), |verdict| unborn(verdict, self.started_us))
    }

    fn disallowed(&self) -> Option<Disallowed> {
        match self.breach {
            Some(Breach::Syscall(call)) => Some(call),
            _ => None,
        }
    }

    /// CPU time of its processes that pid 1 has inherited and reaped.
    pub fn reaped_us(&self) -> u64 {
        self.orphans.user_us + self.orphans.system_us
    }

    /// One of its processes that pid 1 has inherited was reaped.
    pub fn add_orphan(&mut self, usage: &ChildUsage) {
        self.orphans.user_us += usage.user_us;
        self.orphans.system_us += usage.system_us;
        self.orphans.max_rss_bytes = self.orphans.max_rss_bytes.max(usage.max_rss_bytes);
    }
}

/// The end of a run that was ended before its program was cloned.
pub fn unborn(verdict: Verdict, started_us: u64) -> ReplyBody {
    let wall_us = monotonic_us().saturating_sub(started_us);
    let usage = Usage { wall_us, setup_us: wall_us, ..Usage::default() };
    ReplyBody::Ended(Outcome { verdict, usage, disallowed: None, group_killed: false, untouched: false })
}

/// What a breach is called, if it is the whole reason.
fn verdict(breach: Breach) -> Option<Verdict> {
    match breach {
        Breach::WallTime => Some(Verdict::WallTimeLimit),
        Breach::CpuTime => Some(Verdict::CpuTimeLimit),
        Breach::Memory => Some(Verdict::MemoryLimit),
        Breach::Syscall(_) => Some(Verdict::DisallowedSyscall),
        Breach::Oom => None,
    }
}

/// The verdict by what happened: a signal that a limit sends counts as the limit only if that limit was there to reach.
fn judge(reaped: &Reaped, limits: &Limits, killed: bool) -> Verdict {
    let status = reaped.status;
    if libc::WIFEXITED(status) {
        return Verdict::Exited(libc::WEXITSTATUS(status) as u8);
    }
    let signal = libc::WTERMSIG(status);
    let cpu_us = reaped.usage.user_us + reaped.usage.system_us;
    let reached = |seconds: u64| {
        let limit_us = seconds.saturating_mul(1_000_000);
        seconds != RLimit::UNLIMITED && cpu_us >= limit_us / CPU_EVIDENCE_PART
    };
    match (signal, limits.cpu) {
        (libc::SIGXCPU, Some((soft, _))) if reached(soft) => Verdict::CpuTimeLimit,
        // at the hard limit, or where soft and hard are the same
        (libc::SIGKILL, Some((_, hard))) if !killed && reached(hard) => Verdict::CpuTimeLimit,
        (libc::SIGXFSZ, _) if limits.file_size => Verdict::FileSizeLimit,
        (libc::SIGSYS, _) => Verdict::DisallowedSyscall,
        _ => Verdict::Signaled(signal as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_linux::process::ChildUsage;

    fn killed_by(signal: i32, cpu_us: u64) -> Reaped {
        Reaped { pid: 2, status: signal, usage: ChildUsage { user_us: cpu_us, system_us: 0, max_rss_bytes: 0 } }
    }

    #[test]
    fn a_signal_is_a_verdict_only_with_evidence() {
        let one_second = Limits { cpu: Some((1, 2)), file_size: true };
        let none = Limits::default();
        for (signal, cpu_us, limits, killed, verdict) in [
            (libc::SIGXCPU, 1_000_000, one_second, false, Verdict::CpuTimeLimit),
            (libc::SIGXCPU, 10_000, one_second, false, Verdict::Signaled(libc::SIGXCPU as u8)),
            (libc::SIGXCPU, 1_000_000, none, false, Verdict::Signaled(libc::SIGXCPU as u8)),
            (libc::SIGKILL, 2_000_000, one_second, false, Verdict::CpuTimeLimit),
            (libc::SIGKILL, 2_000_000, one_second, true, Verdict::Signaled(libc::SIGKILL as u8)),
            (libc::SIGXCPU, 850_000, one_second, false, Verdict::CpuTimeLimit),
            (libc::SIGXCPU, 499_999, one_second, false, Verdict::Signaled(libc::SIGXCPU as u8)),
            (libc::SIGKILL, 999_999, one_second, false, Verdict::Signaled(libc::SIGKILL as u8)),
            (libc::SIGXFSZ, 0, one_second, false, Verdict::FileSizeLimit),
            (libc::SIGXFSZ, 0, none, false, Verdict::Signaled(libc::SIGXFSZ as u8)),
            (libc::SIGSYS, 0, none, false, Verdict::DisallowedSyscall),
            (libc::SIGSEGV, 0, none, false, Verdict::Signaled(libc::SIGSEGV as u8)),
        ] {
            assert_eq!(judge(&killed_by(signal, cpu_us), &limits, killed), verdict, "{signal} {cpu_us}");
        }
    }

    #[test]
    fn an_exit_code_is_itself() {
        let reaped = Reaped { pid: 2, status: 3 << 8, usage: ChildUsage::default() };
        assert_eq!(judge(&reaped, &Limits::default(), false), Verdict::Exited(3));
    }
}
