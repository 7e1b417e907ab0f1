"""What some vms add to the cross-node cost of the best plan of a case.

Others may have a place in it only because these vms lie as they do, so that it is compared with the best plan of the
very guests that it places beside them.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.objective import cross_node_cost, priority
from numaplan.placement.problem import Problem


@dataclass(frozen=True, slots=True)
class _Best:
    """A plan: its cost, and of each guest that it places the number of its option. `proven`: none is better."""

    cost: int
    ways: Mapping[str, int]
    proven: bool


def added_cost(problem: Problem, vms: Collection[str], *, work: float, seconds: Callable[[], float | None]) -> int:
    """What guests of `vms` add to the best plan that is found; the most that they could where none is.

    Each of a few searches may take `work`, CP-SAT's deterministic time, and `seconds`.
    """
    best = _best(problem, work, seconds)
    named = {guest.name for guests in problem.classes for guest in guests.members if guest.vm in vms}
    others = problem.only(best.ways.keys() - named)
    f = formulate(others, coarse_units(others), fine=False)
    cost = cross_node_cost(f)
    there = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), fixed=_fixed(f, best.ways))
    if not best.ways or not there.solution:
        alone = problem.only(named)
        f = formulate(alone, coarse_units(alone), fine=False)
        return f.model.upper(cross_node_cost(f))
    least = cost.value(there.solution)
    if best.proven:
        # Others may have made room. In a plan that is not the best they may also lie apart for no reason.
        hint = dict(enumerate(there.solution))
        found = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), hint=hint)
        least = min(least, cost.value(found.solution)) if found.solution else least
    return best.cost - least


def _best(problem: Problem, work: float, seconds: Callable[[], float | None]) -> _Best:
    """The plan of the highest priority that is found, and of those the one of the least cost."""
    f = formulate(problem, coarse_units(problem), fine=False)
    cost, worth = cross_node_cost(f), priority(f)
    hint, proven = {}, True
    if any(not guests.request.required for guests in problem.classes):
        most = f.model.solve(worth, maximize=True, work=work, seconds=seconds())
        proven = most.outcome is Outcome.OPTIMAL
        if most.solution:
            f.model.at_least(worth, worth.value(most.solution))
            hint = dict(enumerate(most.solution))
    found = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), hint=hint)
    if not found.solution:
        return _Best(0, {}, proven=False)
    ways: dict[str, int] = {}
    for unit, choice in zip(f.units, f.choice, strict=True):
        taken = [o for o, count in choice.items() for _ in range(count.value(found.solution))]
        ways.update(zip(unit.names, taken, strict=False))
    return _Best(cost.value(found.solution), ways, proven=proven and found.outcome is Outcome.OPTIMAL)


def _fixed(f: Formulation, ways: Mapping[str, int]) -> dict[int, int]:
    """Everybody goes these ways."""
    fixed = {count.terms[0][0]: 0 for choice in f.choice for count in choice.values()}
    for unit, choice in zip(f.units, f.choice, strict=True):
        for name in unit.names:
            fixed[choice[ways[name]].terms[0][0]] += 1
    return fixed
