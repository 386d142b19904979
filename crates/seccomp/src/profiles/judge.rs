//! One program of a contest: in C, C++, Rust, Go, Java, Python, Node or whatever else brings a runtime.
//!
//! - It may use threads (`clone` with `CLONE_THREAD`), memory, time, and files by path: interpreters read theirs, and what it can reach is the
//!   container's business.
//! - It may not start processes or programs: **`fork`, `vfork`, `clone` of a process and `execve` kill**, and the verdict names the call. The
//!   program itself is executed with a pass ([`crate::Pass`]). `#!` is resolved within that one `execve`, so scripts work; what does not
//!   are launchers that execute something else (`#!/usr/bin/env`, version managers' shims): name the real interpreter.
//! - No sockets: `socket` fails with EAFNOSUPPORT, because C libraries try one to look up a user's name. `socketpair` of AF_UNIX is a
//!   pipe in both directions, which Node and Java want.
//! - Locks on files are granted without being taken: there is no other process to keep out, and over shared files they would reach others.
//! - What only an attack can mean kills ([`ATTACKS`]). Whatever else is not listed fails with EPERM: a new version of a runtime that tries
//!   something is not worth a verdict.

use super::kernel::*;
use super::names::*;
use super::rules;
use crate::{Action, Condition, Policy, Unknown};

pub(super) fn policy() -> Policy {
    let absent = Action::Errno(ENOSYS);
    let mut policy = Policy { unknown: Unknown::Unnamed(absent), ..Policy::new(Action::Errno(EPERM)) };
    let allowed = [
        INPUT_OUTPUT,
        PIPES_AND_EVENTS,
        FILES_TO_READ,
        FILES_TO_WRITE,
        MEMORY,
        MEMORY_MORE,
        THREADS,
        TIME,
        TIMERS,
        SIGNALS,
        IDENTITY,
        SCHEDULING,
    ];
    for names in allowed {
        policy = policy.with(Action::Allow, names);
    }
    policy = policy
        .with(Action::Allow, &["capget", "getgroups", "wait4", "waitid"])
        .with(
            Action::Allow,
            &[
                "getpeername",
                "getsockname",
                "getsockopt",
                "recvfrom",
                "recvmsg",
                "sendmsg",
                "sendto",
                "setsockopt",
                "shutdown",
            ],
        )
        .with(absent, ABSENT)
        .with(absent, IPC)
        .with(absent, INOTIFY)
        .with(Action::Errno(EAFNOSUPPORT), &["socket"])
        .with(Action::KillProcess, ATTACKS)
        .with_if(Action::KillProcess, &["clone"], &[Condition::masked(0, CLONE_THREAD, 0)])
        .with_if(Action::Allow, &["clone"], &[Condition::masked(0, CLONE_NAMESPACES | CLONE_UNTRACED, 0)]);
    policy = rules::socket_pairs(policy);
    policy = rules::modes(policy);
    policy = rules::terminals(policy);
    policy = rules::descriptors(policy, rules::Locks::Pretended);
    policy = rules::limits(policy);
    policy = rules::process_options(policy, &[PR_SET_MM, PR_SET_PTRACER, PR_SET_SECCOMP]);
    rules::personality(policy)
}
