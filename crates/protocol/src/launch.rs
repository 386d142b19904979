//! From the host to the launcher: a container to make.

use crate::step::Failure;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Host to launcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Make a container.
    Launch(Box<Launch>),
    /// Remove cgroups when the host is gone. No answer.
    Guard(Guard),
}

/// The cgroups of a host in one hierarchy, with the directory that the parent is in beside the packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The name of the parent; removed if it is empty, and marked as made by a host.
    pub parent: ByteBuf,
    /// The name of this host's directory in it.
    pub owner: ByteBuf,
    /// v2: the controllers, separated by spaces, that are to be disabled if the host had moved into the leaf `host`.
    pub enabled: ByteBuf,
}

/// A container to make, with its end of its socket beside the packet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Chosen by the host; comes back in [`Launched`].
    pub id: u32,
    /// What to make.
    pub setup: Setup,
    /// Whether init is to be born in a cgroup (v2) whose directory comes beside the packet, behind the socket. Then it stays in the
    /// launcher's cgroup namespace, from which alone it can reach the groups of runs, and each program gets a namespace of its own.
    pub cgroup: bool,
}

/// Launcher to host: the clone succeeded, with init's pidfd beside the packet, or it failed. Whether the container came up is
/// said by init itself, on its own socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launched {
    /// From [`Launch`].
    pub id: u32,
    /// What was cloned, or why not.
    pub result: Result<Cloned, Failure>,
}

/// An init, as the launcher and the host see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloned {
    /// Its pid.
    pub pid: u32,
    /// Its identity. Programs have another one, if there are ids enough.
    pub init: Identity,
}

/// Everything that a container is made from. Paths are bytes without NUL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// A host directory to build the root on; `None` where any will do.
    pub root: Option<ByteBuf>,
    /// In this order.
    pub mounts: Vec<Mount>,
    /// Symbolic links (target, path) made in the root file system before it becomes read-only.
    pub symlinks: Vec<(ByteBuf, ByteBuf)>,
    /// Container paths to hide: a file behind /dev/null, a directory behind an empty read-only one. Absent ones are skipped.
    pub masked_paths: Vec<ByteBuf>,
    /// Absolute; where relative paths of requests start and programs begin.
    pub work_dir: ByteBuf,
    /// UTS host name.
    pub hostname: ByteBuf,
    /// UTS (NIS) domain name.
    pub domainname: ByteBuf,
    /// The environment of runs that bring none, as NUL-terminated strings.
    pub env: ByteBuf,
    /// Who programs are, inside.
    pub program: Identity,
    /// Whether to make a user namespace.
    pub user_namespace: UserNamespace,
    /// What network there is.
    pub network: Network,
    /// Size of each tmpfs that names none of its own.
    pub tmpfs: TmpfsLimits,
    /// What of /proc there is.
    pub proc: ProcMode,
}

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Whether to make a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// Yes; failing that, as root, go on without.
    Preferred,
    /// Yes, or fail.
    Required,
    /// No; only root can.
    Off,
}

/// What network there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A namespace of its own, with nothing but loopback.
    None,
    /// The host's.
    Host,
}

/// What of /proc there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcMode {
    /// Everything but the masked paths, read-only; other identities' processes are invisible (`hidepid=ptraceable`).
    Masked,
    /// Only processes (`subset=pid`), read-only.
    Pid,
    /// No /proc.
    None,
}

/// Bounds of a tmpfs (tmpfs(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsLimits {
    /// Bytes.
    pub size_bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What kind.
    pub kind: MountKind,
    /// Absolute container path; missing directories (and for a bind of a file, the file) are made.
    pub target: ByteBuf,
    /// Read-only, all the way down. nosuid and nodev are never optional.
    pub read_only: bool,
    /// No programs may be executed from it.
    pub no_exec: bool,
    /// Skip it, silently, where the source does not exist.
    pub optional: bool,
}

/// What kind of mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A host file or directory with everything mounted below it. A source that *is* a symbolic link (merged /usr) is
    /// made again as the same link, if it is relative.
    Bind {
        /// Absolute host path.
        source: ByteBuf,
    },
    /// A new tmpfs, owned by the program's identity, emptied by reset.
    Tmpfs {
        /// Its bounds; `None` for the container's.
        limits: Option<TmpfsLimits>,
    },
    /// A host directory that programs may change, without changing it: what they write goes to a tmpfs, which reset empties.
    Overlay {
        /// Absolute host path of a directory.
        source: ByteBuf,
        /// Bounds of the tmpfs; `None` for the container's.
        limits: Option<TmpfsLimits>,
        /// Whether what belongs to the owner of the source belongs to programs, where that can be had (root, and Linux 5.19).
        map_owner: bool,
    },
}
