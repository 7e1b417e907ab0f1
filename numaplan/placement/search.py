"""Decides on counts, level by level: each level is optimised with the ones before it held at what they reached.

The coarse model settles priority and cost, and bounds the levels below for any nodes. The fine one then goes through
these with every guest's nodes held, and once more with all free where that missed a bound and the model is small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.plan import LEVELS, LevelName, Limit
from numaplan.placement import objective
from numaplan.placement.bounds import Relaxation, best_anyway, relaxed_levels
from numaplan.placement.clock import is_over
from numaplan.placement.conflict.counted import is_counted_out
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import UNBOUNDED, ZERO, Aim, Linear, Outcome, Solved, total
from numaplan.placement.first import greedy_plan, part_of_greedy_plan, plan_of_required
from numaplan.placement.formulation import Formulation, coarse_units, fine_units
from numaplan.placement.joined import Joined, joined
from numaplan.placement.levels import (
    MANY_NODES,
    WORK,
    Among,
    Bound,
    Budget,
    Goals,
    Progress,
    Reached,
    Run,
    Step,
    maximizes,
    sharpened,
    to_beat,
)
from numaplan.placement.lies import Lies, lies_in
from numaplan.placement.neighbourhood import improve
from numaplan.placement.packing import counted_priority
from numaplan.placement.problem import Problem
from numaplan.placement.surplus import without_surplus
from numaplan.placement.symmetry import Symmetry

__all__ = ["Bound", "Budget", "Progress", "Searched", "feasible", "search"]

# A joint fine model has about so many cell-and-region pairs at most; beyond it nodes stay held.
JOINT_LIMIT: Final = 1_500

# The parts of the priority's work to look for both upper levels at once: anywhere, and near the bound that this tells.
AT_ONCE: Final = 0.025
NEARBY: Final = 0.075

# To ask for all guests instead of the best of them, no more than this part of their classes must be left by it.
JOINED: Final = 0.75

# Whether there is a plan at all is worth more work than the best of priorities is.
FEASIBLE_EFFORT: Final = 2.5
ANY_PLAN: Final = Step(1.0, Aim.ANY)

# The part of its work that a level gets with nodes held where the joint model comes after.
FIRST_TRY: Final = 0.25


@dataclass(frozen=True, slots=True)
class Searched:
    """`formulation` and `solution` are the fine ones: None and empty unless a plan was found.

    `outcome` is INFEASIBLE only where that is proven.
    """

    outcome: Outcome
    limit: Limit
    formulation: Formulation | None = None
    solution: tuple[int, ...] = ()
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class _Coarse:
    """What the upper levels are settled on: the model of `joint`, in which guests stand for groups of `problem`."""

    problem: Problem
    joint: Joined
    f: Formulation
    goals: Goals

    @classmethod
    def of(cls, problem: Problem, joint: Joined) -> "_Coarse":
        """The model and what it is optimised for."""
        f = formulate(joint.problem, coarse_units(joint.problem), fine=False)
        return cls(
            problem,
            joint,
            f,
            ((LevelName.PRIORITY, counted_priority(f)), (LevelName.CROSS_NODE_COST, objective.cross_node_cost(f))),
        )

    @property
    def priority(self) -> Linear:
        """What all guests that are placed are worth."""
        return self.goals[0][1]

    @property
    def cost(self) -> Linear:
        """The cross-node cost."""
        return self.goals[1][1]


def search(problem: Problem, budget: Budget) -> Searched:
    """The best plan in counts that the budget allows, with what is proven of it."""
    run = Run(budget)
    asked, problem = problem, without_surplus(problem)
    settled = _Coarse.of(problem, joined(problem))
    first = greedy_plan(settled.f, settled.cost, budget.remaining)
    if not first and _is_hopeless(problem):
        return Searched(Outcome.INFEASIBLE, Limit.NONE)
    first = first or part_of_greedy_plan(settled.f, settled.priority, budget.remaining)
    everybody = None if is_over(budget.remaining) else _everybody(settled)
    if everybody is None:
        upper = _all_placed(run, settled, first)
    else:
        start = greedy_plan(everybody.f, everybody.cost, budget.remaining)
        upper = _all_placed(run, everybody, start)
        if start or upper.solution:
            settled, first = everybody, start
    problem, coarse = settled.problem, settled.f
    symmetry = Symmetry(run, coarse, dict(settled.goals))
    start = upper.solution or first or plan_of_required(settled.joint.problem, settled.f, settled.cost, budget)
    upper = run.levels(
        coarse, settled.goals, solution=start, best=symmetry.best, improve=symmetry.improve, begun=upper.bounds
    )
    if upper.outcome is Outcome.INFEASIBLE and asked.truncated:
        return Searched(Outcome.UNKNOWN, Limit.WORK)
    if not upper.solution:
        return Searched(upper.outcome, run.limit)
    # Where cost is not proven, no level below it can be: bounds there are of little use.
    effort = 1.0 if all(bound.proven for bound in upper.bounds) else FIRST_TRY
    solution, relaxation = upper.solution, Relaxation(problem, ())
    if not (_is_past_proof(problem) or is_over(budget.remaining)):
        # Only now: their variables would make the levels above them harder to prove.
        below = relaxed_levels(coarse)
        solution = coarse.model.widened(solution)
        relaxed = run.levels(coarse, below, solution=solution, effort=effort, improve=improve)
        solution, relaxation = relaxed.solution, Relaxation(problem, relaxed.bounds)
    held = {bound.name: bound.value for bound in upper.bounds}
    chosen = settled.joint.apart(_assign(coarse, solution))
    lower = _search_fine(problem, run, chosen, held=held, relaxation=relaxation, effort=effort)
    if not lower.solution:
        return Searched(Outcome.UNKNOWN, run.limit)
    bounds = _recounted(upper.bounds, lower) + lower.bounds
    bounds = _chain(_for_any_way(asked, bounds) if asked.truncated else bounds)
    outcome = Outcome.OPTIMAL if all(bound.proven for bound in bounds) else Outcome.FEASIBLE
    return Searched(outcome, run.limit, lower.formulation, lower.solution, bounds)


def _everybody(settled: _Coarse) -> _Coarse | None:
    """The same with all guests required, where that joins many of them; None where it does not.

    If all have a place, they have it in every plan that is best, as all are worth something; and guests that are
    joined are far easier to place.
    """
    members = [guest for guests in settled.problem.classes for guest in guests.members]
    if all(guest.required for guest in members) or not all(guest.required or guest.priority for guest in members):
        return None
    everybody = settled.problem.only({guest.name for guest in members})
    joint = joined(everybody)
    few = len(settled.joint.problem.classes) * JOINED
    return _Coarse.of(everybody, joint) if len(joint.problem.classes) <= few else None


def _all_placed(run: Run, settled: _Coarse, first: Sequence[int]) -> Reached:
    """A plan in which all guests find a place, if one is soon found, with what is known of the upper levels then.

    Asked before the levels come in turn, where the first plan has left somebody out: a plan that was sought for the
    priority alone is mostly far from the least cost, and finding it takes longer than both do at once.
    """
    f, ((upper, placed), (name, cost)) = settled.f, settled.goals
    most, seconds = f.model.upper(placed), run.seconds(upper, AT_ONCE)
    is_late = seconds is not None and seconds <= 0
    if is_late or len(f.problem.facts.nodes) >= MANY_NODES or (first and placed.value(first) == most):
        return Reached(Outcome.UNKNOWN)
    model = f.model.copy()
    model.at_least(placed, most)

    def solve(part: float, beyond: int | None) -> Solved:
        return model.solve(
            cost,
            maximize=False,
            work=WORK[upper] * run.budget.scale * part,
            seconds=run.seconds(upper, part),
            tick=lambda: run.tell(upper, placed.value(first) if first else None, most),
            beyond=beyond,
        )

    found = solve(AT_ONCE, None)
    if found.outcome in (Outcome.FEASIBLE, Outcome.UNKNOWN) and found.bound > -UNBOUNDED:
        # Mostly the first has a bound to tell and little more.
        closer = solve(NEARBY, to_beat(Among.NEAR, name, cost, found))
        found = sharpened(closer, found, cost, maximize=False)
    if not found.solution:
        return Reached(found.outcome)
    value, proven = cost.value(found.solution), found.outcome is Outcome.OPTIMAL
    reached = (Bound(upper, most, most, proven=True), Bound(name, value, found.bound, proven))
    for bound in reached:
        run.tell(bound.name, bound.value, bound.bound)
    return Reached(Outcome.FEASIBLE, found.solution, reached)


def _is_past_proof(problem: Problem) -> bool:
    """Whether the lower levels cannot be proven, and one look at a model of them takes seconds."""
    return problem.truncated and problem.is_vast


def _is_hopeless(problem: Problem) -> bool:
    """Whether counting proves at once what a search would look for in vain."""
    required = {guest.name for guests in problem.classes for guest in guests.members if guest.required}
    return bool(required) and is_counted_out(problem.only(required))


def feasible(problem: Problem, budget: Budget, *, without: str | None = None) -> Outcome:
    """Whether any plan places every required guest, `without` one constraint: FEASIBLE, INFEASIBLE or UNKNOWN."""
    return some_plan(problem, budget, without=without)[0]


def some_plan(problem: Problem, budget: Budget, *, without: str | None = None) -> tuple[Outcome, Lies]:
    """What `feasible` says, and where guests lie in the plan that was found, {} if none was."""
    run = Run(budget)
    f = formulate(problem, coarse_units(problem), fine=False, without=without)
    solved = run.solve(f, ZERO, LevelName.PRIORITY, effort=FEASIBLE_EFFORT, step=ANY_PLAN)
    if solved.outcome is Outcome.OPTIMAL:
        return Outcome.FEASIBLE, lies_in(f, solved.solution)
    return Outcome.UNKNOWN if solved.outcome is Outcome.INFEASIBLE and problem.truncated else solved.outcome, {}


@dataclass(frozen=True, slots=True)
class _Fine:
    """Where the fine levels ended on which model."""

    formulation: Formulation
    solution: tuple[int, ...] = ()
    bounds: tuple[Bound, ...] = ()


def _search_fine(
    problem: Problem,
    run: Run,
    chosen: Mapping[str, int | None],
    *,
    held: Mapping[LevelName, int],
    relaxation: Relaxation,
    effort: float,
) -> _Fine:
    """The lower levels, with every guest's nodes held at first."""
    small = _pairs(problem) <= JOINT_LIMIT and not _is_past_proof(problem)
    fixed = formulate(problem, fine_units(problem, chosen), fine=True)
    goals = _lower_goals(fixed, held)
    solution = run.start(fixed, _wanted(fixed, chosen))
    found = run.levels(fixed, goals, solution=solution, best=relaxation.best, effort=FIRST_TRY if small else 1.0)
    first = _Fine(fixed, found.solution, _loosened(found, relaxation))
    is_done = all(bound.proven for bound in first.bounds if bound.name in LEVELS)
    if not small or not solution or is_done or is_over(run.budget.remaining):
        return first
    joint = formulate(problem, fine_units(problem), fine=True)
    goals = _lower_goals(joint, held)
    _order_equals(joint)
    solution = _carried(first, joint, goals)
    if not solution:
        return first
    found = run.levels(joint, goals, solution=solution, best=relaxation.best, effort=effort)
    return _Fine(joint, found.solution, found.bounds)


