// Calls that no program needs and that have led out of containers: each is made, and what became of it is told, a line each.
//
//   forbidden            the table: name, space, errno (0: it was allowed)
//   forbidden NAME       one of those that kill: i386, x32
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result) { printf("%s %d\n", name, result < 0 ? errno : 0); }

#define TRY(name, ...) (errno = 0, tell(name, syscall(__VA_ARGS__)))

int main(int argc, char **argv) {
  if (argc > 1) {
#ifdef __x86_64__
    long result = 0;
    if (strcmp(argv[1], "i386") == 0) __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    if (strcmp(argv[1], "x32") == 0) result = syscall(0x40000000 + 39);
    printf("%ld\n", result);
#endif
    return 0;
  }
  char name[32];
  for (int family = 0; family < 46; family++) {
    snprintf(name, sizeof name, "socket-%d", family);
    // Netlink: NETLINK_ROUTE is for everybody, audit (9) for nobody.
    TRY(name, SYS_socket, family, family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, family == AF_NETLINK ? 9 : 0);
  }
  const struct {
    const char *name;
    unsigned long flag;
  } namespaces[] = {{"mnt", CLONE_NEWNS}, {"uts", CLONE_NEWUTS},       {"ipc", CLONE_NEWIPC}, {"user", CLONE_NEWUSER},
                    {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};
  for (unsigned i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
    snprintf(name, sizeof name, "unshare-%s", namespaces[i].name);
    TRY(name, SYS_unshare, namespaces[i].flag);
    if (namespaces[i].flag == 0x80) continue;
    snprintf(name, sizeof name, "clone-%s", namespaces[i].name);
    errno = 0;
    long child = syscall(SYS_clone, namespaces[i].flag | 17, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    tell(name, child);
    // No SIGCHLD later: it would stop who has asked to be traced, further down.
    if (child > 0) waitpid((pid_t)child, NULL, 0);
  }
  int own = open("/proc/self/ns/uts", O_RDONLY);
  TRY("setns", SYS_setns, own, 0);
  struct clone_args args = {.exit_signal = 17};
  errno = 0;
  long child = syscall(SYS_clone3, &args, sizeof args);
  if (child == 0) _exit(0);
  tell("clone3", child);
  if (child > 0) waitpid((pid_t)child, NULL, 0);
  TRY("io_uring_setup", SYS_io_uring_setup, 1, NULL);
  TRY("io_uring_enter", SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0);
  TRY("io_uring_register", SYS_io_uring_register, -1, 0, NULL, 0);
  TRY("add_key", SYS_add_key, "user", "k", "v", 1, -1);
  TRY("request_key", SYS_request_key, "user", "k", NULL, 0);
  TRY("keyctl", SYS_keyctl, 1, 0);
  TRY("userfaultfd", SYS_userfaultfd, 1);
  TRY("bpf", SYS_bpf, 0, NULL, 0);
  TRY("perf_event_open", SYS_perf_event_open, NULL, 0, -1, -1, 0);
  TRY("ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
  TRY("process_vm_readv", SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0);
  TRY("kcmp", SYS_kcmp, getpid(), getpid(), 1, 0, 0);
  TRY("pidfd_getfd", SYS_pidfd_getfd, -1, 0, 0);
  TRY("open_by_handle_at", SYS_open_by_handle_at, -1, NULL, 0);
  TRY("name_to_handle_at", SYS_name_to_handle_at, -1, "", NULL, NULL, 0);
  TRY("fanotify_init", SYS_fanotify_init, 0, 0);
  TRY("mount", SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
  TRY("umount2", SYS_umount2, "/tmp", 0);
  TRY("pivot_root", SYS_pivot_root, "/", "/");
  TRY("fsopen", SYS_fsopen, "tmpfs", 0);
  TRY("open_tree", SYS_open_tree, -1, "/", 0);
  TRY("move_mount", SYS_move_mount, -1, "", -1, "", 0);
  TRY("quotactl", SYS_quotactl, 0, NULL, 0, NULL);
  TRY("acct", SYS_acct, NULL);
  TRY("swapon", SYS_swapon, "/tmp/x", 0);
  TRY("reboot", SYS_reboot, 0, 0, 0, NULL);
  TRY("kexec_load", SYS_kexec_load, 0, 0, NULL, 0);
  TRY("init_module", SYS_init_module, NULL, 0, "");
  TRY("finit_module", SYS_finit_module, -1, "", 0);
  TRY("delete_module", SYS_delete_module, "x", 0);
  TRY("settimeofday", SYS_settimeofday, NULL, NULL);
  TRY("clock_settime", SYS_clock_settime, 0, NULL);
  TRY("syslog", SYS_syslog, 3, NULL, 0);
  TRY("mbind", SYS_mbind, NULL, 0, 0, NULL, 0, 0);
  TRY("move_pages", SYS_move_pages, 0, 0, NULL, NULL, NULL, 0);
  TRY("memfd_secret", 447, 0);
#ifdef __x86_64__
  TRY("modify_ldt", SYS_modify_ldt, 0, NULL, 0);
  TRY("iopl", SYS_iopl, 3);
#endif
  TRY("personality", SYS_personality, ADDR_NO_RANDOMIZE);
  TRY("mq_open", SYS_mq_open, "x", O_CREAT, 0600, NULL);
  TRY("shmget", SYS_shmget, 1, 4096, 0600 | 01000);
  TRY("semget", SYS_semget, 1, 1, 0600 | 01000);
  TRY("msgget", SYS_msgget, 1, 0600 | 01000);
  TRY("syncfs", SYS_syncfs, 0);
  TRY("ioprio_set", SYS_ioprio_set, 1, 0, 0);
  TRY("TIOCSTI", SYS_ioctl, 0, TIOCSTI, "x");
  TRY("TIOCSTI-high", SYS_ioctl, 0, (uint64_t)1 << 32 | TIOCSTI, "x");
  TRY("TIOCLINUX", SYS_ioctl, 0, 0x541c, "x");
  struct rlimit64 none = {0, 0};
  TRY("RLIMIT_CORE", SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
  TRY("prlimit-other", SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &none);
  TRY("F_SETLEASE", SYS_fcntl, 0, 1024, 0);
  TRY("F_NOTIFY", SYS_fcntl, 0, 1026, 0);
  TRY("chmod-suid", SYS_fchmodat, AT_FDCWD, "/tmp", 04755);
  TRY("mknod-device", SYS_mknodat, AT_FDCWD, "/tmp/device", S_IFCHR | 0600, 0x103);
  TRY("PR_SET_MM", SYS_prctl, PR_SET_MM, 1, 0, 0, 0);
  TRY("seccomp-listener", SYS_seccomp, 1, 8, NULL);
  TRY("unknown-number", 1000);
  // And what has to work.
  TRY("allowed-getpid", SYS_getpid);
  TRY("allowed-futex", SYS_futex, &child, 1, 1, NULL, NULL, 0);
  return 0;
}
