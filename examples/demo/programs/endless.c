/* Never ends, and ignores whoever asks it to. */
#include <signal.h>

int main(void) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  for (volatile unsigned long i = 0;; i++) {
  }
}
