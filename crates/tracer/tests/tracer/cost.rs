//! What supervision costs. `cargo test --release -p hotcell-tracer --test tracer -- --ignored --nocapture cost` measures and prints.

use crate::support::{Extra, policy, program, start};
use hotcell_protocol::trace::TracedCalls;
use hotcell_protocol::{OnViolation, TraceConfig};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

fn supervised(config: &TraceConfig, count: &str, extra: Extra) {
    let words = [program().to_str().unwrap(), "getppid", count];
    assert_eq!(start(config, &words, extra).finish().exit_code(), Some(0));
}

/// The bars of the project: 1.1 at most, and 2 at least.
#[test]
#[ignore = "measures; for a quiet machine"]
fn of_watching_files_and_of_tracing_everything() {
    let files = policy(OnViolation::Deny, &[]);
    let full = TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() };
    let program = program().to_str().unwrap();
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let plain = timed(|| {
            assert!(Command::new(program).args(["getppid", "1000000"]).status().unwrap().success());
        });
        let watched = timed(|| supervised(&files, "1000000", Extra::default()));
        let traced = timed(|| supervised(&full, "100000", Extra::default()));
        let strace = timed(|| {
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", program, "getppid", "100000"]).stdout(Stdio::null());
            assert!(command.status().unwrap().success());
        });
        for (times, time) in times.iter_mut().zip([plain, watched, traced, strace]) {
            times.push(time);
        }
        eprintln!("plain {plain:.3?}, files watched {watched:.3?}; traced {traced:.3?}, strace {strace:.3?}");
    }
    let [plain, watched, traced, strace] = times.map(median);
    eprintln!("1,000,000 untraced calls: {:.3} times as long", watched.as_secs_f64() / plain.as_secs_f64());
    eprintln!("100,000 traced calls: {:.2} times as fast as strace", strace.as_secs_f64() / traced.as_secs_f64());
}
