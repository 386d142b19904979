// Merge sort, which counts what it moves past.
#include <cstdio>
#include <vector>

static long long sort(std::vector<int> &a, std::vector<int> &scratch, int from, int to) {
  if (to - from < 2) return 0;
  int middle = (from + to) / 2, i = from, j = middle;
  long long inversions = sort(a, scratch, from, middle) + sort(a, scratch, middle, to);
  for (int k = from; k < to; k++) {
    bool left = j == to || (i < middle && a[i] <= a[j]);
    if (!left) inversions += middle - i;
    scratch[k] = left ? a[i++] : a[j++];
  }
  for (int k = from; k < to; k++) a[k] = scratch[k];
  return inversions;
}

int main() {
  int n;
  if (std::scanf("%d", &n) != 1) return 1;
  std::vector<int> a(n), scratch(n);
  for (int &value : a)
    if (std::scanf("%d", &value) != 1) return 1;
  std::printf("%lld\n", sort(a, scratch, 0, n));
}
