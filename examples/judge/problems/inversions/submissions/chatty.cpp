// Does not stop talking.
#include <cstdio>

int main() {
  for (;;) std::puts("1");
}
