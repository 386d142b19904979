//! What it costs: `cargo test --release -p hotcell-cgroup --test cgroup -- --ignored --nocapture cost`.

use crate::support::{Cell, PLENTY, on_each};
use hotcell_cgroup::{Controllers, CpuQuota, Limits};
use std::time::{Duration, Instant};

fn report(kind: &str, what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let at = |part: f64| samples[((samples.len() - 1) as f64 * part) as usize].as_nanos() as f64 / 1000.0;
    println!("{kind:5} {what:44} median {:8.1} µs   p95 {:8.1}   max {:8.1}", at(0.5), at(0.95), at(1.0));
}

fn timed<T>(samples: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    samples.push(began.elapsed());
    result
}

#[test]
#[ignore = "a measurement, not a claim"]
fn cost() {
    on_each("cost", Controllers::NONE, |cell| {
        let kind = cell.kind;
        let (mut makes, mut groups, mut drops) = (vec![], vec![], vec![]);
        for _ in 0..200 {
            let container = timed(&mut makes, || cell.parent.container().unwrap());
            let group = timed(&mut groups, || container.group().unwrap());
            timed(&mut drops, || {
                drop(group);
                drop(container);
            });
        }
        report(kind, "make a container's cgroups", makes);
        report(kind, "make a run group", groups);
        report(kind, "remove both", drops);

        let mut enters = vec![];
        for _ in 0..50 {
            let other = timed(&mut enters, || Cell::new(kind, cell.parent.clone()));
            other.end();
        }
        report(kind, "container + group + a thread that enters it", enters);

        let all = cell.group.controllers();
        let has = |controller| all.has(controller);
        let limits = Limits {
            memory_bytes: has(hotcell_cgroup::Controller::Memory).then_some(64 << 20),
            processes: has(hotcell_cgroup::Controller::Pids).then_some(64),
            cpu: CpuQuota::from_rate(1.0).filter(|_| has(hotcell_cgroup::Controller::Cpu)),
            cpus: None,
        };
        let (mut begins, mut usages, mut samplings, mut plain, mut runs, mut kills, mut reuses) =
            (vec![], vec![], vec![], vec![], vec![], vec![], vec![]);
        for round in 0..600 {
            timed(&mut begins, || cell.group.begin(&limits).unwrap());
            timed(&mut runs, || cell.start(&["exit", "0"]).wait());
            timed(&mut samplings, || cell.group.cpu_usage_us().unwrap());
            timed(&mut usages, || cell.group.usage().unwrap());
            timed(&mut reuses, || cell.group.reuse().unwrap());
            // The same thread's fork without a cgroup of v2 to enter.
            if round % 2 == 0 {
                timed(&mut plain, || cell.start_beside(&["exit", "0"]).wait());
            }
        }
        for _ in 0..100 {
            cell.group.begin(&limits).unwrap();
            let child = cell.start(&["sleep"]);
            timed(&mut kills, || cell.group.kill(PLENTY).unwrap());
            child.wait();
            cell.kill();
        }
        report(kind, "begin: every limit set as before, counters", begins);
        report(kind, "usage", usages);
        report(kind, "cpu_usage_us", samplings);
        report(kind, "reuse", reuses);
        report(kind, "fork + exec + wait, in the group", runs);
        if cell.group.entrance().v2.is_some() {
            report(kind, "fork + exec + wait, beside the v2 group", plain);
        }
        report(kind, "kill one sleeping process and see it dead", kills);

        if has(hotcell_cgroup::Controller::Pids) {
            let mut bombs = vec![];
            for _ in 0..20 {
                cell.group.begin(&limits).unwrap();
                let bomb = cell.start(&["bomb"]);
                while cell.group.usage().unwrap().processes_refused < 100 {}
                timed(&mut bombs, || cell.group.kill(PLENTY).unwrap());
                bomb.wait();
                cell.kill();
            }
            report(kind, "kill a fork bomb of 64 processes", bombs);
        }
    });
}
