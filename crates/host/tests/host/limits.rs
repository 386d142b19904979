//! Limits, by whatever there is here to hold them with; `__test__/limits` has the whole of it.

use crate::support::container;
use hotcell_host::policy::Profile;
use hotcell_host::protocol::Verdict;
use hotcell_host::{
    Accounting, CgroupChoice, Error, Event, Limits, Program, Seccomp, blocking::Container, default_setup,
};
use std::sync::Arc;

fn limited<'a>(args: &'a [u8], limits: Limits) -> Program<'a> {
    Program { limits, ..Program::new(args) }
}

fn default_policy() -> Seccomp {
    Seccomp::profile(Profile::Default).unwrap()
}

const BUSY: &[u8] = b"sh\0-c\0while :; do :; done\0";

#[test]
fn time_is_limited() {
    let Some(container) = container() else { return };
    let cpu = Limits { cpu_us: Some(50_000), ..Limits::default() };
    let outcome = container.execve(limited(BUSY, cpu.clone()), &[]).unwrap();
    assert_eq!(outcome.verdict, Verdict::CpuTimeLimit);
    assert!(outcome.usage.user_us + outcome.usage.system_us > 50_000, "{:?}", outcome.usage);

    let wall = Limits { wall_us: Some(50_000), ..Limits::default() };
    let outcome = container.execve(limited(b"sleep\x0010\0", wall), &[]).unwrap();
    assert_eq!(outcome.verdict, Verdict::WallTimeLimit);
    assert!(outcome.usage.wall_us > 50_000, "{:?}", outcome.usage);

    // The same group serves the next run, which is counted from its own beginning.
    let outcome = container.execve(limited(b"true\0", cpu), &[]).unwrap();
    assert_eq!(outcome.verdict, Verdict::Exited(0));
    assert!(outcome.usage.user_us + outcome.usage.system_us < 50_000, "{:?}", outcome.usage);
}

#[test]
fn memory_and_processes_are_limited() {
    let Some(container) = container() else { return };
    let limits = Limits { memory_bytes: Some(32 << 20), processes: Some(8), ..Limits::default() };
    let hog = b"sh\0-c\0x=a; while :; do x=$x$x; done\0";
    let outcome = container.execve(limited(hog, limits.clone()), &[]).unwrap();
    assert_eq!(outcome.verdict, Verdict::MemoryLimit, "{:?}", outcome.usage);
    let bomb = b"sh\0-c\0for i in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; wait\0";
    let bombed = container.execve(limited(bomb, Limits { wall_us: Some(300_000), ..limits.clone() }), &[]).unwrap();
    assert!(matches!(bombed.verdict, Verdict::Exited(2) | Verdict::WallTimeLimit), "{bombed:?}");
    let fine = container.execve(limited(b"true\0", limits), &[]).unwrap();
    assert_eq!(fine.verdict, Verdict::Exited(0), "{fine:?}");
}

#[test]
fn overlapping_runs_are_limited_apart() {
    let Some(container) = container() else { return };
    let short = Limits { cpu_us: Some(30_000), ..Limits::default() };
    let long = Limits { cpu_us: Some(90_000), ..Limits::default() };
    let sink = Arc::clone(container.sink());
    let master = container.master();
    let ids = [&short, &long, &short].map(|limits| master.execve(limited(BUSY, limits.clone()), &[], &sink));
    for (id, least) in ids.into_iter().zip([30_000, 90_000, 30_000]) {
        let outcome = container.ended(id).unwrap();
        assert_eq!(outcome.verdict, Verdict::CpuTimeLimit);
        let used = outcome.usage.user_us + outcome.usage.system_us;
        assert!(used > least && used < least + 40_000, "{used} of {least}");
    }
}

#[test]
fn without_cgroups_what_can_be_held_is() {
    let Ok(container) = Container::create_in(&default_setup(), &CgroupChoice::Off, default_policy()) else { return };
    let limits = Limits { cpu_us: Some(50_000), memory_bytes: Some(64 << 20), processes: Some(8), ..Limits::default() };
    let outcome = container.execve(limited(BUSY, limits.clone()), &[]).unwrap();
    assert_eq!((outcome.verdict, outcome.usage.accounting), (Verdict::CpuTimeLimit, Accounting::Rusage));
    let rate = Limits { cpu_rate: Some(0.5), ..limits };
    match container.execve(limited(b"true\0", rate), &[]) {
        Err(Error::HoldLimit { limit: "cpuRate", .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resource_limit_that_cannot_be_set_is_named() {
    let Some(container) = container() else { return };
    let limits = Limits { open_files: Some(1 << 40), ..Limits::default() };
    match container.execve(limited(b"true\0", limits), &[]) {
        Err(Error::Perform(failure)) => assert_eq!(failure.subject, b"limits.openFiles"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_parent_that_cannot_be_made_is_an_error_only_where_it_was_asked_for() {
    let options = hotcell_host::cgroup::Options { base: Some("/absent".into()), ..Default::default() };
    match Container::create_in(&default_setup(), &CgroupChoice::Required(options), default_policy()) {
        Err(Error::MakeCgroup(_)) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("made in a cgroup that is not there"),
    }
}

#[test]
fn what_is_used_is_seen_in_the_course_of_time() {
    let Some(container) = container() else { return };
    let program =
        Program { sample_us: Some(1000), ..limited(BUSY, Limits { cpu_us: Some(80_000), ..Limits::default() }) };
    let run = container.master().execve(program, &[], container.sink());
    let Event::Timeline(samples) = container.mailbox().wait(run) else { panic!("a timeline comes before the end") };
    let outcome = container.ended(run).unwrap();
    assert_eq!(outcome.verdict, Verdict::CpuTimeLimit);
    let used = outcome.usage.user_us + outcome.usage.system_us;
    let last = samples.last().expect("a run of 80 ms is seen");
    // The look that found the limit exceeded is followed by one for the timeline.
    assert!(
        last.cpu_us > 80_000 && last.cpu_us <= used && last.time_us <= outcome.usage.wall_us,
        "{last:?} {outcome:?}"
    );
    assert!(samples.is_sorted_by_key(|sample| (sample.time_us, sample.cpu_us)), "{samples:?}");
    // (Memory may be nothing beyond what the group was charged for in advance.)
    assert!(samples.iter().any(|sample| sample.processes >= 1), "{samples:?}");

    // Nobody pays for what the run before asked for.
    let plain = container.master().execve(Program::new(b"true\0"), &[], container.sink());
    assert!(matches!(container.mailbox().wait(plain), Event::Ended(_)));
}
