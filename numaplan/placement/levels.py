"""Solves one level after the other on a model, with what each reached held for those below it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from numaplan.model.plan import MAXIMIZED, LevelName, Limit
from numaplan.placement.clock import UNLIMITED, Remaining
from numaplan.placement.cpsat import ZERO, Aim, Linear, Outcome, Solved, is_any_better
from numaplan.placement.formulation import Formulation

# CP-SAT's deterministic time that each level may take at each grain; some two seconds each on a quiet machine.
WORK: Final[Mapping[LevelName, float]] = {
    LevelName.PRIORITY: 4,
    LevelName.CROSS_NODE_COST: 3,
    LevelName.LLC_SPANS: 1,
    LevelName.FREE_NODES: 1,
    LevelName.FREE_LLCS: 1,
    LevelName.FREE_CORES: 1,
    LevelName.MOVES: 1,
    LevelName.TIES: 0.2,
}

# Less than this is gone before the solver has looked at a model: what is known is as good then, and told at once.
FUTILE_WORK: Final = 0.003

# The part of what is left of a wall-clock limit that one step of a level may take; less where it is not named.
SHARE: Final[Mapping[LevelName, float]] = {LevelName.PRIORITY: 0.3, LevelName.CROSS_NODE_COST: 0.4}

# From so many nodes on, the level below is out of the solver's reach unless it starts from a good solution.
MANY_NODES: Final = 9

# No more than so many times its bound is near it.
NEAR: Final = 1.05


class Among(Enum):
    """What the solver looks for: any plan, one that is better than the known one, or that is near the bound too.

    The fewer there are, the more of the model falls away before the search: so it mostly proves sooner that there is
    nothing better, where it never would beside the plan that it has; and finds what is near the bound from nowhere.
    """

    ALL = "all"
    BETTER = "better"
    NEAR = "near"


class Step(NamedTuple):
    """What the solver does for a level at a time, with a part of the level's work."""

    part: float
    aim: Aim
    among: Among = Among.ALL


class Own(Enum):
    """A search of our own between the steps of the solver."""

    NONE = "none"
    BRIEF = "brief"
    FULL = "full"


class Round(NamedTuple):
    """Some steps of the solver, each from where the one before it ended, and then a search of our own."""

    steps: tuple[Step, ...]
    own: Own = Own.NONE


Rounds = Sequence[Round]
WHOLE: Final = Step(1.0, Aim.BOTH)
ALONE: Final[Rounds] = (Round((WHOLE,)),)

# What is done for a level where there is a search of our own, until something is proven. On few nodes priorities mostly
# are proven soon or not at all, but some by the core alone; and the least cost is mostly found near its bound or by our
# own search, where the solver looks for it long. That nothing costs less is proven sooner as a question of its own.
FIRST: Final = Round((Step(0.3, Aim.BOTH),), Own.FULL)
LAST: Final = Round((Step(0.7, Aim.BOTH),))
LOWER: Final[Rounds] = (FIRST, Round((Step(0.7, Aim.LEAN_PROOF),)))
UPPER_ON_MANY: Final[Mapping[LevelName, Rounds]] = {
    LevelName.PRIORITY: (FIRST, LAST),
    LevelName.CROSS_NODE_COST: (FIRST, Round((Step(0.7, Aim.PROOF),))),
}
UPPER_ON_FEW: Final[Mapping[LevelName, Rounds]] = {
    LevelName.PRIORITY: (
        Round((Step(0.09, Aim.BOTH),), Own.BRIEF),
        Round((Step(0.12, Aim.CORE), Step(0.21, Aim.BOTH)), Own.FULL),
        LAST,
    ),
    LevelName.CROSS_NODE_COST: (
        Round((Step(0.05, Aim.BOTH), Step(0.1, Aim.BOTH, Among.NEAR), Step(0.1, Aim.BOTH, Among.NEAR)), Own.BRIEF),
        Round((Step(0.1, Aim.ANY, Among.BETTER),), Own.FULL),
        Round((Step(0.6, Aim.ANY, Among.BETTER), Step(0.7, Aim.BOTH))),
    ),
}

