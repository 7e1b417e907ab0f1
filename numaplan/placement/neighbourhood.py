"""Betters a coarse solution on a large host: a few nodes at a time are planned anew, all others held.

The order of the neighbourhoods comes from a fixed seed and each has its work, so the same input gives the same answer.
"""

import random
from collections.abc import Sequence
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.cpsat import Linear, Outcome, Solved
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import Run, maximizes

# CP-SAT's deterministic time for one neighbourhood, how many nodes it has, how many are tried, and how many in vain.
ROUND_WORK: Final = 0.1
NODES: Final = 5
ROUNDS: Final = 160
STALE: Final = 60
# Fewer nodes than this are no matter for neighbourhoods: the model as a whole does.
FEWEST_NODES: Final = 4


def improve(run: Run, f: Formulation, name: str, goal: Linear, known: Solved, effort: float) -> Solved:
    """A solution at least as good as `known`, whose bound stays."""
    nodes = f.problem.facts.nodes
    if len(nodes) < FEWEST_NODES:
        return known
    dice = random.Random(0)  # noqa: S311  # an order, no secret
    solution, value = known.solution, goal.value(known.solution)
    share = run.seconds(name)
    end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
    stale = 0
    for _ in range(round(ROUNDS * effort * run.budget.scale)):
        left = run.budget.remaining()
        if value == known.bound or stale == STALE or (left is not None and left <= end):
            break
        run.tell(name, value, known.bound)
        around = frozenset(dice.sample(nodes, min(NODES, len(nodes) // 2)))
        found = f.model.solve(
            goal,
            maximize=maximizes(name),
            work=ROUND_WORK,
            seconds=None if left is None else left - end,
            hint=dict(enumerate(solution)),
            fixed=_elsewhere(f, solution, around),
        )
        if found.solution:
            solution = _better(goal, solution, found.solution, maximize=maximizes(name))
        stale = stale + 1 if goal.value(solution) == value else 0
        value = goal.value(solution)
    outcome = Outcome.OPTIMAL if value == known.bound else known.outcome
    return Solved(outcome, solution, known.bound, known.work)


def _better(goal: Linear, old: tuple[int, ...], new: tuple[int, ...], *, maximize: bool) -> tuple[int, ...]:
    return max((old, new), key=lambda solution: goal.value(solution) * (1 if maximize else -1))


def _elsewhere(f: Formulation, solution: Sequence[int], around: frozenset[NodeId]) -> dict[int, int]:
    """How many go each way that does not stay inside `around`."""
    return {
        count.terms[0][0]: count.value(solution)
        for u in range(len(f.units))
        for option, count in f.options(u)
        if not around.issuperset(option.nodes)
    }
