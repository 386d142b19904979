// What outlives a process without being a file.
//
//   leftovers make    makes one of each kind
//   leftovers count   says how many of each there are: shm sem msg mq keys
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEY 0x686f7463
#define USER_KEYRING (-4)
#define KEYCTL_READ 11

static int make(void) {
  if (shmget(KEY, 4096, IPC_CREAT | IPC_EXCL | 0600) < 0) return 1;
  if (semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0600) < 0) return 2;
  if (msgget(KEY, IPC_CREAT | IPC_EXCL | 0600) < 0) return 3;
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
  if (mq_open("/leftover", O_RDWR | O_CREAT | O_EXCL, 0600, &attributes) < 0) return 4;
  if (syscall(SYS_add_key, "user", "leftover", "x", (size_t)1, USER_KEYRING) < 0) return 5;
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "make") == 0) {
    int failed = make();
    if (failed != 0) fprintf(stderr, "%d: %s\n", failed, strerror(errno));
    return failed;
  }
  int keys[64];
  long bytes = syscall(SYS_keyctl, KEYCTL_READ, USER_KEYRING, keys, sizeof keys);
  printf("%d %d %d %d %ld\n", shmget(KEY, 0, 0) >= 0, semget(KEY, 0, 0) >= 0, msgget(KEY, 0) >= 0, mq_open("/leftover", O_RDONLY) >= 0,
         bytes < 0 ? 0 : bytes / (long)sizeof keys[0]);
  return 0;
}