# The part of its work that one of the lower levels gets where one above it is not proven: so it cannot be either.
UNPROVABLE: Final = 0.3
UPPER: Final = frozenset({LevelName.PRIORITY, LevelName.CROSS_NODE_COST})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is: the level at hand, the best value there and its bound (None: not known yet)."""

    level: LevelName
    value: int | None
    bound: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a search may go on.

    `scale` multiplies WORK; `remaining` gives what is left of a wall-clock limit in seconds, None without one.
    `report` is told now and then how far the search is.
    """

    scale: float = 1.0
    remaining: Remaining = UNLIMITED
    report: Callable[[Progress], None] | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """What is known of a level: no plan does better than `bound`; `proven` that the plan reaches it."""

    name: LevelName
    value: int
    bound: int
    proven: bool


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the levels ended: one Bound a level, as far as the model knows; no `solution` where none was found."""

    outcome: Outcome
    solution: tuple[int, ...] = ()
    bounds: tuple[Bound, ...] = ()


Goals = Sequence[tuple[LevelName, Linear]]

# What nothing can beat at a level, where the levels before it reached these; None: not known.
Best = Callable[[LevelName, Sequence[Bound]], int | None]


@dataclass(frozen=True, slots=True)
class Turn:
    """A level that a search of our own is to better: `known` is what the solver found with its part of the work.

    Where it had none yet, its outcome is UNKNOWN. `below`, the smaller the better, settles between equals. A brief one
    is to find what is soon found.
    """

    name: LevelName
    goal: Linear
    known: Solved
    below: Linear | None
    effort: float
    is_brief: bool = False


# A search of our own between two turns of the solver.
Improve = Callable[["Run", Formulation, Turn], Solved]


class Run:
    """One search: its budget, and which limit was met."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.limit = Limit.NONE

    def levels(
        self,
        f: Formulation,
        goals: Goals,
        *,
        solution: tuple[int, ...],
        best: Best = lambda _name, _bounds: None,
        effort: float = 1.0,
        improve: "Improve | None" = None,
        begun: Sequence[Bound] = (),
    ) -> Reached:
        """Optimises `goals` one after the other with `effort` times the work that is theirs.

        `improve` has its turns between the solver's, and one before these where there is a bound already.
        From a `solution` on something is always found, though the clock has run out.
        `begun`: what `solution` reached of the first levels, the last of them perhaps after its first steps alone.
        """
        bounds: list[Bound] = []
        few = len(f.problem.facts.nodes) < MANY_NODES
        for i, (name, goal) in enumerate(goals):
            there = begun[i] if i < len(begun) else None
            if there is not None and there.proven:
                bounds.append(there)
                hold(f, name, goal, there.value)
                continue
            doubt = name not in UPPER and not all(bound.proven for bound in bounds)
            most = effort * UNPROVABLE if doubt else effort
            known, below = best(name, bounds), _below(goals, i)
            if improve is not None and known is not None and solution:
                untold = Solved(Outcome.UNKNOWN, solution, known, 0.0)
                solution = improve(self, f, Turn(name, goal, untold, below, most)).solution
            rounds = ALONE if improve is None else (UPPER_ON_FEW if few else UPPER_ON_MANY).get(name, LOWER)
            result = Solved(Outcome.UNKNOWN, solution, _limit(f, name, goal, known), 0.0)
            if there is not None:
                result = Solved(Outcome.FEASIBLE, solution, there.bound, 0.0)
                rounds = (Round((), rounds[0].own), *rounds[1:])
            for number, (steps, own) in enumerate(rounds):
                # Where the first steps have not raised a bound that was known before them, longer ones hardly do.
                if number > 0 and result.bound == known and steps[0].aim in (Aim.PROOF, Aim.LEAN_PROOF):
                    break
                result = self._in_steps(f, goal, name, steps, start=result, effort=most)
                if not result.solution:
                    return Reached(result.outcome)
                if improve is not None and own is not Own.NONE:
                    result = improve(self, f, Turn(name, goal, result, below, most, is_brief=own is Own.BRIEF))
                if result.outcome is Outcome.OPTIMAL:
                    break
            solution = result.solution
            value = goal.value(solution)
            bounds.append(Bound(name, value, result.bound, result.outcome is Outcome.OPTIMAL))
            hold(f, name, goal, value)
        return Reached(Outcome.FEASIBLE, solution, tuple(bounds))

    def _in_steps(
        self, f: Formulation, goal: Linear, name: LevelName, steps: Sequence[Step], *, start: Solved, effort: float
    ) -> Solved:
        """Optimises one level in `steps`, each from where the one before it ended, until something is proven."""
        result, tried = start, None
        for step in steps:
            beyond = to_beat(step.among, name, goal, result)
            # Near a bound that was not raised the same would be looked for in vain again.
            if step.among is not Among.ALL and beyond in (None, tried):
                continue
            tried = beyond
            result = self.solve(
                f,
                goal,
                name,
                solution=result.solution,
                best=result.bound,
                effort=effort,
                step=step,
                beyond=beyond,
            )
            if result.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE):
                break
        return result

    def solve(
        self,
        f: Formulation,
        goal: Linear,
        name: LevelName,
        *,
        solution: Sequence[int] = (),
        best: int | None = None,
        effort: float = 1.0,
        step: Step = WHOLE,
        beyond: int | None = None,
    ) -> Solved:
        """Optimises one level with the step's part of its share of a wall-clock limit and of `effort` times its work.

        Only what is better than `beyond` is looked for. No work is done where `solution` reaches what nothing can beat.
        """
        limit = _limit(f, name, goal, best)
        if solution and goal.value(solution) == limit:
            return Solved(Outcome.OPTIMAL, tuple(solution), limit, 0.0)
        known = Solved(Outcome.FEASIBLE if solution else Outcome.UNKNOWN, tuple(solution), limit, 0.0)
        seconds = self.seconds(name, step.part)
        if seconds is not None and seconds <= 0:
            self.limit = Limit.WALL
            return known
        self.tell(name, goal.value(solution) if solution else None, limit)
        work = WORK[name] * self.budget.scale * effort * step.part
        if solution and work < FUTILE_WORK:
            self.limit = Limit.WORK
            return known
        result = f.model.solve(
            goal,
            maximize=maximizes(name),
            work=work,
            seconds=seconds,
            # What is far from where it looks only leads it astray.
            hint={} if step.among is Among.NEAR else dict(enumerate(solution)),
            tick=lambda: self.tell(name, goal.value(solution) if solution else None, limit),
            aim=step.aim,
            beyond=beyond,
        )
        is_answered = result.outcome is Outcome.FEASIBLE and is_any_better(step.aim, beyond)
        if result.outcome in (Outcome.FEASIBLE, Outcome.UNKNOWN) and not is_answered:
            # The clock ended it where deterministic work is left over.
            self.limit = Limit.WALL if seconds is not None and result.work < work else Limit.WORK
        if result.outcome is Outcome.INFEASIBLE and beyond is None:
            return result
        return sharpened(result, known, goal, maximize=maximizes(name))

    def seconds(self, name: LevelName, part: float = 1.0) -> float | None:
        """What one step of a level may take of what is left on the clock: what it does not use is there for others."""
        seconds = self.budget.remaining()
        return None if seconds is None else seconds * SHARE.get(name, 0.15) * part

    def start(self, f: Formulation, hint: Mapping[int, int]) -> tuple[int, ...]:
        """Any solution, whatever the clock says."""
        return f.model.solve(ZERO, maximize=False, work=WORK[LevelName.PRIORITY], hint=hint).solution

    def tell(self, name: LevelName, value: int | None, bound: int | None) -> None:
        """Reports how far the search is."""
        if self.budget.report is not None:
            self.budget.report(Progress(name, value, bound))


