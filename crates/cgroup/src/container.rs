//! The cgroups of one container.

use crate::detect::Version;
use crate::directory::Directory;
use crate::error::{Error, errno};
use crate::group::Group;
use crate::kill;
use crate::name;
use crate::parent;
use crate::stale;
use crate::tree::Tree;
use crate::v1::{Part, V1};
use crate::v2::V2;
use nix::libc;
use std::fs::{File, Permissions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A container's cgroups. Dropping it kills what is in them on v2, and removes them; what is not empty yet is removed later.
#[derive(Debug)]
pub struct Container(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    parent: Arc<parent::Inner>,
    name: String,
    /// One a tree of the parent, in its order. On v1 they are made with the first run group: a container whose runs have no limits
    /// needs none.
    directories: Mutex<Vec<Option<Arc<Directory>>>>,
    /// v2: where pid 1 lives.
    init: Option<Arc<Directory>>,
    next: AtomicU64,
    granted: Mutex<Option<(u32, u32)>>,
}

impl Container {
    pub(crate) fn make(parent: Arc<parent::Inner>, name: String) -> Result<Self, Error> {
        let mut inner = Inner {
            name,
            directories: Mutex::new(vec![None; parent.trees.len()]),
            parent: Arc::clone(&parent),
            init: None,
            next: AtomicU64::new(0),
            granted: Mutex::default(),
        };
        for (index, tree) in parent.trees.iter().enumerate() {
            if tree.version == Version::V2 {
                let directory = inner.directory(index, tree)?;
                inner.init = Some(tree.make_leaf(&directory, name::INIT)?);
            }
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Where the container's pid 1 is to be born, by `CLONE_INTO_CGROUP`. `None` on v1: it stays with who cloned it.
    pub fn init_entrance(&self) -> Option<BorrowedFd<'_>> {
        self.0.init.as_ref().map(|directory| directory.as_fd())
    }

    /// v2: lets this user clone into the run groups, those of now and later ones. The kernel asks who clones for write access to
    /// cgroup.procs of the group and of the closest cgroup above both, by its *file system* user id. Without effect on v1.
    pub fn grant(&self, uid: u32, gid: u32) -> Result<(), Error> {
        *self.0.granted.lock().unwrap_or_else(PoisonError::into_inner) = Some((uid, gid));
        for (tree, directory) in self.0.made() {
            if tree.version == Version::V2 {
                grant(&directory, (uid, gid))?;
                for run in directory.names(name::is_run) {
                    grant(&directory.enter(&run)?, (uid, gid))?;
                }
            }
        }
        Ok(())
    }

    /// Makes a run group.
    pub fn group(&self) -> Result<Group, Error> {
        let name = name::run(self.0.next.fetch_add(1, Ordering::Relaxed));
        let granted = *self.0.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut parts, mut v2) = (Vec::new(), None);
        // Made so far are removed if one fails: by name.
        let made = Made { container: Arc::clone(&self.0), name };
        for (index, tree) in self.0.parent.trees.iter().enumerate() {
            let container = self.0.directory(index, tree)?;
            let directory = tree.make_leaf(&container, &made.name)?;
            match tree.version {
                Version::V1 => parts.push(Part { controllers: tree.controllers, directory }),
                Version::V2 => {
                    if let Some(owner) = granted {
                        grant(&directory, owner)?;
                    }
                    v2 = Some(V2::new(directory, tree.controllers)?);
                }
            }
        }
        let v1 = if parts.is_empty() { None } else { Some(V1::new(parts)?) };
        Ok(Group::new(v1, v2, made))
    }

    /// Kills every process in its cgroups: on v2 its pid 1 too; on v1 what is in the run groups, and with a thread of it pid 1.
    pub fn kill(&self, within: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        for (tree, directory) in self.0.made() {
            let left = deadline.saturating_duration_since(Instant::now());
            stale::kill_container(&tree.directory, &self.0.name, tree.version, left);
            if tree.version == Version::V2 {
                kill::wait_empty_v2(&directory, left)?;
            }
        }
        Ok(())
    }

    /// Kills, waits, and removes; an error if something is left. Groups of it must have been dropped.
    pub fn destroy(self, within: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        self.kill(within)?;
        for (tree, _) in self.0.made() {
            // On v1 a cgroup is busy for some microseconds after its last process is waited for.
            while !stale::remove_container(&tree.directory, &self.0.name) {
                if Instant::now() >= deadline {
                    return Err(Error::Remove { path: tree.directory.path().join(&self.0.name), errno: libc::EBUSY });
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Its directory in a tree, made if there is none yet.
    fn directory(&self, index: usize, tree: &Tree) -> Result<Arc<Directory>, Error> {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = directories.get_mut(index) else { return tree.make_container(&self.name) };
        if let Some(directory) = place {
            return Ok(Arc::clone(directory));
        }
        Ok(Arc::clone(place.insert(tree.make_container(&self.name)?)))
    }

    /// The trees that it has a directory in.
    fn made(&self) -> Vec<(&Tree, Arc<Directory>)> {
        let directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.parent.trees.iter().zip(directories).filter_map(|(tree, made)| Some((tree, made?))).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut gone = true;
        for (tree, directory) in self.made() {
            if tree.version == Version::V2 {
                let _ = kill::kill_v2(&directory);
            }
            gone &= stale::remove_container(&tree.directory, &self.name);
        }
        if !gone {
            self.parent.condemn(std::mem::take(&mut self.name));
        }
    }
}

/// The directories of a run group, removed when dropped.
#[derive(Debug)]
pub(crate) struct Made {
    container: Arc<Inner>,
    name: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        for (_, directory) in self.container.made() {
            let _ = directory.remove(&self.name);
        }
    }
}

/// Without the right to give files away (a user with subordinate ids) everybody may write to it. That lets nobody in: moving a
/// process takes the right to write to cgroup.procs of a cgroup above both as well, which only this container's share.
fn grant(directory: &Directory, (uid, gid): (u32, u32)) -> Result<(), Error> {
    let file = File::from(directory.open_file("cgroup.procs", libc::O_RDONLY)?);
    let granted = match fchown(&file, Some(uid), Some(gid)) {
        Err(error) if errno(&error) == libc::EPERM => file.set_permissions(Permissions::from_mode(0o666)),
        other => other,
    };
    granted.map_err(|error| Error::Grant { path: directory.path().join("cgroup.procs"), errno: errno(&error) })
}
