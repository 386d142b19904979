//! What one host process makes in one hierarchy: the parent, its own directory in it, and on v2 the way for controllers to get there.
//!
//! Runs in the host process. Each step that changes something is undone when a [`Tree`] is dropped, in the opposite order and as far as
//! others do not make use of it; what remains is left to the next sweep.

use crate::controller::Controllers;
use crate::detect::Version;
use crate::directory::Directory;
use crate::error::{Error, errno};
use crate::name;
use crate::stale::{self, Swept};
use crate::{kill, v1, v2};
use hotcell_linux::file;
use nix::fcntl::Flock;
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a tree could be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which kind of hierarchy.
    pub version: Version,
    /// The cgroup to make the parent in.
    pub base: PathBuf,
    /// The controllers to be had there.
    pub controllers: Controllers,
    /// v2: whether this process is in that very cgroup, and it is not the root of the system: then controllers can be enabled in
    /// it only after it moved out.
    pub is_own: bool,
}

/// One host process's directory in one hierarchy.
#[derive(Debug)]
pub struct Tree {
    /// Which kind.
    pub version: Version,
    /// What containers in it have.
    pub controllers: Controllers,
    /// Of this host process.
    pub directory: Directory,
    own_name: String,
    parent: Directory,
    parent_name: String,
    base: Directory,
    /// Says that we live; see [`crate::stale`].
    _lock: Flock<OwnedFd>,
    moved: bool,
    enabled: Controllers,
}

/// The directory of a host process, from where its parent stands.
#[derive(Debug, Clone, Copy)]
pub struct Legacy<'a> {
    /// The directory that the parent is in.
    pub base: BorrowedFd<'a>,
    /// The parent's name.
    pub parent: &'a str,
    /// The name in the parent.
    pub owner: &'a str,
    /// What has to be disabled, up to the base, before a process in the leaf `host` can leave it for the base.
    pub enabled: Controllers,
}

/// How long another process that is just making or unmaking its own directory is waited for.
const PARENT_LOCK_WITHIN: Duration = Duration::from_secs(1);
/// Directories of one process under one name: copies of the addon in different worker threads.
const FURTHER_MAX: u32 = 64;
/// Only its owner may remove a directory with this bit: for cgroups it changes nothing, and marks those parents that we made.
const MADE_BY_US: u32 = libc::S_ISVTX;

impl Tree {
    /// Makes everything, sweeping what dead owners left.
    pub fn create(place: &Place, parent_name: &str, wanted: Controllers) -> Result<(Self, Swept), Error> {
        let base = Directory::open(&place.base)?;
        let wanted = wanted.and(place.controllers);
        let must_move = place.version == Version::V2 && place.is_own && !wanted.without(v2::enabled(&base)).is_empty();
        if must_move
            && let Some(controller) = wanted.iter().next()
            && !kill::members(&base, Some(std::process::id() as i32))?.is_empty()
        {
            // What the kernel would say once we had moved, said before anything is touched.
            return Err(Error::EnableController { path: place.base.clone(), controller, errno: libc::EBUSY });
        }
        let parent = make_parent(&base, parent_name)?;
        let _one_at_a_time = lock_parent(&parent);
        let swept = stale::sweep(&parent, place.version);
        let (own_name, directory, lock) = match make_own(&parent) {
            Ok(made) => made,
            Err(error) => {
                remove_parent(&base, &parent, parent_name);
                return Err(error);
            }
        };
        // From here on dropping it undoes what was done.
        let mut tree = Self {
            version: place.version,
            controllers: wanted,
            directory,
            own_name,
            parent,
            parent_name: parent_name.to_owned(),
            base,
            _lock: lock,
            moved: false,
            enabled: Controllers::NONE,
        };
        match place.version {
            Version::V1 => tree.prepare_v1()?,
            Version::V2 => tree.prepare_v2(must_move)?,
        }
        Ok((tree, swept))
    }

    fn prepare_v1(&self) -> Result<(), Error> {
        v1::prepare(self.controllers, &self.parent, &self.base)?;
        v1::prepare(self.controllers, &self.directory, &self.parent)
    }

    fn prepare_v2(&mut self, must_move: bool) -> Result<(), Error> {
        if must_move {
            let leaf = self.directory.make(name::HOST, 0o755)?;
            let moved = leaf.write(c"cgroup.procs", "0");
            moved.map_err(|error| Error::MoveSelf { path: leaf.path().to_owned(), errno: errno(&error) })?;
            self.moved = true;
        }
        self.enabled = v2::enable(&self.base, self.controllers)?;
        v2::enable(&self.parent, self.controllers)?;
        v2::enable(&self.directory, self.controllers)?;
        self.controllers = v2::enabled(&self.directory).and(Controllers::V2);
        Ok(())
    }

