//! Starting a program.
//!
//! Runs in pid 1, but for [`child`], which is all that runs between clone3 and execve. [`plan`] lays out in memory, before the
//! clone, everything that the child reads; [`spawn`] clones.

pub mod child;
pub mod plan;
pub mod spawn;
#[cfg(test)]
mod tests;

pub use plan::{Limits, Plan};
pub use spawn::{Progress, Spawner, Waiting};
