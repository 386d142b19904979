//! What this host allows, found out by trying.
//!
//! Versions and configuration files tell little about a host: a seccomp filter, an AppArmor profile or a sysctl may stand before
//! each call, and distributions backport. So each question that a container can answer is put by creating one that needs
//! little else, and each answer keeps the kernel's errno.

use crate::blocking::Container;
use crate::cgroups::CgroupChoice;
use crate::error::{Error, errno};
use crate::master::Program;
use crate::seccomp::Seccomp;
use crate::setup::default_setup;
use hotcell_cgroup::Controller;
use hotcell_cgroup::detect::{Detection, Version};
use hotcell_linux::{landlock, openat2, pidfd};
use hotcell_protocol::{Mount, MountKind, Network, ProcMode, Setup, Step, UserNamespace, WindowSize};
use hotcell_seccomp::Profile;
use nix::libc;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

/// What this host allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSupport {
    /// Of uname(2).
    pub kernel: String,
    /// Of uname(2).
    pub architecture: String,
    /// Each of them, available or not.
    pub features: Vec<Feature>,
}

/// Something that a kernel may have, and a host may allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// In lower case, with hyphens.
    pub name: &'static str,
    /// Whether it can be used, by this process, here.
    pub available: bool,
    /// What the kernel said; 0 where it said nothing, or it works.
    pub errno: i32,
    /// Whether there is no container without it. What is not required is only for some options, or makes the walls thicker.
    pub required: bool,
    /// What it is for, and how to get it where it is missing.
    pub detail: String,
}

/// Tries everything. Takes some ten milliseconds, and creates a handful of short-lived containers.
pub fn probe() -> HostSupport {
    let (kernel, architecture) = nix::sys::utsname::uname().map_or_else(
        |_| (String::new(), String::new()),
        |name| (name.release().to_string_lossy().into_owned(), name.machine().to_string_lossy().into_owned()),
    );
    HostSupport { kernel, architecture, features: features() }
}

fn features() -> Vec<Feature> {
    let root = nix::unistd::geteuid().is_root();
    let bare = create(&bare_setup());
    let container = create(&default_setup());
    let launcher = launcher_error(&bare);
    let user_namespace = make(&Setup { user_namespace: UserNamespace::Required, ..bare_setup() }).map(count_ids);
    let beyond_bare = |setup: Setup| bare.clone().and_then(|()| create(&setup));
    let mut features = Vec::new();
    let mut add = |name, result: Result<(), i32>, required, detail: &str| {
        let (errno, detail) = (result.err().unwrap_or(0), detail.to_owned());
        features.push(Feature { name, available: result.is_ok(), errno, required, detail });
    };

    add("container", numbered(&container), true, "create a container with default options");
    add(
        "user-namespace",
        numbered(&user_namespace.clone().map(drop)),
        !root,
        "containers without root; sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0, \
         kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile that allows userns; in Docker, a seccomp profile that \
         allows clone3 and unshare",
    );
    add(
        "user-namespace-ranges",
        ranges(root, user_namespace.unwrap_or(0)),
        false,
        "identities of their own for init and programs without root; install newuidmap (package uidmap) and give the user a line in \
         /etc/subuid and /etc/subgid; it is set-user-ID, so a process with no_new_privs cannot use it",
    );
    add(
        "root",
        if root { Ok(()) } else { Err(libc::EPERM) },
        false,
        "private identities without any set-up; run as root",
    );
    add(
        "network-namespace",
        numbered(&beyond_bare(Setup { network: Network::None, ..bare_setup() })),
        false,
        "network: 'none'; needs CONFIG_NET_NS and sysctl user.max_net_namespaces>0",
    );
    add(
        "proc-mount",
        numbered(&beyond_bare(Setup { proc: ProcMode::Masked, ..bare_setup() })),
        false,
        "/proc in the container; inside of another container that one's /proc must not be masked (docker run --security-opt \
         systempaths=unconfined), or use proc: 'none'",
    );
    add(
        "terminal",
        numbered(&bare).and_then(|()| terminal_works()),
        false,
        "tty: a pseudoterminal in the container, on a devpts of its own; CONFIG_UNIX98_PTYS, and inside of another container a seccomp profile that \
         allows mounting",
    );
    add(
        "overlay",
        numbered(&beyond_bare(with_overlay())),
        false,
        "mounts of type 'overlay'; CONFIG_OVERLAY_FS, without root Linux 5.11, and a file system below that overlayfs can stand on",
    );
    add(
        "clone3",
        missing(&[&bare, &container], &[Step::CloneContainer]).and(launcher),
        true,
        "Linux 5.3; in Docker, a seccomp profile that allows clone3",
    );
    add("openat2", openat2_works(), true, "Linux 5.6; resolving paths without leaving the container");
    add("close_range", launcher, true, "Linux 5.11, with CLOSE_RANGE_CLOEXEC");
    add(
        "mount-api",
        missing(
            &[&bare, &container],
            &[
                Step::MakePrivate,
                Step::OpenTree,
                Step::MakeRoot,
                Step::MakeTmpfs,
                Step::MakeProc,
                Step::AttachMount,
                Step::SetMountAttributes,
            ],
        ),
        true,
        "Linux 5.12, with mount_setattr",
    );
    add("pidfd", pidfd::open(std::process::id() as i32).map(drop).map_err(|error| errno(&error)), true, "Linux 5.3");
    add("memfd-exec", launcher, true, "executing the init image from memory; sysctl vm.memfd_noexec=0 or 1");
    add(
        "landlock",
        landlock::abi().map(drop).map_err(|error| errno(&error)),
        false,
        &format!(
            "rules of files take ABI 3 (Linux 6.2), of ports ABI 4 (Linux 6.7), with landlock among the security modules (boot parameter \
             lsm=); here it is {}",
            landlock::abi().map_or_else(|_| "absent".to_owned(), |abi| format!("ABI {abi}"))
        ),
    );
    for (name, result, detail) in cgroups(hotcell_cgroup::detect()) {
        add(name, result, false, &detail);
    }
    features
}

