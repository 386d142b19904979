//! One parent cgroup for each way to make one.

use super::housekeeper::{Job, hand_over};
use crate::error::Error;
use crate::lock;
use hotcell_cgroup::{Container, Options, Parent};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Whether and how a container gets cgroups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CgroupChoice {
    /// Where they can be had, for runs whose limits need them. Elsewhere init and resource limits hold what they can.
    #[default]
    Preferred,
    /// Like this, for every run, or the container is not created.
    Required(Options),
    /// None.
    Off,
}

/// Those there are, and how often they could not be had: a host that allows none is not asked for each container again.
static PARENTS: Mutex<Vec<Arc<Shared>>> = Mutex::new(Vec::new());

static GENERATION: AtomicU64 = AtomicU64::new(0);

struct Shared {
    options: Options,
    parent: Result<Parent, hotcell_cgroup::Error>,
}

/// A share in a parent, for as long as a container is there.
pub(crate) struct Tenancy {
    shared: Arc<Shared>,
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // One holder is the list, one is this.
        if Arc::strong_count(&self.shared) <= 2 {
            hand_over(Job::Linger);
        }
    }
}

impl Tenancy {
    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.shared.parent.as_ref().ok()
    }
}

/// The cgroups of a new container, and its share in their parent; `None` where it has none.
pub(crate) fn for_container(choice: &CgroupChoice) -> Result<Option<(Container, Tenancy)>, Error> {
    let options = match choice {
        CgroupChoice::Off => return Ok(None),
        CgroupChoice::Preferred => &Options::default(),
        CgroupChoice::Required(options) => options,
    };
    let tenancy = Tenancy { shared: get(options, *choice == CgroupChoice::Preferred) };
    let made = match &tenancy.shared.parent {
        Ok(parent) => parent.container(),
        Err(error) => Err(error.clone()),
    };
    match (made, choice) {
        (Ok(container), _) => Ok(Some((container, tenancy))),
        (Err(_), CgroupChoice::Preferred) => Ok(None),
        (Err(error), _) => Err(Error::MakeCgroup(error)),
    }
}

/// With `known_failure` one that could not be made before is not tried again.
fn get(options: &Options, known_failure: bool) -> Arc<Shared> {
    // Held while it is made: a second one would only get in its way.
    let mut parents = lock(&PARENTS);
    let usable = |shared: &&Arc<Shared>| shared.options == *options && (known_failure || shared.parent.is_ok());
    if let Some(shared) = parents.iter().find(usable) {
        return Arc::clone(shared);
    }
    parents.retain(|shared| shared.options != *options);
    let shared = Arc::new(Shared { options: options.clone(), parent: Parent::create(options) });
    parents.push(Arc::clone(&shared));
    if shared.parent.is_ok() {
        GENERATION.fetch_add(1, Ordering::Release);
    }
    shared
}

/// Removes those that no container uses. Failures are kept.
pub(super) fn remove_unused() {
    let mut parents = lock(&PARENTS);
    let (kept, unused) = parents.drain(..).partition(|shared| Arc::strong_count(shared) > 1 || shared.parent.is_err());
    *parents = kept;
    drop::<Vec<_>>(unused);
}

/// Changes whenever a parent was made.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Acquire)
}

/// All parents, for whoever removes them when this process is gone.
pub(crate) fn all() -> Vec<Parent> {
    lock(&PARENTS).iter().filter_map(|shared| shared.parent.clone().ok()).collect()
}
