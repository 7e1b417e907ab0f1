"""More guests beside those of a solution: a few nodes at a time are planned anew, all others held."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Linear, Outcome, Solved, total
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.levels import Budget, Run, Turn
from numaplan.placement.neighbourhood import FEWEST_NODES, MANY, Search
from numaplan.placement.problem import Problem
from numaplan.placement.start import size, starts

# CP-SAT's deterministic time to complete what is known of a solution.
_START_WORK: Final = 0.3


def all_required(problem: Problem, budget: Budget, *, stale: int) -> dict[int, int]:
    """How many guests go each way of the coarse model so that all required ones have a place; {} where not soon found.

    {} on few nodes too: there the whole model is soon solved.
    """
    if len(problem.facts.nodes) < FEWEST_NODES or not any(guests.request.required for guests in problem.classes):
        return {}
    f = formulate(problem, coarse_units(problem), fine=False, without="required")
    for u, unit in enumerate(f.units):
        f.model.at_most(f.placed(u), unit.count)
    # By size: so none is put in the place of fewer larger ones, which would find no other.
    sizes = [size(unit) if unit.guest.required else 0 for unit in f.units]
    placed = total(f.placed(u) * each for u, each in enumerate(sizes))
    most = sum(unit.count * each for unit, each in zip(f.units, sizes, strict=True))
    first = completed(f, placed, starts(f)[0])
    solution = more_placed(f, placed, most, first, stale=stale, budget=budget) if first else ()
    if not solution or placed.value(solution) < most:
        return {}
    return {var: solution[var] for ways in f.choice for count in ways.values() for var, _ in count.terms}


def completed(
    f: Formulation, placed: Linear, start: Mapping[int, int], *, hint: Mapping[int, int] | None = None
) -> tuple[int, ...]:
    """A solution in which no more guests go each way than in `start`, as many `placed` as can be; () if not soon found.

    The search begins at `hint`, or at `start` itself. That may be wrong, as a greedy plan may be.
    """
    within = f.model.copy()
    for var, count in start.items():
        within.at_most(Linear(((var, 1),)), count)
    return within.solve(placed, maximize=True, work=_START_WORK, hint=start if hint is None else hint).solution


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
    turn = Turn("priority", placed, Solved(Outcome.FEASIBLE, solution, most, 0.0), None, 1.0)
    manner = replace(MANY, stale=stale)
    return Search(f, turn, always=around).go_on(Run(budget or Budget()), manner, 0.0)
