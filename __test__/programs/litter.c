// What a program can leave to the next one, in two halves that belong together:
//
//   litter make [FILE]      leaves one of each kind, a daemon among them, which holds a lock on FILE
//   litter census [FILE]    names whatever of it is still there: `LEFT a b c`
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define KEY 0x5ec
static const char *directories[] = {"/w", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/"};
static const int keyrings[] = {-4, -5};  // @u, @us

static int abstract_socket(int (*call)(int, const struct sockaddr *, socklen_t)) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0sec"};
  return call(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + 4) == 0 ? fd : -1;
}

static void leave_files(const char *directory) {
  if (chdir(directory) != 0 || access(".", W_OK) != 0) return;
  int fd = open(".f", O_CREAT | O_RDWR, 0600);
  if (write(fd, "x", 1) != 1 || fsetxattr(fd, "user.a", "b", 1, 0) != 0) errno = 0;
  if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) errno = 0;
  close(fd);
  if (open("sparse", O_CREAT | O_RDWR, 0600) >= 0 && truncate("sparse", 1L << 60) != 0) errno = 0;
  if (mkdir("z", 0) != 0 || mkfifo("p", 0) != 0 || symlink("/etc/shadow", "s") != 0 || link(".f", "hard") != 0) errno = 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) errno = 0;
  // Names that hotcell gives to files of its own.
  for (int i = 1; i < 200; i++) {
    char name[64];
    snprintf(name, sizeof name, ".hotcell-%08x", i);
    close(open(name, O_CREAT | O_WRONLY, 0));
    snprintf(name, sizeof name, ".hotcell-delete-%d", i);
    if (mkdir(name, 0) != 0) errno = 0;
  }
  if (mkdir("deep", 0700) == 0 && chdir("deep") == 0) {
    for (int i = 0; i < 5000 && mkdir("d", 0700) == 0 && chdir("d") == 0; i++) {
    }
  }
  // Last: the root of the mount itself.
  if (chmod(directory, 0) != 0) errno = 0;
}

static void leave_daemon(const char *locked) {
  if (fork() != 0) {
    wait(NULL);
    return;
  }
  setsid();
  if (fork() != 0) _exit(0);
  for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
  int fd = abstract_socket(bind);
  listen(fd, 1);
  if (locked != NULL) flock(open(locked, O_RDONLY), LOCK_EX);
  inotify_add_watch(inotify_init1(0), "/usr/bin", IN_ALL_EVENTS);
  epoll_create1(0);
  int memory = memfd_create("left", 0);
  if (ftruncate(memory, 1 << 20) != 0) errno = 0;
  timer_t timer;
  timer_create(CLOCK_MONOTONIC, NULL, &timer);
  timer_settime(timer, 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, NULL);
  raise(SIGSTOP);
  for (;;) pause();
}

static int make(const char *locked) {
  if (shmget(KEY, 1 << 20, IPC_CREAT | 0666) < 0) return 1;
  if (semget(KEY, 1, IPC_CREAT | 0666) < 0) return 2;
  if (msgget(KEY, IPC_CREAT | 0666) < 0) return 3;
  for (int i = 0; i < 2; i++) {
    if (syscall(SYS_add_key, "user", "sec", "x", (size_t)1, keyrings[i]) < 0 && errno != ENOSYS && errno != EPERM) return 5;
  }
  // Without permission there is no queue to leave: RLIMIT_MSGQUEUE is 0.
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
  if (mq_open("/sec", O_RDWR | O_CREAT, 0666, &attributes) < 0) errno = 0;
  leave_daemon(locked);
  for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) leave_files(directories[i]);
  return 0;
}

static void list(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) {
    if (errno != ENOENT) printf(" %s", path);
    return;
  }
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) printf(" %s/%s", path, entry->d_name);
  }
  struct stat found;
  if (fstat(dirfd(directory), &found) == 0 && (found.st_mode & 0700) != 0700) printf(" %s:mode", path);
  closedir(directory);
}

static int census(const char *locked) {
  printf("LEFT");
  for (size_t i = 0; i < 5; i++) list(directories[i]);
  if (shmget(KEY, 0, 0) >= 0) printf(" shm");
  if (semget(KEY, 0, 0) >= 0) printf(" sem");
  if (msgget(KEY, 0) >= 0) printf(" msg");
  if (mq_open("/sec", O_RDONLY) >= 0) printf(" mq");
  for (int i = 0; i < 2; i++) {
    if (syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, keyrings[i], "user", "sec", 0) >= 0) printf(" key%d", keyrings[i]);
  }
  DIR *proc = opendir("/proc");
  struct dirent *entry;
  while (proc != NULL && (entry = readdir(proc)) != NULL) {
    int pid = atoi(entry->d_name);
    if (pid > 1 && pid != getpid()) printf(" pid%d", pid);
  }
  if (abstract_socket(connect) >= 0) printf(" abstract");
  if (locked != NULL && flock(open(locked, O_RDONLY), LOCK_EX | LOCK_NB) != 0) printf(" flock");
  printf("\n");
  return 0;
}

int main(int argc, char **argv) {
  const char *locked = argc > 2 ? argv[2] : NULL;
  return argc > 1 && strcmp(argv[1], "make") == 0 ? make(locked) : census(locked);
}
