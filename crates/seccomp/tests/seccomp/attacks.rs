//! What a hostile program tries, under the built-in profiles in the kernel. Each attempt is a child of its own.

use crate::support::{Ended, Filter, PERMITTED, call, errno, nr, profile, under};
use hotcell_seccomp::Profile;
use hotcell_seccomp::syscalls::{self, Arch, X32_BIT};

const SYS: Ended = Ended::Killed(libc::SIGSYS);
const EPERM: Ended = errno(libc::EPERM);
const ENOSYS: Ended = errno(libc::ENOSYS);

struct Under(Filter);

impl Under {
    fn new(which: Profile) -> Self {
        Self(Filter::new(profile(which)))
    }

    /// What a call by name comes to; an architecture that has no such call has nothing to attack.
    fn attempt(&self, name: &str, args: &[u64]) -> Option<Ended> {
        let number = syscalls::number(Arch::native()?.abi(), name)?;
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        Some(under(self.0, move || call(number, all)))
    }

    #[track_caller]
    fn expect(&self, name: &str, args: &[u64], expected: Ended) {
        if let Some(ended) = self.attempt(name, args) {
            assert_eq!(ended, expected, "{name}{args:x?}");
        }
    }
}

#[test]
fn only_the_listed_kinds_of_sockets_can_be_made() {
    let default = Under::new(Profile::Default);
    for family in 0..46 {
        let made = default.attempt("socket", &[family, 2, 0]).expect("everybody has socket");
        match family {
            // AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
            1 | 2 | 10 | 16 => assert!(matches!(made, Ended::Returned(fd) if fd >= 0), "{family}: {made:?}"),
            _ => assert_eq!(made, errno(libc::EAFNOSUPPORT), "{family}"),
        }
        // The kernel looks at the lower half only.
        let hidden = default.attempt("socket", &[family | 1 << 32, 2, 0]);
        assert_eq!(hidden, Some(errno(libc::EAFNOSUPPORT)), "{family}");
    }
    let netlink: Vec<_> = (1..23).map(|protocol| default.attempt("socket", &[16, 3, protocol])).collect();
    assert!(netlink.iter().all(|made| *made == Some(errno(libc::EPROTONOSUPPORT))), "{netlink:?}");
    // SCTP, both ways; MPTCP; DCCP; UDP-Lite
    default.expect("socket", &[2, 1, 132], errno(libc::EPROTONOSUPPORT));
    default.expect("socket", &[2, 5, 0], errno(libc::ESOCKTNOSUPPORT));
    default.expect("socket", &[10, 5 | 0x80000, 0], errno(libc::ESOCKTNOSUPPORT));
    default.expect("socket", &[2, 1, 262], errno(libc::EPROTONOSUPPORT));
    default.expect("socket", &[2, 6, 33], errno(libc::ESOCKTNOSUPPORT));
    default.expect("socket", &[2, 2, 136], errno(libc::EPROTONOSUPPORT));
    // AF_TIPC has pairs, too.
    default.expect("socketpair", &[30, 1, 0, 0], errno(libc::EAFNOSUPPORT));
    let judge = Under::new(Profile::Judge);
    for family in [1, 2, 10, 16, 38, 40] {
        judge.expect("socket", &[family, 2, 0], errno(libc::EAFNOSUPPORT));
    }
    Under::new(Profile::Strict).expect("socket", &[1, 1, 0], SYS);
}

#[test]
fn no_namespace_can_be_made_or_entered() {
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        0x80, // CLONE_NEWTIME
    ];
    let default = Under::new(Profile::Default);
    for flag in namespaces.map(|flag| flag as u64) {
        default.expect("unshare", &[flag], EPERM);
        default.expect("setns", &[0, flag], EPERM);
        if flag != 0x80 {
            default.expect("clone", &[flag | 17, 0, 0, 0, 0], EPERM);
            default.expect("clone", &[flag | 17 | 1 << 40, 0, 0, 0, 0], EPERM);
        }
    }
    default.expect("clone3", &[0, 88], ENOSYS);
    // CLONE_UNTRACED
    default.expect("clone", &[0x0080_0000 | 17, 0, 0, 0, 0], EPERM);
    let judge = Under::new(Profile::Judge);
    judge.expect("unshare", &[0x1000_0000], SYS);
    judge.expect("clone3", &[0, 88], ENOSYS);
}

