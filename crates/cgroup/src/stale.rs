//! Sweeping what dead host processes left behind.
//!
//! Runs in the host process when it makes its parent. A directory of a host process is stale if its owner is not alive by pid and start
//! time, **and** the lock that the owner holds on it (flock(2), which ends with its holder, by SIGKILL too) can be taken. The pid alone
//! would condemn owners in other pid namespaces, which may share a cgroup with us; the lock alone would condemn one that is about to
//! take it.
//!
//! What lives in a stale container is killed. What lives in the `host` leaf is not: these are processes that the embedding program
//! had started, none of ours. Their directory stays until they end, and a later sweep.

use crate::detect::Version;
use crate::directory::Directory;
use crate::kill;
use crate::name;
use nix::fcntl::{Flock, FlockArg};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long killing and removing may hold up the start of a host process.
const WITHIN: Duration = Duration::from_secs(2);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Dead host processes whose directories were removed, once a hierarchy.
    pub removed: usize,
    /// Those that could not be.
    pub left: usize,
}

impl Swept {
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { removed: self.removed + other.removed, left: self.left + other.left }
    }
}

/// Removes the directories of dead owners in a parent.
pub fn sweep(parent: &Directory, version: Version) -> Swept {
    let deadline = Instant::now() + WITHIN;
    let mut swept = Swept::default();
    for owner_name in parent.names(|found| name::Owner::parse(found).is_some_and(|owner| !owner.is_alive())) {
        let Ok(directory) = parent.enter(&owner_name) else { continue };
        // Kept until it is removed, so that two sweepers do not trip over each other.
        let Some(_lock) = lock(&directory) else { continue };
        for container in directory.names(name::is_container) {
            let left = deadline.saturating_duration_since(Instant::now());
            kill_container(&directory, &container, version, left);
            remove_container(&directory, &container);
        }
        let _ = directory.remove(name::HOST);
        match parent.remove(&owner_name) {
            Ok(()) => swept.removed += 1,
            Err(_) => swept.left += 1,
        }
    }
    swept
}

/// The lock on a directory, unless somebody has it.
pub fn lock(directory: &Directory) -> Option<Flock<OwnedFd>> {
    let fd = directory.open_file(".", nix::libc::O_DIRECTORY).ok()?;
    Flock::lock(fd, FlockArg::LockExclusiveNonblock).ok()
}

/// Kills everything in a container's cgroups of one hierarchy, best effort.
pub fn kill_container(owner: &Directory, container: &str, version: Version, within: Duration) {
    let Ok(directory) = owner.enter(container) else { return };
    if version == Version::V2 && matches!(kill::kill_v2(&directory), Ok(true)) {
        let _ = kill::wait_empty_v2(&directory, within);
        return;
    }
    let leaves = directory.names(|found| name::is_run(found) || found == name::INIT);
    for leaf in leaves.iter().filter_map(|leaf| directory.enter(leaf).ok()) {
        let _ = match version {
            Version::V2 => kill::freeze_and_kill(&leaf, &kill::FREEZER_V2, None, within),
            Version::V1 => {
                // Frozen ones cannot die, and without forks none is missed.
                let _ = leaf.write(kill::FREEZER_V1.file, kill::FREEZER_V1.thaw);
                let _ = leaf.write(c"pids.max", "0");
                kill::kill_members(&leaf, None, within)
            }
        };
    }
}

/// Removes a container's cgroups of one hierarchy, as far as they are empty; whether all are gone.
pub fn remove_container(owner: &Directory, container: &str) -> bool {
    if let Ok(directory) = owner.enter(container) {
        for leaf in directory.names(|found| name::is_run(found) || found == name::INIT) {
            let _ = directory.remove(&leaf);
        }
    }
    owner.remove(container).is_ok()
}
