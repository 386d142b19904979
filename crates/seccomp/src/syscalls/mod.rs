//! Names and numbers of system calls, by the way into the kernel.
//!
//! The numbers come from the crate `syscalls`, which generates them from the kernel's own tables for fourteen architectures. What it has
//! not is here: x32, and ARM's private calls.

mod tables;

use std::fmt;

/// An architecture that programs are compiled for, and filters for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// A way into the kernel: what seccomp_data's `arch` tells apart, and x32, which it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Abi {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// i386: `int 0x80` and 32-bit programs on x86-64.
    X86,
    /// x86-64 with 32-bit pointers: numbers have [`X32_BIT`] set, `arch` is that of x86-64.
    X32,
    /// 32-bit ARM programs on aarch64.
    Arm,
}

/// Set in the numbers of x32 calls (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// What this program was compiled for, if it is one of them.
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }

    /// The ABI of programs of this architecture.
    pub const fn abi(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X86_64,
            Self::Aarch64 => Abi::Aarch64,
        }
    }

    /// The other ABIs that its kernel may offer.
    pub const fn foreign_abis(self) -> &'static [Abi] {
        match self {
            Self::X86_64 => &[Abi::X86, Abi::X32],
            Self::Aarch64 => &[Abi::Arm],
        }
    }

    /// As Docker's profiles spell it in `includes.arches`: Go's GOARCH.
    pub const fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

impl Abi {
    /// `AUDIT_ARCH_*` of linux/audit.h: `arch` of seccomp_data.
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
            Self::X86 => 0x4000_0003,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The ABI of a call by seccomp_data's `arch` and `nr`, as a listener or SIGSYS's siginfo have them.
    pub const fn of(audit_arch: u32, nr: u32) -> Option<Self> {
        match audit_arch {
            // −1 is nobody's number: a tracer's way to skip a call. Everything else from the bit on is x32's or nonsense.
            0xc000_003e if nr >= X32_BIT && nr != u32::MAX => Some(Self::X32),
            0xc000_003e => Some(Self::X86_64),
            0xc000_00b7 => Some(Self::Aarch64),
            0x4000_0003 => Some(Self::X86),
            0x4000_0028 => Some(Self::Arm),
            _ => None,
        }
    }

    /// As the OCI runtime-spec spells it.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// The inverse of [`Abi::oci_name`].
    pub fn from_oci_name(name: &str) -> Option<Self> {
        [Self::X86_64, Self::Aarch64, Self::X86, Self::X32, Self::Arm].into_iter().find(|abi| abi.oci_name() == name)
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::X86 => "i386",
            Self::X32 => "x32",
            Self::Arm => "arm",
        })
    }
}

/// The name of a system call.
pub fn name(abi: Abi, nr: u32) -> Option<&'static str> {
    tables::name(abi, nr)
}

/// What to call a system call in a verdict, by seccomp_data's `arch` and `nr`: its name, with the ABI in front if that is not the architecture's
/// own (`i386:socketcall`), and the number for one without a name (`syscall_999`).
pub fn describe(arch: Arch, audit_arch: u32, nr: u32) -> String {
    let Some(abi) = Abi::of(audit_arch, nr) else { return format!("arch_{audit_arch:#x}:syscall_{nr}") };
    let known = name(abi, nr).map_or_else(|| format!("syscall_{nr}"), str::to_owned);
    if abi == arch.abi() { known } else { format!("{abi}:{known}") }
}

/// The number of a system call; `None` if this ABI has no such call.
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    tables::number(abi, name)
}

/// Whether Linux has, or had, a system call of this name on any architecture.
pub fn exists(name: &str) -> bool {
    tables::exists(name)
}

/// The existing name that is closest to one that does not exist, for messages.
pub fn closest(name: &str) -> Option<&'static str> {
    let limit = if name.len() < 6 { 1 } else { 2 };
    tables::native_names()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// All numbers of an ABI, with their names, ascending.
pub fn all(abi: Abi) -> impl Iterator<Item = (u32, &'static str)> {
    tables::span(abi).filter_map(move |nr| Some((nr, name(abi, nr)?)))
}

