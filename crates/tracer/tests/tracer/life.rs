//! Processes, threads and signals behave as they do without a supervisor.

use crate::support::{Extra, Scratch, act, policy, program, start};
use hotcell_protocol::trace::TracedCalls;
use hotcell_protocol::{OnViolation, TraceConfig, TraceEvent};
use hotcell_tracer::calls;
use std::process::Command;

fn full() -> TraceConfig {
    TraceConfig { calls: TracedCalls::All, ..policy(OnViolation::Log, &[]) }
}

#[test]
fn stopping_and_continuing_is_seen_by_the_parent_as_ever() {
    for config in [policy(OnViolation::Log, &[]), full()] {
        let outcome = act(&config, &["stop", "fork", "stop"]);
        let once = "stopped 0\ncontinued 0\nexited 0\n";
        assert_eq!(outcome.output, [once, once].concat());
    }
}

#[test]
fn signals_interrupt_and_restart_calls_as_ever() {
    for config in [policy(OnViolation::Log, &[]), full()] {
        let outcome = act(&config, &["alarm", "fork", "alarm"]);
        assert_eq!(outcome.output, "interrupted EINTR\nrestarted 0\ninterrupted EINTR\nrestarted 0\n");
    }
}

#[test]
fn a_thread_that_executes_a_program_becomes_its_process() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let words = ["exec-in-thread", program().to_str().unwrap(), "open", &file, "r", "exit", "4"];
    let rules = [("execute", program().to_str().unwrap()), ("stat", "/")];
    let outcome = act(&policy(OnViolation::Deny, &rules), &words);
    assert_eq!((outcome.output.as_str(), outcome.exit_code()), ("open EACCES\n", Some(4)));
    let outcome = act(&full(), &words);
    assert_eq!(outcome.exit_code(), Some(4));
    let calls = outcome.calls();
    let position = calls.iter().rposition(|call| calls::name(call.call) == Some("execve")).unwrap();
    let execve = &calls[position];
    assert_eq!(execve.result, hotcell_protocol::trace::CallResult::Value(0));
    // whoever called it, it is the process by the time that it returns
    assert!(calls[position..].iter().all(|call| call.who.tid == execve.who.pid));
}

#[test]
fn a_process_goes_on_without_its_leader() {
    for config in [policy(OnViolation::Log, &[]), full()] {
        let outcome = act(&config, &["leaderless", "stat", "/"]);
        assert_eq!((outcome.output.as_str(), outcome.exit_code()), ("stat 0\n", Some(7)));
    }
}

#[test]
fn two_hundred_processes_are_all_followed() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let outcome = act(&policy(OnViolation::Deny, &[]), &["many", "200", "thread", "open", &file, "r"]);
    assert_eq!(outcome.exit_code(), Some(0));
    assert_eq!(outcome.summary.violations, 200);
    assert_eq!(outcome.output, "open EACCES\n".repeat(200));
    assert!(outcome.summary.threads >= 201, "{}", outcome.summary.threads);
}

#[test]
fn beginnings_and_ends_are_told() {
    let outcome = act(&full(), &["fork", "thread", "exit", "3"]);
    let main = outcome.calls()[0].who.pid;
    let mut started = Vec::new();
    let mut ended = Vec::new();
    for event in outcome.events() {
        match event {
            TraceEvent::Started { who, parent } => started.push((who, parent)),
            TraceEvent::Ended { who, status } => ended.push((who, status)),
            _ => {}
        }
    }
    let [(child, of), (thread, of_child)] = started[..] else { panic!("{started:?}") };
    assert_eq!((of, of_child, child.pid, thread.pid), (main, child.pid, child.tid, child.pid));
    assert_ne!(thread.tid, thread.pid);
    assert_eq!(ended.len(), 3);
    assert_eq!(ended.last().map(|(who, status)| (who.pid, *status)), Some((main, 0)));
}

