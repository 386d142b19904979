//! Which cgroups this process could make use of, and why not others.
//!
//! Runs in the host process, once, before the first container, and in `probe`. It reads /proc/self/cgroup and
//! /proc/self/mountinfo, and asks with faccessat(2) what may be written; it makes and changes nothing. What it says is an
//! expectation: only [`crate::Parent::create`] finds out what the kernel allows.

mod environment;
pub mod procfs;
#[cfg(test)]
mod samples;

pub use environment::Environment;

use crate::controller::{Controller, Controllers};
use crate::directory::Directory;
use crate::error::{Error, errno};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use procfs::{Membership, Mount};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The two kinds of hierarchies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// cgroups(7), "CGROUPS VERSION 1": one hierarchy a controller, or a few.
    V1,
    /// One hierarchy for all.
    V2,
}

/// A mounted hierarchy, and where in it this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which kind.
    pub version: Version,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The directory of this process's cgroup.
    pub own: PathBuf,
    /// The controllers that cgroups made here could have. On v2 what cgroup.controllers of the own cgroup says.
    pub controllers: Controllers,
    /// Whether cgroups can be made in the own one.
    pub writable: bool,
    /// v2: whether the own cgroup is the root of the system, which may hold processes and have controllers enabled at once.
    pub is_root: bool,
}

/// Why a hierarchy is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This process's cgroup is not below what is mounted.
    OutOfSight,
    /// Mounted read-only.
    ReadOnly,
    /// It cannot be opened, or is no cgroup file system.
    CannotOpen,
    /// It belongs to somebody else.
    NotDelegated,
    /// Other processes share the own cgroup, so that no controller can be enabled below it.
    Shared,
    /// No controllers come down to here.
    NoControllers,
    /// Tried, and the kernel refused.
    Refused,
}

/// A hierarchy or a cgroup that is of no use, why, and how to change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which kind.
    pub version: Version,
    /// Of the cgroup, or the mount.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
    /// errno(3), or 0.
    pub errno: i32,
    /// In words.
    pub cure: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.path.display())?;
        f.write_str(match self.why {
            Why::OutOfSight => "does not contain the cgroup of this process",
            Why::ReadOnly => "is mounted read-only",
            Why::CannotOpen => "cannot be opened",
            Why::NotDelegated => "belongs to another user",
            Why::Shared => "holds other processes beside this one",
            Why::NoControllers => "has no controllers",
            Why::Refused => "was tried in vain",
        })?;
        if self.errno != 0 {
            write!(f, " ({})", io::Error::from_raw_os_error(self.errno))?;
        }
        write!(f, ": {}", self.cure)
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The v2 hierarchy, if one is mounted and this process can be found in it.
    pub v2: Option<Hierarchy>,
    /// The v1 hierarchies with controllers of ours.
    pub v1: Vec<Hierarchy>,
    /// Who manages them.
    pub environment: Environment,
    /// What is of no use, and why.
    pub problems: Vec<Problem>,
}

impl Detection {
    /// The controllers that are expected to be usable with one version.
    pub fn usable(&self, version: Version) -> Controllers {
        let hierarchies = match version {
            Version::V1 => self.v1.as_slice(),
            Version::V2 => self.v2.as_slice(),
        };
        let usable = hierarchies.iter().filter(|hierarchy| hierarchy.writable);
        usable.fold(Controllers::NONE, |all, hierarchy| all.or(hierarchy.controllers))
    }
}

/// Looks at this process.
pub fn detect() -> Result<Detection, Error> {
    let (cgroup, mountinfo) =
        procfs::read_own().map_err(|(path, error)| Error::ReadOwn { path, errno: errno(&error) })?;
    let mut detection = interpret(&cgroup, &mountinfo);
    let environment = detection.environment.clone();
    let problems = &mut detection.problems;
    let mut keep = |hierarchy: &mut Hierarchy| match inspect(hierarchy, &environment) {
        Ok(None) => true,
        Ok(Some(problem)) => {
            problems.push(problem);
            true
        }
        Err(problem) => {
            problems.push(problem);
            false
        }
    };
    detection.v1.retain_mut(&mut keep);
    if let Some(v2) = &mut detection.v2
        && !keep(v2)
    {
        detection.v2 = None;
    }
    Ok(detection)
}

