//! Figures that are true.

use crate::support::{End, counts_exactly, on_each};
use hotcell_cgroup::{Controller, Controllers, Limits, Reuse};

#[test]
fn cpu_time_is_that_of_the_whole_tree() {
    on_each("cpu", Controllers::NONE.with(Controller::CpuAcct), |cell| {
        for _ in 0..2 {
            cell.group.begin(&Limits::default()).unwrap();
            assert_eq!(cell.start(&["burn", "100"]).wait(), End::Exit(0));
            let cpu = cell.group.usage().unwrap().cpu.unwrap();
            let range = if counts_exactly() { 100_000..108_000 } else { 20_000..500_000 };
            assert!(range.contains(&cpu.total_us), "{}: {cpu:?}", cell.kind);
            assert_eq!(cpu.user_us + cpu.system_us, cpu.total_us, "{}", cell.kind);
        }

        cell.group.begin(&Limits::default()).unwrap();
        assert_eq!(cell.start(&["orphans-burn", "50"]).wait(), End::Exit(0));
        crate::support::until("orphans that end", {
            let group = std::cell::RefCell::new(&mut cell.group);
            move || group.borrow_mut().is_empty().unwrap()
        });
        let total = cell.group.usage().unwrap().cpu.unwrap().total_us;
        let range = if counts_exactly() { 100_000..110_000 } else { 20_000..500_000 };
        assert!(range.contains(&total), "{}: {total}", cell.kind);
        let sampled = cell.group.cpu_usage_us().unwrap();
        assert!(sampled >= total && sampled < total + 2000, "{}: {sampled} {total}", cell.kind);
    });
}

#[test]
fn the_peak_of_memory_is_each_runs_own() {
    on_each("peak", Controllers::NONE.with(Controller::Memory), |cell| {
        for megabytes in [64, 16, 32] {
            let bytes: u64 = megabytes << 20;
            let mut peaks = Vec::new();
            // Whoever reads the program's file when it is not in memory (any more) is charged for that, too.
            for _ in 0..3 {
                if cell.group.reuse().unwrap() != Reuse::Yes {
                    cell.renew();
                }
                assert_eq!(cell.run(&Limits::default(), &["hold", &bytes.to_string()]), End::Exit(0));
                let Some(peak) = cell.usage.memory_peak_bytes else {
                    eprintln!("skipped the peak of memory on {}: the kernel does not tell it", cell.kind);
                    return;
                };
                peaks.push(peak);
                if peak.abs_diff(bytes) <= (1 << 20).max(bytes * 3 / 100) {
                    break;
                }
            }
            let error = peaks.last().unwrap().abs_diff(bytes);
            assert!(error <= (1 << 20).max(bytes * 3 / 100), "{}: {peaks:?} of {bytes}", cell.kind);
        }
    });
}

#[test]
fn a_peak_that_cannot_be_reset_is_never_anothers() {
    on_each("lasting", Controllers::NONE.with(Controller::Memory), |cell| {
        assert_eq!(cell.run(&Limits::default(), &["hold", "33554432"]), End::Exit(0));
        assert!(cell.usage.memory_peak_bytes.is_none_or(|peak| peak >= 32 << 20));
        assert_eq!(cell.run(&Limits::default(), &["exit", "0"]), End::Exit(0));
        let peak = cell.usage.memory_peak_bytes;
        assert!(peak.is_none_or(|peak| peak < 4 << 20), "{}: {peak:?}", cell.kind);
    });
}