#[test]
fn facilities_that_are_denied_look_absent_or_forbidden_and_are_never_reached() {
    let default = Under::new(Profile::Default);
    // With arguments for which the kernel itself would say something else: EFAULT, EINVAL, EBADF or success.
    for name in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "add_key",
        "request_key",
        "keyctl",
        "io_setup",
        "mq_open",
        "shmget",
        "semget",
        "msgget",
        "openat2",
        "userfaultfd",
        "memfd_secret",
        "statmount",
        "listmount",
    ] {
        default.expect(name, &[0, 0, 0, 0, 0], ENOSYS);
    }
    for name in [
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_mrelease",
        "pidfd_getfd",
        "kcmp",
        "bpf",
        "perf_event_open",
        "open_by_handle_at",
        "name_to_handle_at",
        "fanotify_init",
        "fanotify_mark",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "quotactl",
        "acct",
        "swapon",
        "swapoff",
        "reboot",
        "kexec_load",
        "init_module",
        "finit_module",
        "delete_module",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "clock_adjtime",
        "syslog",
        "lookup_dcookie",
        "mbind",
        "move_pages",
        "migrate_pages",
        "set_mempolicy",
        "get_mempolicy",
        "modify_ldt",
        "iopl",
        "ioperm",
        "vhangup",
        "sethostname",
        "setdomainname",
        "sync",
        "syncfs",
        "mlockall",
        "remap_file_pages",
        "vmsplice",
        "ioprio_set",
        "sched_setscheduler",
        "sched_setattr",
        "sched_setparam",
        "process_madvise",
        "uselib",
        "ustat",
        "sysfs",
        "_sysctl",
        "nfsservctl",
        "vserver",
    ] {
        default.expect(name, &[0, 0, 0, 0, 0], EPERM);
    }
}

