//! Who manages the cgroups around this process: a guess from names and mounts, and good only for advice in messages.

use super::procfs::{Membership, Mount};
use std::fmt;

/// What this process seems to run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// Nothing in particular.
    Plain,
    /// A unit of systemd.
    Systemd {
        /// Its name.
        unit: String,
        /// Whether it belongs to a user's manager.
        user: bool,
    },
    /// Docker, or containerd on its own.
    Docker,
    /// Podman.
    Podman,
    /// A pod of Kubernetes.
    Kubernetes,
    /// LXC, LXD or Incus.
    Lxc,
}

impl Environment {
    /// Judges by names of cgroups first, then by what container engines bind into every container.
    pub(super) fn guess(memberships: &[Membership], mounts: &[Mount]) -> Self {
        let mut paths = memberships.iter().map(|membership| membership.path.as_str());
        let any_path = |part: &str| memberships.iter().any(|membership| membership.path.contains(part));
        let any_mount = |part: &str| mounts.iter().any(|mount| mount.root.contains(part));
        if any_path("/kubepods")
            || any_mount("/kubelet/pods/")
            || mounts.iter().any(|mount| mount.point.contains("/kubernetes.io/"))
        {
            Self::Kubernetes
        } else if any_path("/libpod-") || any_path("/libpod_parent") || any_mount("/overlay-containers/") {
            Self::Podman
        } else if any_path("/docker/") || any_path("/docker-") || any_mount("/docker/containers/") {
            Self::Docker
        } else if any_path("/lxc.payload") || any_path("/lxc/") || mounts.iter().any(|mount| mount.kind == "fuse.lxcfs")
        {
            Self::Lxc
        } else {
            paths.find_map(unit).map_or(Self::Plain, |(unit, user)| Self::Systemd { unit, user })
        }
    }

    /// How to get cgroups that this process may use.
    pub(super) const fn cure(&self, v2: bool) -> &'static str {
        match self {
            Self::Plain => "run as root, or have an administrator make a cgroup for this user and name it as the base",
            Self::Systemd { user: true, .. } => "start it with systemd-run --user --scope -p Delegate=yes",
            Self::Systemd { user: false, .. } => {
                "put Delegate=yes into the unit's [Service] section, or start it with systemd-run --user --scope -p Delegate=yes"
            }
            Self::Docker if v2 => "docker run --security-opt writable-cgroups=true (Docker 28), or --privileged",
            Self::Docker => "docker run --privileged: on cgroup v1 there is no narrower way",
            Self::Podman if v2 => "podman run --security-opt unmask=/sys/fs/cgroup",
            Self::Podman => "podman run --privileged: on cgroup v1 there is no narrower way",
            Self::Kubernetes => {
                "have the node's runtime mount cgroups read-write (containerd 2.1: cgroup_writable, CRI-O: cgroup2-mount-hierarchy-rw), \
                 or make the container privileged"
            }
            Self::Lxc => "set lxc.mount.auto = cgroup:rw",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("no container, no systemd unit"),
            Self::Systemd { unit, user: false } => write!(f, "systemd unit {unit}"),
            Self::Systemd { unit, user: true } => write!(f, "unit {unit} of a user's systemd"),
            Self::Docker => f.write_str("Docker"),
            Self::Podman => f.write_str("Podman"),
            Self::Kubernetes => f.write_str("Kubernetes"),
            Self::Lxc => f.write_str("LXC"),
        }
    }
}

/// The innermost unit of a path that is a service or scope, and whether it is below a user's manager.
fn unit(path: &str) -> Option<(String, bool)> {
    let manager = path.split('/').position(|part| part.starts_with("user@") && part.ends_with(".service"));
    let units = path.split('/').enumerate().filter(|(_, part)| part.ends_with(".service") || part.ends_with(".scope"));
    let (index, unit) = units.last()?;
    Some((unit.to_owned(), manager.is_some_and(|manager| manager < index)))
}
