"""As many copies of a vm as find a place beside the other required guests."""

from dataclasses import replace
from typing import Final

from numaplan.placement.capacity.model import CopiesProblem, formulate_copies
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.conflict.judge import Judge, Patience
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Linear, Outcome, Solved, total
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.levels import MANY_NODES, Budget, sharpened
from numaplan.placement.lies import Lies, as_they_lie, completed
from numaplan.placement.nearby import STEADY, Neighbour, more_placed
from numaplan.placement.problem import Problem
from numaplan.placement.search import some_plan

# CP-SAT's deterministic time; about ten seconds on a quiet machine.
WORK: Final = 10.0
# That to place as many as counting allows.
_FIRST_WORK: Final = 0.3
# On many nodes, to prove soon that there are fewer.
_DOUBT_WORK: Final = 0.16
# After so many vain searches for more near a solution the whole model is asked, and after that has failed.
_BRIEF: Final = 12
_LONG: Final = 60

# On many nodes so many copies are asked for, then one less, and so on; after so many times without an answer, the most
# that can be had are looked for.
PATIENCE: Final = Patience(Budget(scale=0.02), few=20, many=40, at_last=STEADY)
_MOST_UNKNOWN: Final = 3

# Where copies and pages are scarce at once, this is enough for most answers, and takes some ten seconds for few.
ONE_MORE: Final = Budget(scale=1.0)


def most_copies(asked: CopiesProblem, most: int) -> tuple[Formulation, Linear, Solved]:
    """A model with copies, how many are placed, and a solution with as many as can be, if there is one.

    No more than `most` have a place, as is known already.
    """
    if len(asked.problem.facts.nodes) < MANY_NODES:
        return _of_whole_model(asked, most)
    if not asked.is_simple:
        return _of_neighbourhoods(asked, most)
    most, found = _counting_down(asked, most)
    return _counting_up(asked, found or _of_neighbourhoods(asked, most))


def _of_whole_model(asked: CopiesProblem, most: int) -> tuple[Formulation, Linear, Solved]:
    f, placed = formulate_copies(asked, most)
    all_placed = f.model.copy()
    all_placed.at_least(placed, most)
    hint = next(iter(greedy_plans(f, UNLIMITED)), {})
    found = all_placed.solve(ZERO, maximize=False, work=_FIRST_WORK, hint=hint)
    return f, placed, found if found.solution else f.model.solve(placed, maximize=True, work=WORK)


def _counting_down(asked: CopiesProblem, most: int) -> tuple[int, tuple[Formulation, Linear, Solved] | None]:
    """(no more than so many have a place, the most for which one is found); None where none is soon found."""
    known = Neighbour(Budget())
    judge = Judge(PATIENCE, known=known)
    best, fit, count, step = None, 0, most, 0
    unknown: set[int] = set()
    while fit < most and len(unknown) < _MOST_UNKNOWN:
        problem = asked.required(count)
        answer = judge.can(problem)
        found = _as_known(asked, problem, known.lies) if answer else None
        if found is not None:
            best, fit = found, count
        elif answer is False:
            # Then no more of them have one either.
            most = count - 1
            unknown = {other for other in unknown if other <= most}
            step = max(1, 2 * step)
        else:
            unknown.add(count)
        open_counts = [other for other in range(fit + 1, most + 1) if other not in unknown]
        if not open_counts:
            break
        # Above one that is found half of them are ruled out at a time; else it is soon far below what counting allows.
        count = open_counts[len(open_counts) // 2] if best else open_counts[-min(max(1, step), len(open_counts))]
    if best is None:
        return most, None
    f, placed, solution = best
    return most, (f, placed, Solved(Outcome.OPTIMAL if fit == most else Outcome.FEASIBLE, solution, most, 0.0))


def _counting_up(asked: CopiesProblem, found: tuple[Formulation, Linear, Solved]) -> tuple[Formulation, Linear, Solved]:
    """Whether one copy more than is found has a place, as a question of its own, until it has none or none is known."""
    f, placed, solved = found
    if solved.outcome is not Outcome.FEASIBLE:
        return found
    fit = placed.value(solved.solution)
    while fit < solved.bound:
        problem = asked.required(fit + 1)
        outcome, lies = some_plan(problem, ONE_MORE)
        more = _as_known(asked, problem, lies) if lies else None
        if outcome is Outcome.INFEASIBLE:
            return f, placed, replace(solved, outcome=Outcome.OPTIMAL, bound=fit)
        if more is None:
            break
        f, placed, solution = more
        fit = placed.value(solution)
        solved = replace(solved, solution=solution)
    return f, placed, solved if fit < solved.bound else replace(solved, outcome=Outcome.OPTIMAL)


def _as_known(asked: CopiesProblem, problem: Problem, lies: Lies) -> tuple[Formulation, Linear, tuple[int, ...]] | None:
    """The model of a problem, how many copies are placed, and the solution in which its guests lie so."""
    f = formulate(problem, coarse_units(problem), fine=False)
    placed = total(f.placed(u) for u, unit in enumerate(f.units) if unit.number == asked.number)
    solution = completed(f, placed, as_they_lie(f, lies))
    return (f, placed, solution) if solution else None


def _of_neighbourhoods(asked: CopiesProblem, most: int) -> tuple[Formulation, Linear, Solved]:
    f, placed = formulate_copies(asked, most)
    known = Solved(Outcome.UNKNOWN, completed(f, placed, next(iter(greedy_plans(f, UNLIMITED)), {})), most, 0.0)
    for stale, work in ((_BRIEF, _DOUBT_WORK), (_LONG, WORK)):
        solution = known.solution and more_placed(f, placed, known.bound, known.solution, stale=stale)
        if solution and placed.value(solution) == known.bound:
            return f, placed, Solved(Outcome.OPTIMAL, solution, known.bound, 0.0)
        result = f.model.solve(placed, maximize=True, work=work)
        if result.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE):
            return f, placed, result
        known = sharpened(result, Solved(Outcome.FEASIBLE, solution, known.bound, 0.0), placed, maximize=True)
    return f, placed, known
