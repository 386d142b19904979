//! Seccomp policies.

#![forbid(unsafe_code)]

mod action;
pub mod bpf;
mod compile;
mod condition;
mod error;
pub mod oci;
pub mod policy;
mod profiles;
pub mod syscalls;

pub use action::Action;
pub use compile::{KillAs, Options, Pass, Trace, Traced, compile};
pub use condition::{Comparison, Condition};
pub use error::{Error, Place, RulePlace};
pub use policy::{Flags, Policy, Rule, Unknown};
pub use profiles::{Profile, Settings, Sockets};
