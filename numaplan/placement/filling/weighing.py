"""Whether cells have a place where there are too many ways to fill a node to look at each; for loads much alike."""

from collections import defaultdict
from typing import Final

from numaplan.placement.cpsat import Outcome
from numaplan.placement.filling.covering import Covered, cover, make_whole
from numaplan.placement.filling.fillings import Filling, Load, Lump, NodeKind, Way, Ways
from numaplan.placement.filling.heaviest import Weighing, Weights, kinds_of, weighable, weighed, weight
from numaplan.placement.filling.needs import Needs
from numaplan.placement.filling.program import MOST_DIFFERENT

# After so many times without a proof or a filling none is looked for any more.
MAX_VAIN: Final = 5


class Scales:
    """Weighs loads that are much like each other, and keeps the weights that proved something."""

    def __init__(self) -> None:
        self._known: list[Weighing] = []
        # Those that covered the last load, by the room of the node that each fills.
        self._ways: dict[Needs, list[dict[Lump, int]]] = {}
        self._vain = 0

    def refuses(self, load: Load) -> bool:
        """Whether weights that are known prove that `load` has no place, or would seem to and do when weighed again."""
        if any(known.refuses(load) for known in self._known):
            return True
        # What another host has to give is another list of needs: its lumps are not to be compared.
        for known in (known for known in self._known if known.load.room == load.room):
            weights = {lump: _like(lump, known.weights) for lump in weighable(load)}
            if weight(weights, load) > known.have:
                return self._learn(weighed(load, weights))
        return False

    def weigh(self, load: Load) -> None:
        """Looks for weights that prove of a load that is known to have no place why it has none."""
        covered = self._cover(load)
        self._vain += covered is None or not self._learn(covered.weighing)

    def fill(self, load: Load) -> Filling:
        """INFEASIBLE where weights are found that prove it; else a filling where one is found."""
        covered = self._cover(load)
        if covered is None:
            return Filling(Outcome.UNKNOWN)
        if self._learn(covered.weighing):
            return Filling(Outcome.INFEASIBLE)
        filling = make_whole(load, covered) if covered.taken else Filling(Outcome.UNKNOWN)
        self._vain += not filling.slots
        return filling

    def _cover(self, load: Load) -> Covered | None:
        if self._vain >= MAX_VAIN or len(load.wanted) > MOST_DIFFERENT:
            return None
        covered = cover(load, self._ways_known(load))
        if covered is not None and covered.taken:
            self._ways = defaultdict(list)
            for (room, lumps), way in covered.taken:
                self._ways[room].append(dict(zip(lumps, way, strict=True)))
        return covered

    def _ways_known(self, load: Load) -> Ways:
        """The ways that covered the load before it, with those of its lumps that lie there."""
        ways: dict[NodeKind, list[Way]] = {}
        for room, lumps in kinds_of(load):
            most = [load.most(lump) for lump in lumps]
            ways[room, lumps] = [
                tuple(min(way.get(lump, 0), times) for lump, times in zip(lumps, most, strict=True))
                for way in self._ways.get(room, ())
            ]
        return ways

    def _learn(self, found: Weighing | None) -> bool:
        if found is None or found.left >= 0:
            return False
        self._known.insert(0, found)
        return True


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
