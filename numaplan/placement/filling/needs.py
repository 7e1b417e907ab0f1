"""What cells need of their node, and what nodes have, of all that is counted: numbers in one order.

That is CPUs, whole cores, cores of their own, CPUs with those kept idle, shared vCPUs, memory of each page size, and of
all of them. Where no pool is named, all CPUs of the node come last, also those that guests may not have: what floats
needs one of these that nobody holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.facts import BOUNDLESS_KIB
from numaplan.placement.problem import CellDemand, CoreKind, GuestClass, Problem

Needs = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CoreCount:
    """Something that cells take of cores of so many threads: what cores of one kind have, and what a cell needs."""

    noun: str
    have: Callable[[CoreKind, int], int]
    need: Callable[[CellDemand, int], int]


CORE_COUNTS: Final = (
    CoreCount("CPUs", lambda kind, _: kind.cpus, lambda cell, width: cell.cpus(width)),
    CoreCount("whole cores", lambda kind, _: kind.whole * len(kind.cores), lambda cell, _: cell.whole),
    CoreCount(
        "cores of their own",
        # One whose threads lie apart counts for each of its kinds: of what is there too much may be counted. Where it
        # is told, lacks.isolable_cores counts it once.
        lambda kind, _: kind.isolable * len(kind.cores),
        lambda cell, _: cell.isolated + cell.whole,
    ),
    CoreCount(
        "CPUs (those kept idle among them)",
        lambda kind, width: width * len(kind.cores),
        lambda cell, width: cell.cpus(width) + cell.isolated * (width - 1),
    ),
)


def cell_needs(problem: Problem, guests: GuestClass, k: int, *, cores_only: bool = False) -> Needs:
    """What a cell takes of each thing that is counted, on the node that it lies on."""
    cell, width = guests.cells[k], problem.facts.threads
    cores = tuple(count.need(cell, width) for count in CORE_COUNTS)
    if cores_only:
        return cores
    bound = cell.strict and all(option.keep is None for option in guests.options)
    memory = _memory(problem, guests, cell) if bound else (0,) * (1 + len(_sizes(problem)))
    held = () if problem.facts.has_pools else (cell.cpus(width),)
    return (*cores, cell.shared, *memory, *held)


def memory_needs(problem: Problem, guests: GuestClass, k: int) -> Needs | None:
    """What the memory of a cell takes if it may lie on any node; None where it is bound to the cell's, or may stay."""
    cell = guests.cells[k]
    if cell.strict or guests.exists:
        return None
    held = () if problem.facts.has_pools else (0,)
    return (*(0 for _ in CORE_COUNTS), 0, *_memory(problem, guests, cell), *held)


def _memory(problem: Problem, guests: GuestClass, cell: CellDemand) -> Needs:
    """Pages of the only size that will do, and memory of any: all that lies on one node."""
    only = problem.sizes_that_hold(guests, cell)
    pages = (cell.memory_kib if only == (size,) else 0 for size in _sizes(problem))
    return (*pages, cell.memory_kib if cell.memory_kib < BOUNDLESS_KIB else 0)


def room_on(problem: Problem, node: NodeId, *, cores_only: bool = False) -> Needs:
    """What a node has of each thing that is counted."""
    kinds = [kind for kind in problem.core_kinds if kind.node == node]
    cores = tuple(sum(count.have(kind, problem.facts.threads) for kind in kinds) for count in CORE_COUNTS)
    if cores_only:
        return cores
    pages = {size: problem.facts.capacity_kib.get((node, size), 0) for size in _sizes(problem)}
    memory = sum(capacity for size, capacity in pages.items() if size < BOUNDLESS_KIB)
    held = () if problem.facts.has_pools else (len(problem.facts.unheld(node)),)
    return (*cores, problem.facts.pool_left.get(node, 0), *pages.values(), memory, *held)


def beside_what_floats(room: Needs) -> Needs | None:
    """The room that a node has if something floats there, where no pool is named; None where nothing can."""
    *others, held = room
    return (*others, held - 1) if held > 0 else None


def _sizes(problem: Problem) -> list[int]:
    return sorted({size for _, size in problem.facts.capacity_kib})