#[test]
fn an_end_by_a_filter_is_told_with_the_call() {
    let config = policy(OnViolation::Deny, &[]);
    for (action, expected) in [
        (libc::SECCOMP_RET_KILL_PROCESS, &[true][..]),
        (libc::SECCOMP_RET_KILL_THREAD, &[true]),
        // first the signal, which could have had a handler, then the end
        (libc::SECCOMP_RET_TRAP, &[false, true]),
    ] {
        let words = [program().to_str().unwrap(), "forbidden"];
        let outcome = start(&config, &words, Extra { call: Some("sysinfo"), action, ..Extra::default() }).finish();
        assert_eq!(outcome.signal(), Some(libc::SIGSYS), "{action:x}");
        let disallowed = |event| if let TraceEvent::Disallowed(call) = event { Some(call) } else { None };
        let told: Vec<_> = outcome.events().into_iter().filter_map(disallowed).collect();
        assert!(told.iter().map(|call| call.is_fatal).eq(expected.iter().copied()), "{action:x}");
        for call in &told {
            assert_eq!((calls::name(call.call), &call.arguments[..3]), (Some("sysinfo"), &[1, 2, 3][..]));
        }
        assert_eq!(outcome.summary.disallowed, told.last().copied());
    }
    // in a thread, while the others wait
    let words = [program().to_str().unwrap(), "thread", "forbidden"];
    let extra = Extra { call: Some("sysinfo"), action: libc::SECCOMP_RET_KILL_PROCESS, ..Extra::default() };
    let outcome = start(&config, &words, extra).finish();
    assert_eq!(outcome.summary.disallowed.and_then(|call| calls::name(call.call)), Some("sysinfo"));
    // whoever sends himself the signal was not ended by a filter
    let outcome = act(&config, &["sigsys"]);
    assert_eq!((outcome.signal(), outcome.summary.disallowed), (Some(libc::SIGSYS), None));
}

#[test]
fn nobody_sees_where_a_thread_was_bound_to() {
    let plain = Command::new(program()).arg("cpus").output().unwrap();
    let outcome = act(&full(), &["getppid", "2000", "cpus", "getppid", "2000", "fork", "cpus"]);
    let seen = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(outcome.output, seen.repeat(2));
    let words = ["many-then-exec-in-thread", "500", program().to_str().unwrap(), "cpus"];
    assert_eq!(act(&full(), &words).output, seen);
    assert_eq!(act(&policy(OnViolation::Log, &[]), &["stats", "500", "/", "fork", "cpus"]).output, seen);
}

#[test]
fn who_cannot_be_traced_is_an_error() {
    let mut supervisor = hotcell_tracer::Supervisor::new(&TraceConfig::default(), None, Vec::new()).unwrap();
    let error = supervisor.seize(i32::MAX).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ESRCH));
    let learn = TraceConfig { learn: true, ..TraceConfig::default() };
    assert!(matches!(hotcell_tracer::Supervisor::new(&learn, None, Vec::new()), Err(hotcell_tracer::Error::FindProc)));
}

/// As it is in a container: the program is another user than its supervisor, with directories of its own that nobody else may enter.
#[test]
fn programs_of_another_user_are_followed() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !crate::support::is_root("programs_of_another_user_are_followed") {
        return;
    }
    let scratch = Scratch::new();
    let (file, copy) = (scratch.file("private/file", ""), scratch.path("act"));
    std::fs::copy(program(), &copy).unwrap();
    let (uid, private) = (54321, scratch.path("private"));
    for path in [&private, &file] {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
    std::fs::set_permissions(private, PermissionsExt::from_mode(0o700)).unwrap();
    let words =
        [&copy, "getppid", "1000", "fork", "open", &file, "r", "open", "/etc/shadow", "r", "stat", "/proc/self/exe"];
    for (config, first) in [(policy(OnViolation::Deny, &[]), "EACCES"), (full(), "0")] {
        let outcome = start(&config, &words, Extra { uid: Some(uid), ..Extra::default() }).finish();
        assert_eq!(outcome.output.lines().next(), Some(format!("open {first}").as_str()));
        assert_eq!(outcome.complaints()[..2], [format!("read {file}"), "read /etc/shadow".into()]);
    }
}
