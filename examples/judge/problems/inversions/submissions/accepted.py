# A Fenwick tree of how often each value was seen.
input()
SIZE = 2048
tree = [0] * (SIZE + 1)
inversions = 0
for seen, value in enumerate(map(int, input().split())):
    i = value + 1001
    while i > 0:
        seen -= tree[i]
        i -= i & -i
    inversions += seen
    i = value + 1001
    while i <= SIZE:
        tree[i] += 1
        i += i & -i
print(inversions)
