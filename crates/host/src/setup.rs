//! What a container is made from where nothing else is said.

use hotcell_protocol::{Identity, Mount, MountKind, Network, ProcMode, Setup, TmpfsLimits, UserNamespace};
use serde_bytes::ByteBuf;

/// Read-only /usr, /lib, /lib64 and /bin of the host, those that exist; empty /w and /tmp of 256 MiB each; no network; an
/// unprivileged identity in a user namespace, where one can be had.
pub fn default_setup() -> Setup {
    let bytes = |text: &str| ByteBuf::from(text.as_bytes());
    let bind = |path: &str| Mount {
        kind: MountKind::Bind { source: bytes(path) },
        target: bytes(path),
        read_only: true,
        no_exec: false,
        optional: true,
    };
    let tmpfs = |path: &str| Mount {
        kind: MountKind::Tmpfs { limits: None },
        target: bytes(path),
        read_only: false,
        no_exec: false,
        optional: false,
    };
    Setup {
        root: None,
        mounts: vec![bind("/usr"), bind("/lib"), bind("/lib64"), bind("/bin"), tmpfs("/w"), tmpfs("/tmp")],
        symlinks: Vec::new(),
        masked_paths: Vec::new(),
        work_dir: bytes("/w"),
        hostname: bytes("hotcell"),
        domainname: bytes("hotcell"),
        env: bytes("PATH=/usr/local/bin:/usr/bin:/bin\0"),
        program: Identity { uid: 1000, gid: 1000 },
        user_namespace: UserNamespace::Preferred,
        network: Network::None,
        tmpfs: TmpfsLimits { size_bytes: 256 << 20, inodes: 65_536 },
        proc: ProcMode::Masked,
    }
}
