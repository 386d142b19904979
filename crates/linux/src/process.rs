//! Waiting for children (wait4(2)), and in [`raw`] what a child may call before it executes another program.

use crate::check;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A child that ended and was reaped.
#[derive(Debug, Clone, Copy)]
pub struct Reaped {
    /// Its pid, free for reuse from now on.
    pub pid: i32,
    /// The wait status.
    pub status: i32,
    /// What it and the descendants that it waited for used.
    pub usage: ChildUsage,
}

/// The part of `struct rusage` that Linux fills in and we report.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChildUsage {
    /// Microseconds.
    pub user_us: u64,
    /// Microseconds.
    pub system_us: u64,
    /// Bytes (the kernel counts KiB).
    pub max_rss_bytes: u64,
}

/// Reaps any one child that has ended, of any kind (`__WALL`); `None` if children live but none has. `ECHILD` without children.
///
/// A child that has made us its tracer and stopped is told of as well, by its status (`WIFSTOPPED`), and not reaped.
pub fn wait_any(block: bool) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let options = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    // SAFETY: the kernel writes one int and one rusage.
    let pid = check(unsafe { libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr()) }.into())?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: zeroed before, and written by the kernel.
    let usage = unsafe { usage.assume_init() };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    let usage = ChildUsage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss as u64 * 1024,
    };
    Ok(Some(Reaped { pid: pid as i32, status, usage }))
}

/// Waits for one child to end, and reaps it, whatever it says.
pub fn wait_for(pid: i32) {
    // SAFETY: the kernel writes nothing.
    while unsafe { libc::wait4(pid, std::ptr::null_mut(), libc::__WALL, std::ptr::null_mut()) } < 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
    {}
}

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::kill(pid, signal) }.into())?;
    Ok(())
}

/// Microseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_us() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel (or the vdso) writes one timespec; this clock cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    // SAFETY: zeroed before, and written.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000
}

/// setresuid(2) and setresgid(2) to one id each, group first: afterwards there may be no right to change it.
pub fn set_identity(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no memory involved. (glibc's wrappers would signal all threads; these are the calls themselves.)
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// setgroups(2) with none.
pub fn drop_groups() -> io::Result<()> {
    // SAFETY: with a count of 0 the kernel reads nothing.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 0, 0) })?;
    Ok(())
}

/// setfsuid(2) and setfsgid(2): who files are made by and opened as, from now on.
pub fn set_fs_identity(uid: u32, gid: u32) {
    // SAFETY: no memory involved; these calls report no error.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) };
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) };
}

/// setresuid(2) of the real user id only; the effective and saved ones stay.
pub fn set_real_uid(uid: u32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, -1, -1) })?;
    Ok(())
}

/// setresuid(2) of the effective user id only, and setfsuid(2) to have files opened as before.
pub fn set_effective_uid(uid: u32, for_files: u32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) })?;
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_setfsuid, for_files) };
    Ok(())
}

/// unshare(2).
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::unshare(flags) }.into())?;
    Ok(())
}

/// setpriority(2) of a process, 0 for this one.
pub fn set_nice(pid: i32, nice: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid as libc::id_t, nice) }.into())?;
    Ok(())
}

/// setsid(2).
pub fn setsid() -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::setsid() }.into())?;
    Ok(())
}

/// sched_setscheduler(2) of this process to `SCHED_OTHER`.
pub fn use_normal_scheduling() -> io::Result<()> {
    // SAFETY: sched_param is plain data for which zero is valid; musl's has more in it than the priority.
    let parameters: libc::sched_param = unsafe { zeroed() };
    // musl's function of this name is a stub that fails (ENOSYS).
    // SAFETY: the kernel reads one sched_param.
    check(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const parameters) })?;
    Ok(())
}

/// ioprio_set(2) of this process to what its niceness gives.
pub fn use_normal_io_priority() -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: no memory involved.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) })?;
    Ok(())
}

/// personality(2) of this process to that of plain Linux.
pub fn use_normal_personality() -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::personality(0) }.into())?;
    Ok(())
}

