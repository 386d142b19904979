//! What a trace says about calls.

use crate::support::{Outcome, Scratch, act, program, run};
use hotcell_protocol::TraceConfig;
use hotcell_protocol::trace::{Argument, CallResult, TracedCall, TracedCalls};
use hotcell_tracer::calls;
use std::process::Command;

fn full() -> TraceConfig {
    TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() }
}

fn named<'a>(calls: &'a [TracedCall<'a>], name: &str) -> Vec<&'a TracedCall<'a>> {
    calls.iter().filter(|call| calls::name(call.call) == Some(name)).collect()
}

#[test]
fn arguments_and_results_are_decoded() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "some content");
    let absent = scratch.path("absent");
    let outcome =
        act(&full(), &["open", &file, "rw", "open", &absent, "r", "mkdir", &scratch.path("made"), "exit", "2"]);
    let calls = outcome.calls();
    let opens = named(&calls, "openat");
    let [.., first, second] = opens[..] else { panic!("two opens") };
    let expected = [
        Argument::Name("AT_FDCWD"),
        Argument::Text(file.as_bytes(), false),
        Argument::Name("O_RDWR"),
        Argument::Octal(0),
    ];
    assert_eq!(first.arguments.as_slice(), expected);
    assert!(matches!(first.result, CallResult::Value(fd) if fd >= 3));
    assert_eq!(second.result, CallResult::Error(libc::ENOENT as u16));
    assert!(first.start_ns + first.duration_ns <= second.start_ns && first.duration_ns > 0);
    let write = named(&calls, "write")[0];
    let expected = [Argument::Number(1), Argument::Bytes(b"open 0\n", 7), Argument::Number(7)];
    assert_eq!((write.arguments.as_slice(), write.result), (&expected[..], CallResult::Value(7)));
    // the ELF header of libc, of which 32 bytes are shown
    let read = named(&calls, "read")[0];
    let Argument::Bytes(shown, length) = read.arguments.as_slice()[1] else { panic!("{read:?}") };
    assert_eq!((&shown[..4], shown.len(), length), (&b"\x7fELF"[..], 32, 832));
    let exit = named(&calls, "exit_group")[0];
    assert_eq!((exit.arguments.as_slice(), exit.result), (&[Argument::Number(2)][..], CallResult::None));
    let execve = &calls[0];
    assert_eq!((calls::name(execve.call), execve.result), (Some("execve"), CallResult::Value(0)));
}

#[test]
fn a_summary_counts_every_call() {
    let outcome = act(&full(), &["getppid", "1000", "open", "/nonexistent", "r"]);
    let count = |name: &str| outcome.summary.calls.iter().find(|count| calls::name(count.call) == Some(name)).unwrap();
    assert_eq!((count("getppid").count, count("getppid").errors), (1000, 0));
    assert!(count("getppid").time_ns > 1000);
    assert!(count("openat").errors >= 1);
    let total: u64 = outcome.summary.calls.iter().map(|count| count.count).sum();
    assert_eq!(total as usize, outcome.calls().len());
}

#[test]
fn only_chosen_calls_are_reported() {
    let these = TracedCalls::These(vec![calls::number("openat").unwrap(), calls::number("close").unwrap()]);
    let outcome =
        act(&TraceConfig { calls: these, ..TraceConfig::default() }, &["getppid", "10", "fork", "open", "/", "r"]);
    let calls = outcome.calls();
    assert!(calls.iter().all(|call| matches!(calls::name(call.call), Some("openat" | "close"))));
    let last = calls.last().map(|call| calls::name(call.call));
    assert_eq!(last, Some(Some("close")));
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome.calls().iter().map(|call| calls::name(call.call).unwrap_or("?").to_owned()).collect()
}

/// The same program, once with strace: the same calls in the same order.
#[test]
fn the_order_is_that_of_strace() {
    let scratch = Scratch::new();
    let log = scratch.path("log");
    let (file, program) = (scratch.file("file", "x"), program().to_str().unwrap());
    let words = ["open", file.as_str(), "rw", "stat", "/", "readlink", "/proc/self/exe", "fork", "exit", "0"];
    let status = Command::new("strace")
        .args(["-o", log.as_str(), program])
        .args(words)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .output();
    let Ok(output) = status else {
        assert!(!std::env::var("HOTCELL_EXPECT").unwrap_or_default().contains("strace"));
        eprintln!("skipped: no strace");
        return;
    };
    assert!(output.status.success());
    let outcome = run(&full(), &[&[program], &words[..]].concat());
    let main = outcome.calls()[0].who.pid;
    let ours: Vec<_> = outcome.calls().iter().filter(|call| call.who.pid == main).map(|call| call.call).collect();
    let ours: Vec<_> = ours.into_iter().map(|call| calls::name(call).unwrap().to_owned()).collect();
    let log = std::fs::read_to_string(log).unwrap();
    let theirs: Vec<_> =
        log.lines().filter(|line| !line.starts_with(['+', '-'])).map(|line| line.split('(').next().unwrap()).collect();
    assert_eq!(ours, theirs);
    assert!(names(&outcome).len() > ours.len(), "the child's calls as well");
}

#[test]
fn what_was_learned_is_what_is_needed() {
    let scratch = Scratch::new();
    let (file, new) = (scratch.file("file", "x"), scratch.path("new"));
    let words = ["open", file.as_str(), "r", "open", &new, "c", "open", "/nonexistent", "r", "stat", "/etc"];
    let outcome = act(&TraceConfig { learn: true, ..TraceConfig::default() }, &words);
    let learned = outcome.learned.unwrap();
    let calls: Vec<_> = learned.calls().collect();
    for name in ["execve", "openat", "mmap", "write", "exit_group"] {
        assert!(calls.contains(&name), "{name} in {calls:?}");
    }
    assert!(!calls.contains(&"socket"));
    let rules = learned.file_rules(hotcell_tracer::learn::Generalise { files_per_directory: usize::MAX });
    assert!(rules.read.contains(&file) && rules.write.contains(&new) && rules.stat.contains(&"/etc".to_owned()));
    assert!(rules.execute.contains(&program().canonicalize().unwrap().to_str().unwrap().to_owned()));
    assert!(!rules.read.iter().any(|path| path.contains("nonexistent")));
    let landlock = learned.landlock(hotcell_tracer::learn::Generalise::default());
    assert_eq!(landlock.write, [scratch.path("").trim_end_matches('/')]);
    // With exactly that, and death for anything else, it does the same again.
    std::fs::remove_file(&new).unwrap();
    let config =
        TraceConfig { files: Some(rules), on_violation: hotcell_protocol::OnViolation::Kill, ..TraceConfig::default() };
    let again = act(&config, &words);
    assert_eq!((again.complaints(), again.output), (Vec::new(), outcome.output));
    assert!(serde_json::to_string(&learned.oci_seccomp()).unwrap().contains("\"defaultAction\":\"SCMP_ACT_ERRNO\""));
}
