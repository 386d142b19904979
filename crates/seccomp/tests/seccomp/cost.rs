//! What filters cost, printed: `cargo test --release -p hotcell-seccomp -- cost --nocapture`.

use crate::oci::MOBY;
use crate::support::{Filter, Shared, call, here, nr, pass, wait_for_death};
use hotcell_seccomp::oci::{Context, KernelVersion, parse};
use hotcell_seccomp::{KillAs, Options, Policy, Profile, Settings, compile};
use std::time::Instant;

const CALLS: u32 = 20_000;

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Nanoseconds that installing takes, then of a call that is allowed at once, and of one whose arguments are looked at.
fn measure(filter: Option<Filter>) -> [i64; 3] {
    let shared = Shared::new(5);
    // SAFETY: raw calls only, and killed in the end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let start = Instant::now();
        let installed = filter.is_none_or(|filter| filter.install().is_ok());
        shared.store(2, start.elapsed().as_nanos() as i64);
        for (index, name) in [(3, "getppid"), (4, "ioctl")] {
            let (number, start) = (nr(name), Instant::now());
            for _ in 0..CALLS {
                call(number, [u64::MAX, 0, 0, 0, 0, 0]);
            }
            shared.store(index, start.elapsed().as_nanos() as i64 / i64::from(CALLS));
        }
        shared.store(1, if installed { 0 } else { i64::MIN });
        shared.store(0, 1);
        wait_for_death();
    }
    shared.reap(child, 0);
    [2, 3, 4].map(|index| shared.load(index))
}

fn report(what: &str, filter: Option<Filter>) {
    let rounds: Vec<[i64; 3]> = (0..15).map(|_| measure(filter)).collect();
    let [install, allowed, looked_at] =
        [0, 1, 2].map(|index| median(rounds.iter().map(|round| round[index]).collect()));
    eprintln!("{what:<20} install {:>4} µs, getppid {allowed:>4} ns, ioctl {looked_at:>4} ns", install / 1000);
}

fn time_to_compile(policy: &Policy, options: &Options) -> u128 {
    let start = Instant::now();
    for _ in 0..10 {
        compile(policy, here(), options).expect("it compiles");
    }
    start.elapsed().as_micros() / 10
}

#[test]
fn cost() {
    report("no filter", None);
    let init = Options { kill: KillAs::Notification, pass: Some(pass(here())), trace: None };
    for profile in Profile::ALL {
        // Under "strict" the measured calls kill.
        let Some(policy) = profile.policy(&Settings::default()).filter(|_| profile != Profile::Strict) else {
            continue;
        };
        report(profile.name(), Some(Filter::new(compile(&policy, here(), &Options::default()).expect("it compiles"))));
        report(
            &format!("{}, pass", profile.name()),
            Some(Filter::new(compile(&policy, here(), &init).expect("it compiles"))),
        );
        eprintln!("{:<20} compile {} µs", profile.name(), time_to_compile(&policy, &init));
    }
    let context = Context::new(here(), KernelVersion { major: 6, minor: 18 });
    let start = Instant::now();
    let policy = parse(MOBY, None, &context).expect("a good profile");
    eprintln!(
        "{:<20} parse {} µs, compile {} µs",
        "moby",
        start.elapsed().as_micros(),
        time_to_compile(&policy, &init)
    );
    report("moby", Some(Filter::new(compile(&policy, here(), &Options::default()).expect("it compiles"))));
}
