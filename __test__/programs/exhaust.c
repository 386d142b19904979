// Takes as much as it can get of one thing, and says how much that was, and the errno that ended it. With `hold` as the last argument it keeps what it has.
//
//   exhaust files DIRECTORY    empty files, until there is no inode
//   exhaust bytes PATH         bytes of a file, until there is no space
//   exhaust descriptors        open descriptors
//   exhaust flight             descriptors in flight over a socket pair
//   exhaust processes          children
//   exhaust threads            threads
//   exhaust signals            queued signals
//   exhaust inotify            inotify instances
//   exhaust keys               keys in the user's keyring
//   exhaust pipes              pipes of 1 MiB
//   exhaust sparse PATH        a file of 1 EiB
//   exhaust shared BYTES       System V shared memory, used and left behind
//   exhaust forkbomb           processes, and theirs, and theirs, without end
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is(const char *what, const char *name) { return strcmp(what, name) == 0; }

static _Noreturn void wait_for_ever(void) {
  for (;;) pause();
}

static void *wait_in_thread(void *unused) {
  (void)unused;
  wait_for_ever();
}

static int send_descriptor(int socket, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fd)];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  struct iovec byte = {"x", 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  return sendmsg(socket, &message, MSG_DONTWAIT) == 1 ? 0 : -1;
}

int main(int argc, char **argv) {
  static char block[65536];
  const char *what = argc > 1 ? argv[1] : "";
  const char *path = argc > 2 ? argv[2] : "/w";
  long count = 0;
  int failed = 0;
  if (is(what, "files")) {
    if (chdir(path) != 0) return 96;
    for (;; count++) {
      char name[32];
      snprintf(name, sizeof name, "f%ld", count);
      int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
      if (fd < 0) break;
      close(fd);
    }
  } else if (is(what, "bytes")) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (fd < 0) return 96;
    for (ssize_t written; (written = write(fd, block, sizeof block)) > 0;) count += written;
  } else if (is(what, "descriptors")) {
    while (dup(0) >= 0) count++;
  } else if (is(what, "flight")) {
    for (;;) {
      int pair[2];
      if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) break;
      while (send_descriptor(pair[0], 0) == 0) count++;
      failed = errno;
      if (errno != EAGAIN) break;
    }
    errno = failed;
  } else if (is(what, "processes")) {
    for (; count < 100000; count++) {
      pid_t child = fork();
      if (child < 0) break;
      if (child == 0) wait_for_ever();
    }
  } else if (is(what, "threads")) {
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (count < 100000 && (errno = pthread_create(&thread, &small, wait_in_thread, NULL)) == 0) count++;
  } else if (is(what, "signals")) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    while (count < 1000000 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) count++;
  } else if (is(what, "inotify")) {
    while (inotify_init1(0) >= 0) count++;
  } else if (is(what, "keys")) {
    for (; count < 100000; count++) {
      char name[32];
      snprintf(name, sizeof name, "k%ld", count);
      if (syscall(SYS_add_key, "user", name, "x", (size_t)1, -4) < 0) break;
    }
  } else if (is(what, "pipes")) {
    int ends[2];
    while (pipe(ends) == 0 && fcntl(ends[0], F_SETPIPE_SZ, 1 << 20) > 0) count++;
  } else if (is(what, "sparse")) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    count = ftruncate(fd, 1L << 60) == 0;
  } else if (is(what, "shared")) {
    size_t size = strtoul(path, NULL, 10);
    void *memory = shmat(shmget(IPC_PRIVATE, size, IPC_CREAT | 0600), NULL, 0);
    if (memory == (void *)-1) return errno;
    memset(memory, 1, size);
  } else if (is(what, "forkbomb")) {
    if (write(1, "bomb\n", 5) != 5) return 98;
    for (;;) {
      if (fork() == 0) setsid();
    }
  } else {
    return 97;
  }
  failed = errno;
  printf("%ld %d\n", count, failed);
  fflush(stdout);
  if (is(argv[argc - 1], "hold")) wait_for_ever();
  return 0;
}