/// How many letters have to be changed, added or left out (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&right) {
            let best = (*cell + 1).min(before + 1).min(diagonal + usize::from(from != *to));
            diagonal = std::mem::replace(cell, best);
            before = best;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_libc_and_of_the_manual() {
        assert_eq!(number(Abi::X86_64, "execveat"), Some(322));
        assert_eq!(number(Abi::Aarch64, "execveat"), Some(281));
        assert_eq!(number(Abi::X86, "socketcall"), Some(102));
        assert_eq!(number(Abi::X32, "getpid"), Some(X32_BIT + 39));
        // x32 has numbers of its own for what passes pointers in memory.
        assert_eq!(number(Abi::X32, "execve"), Some(X32_BIT + 520));
        assert_eq!(number(Abi::X32, "ioctl"), Some(X32_BIT + 514));
        assert_eq!(name(Abi::X32, X32_BIT + 59), None);
        assert_eq!(number(Abi::Arm, "set_tls"), Some(0xf0005));
        assert_eq!(number(Abi::Aarch64, "open"), None);
        assert_eq!(number(Abi::Aarch64, "newfstatat"), Some(79));
        assert_eq!(name(Abi::Aarch64, 79), Some("newfstatat"));
        assert_eq!(name(Abi::Aarch64, 403), None);
        assert!(!exists("fstatat"));
        assert_eq!(name(Abi::X86_64, 39), Some("getpid"));
        assert_eq!(name(Abi::X86_64, 400), None);
        assert_eq!(name(Abi::X86_64, u32::MAX), None);
    }

    #[test]
    fn verdicts_name_calls_by_any_way() {
        let (native, i386) = (Abi::X86_64.audit_arch(), Abi::X86.audit_arch());
        let cases = [
            (native, 57, "fork"),
            (native, 999, "syscall_999"),
            (native, u32::MAX, "syscall_4294967295"),
            (native, X32_BIT + 520, "x32:execve"),
            (i386, 102, "i386:socketcall"),
            (i386, 999, "i386:syscall_999"),
            (8, 1, "arch_0x8:syscall_1"),
        ];
        for (arch, nr, expected) in cases {
            assert_eq!(describe(Arch::X86_64, arch, nr), expected);
        }
    }

    #[test]
    fn every_name_leads_back_to_its_number() {
        for abi in [Abi::X86_64, Abi::Aarch64, Abi::X86, Abi::X32, Abi::Arm] {
            let mut count = 0;
            for (nr, known) in all(abi) {
                assert_eq!(number(abi, known), Some(nr), "{abi} {known}");
                assert!(exists(known));
                count += 1;
            }
            assert!(count > 300, "{abi} has {count}");
        }
    }

    #[test]
    fn names_that_exist_nowhere_are_told_with_the_closest() {
        assert!(!exists("opeat"));
        assert_eq!(closest("opeat"), Some("openat"));
        assert_eq!(closest("completely_different"), None);
        for elsewhere in ["s390_pci_mmio_read", "riscv_flush_icache", "breakpoint", "swapcontext", "usr26"] {
            assert!(exists(elsewhere), "{elsewhere}");
        }
    }

    /// aarch64 came late and has no calls of its own: a name that only it has is a mistake of the table's.
    #[test]
    fn aarch64_has_no_names_that_x86_64_has_not() {
        let own: Vec<_> = all(Abi::Aarch64).filter(|(_, name)| number(Abi::X86_64, name).is_none()).collect();
        assert_eq!(own, []);
    }

    /// The headers of this machine are a second source, where there are some.
    #[test]
    fn numbers_are_those_of_the_systems_headers() {
        let headers = [
            (Abi::X86_64, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
            (Abi::X86, "/usr/include/x86_64-linux-gnu/asm/unistd_32.h"),
            (Abi::X32, "/usr/include/x86_64-linux-gnu/asm/unistd_x32.h"),
            (Abi::Aarch64, "/usr/include/asm-generic/unistd.h"),
        ];
        for (abi, path) in headers {
            let Ok(text) = std::fs::read_to_string(path) else {
                eprintln!("skipped: {path} is not here");
                continue;
            };
            let mut compared = 0;
            for line in text.lines() {
                let Some(rest) = line.strip_prefix("#define __NR_") else { continue };
                let mut words = rest.split_whitespace();
                let (Some(defined), Some(value)) = (words.next(), words.next()) else { continue };
                let value = value.trim_start_matches("(__X32_SYSCALL_BIT").trim_matches(['+', ' ', ')']);
                let value =
                    if value.is_empty() { words.nth(1).unwrap_or_default().trim_end_matches(')') } else { value };
                let Ok(value) = value.parse::<u32>() else { continue };
                let value = if abi == Abi::X32 { value | X32_BIT } else { value };
                // Generic numbers that aarch64 has not, and the count.
                if abi == Abi::Aarch64 && (defined == "syscalls" || number(abi, defined).is_none()) {
                    continue;
                }
                assert_eq!(number(abi, defined), Some(value), "{abi} {defined}");
                compared += 1;
            }
            assert!(compared > 200, "{path}: {compared}");
        }
    }
}
