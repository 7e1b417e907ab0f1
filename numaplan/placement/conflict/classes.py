"""A smallest set of guests that cannot all be placed: how many of each class, and whether that is proven smallest."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from numaplan.placement.conflict.excess import excesses
from numaplan.placement.conflict.judge import Judge
from numaplan.placement.conflict.subsets import smallest
from numaplan.placement.conflict.totals import Excess
from numaplan.placement.conflict.twins import are_twins
from numaplan.placement.problem import CellDemand, DeviceDemand, GuestClass, Problem

Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Few:
    """`counts`: how many guests of each class are impossible together; `needed`: of which classes that is proven."""

    counts: Counts
    needed: frozenset[int]


def part(problem: Problem, counts: Sequence[int]) -> Problem:
    """The problem of the first `counts` members of each class alone, which then all are required."""
    classes = [
        replace(guests, members=tuple(replace(member, required=True) for member in guests.members[:count]))
        for guests, count in zip(problem.classes, counts, strict=True)
        if count
    ]
    return replace(problem, classes=tuple(classes))


def fewest(problem: Problem, judge: Judge) -> Few:
    """As few guests as are impossible together; all guests of `problem` are known to be."""
    full = tuple(len(guests.members) for guests in problem.classes)
    over = _plainest(problem)
    start, weights = (full, {}) if over is None else (_largest_first(full, over), over.weights)
    smallest_first = sorted(range(len(full)), key=lambda c: (weights.get(c, 0), full[c], c))

    @cache
    def can(counts: Counts) -> bool | None:
        return judge.can(lambda: part(problem, counts))

    first = next(c for c in smallest_first if start[c])
    # The easiest question comes first: a plan that is found there helps with the others.
    last = next(c for c in reversed(smallest_first) if start[c])
    can(_with(start, last, start[last] - 1))
    if over is None or can(_with(start, first, start[first] - 1)) is False:
        start = _impossible_classes(problem, start, smallest_first[::-1], can=can)
    return _reduced(problem, start, smallest_first, can=can)


def fewest_counted(problem: Problem) -> int | None:
    """How many guests exceed a count, the fewest that exceed one; None where none is exceeded."""
    over = _plainest(problem)
    return None if over is None else sum(_largest_first(tuple(len(guests.members) for guests in problem.classes), over))


def _plainest(problem: Problem) -> Excess | None:
    """The count that the fewest guests exceed."""
    full = tuple(len(guests.members) for guests in problem.classes)
    return min(excesses(problem), key=lambda over: sum(_largest_first(full, over)), default=None)


def _with(counts: Counts, c: int, count: int) -> Counts:
    return (*counts[:c], count, *counts[c + 1 :])


def _largest_first(full: Counts, over: Excess) -> Counts:
    """Guests that exceed a count: those that want most of it, until it is exceeded."""
    counts = [0] * len(full)
    left = over.have + 1
    if over.by is not None:
        counts[over.by] = full[over.by]
        left -= full[over.by] * over.weights[over.by]
    for c in sorted(over.weights.keys() - {over.by}, key=lambda c: (-over.weights[c], c)):
        if left > 0 and over.weights[c]:
            counts[c] = min(full[c], -(-left // over.weights[c]))
            left -= counts[c] * over.weights[c]
    return tuple(counts)


def _impossible_classes(
    problem: Problem, full: Counts, order: Sequence[int], *, can: Callable[[Counts], bool | None]
) -> Counts:
    """Classes that are impossible together, none of which can be left out whole, preferably the first in `order`."""

    def only(classes: Collection[int]) -> Counts:
        return tuple(count if c in classes else 0 for c, count in enumerate(full))

    def is_impossible(classes: Sequence[int]) -> bool:
        return can(only(set(classes))) is False

    def is_needed(c: int, needed: Sequence[int]) -> bool:
        larger, each = problem.classes[c], [problem.classes[other] for other in needed if full[other] <= full[c]]
        return any(_dominates(problem, larger, other) for other in each)

    return only(set(smallest([c for c in order if full[c]], is_impossible, is_needed)))


def _reduced(problem: Problem, start: Counts, order: Sequence[int], *, can: Callable[[Counts], bool | None]) -> Few:
    """Class by class the least count that is impossible with the others as they are."""
    counts = list(start)
    needed: list[int] = []
    for c in order:
        if not counts[c]:
            continue
        if _is_needed(problem, counts, c, needed):
            needed.append(c)
            continue
        counts[c], proven = least(counts[c], partial(_ask, tuple(counts), c, can=can))
        if proven and counts[c]:
            needed.append(c)
    return Few(tuple(counts), frozenset(needed))


def _ask(counts: Counts, c: int, count: int, *, can: Callable[[Counts], bool | None]) -> bool | None:
    return can(_with(counts, c, count))


def least(high: int, can: Callable[[int], bool | None]) -> tuple[int, bool]:
    """The least impossible number up to `high`, which is impossible, and whether it is proven to be the least.

    Where an answer is not known, the number counts as possible, and nothing is proven.
    """
    below = can(high - 1)
    if below is not False:
        return high, below is True
    if high == 1 or can(0) is False:
        return 0, True
    low, high, proven = 0, high - 1, True
    while high - low > 1:
        middle = (low + high) // 2
        answer = can(middle)
        if answer is False:
            high = middle
        else:
            low, proven = middle, answer is True
    return high, proven


def _is_needed(problem: Problem, counts: Sequence[int], c: int, needed: Sequence[int]) -> bool:
    """Whether class `c` is needed for a conflict because another one is."""
    if any(_dominates(problem, problem.classes[c], problem.classes[known]) for known in needed):
        return True
    here = [guests.members[:count] for guests, count in zip(problem.classes, counts, strict=True)]
    single = [here[known][0] for known in needed if len(here[known]) == 1 and not problem.classes[known].exists]
    if len(here[c]) > 1 or problem.classes[c].exists:
        return False
    guests = [guest for members in here for guest in members]
    return any(are_twins(guests, other, here[c][0]) for other in single)


def _dominates(problem: Problem, large: GuestClass, small: GuestClass) -> bool:
    """Whether `small` could take the place of `large` wherever that is: then it is needed if `small` is."""
    asked = small.request
    return (
        len(large.cells) == len(small.cells)
        and not (small.exists or large.exists)
        and not (asked.affinity or asked.anti_affinity)
        and not any(asked.name in (*o.request.affinity, *o.request.anti_affinity) for o in problem.classes)
        and (large.floats or not small.floats)
        and {option.nodes for option in large.options} <= {option.nodes for option in small.options}
        and all(_more(a, b, problem.facts.threads) for a, b in zip(large.cells, small.cells, strict=True))
        and len(large.devices) >= len(small.devices)
        and all(_no_less(problem, a, b) for a, b in zip(large.devices, small.devices, strict=False))
    )


def _more(large: CellDemand, small: CellDemand, width: int) -> bool:
    return (
        large.isolated >= small.isolated
        and large.whole >= small.whole
        and large.part >= small.part
        and large.cpus(width) >= small.cpus(width)
        and large.shared >= small.shared
        and large.memory_kib >= small.memory_kib
        and set(large.page_sizes_kib) <= set(small.page_sizes_kib)
        and (large.strict or not small.strict)
    )


def _no_less(problem: Problem, large: DeviceDemand, small: DeviceDemand) -> bool:
    return (
        large.count >= small.count
        and large.mbps >= small.mbps
        and large.affinity == small.affinity
        and set(large.kinds) <= set(small.kinds)
        and (large.distinct or not small.distinct)
        and all(problem.device_kinds[i].bundle is None for i in (*large.kinds, *small.kinds))
    )
