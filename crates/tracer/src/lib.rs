//! x
pub mod calls;
mod affinity;
mod arguments;
mod error;
mod event;
mod files;
pub mod learn;
mod memory;
mod path;
mod policy;
mod process;
mod ptrace;
mod regs;
mod scope;
mod supervisor;
mod tracee;
mod wait;

pub use error::Error;
pub use event::Sink;
pub use scope::traced_calls;
pub use supervisor::{Report, Supervisor};
