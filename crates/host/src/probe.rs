//! What this host allows, found out by trying.
//!
//! Versions and configuration files tell little about a host: a seccomp filter, an AppArmor profile or a sysctl may stand before
//! each call, and distributions backport. So each question that a container can answer is put by creating one that needs
//! little else, and each answer keeps the kernel's errno.

use crate::blocking::Container;
use crate::cgroups::CgroupChoice;
use crate::error::{Error, errno};
use crate::setup::default_setup;
use hotcell_linux::{landlock, openat2, pidfd};
use hotcell_protocol::{Network, ProcMode, Setup, Step, UserNamespace};
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
    pub detail: &'static str,
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
    let user_namespace = create(&Setup { user_namespace: UserNamespace::Required, ..bare_setup() });
    let beyond_bare = |setup: Setup| bare.clone().and_then(|()| create(&setup));
    let mut features = Vec::new();
    let mut add = |name, result: Result<(), i32>, required, detail| {
        let errno = result.err().unwrap_or(0);
        features.push(Feature { name, available: result.is_ok(), errno, required, detail });
    };

    add("container", numbered(&container), true, "create a container with default options");
    add(
        "user-namespace",
        numbered(&user_namespace),
        !root,
        "containers without root; sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0, \
         kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile that allows userns; in Docker, a seccomp profile that \
         allows clone3 and unshare",
    );
    add(
        "user-namespace-ranges",
        ranges(root),
        false,
        "identities of their own for init and programs without root; install newuidmap (package uidmap) and give the user a line in \
         /etc/subuid and /etc/subgid",
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
        "Linux 5.13, with landlock among the security modules (boot parameter lsm=)",
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    add(
        "cgroup-v1",
        mounted(&mounts, "cgroup"),
        false,
        "exact limits on memory and processes; mount the cgroup hierarchies",
    );
    add(
        "cgroup-v2",
        mounted(&mounts, "cgroup2"),
        false,
        "exact limits on memory and processes; mount the cgroup2 hierarchy",
    );
    features
}

/// A container that needs as little as any: no mounts of the host, no network namespace, no /proc.
fn bare_setup() -> Setup {
    let mut setup = Setup { network: Network::Host, proc: ProcMode::None, ..default_setup() };
    setup.mounts.retain(|mount| mount.target.as_slice() == setup.work_dir.as_slice());
    setup
}

fn create(setup: &Setup) -> Result<(), Error> {
    // It is about containers: cgroups of the host's are not made for a question.
    Container::create_in(setup, &CgroupChoice::Off).map(Container::destroy)
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
        Err(Error::SealImage { errno } | Error::StartLauncher { errno }) => Err(*errno),
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

/// Whether the set-uid helpers are there, and ranges for this user.
fn ranges(root: bool) -> Result<(), i32> {
    if root {
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
    let available = helper("newuidmap") && helper("newgidmap") && granted("/etc/subuid") && granted("/etc/subgid");
    if available { Ok(()) } else { Err(libc::ENOENT) }
}

/// Whether a file system of this type is mounted (proc_pid_mountinfo(5): the type follows a lone hyphen).
fn mounted(mountinfo: &str, kind: &str) -> Result<(), i32> {
    let is = |line: &str| line.split_once(" - ").is_some_and(|(_, tail)| tail.split(' ').next() == Some(kind));
    if mountinfo.lines().any(is) { Ok(()) } else { Err(libc::ENOENT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_type_is_found_by_its_own_name() {
        let text = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounted(text, "cgroup2"), Ok(()));
        assert_eq!(mounted(text, "cgroup"), Err(libc::ENOENT));
    }
}
