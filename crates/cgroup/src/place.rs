//! Choosing the cgroup to make the parent in.
//!
//! Of v2, in this order, those with controllers for memory and processes before all others:
//!
//! 1. the base that the options name;
//! 2. if this process was started by one that had to move: where that one has its parent;
//! 3. the own cgroup, if it is the root of the system or holds nobody else: then limits from above (of the unit, of the container) stay
//!    in force, and the administrator meant it for us;
//! 4. a cgroup above it that may be written and has the controllers enabled for its children: nothing is changed there but one
//!    directory added. This serves programs that share a terminal's or a session's cgroup with a shell.
//!
//! Of v1 it is the base, or the own cgroup of each hierarchy.

use crate::controller::{Controller, Controllers};
use crate::detect::{self, Detection, Hierarchy, Problem, Version, Why};
use crate::directory::Directory;
use crate::name;
use crate::tree::Place;
use crate::v2;
use std::path::{Component, Path, PathBuf};

/// The places of v2, best first; what rules others out goes to `problems`.
pub fn of_v2(found: &Detection, parent_name: &str, base: Option<&Path>, problems: &mut Vec<Problem>) -> Vec<Place> {
    let Some(hierarchy) = &found.v2 else { return Vec::new() };
    let mut places = Vec::new();
    if let Some(base) = base {
        places.extend(named(hierarchy, base));
    } else if let Some(above) = of_moved(&hierarchy.own, parent_name) {
        places.extend(with_enabled(above, hierarchy));
    } else {
        if hierarchy.writable {
            places.push(Place {
                version: Version::V2,
                base: hierarchy.own.clone(),
                controllers: hierarchy.controllers,
                is_own: !hierarchy.is_root,
            });
        }
        let above = hierarchy.own.ancestors().skip(1).take_while(|path| path.starts_with(&hierarchy.mount_point));
        places.extend(above.filter_map(|path| with_enabled(path.to_owned(), hierarchy)));
    }
    places.sort_by_key(|place| !limits(place.controllers));
    if let Some(base) = base
        && places.is_empty()
    {
        problems.push(missing(hierarchy, base));
    }
    places
}

/// Those of v1, one a hierarchy that has any of `wanted`.
pub fn of_v1(found: &Detection, base: Option<&Path>, wanted: Controllers, problems: &mut Vec<Problem>) -> Vec<Place> {
    let mut places = Vec::new();
    for hierarchy in found.v1.iter().filter(|hierarchy| !hierarchy.controllers.and(wanted).is_empty()) {
        let place = match base {
            Some(base) => named(hierarchy, base),
            None => hierarchy.writable.then(|| hierarchy.own.clone()).map(|base| Place {
                version: Version::V1,
                base,
                controllers: hierarchy.controllers,
                is_own: true,
            }),
        };
        if let (Some(base), None) = (base, &place) {
            problems.push(missing(hierarchy, base));
        }
        places.extend(place);
    }
    places
}

/// Whether the limits that matter most can be set.
pub fn limits(controllers: Controllers) -> bool {
    controllers.has(Controller::Memory) && controllers.has(Controller::Pids)
}

fn named(hierarchy: &Hierarchy, base: &Path) -> Option<Place> {
    let path = at(hierarchy, base)?;
    let controllers = match hierarchy.version {
        Version::V1 => hierarchy.controllers,
        Version::V2 => {
            let text = Directory::open(&path).ok()?.read(c"cgroup.controllers").ok()?;
            Controllers::from_names(text.split_ascii_whitespace())
        }
    };
    let is_own = path == hierarchy.own && !hierarchy.is_root;
    detect::may_write(&path).is_ok().then_some(Place { version: hierarchy.version, base: path, controllers, is_own })
}

/// Where a cgroup of that name is; `None` if it leads elsewhere.
fn at(hierarchy: &Hierarchy, base: &Path) -> Option<PathBuf> {
    let mut parts = base.components().skip_while(|part| matches!(part, Component::RootDir));
    let plain = parts.all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| base.to_str()).flatten().map(|base| detect::join(&hierarchy.mount_point, base))
}

/// A place whose controllers are enabled already, and in which this process is not.
fn with_enabled(path: PathBuf, hierarchy: &Hierarchy) -> Option<Place> {
    detect::may_write(&path).ok()?;
    // What is born into a cgroup below it has to be allowed to cross it.
    detect::may_write(&path.join("cgroup.procs")).ok()?;
    let controllers = v2::enabled(&Directory::open(&path).ok()?);
    (hierarchy.own != path && !controllers.is_empty()).then_some(Place {
        version: Version::V2,
        base: path,
        controllers,
        is_own: false,
    })
}

/// `…/hotcell/4711-183920/host` is below a place of ours.
fn of_moved(own: &Path, parent_name: &str) -> Option<PathBuf> {
    let mut above = own.ancestors();
    let is = |path: &Path, wanted: &dyn Fn(&str) -> bool| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(wanted)
    };
    (is(above.next()?, &|name| name == name::HOST)
        && is(above.next()?, &|name| name::Owner::parse(name).is_some())
        && is(above.next()?, &|name| name == parent_name))
    .then(|| above.next().map(Path::to_owned))
    .flatten()
}

fn missing(hierarchy: &Hierarchy, base: &Path) -> Problem {
    let path = at(hierarchy, base).unwrap_or_else(|| base.to_owned());
    let errno = detect::may_write(&path).err().unwrap_or(0);
    Problem {
        version: hierarchy.version,
        path,
        why: Why::Refused,
        errno,
        cure: "name a base that exists and may be written, as /proc/self/cgroup spells it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_of_a_moved_process_is_recognised() {
        let path = Path::new("/sys/fs/cgroup/app.scope/hotcell/4711-183920/host");
        assert_eq!(of_moved(path, "hotcell"), Some(PathBuf::from("/sys/fs/cgroup/app.scope")));
        for (path, name) in [
            ("/sys/fs/cgroup/app.scope/hotcell/4711-183920/host", "other"),
            ("/sys/fs/cgroup/app.scope/hotcell/4711/host", "hotcell"),
            ("/sys/fs/cgroup/app.scope/hotcell/4711-183920", "hotcell"),
            ("/host", "hotcell"),
            ("/", "hotcell"),
        ] {
            assert_eq!(of_moved(Path::new(path), name), None, "{path}");
        }
    }
}
