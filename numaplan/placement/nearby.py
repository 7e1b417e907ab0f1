"""More guests beside those of a solution: a few nodes at a time are planned anew, all others held."""

import random
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.plan import LevelName
from numaplan.placement.clock import Remaining
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Aim, Linear, Outcome, Solved, total
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans, size
from numaplan.placement.joined import Joined
from numaplan.placement.levels import Budget, Run, Turn
from numaplan.placement.lies import Lies, as_they_lie, completed, lies_in
from numaplan.placement.neighbourhood import FEWEST_NODES, MANY, Search, elsewhere
from numaplan.placement.problem import Problem

# When so often in vain room was made on a node, it is another one's turn.
_TRIES: Final = 8
# So often in all, with no more than this of CP-SAT's deterministic time.
_ROUNDS: Final = 200
_MOST_WORK: Final = 2.0
# More than the hundredths of a node that guests can take: to place more comes first.
_FIRST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Emptying:
    """How room is made: how many `nodes` may take what is on another, and CP-SAT's deterministic time for each try."""

    nodes: int
    work: float


# Short looks find what a long one does not, the shortest ones on many nodes, unless CPUs and pages are scarce at once.
THOROUGH: Final = Emptying(3, 0.1)
STEADY: Final = Emptying(3, 0.05)
BRISK: Final = Emptying(4, 0.015)


class Neighbour:
    """The plan that was found last, near which those of problems much like its own are soon found.

    Only on some nodes: on fewer the whole model is soon solved.
    """

    def __init__(self, budget: Budget, lies: Lies | None = None) -> None:
        self._budget = budget
        self.lies: Lies = lies or {}
        self._asked: tuple[Joined, Emptying] | None = None
        self._nearby: Nearby | None = None

    @property
    def is_known(self) -> bool:
        """Whether a plan was found yet; else one is looked for near a greedy one."""
        return bool(self.lies)

    def learn(self, joint: Joined, lies: Lies) -> bool:
        """Whether there is a plan of a joint problem, which was looked for otherwise: where its guests lie, or {}."""
        self.lies = joint.lies_apart(lies) if lies else self.lies
        return bool(lies)

    def has_all(self, joint: Joined, emptying: Emptying, rounds: int) -> bool:
        """Whether all required guests find a place near it by making room so often; False: not known.

        Asked again of the same problem, it goes on where it stopped; by another way to make room it begins anew.
        """
        if self._asked is None or self._asked[0] is not joint or self._asked[1] != emptying:
            self._asked = joint, emptying
            self._nearby = Nearby.of(joint.problem, joint.lies_together(self.lies), self._budget.remaining)
        if self._nearby is None or not self._nearby.make_room(self._budget, emptying, rounds):
            return False
        self.learn(joint, self._nearby.lies())
        return True


