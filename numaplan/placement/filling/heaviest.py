"""What nodes hold at most of lumps that have weights: the proof is in whole numbers, what CP-SAT proves of a node."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from numaplan.placement.cpsat import ZERO, Model, total
from numaplan.placement.filling.fillings import Load, Lump, NodeKind, Way, in_order, ways_to_use
from numaplan.placement.filling.needs import Needs

# CP-SAT's deterministic time to find the heaviest way to fill a node.
WORK: Final = 0.01

Weights = Mapping[Lump, int]


@dataclass(frozen=True, slots=True)
class Weighing:
    """All nodes hold at most `have` of what the lumps of `load` weigh; `ways` are the heaviest found for each kind."""

    load: Load
    weights: Weights
    have: int
    ways: Mapping[NodeKind, Way]

    @property
    def left(self) -> int:
        """How much more than `load` they could hold; below 0 that is proven to have no place."""
        return self.have - weight(self.weights, self.load)

    def refuses(self, other: Load) -> bool:
        """Whether it proves that of other lumps too, of which those that were not weighed weigh nothing."""
        return (
            self.load.room == other.room
            and all(n <= self.load.wanted[lump] for lump, n in other.wanted.items() if self.weights.get(lump))
            and weight(self.weights, other) > self.have
        )


def weighed(load: Load, weights: Weights) -> Weighing:
    """What the nodes of `load` hold of these weights."""
    kinds = kinds_of(load)
    heaviest = {kind: _heaviest(kind, weights, load) for kind in kinds}
    have = sum(count * heaviest[kind].most for kind, count in kinds.items())
    return Weighing(load, weights, have, {kind: found.way for kind, found in heaviest.items()})


def weight(weights: Weights, load: Load) -> int:
    """What all lumps of `load` weigh."""
    return sum(weights.get(lump, 0) * count for lump, count in load.wanted.items())


def kinds_of(load: Load) -> Mapping[NodeKind, int]:
    """How many nodes there are of each kind."""
    lumps = weighable(load)
    return Counter(load.kind(node, lumps) for node in load.room)


def weighable(load: Load) -> list[Lump]:
    """The lumps that need anything: of what needs nothing a node holds without end."""
    return [lump for lump in load.wanted if any(lump.needs)]


@dataclass(frozen=True, slots=True)
class _Heaviest:
    """No way to fill a node weighs more than `most`; `way`, how often each lump lies there, is the heaviest found."""

    most: int
    way: Way


def _heaviest(kind: NodeKind, weights: Weights, load: Load) -> _Heaviest:
    found = [(_heaviest_of(room, some, weights, load), some) for room, some in ways_to_use(kind)]
    heaviest, some = max(found, key=lambda each: each[0].most)
    return replace(heaviest, way=in_order(kind[1], some, heaviest.way) if heaviest.way else ())


def _heaviest_of(room: Needs, lumps: tuple[Lump, ...], weights: Weights, load: Load) -> _Heaviest:
    model = Model()
    most = [load.most(lump) if _has_room(room, lump) else 0 for lump in lumps]
    counts = [model.integer(0, times) for times in most]
    for i, have in enumerate(room):
        # Memory may be without end, and then is no number that the solver takes.
        if sum(times * lump.needs[i] for times, lump in zip(most, lumps, strict=True)) > have:
            model.at_most(total(count * lump.needs[i] for count, lump in zip(counts, lumps, strict=True)), have)
    weight = total(count * weights[lump] for count, lump in zip(counts, lumps, strict=True) if weights[lump])
    if weight == ZERO:
        return _Heaviest(0, ())
    solved = model.solve(weight, maximize=True, work=WORK)
    return _Heaviest(solved.bound, tuple(count.value(solved.solution) for count in counts) if solved.solution else ())


def _has_room(room: Needs, lump: Lump) -> bool:
    return all(need <= have for need, have in zip(lump.needs, room, strict=True))
