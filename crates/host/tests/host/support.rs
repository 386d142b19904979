//! What the tests share: a container or a named skip, and the state of this process as the kernel has it.

use hotcell_host::Outcome;
use hotcell_host::blocking::Container;
use hotcell_host::protocol::Verdict;
use hotcell_host::{Error, Event, Program, default_setup};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// A container with default options; `None`, said aloud, where this host has none.
pub fn container() -> Option<Container> {
    match Container::create(&default_setup()) {
        Ok(container) => Some(container),
        Err(error) => {
            let expected = std::env::var("HOTCELL_EXPECT").unwrap_or_default();
            assert!(!expected.split(',').any(|feature| feature == "container"), "expected a container: {error}");
            eprintln!("skipped, no container here: {error}");
            None
        }
    }
}

/// For a test that counts or kills what all containers of a process share: whether this is a process of its own. If not, one
/// is started for the test, and has passed when this returns.
pub fn in_its_own_process(test: &str) -> bool {
    const ALONE: &str = "HOTCELL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").status().unwrap();
    assert!(status.success(), "{test}: {status}");
    false
}

pub fn sh(container: &Container, script: &str) -> Outcome {
    container.execve(Program::new(format!("sh\0-c\0{script}\0").as_bytes()), &[]).unwrap()
}

pub fn exit_code(outcome: &Outcome) -> u8 {
    match outcome.verdict {
        Verdict::Exited(code) => code,
        other => panic!("expected an exit, got {other:?}"),
    }
}

pub fn output(container: &Container, script: &str) -> String {
    let collected = container.run(Program::new(format!("sh\0-c\0{script}\0").as_bytes()), &[], 1 << 20).unwrap();
    assert_eq!(
        collected.outcome.verdict,
        Verdict::Exited(0),
        "{script}: {}",
        String::from_utf8_lossy(&collected.stderr)
    );
    String::from_utf8(collected.stdout).unwrap().trim_end().to_owned()
}

pub fn failed(event: Event) -> Error {
    match event {
        Event::Failed(error) => error,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// Waits until a condition holds, for long at most.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Descriptors of this process.
pub fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Threads of this process that are ours.
pub fn reactor_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "hotcell-reactor").count()
}

/// The parent of a process, from /proc.
pub fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}