/// What the two files alone tell.
pub(crate) fn interpret(cgroup: &str, mountinfo: &str) -> Detection {
    let memberships = procfs::memberships(cgroup);
    let mounts = procfs::mounts(mountinfo, true);
    let environment = Environment::guess(&memberships, &mounts);
    let mut detection = Detection { v2: None, v1: Vec::new(), environment, problems: Vec::new() };
    for membership in &memberships {
        let version = if membership.is_v2() { Version::V2 } else { Version::V1 };
        let controllers = Controllers::from_names(membership.controllers.iter().map(String::as_str));
        // Named hierarchies, and controllers that are none of ours.
        if version == Version::V1 && controllers.is_empty() {
            continue;
        }
        match locate(membership, &mounts) {
            Ok((mount, own)) => {
                let hierarchy = Hierarchy {
                    version,
                    mount_point: PathBuf::from(&mount.point),
                    own,
                    controllers,
                    writable: !mount.is_read_only(),
                    is_root: false,
                };
                match version {
                    Version::V1 => detection.v1.push(hierarchy),
                    Version::V2 => detection.v2 = Some(hierarchy),
                }
            }
            Err(Some(mount)) => detection.problems.push(Problem {
                version,
                path: PathBuf::from(&mount.point),
                why: Why::OutOfSight,
                errno: 0,
                cure: "mount the cgroups of this process's own cgroup namespace there",
            }),
            // Not mounted at all: nothing to say about it.
            Err(None) => {}
        }
    }
    detection
}

/// The mount through which a cgroup can be reached, writable ones first, and its directory there. Or one that is of its
/// hierarchy but does not contain it.
fn locate<'a>(membership: &Membership, mounts: &'a [Mount]) -> Result<(&'a Mount, PathBuf), Option<&'a Mount>> {
    let of_hierarchy = |mount: &Mount| {
        if membership.is_v2() {
            mount.kind == "cgroup2"
        } else {
            mount.kind == "cgroup" && membership.controllers.iter().all(|name| mount.super_options.contains(name))
        }
    };
    // What was mounted over is out of reach.
    let topmost = |(index, mount): (usize, &'a Mount)| {
        mounts.iter().skip(index + 1).all(|later| later.point != mount.point).then_some(mount)
    };
    let mounted = mounts.iter().enumerate().filter(|(_, mount)| of_hierarchy(mount));
    let candidates: Vec<&Mount> = mounted.filter_map(topmost).collect();
    let below = |mount: &'a Mount| {
        let root = mount.root.trim_end_matches('/');
        let rest = membership.path.strip_prefix(root)?;
        let safe = !membership.path.split('/').any(|part| part == "..");
        (safe && (rest.is_empty() || rest.starts_with('/'))).then(|| (mount, join(Path::new(&mount.point), rest)))
    };
    let mut found: Vec<_> = candidates.iter().filter_map(|mount| below(mount)).collect();
    found.sort_by_key(|(mount, _)| mount.is_read_only());
    found.into_iter().next().ok_or_else(|| candidates.first().copied())
}

/// A cgroup's directory, from where it is mounted and its path there.
pub(crate) fn join(mount_point: &Path, cgroup: &str) -> PathBuf {
    match cgroup.trim_matches('/') {
        "" => mount_point.to_owned(),
        below => mount_point.join(below),
    }
}

/// Adds what the file system itself tells. A hierarchy that may not be written is kept, with its problem.
fn inspect(hierarchy: &mut Hierarchy, environment: &Environment) -> Result<Option<Problem>, Problem> {
    let v2 = hierarchy.version == Version::V2;
    let problem = |why, errno, cure| Problem {
        version: hierarchy.version,
        path: if why == Why::ReadOnly { hierarchy.mount_point.clone() } else { hierarchy.own.clone() },
        why,
        errno,
        cure,
    };
    let directory = Directory::open(&hierarchy.own).map_err(|error| {
        problem(Why::CannotOpen, error.errno().unwrap_or(0), "mount the cgroup file system that this process is in")
    })?;
    if v2 {
        let names = directory.read(c"cgroup.controllers").unwrap_or_default();
        hierarchy.controllers = Controllers::from_names(names.split_ascii_whitespace());
        // The root of the system has no type; the root of a cgroup namespace does.
        hierarchy.is_root = matches!(directory.read(c"cgroup.type"), Err(error) if errno(&error) == nix::libc::ENOENT);
    }
    if !hierarchy.writable {
        return Ok(Some(problem(Why::ReadOnly, 0, environment.cure(v2))));
    }
    let files: &[&str] = if v2 { &["", "cgroup.procs", "cgroup.subtree_control"] } else { &[""] };
    for file in files {
        if let Err(errno) = may_write(&hierarchy.own.join(file)) {
            let found = problem(Why::NotDelegated, errno, environment.cure(v2));
            hierarchy.writable = false;
            return Ok(Some(found));
        }
    }
    if v2 && !hierarchy.controllers.has(Controller::Memory) && !hierarchy.controllers.has(Controller::Pids) {
        let cure = "mount no v1 hierarchies for them (boot with systemd.unified_cgroup_hierarchy=1), or use these";
        return Ok(Some(problem(Why::NoControllers, 0, cure)));
    }
    Ok(None)
}

