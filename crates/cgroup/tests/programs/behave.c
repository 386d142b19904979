// What programs in a run group do: `behave VERB [NUMBER] [PATH]`.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void burn(long ms) {
  struct timespec used;
  do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < ms);
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  long number = argc > 2 ? atol(argv[2]) : 0;
  if (!strcmp(verb, "exit")) return (int)number;
  if (!strcmp(verb, "burn")) {
    burn(number);
    return 0;
  }
  // The children outlive their parent.
  if (!strcmp(verb, "orphans-burn")) {
    for (int i = 0; i < 2; i++)
      if (!fork()) {
        setsid();
        burn(number);
        return 0;
      }
    return 0;
  }
  if (!strcmp(verb, "sleep")) {
    for (;;) pause();
  }
  if (!strcmp(verb, "hold")) {
    char *memory = mmap(NULL, number, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 9;
    for (long i = 0; i < number; i += 4096) memory[i] = 1;
    return 0;
  }
  // Two processes, one of which holds too much: both have to go.
  if (!strcmp(verb, "pair-hold")) {
    if (fork()) for (;;) pause();
    char *memory = mmap(NULL, number, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < number; i += 4096) memory[i] = 1;
    return 0;
  }
  if (!strcmp(verb, "write")) {
    static char page[4096];
    int file = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (long i = 0; i < number; i += 4096)
      if (write(file, page, 4096) != 4096) return 9;
    return 0;
  }
  // How many children could be forked is the exit code.
  if (!strcmp(verb, "forks")) {
    int made = 0;
    for (long i = 0; i < number; i++) {
      int pid = fork();
      if (pid == 0) for (;;) pause();
      made += pid > 0;
    }
    return made;
  }
  if (!strcmp(verb, "bomb")) {
    for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
    for (;;)
      if (fork() == 0) setsid();
  }
  // For where nothing but its own slowness limits it.
  if (!strcmp(verb, "slow-bomb")) {
    for (;;) {
      if (fork() == 0) setsid();
      usleep(5000);
    }
  }
  if (!strcmp(verb, "kill-self")) {
    raise(SIGKILL);
  }
  return 99;
}
