# The ten most frequent words of standard input: most frequent first, then by alphabet.
import re
import sys

counts = {}
for word in re.findall("[a-z]+", sys.stdin.buffer.read().decode().lower()):
    counts[word] = counts.get(word, 0) + 1
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]:
    print(count, word)
