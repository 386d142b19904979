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

/// How much a call takes that is judged, by how its path is resolved. Not less than a stop.
#[test]
#[ignore = "measures; for a quiet machine"]
fn of_a_judged_path() {
    const COUNT: u32 = 20_000;
    let config = policy(OnViolation::Deny, &[("stat", "/**")]);
    for path in ["/usr/lib/os-release", "/usr/lib/x/absent", "/proc/self/status", "/"] {
        let program = program().to_str().unwrap();
        let one = |count: u32| {
            let count = count.to_string();
            let words = [program, "stats", &count, path];
            timed(|| assert_eq!(start(&config, &words, Extra::default()).finish().exit_code(), Some(0)))
        };
        let times = (0..ROUNDS).map(|_| one(COUNT).saturating_sub(one(0))).collect();
        eprintln!("{path}: {:.1} µs a call", median(times).as_secs_f64() * 1e6 / f64::from(COUNT));
    }
}

/// Where the receiver takes its time, the program waits for it, and nothing is lost.
#[test]
fn of_a_slow_receiver_is_the_programs_time() {
    let full = TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() };
    let words = [program().to_str().unwrap(), "getppid", "3000"];
    let outcome = start(&full, &words, Extra { is_slow: true, ..Extra::default() }).finish();
    assert_eq!(outcome.summary.lost, 0);
    assert!(outcome.calls().len() > 3000);
    let dropping = TraceConfig { overflow: hotcell_protocol::trace::Overflow::Drop, ..full };
    let outcome = start(&dropping, &words, Extra { is_slow: true, ..Extra::default() }).finish();
    assert!(outcome.summary.lost > 0);
    let lost = |event| if let hotcell_protocol::TraceEvent::Lost(count) = event { count } else { 0 };
    let told: u64 = outcome.events().into_iter().map(lost).sum();
    assert_eq!(told, outcome.summary.lost);
    let (count, lost) = (outcome.summary.calls.iter().map(|call| call.count).sum::<u64>(), outcome.summary.lost);
    assert!(count <= outcome.calls().len() as u64 + lost, "counted all the same");
}
