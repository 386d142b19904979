//! Starting a program.
//!
//! Runs in pid 1, but for [`child`], which is all that runs between clone3 and execve. [`plan`] lays out in memory, before the
//! clone, everything that the child reads; [`spawn`] clones where pid 1 is, [`forker`] in a run group.

pub mod child;
pub mod forker;
pub mod plan;
pub mod spawn;
#[cfg(test)]
mod tests;

pub use forker::Forker;
pub use plan::{Limits, Plan};
pub use spawn::{Child, Progress, Spawner};