    /// What somebody who outlives this process needs to remove its directory.
    pub fn legacy(&self) -> Legacy<'_> {
        let enabled = if self.moved { self.controllers } else { Controllers::NONE };
        Legacy { base: self.base.as_fd(), parent: &self.parent_name, owner: &self.own_name, enabled }
    }

    /// Makes a container's cgroup, with everything that it can have.
    pub fn make_container(&self, name: &str) -> Result<Arc<Directory>, Error> {
        let directory = Arc::new(self.directory.make(name, 0o755)?);
        self.prepare(&directory, &self.directory)?;
        Ok(directory)
    }

    /// Makes a leaf in a container.
    pub fn make_leaf(&self, container: &Directory, name: &str) -> Result<Arc<Directory>, Error> {
        let directory = Arc::new(container.make(name, 0o755)?);
        if self.version == Version::V1 {
            self.prepare(&directory, container)?;
        }
        Ok(directory)
    }

    fn prepare(&self, directory: &Directory, above: &Directory) -> Result<(), Error> {
        match self.version {
            Version::V1 => v1::prepare(self.controllers, directory, above),
            Version::V2 => v2::enable(directory, self.controllers).map(drop),
        }
    }

    /// Back to where we came from, which takes that no controller is enabled there. (Elsewhere what was enabled stays: by now others
    /// may count on it.)
    fn undo_move(&self) {
        v2::disable(&self.directory, self.controllers);
        v2::disable(&self.parent, self.controllers);
        v2::disable(&self.base, self.enabled);
        if self.base.write(c"cgroup.procs", "0").is_ok() {
            let _ = self.directory.remove(name::HOST);
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Without waiting for anybody: who is just making a directory beside ours keeps the parent.
        let Some(_one_at_a_time) = stale::lock(&self.parent) else { return };
        if self.moved {
            self.undo_move();
        }
        if self.parent.remove(&self.own_name).is_ok() {
            remove_parent(&self.base, &self.parent, &self.parent_name);
        }
    }
}

fn make_parent(base: &Directory, name: &str) -> Result<Directory, Error> {
    match base.make(name, 0o755 | MADE_BY_US) {
        Err(Error::Make { errno: libc::EEXIST, .. }) => base.enter(name),
        other => other,
    }
}

/// Removes the parent if it is empty, and was made by one of us.
fn remove_parent(base: &Directory, parent: &Directory, name: &str) {
    if file::stat(parent.as_fd()).is_ok_and(|stat| stat.st_mode & MADE_BY_US != 0) {
        let _ = base.remove(name);
    }
}

/// Best effort: without it a neighbour that ends this very moment could take the controllers away again.
fn lock_parent(parent: &Directory) -> Option<Flock<OwnedFd>> {
    let deadline = Instant::now() + PARENT_LOCK_WITHIN;
    loop {
        let lock = stale::lock(parent);
        if lock.is_some() || Instant::now() >= deadline {
            return lock;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Our own directory, locked.
fn make_own(parent: &Directory) -> Result<(String, Directory, Flock<OwnedFd>), Error> {
    let owner = name::Owner::own();
    let mut error = Error::Lock { path: parent.path().to_owned(), errno: libc::EWOULDBLOCK };
    for further in 0..FURTHER_MAX {
        let own_name = owner.name(further);
        match parent.make(&own_name, 0o755) {
            Ok(directory) => {
                // A sweeper of another pid namespace may have had it for stale before it was locked.
                if let Some(lock) = stale::lock(&directory)
                    && is_same(&directory, parent.enter(&own_name).as_ref().ok())
                {
                    return Ok((own_name, directory, lock));
                }
                let _ = parent.remove(&own_name);
            }
            Err(Error::Make { errno: libc::EEXIST, .. }) => {}
            // The parent was removed by a neighbour that ended, or cannot be written: its errno tells.
            Err(other) => {
                error = other;
                break;
            }
        }
    }
    Err(error)
}

fn is_same(one: &Directory, other: Option<&Directory>) -> bool {
    let inode = |directory: &Directory| file::stat(directory.as_fd()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    inode(one).is_some_and(|found| other.and_then(inode) == Some(found))
}
