"""Whether weights prove that cells have no place: what all of them weigh is more than all nodes can hold of it.

Where there are too many ways to fill a node to look at each, weights are looked for under which the heaviest way weighs
little: the prices of a linear program that covers the cells by ways, to which the heaviest way under its prices is
added until they prove something or nothing is left to prove (Gilmore and Gomory, "A linear programming approach to the
cutting-stock problem", 1961). The proof itself is in whole numbers: what the solver proves of the heaviest way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.placement.conflict.fillings import Filling, Load, Lump, NodeKind, chosen, in_order, ways_to_use
from numaplan.placement.conflict.needs import Needs
from numaplan.placement.cpsat import ZERO, Model, Outcome, total
from numaplan.placement.lp import LinearProgram

# CP-SAT's deterministic time to find the heaviest way to fill a node, and how often that is asked for one proof.
WORK: Final = 0.01
MOST_ASKED: Final = 250

# With more different lumps than these, each question is long.
MOST_LUMPS: Final = 200

# After so many times without a proof none is looked for any more.
MAX_VAIN: Final = 5

# Prices are used to so many parts of one.
PARTS: Final = 1 << 20

# What remains uncovered counts as nothing below this.
NOTHING: Final = 1e-7

# The prices of two rounds are far apart at first: so much of the best ones is kept.
KEPT: Final = 0.3

Weights = Mapping[Lump, int]
Way = tuple[int, ...]
Ways = Mapping[NodeKind, Sequence[Way]]


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
        return self.have - _weight(self.weights, self.load)

    def refuses(self, other: Load) -> bool:
        """Whether it proves that of other lumps too, of which those that were not weighed weigh nothing."""
        return (
            self.load.room == other.room
            and all(n <= self.load.wanted[lump] for lump, n in other.wanted.items() if self.weights.get(lump))
            and _weight(self.weights, other) > self.have
        )


class Scales:
    """Weighs loads that are much like each other, and keeps the weights that proved something."""

    def __init__(self) -> None:
        self._known: list[Weighing] = []
        self._vain = 0

    def refuses(self, load: Load) -> bool:
        """Whether weights that are known prove that `load` has no place, or would seem to and do when weighed again."""
        if any(known.refuses(load) for known in self._known):
            return True
        # What another host has to give is another list of needs: its lumps are not to be compared.
        for known in (known for known in self._known if known.load.room == load.room):
            weights = {lump: _like(lump, known.weights) for lump in _weighable(load)}
            if _weight(weights, load) > known.have:
                return self._learn(_weighed(load, weights))
        return False

    def weigh(self, load: Load) -> Filling:
        """INFEASIBLE where weights are found that prove it; a filling where the ways that were found for them give one."""
        if self._vain >= MAX_VAIN or not 0 < len(load.shares()) <= MOST_LUMPS:
            return Filling(Outcome.UNKNOWN)
        found, ways = _lightest(load)
        if self._learn(found):
            return Filling(Outcome.INFEASIBLE)
        lumps = _weighable(load)
        filling = chosen(load, lumps, ways)
        self._vain += not filling.slots
        return filling if filling.slots else Filling(Outcome.UNKNOWN)

    def _learn(self, found: Weighing | None) -> bool:
        if found is None or found.left >= 0:
            return False
        self._known.insert(0, found)
        return True


def _lightest(load: Load) -> tuple[Weighing | None, Ways]:
    """Weights under which nodes hold less than `load`, or as little more as was found, and the ways found for them.

    None: there are none, as the ways cover all of it, though maybe in parts of ways.
    """
    sizes = load.shares()
    weights: Weights = {lump: round(PARTS * size) for lump, size in sizes.items()}
    cover = _Cover(load, sizes)
    best, kept = None, KEPT
    asked = 0
    while asked < MOST_ASKED:
        found = _weighed(load, weights)
        asked += len(found.ways)
        if best is None or found.left < best.left:
            best = found
        if best.left < 0:
            break
        new = [kind for kind, way in found.ways.items() if cover.add(kind, way)]
        prices = cover.prices()
        if prices is None or not (new or kept):
            return None, cover.ways
        kept = KEPT if new else 0
        weights = {lump: round(kept * best.weights[lump] + (1 - kept) * prices[lump]) for lump in sizes}
    return best, cover.ways


def _weighed(load: Load, weights: Weights) -> Weighing:
    kinds = _kinds(load)
    heaviest = {kind: _heaviest(kind, weights, load) for kind in kinds}
    have = sum(count * heaviest[kind].most for kind, count in kinds.items())
    return Weighing(load, weights, have, {kind: found.way for kind, found in heaviest.items()})


def _kinds(load: Load) -> Mapping[NodeKind, int]:
    """How many nodes there are of each kind."""
    lumps = _weighable(load)
    return Counter(load.kind(node, lumps) for node in load.room)


def _weighable(load: Load) -> list[Lump]:
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


class _Cover:
    """The program that covers all lumps by ways to fill nodes, where what is not covered costs its size."""

    def __init__(self, load: Load, sizes: Mapping[Lump, float]) -> None:
        self._program = LinearProgram()
        self._lumps = {lump: self._program.row(low=load.wanted[lump]) for lump in sizes}
        for lump, row in self._lumps.items():
            self._program.column(sizes[lump], {row: 1})
        self._kinds = {kind: self._program.row(high=count) for kind, count in _kinds(load).items()}
        self.ways: dict[NodeKind, list[Way]] = {kind: [] for kind in self._kinds}

    def add(self, kind: NodeKind, way: Way) -> bool:
        """A way to fill nodes of a kind; whether it is a new one."""
        is_new = any(way) and way not in self.ways[kind]
        if is_new:
            self.ways[kind].append(way)
            covered = {self._lumps[lump]: count for lump, count in zip(kind[1], way, strict=True) if count}
            self._program.column(0, {self._kinds[kind]: 1, **covered})
        return is_new

    def prices(self) -> Weights | None:
        """What one lump more would cost; None where all are covered."""
        solved = self._program.solve()
        if solved is None or solved.cost < NOTHING:
            return None
        return {lump: max(0, round(PARTS * solved.prices[row])) for lump, row in self._lumps.items()}


def _like(lump: Lump, guess: Weights) -> int:
    """The weight of a lump that was weighed; else of the lightest that needs no less, or the heaviest of the others."""
    if lump in guess:
        return guess[lump]
    larger = [weight for other, weight in guess.items() if _is_within(lump, other)]
    return (
        min(larger)
        if larger
        else max((weight for other, weight in guess.items() if _is_within(other, lump)), default=0)
    )


def _is_within(small: Lump, large: Lump) -> bool:
    return all(a <= b for a, b in zip(small.needs, large.needs, strict=True))


def _weight(weights: Weights, load: Load) -> int:
    return sum(weights.get(lump, 0) * count for lump, count in load.wanted.items())