def _pairs(problem: Problem) -> int:
    """How many pairs of a cell and a region there are."""
    regions = [(kind.node, kind.llc) for kind in problem.core_kinds]
    return sum(
        len({region for region in regions if any(region[0] == option.nodes[k] for option in guests.options)})
        * len(guests.members)
        for guests in problem.classes
        for k in range(len(guests.cells))
    )


def _lower_goals(f: Formulation, held: Mapping[LevelName, int]) -> Goals:
    """The lower levels on a fine model, the upper ones held."""
    goals = (
        (LevelName.LLC_SPANS, objective.llc_spans(f)),
        (LevelName.FREE_NODES, objective.free_nodes(f)),
        (LevelName.FREE_LLCS, objective.free_llcs(f)),
        (LevelName.FREE_CORES, objective.free_cores(f)),
        (LevelName.MOVES, objective.moves(f)),
        (LevelName.TIES, objective.tie_break(f)),
    )
    f.model.at_least(objective.priority(f), held[LevelName.PRIORITY])
    f.model.at_most(objective.cross_node_cost(f), held[LevelName.CROSS_NODE_COST])
    return goals


def _wanted(f: Formulation, chosen: Mapping[str, int | None]) -> dict[int, int]:
    """A hint that every guest goes the way chosen for it."""
    return {
        count.terms[0][0]: int(chosen[unit.names[0]] == o)
        for u, unit in enumerate(f.units)
        for o, count in f.choice[u].items()
    }


