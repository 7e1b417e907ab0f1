"""A first plan in counts for the levels to begin with: a greedy one, what can be had of it, or one near it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from numaplan.placement.clock import UNLIMITED, Remaining
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Aim, Linear, Outcome, Solved
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.levels import Budget
from numaplan.placement.lies import Lies, completed, lies_in
from numaplan.placement.nearby import Nearby
from numaplan.placement.problem import Problem

# CP-SAT's deterministic time to complete a plan of which the ways are known.
FIRST_WORK: Final = 0.1

# After so many searches in vain near a greedy plan, a plan with all required guests is looked for in other ways.
STALE: Final = 25

# CP-SAT's deterministic time each time that it is looked for anywhere, in another order: how soon one is found is
# mostly luck. After each, room is made for those that have no place yet.
ANYWHERE: Final = (0.6, 0.6, 3.0)


def greedy_plan(f: Formulation, cost: Linear, remaining: Remaining) -> tuple[int, ...]:
    """The best of the greedy plans that the model does not refuse, its devices and memory as near as they can be."""
    found = (_with_ways(f, cost, ways) for ways in greedy_plans(f, remaining))
    return next(filter(None, found), ())


def plain_plan(problem: Problem) -> Lies:
    """Where guests lie if one after the other finds a place; {} where not all do so."""
    f = formulate(problem, coarse_units(problem), fine=False)
    for start in greedy_plans(f, UNLIMITED):
        taken = [{o: n for o, var in ways.items() if (n := start[var.terms[0][0]])} for ways in f.choice]
        if any(sum(ways.values()) < unit.count for unit, ways in zip(f.units, taken, strict=True)):
            continue
        # A model of the ways that are taken is small, be there thousands of others.
        units = [replace(unit, options=tuple(ways)) for unit, ways in zip(f.units, taken, strict=True)]
        narrow = formulate(problem, units, fine=False)
        fixed = {var.terms[0][0]: taken[u][o] for u, ways in enumerate(narrow.choice) for o, var in ways.items()}
        if solution := narrow.model.solve(ZERO, maximize=False, work=FIRST_WORK, fixed=fixed).solution:
            return lies_in(narrow, solution)
    return {}


def part_of_greedy_plan(f: Formulation, placed: Linear, remaining: Remaining) -> tuple[int, ...]:
    """Where the model refuses all greedy plans: some of those that the best one places, if that is all required."""
    ways = greedy_plans(f, remaining)[0]
    # That nobody is placed is allowed at least.
    return completed(f, placed, ways, hint=dict.fromkeys(ways, 0))


def plan_of_required(problem: Problem, f: Formulation, cost: Linear, budget: Budget) -> tuple[int, ...]:
    """Where no greedy plan has all required guests: one near the best of them that has, or any."""
    asked = _anywhere(f, budget, FIRST_WORK, 0)
    if asked.outcome is Outcome.INFEASIBLE:
        return ()
    nearby = Nearby.of(problem, {}, budget.remaining)
    apart = replace(budget, scale=1.0, report=None)
    ways = {} if nearby is None else nearby.place_more(apart, stale=STALE)
    for order, work in enumerate(ANYWHERE, 1):
        if ways or asked.outcome is not Outcome.UNKNOWN:
            break
        asked = _anywhere(f, budget, work, order)
        if nearby is not None and asked.outcome is Outcome.UNKNOWN:
            ways = nearby.make_room(apart)
    return (_with_ways(f, cost, ways) if ways else ()) or asked.solution


def _anywhere(f: Formulation, budget: Budget, work: float, order: int) -> Solved:
    """Any solution at all."""
    seconds = budget.remaining()
    if seconds is not None and seconds <= 0:
        return Solved(Outcome.UNKNOWN, (), 0, 0.0)
    return f.model.solve(ZERO, maximize=False, work=work, seconds=seconds, aim=Aim.ANY, order=order)


def _with_ways(f: Formulation, cost: Linear, ways: Mapping[int, int]) -> tuple[int, ...]:
    """The best solution in which so many guests go each way, () where the model refuses that."""
    return f.model.solve(cost, maximize=False, work=FIRST_WORK, fixed=ways).solution
