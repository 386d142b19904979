//! Seccomp filters, and how init lives under them.

use serde::{Deserialize, Serialize};

/// What init's threads call under the filter that they install for programs, and their children before execve, with the first argument
/// register that the call makes no use of. Host and init agree on a token that stands in those registers: the filter lets these
/// calls pass by it, whatever the policy says of them.
pub const PASSING_CALLS: &[(&str, u8)] = &[
    // the thread
    ("futex", 4),
    ("clone3", 2),
    ("clock_gettime", 2),
    ("close", 1),
    ("write", 3),
    ("kill", 2),
    ("pidfd_open", 2),
    ("setns", 2),
    ("exit", 1),
    // the child
    ("setsid", 1),
    ("dup3", 3),
    ("ioctl", 3),
    ("close_range", 3),
    ("umask", 1),
    ("setpriority", 3),
    ("prlimit64", 4),
    ("keyctl", 2),
    ("unshare", 1),
    ("setresgid", 3),
    ("setresuid", 3),
    ("prctl", 2),
    ("capset", 2),
    ("chdir", 1),
    // the child of a traced run, to stop behind its execve, and the thread, to hand it over there
    ("ptrace", 4),
    ("rt_sigprocmask", 4),
    ("landlock_restrict_self", 2),
    ("execve", 3),
    ("execveat", 5),
    ("exit_group", 1),
];

/// What outlives processes and is no file: whether a program can get at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Keyrings (keyrings(7)). Such a run takes a session keyring of its own.
    pub keyrings: bool,
    /// What IPC namespaces isolate (ipc_namespaces(7)): System V objects and POSIX message queues.
    pub ipc: bool,
}

impl Reach {
    /// Of a program without any filter.
    pub const ALL: Self = Self { keyrings: true, ipc: true };

    /// What any of two can get at.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { keyrings: self.keyrings || other.keyrings, ipc: self.ipc || other.ipc }
    }
}

/// A filter for programs to be born with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter<'a> {
    /// Chosen by the host; not 0.
    pub filter: u32,
    /// What programs under it can get at.
    pub reach: Reach,
    /// A word for each argument register.
    pub token: [u64; 6],
    /// Instructions of classic BPF, 8 bytes each, in native byte order.
    #[serde(borrow, with = "serde_bytes")]
    pub program: &'a [u8],
}

/// A system call that a filter has ended a run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disallowed {
    /// Its number.
    pub nr: i32,
    /// `AUDIT_ARCH_*` of the ABI that it was made by.
    pub arch: u32,
    /// Its arguments.
    pub args: [u64; 6],
}
