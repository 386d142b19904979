# For each n on standard input: in how many ways can n queens stand on an n by n board without attacking each other?
import sys


def place(board, columns, left, right):
    if columns == board:
        return 1
    ways = 0
    free = board & ~(columns | left | right)
    while free:
        queen = free & -free
        free ^= queen
        ways += place(board, columns | queen, (left | queen) << 1, (right | queen) >> 1)
    return ways


for n in map(int, sys.stdin.read().split()):
    print(n, place((1 << n) - 1, 0, 0, 0))
