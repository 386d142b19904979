// What a program finds when it starts, on the descriptor given as argv[2] (default: 1).
//
//   report args|env|fds|rlimits|cwd|uname [FD]
//   report rlimit-raise     tries to raise the hard limit of open files by one; exits with errno
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void put(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0) exit(99);
    bytes += written;
    length -= (size_t)written;
  }
}

// Each string with its NUL: nothing is quoted, so nothing can be misquoted.
static void put_strings(int fd, char **strings) {
  for (; *strings != NULL; strings++) put(fd, *strings, strlen(*strings) + 1);
}

static const char *type_of(mode_t mode) {
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISCHR(mode)) return "character";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  return "other";
}

int main(int argc, char **argv) {
  char line[4400];
  const char *what = argc > 1 ? argv[1] : "";
  int fd = argc > 2 ? atoi(argv[2]) : 1;
  if (strcmp(what, "args") == 0) {
    put_strings(1, argv);
  } else if (strcmp(what, "env") == 0) {
    put_strings(fd, environ);
  } else if (strcmp(what, "fds") == 0) {
    for (int number = 0; number < 4096; number++) {
      struct stat found;
      if (fstat(number, &found) != 0) continue;
      int length = snprintf(line, sizeof line, "%d %s %ju:%ju %d\n", number, type_of(found.st_mode), (uintmax_t)found.st_dev,
                            (uintmax_t)found.st_ino, fcntl(number, F_GETFL) & O_ACCMODE);
      put(fd, line, (size_t)length);
    }
  } else if (strcmp(what, "rlimits") == 0) {
    for (int resource = 0; resource < 16; resource++) {
      struct rlimit limit;
      if (getrlimit(resource, &limit) != 0) return 98;
      int length = snprintf(line, sizeof line, "%d %lld %lld\n", resource, (long long)limit.rlim_cur, (long long)limit.rlim_max);
      put(fd, line, (size_t)length);
    }
  } else if (strcmp(what, "rlimit-raise") == 0) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 98;
    limit.rlim_max += 1;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : errno;
  } else if (strcmp(what, "cwd") == 0) {
    if (getcwd(line, sizeof line) == NULL) return 98;
    put(fd, line, strlen(line));
  } else if (strcmp(what, "uname") == 0) {
    struct utsname names;
    if (uname(&names) != 0) return 98;
    int length = snprintf(line, sizeof line, "%s %s", names.nodename, names.domainname);
    put(fd, line, (size_t)length);
  } else {
    return 97;
  }
  return 0;
}
