//! Kills that are complete.

use crate::support::{End, PLENTY, on_each, until};
use hotcell_cgroup::{Controller, Controllers, Limits, Options, Parent};
use std::time::Instant;

#[test]
fn a_fork_bomb_is_killed_to_the_last_process() {
    on_each("bomb", Controllers::NONE.with(Controller::Pids), |cell| {
        let limits = Limits { processes: Some(64), ..Limits::default() };
        for _ in 0..3 {
            cell.group.begin(&limits).unwrap();
            let bomb = cell.start(&["bomb"]);
            until("a full group", {
                let group = std::cell::RefCell::new(&mut cell.group);
                move || group.borrow_mut().usage().unwrap().processes_refused > 100
            });
            let began = Instant::now();
            cell.group.kill(PLENTY).unwrap();
            let took = began.elapsed();
            assert!(cell.group.is_empty().unwrap(), "{}", cell.kind);
            assert_eq!(bomb.wait(), End::Signal(libc::SIGKILL));
            cell.kill();
            assert!(took.as_millis() < 1500, "{}: {took:?}", cell.kind);
        }
        // The group is usable afterwards.
        assert_eq!(cell.run(&limits, &["forks", "5"]), End::Exit(5), "{}", cell.kind);
    });
}

#[test]
fn a_group_is_killed_apart_from_its_neighbour() {
    on_each("apart", Controllers::NONE, |cell| {
        let sleeper = cell.start(&["sleep"]);
        let mut other = super::support::Cell::new(cell.kind, cell.parent.clone());
        let victim = other.start(&["sleep"]);
        other.group.kill(PLENTY).unwrap();
        assert_eq!(victim.wait(), End::Signal(libc::SIGKILL));
        assert!(crate::support::is_alive(sleeper.pid));
        assert!(!cell.group.is_empty().unwrap() && other.group.is_empty().unwrap(), "{}", cell.kind);
        other.end();
        cell.group.kill(PLENTY).unwrap();
        assert_eq!(sleeper.wait(), End::Signal(libc::SIGKILL));
    });
}

/// Without the pids controller, which the better way to kill needs: v1's freezer.
#[test]
fn a_bomb_is_killed_by_freezing_too() {
    let _alone = crate::support::one_at_a_time();
    let name = crate::support::parent_name("freeze");
    let controllers = Controllers::NONE.with(Controller::Freezer).with(Controller::CpuAcct);
    let version = Some(hotcell_cgroup::detect::Version::V1);
    let options = Options { name: name.clone(), controllers, version, ..Options::default() };
    match Parent::create(&options) {
        Ok(parent) if parent.controllers().has(Controller::Freezer) => {
            let mut cell = crate::support::Cell::new("v1", parent);
            // Nothing else limits it here.
            let bomb = cell.start(&["slow-bomb"]);
            std::thread::sleep(std::time::Duration::from_millis(30));
            cell.group.kill(PLENTY).unwrap();
            assert_eq!(bomb.wait(), End::Signal(libc::SIGKILL));
            crate::support::reap();
            assert!(cell.group.is_empty().unwrap());
            cell.end();
            assert!(crate::support::left_of(&name).is_empty());
        }
        _ => eprintln!("skipped freezing on v1: no freezer"),
    }
}
