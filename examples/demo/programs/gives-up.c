/* Complains, and ends with an exit code of its own. */
#include <stdio.h>

int main(void) {
  fputs("this is too hard\n", stderr);
  return 3;
}