/// What of cgroups can be expected to work. Only making some would tell for certain, and on v2 that may move this process.
fn cgroups(detected: Result<Detection, hotcell_cgroup::Error>) -> Vec<(&'static str, Result<(), i32>, String)> {
    const VERSIONS: [(&str, Version); 2] = [("cgroup-v1", Version::V1), ("cgroup-v2", Version::V2)];
    const CONTROLLERS: [(&str, Controller, &str); 4] = [
        ("cgroup-memory", Controller::Memory, "limits.memoryBytes of all memory that a run uses"),
        ("cgroup-pids", Controller::Pids, "limits.processes of a run, and their peak"),
        ("cgroup-cpu", Controller::Cpu, "limits.cpuRate"),
        ("cgroup-cpuset", Controller::CpuSet, "limits.cpuSet"),
    ];
    let detection = match detected {
        Ok(detection) => detection,
        Err(error) => {
            let names = VERSIONS.map(|(name, _)| name).into_iter().chain(CONTROLLERS.map(|(name, ..)| name));
            return names.map(|name| (name, Err(error.errno().unwrap_or(0)), error.to_string())).collect();
        }
    };
    let problems = |version: Option<Version>| {
        let concerning = detection.problems.iter().filter(|problem| version.is_none_or(|only| problem.version == only));
        concerning.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let errno = |version: Option<Version>| {
        let concerning = detection.problems.iter().find(|problem| version.is_none_or(|only| problem.version == only));
        // Of a controller that is just not there the kernel says nothing.
        concerning.map_or(libc::ENOENT, |problem| if problem.errno == 0 { libc::ENOENT } else { problem.errno })
    };
    let usable = |version| detection.usable(version);
    let mut found = Vec::new();
    for (name, version) in VERSIONS {
        let limits = usable(version).has(Controller::Memory) && usable(version).has(Controller::Pids);
        let missing = match problems(Some(version)) {
            known if known.is_empty() => "none of its controllers is mounted, or comes down to this process".to_owned(),
            known => known,
        };
        let detail = "exact limits and figures of memory, processes and CPU time".to_owned();
        found.push(if limits {
            (name, Ok(()), detail)
        } else {
            (name, Err(errno(Some(version))), format!("{detail}; {missing}"))
        });
    }
    let all = usable(Version::V1).or(usable(Version::V2));
    for (name, controller, detail) in CONTROLLERS {
        found.push(if all.has(controller) {
            (name, Ok(()), detail.to_owned())
        } else {
            let delegated = "under systemd Delegate=cpu cpuset memory pids, in Docker a writable /sys/fs/cgroup";
            (name, Err(errno(None)), format!("{detail}; {delegated}. {}", problems(None)).trim_end().to_owned())
        });
    }
    found
}

/// A container that needs as little as any: no mounts of the host, no network namespace, no /proc.
fn bare_setup() -> Setup {
    let mut setup = Setup { network: Network::Host, proc: ProcMode::None, ..default_setup() };
    setup.mounts.retain(|mount| mount.target.as_slice() == setup.work_dir.as_slice());
    setup
}

/// With a directory that every host has as the lower layer. Others may be on file systems of which overlayfs thinks differently.
fn with_overlay() -> Setup {
    let mut setup = bare_setup();
    let kind = MountKind::Overlay { source: b"/usr".to_vec().into(), limits: None, map_owner: true };
    let target = b"/overlay".to_vec().into();
    setup.mounts.push(Mount { kind, target, read_only: false, no_exec: false, optional: false });
    setup
}

/// A container is asked to execute a directory on a terminal. That it refuses to do so means that the terminal was there.
fn terminal_works() -> Result<(), i32> {
    let numbered = |error: &Error| error.errno().unwrap_or(0);
    let container = make(&bare_setup()).map_err(|error| numbered(&error))?;
    let size = WindowSize { columns: 80, rows: 24 };
    let result = container.run(Program { terminal: Some(size), ..Program::new(b"/\0") }, &[], 0);
    container.destroy();
    match result {
        Err(Error::Perform(failure)) if failure.step == Step::Execve => Ok(()),
        Err(error) => Err(numbered(&error)),
        // A directory was executed.
        Ok(_) => Err(libc::EINVAL),
    }
}

fn make(setup: &Setup) -> Result<Container, Error> {
    // It is about containers: cgroups of the host's are not made for a question.
    let seccomp = Seccomp::profile(Profile::Off)?;
    Container::create_in(setup, &CgroupChoice::Off, seccomp)
}

fn create(setup: &Setup) -> Result<(), Error> {
    make(setup).map(Container::destroy)
}

fn numbered(result: &Result<(), Error>) -> Result<(), i32> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(error.errno().unwrap_or(0)),
    }
}

