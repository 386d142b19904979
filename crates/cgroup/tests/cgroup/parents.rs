//! Parents: names, several at once, and what is left of them.

use crate::support::{left_of, on_each, parent_name};
use hotcell_cgroup::{Controllers, Error, Options, Parent};

#[test]
fn a_name_that_could_be_a_file_is_refused() {
    for name in ["", "a/b", "..", "memory.max", "tasks"] {
        let error = Parent::create(&Options { name: name.to_owned(), ..Options::default() }).unwrap_err();
        assert_eq!(error, Error::NameParent { name: name.to_owned() });
    }
}

#[test]
fn a_base_that_is_not_there_is_said_so() {
    let options = Options { name: parent_name("base"), base: Some("/no/such/cgroup".into()), ..Options::default() };
    let text = Parent::create(&options).unwrap_err().to_string();
    assert!(text.starts_with("cannot make cgroups: "), "{text}");
}

#[test]
fn several_parents_of_a_process_share_a_name() {
    on_each("several", Controllers::NONE, |cell| {
        let (_, _, path) = cell.parent.directories().next().unwrap();
        let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let version = match cell.kind {
            "v1" => Some(hotcell_cgroup::detect::Version::V1),
            "v2" => Some(hotcell_cgroup::detect::Version::V2),
            _ => None,
        };
        let second = Parent::create(&Options { name: name.clone(), version, ..Options::default() }).unwrap();
        let (_, _, other) = second.directories().next().unwrap();
        assert_ne!(other, path);
        assert_eq!(other.parent(), path.parent());
        drop(second);
        assert!(path.exists(), "{}: still in use", cell.kind);
    });
}

#[test]
fn what_others_made_stays() {
    let name = parent_name("foreign");
    let Ok(found) = hotcell_cgroup::detect() else { return };
    let hierarchies: Vec<_> = found.v1.iter().chain(&found.v2).filter(|hierarchy| hierarchy.writable).collect();
    let paths: Vec<_> = hierarchies.iter().map(|hierarchy| hierarchy.own.join(&name)).collect();
    for path in &paths {
        std::fs::create_dir(path).unwrap();
        std::fs::create_dir(path.join("c0")).unwrap();
    }
    if paths.is_empty() {
        eprintln!("skipped: no writable cgroups");
        return;
    }
    let parent = Parent::create(&Options { name: name.clone(), ..Options::default() }).unwrap();
    let container = parent.container().unwrap();
    drop(container.group().unwrap());
    drop(container);
    drop(parent);
    for path in &paths {
        assert!(path.join("c0").exists(), "{}", path.display());
        std::fs::remove_dir(path.join("c0")).unwrap();
        std::fs::remove_dir(path).unwrap();
    }
    assert!(left_of(&name).is_empty());
}

#[test]
fn a_dropped_container_is_removed_once_it_is_empty() {
    on_each("dropped", Controllers::NONE, |cell| {
        let other = super::support::Cell::new(cell.kind, cell.parent.clone());
        let child = other.start(&["sleep"]);
        let pidfd = child.pidfd.try_clone().unwrap();
        drop(other);
        hotcell_linux::pidfd::send_signal(std::os::fd::AsFd::as_fd(&pidfd), libc::SIGKILL).unwrap();
        child.wait();
        // Making the next one has the other removed.
        crate::support::until("the container is gone", || {
            drop(cell.parent.container().unwrap());
            let paths: Vec<_> = cell.parent.directories().map(|(_, _, path)| path.join("c1")).collect();
            paths.iter().all(|path| !path.exists())
        });
    });
}
