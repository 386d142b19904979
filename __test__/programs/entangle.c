// Processes that are hard to end, or that stand in the way of others.
//
//   entangle traced          its main process ends while a child traces it: only the tracer can see it end
//   entangle thread          its main thread ends while another one goes on
//   entangle chain LEVELS    leaves a chain of children, the last of which trace each other
//   entangle daemon          leaves a process behind and ends at once
//   entangle lease PATH      makes PATH and holds a lease on it: whoever opens it waits
//   entangle stop            sends SIGSTOP to all that it may, without end
//   entangle rename PATH     renames without end below the directory PATH
//   entangle survivors       how many processes of the name `entangle daemon` there are
//   entangle orphans COUNT   processes that make orphans without end
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static _Noreturn void wait_for_ever(void) {
  for (;;) pause();
}

static void *wait_in_thread(void *unused) {
  (void)unused;
  wait_for_ever();
}

static void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(98);
}

// Yama (ptrace_scope 1) lets a process be traced by others that it names.
static void let_everybody_trace(void) { prctl(PR_SET_PTRACER, -1L, 0, 0, 0); }

static void trace(pid_t pid) {
  while (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) {
    if (errno != ESRCH && errno != EPERM) _exit(95);
  }
}

static int traced(void) {
  int ready[2];
  char byte;
  pid_t parent = getpid();
  let_everybody_trace();
  if (pipe(ready) != 0) return 96;
  if (fork() == 0) {
    setsid();
    trace(parent);
    if (write(ready[1], "x", 1) != 1) _exit(98);
    wait_for_ever();
  }
  if (read(ready[0], &byte, 1) != 1) return 94;
  say("traced\n");
  return 0;
}

static int chain(long levels) {
  int ready[2];
  char byte;
  if (pipe(ready) != 0) return 96;
  if (fork() == 0) {
    for (; levels > 0; levels--) {
      if (fork() != 0) wait_for_ever();
    }
    pid_t tracee = fork();
    if (tracee == 0) {
      let_everybody_trace();
      wait_for_ever();
    }
    if (fork() == 0) {
      if (fork() == 0) {
        trace(tracee);
        if (write(ready[1], "x", 1) != 1) _exit(98);
      }
      wait_for_ever();
    }
    wait_for_ever();
  }
  return read(ready[0], &byte, 1) == 1 ? 0 : 94;
}

static int lease(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
  signal(SIGIO, SIG_IGN);
  if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
    perror("lease");
    return 96;
  }
  say("leased\n");
  wait_for_ever();
}

static int rename_for_ever(const char *path) {
  if (chdir(path) != 0 || mkdir("a", 0755) != 0) return 96;
  say("renaming\n");
  for (;;) {
    if (rename("a", "b") != 0 || rename("b", "a") != 0) return 95;
  }
}

static int survivors(void) {
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  int count = 0;
  while (proc != NULL && (entry = readdir(proc)) != NULL) {
    char path[300], line[64] = "";
    snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
    int fd = atoi(entry->d_name) > 0 ? open(path, O_RDONLY) : -1;
    if (fd < 0) continue;
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    // argv[1] follows the NUL of argv[0]
    if (length > 0 && strcmp(line + strlen(line) + 1, "daemon") == 0) count++;
  }
  printf("%d", count);
  return 0;
}

static void make_orphans(long count) {
  for (; count > 0; count--) {
    if (fork() != 0) continue;
    for (;;) {
      pid_t child = fork();
      if (child == 0) {
        if (fork() == 0) _exit(0);
        _exit(0);
      }
      if (child > 0) waitpid(child, NULL, 0);
    }
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  const char *argument = argc > 2 ? argv[2] : "";
  if (is(what, "traced")) return traced();
  if (is(what, "thread")) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_in_thread, NULL) != 0) return 96;
    say("threaded\n");
    syscall(SYS_exit, 0);
  }
  if (is(what, "chain")) return chain(strtol(argument, NULL, 10));
  if (is(what, "daemon")) {
    // Without the detours of libc: it has to be dead before anybody looks.
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) wait_for_ever();
    _exit(0);
  }
  if (is(what, "lease")) return lease(argument);
  if (is(what, "stop")) {
    say("stopping\n");
    for (;;) kill(-1, SIGSTOP);
  }
  if (is(what, "rename")) return rename_for_ever(argument);
  if (is(what, "survivors")) return survivors();
  if (is(what, "orphans")) {
    make_orphans(strtol(argument, NULL, 10));
    say("up\n");
    wait_for_ever();
  }
  return 97;
}
