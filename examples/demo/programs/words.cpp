// The ten most frequent words of standard input: most frequent first, then by alphabet.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

int main() {
  std::map<std::string, int> counts;
  std::string word;
  for (std::istreambuf_iterator<char> c(std::cin), end; c != end; ++c) {
    if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z')) {
      word += static_cast<char>(*c | 0x20);
    } else if (!word.empty()) {
      ++counts[word];
      word.clear();
    }
  }
  if (!word.empty()) ++counts[word];

  std::vector<std::pair<std::string, int>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.second > b.second; });
  for (std::size_t i = 0; i < sorted.size() && i < 10; ++i) {
    std::cout << sorted[i].second << ' ' << sorted[i].first << '\n';
  }
}
