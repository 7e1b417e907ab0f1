"""Betters a coarse solution on a large host: a few nodes at a time are planned anew, all others held.

The order of the neighbourhoods comes from a fixed seed and each has its work, so the same input gives the same answer.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from numaplan.model.host import NodeId, PackageId
from numaplan.placement.cpsat import Aim, Linear, Outcome, Solved
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import Run, Turn, maximizes

# How many neighbourhoods are tried; how many in vain, on hosts of few nodes, of many, and where only the goal counts
# but the rounds serve the level below too; after how many in vain each becomes larger; and CP-SAT's deterministic time.
ROUNDS: Final = 160
STALE_FEW: Final = 30
STALE_MANY: Final = 60
STALE_ABOVE: Final = 20
GROWS: Final = 20
WORK_FEW: Final = 0.15
WORK_MANY: Final = 0.08
# Fewer nodes than this are no matter for neighbourhoods: the model as a whole does.
FEWEST_NODES: Final = 4
# From so many nodes on, the level below is out of the solver's reach unless it starts from a good solution.
MANY_NODES: Final = 9
# So many packages leave a choice of some.
FEWEST_PACKAGES: Final = 4
# The nodes of a neighbourhood, in turn: of whole packages, as cells and VFs mostly stay in one, or any.
SIZES: Final = ((4, True), (6, True), (6, False))


def improve(run: Run, f: Formulation, turn: Turn) -> Solved:
    """A solution at least as good as the known one, whose bound stays."""
    known, nodes = turn.known, f.problem.facts.nodes
    many = len(nodes) >= MANY_NODES
    below = turn.below if many else None
    if len(nodes) < FEWEST_NODES or (known.outcome is Outcome.OPTIMAL and below is None):
        return known
    search = _Search(f, turn, below, work=WORK_MANY if many else WORK_FEW)
    dice = random.Random(0)  # noqa: S311  # an order, no secret
    packages = _packages(f.problem.facts)
    share = run.seconds(turn.name)
    end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
    most = STALE_ABOVE if below is not None else STALE_MANY if many else STALE_FEW
    stale = 0
    for number in range(round(ROUNDS * turn.effort * run.budget.scale)):
        left = run.budget.remaining()
        if search.value == known.bound or stale == most:
            break
        if left is not None and left <= end:
            break
        run.tell(turn.name, search.value, known.bound)
        grown = stale // GROWS
        around = _around(dice, packages, number, grown)
        better = search.try_nodes(around, None if left is None else left - end, 1 + grown)
        stale = 0 if better else stale + 1
    solution = max((known.solution, search.solution), key=search.rank)
    outcome = Outcome.OPTIMAL if turn.goal.value(solution) == known.bound else known.outcome
    return Solved(outcome, solution, known.bound, known.work)


class _Search:
    """The best solution so far, by the goal and then by the one below."""

    def __init__(self, f: Formulation, turn: Turn, below: Linear | None, *, work: float) -> None:
        self._f = f
        self._work = work
        self._goal, self._below = turn.goal, below
        self._sign = 1 if maximizes(turn.name) else -1
        self.solution = turn.known.solution if below is None else turn.start or turn.known.solution
        self._aim = turn.goal * -self._sign
        if below is not None:
            # Enough that nothing is given up for the one below; `rank` decides.
            self._aim = self._aim * (abs(below.value(self.solution)) + 1) + below

    @property
    def value(self) -> int:
        """Of the goal."""
        return self._goal.value(self.solution)

    def rank(self, solution: Sequence[int]) -> tuple[int, int]:
        """The greater the better."""
        return self._sign * self._goal.value(solution), 0 if self._below is None else -self._below.value(solution)

    def try_nodes(self, around: frozenset[NodeId], seconds: float | None, grown: int) -> bool:
        """Plans what lies on these nodes anew; whether the goal gained."""
        found = self._f.model.solve(
            self._aim,
            maximize=False,
            work=self._work * grown,
            seconds=seconds,
            hint=dict(enumerate(self.solution)),
            fixed=_elsewhere(self._f, self.solution, around),
            aim=Aim.ANSWER,
        )
        before = self.value
        if found.solution and self.rank(found.solution) >= self.rank(self.solution):
            self.solution = found.solution
        return self.value != before


def _packages(facts: HostFacts) -> list[tuple[NodeId, ...]]:
    """The nodes of each package, in order."""
    together: dict[frozenset[PackageId], list[NodeId]] = defaultdict(list)
    for node in facts.nodes:
        together[facts.packages(node)].append(node)
    return [tuple(nodes) for nodes in together.values()]


def _around(dice: random.Random, packages: Sequence[tuple[NodeId, ...]], number: int, grown: int) -> frozenset[NodeId]:
    """The nodes of the neighbourhood with that number."""
    nodes = [node for package in packages for node in package]
    size, whole = SIZES[number % len(SIZES)]
    most = min(size + 2 * grown, len(nodes) * 2 // 3)
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
