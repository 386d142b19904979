//! Large programs under a full trace do what they do without.

use crate::support::{Scratch, run};
use hotcell_protocol::trace::TracedCalls;
use hotcell_protocol::{FileRules, OnViolation, TraceConfig};
use std::process::Command;

/// Everything that there is at once: every call traced, every file judged, all of it learned.
fn everything() -> TraceConfig {
    let all = || vec!["/**".to_owned()];
    let files = FileRules { read: all(), write: all(), stat: all(), execute: all() };
    let calls = TracedCalls::All;
    TraceConfig { files: Some(files), on_violation: OnViolation::Kill, calls, learn: true, ..TraceConfig::default() }
}

fn same(argv: &[&str], at_least: usize) {
    let plain = Command::new(argv[0]).args(&argv[1..]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").output();
    let Ok(plain) = plain else {
        eprintln!("skipped: no {}", argv[0]);
        return;
    };
    let outcome = run(&everything(), argv);
    assert_eq!(outcome.output, String::from_utf8_lossy(&plain.stdout), "{argv:?}");
    assert_eq!(outcome.exit_code(), plain.status.code(), "{argv:?}");
    assert_eq!(outcome.summary.violations, 0);
    assert_eq!(outcome.summary.lost, 0);
    assert!(outcome.calls().len() >= at_least, "{}", outcome.calls().len());
}

#[test]
fn python() {
    let script = "import json, subprocess, threading, os\n\
                  t = [threading.Thread(target=lambda: os.stat('/')) for _ in range(8)]\n\
                  [x.start() for x in t]; [x.join() for x in t]\n\
                  print(json.dumps(sorted(os.environ)), subprocess.check_output(['/bin/echo', 'hi']))\n\
                  raise SystemExit(3)";
    same(&["/usr/bin/python3", "-c", script], 500);
}

#[test]
fn a_compiler() {
    let scratch = Scratch::new();
    let source = scratch.file("a.c", "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n");
    let program = scratch.path("a");
    same(&["gcc", "-O2", "-o", &program, &source], 500);
    same(&[&program], 20);
    same(&["gcc", "-o", &program, "/nonexistent.c"], 20);
}

#[test]
fn node() {
    let script = "const {Worker} = require('worker_threads'); \
                  new Worker(`console.log('worker')`, {eval: true}).on('exit', () => { \
                  console.log(require('fs').readdirSync('/').length > 3); process.exitCode = 5; })";
    same(&["node", "-e", script], 500);
}

#[test]
fn a_shell_with_pipes() {
    same(&["/bin/sh", "-c", "seq 1 1000 | while read x; do echo $x; done | tail -n 2; exit 9"], 2000);
}
