//! Why something could not be done, as data; the last words of a message say what to do about it.

use crate::controller::{Controller, Controllers};
use crate::detect::Problem;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done. Variants say what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Read which cgroups this process is in, and where they are mounted.
    ReadOwn {
        /// The file of procfs.
        path: &'static str,
        /// errno(3).
        errno: i32,
    },
    /// Find a hierarchy to make cgroups in.
    FindUsable {
        /// What is wrong with each that was looked at.
        problems: Vec<Problem>,
    },
    /// Name the parent cgroup.
    NameParent {
        /// What was asked for.
        name: String,
    },
    /// Open a cgroup, or a file of one.
    Open {
        /// Where.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Make a cgroup.
    Make {
        /// Where.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Remove a cgroup of ours.
    Remove {
        /// Where.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Hold the lock that says that a cgroup's owner lives.
    Lock {
        /// Where.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Enable a controller for the cgroups below one.
    EnableController {
        /// Of the cgroup.
        path: PathBuf,
        /// Which.
        controller: Controller,
        /// errno(3).
        errno: i32,
    },
    /// Move this process into a leaf, so that the cgroup that it was in can have controllers enabled.
    MoveSelf {
        /// The leaf.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Let another identity clone into a cgroup.
    Grant {
        /// The file whose owner was to change.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Set a limit.
    SetLimit {
        /// The control file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// errno(3).
        errno: i32,
    },
    /// Use a controller that is not to be had here.
    UseController {
        /// Which.
        controller: Controller,
        /// Those that are.
        available: Controllers,
    },
    /// Read a counter.
    ReadCounter {
        /// The control file.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Understand a counter.
    ParseCounter {
        /// The control file.
        path: PathBuf,
    },
    /// Kill what is in a cgroup.
    Kill {
        /// Of the cgroup.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// See a cgroup empty in time.
    Empty {
        /// Of the cgroup.
        path: PathBuf,
        /// How long it was waited for.
        milliseconds: u64,
    },
}

impl Error {
    /// The kernel's number, where there is one.
    pub const fn errno(&self) -> Option<i32> {
        match self {
            Self::ReadOwn { errno, .. }
            | Self::Open { errno, .. }
            | Self::Make { errno, .. }
            | Self::Remove { errno, .. }
            | Self::Lock { errno, .. }
            | Self::EnableController { errno, .. }
            | Self::MoveSelf { errno, .. }
            | Self::Grant { errno, .. }
            | Self::SetLimit { errno, .. }
            | Self::ReadCounter { errno, .. }
            | Self::Kill { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// The file or directory that it is about.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::ReadOwn { path, .. } => Some(Path::new(path)),
            Self::Open { path, .. }
            | Self::Make { path, .. }
            | Self::Remove { path, .. }
            | Self::Lock { path, .. }
            | Self::EnableController { path, .. }
            | Self::MoveSelf { path, .. }
            | Self::Grant { path, .. }
            | Self::SetLimit { path, .. }
            | Self::ReadCounter { path, .. }
            | Self::ParseCounter { path }
            | Self::Kill { path, .. }
            | Self::Empty { path, .. } => Some(path),
            Self::FindUsable { .. } | Self::NameParent { .. } | Self::UseController { .. } => None,
        }
    }

    fn cure(&self) -> &'static str {
        use nix::libc;
        match (self, self.errno()) {
            (Self::NameParent { .. }, _) => "; use letters, digits, - and _, at most 64",
            (Self::FindUsable { problems }, _) if problems.is_empty() => "; mount cgroup2 at /sys/fs/cgroup",
            (Self::EnableController { .. }, Some(libc::EBUSY)) => {
                "; other processes are in that cgroup: give this one a cgroup of its own, systemd-run --user --scope -p \
                 Delegate=yes for example"
            }
            (Self::EnableController { controller: Controller::Cpu, .. }, Some(libc::EINVAL)) => {
                "; the cpu controller cannot be enabled while there are real-time processes below"
            }
            (Self::SetLimit { path, .. }, Some(libc::ERANGE | libc::EINVAL | libc::EACCES))
                if path.ends_with("cpuset.cpus") =>
            {
                "; name CPUs that this cgroup may use, see cpuset.effective_cpus or cpuset.cpus.effective"
            }
            (Self::SetLimit { .. }, Some(libc::EBUSY)) => "; more than that is in use: use a fresh group",
            (Self::Open { .. } | Self::Make { .. } | Self::Lock { .. }, Some(libc::EMFILE)) => {
                "; raise the limit on open files (ulimit -n)"
            }
            (Self::Make { .. }, Some(libc::EAGAIN)) => "; raise cgroup.max.descendants or cgroup.max.depth above it",
            (Self::Make { .. } | Self::Open { .. } | Self::MoveSelf { .. }, Some(libc::EACCES | libc::EPERM)) => {
                "; have it delegated to this user: Delegate=yes of systemd, or chown of the directory with its cgroup.procs \
                 and cgroup.subtree_control"
            }
            (Self::Make { .. } | Self::Open { .. }, Some(libc::EROFS)) => {
                "; mount the cgroup file system read-write (Docker 28: --security-opt writable-cgroups=true; Podman: --security-opt \
                 unmask=/sys/fs/cgroup; else --privileged)"
            }
            (Self::Grant { .. }, Some(libc::EPERM)) => "; only root can give cgroups to another user",
            (Self::UseController { controller: Controller::CpuSet, .. }, _) => {
                "; it is delegated only if asked for: Delegate=cpu cpuset memory pids"
            }
            (Self::UseController { .. }, _) => "; have it delegated, or leave that limit out",
            (Self::Empty { .. }, _) => "; its processes hang in the kernel, on a dead network file system for example",
            _ => "",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOwn { path, .. } => write!(f, "cannot read {path}"),
            Self::FindUsable { problems } => {
                f.write_str("cannot make cgroups: ")?;
                if problems.is_empty() {
                    f.write_str("none are mounted")?;
                }
                for (index, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::NameParent { name } => write!(f, "cannot name a cgroup {name:?}"),
            Self::Open { path, .. } => write!(f, "cannot open {}", path.display()),
            Self::Make { path, .. } => write!(f, "cannot make the cgroup {}", path.display()),
            Self::Remove { path, .. } => write!(f, "cannot remove the cgroup {}", path.display()),
            Self::Lock { path, .. } => write!(f, "cannot lock the cgroup {}", path.display()),
            Self::EnableController { path, controller, .. } => {
                write!(f, "cannot enable the {controller} controller below {}", path.display())
            }
            Self::MoveSelf { path, .. } => write!(f, "cannot move this process to the cgroup {}", path.display()),
            Self::Grant { path, .. } => write!(f, "cannot change the owner of {}", path.display()),
            Self::SetLimit { path, value, .. } => write!(f, "cannot write {value} to {}", path.display()),
            Self::UseController { controller, available } => {
                write!(f, "cannot use the {controller} controller, only: {available}")
            }
            Self::ReadCounter { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::ParseCounter { path } => write!(f, "cannot understand {}", path.display()),
            Self::Kill { path, .. } => write!(f, "cannot kill what is in the cgroup {}", path.display()),
            Self::Empty { path, milliseconds } => {
                write!(f, "cannot empty the cgroup {} within {milliseconds} ms", path.display())
            }
        }?;
        if let Some(errno) = self.errno() {
            write!(f, ": {}", io::Error::from_raw_os_error(errno))?;
        }
        f.write_str(self.cure())
    }
}

impl std::error::Error for Error {}

pub(crate) use hotcell_linux::errno;

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    #[test]
    fn a_message_says_what_where_why_and_what_to_do() {
        let path = PathBuf::from("/sys/fs/cgroup/hotcell");
        let error = Error::Make { path: path.clone(), errno: libc::EROFS };
        assert_eq!(error.errno(), Some(libc::EROFS));
        assert_eq!(error.path(), Some(path.as_path()));
        let text = error.to_string();
        assert!(text.starts_with("cannot make the cgroup /sys/fs/cgroup/hotcell: Read-only"), "{text}");
        assert!(text.contains("writable-cgroups=true"), "{text}");
        let none = Error::FindUsable { problems: Vec::new() }.to_string();
        assert_eq!(none, "cannot make cgroups: none are mounted; mount cgroup2 at /sys/fs/cgroup");
    }
}
