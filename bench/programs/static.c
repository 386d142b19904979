/* The least that a statically linked C program does. */
int main(void) { return 0; }
