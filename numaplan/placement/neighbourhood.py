"""Betters a coarse solution on a large host: a few nodes at a time are planned anew, all others held.

On many nodes two such neighbourhoods are solved at a time, on a core each where there are two. Their order comes from a
fixed seed, each has its work, and what they find is taken over in that order: so the same input gives the same answer.
"""

import random
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.host import NodeId, PackageId
from numaplan.placement.cpsat import Aim, Linear, Model, Outcome, Solved, Solving
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation
from numaplan.placement.greedy import size
from numaplan.placement.levels import MANY_NODES, WORK, Run, Turn, maximizes

# How many neighbourhoods are tried.
ROUNDS: Final = 160
# Fewer nodes than this are no matter for neighbourhoods: the model as a whole does.
FEWEST_NODES: Final = 4
# So often nodes are drawn, until some are found that were not shown to hold nothing better.
DRAWS: Final = 20
# A value of so many times its bound is far from it: any nodes gain there, and it takes long.
FAR: Final = 3
# Of units without a place so many are looked at each time: with hundreds of them nothing is found in a short look.
MOST_WAITING: Final = 100
# So many packages leave a choice of some.
FEWEST_PACKAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Manner:
    """How neighbourhoods are chosen and solved.

    `sizes`: how many nodes, in turn, and whether of whole packages, in which cells and VFs mostly stay. `work` is
    CP-SAT's deterministic time for one. After `stale` in vain there are no more, after every `grows` each is larger;
    where the two are the same, none ever is. `most` is the most work for all of them, in parts of what the solver has
    for the level. `at_once` are solved at a time, on one core as on many, since the answer must not depend on these:
    on few nodes they would mostly collide.
    """

    sizes: tuple[tuple[int, bool], ...]
    work: float
    stale: int
    grows: int
    aim: Aim
    most: float = 5.0
    at_once: int = 2


SIZES: Final = ((4, True), (6, True), (6, False))
FEW: Final = Manner(SIZES, work=0.15, stale=30, grows=20, aim=Aim.ANSWER, at_once=1)
FEW_BRIEF: Final = replace(FEW, work=0.03, stale=8)
MANY: Final = Manner(SIZES, work=0.08, stale=60, grows=20, aim=Aim.ANSWER)
# Where every guest can be placed it is soon found out, and cheaply; else the goal needs the freedom to pay any cost.
CHEAP: Final = Manner(SIZES, work=0.08, stale=20, grows=20, aim=Aim.ANSWER)
DEAR: Final = Manner(((5, False),), work=0.1, stale=60, grows=60, aim=Aim.BOTH)


def improve(run: Run, f: Formulation, turn: Turn) -> Solved:
    """A solution at least as good as the known one, whose bound stays.

    On many nodes the level below is out of the solver's reach unless it starts from a good solution: so before the
    solver's turn, one is looked for that is good at both.
    """
    known, nodes = turn.known, f.problem.facts.nodes
    many, fresh = len(nodes) >= MANY_NODES, known.outcome is Outcome.UNKNOWN
    below = turn.below if many and fresh else None
    if len(nodes) < FEWEST_NODES or known.outcome is Outcome.OPTIMAL or (fresh and below is None):
        return known
    share = run.seconds(turn.name)
    end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
    manner = CHEAP if fresh else _manner(turn, many=many)
    solution = Search(f, turn, below).go_on(run, manner, end)
    outcome = Outcome.OPTIMAL if turn.goal.value(solution) == known.bound else known.outcome
    return Solved(outcome, solution, known.bound, known.work)


def _manner(turn: Turn, *, many: bool) -> Manner:
    if not many:
        return FEW_BRIEF if turn.is_brief else FEW
    return DEAR if is_far(turn) or turn.below is not None else MANY


def is_far(turn: Turn) -> bool:
    """Whether the known value is far above its bound."""
    return not maximizes(turn.name) and turn.goal.value(turn.known.solution) > FAR * max(turn.known.bound, 1)


