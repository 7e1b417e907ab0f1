"""On which nodes memory of guests that are there lies (as it was seen, else as the XML has it), and notes on that."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.model.guest import CellId, Guest
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.placement.facts import HostFacts, bound_node, held_memory
from numaplan.placement.problem import Problem
from numaplan.units import format_few

_MOST_NAMED: Final = 5

# A cell, its KiB, and the node of its vCPUs where that is one.
CellAtHome = tuple[CellId, int, NodeId | None]


def resident_nodes(guest: Guest, cells: Sequence[CellAtHome]) -> tuple[tuple[NodeId, ...], ...]:
    """For each cell the nodes that its memory lies on, one where all of it is there; () where nobody knows.

    What was seen is the whole guest's. Where that adds up with each cell's memory where the XML has it, or else with
    its vCPUs, so it lies; where it does not, any of it can be of any cell.
    """
    bound = [bound_node(guest, cell) for cell, _, _ in cells]
    as_bound = tuple(() if node is None else (node,) for node in bound)
    seen = _seen(guest)
    if not seen:
        return as_bound
    if len(seen) > 1:
        homes = [node for _, _, node in cells]
        sizes = [size for _, size, _ in cells]
        if adds_up(guest, [home if node is None else node for node, home in zip(bound, homes, strict=True)], sizes):
            return as_bound
        if adds_up(guest, homes, sizes):
            return ((),) * len(cells)
    return (tuple(sorted(seen)),) * len(cells)


def memory_elsewhere(facts: HostFacts, placements: Sequence[Placement]) -> Iterator[str]:
    """A note on each guest whose memory was seen elsewhere than a plan has it, unless its XML binds it elsewhere."""
    existing = {guest.name: guest for guest in facts.snapshot.guests if guest.running}
    for placement in placements:
        guest = existing.get(placement.vm)
        if guest is None or guest.live is None:
            continue
        cells = [(cell.id, cell.memory_kib, cell.numa_node) for cell in placement.cells]
        for cell, nodes in zip(placement.cells, resident_nodes(guest, cells), strict=True):
            if nodes and nodes != (cell.memory_node,) and bound_node(guest, cell.id) in (None, cell.memory_node):
                yield (
                    f"{placement.vm}: memory of it was seen on {_these(nodes)}, and the plan has it on node "
                    f"{cell.memory_node}; what it holds elsewhere is there for others only once it has moved"
                )
                break


def ungiven_memory(problem: Problem) -> tuple[str, ...]:
    """A note on guests of the request that are there and whose memory counts as needed once more."""
    asked = {guest.name for guests in problem.classes if guests.exists for guest in guests.members}
    snapshot = problem.facts.snapshot
    there = [guest for guest in snapshot.guests if guest.name in asked and guest.running is not False]
    names = [guest.name for guest in there if guest.running is None or not held_memory(guest, snapshot)]
    if not names:
        return ()
    whose = format_few(names, _MOST_NAMED)
    return (f"memory of {whose} counts as needed anew: it is not known whether it is in use, or on which node",)


def adds_up(guest: Guest, nodes: Sequence[NodeId | None], sizes: Sequence[int]) -> bool:
    """Whether cells of these KiB on `nodes` can have what was seen, as far as it is not more than they have in all.

    What is more is QEMU's own.
    """
    seen = _seen(guest)
    room: Counter[NodeId | None] = Counter()
    for node, size in zip(nodes, sizes, strict=True):
        room[node] += size
    beyond = sum(max(0, size - room[node]) for node, size in seen.items())
    return beyond <= max(0, sum(seen.values()) - sum(sizes))


def _seen(guest: Guest) -> Counter[NodeId]:
    seen: Counter[NodeId] = Counter()
    for part in () if guest.live is None else guest.live.memory:
        seen[part.node] += part.size_kib
    return seen


def _these(nodes: Sequence[NodeId]) -> str:
    return f"node{'s' if len(nodes) > 1 else ''} {format_id_list(nodes)}"
