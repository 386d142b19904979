//! The tables behind the names.

use super::{Abi, X32_BIT};
use std::ops::RangeInclusive;
use syscalls::{aarch64, arm, x86, x86_64};

/// x32's numbers for calls whose arguments lie in memory (arch/x86/entry/syscalls/syscall_64.tbl, ABI "x32"): fixed for ever, as no new
/// ones are made in this range.
const X32_ONLY: [(u32, &str); 36] = [
    (512, "rt_sigaction"),
    (513, "rt_sigreturn"),
    (514, "ioctl"),
    (515, "readv"),
    (516, "writev"),
    (517, "recvfrom"),
    (518, "sendmsg"),
    (519, "recvmsg"),
    (520, "execve"),
    (521, "ptrace"),
    (522, "rt_sigpending"),
    (523, "rt_sigtimedwait"),
    (524, "rt_sigqueueinfo"),
    (525, "sigaltstack"),
    (526, "timer_create"),
    (527, "mq_notify"),
    (528, "kexec_load"),
    (529, "waitid"),
    (530, "set_robust_list"),
    (531, "get_robust_list"),
    (532, "vmsplice"),
    (533, "move_pages"),
    (534, "preadv"),
    (535, "pwritev"),
    (536, "rt_tgsigqueueinfo"),
    (537, "recvmmsg"),
    (538, "sendmmsg"),
    (539, "process_vm_readv"),
    (540, "process_vm_writev"),
    (541, "setsockopt"),
    (542, "getsockopt"),
    (543, "io_setup"),
    (544, "io_submit"),
    (545, "execveat"),
    (546, "preadv2"),
    (547, "pwritev2"),
];

/// ABI "64" in the same table: not to be had by x32 under the shared number, and with no x32 one.
const X86_64_ONLY: [&str; 14] = [
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "vserver",
    "uretprobe",
    "uprobe",
    "map_shadow_stack",
];

/// aarch64's number for `newfstatat`, which the crate calls "fstatat" (include/uapi/asm-generic/unistd.h, `__NR3264_fstatat`).
const NEWFSTATAT: u32 = 79;

/// Numbers of the generic table for 32-bit architectures, which the crate has among aarch64's (`__BITS_PER_LONG == 32` in the same file).
const TIME64: RangeInclusive<u32> = 403..=423;

/// ARM's private calls (arch/arm/include/uapi/asm/unistd.h, `__ARM_NR_BASE`); 32-bit programs need `set_tls` to start.
const ARM_PRIVATE: [(u32, &str); 6] = [
    (0xf_0001, "breakpoint"),
    (0xf_0002, "cacheflush"),
    (0xf_0003, "usr26"),
    (0xf_0004, "usr32"),
    (0xf_0005, "set_tls"),
    (0xf_0006, "get_tls"),
];

/// Names that only other architectures have, as profiles for all of them list, and names that are newer than the tables.
///
/// A test compares them with the tables of all architectures; those would be 130 kB more in the addon.
const ELSEWHERE: &[&str] = &[
    "cachectl",
    "execv",
    "getdomainname",
    "getpagesize",
    "kern_features",
    "listns",
    "llseek",
    "memory_ordering",
    "multiplexer",
    "perfctr",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rseq_slice_yield",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "sched_get_affinity",
    "sched_set_affinity",
    "spu_create",
    "spu_run",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sync_file_range2",
    "sys_debug_setcontext",
    "syscall",
    "sysmips",
    "timerfd",
    "utrap_install",
];

/// The highest number that `syscalls` knows, for any ABI of ours but ARM's private ones.
const LAST: u32 = 600;

pub(super) fn span(abi: Abi) -> impl Iterator<Item = u32> {
    let plain: RangeInclusive<u32> = if abi == Abi::X32 { X32_BIT..=X32_BIT + LAST } else { 0..=LAST };
    let private = (abi == Abi::Arm).then(|| ARM_PRIVATE.iter().map(|(nr, _)| *nr));
    plain.chain(private.into_iter().flatten())
}

