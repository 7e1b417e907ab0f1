"""Whether any count refuses guests: a sum, a guest whose partners find no room with it, or the ways to fill nodes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from numaplan.model.host import NodeId
from numaplan.placement.conflict.excess import excess
from numaplan.placement.cpsat import Outcome
from numaplan.placement.filling.fillings import fill
from numaplan.placement.filling.needs import Needs, beside_what_floats, cell_needs, room_on
from numaplan.placement.joined import joined
from numaplan.placement.problem import GuestClass, Problem
from numaplan.placement.ties import Wish, nested, tied_groups, ties

Nodes = frozenset[NodeId]


def is_counted_out(problem: Problem) -> bool:
    """Whether any count shows that not all guests of `problem` have a place."""
    compact = joined(problem).problem
    return is_exceeded(compact) or cannot_be_filled(compact)


def is_exceeded(compact: Problem) -> bool:
    """Whether a sum proves it of a problem whose linked guests are joined; seen at once."""
    return excess(compact) is not None or leaves_no_way(compact)


def cannot_be_filled(compact: Problem) -> bool:
    """Whether all ways to fill a node prove it, or where these are too many, those of the largest guests."""
    return fill(compact).outcome is Outcome.INFEASIBLE


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is counted of a guest: the needs of each cell, the nodes of its cells in each way, whether it floats."""

    cells: tuple[Needs, ...]
    ways: tuple[tuple[NodeId, ...], ...]
    floats: bool

    def on(self, nodes: Nodes, way: Sequence[NodeId]) -> Needs:
        """What it takes of `nodes` when it goes that way."""
        return _sum(needs for needs, node in zip(self.cells, way, strict=True) if node in nodes) or self.nothing

    @property
    def nothing(self) -> Needs:
        """As many noughts as things are counted."""
        return tuple(0 for _ in self.cells[0])

    def least(self, nodes: Nodes) -> tuple[Needs, bool] | None:
        """The least that it takes of `nodes` beside one that is tied to it and lies there; None where it cannot.

        And whether all of its nodes are among them, whichever way it goes.
        """
        beside = [way for way in self.ways if nested(nodes, set(way))]
        if not beside:
            return None
        least = tuple(map(min, zip(*(self.on(nodes, way) for way in beside), strict=True)))
        return least, all(set(way) <= nodes for way in beside)


def leaves_no_way(problem: Problem) -> bool:
    """Whether there is a guest that can lie nowhere so that all those find room that affinity ties to it.

    Of two that are tied, the nodes of one contain those of the other. Nothing is known of those whose ways are not.
    """
    if problem.uncounted or not any(guests.request.affinity for guests in problem.classes):
        return False
    tied = ties([guests.members for guests in problem.classes], Wish.TOGETHER)
    shapes = {
        c: _shape(problem, guests)
        for c, guests in enumerate(problem.classes)
        if len(guests.members) == 1 and guests.options and not guests.partial
    }
    room = {node: room_on(problem, node) for node in problem.facts.nodes}
    asked: set[tuple[_Shape, frozenset[tuple[_Shape, int]]]] = set()
    for c, shape in shapes.items():
        others = Counter(shapes[other] for other in tied_groups(tied, c) if other in shapes)
        question = (shape, frozenset(others.items()))
        if question in asked or not others:
            continue
        asked.add(question)
        if not any(_have_room(shape, way, others=others, room=room) for way in shape.ways):
            return True
    return False


def _shape(problem: Problem, guests: GuestClass) -> _Shape:
    cells = tuple(cell_needs(problem, guests, k) for k in range(len(guests.cells)))
    return _Shape(cells, tuple(option.nodes for option in guests.options), guests.floats)


def _have_room(
    shape: _Shape, way: Sequence[NodeId], *, others: Mapping[_Shape, int], room: Mapping[NodeId, Needs]
) -> bool:
    """Whether counting shows room on the nodes of a guest that goes that way, for it and all `others`."""
    nodes = frozenset(way)
    needs, float_there = [shape.on(nodes, way)], shape.floats
    for other, count in others.items():
        least = other.least(nodes)
        if least is None:
            return False
        needs.append(tuple(count * need for need in least[0]))
        float_there |= other.floats and least[1]
    there = _sum(room[node] for node in nodes)
    have = beside_what_floats(there) if float_there else there
    return have is not None and all(a <= b for a, b in zip(_sum(needs), have, strict=True))


def _sum(needs: Iterable[Needs]) -> Needs:
    return tuple(map(sum, zip(*needs, strict=True)))
