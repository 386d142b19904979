# Right, and too slow.
input()
a = list(map(int, input().split()))
print(sum(a[i] > a[j] for j in range(len(a)) for i in range(j)))
