//! Why something could not be done, as data: the number stays the kernel's, the words are for whoever has no better ones.

use hotcell_cgroup::Controller;
use hotcell_protocol::{DecodeError, Failure};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something could not be done. Variants say what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A kernel call of the launcher, of init or of the program's process failed. The container goes on, unless it was about
    /// to be created.
    Perform(Failure),
    /// Start the reactor thread.
    StartReactor {
        /// errno(3).
        errno: i32,
    },
    /// Have a descriptor watched.
    WatchDescriptor {
        /// errno(3).
        errno: i32,
    },
    /// Put the init image into a sealed memfd.
    SealImage {
        /// errno(3).
        errno: i32,
    },
    /// Open the file that `HOTCELL_INIT` names.
    OpenImage {
        /// Of the host.
        path: PathBuf,
        /// errno(3).
        errno: i32,
    },
    /// Start from the file that `HOTCELL_INIT` names.
    RefuseImage {
        /// Of the host.
        path: PathBuf,
        /// What is wrong with it, to be read after its name.
        reason: &'static str,
    },
    /// Start the launcher process.
    StartLauncher {
        /// errno(3).
        errno: i32,
    },
    /// Have the launcher create a container: it ended while at it. The next container gets a new launcher.
    KeepLauncher,
    /// Take the pidfd of a new container.
    TakePidfd {
        /// errno(3).
        errno: i32,
    },
    /// Make the socket to a container.
    MakeSocket {
        /// errno(3).
        errno: i32,
    },
    /// Make a pipe to or from a program.
    MakePipe {
        /// errno(3).
        errno: i32,
    },
    /// Make a file in memory.
    MakeMemfd {
        /// errno(3).
        errno: i32,
    },
    /// Seal a file in memory.
    SealMemfd {
        /// errno(3).
        errno: i32,
    },
    /// Open /dev/null for a program.
    OpenNull {
        /// errno(3).
        errno: i32,
    },
    /// Send a request.
    SendRequest {
        /// errno(3).
        errno: i32,
    },
    /// Make, or set a limit in, a cgroup.
    MakeCgroup(hotcell_cgroup::Error),
    /// Make sense of a seccomp policy.
    ReadPolicy(hotcell_seccomp::Error),
    /// Make sense of the rules of a trace.
    ReadRules(hotcell_tracer::Error),
    /// Compile a seccomp policy for this machine's processor.
    UseArchitecture,
    /// Make up a secret.
    MakeToken {
        /// errno(3).
        errno: i32,
    },
    /// Hold a limit: there is no cgroup controller for it, and nothing else could.
    HoldLimit {
        /// As it is called in `Limits`.
        limit: &'static str,
        /// What it takes.
        controller: Controller,
    },
    /// Limit a run to CPUs that this process may not use itself.
    UseCpus {
        /// As a list of ranges.
        wanted: String,
        /// Those that there are.
        available: String,
    },
    /// Read or write a file, of the host's or one that init has opened, for a copy of a directory.
    UseFile {
        /// To be read after "cannot".
        doing: &'static str,
        /// As its man page spells it.
        syscall: &'static str,
        /// errno(3).
        errno: i32,
        /// The host's, or the container's, as `doing` says.
        path: Vec<u8>,
    },
    /// Make sense of an archive, or do as it says.
    ReadArchive {
        /// What is wrong with it.
        why: &'static str,
        /// The name of the entry concerned, or empty.
        entry: Vec<u8>,
    },
    /// Copy or list any more of a directory: there is more than was allowed.
    Exceed {
        /// As the option is called.
        limit: &'static str,
        /// What it says.
        most: u64,
    },
    /// Go on with a copy of a directory: it was stopped.
    Stop,
    /// Start a thread that copies or lists a directory.
    StartThread {
        /// errno(3).
        errno: i32,
    },
    /// Limit a run in a container that is still being created.
    UseEarly,
    /// Use a container that was destroyed.
    UseDestroyed,
    /// Keep the container: its init ended without being asked to.
    KeepContainer,
    /// Believe a reply: it does not follow the protocol, so the container was killed.
    TrustReply(Violation),
    /// Await an answer: the deadline passed, so the container was killed.
    AwaitReply {
        /// What was asked for.
        request: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// What was wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// It is not an encoding of a reply.
    Malformed(DecodeError),
    /// It, or what came with it, was longer than any reply may be; or this process was out of descriptors.
    Truncated,
    /// A reply came in a memfd, which only requests may.
    Memfd,
    /// Nothing with its id is in flight.
    UnknownId,
    /// It answers another kind of request.
    WrongKind,
    /// More or fewer descriptors came than it speaks of.
    DescriptorCount,
    /// A descriptor is not a regular file opened for reading or writing.
    DescriptorType,
    /// The pid is missing, or not one of a program.
    Pid,
    /// A number is out of its range, or a name longer than any.
    Range,
    /// The image speaks another version of the protocol.
    Version,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(_) => "a reply is malformed",
            Self::Truncated => {
                "a reply is longer than any may be, or this process could not take its descriptors (ulimit -n)"
            }
            Self::Memfd => "a reply came in a memfd",
            Self::UnknownId => "a reply answers nothing that was asked",
            Self::WrongKind => "a reply is of another kind than its request",
            Self::DescriptorCount => "a reply came with more or fewer descriptors than it speaks of",
            Self::DescriptorType => "a reply came with a descriptor that is not an open regular file",
            Self::Pid => "a reply names no valid pid",
            Self::Range => "a reply holds a value out of range",
            Self::Version => "the init image speaks another version of the protocol",
        })
    }
}

