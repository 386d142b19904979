/* Forks, and so does each child. */
#include <unistd.h>

int main(void) {
  for (;;) {
    fork();
  }
}