def _carried(found: _Fine, f: Formulation, goals: Goals) -> tuple[int, ...]:
    """A solution of another fine model of the same problem in this one, no worse at any level."""
    values = {name: x.value(found.solution) for name, x in _named(found.formulation)}
    fixed = {x.terms[0][0]: values.get(name, 0) for name, x in _named(f) if x.terms}
    # Who lies where is given, so what is left to choose are the switches of each level, which then do not compete.
    best = total(goal if maximizes(name) else goal * -1 for name, goal in goals)
    return f.model.solve(best, maximize=True, work=WORK[LevelName.LLC_SPANS], fixed=fixed).solution


def _named(f: Formulation) -> list[tuple[tuple[object, ...], Linear]]:
    """The variables by what they mean, which is the same in every fine model of a problem."""
    named: list[tuple[tuple[object, ...], Linear]] = []
    for u, unit in enumerate(f.units):
        named += [((unit.names, "choice", o), count) for o, count in f.choice[u].items()]
    named += [(("take", *key), x) for key, x in f.takes.items()]
    for i, use in f.kind_use.items():
        named += [(("isolated", i), use.isolated), (("whole", i), use.whole)]
        named += [(("opened", i, pattern), count) for pattern, count in use.patterns]
    named += [((key, place), flow) for key, flows in f.memory_flows.items() for place, flow in flows.items()]
    named += [((key, kind), flow) for key, flows in f.device_flows.items() for kind, flow in flows.items()]
    return named


