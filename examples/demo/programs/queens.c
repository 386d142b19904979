/* For each n on standard input: in how many ways can n queens stand on an n by n board without attacking each other? */
#include <stdio.h>

static long place(unsigned all, unsigned columns, unsigned left, unsigned right) {
  if (columns == all) return 1;
  long ways = 0;
  for (unsigned free = all & ~(columns | left | right); free != 0; free &= free - 1) {
    unsigned queen = free & -free;
    ways += place(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
  }
  return ways;
}

int main(void) {
  int n;
  while (scanf("%d", &n) == 1) printf("%d %ld\n", n, place((1u << n) - 1, 0, 0, 0));
  return 0;
}