impl Error {
    /// The kernel's number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Perform(failure) => Some(failure.errno),
            Self::StartReactor { errno }
            | Self::WatchDescriptor { errno }
            | Self::SealImage { errno }
            | Self::OpenImage { errno, .. }
            | Self::StartLauncher { errno }
            | Self::TakePidfd { errno }
            | Self::MakeSocket { errno }
            | Self::MakePipe { errno }
            | Self::MakeMemfd { errno }
            | Self::SealMemfd { errno }
            | Self::OpenNull { errno }
            | Self::SendRequest { errno } => Some(*errno),
            Self::MakeToken { errno } | Self::UseFile { errno, .. } | Self::StartThread { errno } => Some(*errno),
            Self::MakeCgroup(error) => error.errno(),
            _ => None,
        }
    }

    /// The system call that failed, as its man page spells it.
    pub fn syscall(&self) -> Option<&'static str> {
        Some(match self {
            Self::Perform(failure) => failure.step.syscall(),
            Self::StartReactor { .. } => "epoll_create",
            Self::WatchDescriptor { .. } => "epoll_ctl",
            Self::SealImage { .. } => "memfd_create",
            Self::StartLauncher { .. } => "execveat",
            Self::TakePidfd { .. } => "recvmsg",
            Self::MakeSocket { .. } => "socketpair",
            Self::MakePipe { .. } => "pipe2",
            Self::MakeMemfd { .. } => "memfd_create",
            Self::SealMemfd { .. } => "fcntl",
            Self::OpenNull { .. } | Self::OpenImage { .. } => "open",
            Self::SendRequest { .. } => "sendmsg",
            Self::MakeToken { .. } => "getrandom",
            Self::UseFile { syscall, .. } => syscall,
            Self::StartThread { .. } => "clone",
            _ => return None,
        })
    }

    /// What was tried, to be read after "cannot".
    pub fn doing(&self) -> &'static str {
        match self {
            Self::Perform(failure) => failure.step.doing(),
            Self::StartReactor { .. } => "start the reactor thread",
            Self::WatchDescriptor { .. } => "watch a descriptor",
            Self::SealImage { .. } => "put the init image into a sealed memfd",
            Self::OpenImage { .. } | Self::RefuseImage { .. } => {
                "start the launcher from the file that HOTCELL_INIT names"
            }
            Self::StartLauncher { .. } => "start the launcher",
            Self::KeepLauncher => "create the container: the launcher ended",
            Self::TakePidfd { .. } => "take the pidfd of the container",
            Self::MakeSocket { .. } => "make the socket to the container",
            Self::MakePipe { .. } => "make a pipe to the program",
            Self::MakeMemfd { .. } => "make a file in memory",
            Self::SealMemfd { .. } => "seal a file in memory",
            Self::OpenNull { .. } => "open /dev/null",
            Self::SendRequest { .. } => "send the request",
            Self::MakeCgroup(_) => "limit the run",
            Self::ReadPolicy(_) => "use the seccomp policy",
            Self::ReadRules(_) => "use the rules of the trace",
            Self::UseArchitecture => "compile a seccomp policy for this processor",
            Self::MakeToken { .. } => "make up a secret",
            Self::HoldLimit { .. } => "hold the limit",
            Self::UseCpus { .. } => "limit the run to these CPUs",
            Self::UseFile { doing, .. } => doing,
            Self::ReadArchive { .. } => "use the archive",
            Self::Exceed { .. } => "copy or list any more",
            Self::Stop => "go on: it was stopped",
            Self::StartThread { .. } => "start a thread",
            Self::UseEarly => "limit a run in a container that is still being created",
            Self::UseDestroyed => "use the container: it was destroyed",
            Self::KeepContainer => "go on: the container was lost",
            Self::TrustReply(_) => "trust the container, which was killed",
            Self::AwaitReply { .. } => "wait any longer for the container, which was killed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::MakeCgroup(error) = self {
            return write!(f, "{error}");
        }
        if let Self::ReadRules(error) = self {
            return write!(f, "{error}");
        }
        if let Self::ReadPolicy(error) = self {
            return write!(f, "{error}");
        }
        write!(f, "cannot {}", self.doing())?;
        match self {
            Self::HoldLimit { limit, controller } => {
                write!(f, " limits.{limit}: there is no cgroup controller {controller} to be had here")?;
            }
            Self::UseCpus { wanted, available } => write!(f, ": limits.cpuSet is {wanted}, and there are {available}")?,
            Self::Perform(failure) if !failure.subject.is_empty() => {
                write!(f, " ({})", failure.subject.escape_ascii())?;
            }
            Self::UseFile { path, .. } => write!(f, " ({})", path.escape_ascii())?,
            Self::ReadArchive { why, entry } if entry.is_empty() => write!(f, ": {why}")?,
            Self::ReadArchive { why, entry } => write!(f, ": {why} ('{}')", shortened(entry).escape_ascii())?,
            Self::Exceed { limit, most } => write!(f, ": {limit} is {most}, and there is more")?,
            Self::OpenImage { path, .. } => write!(f, " ({})", path.display())?,
            Self::RefuseImage { path, reason } => write!(f, ": {} {reason}", path.display())?,
            Self::TrustReply(violation) => write!(f, ": {violation}")?,
            Self::AwaitReply { request, seconds } => write!(f, ": no answer to {request} in {seconds} s")?,
            _ => {}
        }
        if let Some(errno) = self.errno() {
            write!(f, ": {}", io::Error::from_raw_os_error(errno))?;
        }
        f.write_str(match self {
            Self::SealImage { errno } | Self::StartLauncher { errno } if *errno == nix::libc::EACCES => {
                "; executing from memory must be allowed: sysctl vm.memfd_noexec=0 or 1"
            }
            Self::StartLauncher { errno } if *errno == nix::libc::ENOSYS || *errno == nix::libc::EPERM => {
                "; clone3 and close_range must be allowed: Linux 5.11 or later, and in Docker a seccomp profile that lets them through"
            }
            Self::WatchDescriptor { errno } if *errno == nix::libc::ENOSPC => "; raise sysctl fs.epoll.max_user_watches",
            Self::TakePidfd { errno }
            | Self::MakeSocket { errno }
            | Self::MakePipe { errno }
            | Self::MakeMemfd { errno }
            | Self::OpenNull { errno }
            | Self::SealImage { errno }
            | Self::StartLauncher { errno }
            | Self::SendRequest { errno }
                if *errno == nix::libc::EMFILE =>
            {
                "; raise the limit on open files (ulimit -n)"
            }
            Self::SendRequest { errno } if *errno == nix::libc::ETOOMANYREFS => {
                "; too many descriptors are under way: raise the limit on open files (ulimit -n), or have fewer runs at once"
            }
            Self::OpenImage { .. } | Self::RefuseImage { .. } => {
                "; write it with hotcell doctor --write-init FILE, then sudo install -D -m 755 FILE there, or unset HOTCELL_INIT"
            }
            Self::KeepLauncher => "; create it again, a new launcher is started then",
            Self::HoldLimit { .. } => "; probe() tells why, and how to get it",
            Self::UseArchitecture => "; there are tables for x86-64 and arm64",
            Self::UseEarly => "; wait until it is there",
            Self::UseDestroyed | Self::KeepContainer => "; create another one",
            _ => "",
        })
    }
}

impl std::error::Error for Error {}

/// As much of a name as a message holds.
fn shortened(name: &[u8]) -> &[u8] {
    name.get(..200).unwrap_or(name)
}

/// The errno of an I/O error that a system call gave.
pub(crate) fn errno(error: &io::Error) -> i32 {
    hotcell_linux::errno(error)
}
