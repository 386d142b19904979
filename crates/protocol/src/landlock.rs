//! Rules of Landlock for one run (landlock(7)).

use serde::{Deserialize, Serialize};

/// What a program may do with files and ports. What no rule allows is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock<'a> {
    /// Files, and directories with all that is below.
    #[serde(borrow)]
    pub paths: Vec<LandlockPath<'a>>,
    /// TCP ports that may be connected to; `None`: all.
    pub connect: Option<Vec<u16>>,
    /// TCP ports that may be bound; `None`: all.
    pub bind: Option<Vec<u16>>,
    /// Whether to make do with what the kernel has, down to nothing. Else what the rules take has to be there.
    pub degrade: bool,
}

/// What is allowed beneath a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandlockPath<'a> {
    /// Of the container; relative ones start at its `workDir`. It has to exist.
    #[serde(borrow, with = "serde_bytes")]
    pub path: &'a [u8],
    /// Reading files and directories.
    pub read: bool,
    /// Writing, making, removing and renaming.
    pub write: bool,
    /// Executing, and reading what is to be executed.
    pub execute: bool,
}
