//! Traced runs, without Node: what is asked for arrives, and the container outlives its supervisors.

use crate::support::{container, exit_code, in_its_own_process, open_descriptors, sh, until};
use hotcell_host::blocking::Container;
use hotcell_host::protocol::trace::{TracedCalls, split_batch};
use hotcell_host::protocol::{
    FileOperation, FileRules, OnViolation, Step, TraceConfig, TraceEvent, TraceSummary, Verdict,
};
use hotcell_host::trace::{Frame, Frames, Trace, Tracing, pipe};
use hotcell_host::tracer::{Learned, calls};
use hotcell_host::{Error, Outcome, Program};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// What came through a pipe.
#[derive(Default)]
struct Told {
    calls: Vec<u32>,
    violations: Vec<(FileOperation, String)>,
    summary: Option<TraceSummary>,
    learned: Option<Learned>,
}

/// Reads until there is no more; the other end is closed by then, but for copies on their way into programs.
fn read(ours: OwnedFd) -> Told {
    let (mut told, mut frames, mut buffer) = (Told::default(), Frames::default(), vec![0; 65536]);
    let mut file = File::from(ours);
    while let Ok(length @ 1..) = file.read(&mut buffer) {
        let each = |frame: Frame<'_>| match frame {
            Frame::Events(batch) => {
                for event in split_batch(batch).map(Result::unwrap) {
                    match event {
                        TraceEvent::Call(call) => told.calls.push(call.call),
                        TraceEvent::Violation(violation) => {
                            let path = String::from_utf8_lossy(violation.path).into_owned();
                            told.violations.push((violation.operation, path));
                        }
                        _ => {}
                    }
                }
            }
            Frame::Summary(summary) => told.summary = Some(summary),
            Frame::Learned(learned) => told.learned = Some(learned),
        };
        frames.push(&buffer[..length], each).unwrap();
    }
    told
}

/// A run that tells less than a pipe holds.
fn traced(container: &Container, args: &[u8], config: TraceConfig) -> (Result<Outcome, Error>, Told) {
    let tracing = Tracing::new(config).unwrap();
    let (ours, theirs) = pipe().unwrap();
    let trace = Some(Trace { tracing, events: theirs.as_fd() });
    let outcome = container.execve(Program { trace, ..Program::new(args) }, &[]);
    drop(theirs);
    (outcome, read(ours))
}

#[test]
fn calls_and_violations_arrive_and_end_a_run_only_if_they_are_to() {
    let Some(container) = container() else { return };
    let getppid = calls::number("getppid").unwrap();
    let config = TraceConfig { calls: TracedCalls::These(vec![getppid]), ..TraceConfig::default() };
    let (outcome, told) = traced(&container, b"sh\0-c\0exit 3\0", config);
    assert_eq!(exit_code(&outcome.unwrap()), 3);
    let summary = told.summary.unwrap();
    assert!(told.calls.iter().all(|call| *call == getppid));
    assert_eq!(summary.calls.iter().map(|counted| counted.count).sum::<u64>(), told.calls.len() as u64);

    let read = ["/usr/**", "/lib/**", "/lib64/**", "/etc/ld.so.cache"].map(str::to_owned).to_vec();
    let files = || Some(FileRules { read: read.clone(), ..FileRules::default() });
    for (on_violation, verdict) in
        [(OnViolation::Deny, Verdict::Exited(1)), (OnViolation::Kill, Verdict::DisallowedFile)]
    {
        let config = TraceConfig { files: files(), on_violation, ..TraceConfig::default() };
        let (outcome, told) = traced(&container, b"cat\0/dev/null\0", config);
        assert_eq!(outcome.unwrap().verdict, verdict);
        assert_eq!(told.violations, [(FileOperation::Read, "/dev/null".to_owned())]);
        let fatal = told.summary.unwrap().fatal.map(|fatal| fatal.path);
        assert_eq!(fatal, (on_violation == OnViolation::Kill).then(|| b"/dev/null".to_vec()));
    }
    assert_eq!(exit_code(&sh(&container, "exit 4")), 4);
}

#[test]
fn what_was_learned_names_the_program_and_its_loader() {
    let Some(container) = container() else { return };
    let (outcome, told) =
        traced(&container, b"cat\0/usr/bin/env\0", TraceConfig { learn: true, ..TraceConfig::default() });
    assert_eq!(exit_code(&outcome.unwrap()), 0);
    let learned = told.learned.unwrap();
    let rules = learned.landlock(Default::default());
    assert!(rules.execute.iter().any(|path| path.ends_with("/cat") || path.ends_with("/coreutils")), "{rules:?}");
    assert!(rules.execute.iter().any(|path| path.contains("ld-")), "{rules:?}");
    assert!(learned.calls().any(|call| call == "openat"));
}

#[test]
fn a_rule_that_is_none_is_refused_before_anything_runs() {
    let files = Some(FileRules { read: vec!["w".into()], ..FileRules::default() });
    assert!(matches!(Tracing::new(TraceConfig { files, ..TraceConfig::default() }), Err(Error::ReadRules(_))));
}

#[test]
fn a_run_whose_supervisor_is_killed_fails_and_the_container_goes_on() {
    // It counts descriptors.
    if !in_its_own_process("tracing::a_run_whose_supervisor_is_killed_fails_and_the_container_goes_on") {
        return;
    }
    let Some(container) = container() else { return };
    let tracing = Tracing::new(TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() }).unwrap();
    let before = open_descriptors();
    for _ in 0..5 {
        let (ours, theirs) = pipe().unwrap();
        let trace = Some(Trace { tracing: tracing.clone(), events: theirs.as_fd() });
        let program = Program { trace, ..Program::new(b"sleep\x00100\0") };
        let id = container.master().execve(program, &[], container.sink());
        drop(theirs);
        let supervisor = || {
            let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.pid())).unwrap();
            list.split_ascii_whitespace().map(|pid| pid.parse::<i32>().unwrap()).find(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "hotcell-trace")
            })
        };
        until("a supervisor", || supervisor().is_some());
        // SAFETY: no memory involved.
        unsafe { libc::kill(supervisor().unwrap(), libc::SIGKILL) };
        let Err(Error::Perform(failure)) = container.ended(id) else { panic!("it goes on without") };
        assert!(matches!(failure.step, Step::Supervise | Step::StartSupervisor), "{failure:?}");
        drop(read(ours));
    }
    assert_eq!(exit_code(&sh(&container, "exit 5")), 5);
    until("as many descriptors as before", || open_descriptors() == before);
}
