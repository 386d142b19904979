// Makes many files.
//
//   tree deep DIRECTORY LEVELS   directories, each in the one before; far deeper than a path can say
//   tree wide DIRECTORY COUNT    empty files side by side
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 4 || mkdir(argv[2], 0755) != 0 || chdir(argv[2]) != 0) return 1;
  long count = strtol(argv[3], NULL, 10);
  for (long i = 0; i < count; i++) {
    if (strcmp(argv[1], "deep") == 0) {
      if (mkdir("d", 0755) != 0 || chdir("d") != 0) return 2;
      continue;
    }
    char name[32];
    snprintf(name, sizeof name, "%ld", i);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) return 3;
    close(fd);
  }
  return 0;
}