class Nearby:
    """A search near a plan for one in which all required guests have a place.

    Each of its ways to go on gives how many guests then go each way of the coarse model, {} while not all have a place.
    """

    @classmethod
    def of(cls, problem: Problem, known: Lies, remaining: Remaining) -> "Nearby | None":
        """Near where guests lie in `known`, or else, where that is {}, in a greedy plan.

        None where there is nothing to be searched: on few nodes, and where not even a part is known of a plan.
        """
        if len(problem.facts.nodes) < FEWEST_NODES or not any(guests.request.required for guests in problem.classes):
            return None
        nearby = cls(problem, known, remaining)
        return nearby if nearby.solution else None

    def __init__(self, problem: Problem, known: Lies, remaining: Remaining) -> None:
        self._f = f = formulate(problem, coarse_units(problem), fine=False, without="required")
        for u, unit in enumerate(f.units):
            f.model.at_most(f.placed(u), unit.count)
        # By size: so none is put in the place of fewer larger ones, which would find no other.
        sizes = [size(unit) if unit.guest.required else 0 for unit in f.units]
        self._placed = total(f.placed(u) * each for u, each in enumerate(sizes))
        self._most = sum(unit.count * each for unit, each in zip(f.units, sizes, strict=True))
        self._dice = random.Random(0)  # noqa: S311  # an order, no secret
        ways = as_they_lie(f, known) if known else greedy_plans(f, remaining)[0]
        self.solution = completed(f, self._placed, ways)

    def lies(self) -> Lies:
        """Where those that have a place lie in `solution`."""
        return lies_in(self._f, self.solution)

    @property
    def _value(self) -> int:
        return self._placed.value(self.solution)

    def _ways(self) -> dict[int, int]:
        if self._value < self._most:
            return {}
        return {var: self.solution[var] for ways in self._f.choice for count in ways.values() for var, _ in count.terms}

    def place_more(self, budget: Budget, *, stale: int) -> dict[int, int]:
        """Plans a few nodes at a time anew for more guests, until so many searches fail."""
        self.solution = more_placed(self._f, self._placed, self._most, self.solution, stale=stale, budget=budget)
        return self._ways()

    def make_room(self, budget: Budget, emptying: Emptying = THOROUGH, rounds: int = _ROUNDS) -> dict[int, int]:
        """Empties one node after the other as far as others can take what is on it.

        On a host that is nearly full, what is left lies scattered where none of those without a place can use it.
        """
        nodes = self._f.problem.facts.nodes
        taken = {node: _taken(self._f, node) for node in nodes}
        emptied, tries, work = self._dice.choice(nodes), 0, _MOST_WORK
        for _ in range(rounds):
            seconds = budget.remaining()
            if self._value >= self._most or work <= 0 or (seconds is not None and seconds <= 0):
                break
            if tries == _TRIES:
                emptied, tries = self._dice.choice(nodes), 0
            others = [node for node in nodes if node != emptied]
            beside = self._dice.sample(others, min(emptying.nodes, len(others)))
            found = self._f.model.solve(
                self._placed * _FIRST - taken[emptied],
                maximize=True,
                work=emptying.work,
                seconds=seconds,
                hint=dict(enumerate(self.solution)),
                fixed=elsewhere(self._f, self.solution, frozenset([emptied, *beside])),
                aim=Aim.ANSWER,
            )
            work -= found.work
            gained = self._placed.value(found.solution) - self._value if found.solution else -1
            tries = 0 if gained > 0 else tries + 1
            if gained >= 0:
                self.solution = found.solution
        return self._ways()


def more_placed(
    f: Formulation,
    placed: Linear,
    most: int,
    solution: tuple[int, ...],
    *,
    stale: int,
    around: frozenset[NodeId] = frozenset(),
    budget: Budget | None = None,
) -> tuple[int, ...]:
    """A solution with at least as many `placed`, up to `most`: as many as are found until `stale` searches fail.

    All of them plan the nodes of `around` anew, and others.
    """
    # What is placed counts like priority does.
    turn = Turn(LevelName.PRIORITY, placed, Solved(Outcome.FEASIBLE, solution, most, 0.0), None, 1.0)
    manner = replace(MANY, stale=stale)
    return Search(f, turn, always=around).go_on(Run(budget or Budget()), manner, 0.0)


def _taken(f: Formulation, node: NodeId) -> Linear:
    """What guests take of a node, in hundredths of its CPUs and of its memory."""
    facts = f.problem.facts
    cpus = sum(kind.cpus for kind in f.problem.core_kinds if kind.node == node)
    parts = []
    for u, k, cell in f.cells():
        memory = max((facts.capacity_kib.get((node, size), 0) for size in cell.page_sizes_kib), default=0)
        of_cpus = cell.cpus(facts.threads) / max(1, cpus)
        of_memory = cell.memory_kib / max(cell.memory_kib, memory, 1)
        parts.append(f.on(u, k, node) * round(100 * (of_cpus + of_memory)))
    return total(parts)
