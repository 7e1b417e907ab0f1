"""What the coarse model implies, said outright: how many of each class are placed, and what the whole host holds.

No plan is lost by it. The relaxation gains nothing from sums that it knows already, but whole numbers do: a class is
branched on as one, and a sum over the host is rounded as one.
"""

from collections import Counter
from collections.abc import Iterator
from functools import reduce
from math import gcd
from typing import Final, NamedTuple

from numaplan.placement.cpsat import Linear, total
from numaplan.placement.formulation import Formulation
from numaplan.placement.problem import CellDemand, Problem

# So many sets of devices are summed up, those that the most kinds of guests choose from.
MOST_SETS: Final = 50


class Sum(NamedTuple):
    """What a guest of each unit needs at least of something, and what the host has of it."""

    needs: list[int]
    have: int


def counted_priority(f: Formulation) -> Linear:
    """The priorities of the placed guests of coarse `f`, over new variables that count the guests of each unit."""
    counts = [f.model.integer(0, unit.count) for unit in f.units]
    for u, count in enumerate(counts):
        f.model.equal(count - f.placed(u))
    for needs, have in sums(f):
        f.model.at_most(total(count * need for count, need in zip(counts, needs, strict=True)), have)
    return total(count * unit.guests.request.priority for count, unit in zip(counts, f.units, strict=True))


def sums(f: Formulation) -> Iterator[Sum]:
    """The threads that guests hold or idle, and the pages of each size that they have no choice but to take."""
    kinds = f.problem.core_kinds
    idled = min((kind.free for kind in kinds if kind.isolable), default=1)
    threads = [_threads(f.problem, unit.guests.cells, idled) for unit in f.units]
    beside = f.problem.cpus_beside(f.problem.facts.nodes)
    yield Sum(threads, sum(kind.cpus for kind in kinds) + beside)
    capacity = f.problem.facts.capacity_kib
    for size in sorted({size for _, size in capacity}):
        cells = [[cell.memory_kib for cell in unit.guests.cells if cell.page_sizes_kib == (size,)] for unit in f.units]
        unit_kib = reduce(gcd, (kib for each in cells for kib in each), 0)
        if unit_kib:
            have = sum(kib // unit_kib for (_, at), kib in capacity.items() if at == size)
            yield Sum([sum(each) // unit_kib for each in cells], have)


def device_sums(f: Formulation) -> Iterator[Sum]:
    """The devices of sets that many guests choose from, and those that they have no choice but to take of each.

    Who is there may keep others.
    """
    kinds = f.problem.device_kinds
    wanted = [() if unit.guests.exists else unit.guests.devices for unit in f.units]
    sets = Counter(frozenset(demand.kinds) for demands in wanted for demand in demands)
    for some, _ in sets.most_common(MOST_SETS):
        needs = [sum(demand.count for demand in demands if some.issuperset(demand.kinds)) for demands in wanted]
        yield Sum(needs, sum(len(kinds[i].members) for i in some))


def _threads(problem: Problem, cells: tuple[CellDemand, ...], idled: int) -> int:
    """The threads that cells hold or idle at least, where a core to oneself has `idled` free ones or more."""
    width = problem.facts.threads
    return sum(cell.cpus(width) + cell.isolated * (idled - 1) for cell in cells)
