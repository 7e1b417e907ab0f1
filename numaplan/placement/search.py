"""Decides on counts, level by level: each level is optimised with the ones before it held at what they reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.plan import LEVELS, MAXIMIZED, Limit
from numaplan.placement import objective
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Linear, Outcome, Solved, total
from numaplan.placement.formulation import Formulation, coarse_units, fine_units
from numaplan.placement.problem import Problem

# CP-SAT's deterministic time that each level may take; about a second each on a quiet machine.
WORK: Final[Mapping[str, float]] = {
    "priority": 10,
    "cross_node_cost": 10,
    "llc_spans": 5,
    "free_nodes": 2,
    "free_llcs": 2,
    "free_cores": 2,
    "moves": 2,
    "page_size": 1,
}

# A joint fine model has about so many cell-and-region pairs at most; beyond it nodes are fixed first.
JOINT_LIMIT: Final = 1_500


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search may go on.

    `scale` multiplies WORK; `remaining` gives what is left of a wall-clock limit in seconds, None without one.
    """

    scale: float = 1.0
    remaining: Callable[[], float | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Bound:
    """What is known of a level: no plan does better than `bound`; `proven` that the plan reaches it."""

    name: str
    value: int
    bound: int
    proven: bool


@dataclass(frozen=True, slots=True)
class Searched:
    """`formulation` and `solution` are the fine ones; both are None unless a plan was found.

    `outcome` is INFEASIBLE only where that is proven.
    """

    outcome: Outcome
    limit: Limit
    formulation: Formulation | None = None
    solution: tuple[int, ...] = ()
    bounds: tuple[Bound, ...] = ()


def search(problem: Problem, budget: Budget) -> Searched:
    """The best plan in counts that the budget allows, with what is proven of it."""
    run = _Run(budget)
    coarse = formulate(problem, coarse_units(problem), fine=False)
    goals = (("priority", objective.priority(coarse)), ("cross_node_cost", objective.cross_node_cost(coarse)))
    most = sum(unit.count * unit.guests.request.priority for unit in coarse.units)
    upper = run.levels(coarse, goals, hint={}, best={"priority": most})
    if upper.outcome is Outcome.INFEASIBLE and problem.truncated:
        return Searched(Outcome.UNKNOWN, Limit.WORK)
    if not upper.solution:
        return Searched(upper.outcome, run.limit)
    lower = _search_fine(problem, run, coarse, upper=upper)
    if not lower.solution or lower.formulation is None:
        return Searched(Outcome.UNKNOWN, run.limit)
    bounds = _chain(upper.bounds + lower.bounds, proven=not problem.truncated)
    outcome = Outcome.OPTIMAL if all(bound.proven for bound in bounds) else Outcome.FEASIBLE
    return Searched(outcome, run.limit, lower.formulation, lower.solution, bounds)


def feasible(problem: Problem, budget: Budget, *, without: str | None = None) -> Outcome:
    """Whether any plan places every required guest, `without` one constraint: FEASIBLE, INFEASIBLE or UNKNOWN."""
    run = _Run(budget)
    f = formulate(problem, coarse_units(problem), fine=False, without=without)
    outcome = run.solve(f, ZERO, "priority").outcome
    if outcome is Outcome.OPTIMAL:
        return Outcome.FEASIBLE
    return Outcome.UNKNOWN if outcome is Outcome.INFEASIBLE and problem.truncated else outcome


@dataclass(frozen=True, slots=True)
class _Levels:
    outcome: Outcome
    solution: tuple[int, ...]
    bounds: tuple[Bound, ...]
    formulation: Formulation


Goals = Sequence[tuple[str, Linear]]


class _Run:
    """One search: its budget, and which limit was met."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.limit = Limit.NONE

    def levels(
        self, f: Formulation, goals: Goals, *, hint: Mapping[int, int], best: Mapping[str, int], insist: bool = False
    ) -> _Levels:
        """Optimises `goals` one after the other; `best` names values that no solution can beat.

        `insist` on some solution, though the clock has run out: what earlier levels found must not be lost.
        """
        solution = self._start(f, hint) if insist else ()
        bounds: list[Bound] = []
        for name, goal in goals:
            result = self.solve(f, goal, name, solution=solution, hint=hint, best=best.get(name))
            if not result.solution:
                return _Levels(result.outcome, (), (), f)
            solution = result.solution
            value = goal.value(solution)
            bounds.append(Bound(name, value, result.bound, result.outcome is Outcome.OPTIMAL))
            if _maximizes(name):
                f.model.at_least(goal, value)
            else:
                f.model.at_most(goal, value)
        return _Levels(Outcome.FEASIBLE, solution, tuple(bounds), f)

    def solve(
        self,
        f: Formulation,
        goal: Linear,
        name: str,
        *,
        solution: Sequence[int] = (),
        hint: Mapping[int, int] | None = None,
        best: int | None = None,
    ) -> Solved:
        """Optimises one level; not even that where `solution` reaches what nothing can beat."""
        limit = f.model.upper(goal) if _maximizes(name) else f.model.lower(goal)
        if best is not None:
            limit = min(limit, best) if _maximizes(name) else max(limit, best)
        if solution and goal.value(solution) == limit:
            return Solved(Outcome.OPTIMAL, tuple(solution), limit, 0.0)
        known = Solved(Outcome.FEASIBLE if solution else Outcome.UNKNOWN, tuple(solution), limit, 0.0)
        seconds = self.budget.remaining()
        if seconds is not None and seconds <= 0:
            self.limit = Limit.WALL
            return known
        if seconds is not None:
            # What one level does not use is there for the next; what it may use must not be all.
            seconds /= 2
        work = WORK[name] * self.budget.scale
        start = dict(enumerate(solution)) if solution else hint
        result = f.model.solve(goal, maximize=_maximizes(name), work=work, seconds=seconds, hint=start)
        if result.outcome in (Outcome.FEASIBLE, Outcome.UNKNOWN):
            # The clock ended it where deterministic work is left over.
            self.limit = Limit.WALL if seconds is not None and result.work < work else Limit.WORK
        if result.outcome is Outcome.UNKNOWN:
            return known
        if result.solution and goal.value(result.solution) == limit:
            return Solved(Outcome.OPTIMAL, result.solution, limit, result.work)
        return result

    def _start(self, f: Formulation, hint: Mapping[int, int]) -> tuple[int, ...]:
        """Any solution, whatever the clock says."""
        return f.model.solve(ZERO, maximize=False, work=WORK["llc_spans"], hint=hint).solution


def _search_fine(problem: Problem, run: _Run, coarse: Formulation, *, upper: _Levels) -> _Levels:
    """The lower levels: jointly where the model is small enough, else with every guest's nodes held."""
    chosen = _assign(coarse, upper.solution)
    held = {bound.name: bound.value for bound in upper.bounds}
    pairs = sum(
        len({region for region in _fine_regions(problem) if any(region[0] == o.nodes[k] for o in guests.options)})
        * len(guests.members)
        for guests in problem.classes
        for k in range(len(guests.cells))
    )
    if pairs <= JOINT_LIMIT:
        joint = formulate(problem, fine_units(problem), fine=True)
        _order_equals(joint)
        found = _lower_levels(run, joint, chosen=chosen, held=held)
        if found.solution:
            return found
    fixed = formulate(problem, fine_units(problem, chosen), fine=True)
    found = _lower_levels(run, fixed, chosen=chosen, held=held, insist=True)
    loosened = tuple(_loosened(fixed, bound) for bound in found.bounds)
    return _Levels(found.outcome, found.solution, loosened, fixed)


def _lower_levels(
    run: _Run,
    f: Formulation,
    *,
    chosen: Mapping[str, int | None],
    held: Mapping[str, int],
    insist: bool = False,
) -> _Levels:
    goals: Goals = (
        ("llc_spans", objective.llc_spans(f)),
        ("free_nodes", objective.free_nodes(f)),
        ("free_llcs", objective.free_llcs(f)),
        ("free_cores", objective.free_cores(f)),
        ("moves", objective.moves(f)),
        ("page_size", objective.page_size(f)),
    )
    f.model.at_least(objective.priority(f), held["priority"])
    f.model.at_most(objective.cross_node_cost(f), held["cross_node_cost"])
    hint = {
        count.terms[0][0]: int(chosen[unit.names[0]] == o)
        for u, unit in enumerate(f.units)
        for o, count in f.choice[u].items()
    }
    return run.levels(f, goals, hint=hint, best={"llc_spans": objective.fewest_spans(f)}, insist=insist)


def _loosened(f: Formulation, bound: Bound) -> Bound:
    """A bound that was found with nodes held says nothing of other nodes; what holds anyway is the simplest."""
    goal = {
        "free_nodes": len(f.problem.facts.nodes),
        "free_llcs": len(f.problem.facts.llcs),
        "free_cores": len(f.problem.facts.snapshot.cores),
        "llc_spans": objective.fewest_spans(f),
        "moves": 0,
    }
    anyway = goal.get(bound.name, bound.value)
    return Bound(bound.name, bound.value, anyway, bound.value == anyway)


def _chain(bounds: tuple[Bound, ...], *, proven: bool) -> tuple[Bound, ...]:
    """The levels of the objective; one is proven only where those before it are."""
    chained = []
    for bound in bounds:
        proven = proven and bound.proven
        chained.append(Bound(bound.name, bound.value, bound.bound, proven))
    return tuple(bound for bound in chained if bound.name in LEVELS)


def _assign(coarse: Formulation, solution: Sequence[int]) -> dict[str, int | None]:
    """The option of each guest, equal guests in the order of the request; None: not placed."""
    chosen: dict[str, int | None] = {}
    for u, unit in enumerate(coarse.units):
        ways: list[int | None] = []
        for o, count in sorted(coarse.choice[u].items()):
            ways += [o] * count.value(solution)
        ways += [None] * (unit.count - len(ways))
        chosen.update(zip(unit.names, ways, strict=True))
    return chosen


def _order_equals(f: Formulation) -> None:
    """Equal guests take their options in order, so that no two solutions differ by names alone."""
    for u, (unit, following) in enumerate(zip(f.units, f.units[1:], strict=False)):
        if unit.number == following.number:
            f.model.at_most(_rank(f, u) - _rank(f, u + 1), 0)


def _rank(f: Formulation, u: int) -> Linear:
    last = len(f.units[u].guests.options)
    ranks = total(count * (o - last) for o, count in f.choice[u].items())
    return ranks + last


def _fine_regions(problem: Problem) -> set[tuple[int, int | None]]:
    return {(kind.node, kind.llc) for kind in problem.core_kinds}


def _maximizes(name: str) -> bool:
    return name in MAXIMIZED or name == "page_size"
