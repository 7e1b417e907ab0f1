"""Whether guests can all be placed, asked again and again of problems that are much like each other."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from numaplan.placement.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.conflict.counted import cannot_be_filled, is_exceeded
from numaplan.placement.cpsat import Outcome
from numaplan.placement.filling.fillings import MOST_LUMPS, Filling, Load, fill, placed_so
from numaplan.placement.filling.weighing import Scales
from numaplan.placement.first import plain_plan
from numaplan.placement.joined import Joined, joined
from numaplan.placement.levels import MANY_NODES
from numaplan.placement.nearby import BRISK, STEADY, Emptying, Neighbour
from numaplan.placement.problem import Problem
from numaplan.placement.search import Budget, some_plan

# Most answers need no more.
GLANCE: Final = Budget(scale=0.004)

# Nodes are filled with no more different lumps than these sooner than anything else is found.
QUICK_LUMPS: Final = 20

# Near a plan that is known most are found after few looks. Where a glance was what refused the last one, it comes after
# so many: until one more is found by further looks.
FIRST_LOOKS: Final = 3

# When so many questions in a row were not answered by counting and nothing else may be tried, none is asked any more.
MAX_SILENT: Final = 20

# After filling the nodes so often with the largest guests alone, and learning nothing, that is not tried again.
MAX_VAIN: Final = 10

# So often in a row nodes are filled, blind to links and devices, without a plan for it.
MAX_BLIND: Final = 5

_ANSWERS: Final = {Outcome.INFEASIBLE: False, Outcome.FEASIBLE: True, Outcome.OPTIMAL: True}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one question is searched for an answer, and after how many without one only counting is asked.

    `few` and `many`: how often room is made near a plan that is known, around a glance (on many nodes) and at last.
    `at_last`: how it is made then, if not in the way that is best for most plans. All searches together may have `work`
    (class, way to lie, VFs wanted) triples; counting is free.
    """

    step: Budget
    few: int
    many: int
    at_last: Emptying | None = None
    unknown: int = sys.maxsize
    work: int = sys.maxsize


# A proof that guests do not fit is easy or hopeless; a long search for a smaller conflict helps nobody.
FOR_A_CONFLICT: Final = Patience(Budget(scale=0.02), few=12, many=100, unknown=2, work=200_000)


