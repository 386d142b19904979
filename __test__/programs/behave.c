// A program that does what it is told, by argv[1]:
//
//   exit CODE            ends with it
//   raise SIGNAL         ends by it
//   spin                 computes for ever
//   compute MS           computes until it has used that much CPU time
//   threads COUNT        computes for ever in that many threads
//   children COUNT MS    has that many children compute for so long each, and waits for them
//   hold                 writes a line, then waits for ever
//   allocate BYTES       uses that much memory
//   share BYTES          uses that much memory that it could share
//   offend BYTES         has a child use that much memory, and does not care what becomes of it
//   forks COUNT          has that many waiting children; ends with the number that it got
//   write BYTES          writes that much to standard output
//   grow PATH BYTES      writes that much to a file
//   create PATH          makes an empty file
//   leave FILE           leaves a process behind, in a session of its own, that holds a lock on FILE; ends when it has it
//   locked FILE          exits with 0 if nobody holds the lock on FILE, with 1 if somebody does
//   bomb COUNT           leaves processes behind that fork for ever: each ends as soon as its child lives
//   siege COUNT          the same, but waits for ever
//   linger COUNT         leaves that many waiting processes behind
//   seccomp              has a seccomp filter kill it
//   traceme SIGNAL       has its parent trace it, and sends itself that signal
//   close-stdio          closes 0, 1, 2, then waits for ever
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static void write_all(int fd, long bytes) {
  static char block[65536];
  memset(block, 'x', sizeof block);
  while (bytes > 0) {
    size_t length = bytes < (long)sizeof block ? (size_t)bytes : sizeof block;
    ssize_t written = write(fd, block, length);
    if (written < 0) exit(errno);
    bytes -= written;
  }
}

static void compute(long ms) {
  struct timespec used;
  do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < ms);
}

static void *spin(void *unused) {
  for (volatile uint64_t i = 0;; i++) {
  }
  return unused;
}

static int use(long bytes, int kind) {
  char *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 12;
  memset(memory, 1, (size_t)bytes);
  return memory[bytes - 1] - 1;
}

static void wait_for_ever(void) {
  for (;;) pause();
}

static void bomb(long count) {
  for (long i = 0; i < count; i++) {
    if (fork() != 0) continue;
    setsid();
    for (;;) {
      pid_t child = fork();
      if (child > 0) _exit(0);
      if (child < 0) sched_yield();
    }
  }
}

static int leave(const char *path) {
  int ready[2];
  if (pipe(ready) != 0) return 98;
  if (fork() == 0) {
    setsid();
    // A second fork: nobody's child, and no leader of its session.
    if (fork() != 0) _exit(0);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) _exit(97);
    if (write(ready[1], "!", 1) != 1) _exit(96);
    // Whoever reads the run's output is not kept waiting by this.
    close(ready[0]);
    close(ready[1]);
    for (int fd = 0; fd < 3; fd++) close(fd);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    wait_for_ever();
  }
  close(ready[1]);
  char byte;
  return read(ready[0], &byte, 1) == 1 ? 0 : 95;
}

static int locked(const char *path) {
  int lock = open(path, O_RDWR | O_CLOEXEC);
  if (lock < 0) return errno == ENOENT ? 2 : 98;
  return flock(lock, LOCK_EX | LOCK_NB) == 0 ? 0 : 1;
}

static int killed_by_filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 98;
  return (int)syscall(SYS_getppid);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  const char *path = argc > 2 ? argv[2] : "";
  long number = strtol(argc > 3 ? argv[3] : path, NULL, 10);
  if (is(what, "exit")) return (int)number;
  if (is(what, "raise")) return raise((int)number);
  if (is(what, "spin")) {
    for (volatile uint64_t i = 0;; i++) {
    }
  }
  if (is(what, "compute")) {
    compute(number);
    return 0;
  }
  if (is(what, "threads")) {
    for (long i = 1; i < number; i++) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, spin, NULL) != 0) return 98;
    }
    spin(NULL);
  }
  if (is(what, "children")) {
    long count = strtol(path, NULL, 10);
    for (long i = 0; i < count; i++) {
      if (fork() != 0) continue;
      compute(number);
      return 0;
    }
    while (wait(NULL) > 0) continue;
    return 0;
  }
  if (is(what, "share")) return use(number, MAP_SHARED);
  if (is(what, "offend")) {
    if (fork() == 0) return use(number, MAP_PRIVATE);
    wait_for_ever();
  }
  if (is(what, "forks")) {
    long got = 0;
    for (long i = 0; i < number; i++) {
      pid_t child = fork();
      if (child == 0) wait_for_ever();
      got += child > 0;
    }
    return (int)got;
  }
  if (is(what, "hold")) {
    if (write(1, "ready\n", 6) != 6) return 98;
    wait_for_ever();
  }
  if (is(what, "allocate")) {
    char *memory = malloc((size_t)number);
    if (memory == NULL) return 12;
    memset(memory, 1, (size_t)number);
    return memory[number - 1] - 1;
  }
  if (is(what, "write")) {
    write_all(1, number);
    return 0;
  }
  if (is(what, "grow")) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) return 98;
    write_all(fd, number);
    return 0;
  }
  if (is(what, "create")) return open(path, O_WRONLY | O_CREAT, 0666) < 0 ? errno : 0;
  if (is(what, "leave")) return leave(path);
  if (is(what, "locked")) return locked(path);
  if (is(what, "bomb")) {
    bomb(number);
    return 0;
  }
  if (is(what, "siege")) {
    bomb(number);
    wait_for_ever();
  }
  if (is(what, "linger")) {
    for (long i = 0; i < number; i++) {
      if (fork() == 0) wait_for_ever();
    }
    return 0;
  }
  if (is(what, "traceme")) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) return 99;
    raise((int)number);
    return 0;
  }
  if (is(what, "seccomp")) return killed_by_filter();
  if (is(what, "close-stdio")) {
    for (int fd = 0; fd < 3; fd++) close(fd);
    wait_for_ever();
  }
  return 97;
}
