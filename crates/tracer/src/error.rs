//! Why a trace could not be made or kept up, as data.

use std::fmt;

/// Why a trace could not be made or kept up. Variants say what was tried; errno(3) is a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Use a rule of the policy.
    UseRule {
        /// As it was given.
        rule: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Judge paths without a /proc.
    FindProc,
    /// Open the root directory that paths start at.
    OpenRoot {
        /// errno(3).
        errno: i32,
    },
    /// Attach to the process to be traced.
    Seize {
        /// Which.
        pid: i32,
        /// errno(3).
        errno: i32,
    },
    /// Wait for the next stop.
    Wait {
        /// errno(3).
        errno: i32,
    },
    /// Set the timer that bounds how long an event may wait to be sent.
    SetTimer {
        /// errno(3).
        errno: i32,
    },
    /// Give a batch of events away.
    Send {
        /// errno(3).
        errno: i32,
    },
}

impl Error {
    /// The kernel's number, where there is one.
    pub const fn errno(&self) -> Option<i32> {
        match self {
            Self::UseRule { .. } | Self::FindProc => None,
            Self::OpenRoot { errno }
            | Self::Seize { errno, .. }
            | Self::Wait { errno }
            | Self::SetTimer { errno }
            | Self::Send { errno } => Some(*errno),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UseRule { rule, why } => write!(f, "cannot use the rule {rule:?}: {why}"),
            Self::FindProc => f.write_str("cannot judge paths without /proc; give the supervisor a directory of it"),
            Self::OpenRoot { errno } => write!(f, "cannot open the root directory (errno {errno})"),
            Self::Seize { pid, errno: libc::EPERM } => {
                write!(
                    f,
                    "cannot trace process {pid} (EPERM); CAP_SYS_PTRACE in its user namespace is needed, and no other tracer"
                )
            }
            Self::Seize { pid, errno } => write!(f, "cannot trace process {pid} (errno {errno})"),
            Self::Wait { errno } => write!(f, "cannot wait for traced processes (errno {errno})"),
            Self::SetTimer { errno } => write!(f, "cannot set the timer of the trace (errno {errno})"),
            Self::Send { errno } => write!(f, "cannot send events (errno {errno})"),
        }
    }
}

impl std::error::Error for Error {}
