//! Profiles to start from.
//!
//! | | for | what is not listed | numbers without a name |
//! |---|---|---|---|
//! | [`Profile::Default`] | compilers, interpreters, JVM, Go, Node, shells, build tools | EPERM | ENOSYS |
//! | [`Profile::Judge`] | one program of a contest in whatever language: threads, files, no other process or program, no network | EPERM, or death where only an attack can be meant | ENOSYS |
//! | [`Profile::Strict`] | pure computation by a statically linked program, on the descriptors that it is given | death | ENOSYS |
//! | [`Profile::Off`] | no filter | – | – |
//!
//! All kill calls by foreign ABIs (32-bit, x32): there, `socketcall` and `ipc` hide behind pointers what is filtered here.
//!
//! How errors are chosen: **ENOSYS** for facilities that libraries probe for and can do without (`clone3`, `io_uring_setup`, `openat2`, System V IPC);
//! **EPERM** for what is a matter of rights; the error of the real thing where there is one (EAFNOSUPPORT).
//!
//! The lists are data, and meant to be read: `names.rs` by subject, then one file a profile.

mod default;
mod judge;
mod kernel;
mod names;
mod rules;
mod strict;

use crate::Policy;

/// A profile by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// Docker's default without its branches for capabilities, and tighter.
    #[default]
    Default,
    /// For contests: a program may use threads and files; it starts nothing and talks to nobody.
    Judge,
    /// For pure computation: reads and writes the descriptors that it was given.
    Strict,
    /// Everything is allowed.
    Off,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Default, Self::Judge, Self::Strict, Self::Off];

    /// As users spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Judge => "judge",
            Self::Strict => "strict",
            Self::Off => "off",
        }
    }

    /// The inverse of [`Profile::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Its policy; `None` if no filter is to be installed.
    pub fn policy(self, settings: &Settings) -> Option<Policy> {
        match self {
            Self::Default => Some(default::policy(settings)),
            Self::Judge => Some(judge::policy()),
            Self::Strict => Some(strict::policy()),
            Self::Off => None,
        }
    }
}

/// What [`Profile::Default`] leaves open. The others are what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Kinds of sockets that can be made.
    pub sockets: Sockets,
    /// System V shared memory, semaphores and message queues, and POSIX message queues; only for containers with an IPC namespace that is reset.
    pub ipc: bool,
    /// Locks on files. Files shared between containers carry them from one to the other: a channel, and a way to block.
    pub file_locks: bool,
    /// inotify(7). On files shared between containers it tells of what others open and execute.
    pub inotify: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sockets: Sockets::Internet, ipc: false, file_locks: true, inotify: true }
    }
}

/// Kinds of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sockets {
    /// `AF_UNIX`.
    Unix,
    /// Also TCP and UDP over `AF_INET` and `AF_INET6`, and `AF_NETLINK` for `NETLINK_ROUTE` (getaddrinfo(3), getifaddrs(3)). What they
    /// reach is up to the network namespace: its own loopback by default.
    Internet,
}