#[test]
fn numbers_that_are_nobodys_look_like_an_old_kernel() {
    for which in [Profile::Default, Profile::Judge, Profile::Strict] {
        let filter = Filter::new(profile(which));
        for number in [600, 4095, 0x3fff_ffff] {
            assert_eq!(under(filter, || call(number, [0; 6])), ENOSYS, "{number} under {}", which.name());
        }
        assert_eq!(under(filter, || call(u32::MAX, [0; 6])), ENOSYS);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn other_ways_into_the_kernel_kill() {
    for which in [Profile::Default, Profile::Judge, Profile::Strict] {
        let filter = Filter::new(profile(which));
        for number in [X32_BIT + 39, X32_BIT + 512, X32_BIT + 600, 0x7fff_ffff] {
            assert_eq!(under(filter, || call(number, [0; 6])), SYS, "{number:#x}");
        }
        let by_interrupt = || {
            let result: i64;
            // SAFETY: i386's getpid, which touches nothing.
            unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result) };
            result
        };
        match under(filter, by_interrupt) {
            SYS => {}
            // A kernel without IA32 emulation.
            Ended::Killed(libc::SIGSEGV) => eprintln!("skipped: no IA32 emulation here"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn arguments_are_filtered_on_the_bits_that_the_kernel_sees() {
    let default = Under::new(Profile::Default);
    for request in [0x5412, 0x541c, 0x5423] {
        default.expect("ioctl", &[0, request, 0], EPERM);
        // CVE-2019-10063
        default.expect("ioctl", &[0, request | 1 << 32, 0], EPERM);
        default.expect("ioctl", &[u64::MAX, request - 1, 0], errno(libc::EBADF));
    }
    for command in [1024, 1026, 1024 | 1 << 33] {
        default.expect("fcntl", &[0, command, 0], EPERM);
    }
    default.expect("prctl", &[35, 0], EPERM);
    default.expect("prctl", &[0x5961_6d61 | 1 << 63, 1], EPERM);
    default.expect("seccomp", &[1, 8, 0], EPERM);
    default.expect("seccomp", &[1, 0, 0], errno(libc::EFAULT));
    default.expect("personality", &[0x0040_0000], EPERM);
    default.expect("personality", &[8], EPERM);
    assert!(matches!(default.attempt("personality", &[0xffff_ffff]), Some(Ended::Returned(_))));
}

#[test]
fn limits_of_others_and_of_core_files_stay() {
    let limit = [0_u64, 0];
    let pointer = limit.as_ptr() as u64;
    let default = Under::new(Profile::Default);
    default.expect("prlimit64", &[1, 7, 0, pointer], EPERM);
    default.expect("prlimit64", &[0, 4, pointer, 0], EPERM);
    default.expect("prlimit64", &[0, 4 | 1 << 32, pointer, 0], EPERM);
    default.expect("prlimit64", &[0, 4, 0, pointer], PERMITTED);
    default.expect("prlimit64", &[0, 7, 0, pointer], PERMITTED);
    default.expect("setrlimit", &[4, pointer], EPERM);
    default.expect("setrlimit", &[4 | 1 << 40, pointer], EPERM);
    let strict = Under::new(Profile::Strict);
    strict.expect("prlimit64", &[0, 3, 0, pointer], PERMITTED);
    strict.expect("prlimit64", &[0, 3, pointer, 0], SYS);
}

#[test]
fn no_file_gets_set_user_id_and_no_device_is_made() {
    let path = c"/nonexistent/file".as_ptr() as u64;
    let here = libc::AT_FDCWD as u64;
    let (creat, tmpfile) = (libc::O_CREAT as u64, 0o20_000_000);
    let default = Under::new(Profile::Default);
    for bits in [0o4755, 0o2755, 0o6000] {
        for (name, args) in [
            ("chmod", vec![path, bits]),
            ("fchmod", vec![u64::MAX, bits]),
            ("fchmodat", vec![here, path, bits]),
            ("fchmodat2", vec![here, path, bits, 0]),
            ("creat", vec![path, bits]),
            ("open", vec![path, creat, bits]),
            ("open", vec![path, tmpfile | 1, bits]),
            ("openat", vec![here, path, creat, bits]),
            ("openat", vec![here, path, tmpfile | 1, bits]),
            ("mknod", vec![path, 0o100_000 | bits, 0]),
            ("mknodat", vec![here, path, 0o010_000 | bits, 0]),
        ] {
            default.expect(name, &args, EPERM);
        }
        // Without O_CREAT the third argument is nobody's business.
        default.expect("openat", &[here, path, 0, bits], errno(libc::ENOENT));
    }
    default.expect("chmod", &[path, 0o1777], errno(libc::ENOENT));
    default.expect("openat", &[here, path, creat, 0o666], errno(libc::ENOENT));
    for device in [0o020_666, 0o060_666] {
        default.expect("mknodat", &[here, path, device, 0x101], EPERM);
        default.expect("mknod", &[path, device, 0x101], EPERM);
    }
    default.expect("mknodat", &[here, path, 0o010_666, 0], errno(libc::ENOENT));
}

#[test]
fn a_contests_program_dies_of_what_only_an_attack_can_mean() {
    let judge = Under::new(Profile::Judge);
    for name in
        ["fork", "vfork", "execve", "execveat", "ptrace", "mount", "bpf", "perf_event_open", "process_vm_writev"]
    {
        judge.expect(name, &[0; 5], SYS);
    }
    judge.expect("clone", &[17, 0, 0, 0, 0], SYS);
    judge.expect("clone", &[0x4111, 0, 0, 0, 0], SYS);
    judge.expect("kill", &[1, 9], EPERM);
    judge.expect("symlinkat", &[0, 0, 0], EPERM);
    // Granted without a look: these descriptors are bad.
    judge.expect("fcntl", &[999, 6, 0], PERMITTED);
    judge.expect("fcntl", &[999, 5, 0], errno(libc::ENOLCK));
    judge.expect("flock", &[999, 2], PERMITTED);
}

#[test]
fn pure_computation_dies_of_everything_else() {
    let strict = Under::new(Profile::Strict);
    let here = libc::AT_FDCWD as u64;
    let path = c"/etc/passwd".as_ptr() as u64;
    strict.expect("openat", &[here, path, 0, 0], errno(libc::EACCES));
    strict.expect("openat", &[here, path, libc::O_CLOEXEC as u64, 0], errno(libc::EACCES));
    for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC] {
        strict.expect("openat", &[here, path, flags as u64, 0], SYS);
    }
    for name in [
        "clone",
        "fork",
        "execve",
        "kill",
        "socket",
        "socketpair",
        "pipe2",
        "epoll_create1",
        "memfd_create",
        "unlinkat",
        "mkdirat",
        "chdir",
        "setuid",
        "mount",
        "ptrace",
        "shmget",
        "inotify_init1",
        "timer_create",
        "sched_setaffinity",
        "prctl",
        "getcwd",
    ] {
        strict.expect(name, &[9, 9, 9, 9, 9], SYS);
    }
    strict.expect("ioctl", &[0, 0x5412, 0], errno(libc::ENOTTY));
    strict.expect("newfstatat", &[here, path, 0, 0], errno(libc::EACCES));
    assert!(matches!(strict.attempt("getpid", &[]), Some(Ended::Returned(pid)) if pid > 0));
    assert_eq!(nr("exit_group"), libc::SYS_exit_group as u32);
}
