// Tries to change the file that it was executed from, and says on standard output what it could do. With an argument it
// executes itself anew first, so that the file is opened while it is not executed.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void tamper(const char *path) {
  int fd = open(path, O_RDWR);
  if (fd >= 0) {
    if (pwrite(fd, "#", 1, 0) == 1) puts("write");
    if (ftruncate(fd, 0) == 0) puts("truncate");
    if (ftruncate(fd, 1 << 30) == 0) puts("grow");
    if (mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED) puts("map");
    if (fcntl(fd, F_ADD_SEALS, 0) == 0) puts("seal");
    close(fd);
  }
  if (chmod(path, 0) == 0) puts("chmod");
}

int main(int count, char **args) {
  if (count > 1 && strcmp(args[1], "again") == 0) {
    // As root of a container one could open it once nobody executes it: a descriptor outlives this execve.
    int fd = open("/proc/self/exe", O_PATH);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fork() == 0) {
      execl("/bin/sh", "sh", "-c", "printf x > \"$0\" && echo write", path, (char *)NULL);
      exit(127);
    }
    wait(NULL);
    return 0;
  }
  tamper("/proc/self/exe");
  return 0;
}
