//! What a document is read for.

use crate::syscalls::Arch;
use std::collections::BTreeSet;

/// What a document is read for: decides which of its rules count.
#[derive(Debug, Clone)]
pub struct Context {
    /// The architecture.
    pub arch: Arch,
    /// The running kernel.
    pub kernel: KernelVersion,
    /// The bounding set of the programs; none in a container of hotcell's.
    pub capabilities: BTreeSet<String>,
    /// What to do about names that no architecture has.
    pub names: Names,
}

impl Context {
    /// For programs without capabilities; unknown names are errors.
    pub fn new(arch: Arch, kernel: KernelVersion) -> Self {
        Self { arch, kernel, capabilities: BTreeSet::new(), names: Names::MustExist }
    }
}

/// What to do about names of system calls that no architecture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They are errors.
    MustExist,
    /// They are skipped, as runc and crun do: for profiles that are newer than this crate.
    SkipUnknown,
}

/// Version of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of "6.18.3".
    pub major: u32,
    /// The 18 of "6.18.3".
    pub minor: u32,
}

impl KernelVersion {
    /// Of what uname(2) calls the release, "6.18.3-arch1" for example. The rest does not count.
    pub fn from_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}
