//! Limits that hold.

use crate::support::{End, on_each};
use hotcell_cgroup::{Controller, Controllers, CpuQuota, CpuSet, Error, Limits, Oom};

const MEMORY: Controllers = Controllers::NONE.with(Controller::Memory);
const PIDS: Controllers = Controllers::NONE.with(Controller::Pids);

fn memory(bytes: u64) -> Limits {
    Limits { memory_bytes: Some(bytes), ..Limits::default() }
}

#[test]
fn a_static_program_runs_within_one_megabyte() {
    on_each("tiny", MEMORY, |cell| {
        for _ in 0..3 {
            assert_eq!(cell.run(&memory(1 << 20), &["exit", "7"]), End::Exit(7), "{}", cell.kind);
            assert_eq!(cell.usage.oom, None, "{}", cell.kind);
        }
    });
}

#[test]
fn an_oom_kill_is_told_from_a_sigkill() {
    on_each("oom", MEMORY, |cell| {
        let limits = memory(16 << 20);
        assert_eq!(cell.run(&limits, &["hold", "67108864"]), End::Signal(libc::SIGKILL), "{}", cell.kind);
        let usage = cell.usage;
        assert_eq!(usage.oom, Some(Oom::Limit), "{}", cell.kind);

        assert_eq!(cell.run(&limits, &["kill-self"]), End::Signal(libc::SIGKILL), "{}", cell.kind);
        assert_eq!(cell.usage.oom, None, "{}", cell.kind);

        // Within the limit, and the same group afterwards.
        assert_eq!(cell.run(&limits, &["hold", "8388608"]), End::Exit(0), "{}", cell.kind);
        assert_eq!(cell.usage.oom, None, "{}", cell.kind);
        // Without any.
        assert_eq!(cell.run(&Limits::default(), &["hold", "67108864"]), End::Exit(0), "{}", cell.kind);
    });
}

#[test]
fn an_oom_kill_is_noticed_while_the_main_process_sleeps_on() {
    on_each("oom-pair", MEMORY, |cell| {
        cell.group.begin(&memory(8 << 20)).unwrap();
        let main = cell.start(&["pair-hold", "33554432"]);
        crate::support::until("an OOM kill", {
            let group = std::cell::RefCell::new(&mut cell.group);
            move || group.borrow_mut().oom().unwrap() == Some(Oom::Limit)
        });
        cell.group.kill(crate::support::PLENTY).unwrap();
        assert_eq!(main.wait(), End::Signal(libc::SIGKILL));
        crate::support::reap();
    });
}

#[test]
fn what_one_run_left_is_not_counted_against_the_next() {
    on_each("residue", MEMORY, |cell| {
        let path = format!("/dev/shm/hotcell-test-{}", std::process::id());
        assert_eq!(cell.run(&Limits::default(), &["write", "33554432", &path]), End::Exit(0));
        let reuse = cell.group.reuse().unwrap();
        assert!(
            matches!(reuse, hotcell_cgroup::Reuse::Residue { bytes } if bytes >= 32 << 20),
            "{}: {reuse:?}",
            cell.kind
        );
        // Even in the same group.
        assert_eq!(cell.run(&memory(16 << 20), &["hold", "8388608"]), End::Exit(0), "{}", cell.kind);
        // In a fresh one exactly.
        cell.renew();
        assert_eq!(cell.run(&memory(16 << 20), &["hold", "8388608"]), End::Exit(0), "{}", cell.kind);
        assert_eq!(cell.run(&memory(16 << 20), &["hold", "20971520"]), End::Signal(libc::SIGKILL), "{}", cell.kind);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn no_more_processes_than_allowed() {
    on_each("pids", PIDS, |cell| {
        let limits = Limits { processes: Some(8), ..Limits::default() };
        assert_eq!(cell.run(&limits, &["forks", "20"]), End::Exit(7), "{}: itself and seven more", cell.kind);
        let usage = cell.usage;
        assert!(usage.processes_refused > 0, "{}: {usage:?}", cell.kind);
        assert!(usage.processes_peak.is_none_or(|peak| peak == 8), "{}: {usage:?}", cell.kind);

        assert_eq!(cell.run(&limits, &["forks", "7"]), End::Exit(7), "{}: exactly met", cell.kind);
        assert_eq!(cell.usage.processes_refused, 0, "{}", cell.kind);
        let one = Limits { processes: Some(1), ..Limits::default() };
        assert_eq!(cell.run(&one, &["forks", "3"]), End::Exit(0), "{}", cell.kind);
        assert_eq!(cell.run(&Limits::default(), &["forks", "20"]), End::Exit(20), "{}", cell.kind);
    });
}

#[test]
fn half_a_cpu_takes_twice_the_time() {
    on_each("rate", Controllers::NONE.with(Controller::Cpu).with(Controller::CpuAcct), |cell| {
        let limits = Limits { cpu: CpuQuota::from_rate(0.25), ..Limits::default() };
        let began = std::time::Instant::now();
        assert_eq!(cell.run(&limits, &["burn", "100"]), End::Exit(0));
        let wall = began.elapsed();
        assert!(wall.as_millis() >= 300, "{}: 100 ms of CPU time at a quarter took {wall:?}", cell.kind);
        assert_eq!(cell.run(&Limits::default(), &["burn", "10"]), End::Exit(0));
    });
}

#[test]
fn a_run_is_kept_to_its_cpus() {
    on_each("cpus", Controllers::NONE.with(Controller::CpuSet), |cell| {
        let all = cell.parent.cpus().unwrap();
        let first = CpuSet::parse("0").unwrap();
        assert!(first.is_subset(&all));
        cell.group.begin(&Limits { cpus: Some(first), ..Limits::default() }).unwrap();
        let child = cell.start(&["sleep"]);
        let allowed = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid)).unwrap();
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
        };
        assert_eq!(allowed(), "0", "{}", cell.kind);
        cell.group.begin(&Limits::default()).unwrap();
        assert_eq!(allowed(), all.to_string(), "{}", cell.kind);
        cell.group.kill(crate::support::PLENTY).unwrap();
        child.wait();

        let absent = Limits { cpus: CpuSet::parse("8000"), ..Limits::default() };
        let error = cell.group.begin(&absent).unwrap_err();
        assert!(matches!(error, Error::SetLimit { .. }), "{}: {error}", cell.kind);
        assert!(error.to_string().contains("name CPUs that this cgroup may use"), "{error}");
    });
}

#[test]
fn a_limit_without_its_controller_is_an_error() {
    on_each("lacking", Controllers::NONE, |cell| {
        let lacking = Controllers::V2.without(cell.group.controllers());
        let limits = Limits {
            memory_bytes: Some(1 << 24),
            processes: Some(8),
            cpu: CpuQuota::from_rate(1.0),
            cpus: CpuSet::parse("0"),
        };
        match cell.group.begin(&limits) {
            Ok(()) => assert!(lacking.is_empty()),
            Err(Error::UseController { controller, .. }) => assert!(lacking.has(controller), "{}", cell.kind),
            Err(other) => panic!("{}: {other}", cell.kind),
        }
    });
}
