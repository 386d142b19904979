/* Makes as many small files in the working directory as its argument says, a thousand to a folder. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 10000;
  char name[64];
  for (int i = 0; i < count; i++) {
    if (i % 1000 == 0) {
      snprintf(name, sizeof name, "d%d", i / 1000);
      if (mkdir(name, 0755) != 0) return 1;
    }
    snprintf(name, sizeof name, "d%d/f%d", i / 1000, i);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1) return 2;
    close(fd);
  }
  return 0;
}
