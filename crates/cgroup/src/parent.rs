//! The parent of all cgroups of one host process: where it is, what it can limit, and how containers are made in it.

use crate::container::Container;
use crate::controller::{Controller, Controllers};
use crate::detect::{self, Detection, Problem, Version, Why};
use crate::error::Error;
use crate::limits::CpuSet;
use crate::name;
use crate::place;
use crate::stale::{self, Swept};
use crate::tree::{Legacy, Place, Tree};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How cgroups are to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name of the parent. Default: `hotcell`.
    pub name: String,
    /// The cgroup to make it in, as /proc/self/cgroup spells cgroups, the same in each hierarchy. Default: found.
    pub base: Option<PathBuf>,
    /// What to limit, as far as it can be had. Default: all. What is left out makes containers on v1 cheaper.
    pub controllers: Controllers,
    /// Only hierarchies of this kind. Default: v2 as far as it goes, v1 for what it lacks.
    pub version: Option<Version>,
}

impl Default for Options {
    fn default() -> Self {
        Self { name: "hotcell".to_owned(), base: None, controllers: Controllers::ALL, version: None }
    }
}

/// One host process's cgroups. They are removed with the last copy of this and the last container.
#[derive(Debug, Clone)]
pub struct Parent(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub trees: Vec<Tree>,
    detection: Detection,
    swept: Swept,
    next: AtomicU64,
    /// Containers that could not be removed when they were dropped.
    condemned: Mutex<Vec<String>>,
}

impl Parent {
    /// Finds a place and makes it, sweeping what dead host processes left there. On v2 this process may be moved into a leaf below
    /// the cgroup that it is in, see the crate's documentation.
    pub fn create(options: &Options) -> Result<Self, Error> {
        if !name::is_valid(&options.name) {
            return Err(Error::NameParent { name: options.name.clone() });
        }
        let mut detection = detect::detect()?;
        match options.version {
            Some(Version::V1) => detection.v2 = None,
            Some(Version::V2) => detection.v1.clear(),
            None => {}
        }
        let mut problems = detection.problems.clone();
        let mut trees: Vec<Tree> = Vec::new();
        let mut swept = Swept::default();
        let base = options.base.as_deref();

        for place in place::of_v2(&detection, &options.name, base, &mut problems) {
            if let Some((tree, found)) = try_place(&place, options, options.controllers, &mut problems) {
                swept = swept.and(found);
                trees.push(tree);
                break;
            }
        }
        // On v2 CPU time is counted and processes are stopped without controllers.
        let had = trees.iter().fold(Controllers::NONE, |had, tree| had.or(tree.controllers));
        let had = if trees.is_empty() { had } else { had.with(Controller::CpuAcct).with(Controller::Freezer) };
        let mut lacking = options.controllers.without(had);
        if lacking.has(Controller::Pids) {
            // Ending all forks is the better way to kill; see kill.rs.
            lacking = lacking.without(Controllers::NONE.with(Controller::Freezer));
        }
        for place in place::of_v1(&detection, base, lacking, &mut problems) {
            if let Some((tree, found)) = try_place(&place, options, lacking, &mut problems) {
                swept = swept.and(found);
                trees.push(tree);
            }
        }
        if trees.is_empty() {
            return Err(Error::FindUsable { problems });
        }
        let detection = Detection { problems, ..detection };
        let (next, condemned) = (AtomicU64::new(0), Mutex::default());
        Ok(Self(Arc::new(Inner { trees, detection, swept, next, condemned })))
    }

    /// What can be limited and counted.
    pub fn controllers(&self) -> Controllers {
        self.0.trees.iter().fold(Controllers::NONE, |all, tree| match tree.version {
            Version::V1 => all.or(tree.controllers),
            Version::V2 => all.or(tree.controllers).with(Controller::CpuAcct).with(Controller::Freezer),
        })
    }

    /// Our directory in each hierarchy.
    pub fn directories(&self) -> impl Iterator<Item = (Version, Controllers, &Path)> {
        self.0.trees.iter().map(|tree| (tree.version, tree.controllers, tree.directory.path()))
    }

    /// What somebody who outlives this process needs to remove it all.
    pub fn legacies(&self) -> impl Iterator<Item = Legacy<'_>> {
        self.0.trees.iter().map(Tree::legacy)
    }

    /// What was found before, and what was wrong with places that were tried in vain.
    pub fn detection(&self) -> &Detection {
        &self.0.detection
    }

    /// What was left by dead host processes.
    pub fn swept(&self) -> Swept {
        self.0.swept
    }

    /// The CPUs that a set for a run may name.
    pub fn cpus(&self) -> Option<CpuSet> {
        let tree = self.0.trees.iter().find(|tree| tree.controllers.has(Controller::CpuSet))?;
        let file = match tree.version {
            Version::V1 => c"cpuset.cpus",
            Version::V2 => c"cpuset.cpus.effective",
        };
        CpuSet::parse(&tree.directory.read(file).ok()?)
    }

    /// Makes the cgroups of one container.
    pub fn container(&self) -> Result<Container, Error> {
        self.0.bury();
        let name = name::container(self.0.next.fetch_add(1, Ordering::Relaxed));
        Container::make(Arc::clone(&self.0), name)
    }
}

impl Inner {
    /// Has the cgroups of a dropped container removed later.
    pub fn condemn(&self, name: String) {
        self.condemned.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    /// Removes those of dropped containers, as far as their processes are gone now.
    fn bury(&self) {
        let is_left = |name: &String| !self.trees.iter().all(|tree| stale::remove_container(&tree.directory, name));
        self.condemned.lock().unwrap_or_else(PoisonError::into_inner).retain(is_left);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.bury();
    }
}

fn try_place(
    place: &Place,
    options: &Options,
    wanted: Controllers,
    problems: &mut Vec<Problem>,
) -> Option<(Tree, Swept)> {
    match Tree::create(place, &options.name, wanted) {
        Ok(made) => Some(made),
        Err(error) => {
            problems.push(problem(place, &error));
            None
        }
    }
}

fn problem(place: &Place, error: &Error) -> Problem {
    let path = error.path().unwrap_or(&place.base).to_owned();
    let errno = error.errno().unwrap_or(0);
    let shared = matches!(error, Error::EnableController { errno: nix::libc::EBUSY, .. });
    let (why, cure) = if shared {
        (Why::Shared, "give it a cgroup of its own (systemd-run --user --scope -p Delegate=yes), or name another base")
    } else {
        (Why::Refused, "have it delegated to this user, or name another base")
    };
    Problem { version: place.version, path, why, errno, cure }
}
