//! Rules with conditions that profiles share. Each is written for a policy whose default action is a denial.
//!
//! What is *allowed* under a condition is compared on all 64 bits; what is *denied* on those bits only that the kernel looks at.

use super::Sockets;
use super::kernel::*;
use crate::{Action, Condition, Policy};

const ALLOW: Action = Action::Allow;

impl Sockets {
    const fn families(self) -> &'static [u64] {
        match self {
            Self::Unix => &[AF_UNIX],
            Self::Internet => &[AF_UNIX, AF_INET, AF_INET6, AF_NETLINK],
        }
    }
}

fn none_of(index: u8, values: &[u64]) -> Vec<Condition> {
    values.iter().map(|value| Condition::not_equal(index, *value)).collect()
}

/// `socket` and `socketpair`. Families, types and protocols that are not listed would have modules loaded for them: most
/// local holes of the network stack are there (AF_ALG: CVE-2026-31431; AF_VSOCK has no namespace and reaches the host).
pub fn sockets(mut policy: Policy, sockets: Sockets) -> Policy {
    let socket = &["socket"];
    let protocols = [0, IPPROTO_TCP, IPPROTO_UDP];
    let families = sockets.families();
    policy = policy.with(ALLOW, socket).with_if(Action::Errno(EAFNOSUPPORT), socket, &none_of(0, families));
    if sockets == Sockets::Internet {
        let routes_only = [Condition::low_word(0, AF_NETLINK as u32), Condition::not_equal(2, 0)];
        // AF_UNIX, which has SOCK_SEQPACKET, is the only odd one of the families that come this far.
        let unusual = [Condition::masked(0, 1, 0), Condition::masked(1, SOCK_UNUSUAL, SOCK_UNUSUAL)];
        policy = policy.with_if(Action::Errno(EPROTONOSUPPORT), socket, &routes_only).with_if(
            Action::Errno(ESOCKTNOSUPPORT),
            socket,
            &unusual,
        );
    }
    policy = policy.with_if(Action::Errno(EPROTONOSUPPORT), socket, &none_of(2, &protocols));
    socket_pairs(policy)
}

/// `socketpair`, of AF_UNIX.
pub fn socket_pairs(policy: Policy) -> Policy {
    policy.with(ALLOW, &["socketpair"]).with_if(Action::Errno(EAFNOSUPPORT), &["socketpair"], &none_of(0, &[AF_UNIX]))
}

/// Making files and changing their modes, but never to set-user-ID or set-group-ID: another container may mount them without `nosuid`.
/// mkdir(2) ignores these bits. The third argument of `open` counts only if a file is made, and is garbage otherwise.
pub fn modes(policy: Policy) -> Policy {
    let plain = |index| [Condition::masked(index, S_ISUID_ISGID, 0)];
    let makes_none = |index| [Condition::masked(index, O_CREAT | O_TMPFILE, 0)];
    policy
        .with_if(ALLOW, &["open"], &makes_none(1))
        .with_if(ALLOW, &["open"], &plain(2))
        .with_if(ALLOW, &["openat"], &makes_none(2))
        .with_if(ALLOW, &["openat"], &plain(3))
        .with_if(ALLOW, &["chmod", "creat", "fchmod"], &plain(1))
        .with_if(ALLOW, &["fchmodat", "fchmodat2"], &plain(2))
}

/// FIFOs, sockets and files by `mknod`, but no devices.
pub fn nodes(policy: Policy) -> Policy {
    let harmless = |index| [Condition::masked(index, S_IFCHR | S_ISUID_ISGID, 0)];
    policy.with_if(ALLOW, &["mknod"], &harmless(1)).with_if(ALLOW, &["mknodat"], &harmless(2))
}

/// `ioctl` but for terminals' and consoles' doors.
pub fn terminals(policy: Policy) -> Policy {
    [TIOCSTI, TIOCLINUX, TIOCSETD].into_iter().fold(policy.with(ALLOW, &["ioctl"]), |policy, request| {
        policy.with_if(Action::Errno(EPERM), &["ioctl"], &[Condition::low_word(1, request)])
    })
}

/// Locks on files (flock(2), fcntl(2)). They are attached to inodes, and so reach into other containers over files that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    Real,
    /// There are none: ENOLCK.
    None,
    /// They are granted and have no effect: all that it takes where a program has no other process to keep out. The JVM complains about a failed flock(2)
    /// on *standard output*.
    Pretended,
}

/// `fcntl` and `flock` without leases and directory notification, which reach into other containers, too.
pub fn descriptors(policy: Policy, locks: Locks) -> Policy {
    let deny = |policy: Policy, errno, command| {
        policy.with_if(Action::Errno(errno), &["fcntl"], &[Condition::low_word(1, command)])
    };
    let policy = policy.with(ALLOW, &["fcntl"]);
    let policy = [F_SETLEASE, F_NOTIFY].into_iter().fold(policy, |policy, command| deny(policy, EPERM, command));
    let (asked, set) = match locks {
        Locks::Real => return policy.with(ALLOW, &["flock"]),
        Locks::None => (ENOLCK, ENOLCK),
        Locks::Pretended => (ENOLCK, 0),
    };
    let policy = [F_GETLK, F_OFD_GETLK].into_iter().fold(policy, |policy, command| deny(policy, asked, command));
    [F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW]
        .into_iter()
        .fold(policy, |policy, command| deny(policy, set, command))
        .with(Action::Errno(set), &["flock"])
}

/// Resource limits of oneself, but for that of core files: init sets it to 1, because with a piped core_pattern the kernel runs the *host's*
/// handler as root for a limit of 0, and only for 1 does not (fs/coredump.c).
pub fn limits(policy: Policy) -> Policy {
    let denied = Action::Errno(EPERM);
    policy
        .with(ALLOW, &["prlimit64", "setrlimit"])
        .with_if(denied, &["prlimit64"], &none_of(0, &[0]))
        .with_if(denied, &["prlimit64"], &[Condition::low_word(1, RLIMIT_CORE), Condition::not_equal(2, 0)])
        .with_if(denied, &["setrlimit"], &[Condition::low_word(0, RLIMIT_CORE)])
}

/// `prctl` without these.
pub fn process_options(policy: Policy, denied: &[u32]) -> Policy {
    denied.iter().fold(policy.with(ALLOW, &["prctl"]), |policy, option| {
        policy.with_if(Action::Errno(EPERM), &["prctl"], &[Condition::low_word(0, *option)])
    })
}

/// Asking for the personality, and resetting it.
pub fn personality(policy: Policy) -> Policy {
    let others = none_of(0, &[0, 0xffff_ffff]);
    policy.with(ALLOW, &["personality"]).with_if(Action::Errno(EPERM), &["personality"], &others)
}