class Judge:
    """Whether guests can all be placed: by counting, then by search as long as its patience lasts.

    Where no time is `remaining`, nothing is known. `known`: a plan near which others may be found.
    """

    def __init__(self, patience: Patience, remaining: Remaining = UNLIMITED, known: Neighbour | None = None) -> None:
        self._patience = patience
        self._remaining = remaining
        self._known = known or Neighbour(Budget(remaining=remaining))
        self._work = 0
        self._unknown = 0
        self._silent = 0
        self._lumps = MOST_LUMPS
        self._vain = 0
        self._blind = 0
        self._scales = Scales()
        self._first = patience.few

    def afresh(self) -> "Judge":
        """A judge with all its patience that knows the plan that this one has found, and where to look first."""
        judge = Judge(self._patience, self._remaining, self._known)
        judge._first = self._first
        return judge

    def can(self, problem: Problem | Callable[[], Problem]) -> bool | None:
        """Whether all guests of `problem`, or of the one that it makes, can be placed; None: not known."""
        may_search = self._work <= self._patience.work and self._unknown < self._patience.unknown
        if is_over(self._remaining) or (not may_search and self._silent >= MAX_SILENT):
            return None
        joint = joined(problem if isinstance(problem, Problem) else problem())
        compact = joint.problem
        filling, load = self._fill(compact), Load.of(compact)
        if filling.outcome is Outcome.INFEASIBLE or self._scales.refuses(load):
            self._silent = 0
            return False
        self._silent += 1
        if filling.lumps:
            # There are hardly fewer ways to fill a node with as many other ones.
            self._lumps = min(self._lumps, filling.lumps - 1)
        answer = self._glanced(joint, filling, load) if may_search else self._weighed(joint, load)
        if answer is None and self._is_counted_out(compact, filling):
            answer = False
        if answer is False and len(compact.facts.nodes) >= MANY_NODES and not self._scales.refuses(load):
            # What refused this mostly refuses the next one too, sooner than a search.
            self._scales.weigh(load)
        if answer is None and may_search:
            answer = self._searched(joint, self._patience.step)
            if answer is None and self._is_near(joint, self._patience.many, self._patience.at_last):
                answer = True
            self._unknown += answer is None
        self._silent = 0 if answer is False else self._silent
        return answer

    def _fill(self, compact: Problem) -> Filling:
        """A way to fill the nodes; INFEASIBLE where any count refuses the guests."""
        return Filling(Outcome.INFEASIBLE) if is_exceeded(compact) else fill(compact, whole=self._lumps)

    def _weighed(self, joint: Joined, load: Load) -> bool | None:
        """False where weights prove it; True where guests find their devices too as the nodes are filled for them."""
        if self._blind >= MAX_BLIND:
            return None
        filling = self._scales.fill(load)
        if filling.outcome is Outcome.INFEASIBLE:
            return False
        is_placed = bool(filling.slots) and self._known.learn(joint, placed_so(joint.problem, filling))
        self._blind = 0 if is_placed else self._blind + bool(filling.slots)
        return is_placed or None

    def _glanced(self, joint: Joined, filling: Filling, load: Load) -> bool | None:
        """What is seen without a long search, as most answers are."""
        compact = joint.problem
        self._work += 1 + sum(len(guests.options) * (1 + len(guests.devices)) for guests in compact.classes)
        if compact.is_vast:
            return True if self._known.learn(joint, plain_plan(compact)) else self._weighed(joint, load)
        if filling.slots and self._known.learn(joint, placed_so(compact, filling)):
            return True
        # On many nodes even a glance takes longer than to fill them with few different lumps, or than a few looks near
        # a plan; on few nodes a short search takes less.
        many = len(compact.facts.nodes) >= MANY_NODES
        is_quick = many and len(load.wanted) <= QUICK_LUMPS
        answer = self._weighed(joint, load) if is_quick else None
        first = min(self._first, self._patience.few) if many and self._known.is_known else 0
        if answer is None and first and self._is_near(joint, first):
            return True
        answer = self._searched(joint, GLANCE) if answer is None else answer
        # Where guests are tied to each other by the hundreds, a glance does not even take all of that in. Where they
        # nearly fill many nodes, one plan is soon found near another that has most of them.
        if answer is None and self._known.learn(joint, plain_plan(compact)):
            return True
        if answer is False:
            self._first = FIRST_LOOKS
        more = self._patience.few - first if many else 0
        if answer is None and more and self._is_near(joint, more):
            self._first = self._patience.few
            return True
        return self._weighed(joint, load) if answer is None and not is_quick else answer

    def _is_near(self, joint: Joined, rounds: int, emptying: Emptying | None = None) -> bool:
        """Whether room is made for all near a plan; not where each of these many looks would take long."""
        if joint.problem.is_vast:
            return False
        many = len(joint.problem.facts.nodes) >= MANY_NODES
        return self._known.has_all(joint, emptying or (BRISK if many else STEADY), rounds)

    def _searched(self, joint: Joined, budget: Budget) -> bool | None:
        outcome, lies = some_plan(joint.problem, replace(budget, remaining=self._remaining))
        self._known.learn(joint, lies)
        return _ANSWERS.get(outcome)

    def _is_counted_out(self, compact: Problem, filling: Filling) -> bool:
        """Whether the largest guests alone cannot fill the nodes, where there were too many ways for all of them.

        That takes longer than a glance, and says less.
        """
        if filling.slots or self._vain >= MAX_VAIN:
            return False
        refused = cannot_be_filled(compact)
        self._vain += not refused
        return refused
