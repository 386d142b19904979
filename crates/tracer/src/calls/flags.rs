//! Constants by name.
//!
//! Pure data, for showing only: no decision depends on it. Values are those of asm-generic, which x86-64 and arm64 share but for four
//! flags of open(2).

use std::fmt::Write;

/// How the names of an argument are put together.
#[derive(Debug)]
pub struct Names {
    /// Bits that hold one value of `values` (all of them for a plain enumeration).
    mask: u64,
    /// Names of the value under the mask.
    values: &'static [(u64, &'static str)],
    /// Names of single bits beyond the mask.
    bits: &'static [(u64, &'static str)],
}

/// Values of zero that mean the absence of all bits, unlike `O_RDONLY`.
const NOTHING: [&str; 1] = ["PROT_NONE"];

impl Names {
    /// Appends the names of a number; what has none is shown as a number.
    pub fn write(&self, number: u64, into: &mut String) {
        let start = into.len();
        let value = number & self.mask;
        let mut rest = number & !self.mask;
        // A name for no bits at all (PROT_NONE) is one where there are none.
        let is_void = |name: &str| value == 0 && rest != 0 && NOTHING.contains(&name);
        let named = self.values.iter().find(|(candidate, name)| *candidate == value && !is_void(name));
        if let Some((_, name)) = named {
            into.push_str(name);
        } else if value != 0 {
            rest |= value;
        }
        for (bit, name) in self.bits {
            // Names of several bits come before those of fewer (O_SYNC, O_DSYNC).
            if *bit != 0 && rest & bit == *bit {
                if into.len() > start {
                    into.push('|');
                }
                into.push_str(name);
                rest &= !bit;
            }
        }
        if rest != 0 || into.len() == start {
            if into.len() > start {
                into.push('|');
            }
            // A plain enumeration's unknown value is a number, what is left of bits is hexadecimal.
            let _ = if self.bits.is_empty() { write!(into, "{}", rest as i64) } else { write!(into, "{rest:#x}") };
        }
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $mask:expr, [$($value:ident),* $(,)?], [$($bit:ident),* $(,)?]) => {
        $(#[$doc])*
        pub static $name: Names = Names {
            mask: $mask,
            values: &[$((libc::$value as u64, stringify!($value)),)*],
            bits: &[$((libc::$bit as u64, stringify!($bit)),)*],
        };
    };
}

/// All bits that an `int` has.
const INT: u64 = 0xffff_ffff;

names! {
    /// open(2).
    OPEN, 3, [O_RDONLY, O_WRONLY, O_RDWR],
    [O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC, O_APPEND, O_NONBLOCK, O_SYNC, O_DSYNC, O_ASYNC, O_DIRECT, O_TMPFILE, O_DIRECTORY, O_NOFOLLOW, O_NOATIME,
     O_CLOEXEC, O_PATH]
}
names! {
    /// access(2).
    ACCESS, 7, [F_OK], [R_OK, W_OK, X_OK]
}
names! {
    /// lseek(2).
    WHENCE, INT, [SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE], []
}
names! {
    /// mmap(2), protection.
    PROT, 0, [PROT_NONE], [PROT_READ, PROT_WRITE, PROT_EXEC, PROT_GROWSDOWN]
}
names! {
    /// mmap(2), flags.
    MAP, 0xf, [MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE],
    [MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_DENYWRITE, MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_NONBLOCK, MAP_STACK, MAP_HUGETLB,
     MAP_FIXED_NOREPLACE]
}
names! {
    /// madvise(2).
    MADVISE, INT, [MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE], []
}
names! {
    /// clone(2), with the signal in the lowest byte.
    CLONE, 0xff, [SIGCHLD],
    [CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_PIDFD, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT, CLONE_THREAD, CLONE_NEWNS, CLONE_SYSVSEM,
     CLONE_SETTLS, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_DETACHED, CLONE_UNTRACED, CLONE_CHILD_SETTID, CLONE_NEWCGROUP, CLONE_NEWUTS,
     CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_IO]
}
names! {
    /// socket(2), family.
    AF, INT, [AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK], []
}
names! {
    /// socket(2), type.
    SOCK, 0xf, [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET], [SOCK_NONBLOCK, SOCK_CLOEXEC]
}
names! {
    /// send(2) and recv(2).
    MSG, 0, [],
    [MSG_OOB, MSG_PEEK, MSG_DONTROUTE, MSG_CTRUNC, MSG_TRUNC, MSG_DONTWAIT, MSG_EOR, MSG_WAITALL, MSG_CONFIRM, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_MORE,
     MSG_CMSG_CLOEXEC]
}
names! {
    /// fcntl(2).
    FCNTL, INT,
    [F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN, F_SETLEASE, F_GETLEASE, F_DUPFD_CLOEXEC, F_SETPIPE_SZ,
     F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW], []
}
names! {
    /// epoll_ctl(2).
    EPOLL, INT, [EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD], []
}
names! {
    /// futex(2).
    FUTEX, 0x7f,
    [FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET],
    [FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME]
}
names! {
    /// wait4(2).
    WAIT, 0, [], [WNOHANG, WUNTRACED, WCONTINUED, WEXITED, WNOWAIT, __WALL, __WCLONE, __WNOTHREAD]
}
names! {
    /// signal(7).
    SIGNAL, INT,
    [SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD,
     SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS], []
}
names! {
    /// prctl(2).
    PRCTL, INT,
    [PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_SET_SECCOMP,
     PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_TIMERSLACK, PR_SET_MM, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_THP_DISABLE,
     PR_CAP_AMBIENT, PR_SET_PTRACER, PR_SET_VMA], []
}

/// renameat2(2).
pub static RENAME: Names =
    Names { mask: 0, values: &[], bits: &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")] };

/// The `*at` calls.
pub static AT: Names = Names {
    mask: 0,
    values: &[],
    bits: &[
        (0x100, "AT_SYMLINK_NOFOLLOW"),
        (0x200, "AT_REMOVEDIR"),
        (0x400, "AT_SYMLINK_FOLLOW"),
        (0x800, "AT_NO_AUTOMOUNT"),
        (0x1000, "AT_EMPTY_PATH"),
        (0x2000, "AT_STATX_FORCE_SYNC"),
        (0x4000, "AT_STATX_DONT_SYNC"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &Names, number: u64) -> String {
        let mut text = String::new();
        names.write(number, &mut text);
        text
    }

    #[test]
    fn numbers_have_the_names_that_programmers_use() {
        assert_eq!(shown(&OPEN, 0), "O_RDONLY");
        assert_eq!(shown(&OPEN, (libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC) as u64), "O_RDWR|O_CREAT|O_CLOEXEC");
        assert_eq!(shown(&OPEN, (libc::O_WRONLY | libc::O_SYNC) as u64), "O_WRONLY|O_SYNC");
        assert_eq!(shown(&OPEN, 1 << 40), "O_RDONLY|0x10000000000");
        assert_eq!(shown(&PROT, 0), "PROT_NONE");
        assert_eq!(shown(&MSG, 0), "0x0");
        assert_eq!(shown(&SIGNAL, 9), "SIGKILL");
        assert_eq!(shown(&SIGNAL, 99), "99");
        assert_eq!(shown(&CLONE, (libc::CLONE_VM | libc::SIGCHLD) as u64), "SIGCHLD|CLONE_VM");
        assert_eq!(shown(&FUTEX, 0x81), "FUTEX_WAKE|FUTEX_PRIVATE_FLAG");
        assert_eq!(shown(&AF, 1), "AF_UNIX");
    }
}
