//! Ways out of the supervisor's sight, and that they lead nowhere (SECURITY-CASES.md, E20 and E21).

use crate::support::{Extra, Scratch, act, policy, program, start};
use hotcell_protocol::{OnViolation, TraceEvent};
use hotcell_tracer::calls;

fn refused(outcome: &crate::support::Outcome) -> Vec<(&'static str, u16)> {
    let refused = |event| match event {
        TraceEvent::Refused { call, errno, .. } => Some((calls::name(call).unwrap_or("?"), errno)),
        _ => None,
    };
    outcome.events().into_iter().filter_map(refused).collect()
}

#[test]
fn whoever_the_program_makes_is_watched() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let open = ["open", file.as_str(), "r"];
    for who in [
        &["fork"][..],
        &["vfork"],
        &["untraced"],
        &["thread"],
        &["leaderless"],
        &["fork", "vfork", "untraced", "fork", "thread"],
    ] {
        let outcome = act(&policy(OnViolation::Deny, &[]), &[who, &open].concat());
        assert_eq!(outcome.output, "open EACCES\n", "{who:?}");
        assert_eq!(outcome.complaints(), [format!("read {file}")], "{who:?}");
        let outcome = act(&policy(OnViolation::Kill, &[]), &[who, &open].concat());
        assert_eq!((outcome.output.as_str(), outcome.signal()), ("", Some(libc::SIGKILL)), "{who:?}");
        assert_eq!(outcome.complaints(), [format!("read {file}")], "{who:?}");
    }
}

#[test]
fn clone3_cannot_make_what_is_not_watched() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let outcome = act(&policy(OnViolation::Deny, &[]), &["clone3", "open", &file, "r"]);
    assert_eq!(outcome.output, "clone3 ENOSYS\nopen EACCES\n");
    assert_eq!(refused(&outcome), [("clone3", libc::ENOSYS as u16)]);
    // Where nothing is to be changed it can; the kernel then has nobody to ask about the child's calls, and refuses them.
    let outcome = act(&policy(OnViolation::Log, &[]), &["clone3", "open", &file, "r"]);
    assert_eq!(outcome.output.lines().last(), Some("open ENOSYS"));
    assert_eq!(refused(&outcome), [("clone3", 0)]);
}

#[test]
fn io_uring_listeners_and_foreign_numbers_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let words = ["uring", "listener", "int80", "x32", "open", &file, "r"];
    let outcome = act(&policy(OnViolation::Deny, &[]), &words);
    assert_eq!(outcome.output, "uring ENOSYS\nlistener EINVAL\nint80 ENOSYS\nx32 ENOSYS\nopen EACCES\n");
    assert_eq!(refused(&outcome).len(), 4);
}

#[test]
fn with_the_supervisor_every_process_of_the_run_dies() {
    let config = policy(OnViolation::Deny, &[]);
    let words = [program().to_str().unwrap(), "fork", "fork", "stat", "/", "hang"];
    let mut running = start(&config, &words, Extra::default());
    // All three processes are there by now.
    assert_eq!(running.line(), "stat 0");
    // SAFETY: a process of this test's.
    unsafe { libc::kill(running.supervisor, libc::SIGKILL) };
    // Every holder of the pipe is gone, or this would never return.
    let status = running.gone();
    assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
}

#[test]
fn a_program_that_is_killed_at_any_moment_ends_the_supervision() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let config = policy(OnViolation::Deny, &[]);
    for _ in 0..20 {
        let opens: Vec<&str> = ["open", file.as_str(), "r"].repeat(200);
        let words = [&[program().to_str().unwrap(), "stat", "/", "thread"][..], &opens].concat();
        let mut running = start(&config, &words, Extra::default());
        running.line();
        // SAFETY: a process of this test's, not reaped yet.
        unsafe { libc::kill(running.pid, libc::SIGKILL) };
        let outcome = running.finish();
        assert!(outcome.signal() == Some(libc::SIGKILL) || outcome.exit_code() == Some(0));
    }
}

#[test]
fn whose_parent_is_killed_before_it_could_tell_goes_on() {
    let config = policy(OnViolation::Deny, &[]);
    for _ in 0..20 {
        let words = [program().to_str().unwrap(), "stat", "/", "many", "60", "stat", "/"];
        let mut running = start(&config, &words, Extra::default());
        running.line();
        // SAFETY: a process of this test's, not reaped yet.
        unsafe { libc::kill(running.pid, libc::SIGKILL) };
        let outcome = running.finish();
        // Whoever was made did what it was made for.
        assert_eq!(outcome.output.lines().count(), outcome.summary.threads as usize - 1);
    }
}

/// What no tracer can prevent: another process changes the path between our look and the kernel's. How often it succeeds is told, not asserted:
/// the boundary for that is Landlock.
#[test]
fn a_race_for_the_path_is_won_now_and_then() {
    let scratch = Scratch::new();
    let (good, bad) = (scratch.file("a/good", "harmless"), scratch.file("b/evil", "secret"));
    let outcome =
        act(&policy(OnViolation::Deny, &[("read", &good), ("write", "/dev/null")]), &["race", &good, &bad, "2000"]);
    eprintln!("{} ({} times denied)", outcome.output.trim(), outcome.summary.violations);
    assert!(outcome.output.starts_with("leaked "));
    assert_eq!(outcome.exit_code(), Some(0));
}
