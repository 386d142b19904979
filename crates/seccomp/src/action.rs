//! What a filter may answer to a system call.

use std::fmt;

/// Answer of a filter, most restrictive first: the kernel's order of precedence (seccomp(2), "Return values").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The whole process dies of SIGSYS (since Linux 4.14).
    KillProcess,
    /// The calling thread dies of SIGSYS.
    KillThread,
    /// The calling thread gets SIGSYS, which it may handle.
    Trap,
    /// The call is not made and returns this error; 0 makes it look as if it had succeeded.
    Errno(u16),
    /// Whoever listens decides (since Linux 5.0). Without a listener the call fails with ENOSYS.
    Notify,
    /// The tracer is told, with this number as the event's message. Without a tracer the call fails with ENOSYS.
    Trace(u16),
    /// The call is made, and logged (since Linux 4.14).
    Log,
    /// The call is made.
    Allow,
}

impl Action {
    /// The largest error number that the kernel returns for `SECCOMP_RET_ERRNO` (`MAX_ERRNO` of include/linux/err.h); it caps larger ones.
    pub const MAX_ERRNO: u16 = 4095;

    /// `SECCOMP_RET_*` of linux/seccomp.h with its data: what a program returns.
    pub const fn to_ret(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0x0000_0000,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | errno as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// The inverse of [`Action::to_ret`]; `None` for a value that the kernel takes for `KillProcess` because it does not know it.
    pub const fn from_ret(ret: u32) -> Option<Self> {
        let data = (ret & 0xffff) as u16;
        Some(match ret & 0xffff_0000 {
            0x8000_0000 => Self::KillProcess,
            0x0000_0000 => Self::KillThread,
            0x0003_0000 => Self::Trap,
            0x0005_0000 => Self::Errno(data),
            0x7fc0_0000 => Self::Notify,
            0x7ff0_0000 => Self::Trace(data),
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            _ => return None,
        })
    }

    /// Place in the kernel's order: 0 is the most restrictive. Actions that differ in their data only are equal in this.
    pub const fn precedence(self) -> u8 {
        match self {
            Self::KillProcess => 0,
            Self::KillThread => 1,
            Self::Trap => 2,
            Self::Errno(_) => 3,
            Self::Notify => 4,
            Self::Trace(_) => 5,
            Self::Log => 6,
            Self::Allow => 7,
        }
    }

    /// Whether the call is made without anybody being asked.
    pub const fn permits(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// Whether it ends the caller.
    pub const fn kills(self) -> bool {
        matches!(self, Self::KillProcess | Self::KillThread)
    }

    /// As the OCI runtime-spec spells it. `SCMP_ACT_KILL` is an older name of `SCMP_ACT_KILL_THREAD`.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Notify => "SCMP_ACT_NOTIFY",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Log => "SCMP_ACT_LOG",
            Self::Allow => "SCMP_ACT_ALLOW",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.oci_name())?;
        match self {
            Self::Errno(data) | Self::Trace(data) => write!(f, "({data})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returned_values_are_the_kernels() {
        for action in [
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Errno(38),
            Action::Notify,
            Action::Trace(7),
            Action::Log,
            Action::Allow,
        ] {
            assert_eq!(Action::from_ret(action.to_ret()), Some(action));
        }
        assert_eq!(Action::Errno(1).to_ret(), libc::SECCOMP_RET_ERRNO | 1);
        assert_eq!(Action::Trace(9).to_ret(), libc::SECCOMP_RET_TRACE | 9);
        assert_eq!(Action::Notify.to_ret(), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(Action::KillProcess.to_ret(), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(Action::from_ret(0x1234_0000), None);
    }
}
