//! v2: where cgroups are made, and who may clone into them.

use crate::support::{CLONE_INTO_CGROUP, Cell, parent_name};
use hotcell_cgroup::detect::Version;
use hotcell_cgroup::{Controller, Limits, Options, Parent};
use hotcell_linux::clone3::CloneArgs;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ROLE: &str = "HOTCELL_TEST_PLACED";

fn v2(name: &str) -> Options {
    Options { name: name.to_owned(), version: Some(Version::V2), ..Options::default() }
}

fn procs(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path.join("cgroup.procs")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// A cgroup with memory and pids to give away; `None`, said aloud, where there is none.
fn delegated(name: &str) -> Option<PathBuf> {
    let found = hotcell_cgroup::detect().unwrap();
    let hierarchy = found.v2.as_ref().filter(|hierarchy| {
        hierarchy.writable
            && hierarchy.is_root
            && hierarchy.controllers.has(Controller::Memory)
            && hierarchy.controllers.has(Controller::Pids)
    });
    let Some(hierarchy) = hierarchy else {
        let expected = std::env::var("HOTCELL_EXPECT").unwrap_or_default();
        assert!(!expected.contains("cgroup2-limits"), "no v2 with controllers at its root");
        eprintln!("skipped {name}: no v2 with controllers, at whose root this process is");
        return None;
    };
    std::fs::write(hierarchy.own.join("cgroup.subtree_control"), "+memory +pids").unwrap();
    let path = hierarchy.own.join(name);
    std::fs::create_dir(&path).unwrap();
    Some(path)
}

/// A process of this test's binary in a cgroup, in some role.
fn placed(path: &Path, role: &str, name: &str) -> Child {
    let script = format!("echo 0 > {}/cgroup.procs && exec \"$0\" \"$@\"", path.display());
    Command::new("/bin/sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "places::role", "--nocapture"])
        .env(ROLE, role)
        .env("HOTCELL_TEST_NAME", name)
        .env("HOTCELL_TEST_PATH", path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the processes that the tests below start do.
#[test]
fn role() {
    let (Ok(role), Ok(name)) = (std::env::var(ROLE), std::env::var("HOTCELL_TEST_NAME")) else { return };
    let path = PathBuf::from(std::env::var_os("HOTCELL_TEST_PATH").unwrap());
    let own = std::process::id();
    let parent = Parent::create(&v2(&name)).unwrap();
    let (_, controllers, directory) = parent.directories().next().unwrap();
    assert!(controllers.has(Controller::Memory) && controllers.has(Controller::Pids));
    match role.as_str() {
        "alone" => {
            assert!(directory.starts_with(path.join(&name)), "{}", directory.display());
            assert_eq!(procs(&directory.join("host")), [own], "moved into a leaf");
            assert_eq!(procs(&path), []);
            let mut cell = Cell::new("v2", parent.clone());
            let limits = Limits { memory_bytes: Some(8 << 20), processes: Some(4), ..Limits::default() };
            assert_eq!(cell.run(&limits, &["forks", "9"]), crate::support::End::Exit(3));
            cell.end();
            // A process that we start is in the leaf too, and uses the same place.
            let status = placed(&directory.join("host"), "started-by-a-moved-one", &name).wait().unwrap();
            assert!(status.success());
            drop(parent);
            assert_eq!(procs(&path), [own], "moved back");
            assert!(!path.join(&name).exists());
            assert_eq!(std::fs::read_to_string(path.join("cgroup.subtree_control")).unwrap().trim(), "");
        }
        "started-by-a-moved-one" => {
            let above = path.ancestors().nth(2).unwrap();
            assert_eq!(directory.parent(), Some(above));
        }
        "shared" => {
            // Above, where controllers are enabled already: nothing has to move.
            assert_eq!(directory.parent().unwrap().parent(), path.parent(), "{}", directory.display());
            assert!(procs(&path).contains(&own));
            let problems = &parent.detection().problems;
            assert!(
                problems.iter().any(|problem| problem.to_string().contains("holds other processes")),
                "{problems:?}"
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_process_alone_in_its_cgroup_moves_into_a_leaf_and_back() {
    let _alone = crate::support::one_at_a_time();
    let name = parent_name("moved");
    let Some(path) = delegated(&name) else { return };
    let status = placed(&path, "alone", "inner").wait().unwrap();
    assert!(status.success());
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn a_process_that_shares_its_cgroup_stays_and_uses_one_above() {
    let _alone = crate::support::one_at_a_time();
    let name = parent_name("shared");
    let Some(path) = delegated(&name) else { return };
    let mut neighbour = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(path.join("cgroup.procs"), neighbour.id().to_string()).unwrap();
    let status = placed(&path, "shared", "hotcell-test-above").wait().unwrap();
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    assert!(status.success());
    std::fs::remove_dir(&path).unwrap();
    assert!(!path.with_file_name("hotcell-test-above").exists());
}

#[test]
fn cloning_into_a_group_takes_write_access_by_the_file_system_uid() {
    let _alone = crate::support::one_at_a_time();
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let name = parent_name("grant");
    let parent = match Parent::create(&v2(&name)) {
        Ok(parent) => parent,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let container = parent.container().unwrap();
    let group = container.group().unwrap();
    let init = container.init_entrance().unwrap().as_raw_fd();
    let run = group.entrance().v2.unwrap().as_raw_fd();
    assert_eq!(clone_as(65_534, init, run), libc::EACCES, "everything belongs to root");
    container.grant(65_534, 65_534).unwrap();
    assert_eq!(clone_as(65_534, init, run), 0);
    let later = container.group().unwrap();
    assert_eq!(clone_as(65_534, init, later.entrance().v2.unwrap().as_raw_fd()), 0, "later ones too");
    assert_eq!(clone_as(65_533, init, run), libc::EACCES, "nobody else");
    drop((group, later));
    container.destroy(crate::support::PLENTY).unwrap();
    drop(parent);
    assert!(crate::support::left_of(&name).is_empty());
}

/// As a container's pid 1 does: a child in the leaf `init`, which with this file system uid clones into a run group. The errno.
fn clone_as(uid: u32, init: RawFd, run: RawFd) -> i32 {
    let clone = |cgroup: RawFd| {
        let args = CloneArgs {
            flags: CLONE_INTO_CGROUP,
            exit_signal: libc::SIGCHLD as u64,
            cgroup: cgroup as u64,
            ..CloneArgs::default()
        };
        // SAFETY: without CLONE_VM a fork; the children below make system calls only.
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) }
    };
    let child = clone(init);
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: no memory involved. The file system uid alone takes CAP_DAC_OVERRIDE away, too (capabilities(7)).
        unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
        let grandchild = clone(run);
        if grandchild == 0 {
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        }
        let errno = if grandchild < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(255) } else { 0 };
        // SAFETY: the kernel writes nothing.
        unsafe { libc::waitpid(grandchild as i32, std::ptr::null_mut(), 0) };
        // SAFETY: ends the process.
        unsafe { libc::_exit(errno) };
    }
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    unsafe { libc::waitpid(child as i32, &raw mut status, 0) };
    libc::WEXITSTATUS(status)
}