/// The CPU time in microseconds that a process has used with all its threads, ended ones too, but without its children
/// (clock_getcpuclockid(3)). `None` if it is gone.
pub fn cpu_time_us(pid: i32) -> Option<u64> {
    const CPUCLOCK_SCHED: i32 = 2;
    let clock = (!pid << 3) | CPUCLOCK_SCHED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

/// How many ticks of the unit of times in /proc are a second (`_SC_CLK_TCK`).
pub fn ticks_per_second() -> u64 {
    // SAFETY: no memory involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// The size of a page in bytes.
pub fn page_bytes() -> u64 {
    // SAFETY: no memory involved.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096).max(1)
}

/// The calling thread's id.
pub fn thread_id() -> i32 {
    // SAFETY: no memory involved.
    unsafe { libc::gettid() }
}

/// Moves the calling thread into namespaces of another process (setns(2) with a pidfd, Linux 5.8).
pub fn enter_namespaces(of: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::setns(of.as_raw_fd(), flags) }.into())?;
    Ok(())
}

/// Has all threads of this process share one heap: a small process wastes no memory on keeping them apart. Of glibc only.
pub fn use_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a parameter of the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// The current limit (soft, hard) of a resource, by its kernel number.
pub fn rlimit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = MaybeUninit::<libc::rlimit64>::zeroed();
    // SAFETY: the kernel writes one rlimit64.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<u8>(), limit.as_mut_ptr()) })?;
    // SAFETY: zeroed before, and written.
    let limit = unsafe { limit.assume_init() };
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Sets both limits of a resource, by its kernel number.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one rlimit64.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null::<u8>()) })?;
    Ok(())
}

/// What a child that shares its parent's memory may call: system calls without errno, because errno is the parent's too.
/// Each returns what the kernel returned: a negative errno, or the result.
pub mod raw {
    use std::os::fd::RawFd;
    use std::ptr;

    /// A system call, without errno.
    ///
    /// # Safety
    /// As the call asks for.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> isize {
        let result: isize;
        // SAFETY: the calling convention of the kernel; the caller answers for the arguments.
        unsafe {
            core::arch::asm!("syscall", inlateout("rax") number as isize => result,
                in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
                lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        result
    }

    /// A system call, without errno.
    ///
    /// # Safety
    /// As the call asks for.
    #[inline(always)]
    #[cfg(target_arch = "aarch64")]
    pub unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> isize {
        let result: isize;
        // SAFETY: the calling convention of the kernel; the caller answers for the arguments.
        unsafe {
            core::arch::asm!("svc #0", in("x8") number, inlateout("x0") args[0] => result,
                in("x1") args[1], in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5], options(nostack));
        }
        result
    }

    /// What stands in the argument registers that a call makes no use of: the kernel ignores it, but a seccomp filter may look at it.
    #[derive(Clone, Copy)]
    pub struct Pass(pub [u64; 6]);

    impl Pass {
        /// For where there is no filter.
        pub const NONE: Self = Self([0; 6]);
    }