/// faccessat(2) with the effective ids: of a directory, whether cgroups can be made in it.
pub(crate) fn may_write(path: &Path) -> Result<(), i32> {
    faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).map_err(|error| error as i32)
}

#[cfg(test)]
mod tests {
    use super::samples;
    use super::*;

    fn own(hierarchy: &Hierarchy) -> &str {
        hierarchy.own.to_str().unwrap()
    }

    #[test]
    fn hybrid_has_both() {
        let found = interpret(samples::HYBRID.0, samples::HYBRID.1);
        assert_eq!(own(found.v2.as_ref().unwrap()), "/sys/fs/cgroup/unified");
        let names: Vec<String> = found.v1.iter().map(|hierarchy| hierarchy.controllers.to_string()).collect();
        assert_eq!(names, ["pids", "freezer", "memory", "cpuset", "cpuacct", "cpu"]);
        assert_eq!(own(&found.v1[2]), "/sys/fs/cgroup/memory/workers/7");
        assert_eq!(found.environment, Environment::Plain);
        assert!(found.problems.is_empty());
    }

    #[test]
    fn controllers_mounted_together_are_one_hierarchy() {
        let found = interpret(samples::V1.0, samples::V1.1);
        let together = found.v1.iter().find(|hierarchy| hierarchy.controllers.has(Controller::CpuAcct)).unwrap();
        assert_eq!(together.controllers.to_string(), "cpu cpuacct");
        assert_eq!(own(together), "/sys/fs/cgroup/cpu,cpuacct/user.slice");
        assert_eq!(found.v2, None);
        assert_eq!(found.environment, Environment::Systemd { unit: "session-2.scope".into(), user: false });
    }

    #[test]
    fn a_user_session_of_systemd_is_found() {
        let found = interpret(samples::USER_SLICE.0, samples::USER_SLICE.1);
        let v2 = found.v2.unwrap();
        let expected = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1f0.scope";
        assert_eq!(own(&v2), expected);
        assert!(v2.writable);
        assert_eq!(found.environment, Environment::Systemd { unit: "run-r1f0.scope".into(), user: true });
        assert!(found.environment.cure(true).contains("systemd-run --user"));
    }

    #[test]
    fn docker_is_told_and_its_read_only_mount() {
        let found = interpret(samples::DOCKER_V2.0, samples::DOCKER_V2.1);
        let v2 = found.v2.unwrap();
        assert_eq!(own(&v2), "/sys/fs/cgroup");
        assert!(!v2.writable);
        assert_eq!(found.environment, Environment::Docker);
        assert!(found.environment.cure(true).contains("writable-cgroups"));

        let found = interpret(samples::DOCKER_V1.0, samples::DOCKER_V1.1);
        let memory = found.v1.iter().find(|hierarchy| hierarchy.controllers.has(Controller::Memory)).unwrap();
        assert_eq!(own(memory), "/sys/fs/cgroup/memory", "the container's own cgroup is the root of the mount");
        assert!(!memory.writable);
        assert_eq!(found.environment, Environment::Docker);
    }

    #[test]
    fn podman_is_told_and_the_mount_over_the_mount_counts() {
        let found = interpret(samples::PODMAN.0, samples::PODMAN.1);
        let v2 = found.v2.unwrap();
        assert_eq!(own(&v2), "/sys/fs/cgroup");
        assert!(v2.writable, "the later mount hides the read-only one below");
        assert_eq!(found.environment, Environment::Podman);
    }

    #[test]
    fn kubernetes_and_lxc_are_told() {
        let pod = "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-0af.scope\n";
        assert_eq!(interpret(pod, "").environment, Environment::Kubernetes);
        assert_eq!(interpret("0::/lxc.payload.web/x.service\n", "").environment, Environment::Lxc);
    }

    #[test]
    fn a_mount_of_another_namespace_is_a_problem_with_a_cure() {
        let mount = "1 2 0:3 /../../system.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = interpret("0::/\n", mount);
        assert_eq!(found.v2, None);
        assert_eq!(found.problems[0].why, Why::OutOfSight);
        assert!(found.problems[0].to_string().contains("does not contain the cgroup of this process"));
        // Out of the namespace's root there is no way by name.
        assert_eq!(interpret("0::/../sibling\n", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 c rw\n").v2, None);
    }

    #[test]
    fn nothing_mounted_is_nothing_found() {
        let found = interpret("0::/\n", "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n");
        assert_eq!((found.v2, found.v1.len(), found.problems.len()), (None, 0, 0));
        let found = interpret("", "");
        assert_eq!((found.v2, found.environment), (None, Environment::Plain));
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let found = detect().unwrap();
        for problem in &found.problems {
            assert!(!problem.to_string().is_empty());
        }
    }
}
