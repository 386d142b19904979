//! Cgroups.
#![forbid(unsafe_code)]
mod backend;
mod container;
mod controller;
pub mod detect;
mod directory;
mod error;
mod group;
mod kill;
mod limits;
mod name;
mod parent;
mod place;
mod stale;
mod tree;
mod usage;
mod v1;
mod v2;

pub use container::Container;
pub use controller::{Controller, Controllers};
pub use detect::{Detection, detect};
pub use error::Error;
pub use group::{Entrance, Group, Reuse};
pub use limits::{CpuQuota, CpuSet, Limits};
pub use parent::{Options, Parent};
pub use stale::Swept;
pub use usage::{CpuTime, Oom, Usage};
