// What a program can do to another process whose number it knows: `intrude PID`. One line for each attempt: what it was,
// and errno (0: it worked).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t victim;

static void tell(const char *what, long result) { printf("%s %d\n", what, result < 0 ? errno : 0); }

static void tell_open(const char *name, int flags) {
  char path[64], what[64];
  snprintf(path, sizeof path, "/proc/%d/%s", victim, name);
  snprintf(what, sizeof what, "%s-%s", flags == O_RDONLY ? "read" : "write", name);
  int fd = open(path, flags | O_CLOEXEC);
  char byte;
  // Some files can be opened, and refuse when they are read.
  tell(what, fd >= 0 && flags == O_RDONLY ? read(fd, &byte, 1) : fd);
  if (fd >= 0) close(fd);
}

int main(int argc, char **argv) {
  static const char *files[] = {"environ", "maps", "cmdline", "auxv", "stack", "syscall", "mem", "io", "status", "stat"};
  static const char *links[] = {"exe", "cwd", "root", "fd/0", "fd/100", "ns/uts", "ns/mnt"};
  static const char *knobs[] = {"mem", "oom_score_adj", "coredump_filter", "timerslack_ns", "comm", "clear_refs"};
  if (argc < 2) return 97;
  victim = atoi(argv[1]);
  char path[64], what[80], target[256];

  tell("seize", ptrace(PTRACE_SEIZE, victim, 0, 0));
  tell("attach", ptrace(PTRACE_ATTACH, victim, 0, 0));
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) tell_open(files[i], O_RDONLY);
  for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++) tell_open(knobs[i], O_WRONLY);
  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
    snprintf(path, sizeof path, "/proc/%d/%s", victim, links[i]);
    snprintf(what, sizeof what, "link-%s", links[i]);
    tell(what, readlink(path, target, sizeof target));
  }
  int pidfd = (int)syscall(SYS_pidfd_open, victim, 0);
  for (int fd = 0; fd < 128; fd++) {
    long stolen = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (stolen >= 0) printf("pidfd_getfd 0\n");
    if (stolen < 0 && fd == 127) tell("pidfd_getfd", -1);
  }
  // One real vector: without any, the kernel has nothing to refuse.
  struct iovec local = {target, sizeof target}, remote = {main, 8};
  tell("process_vm_readv", process_vm_readv(victim, &local, 1, &remote, 1, 0));
  tell("process_vm_writev", process_vm_writev(victim, &local, 1, &remote, 1, 0));
  tell("process_madvise", syscall(SYS_process_madvise, pidfd, &remote, 1, MADV_COLD, 0));
  tell("kcmp", syscall(SYS_kcmp, getpid(), victim, KCMP_FILE, 0, 0));
  tell("move_pages", syscall(SYS_move_pages, victim, 0, NULL, NULL, NULL, 0));
  tell("migrate_pages", syscall(SYS_migrate_pages, victim, 8, &(unsigned long){1}, &(unsigned long){1}));
  tell("setpriority", setpriority(PRIO_PROCESS, (id_t)victim, 19));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  tell("sched_setaffinity", sched_setaffinity(victim, sizeof one, &one));
  tell("sched_setscheduler", sched_setscheduler(victim, SCHED_IDLE, &(struct sched_param){0}));
  tell("ioprio_set", syscall(SYS_ioprio_set, 1, victim, 3 << 13));
  static const int resources[] = {RLIMIT_NOFILE, RLIMIT_CPU, RLIMIT_AS};
  static const char *names[] = {"prlimit-nofile", "prlimit-cpu", "prlimit-as"};
  for (int i = 0; i < 3; i++) {
    // What it has already, so that a success is seen and does no harm to the test itself.
    struct rlimit limit;
    if (prlimit(victim, (enum __rlimit_resource)resources[i], NULL, &limit) != 0) {
      tell(names[i], -1);
      continue;
    }
    tell(names[i], prlimit(victim, (enum __rlimit_resource)resources[i], &limit, NULL));
  }
  fflush(stdout);
  return 0;
}
