// Eight threads that compute for ever; with "bomb", processes that fork for ever.
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static void *spin(void *unused) {
  for (volatile uint64_t i = 0;; i++) continue;
  return unused;
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) {
    for (;;)
      if (fork() == 0) setsid();
  }
  for (int i = 1; i < 8; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, NULL) != 0) return 1;
  }
  spin(NULL);
}