def _loosened(found: Reached, relaxation: Relaxation) -> tuple[Bound, ...]:
    """Bounds that were found with nodes held say nothing of other nodes; the relaxation's do."""
    bounds: list[Bound] = []
    for bound in found.bounds:
        anyway = relaxation.best(bound.name, bounds)
        known = bound.bound if anyway is None else anyway
        bounds.append(Bound(bound.name, bound.value, known, bound.value == known))
    return tuple(bounds)


def _recounted(bounds: Sequence[Bound], found: _Fine) -> tuple[Bound, ...]:
    """The upper levels as the fine solution has them: it holds what they reached, and may do better unasked."""
    goals = {
        LevelName.PRIORITY: objective.priority(found.formulation),
        LevelName.CROSS_NODE_COST: objective.cross_node_cost(found.formulation),
    }
    values = [(bound, goals[bound.name].value(found.solution)) for bound in bounds]
    return tuple(Bound(bound.name, value, bound.bound, value == bound.bound) for bound, value in values)


def _for_any_way(problem: Problem, bounds: Sequence[Bound]) -> tuple[Bound, ...]:
    """What is known of the best if guests may also go those ways that were left out: hardly anything."""
    asked = sum(guest.priority for guests in problem.classes for guest in guests.members)
    known = [
        (bound, asked if bound.name is LevelName.PRIORITY else best_anyway(problem.facts, bound.name))
        for bound in bounds
    ]
    return tuple(Bound(bound.name, bound.value, best, bound.value == best) for bound, best in known)


def _chain(bounds: tuple[Bound, ...]) -> tuple[Bound, ...]:
    """The levels of the objective; one is proven only where those before it are."""
    chained, proven = [], True
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
