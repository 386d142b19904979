// What a process inherits and could have from its host by chance: `name value` lines.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned long long mask_of(const char *field) {
  char line[256];
  unsigned long long value = 0;
  FILE *status = fopen("/proc/self/status", "re");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, field, strlen(field)) == 0) value = strtoull(line + strlen(field) + 1, NULL, 16);
  }
  if (status != NULL) fclose(status);
  return value;
}

int main(void) {
  struct rlimit core;
  char text[64] = "";
  cpu_set_t cpus;
  printf("umask %o\n", umask(022));
  printf("nice %d\n", getpriority(PRIO_PROCESS, 0));
  printf("policy %d\n", sched_getscheduler(0));
  printf("ioprio %ld\n", syscall(SYS_ioprio_get, 1, 0));
  printf("personality %x\n", (unsigned)personality(0xffffffff));
  printf("timerslack %d\n", prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
  printf("thp-disabled %d\n", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  printf("dumpable %d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  printf("no-new-privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  printf("subreaper %d\n", (prctl(PR_GET_CHILD_SUBREAPER, text, 0, 0, 0), *(int *)text));
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  memset(text, 0, sizeof text);
  if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) printf("oom-score-adj %d\n", atoi(text));
  if (fd >= 0) close(fd);
  printf("blocked %llx\nignored %llx\ncaught %llx\n", mask_of("SigBlk:"), mask_of("SigIgn:"), mask_of("SigCgt:"));
  printf("cpus %d\n", sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : -1);
  if (getrlimit(RLIMIT_CORE, &core) == 0) printf("core %lld %lld\n", (long long)core.rlim_cur, (long long)core.rlim_max);
  printf("session %d\n", getsid(0) == getpid());
  printf("group %d\n", getpgrp() == getpid());
  printf("keyring %ld\n", syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 0));
  return 0;
}
