//! Overlays whose source belongs to somebody who is nobody in the container.
//!
//! Runs in the launcher, as root: an idmapped mount (mount_setattr(2), Linux 5.12; below an overlay 5.19) shows what belongs to the owner of
//! the source as the programs' own, on that mount alone. Without that they could neither change these files nor have them copied up
//! (`EOVERFLOW`: there is no such id in their user namespace). It needs CAP_SYS_ADMIN over the host's file system, which a container never
//! has, so the source is opened before the clone and translated after it, when it is known who the programs are, and before init goes on.
//!
//! Without an overlay nothing of this happens.

use crate::identity::Strategy;
use crate::setup;
use hotcell_linux::clone3::{self, Fork};
use hotcell_linux::id_map::{self, IdRange};
use hotcell_linux::{errno, file, mount_api, pidfd, prctl};
use hotcell_protocol::{Failure, Identity, MountKind, Setup, Step};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Opens the sources of overlays that are to be translated: one place for each mount, or none at all if there is no overlay.
pub fn open(setup: &Setup, strategy: &Strategy) -> Vec<Option<OwnedFd>> {
    let is_root = matches!(strategy, Strategy::Private | Strategy::Bare);
    if !is_root || !setup.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Overlay { .. })) {
        return Vec::new();
    }
    setup.mounts.iter().map(setup::open_lower).collect()
}

/// Makes what belongs to the owner of each source belong to `program`.
///
/// A file system that cannot be translated (FUSE, NFS, an overlay on an old kernel) is left as it is: everybody else's.
pub fn apply(lowers: &[Option<OwnedFd>], program: Option<Identity>) -> Result<(), Failure> {
    let Some(program) = program else { return Ok(()) };
    let failed = |error: io::Error| Failure::new(Step::MapOwner, errno(&error));
    for lower in lowers.iter().flatten() {
        let owner = file::stat(lower.as_fd()).map_err(failed)?;
        let namespace = user_namespace((owner.st_uid, program.uid), (owner.st_gid, program.gid)).map_err(failed)?;
        match mount_api::map_ids(lower.as_fd(), namespace.as_fd()) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::EOPNOTSUPP)) => {}
            other => other.map_err(failed)?,
        }
    }
    Ok(())
}

/// A user namespace that maps one user and one group (inside, outside), and has no other use.
fn user_namespace(uid: (u32, u32), gid: (u32, u32)) -> io::Result<OwnedFd> {
    let range = |(inside, outside)| [IdRange { inside, outside, length: 1 }];
    // SAFETY: this process has a single thread.
    let (pid, pidfd) = match unsafe { clone3::fork(libc::CLONE_NEWUSER as u64, libc::SIGCHLD, None) }? {
        Fork::Child => {
            let _ = prctl::set_parent_death_signal(libc::SIGKILL);
            loop {
                // SAFETY: no memory involved. It waits for the signal that ends it.
                unsafe { libc::pause() };
            }
        }
        Fork::Parent(pid, pidfd) => (pid, pidfd),
    };
    let mapped = id_map::write_gid_map(pid, &range(gid))
        .and_then(|()| id_map::write_uid_map(pid, &range(uid)))
        .and_then(|()| fs::File::open(format!("/proc/{pid}/ns/user")));
    let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
    let _ = pidfd::reap(pidfd.as_fd());
    mapped.map(OwnedFd::from)
}