    macro_rules! calls {
        ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) = $number:ident;)*) => {
            $($(#[$doc])*
            ///
            /// # Safety
            /// Pointers must be valid for what the man page says the kernel reads.
            #[inline(always)]
            pub unsafe fn $name(pass: &Pass $(, $arg: $type)*) -> isize {
                let given: &[usize] = &[$($arg as usize),*];
                let mut args = pass.0.map(|word| word as usize);
                args[..given.len()].copy_from_slice(given);
                // SAFETY: the caller's.
                unsafe { syscall(libc::$number, args) }
            })*
        };
    }

    calls! {
        /// exit_group(2).
        exit(code: i32) = SYS_exit_group;
        /// _exit(2) of one thread.
        exit_thread(code: i32) = SYS_exit;
        /// close(2).
        close(fd: RawFd) = SYS_close;
        /// kill(2).
        kill(pid: i32, signal: i32) = SYS_kill;
        /// pidfd_open(2).
        pidfd_open(pid: i32, flags: u32) = SYS_pidfd_open;
        /// setns(2).
        setns(fd: RawFd, kinds: i32) = SYS_setns;
        /// setfsuid(2).
        setfsuid(uid: u32) = SYS_setfsuid;
        /// setfsgid(2).
        setfsgid(gid: u32) = SYS_setfsgid;
        /// clock_gettime(2).
        clock_gettime(clock: i32, now: *mut libc::timespec) = SYS_clock_gettime;
        /// seccomp(2) with `SECCOMP_SET_MODE_FILTER`.
        seccomp(operation: u32, flags: u32, program: *const libc::sock_fprog) = SYS_seccomp;
        /// ptrace(2) in the kernel's form.
        ptrace(request: i64, pid: i32, address: usize, data: usize) = SYS_ptrace;
        /// landlock_restrict_self(2).
        landlock_restrict_self(ruleset: RawFd, flags: u32) = SYS_landlock_restrict_self;
        /// getpid(2).
        getpid() = SYS_getpid;
        /// umask(2).
        umask(mask: u32) = SYS_umask;
        /// setpriority(2).
        setpriority(which: i32, who: i32, nice: i32) = SYS_setpriority;
        /// sched_setscheduler(2).
        sched_setscheduler(thread: i32, policy: i32, priority: *const i32) = SYS_sched_setscheduler;
        /// setsid(2).
        setsid() = SYS_setsid;
        /// write(2).
        write(fd: RawFd, bytes: *const u8, count: usize) = SYS_write;
        /// fcntl(2) with an integer argument.
        fcntl(fd: RawFd, command: i32, argument: i32) = SYS_fcntl;
        /// ioctl(2) with an integer argument.
        ioctl(fd: RawFd, request: u32, argument: usize) = SYS_ioctl;
        /// dup3(2).
        dup3(from: RawFd, to: RawFd, flags: i32) = SYS_dup3;
        /// close_range(2).
        close_range(first: u32, last: u32, flags: u32) = SYS_close_range;
        /// fchdir(2).
        fchdir(fd: RawFd) = SYS_fchdir;
        /// chdir(2).
        chdir(path: *const libc::c_char) = SYS_chdir;
        /// setresuid(2).
        setresuid(real: u32, effective: u32, saved: u32) = SYS_setresuid;
        /// setresgid(2).
        setresgid(real: u32, effective: u32, saved: u32) = SYS_setresgid;
        /// unshare(2).
        unshare(flags: i32) = SYS_unshare;
        /// keyctl(2) with one argument.
        keyctl(operation: i32, argument: usize) = SYS_keyctl;
        /// prctl(2) with one argument.
        prctl(option: i32, argument: usize) = SYS_prctl;
        /// capset(2).
        capset(header: *const [u32; 2], data: *const [u32; 6]) = SYS_capset;
        /// prlimit(2) of this process.
        prlimit(pid: i32, resource: u32, new: *const libc::rlimit64, old: *mut libc::rlimit64) = SYS_prlimit64;
        /// execve(2).
        execve(path: *const libc::c_char, argv: *const *const libc::c_char, envp: *const *const libc::c_char) = SYS_execve;
        /// execveat(2).
        execveat(dir: RawFd, path: *const libc::c_char, argv: *const *const libc::c_char, envp: *const *const libc::c_char, flags: i32) = SYS_execveat;
        /// futex(2), as FUTEX_WAIT_PRIVATE or FUTEX_WAKE_PRIVATE.
        futex(word: *const u32, operation: i32, value: u32, timeout: *const libc::timespec) = SYS_futex;
    }

    /// Sets this thread's signal mask, bit `n - 1` for signal `n`.
    ///
    /// # Safety
    /// Signal handlers that may run from now on must be safe to run here.
    #[inline(always)]
    pub unsafe fn set_signal_mask(pass: &Pass, mask: u64) -> isize {
        let args = [
            libc::SIG_SETMASK as usize,
            (&raw const mask) as usize,
            ptr::null::<u64>() as usize,
            size_of::<u64>(),
            pass.0[4] as usize,
            pass.0[5] as usize,
        ];
        // SAFETY: the kernel reads eight bytes.
        unsafe { syscall(libc::SYS_rt_sigprocmask, args) }
    }
}
