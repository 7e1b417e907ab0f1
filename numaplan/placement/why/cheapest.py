"""The cheapest way to serve a few wants out of stocks, exactly: every choice is tried until none can be cheaper."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

# What one guest asks for is served in a handful of steps; where choices block each other, this is some 50 ms of work.
MAX_STEPS: Final = 20_000
# For all ways of one guest: a quarter of a second.
MAX_STEPS_IN_ALL: Final = 100_000

Stock = Hashable


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to serve a piece of a want: its cost, and what it uses of which stocks."""

    cost: int
    uses: tuple[tuple[Stock, int], ...]


@dataclass(frozen=True, slots=True)
class Want:
    """`count` pieces, each served by one of `offers`, the cheapest of them first."""

    count: int
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What all wants cost together; None: they cannot be served, or, where not `decided`, that was not found out."""

    cost: int | None
    decided: bool


@dataclass(slots=True)
class Steps:
    """How many steps are left for all that is still asked about a guest."""

    left: int = MAX_STEPS_IN_ALL


class Service:
    """Wants to be served out of stocks, of which one that `left` does not name has no end.

    What they cost at the least is known at once, `served` tries all choices: depth first, piece by piece; pieces of one
    want take its offers in order, so that none is tried twice.
    """

    def __init__(
        self,
        wants: Sequence[Want],
        left: Mapping[Stock, int],
        *,
        accepts: Callable[[Mapping[Stock, int]], bool] = lambda _: True,
    ) -> None:
        """`accepts` says of what was used of each stock in the end whether that may be."""
        possible = [
            replace(want, offers=tuple(offer for offer in want.offers if _is_there(offer, left))) for want in wants
        ]
        possible.sort(key=lambda want: len(want.offers))
        self._pieces = [(number, want) for number, want in enumerate(possible) for _ in range(want.count)]
        self._left = left
        self._accepts = accepts
        self._used: Counter[Stock] = Counter()
        self._best: int | None = None
        self._steps = 0
        self._most = 0
        self._gave_up = False
        self._served: Served | None = None
        # What the pieces from each one on cost at the least.
        self._rest = [0]
        for _, want in reversed(self._pieces):
            self._rest.append(self._rest[-1] + min((offer.cost for offer in want.offers), default=0))
        self._rest.reverse()

    @property
    def least(self) -> int:
        """What nothing can be cheaper than."""
        return self._rest[0]

    def served(self, steps: Steps) -> Served:
        """The least cost, found within `steps`, which become fewer; asked again it is not searched again."""
        if self._served is None:
            self._most = min(MAX_STEPS, steps.left)
            self._run()
            steps.left -= self._steps
            self._served = Served(self._best, decided=not self._gave_up)
        return self._served

    def _run(self) -> None:
        """Finds the best. The pieces that are being served stand in a list: they may be more than calls can nest."""
        serving = [self._serve(0, 0, first=0)]
        while serving:
            behind = next(serving[-1], None)
            if behind is None:
                serving.pop()
            else:
                piece, cost, first = behind
                serving.append(self._serve(piece, cost, first=first))

    def _serve(self, piece: int, cost: int, *, first: int) -> Iterator[tuple[int, int, int]]:
        """Serves one piece by each of its offers in turn; every time, what the one behind it is to begin with."""
        if piece == len(self._pieces):
            if self._accepts(self._used):
                self._best = cost
            return
        number, want = self._pieces[piece]
        same = piece + 1 < len(self._pieces) and self._pieces[piece + 1][0] == number
        for at in range(first, len(want.offers)):
            offer = want.offers[at]
            if self._best is not None and cost + offer.cost + self._rest[piece + 1] >= self._best:
                return
            if self._steps >= self._most:
                self._gave_up = True
                return
            self._steps += 1
            if all(
                self._used[stock] + amount <= self._left.get(stock, self._used[stock] + amount)
                for stock, amount in offer.uses
            ):
                for stock, amount in offer.uses:
                    self._used[stock] += amount
                yield piece + 1, cost + offer.cost, at if same else 0
                for stock, amount in offer.uses:
                    self._used[stock] -= amount


def _is_there(offer: Offer, left: Mapping[Stock, int]) -> bool:
    return all(amount <= left.get(stock, amount) for stock, amount in offer.uses)
