"""What the coarse model implies, said outright: how many of each class are placed, and what the whole host holds.

No plan is lost by it. The relaxation gains nothing from sums that it knows already, but whole numbers do: a class is
branched on as one, and a sum over the host is rounded as one.
"""

from functools import reduce
from math import gcd

from numaplan.placement.cpsat import Linear, total
from numaplan.placement.formulation import Formulation
from numaplan.placement.problem import CellDemand, Problem


def counted_priority(f: Formulation) -> Linear:
    """The priorities of the placed guests of coarse `f`, over new variables that count the guests of each unit."""
    counts = [f.model.integer(0, unit.count) for unit in f.units]
    for u, count in enumerate(counts):
        f.model.equal(count - f.placed(u))
    _hold_threads(f, counts)
    _hold_memory(f, counts)
    return total(count * unit.guests.request.priority for count, unit in zip(counts, f.units, strict=True))


def _hold_threads(f: Formulation, counts: list[Linear]) -> None:
    """The placed guests hold or idle no more threads than the host has free."""
    kinds = f.problem.core_kinds
    idled = min((kind.free for kind in kinds if kind.isolable), default=1)
    threads = [_threads(f.problem, unit.guests.cells, idled) for unit in f.units]
    held = total(count * each for count, each in zip(counts, threads, strict=True))
    beside = f.problem.cpus_beside(f.problem.facts.nodes)
    f.model.at_most(held, sum(kind.free * len(kind.cores) for kind in kinds) + beside)


def _threads(problem: Problem, cells: tuple[CellDemand, ...], idled: int) -> int:
    """The threads that cells hold or idle at least, where a core to oneself has `idled` free ones or more."""
    width = problem.facts.threads
    return sum(cell.cpus(width) + cell.isolated * (idled - 1) for cell in cells)


def _hold_memory(f: Formulation, counts: list[Linear]) -> None:
    """The placed cells that have no choice of page size need no more pages than all nodes have."""
    capacity = f.problem.facts.capacity_kib
    for size in sorted({size for _, size in capacity}):
        needs = [[cell.memory_kib for cell in unit.guests.cells if cell.page_sizes_kib == (size,)] for unit in f.units]
        unit_kib = reduce(gcd, (kib for cells in needs for kib in cells), 0)
        if unit_kib:
            have = sum(kib // unit_kib for (_, at), kib in capacity.items() if at == size)
            used = total(count * (sum(cells) // unit_kib) for count, cells in zip(counts, needs, strict=True))
            f.model.at_most(used, have)
