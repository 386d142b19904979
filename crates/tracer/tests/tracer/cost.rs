//! What supervision costs. `cargo test --release -p hotcell-tracer --test tracer -- --ignored --nocapture cost` measures and prints.

use crate::support::{Extra, filter, policy, program, start};
use hotcell_protocol::trace::TracedCalls;
use hotcell_protocol::{OnViolation, TraceConfig};
use std::os::unix::process::CommandExt;
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

#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument for both system calls")]
/// Without a supervisor, but with a filter, as every run in a container has one.
fn filtered(count: &str) {
    let filter = filter(&[], Extra::default());
    let mut command = Command::new(program());
    command.args(["getppid", count]);
    // SAFETY: two system calls between fork and exec, with memory copied from here.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
            Ok(())
        });
    }
    assert!(command.status().unwrap().success());
}

/// The bars of the project: 1.1 at most, and 2 at least.
///
/// The first is about what the supervisor adds. The filter takes some 40 ns a call, which is a quarter of the shortest call there is, with or without a
/// supervisor. The second depends on where the scheduler puts strace and its tracee: on two processors it is 3 to 7, on one 1.4.
#[test]
#[ignore = "measures; for a quiet machine"]
fn of_watching_files_and_of_tracing_everything() {
    let files = policy(OnViolation::Deny, &[]);
    let full = TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() };
    let program = program().to_str().unwrap();
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let plain = timed(|| {
            assert!(Command::new(program).args(["getppid", "1000000"]).status().unwrap().success());
        });
        let filtered = timed(|| filtered("1000000"));
        let watched = timed(|| supervised(&files, "1000000", Extra::default()));
        let traced = timed(|| supervised(&full, "100000", Extra::default()));
        let strace = timed(|| {
            let mut command = Command::new("strace");
            command.args(["-f", "-o", "/dev/null", program, "getppid", "100000"]).stdout(Stdio::null());
            assert!(command.status().unwrap().success());
        });
        for (times, time) in times.iter_mut().zip([plain, filtered, watched, traced, strace]) {
            times.push(time);
        }
        eprintln!(
            "plain {plain:.3?}, filtered {filtered:.3?}, files watched {watched:.3?}; traced {traced:.3?}, strace {strace:.3?}"
        );
    }
    let [plain, filtered, watched, traced, strace] = times.map(median);
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let (over_plain, over_filtered) = (ratio(watched, plain), ratio(watched, filtered));
    eprintln!(
        "1,000,000 untraced calls: {over_filtered:.3} times as long as with a filter, {over_plain:.3} as without"
    );
    eprintln!("100,000 traced calls: {:.2} times as fast as strace", ratio(strace, traced));
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
    let words = [program().to_str().unwrap(), "getppid", "20000"];
    let outcome = start(&full, &words, Extra { is_slow: true, ..Extra::default() }).finish();
    assert_eq!(outcome.summary.lost, 0);
    assert!(outcome.calls().len() > 20000);
    let dropping = TraceConfig { overflow: hotcell_protocol::trace::Overflow::Drop, ..full };
    let outcome = start(&dropping, &words, Extra { is_slow: true, ..Extra::default() }).finish();
    assert!(outcome.summary.lost > 0);
    let lost = |event| if let hotcell_protocol::TraceEvent::Lost(count) = event { count } else { 0 };
    let told: u64 = outcome.events().into_iter().map(lost).sum();
    assert_eq!(told, outcome.summary.lost);
    let (count, lost) = (outcome.summary.calls.iter().map(|call| call.count).sum::<u64>(), outcome.summary.lost);
    assert!(count <= outcome.calls().len() as u64 + lost, "counted all the same");
}
