// Makes so many calls that do nothing, and says how many microseconds they took.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 0;
  double began = now_us();
  for (long i = 0; i < count; i++) syscall(SYS_getppid);
  printf("%.3f", now_us() - began);
  return 0;
}
