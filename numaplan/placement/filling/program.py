"""The linear program that covers lumps by parts of ways to fill nodes, where gaps may remain at a cost."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from numaplan.placement.filling.fillings import Load, Lump, NodeKind, Way, Ways
from numaplan.placement.filling.heaviest import Weights, kinds_of, weighable
from numaplan.placement.lp import LinearProgram, Priced

# Prices are used to so many parts of one.
PARTS: Final = 1 << 20

# How often the heaviest way to fill a node is asked for by one program at most; with more different lumps than these
# each of that is long, and none is begun.
MOST_ASKED: Final = 250
MOST_DIFFERENT: Final = 200

# What remains uncovered counts as nothing below this.
NOTHING: Final = 1e-7


class Gap(NamedTuple):
    """What may remain uncovered, `most` times at most, and what it costs each time."""

    cost: float
    lumps: Mapping[Lump, int]
    most: float = inf


class Program:
    """Covers what `load` wants of each lump, but for `gaps`, by ways that are added."""

    def __init__(self, load: Load, gaps: Iterable[Gap]) -> None:
        self._program = LinearProgram()
        self._lumps = {lump: self._program.row(low=load.wanted[lump]) for lump in weighable(load)}
        self._gaps = 0
        for gap in gaps:
            terms = {self._lumps[lump]: count for lump, count in gap.lumps.items()}
            self._program.column(gap.cost, terms, high=gap.most)
            self._gaps += 1
        self._kinds = {kind: self._program.row(high=count) for kind, count in kinds_of(load).items()}
        # In the order of the program's, behind the gaps.
        self._columns: dict[tuple[NodeKind, Way], None] = {}

    @property
    def ways(self) -> Ways:
        """All that were added."""
        ways: dict[NodeKind, list[Way]] = {kind: [] for kind in self._kinds}
        for kind, way in self._columns:
            ways[kind].append(way)
        return ways

    def add(self, kind: NodeKind, way: Way) -> bool:
        """A way to fill nodes of a kind; whether it is a new one, of nodes that there are."""
        is_new = any(way) and kind in self._kinds and (kind, way) not in self._columns
        if is_new:
            self._columns[kind, way] = None
            covered = {self._lumps[lump]: count for lump, count in zip(kind[1], way, strict=True) if count}
            self._program.column(0, {self._kinds[kind]: 1, **covered})
        return is_new

    def solve(self) -> Priced | None:
        """The least cost of gaps."""
        return self._program.solve()

    def weights(self, priced: Priced) -> Weights:
        """What one lump more would cost, in PARTS of one."""
        return {lump: max(0, round(PARTS * priced.prices[row])) for lump, row in self._lumps.items()}

    def taken(self, priced: Priced) -> Mapping[tuple[NodeKind, Way], float]:
        """How often each way is taken, where it is at all."""
        often = priced.taken[self._gaps :]
        return {column: n for column, n in zip(self._columns, often, strict=True) if n > NOTHING}
