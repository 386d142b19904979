//! Numbers of the kernel's, the same on x86-64 and aarch64.

pub const EPERM: u16 = 1;
pub const EACCES: u16 = 13;
pub const ENOTTY: u16 = 25;
pub const ENOLCK: u16 = 37;
pub const ENOSYS: u16 = 38;
pub const EPROTONOSUPPORT: u16 = 93;
pub const ESOCKTNOSUPPORT: u16 = 94;
pub const EAFNOSUPPORT: u16 = 97;

/// Any access mode but reading (fcntl.h, `O_WRONLY|O_RDWR`).
pub const O_ACCMODE: u64 = 0o3;
pub const O_CREAT: u64 = 0o100;
pub const O_TRUNC: u64 = 0o1000;
/// Without O_DIRECTORY, which is part of `O_TMPFILE` and has different numbers on both.
pub const O_TMPFILE: u64 = 0o20_000_000;
pub const AT_EMPTY_PATH: u64 = 0x1000;

pub const S_ISUID_ISGID: u64 = 0o6000;
/// Set in the types of character devices, block devices and links, and not in those of files, FIFOs and sockets (inode(7)).
pub const S_IFCHR: u64 = 0o020_000;

pub const CLONE_THREAD: u64 = 0x0001_0000;
/// `CLONE_NEWCGROUP|UTS|IPC|USER|PID|NET|NS`; `CLONE_NEWTIME` is in the range of clone's exit signal, and for clone3 and unshare only.
pub const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// A child that no tracer is told of, and nobody else has a use for.
pub const CLONE_UNTRACED: u64 = 0x0080_0000;

pub const TCGETS: u32 = 0x5401;
pub const TIOCGWINSZ: u32 = 0x5413;
pub const FIONREAD: u32 = 0x541b;
/// Types into a terminal (CVE-2017-5226).
pub const TIOCSTI: u32 = 0x5412;
/// Pastes into a console.
pub const TIOCLINUX: u32 = 0x541c;
/// Loads modules for line disciplines (CVE-2017-2636).
pub const TIOCSETD: u32 = 0x5423;

pub const F_DUPFD: u32 = 0;
pub const F_GETFD: u32 = 1;
pub const F_SETFD: u32 = 2;
pub const F_GETFL: u32 = 3;
pub const F_SETFL: u32 = 4;
pub const F_GETLK: u32 = 5;
pub const F_SETLK: u32 = 6;
pub const F_SETLKW: u32 = 7;
pub const F_OFD_GETLK: u32 = 36;
pub const F_OFD_SETLK: u32 = 37;
pub const F_OFD_SETLKW: u32 = 38;
pub const F_SETLEASE: u32 = 1024;
pub const F_NOTIFY: u32 = 1026;
pub const F_DUPFD_CLOEXEC: u32 = 1030;

pub const PR_SET_NAME: u32 = 15;
pub const PR_GET_NAME: u32 = 16;
pub const PR_SET_SECCOMP: u32 = 22;
pub const PR_SET_MM: u32 = 35;
pub const PR_SET_PTRACER: u32 = 0x5961_6d61;
pub const PR_SET_VMA: u32 = 0x5356_4d41;

pub const RLIMIT_CORE: u32 = 4;

pub const AF_UNIX: u64 = 1;
pub const AF_INET: u64 = 2;
pub const AF_INET6: u64 = 10;
pub const AF_NETLINK: u64 = 16;
/// In the numbers of `SOCK_RDM`, `SOCK_SEQPACKET` (SCTP) and `SOCK_DCCP`, and not in those of `SOCK_STREAM` and `SOCK_DGRAM`.
pub const SOCK_UNUSUAL: u64 = 4;
pub const IPPROTO_TCP: u64 = 6;
pub const IPPROTO_UDP: u64 = 17;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
pub const NEW_LISTENER: u64 = 8;
