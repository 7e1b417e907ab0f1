"""What a large host's symmetry tells: what no plan beats, before one is searched for, and what the best would look like.

The aggregate (aggregate.py) of the coarse model has few variables, so its best sums are soon found. Their value is a
bound. And they say how many guests of a class lie on nodes of a kind, and how: a plan with such sums is looked for a
few nodes at a time, each guest too many somewhere costing more than any plan. It begins with the best sums that are
nearest to the known plan's, for there may be many; where these lead nowhere, with those that were found first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.placement.aggregate import Aggregate, aggregate
from numaplan.placement.cpsat import UNBOUNDED, Linear, Outcome, Solved, total
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import WORK, Bound, Run, Turn, maximizes
from numaplan.placement.neighbourhood import MANY, MANY_NODES, ROUNDS, Manner, Search, improve

# The parts of a level's work for its best sums, and for the nearest of these to a plan's.
SUMS_PART: Final = 0.3
NEAR_PART: Final = 0.1
# What a guest too many is worth beside a plan's cost.
AWAY: Final = 1_000
TOWARDS: Final = replace(MANY, stale=40)
BRIEF: Final = replace(MANY, stale=20)
CLOSE: Final = 1.01


@dataclass(frozen=True, slots=True)
class _Sums:
    """The aggregate for a level, and its solution."""

    aggregate: Aggregate
    found: Solved


class Symmetry:
    """Bounds of the levels of coarse `f`, and plans that are nearer to them."""

    def __init__(self, run: Run, f: Formulation, goals: Mapping[str, Linear]) -> None:
        self._run = run
        self._f = f
        self._goals = goals
        self._most = sum(unit.count * unit.guests.request.priority for unit in f.units)
        self._sums: dict[str, _Sums] = {}
        self._choices = {count.terms[0][0] for choice in f.choice for count in choice.values()}

    def best(self, name: str, _above: Sequence[Bound]) -> int | None:
        """What no plan beats at a level, those above it being held; None where that is not known."""
        anyway = self._most if name == "priority" else None
        f, run, goal = self._f, self._run, self._goals[name]
        if len(f.problem.facts.nodes) < MANY_NODES or round(ROUNDS * run.budget.scale) == 0:
            return anyway
        small = aggregate(f.model, goal)
        if small is None:
            return anyway
        found = small.model.solve(
            small.expression(goal),
            maximize=maximizes(name),
            work=WORK[name] * run.budget.scale * SUMS_PART,
            seconds=run.seconds(name, SUMS_PART),
        )
        self._sums[name] = _Sums(small, found)
        if found.outcome is Outcome.INFEASIBLE or abs(found.bound) >= UNBOUNDED:
            return anyway
        return found.bound if anyway is None else min(anyway, found.bound)

    def improve(self, run: Run, f: Formulation, turn: Turn) -> Solved:
        """Betters a plan as neighbourhood.py does, and at the lower of two levels by the best sums."""
        sums = self._sums.get(turn.name)
        if turn.below is not None or sums is None or not sums.found.solution:
            return improve(run, f, turn)
        known = turn.known
        share = run.seconds(turn.name)
        end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
        if known.outcome is Outcome.UNKNOWN:
            best = self._by(self._nearest(turn, sums), turn, sums, BRIEF, end)
        else:
            best = self._free(turn, MANY, end)
            if turn.goal.value(best) > known.bound * CLOSE:
                other = self._by(sums.found.solution, turn, sums, MANY, end)
                best = min(best, other, key=turn.goal.value)
        return Solved(Outcome.OPTIMAL if turn.goal.value(best) == known.bound else known.outcome, best, known.bound, 0)

    def _by(self, wanted: tuple[int, ...], turn: Turn, sums: _Sums, manner: Manner, end: float) -> tuple[int, ...]:
        found = self._towards(wanted, turn, sums, end) if wanted else turn.known.solution
        return self._free(replace(turn, known=replace(turn.known, solution=found)), manner, end)

    def _free(self, turn: Turn, manner: Manner, end: float) -> tuple[int, ...]:
        return Search(self._f, turn).go_on(self._run, manner, end)

    def _nearest(self, turn: Turn, sums: _Sums) -> tuple[int, ...]:
        """Sums as good as the best that have the fewest guests where the known plan has none."""
        small = sums.aggregate
        goal = small.expression(turn.goal)
        model = small.model.copy()
        model.at_most(goal, goal.value(sums.found.solution))
        have = small.hint(turn.known.solution)
        away = []
        for alike, x in zip(small.classes, small.sums, strict=True):
            if alike[0] in self._choices:
                away.append(model.integer(0, model.upper(x)))
                model.at_most(x - away[-1], have[x.terms[0][0]])
        part = NEAR_PART * self._run.budget.scale
        seconds = self._run.seconds(turn.name, NEAR_PART)
        return model.solve(total(away), maximize=False, work=WORK[turn.name] * part, seconds=seconds).solution

    def _towards(self, wanted: Sequence[int], turn: Turn, sums: _Sums, end: float) -> tuple[int, ...]:
        """A plan that has the wanted sums, as nearly as is found; its cost is the least of what that leaves."""
        plan = turn.known.solution
        model = self._f.model.copy()
        away = []
        values = []
        for alike, x in zip(sums.aggregate.classes, sums.aggregate.sums, strict=True):
            if alike[0] in self._choices:
                here = total(Linear(((var, 1),)) for var in alike)
                most = x.value(wanted)
                away.append(model.integer(0, model.upper(here)))
                model.at_most(here - away[-1], most)
                values.append(max(0, here.value(plan) - most))
        goal = turn.goal + total(away) * AWAY
        towards = replace(turn, goal=goal, known=replace(turn.known, solution=(*plan, *values)))
        search = Search(self._f, towards, model=model, told=turn.goal.value(plan))
        return search.go_on(self._run, TOWARDS, end)[: len(plan)]