def _rank(turn: Turn, below: Linear | None, solution: Sequence[int]) -> tuple[int, int]:
    """The greater the better: by the goal, then by the one below."""
    value = turn.goal.value(solution)
    return value if maximizes(turn.name) else -value, 0 if below is None else -below.value(solution)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A neighbourhood under way: the nodes `around` are planned anew, all others are held as they were `before`.

    `whole`: with all guests that have no place.
    """

    around: frozenset[NodeId]
    whole: bool
    before: tuple[int, ...]
    solving: Solving


class Search:
    """A solution that becomes better by the goal, and with the same goal by the one below.

    `model` is the formulation's, or that with more in it; `told` is what is reported instead of the goal's value. The
    neighbourhoods of another `order` are others; the nodes of `always` are in each.
    `work` is what it has taken, in CP-SAT's deterministic time.
    """

    def __init__(
        self,
        f: Formulation,
        turn: Turn,
        below: Linear | None = None,
        *,
        model: Model | None = None,
        told: int | None = None,
        order: int = 0,
        always: frozenset[NodeId] = frozenset(),
    ) -> None:
        self._f = f
        self._turn = turn
        self._below = below
        self._model = f.model if model is None else model
        self._told = told
        self._always = always
        self._dice = random.Random(order)  # noqa: S311  # an order, no secret
        # What each that may be left out is worth for its size.
        self._optional = {
            u: unit.guest.priority / size(unit) for u, unit in enumerate(f.units) if not unit.guest.required
        }
        self._solution = solution = turn.known.solution
        # Neighbourhoods in which nothing betters this solution, nor in any part of them.
        self._best_of: list[frozenset[NodeId]] = []
        self._trials: deque[_Trial] = deque()
        # How many in a row brought the goal nothing.
        self._stale = 0
        self.work = 0.0
        self._objective = turn.goal * (-1 if maximizes(turn.name) else 1)
        if below is not None:
            # Enough that little is given up for the one below; `_rank` decides.
            self._objective = self._objective * (abs(below.value(solution)) + 1) + below

    @property
    def _value(self) -> int:
        return self._turn.goal.value(self._solution)

    @property
    def _is_best(self) -> bool:
        return self._value == self._turn.known.bound

    def go_on(self, run: Run, manner: Manner, end: float) -> tuple[int, ...]:
        """What is found until the bound is met, nothing is gained, or only `end` is left on the clock; once."""
        turn = self._turn
        packages = _packages(self._f.problem.facts)
        part = turn.effort * run.budget.scale
        most = manner.most * WORK[turn.name] * part
        try:
            for number in range(round(ROUNDS * part)):
                self._make_room(manner)
                left = run.budget.remaining()
                if self._is_best or self._stale >= manner.stale or self.work >= most:
                    break
                if left is not None and left <= end:
                    break
                run.tell(turn.name, self._value if self._told is None else self._told, turn.known.bound)
                grown = self._stale // manner.grows
                size, whole = manner.sizes[number % len(manner.sizes)]
                around = self._untried(packages, size + 2 * grown, whole=whole)
                if around is None:
                    self._stale += 1
                else:
                    self._try_nodes(around, manner, grown, None if left is None else left - end)
            while self._trials and not self._is_best:
                self._take_first()
        finally:
            for trial in self._trials:
                trial.solving.stop()
        return self._solution

    def _make_room(self, manner: Manner) -> None:
        """Waits until another neighbourhood may be tried beside those that are."""
        while self._trials and len(self._trials) >= min(manner.at_once, manner.stale - self._stale):
            self._take_first()

    def _try_nodes(self, around: frozenset[NodeId], manner: Manner, grown: int, seconds: float | None) -> None:
        """Begins to plan anew what lies on these nodes."""
        passed_over = self._passed_over()
        solving = self._model.solving(
            self._objective,
            maximize=False,
            work=manner.work * (1 + grown),
            seconds=seconds,
            hint=dict(enumerate(self._solution)),
            fixed=elsewhere(self._f, self._solution, around) | passed_over,
            aim=manner.aim,
        )
        self._trials.append(_Trial(around, not passed_over, self._solution, solving))
        solving.start()

    def _take_first(self) -> None:
        """Waits for the neighbourhood that was begun first, and takes over what was found there if it is better."""
        trial, value = self._trials[0], self._value
        found = trial.solving.wait()
        self._trials.popleft()
        self.work += found.work
        fresh = trial.before is self._solution
        # What was found from an older solution may collide with what became of it meanwhile: the better one stays.
        if found.solution and self._rank(found.solution) > self._rank(self._solution):
            self._solution = found.solution
            self._best_of.clear()
        if found.outcome is Outcome.OPTIMAL and fresh and trial.whole:
            self._best_of.append(trial.around)
        self._stale = 0 if self._value != value else self._stale + 1

    def _passed_over(self) -> dict[int, int]:
        """The ways of guests without a place that get none this time: those worth less for their size, or by chance."""
        ways = {u: [var for count in self._f.choice[u].values() for var, _ in count.terms] for u in self._optional}
        waiting = [u for u, own in ways.items() if not any(self._solution[var] for var in own)]
        if len(waiting) <= MOST_WAITING:
            return {}
        luck = {u: self._optional[u] * self._dice.uniform(0.5, 1.5) for u in waiting}
        last = sorted(waiting, key=lambda u: -luck[u])[MOST_WAITING:]
        return {var: 0 for u in last for var in ways[u]}

    def _rank(self, solution: Sequence[int]) -> tuple[int, int]:
        return _rank(self._turn, self._below, solution)

    def _untried(self, packages: Sequence[tuple[NodeId, ...]], size: int, *, whole: bool) -> frozenset[NodeId] | None:
        """Nodes that may hold something better; None where they are not soon found."""
        known = self._best_of + [trial.around for trial in self._trials]
        for _ in range(DRAWS):
            around = _around(self._dice, packages, size, whole=whole) | self._always
            if not any(around <= nodes for nodes in known):
                return around
        return None


def _packages(facts: HostFacts) -> list[tuple[NodeId, ...]]:
    """The nodes of each package, in order."""
    together: dict[frozenset[PackageId], list[NodeId]] = defaultdict(list)
    for node in facts.nodes:
        together[facts.packages_of[node]].append(node)
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


def elsewhere(f: Formulation, solution: Sequence[int], around: frozenset[NodeId]) -> dict[int, int]:
    """How many go each way that does not stay inside `around`, and what they use of the other nodes.

    What guests in there may take from afar stays open: devices, and memory that need not be of the cell's own node.
    """
    held = [count for u in range(len(f.units)) for option, count in f.options(u) if not around.issuperset(option.nodes)]
    for i, use in f.kind_use.items():
        if f.problem.core_kinds[i].node not in around:
            held += (use.isolated, use.whole, *(count for _, count in use.patterns))
    for key, flows in f.memory_flows.items():
        if len(key.places) == 1 and key.places[0][0] not in around:
            held += flows.values()
    return {var: solution[var] for x in held for var, _ in x.terms}