def to_beat(among: Among, name: LevelName, goal: Linear, known: Solved) -> int | None:
    """What a plan is to be better than; None: no such thing, or not known."""
    worth = goal.value(known.solution) if known.solution else None
    if among is Among.NEAR and not maximizes(name):
        near = round(known.bound * NEAR) + 1
        return near if worth is None else min(near, worth)
    return worth if among is Among.BETTER else None


def _limit(f: Formulation, name: LevelName, goal: Linear, best: int | None) -> int:
    """What no plan beats at a level: what the variables' bounds allow, or `best` where that is known."""
    limit = f.model.upper(goal) if maximizes(name) else f.model.lower(goal)
    if best is None:
        return limit
    return min(limit, best) if maximizes(name) else max(limit, best)


def _below(goals: Goals, i: int) -> Linear | None:
    """What the next level wants to be small, where that is worth a thought at level `i`."""
    if i + 1 == len(goals) or goals[i + 1][0] not in UPPER:
        return None
    name, goal = goals[i + 1]
    return goal * -1 if maximizes(name) else goal


def sharpened(result: Solved, known: Solved, goal: Linear, *, maximize: bool) -> Solved:
    """The better of two solutions, if there is one, with the better of two bounds."""
    better, tighter = (max, min) if maximize else (min, max)
    bound = tighter(result.bound, known.bound)
    found = [each for each in (known, result) if each.solution]
    if not found:
        return Solved(Outcome.UNKNOWN, (), bound, result.work)
    value = better(goal.value(each.solution) for each in found)
    # Of equals the one that was known: it may be the better one for the level below.
    best = next(each for each in found if goal.value(each.solution) == value)
    outcome = Outcome.OPTIMAL if value == bound else found[-1].outcome
    return Solved(outcome, best.solution, bound, result.work)


def hold(f: Formulation, name: LevelName, goal: Linear, value: int) -> None:
    """Demands that no level below gives up what this one reached."""
    if maximizes(name):
        f.model.at_least(goal, value)
    else:
        f.model.at_most(goal, value)


def maximizes(name: LevelName) -> bool:
    """Whether more is better at a level."""
    return name in MAXIMIZED or name is LevelName.TIES
