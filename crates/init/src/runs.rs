//! The runs in flight, and what becomes of each.
//!
//! Runs in pid 1. A run lasts from its clone until its last process is gone, and is reported then. Its main process is known by pid
//! (ours to reap, so the number cannot be reused before), every other process of it by a tag that no program can change, see
//! [`crate::sweep`].

use crate::exec::{Limits, Waiting};
use crate::sweep::Tag;
use hotcell_linux::process::{Reaped, monotonic_us};
use hotcell_protocol::{Failure, Outcome, RLimit, ReplyBody, Usage, Verdict};

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
    pub pid: i32,
    /// What all its processes carry, and those of no other run in flight.
    pub tag: Tag,
    /// `CLOCK_MONOTONIC` at the start of the clone, and how long it took until the program ran.
    pub started_us: u64,
    /// See above.
    pub setup_us: u64,
    /// The limits in force.
    pub limits: Limits,
    /// For a run that was started beside others, or with a sync point: what its child reads until it executes the program.
    pub waiting: Option<Waiting>,
    /// Whether to tell the host that the program runs.
    pub report_start: bool,
    /// Whether it was we who sent SIGKILL.
    pub killed: bool,
    /// What to report once its last process is gone; set when the main process was reaped.
    pub end: Option<ReplyBody>,
    /// How often something was found that it had left.
    pub sweeps: u32,
    /// Whether nothing of it is left.
    pub is_swept: bool,
}

impl Run {
    /// Takes note of the end of the main process.
    pub fn ended(&mut self, reaped: &Reaped) {
        let failure: Option<Failure> = self.waiting.take().and_then(|waiting| waiting.failure());
        self.end = Some(match failure {
            Some(failure) => ReplyBody::Failed(failure),
            None => ReplyBody::Ended(Outcome {
                verdict: judge(reaped, &self.limits, self.killed),
                usage: Usage {
                    user_us: reaped.usage.user_us,
                    system_us: reaped.usage.system_us,
                    wall_us: monotonic_us().saturating_sub(self.started_us),
                    setup_us: self.setup_us,
                    max_rss_bytes: reaped.usage.max_rss_bytes,
                },
            }),
        });
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
