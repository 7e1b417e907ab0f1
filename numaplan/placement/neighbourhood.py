"""Betters a coarse solution on a large host: a few nodes at a time are planned anew, all others held.

The order of the neighbourhoods comes from a fixed seed and each has its work, so the same input gives the same answer.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.host import NodeId, PackageId
from numaplan.placement.cpsat import Aim, Linear, Outcome, Solved
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import WORK, Run, Turn, maximizes

# How many neighbourhoods are tried, and the most work for all of them in parts of what the solver has for the level.
ROUNDS: Final = 160
ALL_WORK: Final = 5.0
# Fewer nodes than this are no matter for neighbourhoods: the model as a whole does.
FEWEST_NODES: Final = 4
# From so many nodes on, the level below is out of the solver's reach unless it starts from a good solution.
MANY_NODES: Final = 9
# A value of so many times its bound is far from it: any nodes gain there, and it takes long.
FAR: Final = 3
# So many packages leave a choice of some.
FEWEST_PACKAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Manner:
    """How neighbourhoods are chosen and solved.

    `sizes`: how many nodes, in turn, and whether of whole packages, in which cells and VFs mostly stay. `work` is
    CP-SAT's deterministic time for one. After `stale` in vain there are no more, after every `grows` each is larger;
    where the two are the same, none ever is.
    """

    sizes: tuple[tuple[int, bool], ...]
    work: float
    stale: int
    grows: int
    aim: Aim


SIZES: Final = ((4, True), (6, True), (6, False))
FEW: Final = Manner(SIZES, work=0.15, stale=30, grows=20, aim=Aim.ANSWER)
MANY: Final = Manner(SIZES, work=0.08, stale=60, grows=20, aim=Aim.ANSWER)
# Where every guest can be placed it is soon found out, and cheaply; else the goal needs the freedom to pay any cost.
CHEAP: Final = Manner(SIZES, work=0.08, stale=20, grows=20, aim=Aim.ANSWER)
DEAR: Final = Manner(((5, False),), work=0.1, stale=60, grows=60, aim=Aim.BOTH)


def improve(run: Run, f: Formulation, turn: Turn) -> Solved:
    """A solution at least as good as the known one, whose bound stays."""
    known, nodes = turn.known, f.problem.facts.nodes
    many = len(nodes) >= MANY_NODES
    below = turn.below if many else None
    if len(nodes) < FEWEST_NODES or (known.outcome is Outcome.OPTIMAL and below is None):
        return known
    share = run.seconds(turn.name)
    end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
    if below is None:
        search = _Search(f, turn, known.solution)
        far = not maximizes(turn.name) and search.value > FAR * max(known.bound, 1)
        search.go_on(run, FEW if not many else DEAR if far else MANY, end)
        found = [search.solution]
    else:
        cheap = _Search(f, turn, turn.start or known.solution, below)
        cheap.go_on(run, CHEAP, end)
        dear = _Search(f, turn, known.solution)
        if cheap.value != known.bound:
            dear.go_on(run, DEAR, end)
        found = [cheap.solution, dear.solution]
    solution = max(found, key=lambda solution: _rank(turn, below, solution))
    outcome = Outcome.OPTIMAL if turn.goal.value(solution) == known.bound else known.outcome
    return Solved(outcome, solution, known.bound, known.work)


def _rank(turn: Turn, below: Linear | None, solution: Sequence[int]) -> tuple[int, int]:
    """The greater the better: by the goal, then by the one below."""
    value = turn.goal.value(solution)
    return value if maximizes(turn.name) else -value, 0 if below is None else -below.value(solution)


class _Search:
    """A solution that becomes better by the goal, and with the same goal by the one below."""

    def __init__(self, f: Formulation, turn: Turn, solution: tuple[int, ...], below: Linear | None = None) -> None:
        self._f = f
        self._turn = turn
        self._below = below
        self.solution = solution
        self._objective = turn.goal * (-1 if maximizes(turn.name) else 1)
        if below is not None:
            # Enough that little is given up for the one below; `_rank` decides.
            self._objective = self._objective * (abs(below.value(solution)) + 1) + below

    @property
    def value(self) -> int:
        """Of the goal."""
        return self._turn.goal.value(self.solution)

    def go_on(self, run: Run, manner: Manner, end: float) -> None:
        """Tries neighbourhoods until the bound is met, nothing is gained, or only `end` is left on the clock."""
        turn = self._turn
        dice = random.Random(0)  # noqa: S311  # an order, no secret
        packages = _packages(self._f.problem.facts)
        part = turn.effort * run.budget.scale
        work, stale = 0.0, 0
        for number in range(round(ROUNDS * part)):
            left = run.budget.remaining()
            if self.value == turn.known.bound or stale == manner.stale or work >= ALL_WORK * WORK[turn.name] * part:
                break
            if left is not None and left <= end:
                break
            run.tell(turn.name, self.value, turn.known.bound)
            grown = stale // manner.grows
            size, whole = manner.sizes[number % len(manner.sizes)]
            around = _around(dice, packages, size + 2 * grown, whole=whole)
            before = self.value
            work += self._try_nodes(around, manner, grown, None if left is None else left - end)
            stale = 0 if self.value != before else stale + 1

    def _try_nodes(self, around: frozenset[NodeId], manner: Manner, grown: int, seconds: float | None) -> float:
        """Plans what lies on these nodes anew; the work that it took."""
        found = self._f.model.solve(
            self._objective,
            maximize=False,
            work=manner.work * (1 + grown),
            seconds=seconds,
            hint=dict(enumerate(self.solution)),
            fixed=_elsewhere(self._f, self.solution, around),
            aim=manner.aim,
        )
        if found.solution:
            pair = (found.solution, self.solution)
            self.solution = max(pair, key=lambda solution: _rank(self._turn, self._below, solution))
        return found.work


def _packages(facts: HostFacts) -> list[tuple[NodeId, ...]]:
    """The nodes of each package, in order."""
    together: dict[frozenset[PackageId], list[NodeId]] = defaultdict(list)
    for node in facts.nodes:
        together[facts.packages(node)].append(node)
    return [tuple(nodes) for nodes in together.values()]


def _around(
    dice: random.Random, packages: Sequence[tuple[NodeId, ...]], size: int, *, whole: bool
) -> frozenset[NodeId]:
    """About `size` nodes, but not nearly all."""
    nodes = [node for package in packages for node in package]
    most = min(size, len(nodes) * 2 // 3)
    if not whole or len(packages) < FEWEST_PACKAGES:
        return frozenset(dice.sample(nodes, most))
    found: list[NodeId] = []
    for package in dice.sample(packages, len(packages)):
        if len(found) < most:
            found.extend(package)
    return frozenset(found)


def _elsewhere(f: Formulation, solution: Sequence[int], around: frozenset[NodeId]) -> dict[int, int]:
    """How many go each way that does not stay inside `around`."""
    return {
        count.terms[0][0]: count.value(solution)
        for u in range(len(f.units))
        for option, count in f.options(u)
        if not around.issuperset(option.nodes)
    }
