//! The cgroups of this process's containers.
//!
//! # Who does what, when
//!
//! `hotcell-cgroup` knows the kernel's side; this is about time. A run whose limits need a cgroup is born in a *run group*. Making one
//! takes some hundred microseconds and entering one on v1 a thread of init's, so groups are made before they are needed, belong to one
//! container, and serve one run after another:
//!
//! ```text
//! caller          Groups::take ── a free group, its limits set ──▶ Lease ── in flight with the run
//! reactor         end of the run: Lease ── figures read ──▶ free again, if nothing of the run is left in it
//!                                       └─ else Retire ─┐
//! housekeeper     makes the next one; removes this one ◀┘   and whatever a container leaves when it ends
//! ```
//!
//! - `parents.rs`: one parent cgroup for each way to make one, shared by containers, and removed a while after the last of these.
//! - `groups.rs`: the run groups of one container.
//! - `housekeeper.rs`: the one thread, started with the first container that has cgroups, that makes and removes what nobody waits for.
//!
//! Only where no group is free (the first run with limits, and runs that overlap) does the caller make one itself.

mod groups;
mod housekeeper;
mod parents;

pub(crate) use groups::{BoxedGroup, Groups, Lease};
pub(crate) use housekeeper::{Job, hand_over};
pub use parents::CgroupChoice;
pub(crate) use parents::{all, for_container, generation};
