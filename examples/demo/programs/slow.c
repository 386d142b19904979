/* Takes all the time there is. */
int main(void) {
  for (volatile unsigned long i = 0;; i++) {
  }
}
