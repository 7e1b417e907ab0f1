"""The fewest lines that turn one text into another (E. Myers, "An O(ND) Difference Algorithm and Its Variations").

difflib takes time that is quadratic in the lines that are alike, and XML has many of those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# A patch of the largest guest that libvirt takes stays below; beyond, all between the first and the last change is one.
_MOST_CHANGES: Final = 2000

_Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """Old lines `a` to `b` become new lines `c` to `d`."""

    a: int
    b: int
    c: int
    d: int


def changes(old: Sequence[bytes], new: Sequence[bytes]) -> list[Change]:
    """What changes, in order; what is equal at both ends is cut off first, as that is nearly everything."""
    most = min(len(old), len(new))
    head = next((k for k in range(most) if old[k] != new[k]), most)
    tail = next((k for k in range(most - head) if old[-1 - k] != new[-1 - k]), most - head)
    found: list[Change] = []
    for x, y, is_old in _steps(old[head : len(old) - tail], new[head : len(new) - tail]):
        a, c = head + x, head + y
        b, d = (a + 1, c) if is_old else (a, c + 1)
        if found and (found[-1].b, found[-1].d) == (a, c):
            a, c = found[-1].a, found[-1].c
            found.pop()
        found.append(Change(a, b, c, d))
    # One equal line at least stays between two changes.
    ends = [*(change.a - 1 for change in found[1:]), len(old)]
    return [_lowered(change, old, new, end=end) for change, end in zip(found, ends, strict=False)]


def _lowered(change: Change, old: Sequence[bytes], new: Sequence[bytes], *, end: int) -> Change:
    """The change as far down as it means the same, as git has it: a block is added behind its like, not within it."""
    if change.a != change.b and change.c != change.d:
        return change
    moved, first = (new, change.c) if change.a == change.b else (old, change.a)
    steps = 0
    while change.b + steps < end and moved[first + steps] == old[change.b + steps]:
        steps += 1
    return Change(change.a + steps, change.b + steps, change.c + steps, change.d + steps)


def _steps(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, bool]]:
    """The lines that go (True) or come, each with its place on both sides."""
    numbers: dict[bytes, int] = {}
    one = [numbers.setdefault(line, len(numbers)) for line in old]
    other = [numbers.setdefault(line, len(numbers)) for line in new]
    points = _path(one, other)
    for (x, y), (next_x, next_y) in pairwise(points):
        # A step that goes down and right in equal lines is no change, but for the one line before or in it.
        if next_x - x > next_y - y:
            yield x, y, True
        elif next_y - y > next_x - x:
            yield x, y, False


def _path(one: Sequence[int], other: Sequence[int]) -> list[_Point]:
    """The points from (0, 0) to the end: between two of them lie one changed line, if any, and then equal ones."""
    furthest = {1: 0}
    trace = []
    for cost in range(_MOST_CHANGES + 1):
        trace.append(furthest.copy())
        for k in range(-cost, cost + 1, 2):
            x = furthest[k + 1] if _comes_from_above(furthest, k, cost) else furthest[k - 1] + 1
            while x < len(one) and x - k < len(other) and one[x] == other[x - k]:
                x += 1
            furthest[k] = x
            if x >= len(one) and x - k >= len(other):
                return _walk_back(trace, (len(one), len(other)))
    return _all_changed(len(one), len(other))


def _comes_from_above(furthest: dict[int, int], k: int, cost: int) -> bool:
    return k == -cost or (k != cost and furthest[k - 1] < furthest[k + 1])


def _walk_back(trace: list[dict[int, int]], end: _Point) -> list[_Point]:
    points = [end]
    x, y = end
    for cost in range(len(trace) - 1, 0, -1):
        furthest = trace[cost]
        k = x - y
        k += 1 if _comes_from_above(furthest, k, cost) else -1
        x, y = furthest[k], furthest[k] - k
        points.append((x, y))
    return [(0, 0), *reversed(points)] if (x, y) != (0, 0) else points[::-1]


def _all_changed(old: int, new: int) -> list[_Point]:
    return [*((x, 0) for x in range(old + 1)), *((old, y) for y in range(1, new + 1))]
