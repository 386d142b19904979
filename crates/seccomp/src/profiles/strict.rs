//! Pure computation on the descriptors that a program is given.
//!
//! For *statically linked* programs of one thread: in C, C++, Rust, Zig … Go's runtime wants threads, interpreters their files, and a dynamic
//! program its libraries, which the dynamic linker opens after `execve`: it ends with "cannot open shared object file: Permission denied".
//!
//! What is not listed kills. What static start-up code *tries* fails instead, or no program would get to its `main`:
//!
//! - opening for reading fails with EACCES (Rust's runtime looks for its stack in /proc/self/maps); opening to write or make kills;
//! - `readlink` fails with EACCES (glibc asks for /proc/self/exe);
//! - `stat` by path fails with EACCES; `newfstatat` and `statx` with `AT_EMPTY_PATH` are how fstat(3) is made. (A path given with that flag is
//!   looked at, too. That a file exists is all that a program can learn, and only of its container.)
//! - terminals are asked whether they are some; all other `ioctl`s fail with ENOTTY.

use super::kernel::*;
use super::names::*;
use crate::{Action, Condition, Policy, Unknown};

const ALLOW: Action = Action::Allow;

/// Descriptors that one has: no new ones but copies, nothing on them but reading and writing.
const MORE_DESCRIPTORS: &[&str] = &["fstat"];

pub(super) fn policy() -> Policy {
    let absent = Action::Errno(ENOSYS);
    let refused = Action::Errno(EACCES);
    let mut policy = Policy { unknown: Unknown::Unnamed(absent), ..Policy::new(Action::KillProcess) };
    for names in [INPUT_OUTPUT, MORE_DESCRIPTORS, MEMORY, THREADS, TIME, SIGNALS, IDENTITY] {
        policy = policy.with(ALLOW, names);
    }
    policy = policy
        .with(absent, ABSENT)
        .with(refused, &["access", "faccessat", "faccessat2", "lstat", "readlink", "readlinkat", "stat"])
        // Only asking for limits, and for one's own.
        .with_if(ALLOW, &["prlimit64"], &[Condition::equal(0, 0), Condition::equal(2, 0)]);
    policy = opening(policy, "open", 1);
    policy = opening(policy, "openat", 2);
    for (name, index) in [("newfstatat", 3), ("statx", 2)] {
        let by_path = [Condition::masked(index, AT_EMPTY_PATH, 0)];
        policy = policy.with(ALLOW, &[name]).with_if(refused, &[name], &by_path);
    }
    for command in [F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC] {
        policy = policy.with_if(ALLOW, &["fcntl"], &[Condition::equal(1, command.into())]);
    }
    for option in [PR_SET_NAME, PR_GET_NAME, PR_SET_VMA] {
        policy = policy.with_if(ALLOW, &["prctl"], &[Condition::equal(0, option.into())]);
    }
    let questions = [TCGETS, TIOCGWINSZ, FIONREAD].map(|request| Condition::not_equal(1, request.into()));
    policy.with(ALLOW, &["ioctl"]).with_if(Action::Errno(ENOTTY), &["ioctl"], &questions)
}

/// Fails for reading, kills for anything else.
fn opening(policy: Policy, name: &str, flags: u8) -> Policy {
    let reads = Condition::masked(flags, O_ACCMODE | O_CREAT | O_TRUNC | O_TMPFILE, 0);
    policy.with_if(Action::Errno(EACCES), &[name], &[reads])
}
