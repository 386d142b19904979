//! Capability sets (capabilities(7), capset(2)).

use crate::check;
use std::io;

/// Capabilities by number, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// What init keeps inside of its namespaces: files and mounts of reset (CHOWN, DAC_OVERRIDE, FOWNER, SYS_ADMIN), identities of
    /// programs (SETGID, SETUID, SETPCAP), killing them (KILL), telling whose they are (SYS_PTRACE, for /proc/PID/ns), and for supervisors of
    /// traced runs the choice of their processor (SYS_NICE).
    pub const INIT: Self = Self(
        1 << CHOWN
            | 1 << DAC_OVERRIDE
            | 1 << FOWNER
            | 1 << KILL
            | 1 << SETGID
            | 1 << SETUID
            | 1 << SETPCAP
            | 1 << SYS_PTRACE
            | 1 << SYS_NICE
            | 1 << SYS_ADMIN,
    );

    /// The same without those over files: with the host's own user namespace they would be the host's.
    pub const INIT_BARE: Self = Self(Self::INIT.0 & !(1 << CHOWN | 1 << DAC_OVERRIDE | 1 << FOWNER));
    /// To enter any directory.
    pub const ENTER: Self = Self(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH);

    /// What a supervisor keeps of init's: to trace (SYS_PTRACE), to end what it traces (KILL), to move it (SYS_NICE), and to look at where paths lead,
    /// also through directories that a program has closed (DAC_READ_SEARCH; in a user namespace DAC_OVERRIDE, which init has there).
    pub const SUPERVISOR: Self = Self(1 << SYS_PTRACE | 1 << KILL | 1 << SYS_NICE | 1 << DAC_OVERRIDE);
    /// The same where they are the host's: to look, and not to write.
    pub const SUPERVISOR_BARE: Self = Self(1 << SYS_PTRACE | 1 << KILL | 1 << SYS_NICE | 1 << DAC_READ_SEARCH);

    /// What it takes to write the id maps of somebody else's user namespace.
    pub const ADMIN: Self = Self(1 << SYS_ADMIN);

    /// These and those.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const CHOWN: u8 = 0;
const DAC_OVERRIDE: u8 = 1;
const DAC_READ_SEARCH: u8 = 2;
const FOWNER: u8 = 3;
const KILL: u8 = 5;
const SETGID: u8 = 6;
const SETUID: u8 = 7;
const SETPCAP: u8 = 8;
const SYS_PTRACE: u8 = 19;
const SYS_ADMIN: u8 = 21;
const SYS_NICE: u8 = 23;

/// Every securebit of capabilities(7) but KEEP_CAPS, each with its lock: uid 0 means nothing, changing the uid changes no
/// capability, and no ambient capability can be raised.
pub const SECUREBITS_LOCKED: u32 = 0xef;

/// `SECBIT_NO_SETUID_FIXUP`: changing the uid changes no capability.
pub const NO_SETUID_FIXUP: u32 = 0x4;

/// `_LINUX_CAPABILITY_VERSION_3`, and ourselves.
pub const HEADER: [u32; 2] = [0x2008_0522, 0];

/// Sets effective and permitted to `set` and inheritable to nothing.
pub fn set(set: Capabilities) -> io::Result<()> {
    set_effective(set, set)
}

/// Sets the effective and the permitted set, and inheritable to nothing.
pub fn set_effective(effective: Capabilities, permitted: Capabilities) -> io::Result<()> {
    let halves = |set: Capabilities| (set.0 as u32, (set.0 >> 32) as u32);
    let ((low, high), (low_permitted, high_permitted)) = (halves(effective), halves(permitted));
    let data: [u32; 6] = [low, low_permitted, 0, high, high_permitted, 0];
    // SAFETY: the kernel reads the header and two structures of three words.
    check(unsafe { libc::syscall(libc::SYS_capset, HEADER.as_ptr(), data.as_ptr()) })?;
    Ok(())
}

/// The effective set.
pub fn effective() -> io::Result<Capabilities> {
    let mut header = HEADER;
    let mut data = [0_u32; 6];
    // SAFETY: the kernel reads and writes the header and writes two structures of three words.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) })?;
    Ok(Capabilities(u64::from(data[0]) | u64::from(data[3]) << 32))
}

/// Empties the bounding set, from which execve of a file with capabilities takes.
pub fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64 {
        // SAFETY: no memory involved.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }.into()) {
            // beyond the last capability of this kernel
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        };
    }
    Ok(())
}
