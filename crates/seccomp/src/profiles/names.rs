//! System calls by subject. Both architectures' names: aarch64 has only the newer ones of each family.

/// A list of names, which rustfmt would give a line each.
macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}

/// Reading, writing, waiting: on descriptors that one has.
pub const INPUT_OUTPUT: &[&str] = names! {
    close close_range dup dup2 dup3 fadvise64 fdatasync fsync ftruncate lseek poll ppoll pread64 preadv preadv2
    pselect6 pwrite64 pwritev pwritev2 read readahead readv select write writev
};

/// Descriptors that are no files, and moving data between them.
pub const PIPES_AND_EVENTS: &[&str] = names! {
    copy_file_range epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 pipe
    pipe2 sendfile signalfd signalfd4 splice tee timerfd_create timerfd_gettime timerfd_settime
};

/// Finding and looking at files by path.
pub const FILES_TO_READ: &[&str] = names! {
    access chdir faccessat faccessat2 fchdir fstat fstatfs getcwd getdents getdents64 lstat newfstatat readlink
    readlinkat stat statfs statx
};

/// Changing directories' contents, and files' sizes and times. Opening is in `rules.rs`, with its conditions.
pub const FILES_TO_WRITE: &[&str] = names! {
    fallocate futimesat mkdir mkdirat rename renameat renameat2 rmdir truncate umask unlink unlinkat utime utimensat
    utimes
};

/// Links, owners, attributes.
pub const FILES_MORE: &[&str] = names! {
    cachestat chown fchown fchownat fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lchown lgetxattr
    link linkat listxattr listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr
    setxattrat symlink symlinkat
};

/// Address space.
pub const MEMORY: &[&str] = names! {
    brk madvise membarrier mincore mmap mprotect mremap mseal msync munmap
};

/// More of it, for runtimes.
pub const MEMORY_MORE: &[&str] = names! {
    map_shadow_stack memfd_create mlock mlock2 munlock munlockall pkey_alloc pkey_free pkey_mprotect
};

/// What every thread needs to be one, and to end.
pub const THREADS: &[&str] = names! {
    arch_prctl exit exit_group futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list get_thread_area
    restart_syscall rseq sched_getaffinity sched_yield set_robust_list set_thread_area set_tid_address
};

/// Time, and being woken by it.
pub const TIME: &[&str] = names! {
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause setitimer time times
};

/// Timers with identities.
pub const TIMERS: &[&str] = names! {
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime
};

/// Signals to oneself: abort(3), handlers, masks. `tgkill` reaches others of the same user, too; it has no argument that could tell.
pub const SIGNALS: &[&str] = names! {
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack tgkill
};

/// Who and where one is, and what was used.
pub const IDENTITY: &[&str] = names! {
    getcpu getegid geteuid getgid getpgid getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage
    getsid gettid getuid sysinfo uname
};

/// Scheduling, as far as it is one's own.
pub const SCHEDULING: &[&str] = names! {
    getpriority ioprio_get sched_get_priority_max sched_get_priority_min sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval
};

/// Other processes: starting, signalling, waiting. `clone` is in `rules.rs`, with its condition.
pub const PROCESSES: &[&str] = names! {
    execve execveat fork kill pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo sched_setaffinity
    setpgid setpriority setsid tkill vfork wait4 waitid
};

/// Changing what one may do; without capabilities it can only become less.
pub const RIGHTS: &[&str] = names! {
    capget capset getgroups landlock_add_rule landlock_create_ruleset landlock_restrict_self setfsgid setfsuid
    setgid setgroups setregid setresgid setresuid setreuid setuid
};

/// Using sockets. Making them is in `rules.rs`, with its conditions.
pub const SOCKETS: &[&str] = names! {
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown
};

/// inotify(7).
pub const INOTIFY: &[&str] = names! {
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
};

/// System V IPC and POSIX message queues: they outlive processes.
pub const IPC: &[&str] = names! {
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
    semop semtimedop shmat shmctl shmdt shmget
};

/// Facilities that programs probe for and do without:
/// what hides arguments behind pointers (`clone3`, `openat2`, io_uring, which also makes calls past any filter),
/// what reaches beyond the container (keyrings are per user), and what had more holes than uses.
pub const ABSENT: &[&str] = names! {
    add_key clone3 file_getattr file_setattr io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
    io_uring_enter io_uring_register io_uring_setup keyctl listmount lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr memfd_secret openat2 request_key statmount sync_file_range userfaultfd
};

/// What no program of a contest calls but to get out.
pub const ATTACKS: &[&str] = names! {
    acct bpf chroot delete_module execve execveat finit_module fork fsconfig fsmount fsopen fspick init_module
    ioperm iopl kcmp kexec_file_load kexec_load mount mount_setattr move_mount open_by_handle_at open_tree
    perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl reboot
    setns swapoff swapon umount2 unshare vfork
};
