"""The cheapest way to serve a few wants out of stocks, exactly: every choice is tried until none can be cheaper."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# What one guest asks for is served in a handful of steps; where choices block each other, this is some 50 ms of work.
MAX_STEPS: Final = 20_000

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


def cheapest(
    wants: Sequence[Want], left: Mapping[Stock, int], *, accepts: Callable[[Mapping[Stock, int]], bool] = lambda _: True
) -> Served:
    """The least cost at which all `wants` are served out of `left`; a stock that `left` does not name has no end.

    `accepts` says of what was used of each stock in the end whether that may be.
    """
    search = _Search(sorted(wants, key=lambda want: len(want.offers)), left, accepts)
    search.run()
    return Served(search.best, decided=search.best == search.least or search.steps < MAX_STEPS)


class _Search:
    """Depth first, piece by piece; pieces of one want take its offers in order, so that none is tried twice."""

    def __init__(
        self, wants: Sequence[Want], left: Mapping[Stock, int], accepts: Callable[[Mapping[Stock, int]], bool]
    ) -> None:
        self.pieces = [(number, want) for number, want in enumerate(wants) for _ in range(want.count)]
        self.left = left
        self.accepts = accepts
        self.used: Counter[Stock] = Counter()
        self.best: int | None = None
        self.steps = 0
        # What the pieces from each one on cost at the least.
        self.rest = [0]
        for _, want in reversed(self.pieces):
            self.rest.insert(0, self.rest[0] + min((offer.cost for offer in want.offers), default=0))

    @property
    def least(self) -> int:
        """What nothing can be cheaper than."""
        return self.rest[0]

    def run(self) -> None:
        """Finds `best`. The pieces that are being served stand in a list: they may be more than calls can be nested."""
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
        if self.best is not None and cost + self.rest[piece] >= self.best:
            return
        if piece == len(self.pieces):
            if self.accepts(self.used):
                self.best = cost
            return
        number, want = self.pieces[piece]
        same = piece + 1 < len(self.pieces) and self.pieces[piece + 1][0] == number
        for at in range(first, len(want.offers)):
            if self.steps >= MAX_STEPS or self.best == self.least:
                return
            self.steps += 1
            offer = want.offers[at]
            if all(
                self.used[stock] + amount <= self.left.get(stock, self.used[stock] + amount)
                for stock, amount in offer.uses
            ):
                for stock, amount in offer.uses:
                    self.used[stock] += amount
                yield piece + 1, cost + offer.cost, at if same else 0
                for stock, amount in offer.uses:
                    self.used[stock] -= amount
