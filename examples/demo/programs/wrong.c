/* Forgets that queens attack along diagonals: a wrong answer. */
#include <stdio.h>

int main(void) {
  int n;
  while (scanf("%d", &n) == 1) {
    long ways = 1;
    for (int i = 2; i <= n; i++) ways *= i;
    printf("%d %ld\n", n, ways);
  }
  return 0;
}
