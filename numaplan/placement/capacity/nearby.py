"""More copies beside those of a solution, on a large host: a few nodes at a time are planned anew, all others held."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.cpsat import ZERO, Linear, Outcome, Solved
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import Budget, Run, Turn
from numaplan.placement.neighbourhood import MANY, Search

# CP-SAT's deterministic time to complete what is known of a solution.
_START_WORK: Final = 0.1
# A greedy plan may be wrong by some copies.
_RIGHT: Final = 0.9


def completed(f: Formulation, placed: Linear, start: Mapping[int, int]) -> tuple[int, ...]:
    """A solution near a hint in which all other guests have a place; () where there is none soon.

    It has nearly as many copies `placed` as the hint has.
    """
    known = placed.value([start.get(var, 0) for var in range(f.model.size)])
    for least in (known, int(known * _RIGHT)):
        model = f.model.copy()
        model.at_least(placed, least)
        solution = model.solve(ZERO, maximize=False, work=_START_WORK, hint=start).solution
        if solution:
            return solution
    return ()


def more_copies(
    f: Formulation,
    placed: Linear,
    most: int,
    solution: tuple[int, ...],
    *,
    stale: int,
    around: frozenset[NodeId] = frozenset(),
) -> tuple[int, ...]:
    """A solution with at least as many copies `placed`, up to `most`: as many as are found until `stale` searches fail.

    All of them plan the nodes of `around` anew, and others.
    """
    # Copies count like guests that have a priority of one each.
    turn = Turn("priority", placed, Solved(Outcome.FEASIBLE, solution, most, 0.0), None, 1.0)
    return Search(f, turn, always=around).go_on(Run(Budget()), replace(MANY, stale=stale), 0.0)
