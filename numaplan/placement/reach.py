"""What nodes have at most of each thing that a guest needs, and how much of it that is."""

from collections.abc import Iterator, Sequence
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.problem import GuestClass, Problem

LEAST: Final = 1e-6


def room(problem: Problem, guests: GuestClass, nodes: frozenset[NodeId]) -> tuple[int, ...]:
    """What `nodes` have at most of each thing that a guest may need; memory and devices may be anywhere."""
    facts = problem.facts
    kinds = [kind for kind in problem.core_kinds if kind.node in nodes]
    sizes = {size for cell in guests.cells for size in cell.page_sizes_kib}
    # What floats where no pool is named needs a CPU that nobody holds.
    unheld = sum(len(facts.unheld(node)) for node in nodes) - guests.floats
    return (
        min(unheld, sum(kind.free * len(kind.cores) for kind in kinds) + problem.cpus_beside(nodes)),
        sum(len(kind.cores) for kind in kinds if kind.isolable),
        sum(facts.pool_left[node] for node in nodes),
        sum(kib for (_, size), kib in facts.capacity_kib.items() if size in sizes),
        *(sum(len(problem.device_kinds[i].members) for i in demand.kinds) for demand in guests.devices),
    )


def needs_of(problem: Problem, guests: GuestClass) -> tuple[int, ...]:
    """How much of each of these it needs."""
    cells = guests.cells
    return (
        sum(cell.cpus(problem.facts.threads) for cell in cells),
        sum(cell.isolated for cell in cells),
        sum(cell.shared for cell in cells),
        sum(cell.memory_kib for cell in cells),
        *(demand.count for demand in guests.devices),
    )


def largest_shares(problem: Problem, classes: Sequence[GuestClass]) -> Iterator[float]:
    """The largest part of anything that the host has that a guest of each class needs; LEAST where that is nothing."""
    nodes = frozenset(problem.facts.nodes)
    known: dict[object, tuple[int, ...]] = {}
    for guests in classes:
        alike = frozenset(cell.page_sizes_kib for cell in guests.cells), tuple(each.kinds for each in guests.devices)
        if alike not in known:
            known[alike] = room(problem, guests, nodes)
        pairs = zip(known[alike], needs_of(problem, guests), strict=True)
        yield max(LEAST, *(need / max(have, 1) for have, need in pairs))
