"""The nodes on which the cells of a guest can lie: every way, and of too many those for which there is room."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby, zip_longest
from math import comb

from numaplan.model.host import NodeId
from numaplan.placement.facts import HostFacts
from numaplan.placement.problem import CellDemand


@dataclass(frozen=True, slots=True)
class _Room:
    """What each cell takes of its node, of CPUs and of the only pages that will do, and what a node has of these."""

    needs: Sequence[Mapping[int, int]]
    have: Mapping[NodeId, Mapping[int, int]]

    @classmethod
    def of(cls, facts: HostFacts, cells: Sequence[CellDemand]) -> "_Room":
        """By the page size, 0 for CPUs."""
        needs = []
        for cell in cells:
            pages = cell.page_sizes_kib if cell.strict and len(cell.page_sizes_kib) == 1 else ()
            needs.append({0: cell.cpus(facts.threads), **dict.fromkeys(pages, cell.memory_kib)})
        free = Counter(facts.node_of[cpu] for cpu in facts.free)
        have: dict[NodeId, dict[int, int]] = {node: {0: free[node]} for node in facts.nodes}
        for (node, size), kib in facts.capacity_kib.items():
            have[node][size] = kib
        return cls(needs, have)

    def takes(self, k: int, node: NodeId, chosen: Sequence[NodeId]) -> bool:
        """Whether a node has room for cell `k` beside those before it that lie there."""
        there = [self.needs[k], *(self.needs[i] for i, other in enumerate(chosen) if other == node)]
        have = self.have[node]
        return all(sum(needs.get(what, 0) for needs in there) <= have.get(what, 0) for what in self.needs[k])


def ways(
    facts: HostFacts,
    cells: tuple[CellDemand, ...],
    possible: Sequence[Sequence[NodeId]],
    *,
    distinct: bool,
    room: _Room | None = None,
) -> Iterator[tuple[NodeId, ...]]:
    """Nodes for every cell out of its `possible` ones, near ones first; of equal cells the one with the lower number
    gets the lower node. With `room`, only where cells that share a node have it.
    """

    def extend(chosen: tuple[NodeId, ...]) -> Iterator[tuple[NodeId, ...]]:
        k = len(chosen)
        if k == len(cells):
            yield chosen
            return
        nodes = possible[k]
        if chosen:
            nodes = sorted(nodes, key=lambda node: (facts.distance(chosen[0], node), node))
        for node in nodes:
            if distinct and (node in chosen or not _have_nodes_apart(possible[k + 1 :], {*chosen, node})):
                continue
            if k > 0 and cells[k] == cells[k - 1] and node < chosen[-1]:
                continue
            if room is not None and not room.takes(k, node, chosen):
                continue
            yield from extend((*chosen, node))

    return extend(()) if not distinct or _have_nodes_apart(possible, set()) else iter(())


def ways_with_room(
    facts: HostFacts, cells: tuple[CellDemand, ...], possible: Sequence[Sequence[NodeId]], *, distinct: bool
) -> Iterator[tuple[NodeId, ...]]:
    """The same where not all will be looked at: none of them in vain, and the first ones begin at every node."""
    room = _Room.of(facts, cells)
    return _in_turn(
        [ways(facts, cells, [(node,), *possible[1:]], distinct=distinct, room=room) for node in possible[0]]
    )


def about_so_many(cells: Sequence[CellDemand], possible: Sequence[Sequence[NodeId]], *, distinct: bool) -> int:
    """How many ways there are, if cells that are alike have the same nodes to choose from as those before them."""
    count, before = 1, 0
    for _, run in groupby(range(len(cells)), key=lambda k: cells[k]):
        alike = list(run)
        nodes = len(possible[alike[0]])
        count *= comb(max(nodes - before, 0), len(alike)) if distinct else comb(nodes + len(alike) - 1, len(alike))
        before += len(alike)
    return count


def _in_turn(found: Sequence[Iterator[tuple[NodeId, ...]]]) -> Iterator[tuple[NodeId, ...]]:
    """One of each, as long as there are any."""
    for together in zip_longest(*found):
        yield from filter(None, together)


def _have_nodes_apart(possible: Sequence[Sequence[NodeId]], used: AbstractSet[NodeId]) -> bool:
    """Whether each cell can have a node of its own beside `used`: else a search would try every order in vain."""
    holder: dict[NodeId, int] = {}

    def seat(k: int, seen: set[NodeId]) -> bool:
        for node in possible[k]:
            if node not in used and node not in seen:
                seen.add(node)
                if node not in holder or seat(holder[node], seen):
                    holder[node] = k
                    return True
        return False

    return all(seat(k, set()) for k in range(len(possible)))