/// What kept the launcher from starting, if anything did.
fn launcher_error(result: &Result<(), Error>) -> Result<(), i32> {
    match result {
        Err(Error::SealImage { errno } | Error::OpenImage { errno, .. } | Error::StartLauncher { errno }) => {
            Err(*errno)
        }
        Err(Error::RefuseImage { .. }) => Err(libc::EPERM),
        _ => Ok(()),
    }
}

/// Whether one of these steps failed because the kernel does not know the call.
fn missing(results: &[&Result<(), Error>], steps: &[Step]) -> Result<(), i32> {
    for result in results {
        if let Err(Error::Perform(failure)) = result
            && steps.contains(&failure.step)
            && failure.errno == libc::ENOSYS
        {
            return Err(failure.errno);
        }
    }
    Ok(())
}

fn openat2_works() -> Result<(), i32> {
    let tried = File::open("/").and_then(|root| {
        openat2::openat2(
            root.as_fd(),
            c".",
            libc::O_PATH,
            0,
            openat2::resolve::IN_ROOT | openat2::resolve::NO_MAGICLINKS,
        )
    });
    tried.map(drop).map_err(|error| errno(&error))
}

/// Whether a container without root has more than one id; it has so many. If not, EPERM if all that it takes seems to be there, else ENOENT.
fn ranges(root: bool, count: u64) -> Result<(), i32> {
    if root || count > 1 {
        return Ok(());
    }
    let helper = |name| {
        let found = |directory| Path::new(directory).join(name).exists();
        ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"].into_iter().any(found)
    };
    let uid = nix::unistd::geteuid();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let number = uid.to_string();
    let granted = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.split(':').next()).any(|owner| owner == number || owner == name)
    };
    let is_there = helper("newuidmap") && helper("newgidmap") && granted("/etc/subuid") && granted("/etc/subgid");
    Err(if is_there { libc::EPERM } else { libc::ENOENT })
}

/// How many ids a container has, which is destroyed.
fn count_ids(container: Container) -> u64 {
    let map = fs::read_to_string(format!("/proc/{}/uid_map", container.pid())).unwrap_or_default();
    container.destroy();
    ids(&map)
}

/// How many ids a map has (user_namespaces(7)).
fn ids(map: &str) -> u64 {
    let lengths = map.lines().filter_map(|line| line.split_whitespace().nth(2));
    lengths.filter_map(|length| length.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_map_are_counted() {
        assert_eq!(ids("         0       1000          1\n"), 1);
        assert_eq!(ids("0 100000 1000\n1000 1000 1\n"), 1001);
        assert_eq!(ids("0 0 4294967295\n"), u64::from(u32::MAX));
        assert_eq!(ids(""), 0);
    }

    #[test]
    fn every_cgroup_feature_is_named_whatever_there_is() {
        let here: Vec<_> = cgroups(hotcell_cgroup::detect()).into_iter().map(|(name, ..)| name).collect();
        let unreadable = hotcell_cgroup::Error::ReadOwn { path: "/proc/self/cgroup", errno: libc::ENOENT };
        let without = cgroups(Err(unreadable));
        assert!(without.iter().all(|(_, result, detail)| *result == Err(libc::ENOENT) && !detail.is_empty()));
        assert_eq!(without.into_iter().map(|(name, ..)| name).collect::<Vec<_>>(), here);
    }
}
