//! What a host process leaves behind that was killed by SIGKILL.

use crate::support::{Cell, is_alive, left_of, parent_name, until};
use hotcell_cgroup::detect::Version;
use hotcell_cgroup::{Options, Parent};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const ROLE: &str = "HOTCELL_TEST_OWNER";

/// The host process that is killed: only as a child of the test below.
#[test]
fn owner() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let version = match std::env::var("HOTCELL_TEST_VERSION").as_deref() {
        Ok("v1") => Some(Version::V1),
        Ok("v2") => Some(Version::V2),
        _ => None,
    };
    let parent = Parent::create(&Options { name, version, ..Options::default() }).unwrap();
    let cell = Cell::new("owned", parent);
    let child = cell.start(&["sleep"]);
    // execve(2) ends the wait of CLONE_VFORK before it closes what it is to close: until then the child, too, has the lock on our
    // directory. The name it sets afterwards.
    let comm = format!("/proc/{}/comm", child.pid);
    until("the program runs", || std::fs::read_to_string(&comm).is_ok_and(|comm| comm.trim_end() == "hotcell-behave"));
    println!("started {}", child.pid);
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_dead_owner_is_swept_and_a_living_one_is_not() {
    let _alone = crate::support::one_at_a_time();
    for kind in ["v1", "v2", "both"] {
        let name = parent_name(&format!("stale-{kind}"));
        let version = match kind {
            "v1" => Some(Version::V1),
            "v2" => Some(Version::V2),
            _ => None,
        };
        let options = Options { name: name.clone(), version, ..Options::default() };
        if let Err(error) = Parent::create(&options) {
            eprintln!("skipped stale on {kind}: {error}");
            continue;
        }
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "stale::owner", "--nocapture"])
            .env(ROLE, &name)
            .env("HOTCELL_TEST_VERSION", kind)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        // The harness writes the name of the test on the same line.
        let pid: i32 =
            lines.find_map(|line| line.unwrap().split_once("started ").map(|(_, pid)| pid.parse().unwrap())).unwrap();

        let while_alive = Parent::create(&options).unwrap();
        assert_eq!((while_alive.swept().removed, while_alive.swept().left), (0, 0), "{kind}");
        assert!(is_alive(pid), "{kind}");
        drop(while_alive);

        owner.kill().unwrap();
        owner.wait().unwrap();
        assert!(is_alive(pid), "{kind}: nobody ends it but the sweep");
        assert!(!left_of(&name).is_empty(), "{kind}");

        let next = Parent::create(&options).unwrap();
        assert!(next.swept().removed > 0, "{kind}: {:?}", next.swept());
        assert_eq!(next.swept().left, 0, "{kind}");
        until("the stale process is gone", || !is_alive(pid));
        crate::support::reap();
        drop(next);
        assert!(left_of(&name).is_empty(), "{kind}");
    }
}