pub(super) fn name(abi: Abi, nr: u32) -> Option<&'static str> {
    match abi {
        Abi::X86_64 => x86_64::Sysno::new(nr as usize).map(|sysno| sysno.name()),
        Abi::Aarch64 => match nr {
            NEWFSTATAT => Some("newfstatat"),
            nr if TIME64.contains(&nr) => None,
            nr => aarch64::Sysno::new(nr as usize).map(|sysno| sysno.name()),
        },
        // "break" is a keyword of Rust, so the crate has to call it r#break.
        Abi::X86 => x86::Sysno::new(nr as usize).map(|sysno| sysno.name().trim_start_matches("r#")),
        Abi::Arm => {
            let private = ARM_PRIVATE.iter().find(|(private, _)| *private == nr).map(|(_, name)| *name);
            private.or_else(|| arm::Sysno::new(nr as usize).map(|sysno| sysno.name()))
        }
        Abi::X32 => {
            let nr = nr.checked_sub(X32_BIT)?;
            if let Some((_, name)) = X32_ONLY.iter().find(|(own, _)| *own == nr) {
                return Some(name);
            }
            let name = x86_64::Sysno::new(nr as usize)?.name();
            let shared = !X86_64_ONLY.contains(&name) && !X32_ONLY.iter().any(|(_, own)| *own == name);
            shared.then_some(name)
        }
    }
}

pub(super) fn number(abi: Abi, name: &str) -> Option<u32> {
    match abi {
        Abi::X86_64 => name.parse::<x86_64::Sysno>().ok().map(|sysno| sysno as u32),
        Abi::Aarch64 if name == "newfstatat" => Some(NEWFSTATAT),
        Abi::Aarch64 => {
            let number = name.parse::<aarch64::Sysno>().ok().map(|sysno| sysno as u32);
            number.filter(|nr| *nr != NEWFSTATAT && !TIME64.contains(nr))
        }
        Abi::X86 if name == "break" => Some(x86::Sysno::r#break as u32),
        Abi::X86 => name.parse::<x86::Sysno>().ok().map(|sysno| sysno as u32),
        Abi::Arm => {
            let private = ARM_PRIVATE.iter().find(|(_, private)| *private == name).map(|(nr, _)| *nr);
            private.or_else(|| name.parse::<arm::Sysno>().ok().map(|sysno| sysno as u32))
        }
        Abi::X32 => {
            if let Some((nr, _)) = X32_ONLY.iter().find(|(_, own)| *own == name) {
                return Some(X32_BIT | nr);
            }
            if X86_64_ONLY.contains(&name) {
                return None;
            }
            name.parse::<x86_64::Sysno>().ok().map(|sysno| X32_BIT | sysno as u32)
        }
    }
}

pub(super) fn exists(name: &str) -> bool {
    [Abi::X86_64, Abi::Aarch64, Abi::X86, Abi::Arm].into_iter().any(|abi| number(abi, name).is_some())
        || ELSEWHERE.contains(&name)
}

pub(super) fn native_names() -> impl Iterator<Item = &'static str> {
    [Abi::X86_64, Abi::Aarch64].into_iter().flat_map(|abi| span(abi).filter_map(move |nr| name(abi, nr)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syscalls::{loongarch64, mips, mips64, powerpc, powerpc64, riscv32, riscv64, s390x, sparc, sparc64};

    /// Names of all that a table holds.
    macro_rules! names {
        ($($arch:ident)*) => {
            [$(
                (0..=$arch::Sysno::last().id() as usize)
                    .filter_map($arch::Sysno::new)
                    .map(|sysno| sysno.name().to_owned())
                    .collect::<Vec<String>>()
            ),*]
        };
    }

    #[test]
    fn names_of_other_architectures_exist() {
        let tables = names!(loongarch64 mips mips64 powerpc powerpc64 riscv32 riscv64 s390x sparc sparc64);
        let placeholder = |name: &str| {
            let rest = name.strip_prefix("unused").or_else(|| name.strip_prefix("reserved"));
            // The generic table's newfstatat, under a name that no kernel has.
            name == "fstatat" || rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        for name in tables.iter().flatten().filter(|name| !placeholder(name)) {
            assert!(exists(name), "{name}");
        }
        let ours =
            |name: &str| [Abi::X86_64, Abi::Aarch64, Abi::X86, Abi::Arm].iter().any(|abi| number(*abi, name).is_some());
        let needless: Vec<_> = ELSEWHERE.iter().filter(|name| ours(name)).collect();
        assert!(needless.is_empty(), "{needless:?} are no longer only elsewhere");
    }
}
