// Uses a known amount of something, and tells what getrusage(2) says that it used: microseconds of CPU time, bytes of memory.
//
//   account cpu MS          computes for so long, by its own clock
//   account threads MS      the same, in two threads
//   account system MS       the same, in system calls
//   account memory BYTES    touches so much memory
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long limit_us;

static long used_us(clockid_t clock) {
  struct timespec used;
  clock_gettime(clock, &used);
  return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void *compute(void *unused) {
  while (used_us(CLOCK_PROCESS_CPUTIME_ID) < limit_us) continue;
  return unused;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  long amount = atol(argv[2]);
  limit_us = amount * 1000;
  if (strcmp(argv[1], "cpu") == 0) compute(NULL);
  if (strcmp(argv[1], "threads") == 0) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, compute, NULL) != 0) return 3;
    compute(NULL);
    pthread_join(thread, NULL);
  }
  if (strcmp(argv[1], "system") == 0) {
    while (used_us(CLOCK_PROCESS_CPUTIME_ID) < limit_us)
      for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
  }
  if (strcmp(argv[1], "memory") == 0) {
    char *memory = mmap(NULL, (size_t)amount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 4;
    memset(memory, 1, (size_t)amount);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  long cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  printf("%ld %ld\n", cpu_us, usage.ru_maxrss * 1024);
  return 0;
}
