"""Whether cells have a place where there are too many ways to fill a node to look at each; for loads much alike."""

from typing import Final

from numaplan.placement.cpsat import Outcome
from numaplan.placement.filling.covering import cover, make_whole
from numaplan.placement.filling.fillings import Filling, Load, Lump
from numaplan.placement.filling.heaviest import Weighing, Weights, weighable, weighed, weight

# With more different lumps than these, each question is long.
MOST_LUMPS: Final = 200

# After so many times without a proof or a filling none is looked for any more.
MAX_VAIN: Final = 5


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
            weights = {lump: _like(lump, known.weights) for lump in weighable(load)}
            if weight(weights, load) > known.have:
                return self._learn(weighed(load, weights))
        return False

    def fill(self, load: Load) -> Filling:
        """INFEASIBLE where weights are found that prove it; else a filling where one is found."""
        covered = cover(load) if self._vain < MAX_VAIN and len(load.wanted) <= MOST_LUMPS else None
        if covered is None:
            return Filling(Outcome.UNKNOWN)
        if self._learn(covered.weighing):
            return Filling(Outcome.INFEASIBLE)
        filling = make_whole(load, covered) if covered.taken else Filling(Outcome.UNKNOWN)
        self._vain += not filling.slots
        return filling

    def _learn(self, found: Weighing) -> bool:
        if found.left >= 0:
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
