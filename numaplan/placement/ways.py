"""The nodes on which the cells of a guest can lie: every way, and of too many those for which there is room."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    def takes_more(self, k: int, nodes: Iterable[NodeId], chosen: Sequence[NodeId], *, count: int) -> bool:
        """Whether `nodes` have room for `count` cells like cell `k` beside the chosen ones."""
        needs = self.needs[k]
        taken: defaultdict[NodeId, Counter[int]] = defaultdict(Counter)
        for i, node in enumerate(chosen):
            taken[node].update(self.needs[i])
        found = 0
        for node in nodes:
            left = [(self.have[node].get(what, 0) - taken[node][what]) // need for what, need in needs.items() if need]
            found += max(0, min(left, default=count))
            if found >= count:
                return True
        return found >= count


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
    alike = _alike_after(cells)

    def nodes_after(k: int) -> Sequence[NodeId]:
        return possible[k + 1] if alike[k] else ()

    def goes_on(chosen: tuple[NodeId, ...]) -> bool:
        """Whether the cells behind can have nodes: else a search would try every order of those before in vain."""
        k, last = len(chosen) - 1, chosen[-1]
        if distinct:
            above = [node for node in nodes_after(k) if node > last]
            return _have_nodes_apart([*[above] * alike[k], *possible[k + 1 + alike[k] :]], set(chosen))
        ahead = [node for node in nodes_after(k) if node >= last]
        return room is None or not alike[k] or room.takes_more(k, ahead, chosen, count=alike[k])

    def extend(chosen: tuple[NodeId, ...]) -> Iterator[tuple[NodeId, ...]]:
        k = len(chosen)
        if k == len(cells):
            yield chosen
            return
        nodes = possible[k]
        if chosen:
            nodes = sorted(nodes, key=lambda node: (facts.distance(chosen[0], node), node))
        for node in nodes:
            if distinct and node in chosen:
                continue
            if k > 0 and cells[k] == cells[k - 1] and node < chosen[-1]:
                continue
            if room is not None and not room.takes(k, node, chosen):
                continue
            if goes_on((*chosen, node)):
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


def _alike_after(cells: Sequence[CellDemand]) -> list[int]:
    """How many cells right behind each are like it."""
    return [n for _, run in groupby(cells) for n in range(len(list(run)) - 1, -1, -1)]


def _in_turn(found: Sequence[Iterator[tuple[NodeId, ...]]]) -> Iterator[tuple[NodeId, ...]]:
    """One of each, as long as there are any."""
    for together in zip_longest(*found):
        yield from filter(None, together)


def _have_nodes_apart(possible: Sequence[Sequence[NodeId]], used: AbstractSet[NodeId]) -> bool:
    """Whether each cell can have a node of its own beside `used`: else a search would try every order in vain."""
    holder: dict[NodeId, int] = {}

    def seat(k: int, seen: set[NodeId]) -> bool:
        free = next((node for node in possible[k] if node not in used and node not in holder), None)
        if free is not None:
            holder[free] = k
            return True
        for node in possible[k]:
            if node not in used and node not in seen:
                seen.add(node)
                if seat(holder[node], seen):
                    holder[node] = k
                    return True
        return False

    return all(seat(k, set()) for k in range(len(possible)))
