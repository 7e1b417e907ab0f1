"""What a large host's symmetry tells before a plan is searched for: what none beats, and what the best would look like.

The aggregate (aggregate.py) of the coarse model has few variables, so its best sums are soon found. Their value is a
bound. And they say how many guests of a class lie on nodes of a kind, and how: a plan with such sums is looked for, a
few nodes at a time, a guest too many somewhere costing more than any VF. There may be many best sums, so it begins with
those that are nearest to the known plan's, and goes on with those that were found first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.plan import LevelName
from numaplan.placement.aggregate import Aggregate, aggregate
from numaplan.placement.cpsat import UNBOUNDED, Linear, Model, Outcome, Solved, total
from numaplan.placement.filling.ceiling import ceiling
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import MANY_NODES, WORK, Bound, Run, Turn, maximizes
from numaplan.placement.neighbourhood import MANY, ROUNDS, Manner, Search, improve, is_far
from numaplan.placement.prices import prices

# The parts of a level's work for its best sums, and for the nearest of these to a plan's.
SUMS_PART: Final = 0.3
NEAR_PART: Final = 0.1
# What a guest too many is worth beside a plan's cost.
AWAY: Final = 1_000
# How a plan with the sums is sought, and how it is bettered then, before the solver's turn.
TOWARDS: Final = replace(MANY, stale=40, most=1.2)
BRIEF: Final = replace(MANY, stale=20, most=1.0)
# Where more than this part of the priority finds no place, which guests are left out is another choice, and the best
# sums are hardly ever met: a search that wants them then ends at a worse plan.
LEFT_OUT: Final = 0.013
# How many times a level's share of the clock a turn may take: on a large host no level has more to gain by it.
CLOCK: Final = 2.0
# The part of a turn's clock that is kept for what follows the way towards the sums.
WAY_BACK: Final = 0.4
# So many ways towards the sums at most, whatever the clock says.
MOST_WAYS: Final = 20
# A plan of so many times its bound is good enough not to begin anew.
CLOSE: Final = 1.01


@dataclass(frozen=True, slots=True)
class _Sums:
    """The aggregate for a level, and what was found of it."""

    aggregate: Aggregate
    found: Solved

    def pairs(self) -> Iterator[tuple[tuple[int, ...], Linear]]:
        """Each class of variables with its sum."""
        return zip(self.aggregate.classes, self.aggregate.sums, strict=True)


class Symmetry:
    """Bounds of the two upper levels of coarse `f`, and plans that come near them."""

    def __init__(self, run: Run, f: Formulation, goals: Mapping[LevelName, Linear]) -> None:
        self._run = run
        self._f = f
        self._goals = goals
        self._asked = sum(unit.count * unit.guests.request.priority for unit in f.units)
        priced = prices(f)
        self._most = self._asked if priced is None else priced.most
        self._choices = {count.terms[0][0] for choice in f.choice for count in choice.values()}
        self._sums: dict[LevelName, _Sums] = {}
        # What is left of the work of all searches, in parts of the level's.
        self._left = MANY.most
        self._is_priced = False
        self._begun = False
        # Which of the orders of neighbourhoods is tried.
        self._order = 0
        # How long the last way towards the sums took, in seconds of the clock.
        self._took = 0.0

    def best(self, name: LevelName, _above: Sequence[Bound]) -> int | None:
        """What no plan beats at a level, those above it being held; None where that is not known."""
        anyway = self._most if name is LevelName.PRIORITY else None
        goal, run = self._goals[name], self._run
        seconds = run.seconds(name, SUMS_PART)
        if self._is_in_haste(seconds) or len(self._f.problem.facts.nodes) < MANY_NODES:
            return anyway
        small = aggregate(self._f.model, goal)
        if small is None:
            return anyway
        work = WORK[name] * run.budget.scale * SUMS_PART
        found = small.model.solve(small.expression(goal), maximize=maximizes(name), work=work, seconds=seconds)
        self._sums[name] = _Sums(small, found)
        if found.outcome is Outcome.INFEASIBLE or abs(found.bound) >= UNBOUNDED:
            return anyway
        return found.bound if anyway is None else min(anyway, found.bound)

    def improve(self, run: Run, f: Formulation, turn: Turn) -> Solved:
        """Betters a plan as neighbourhood.py does; at the lower level, where there are sums, by these first.

        Far from its bound the solver has its turn first: it gains much there, a few nodes at a time little. After it,
        what is soon gained comes first, then a second way towards the sums, then the rest.
        """
        turn = self._beneath(turn)
        sums, known = self._sums.get(turn.name), turn.known
        if turn.below is not None or sums is None or not sums.found.solution or self._leaves_out(turn):
            return improve(run, f, turn)
        if _value(turn) == known.bound:
            return replace(known, outcome=Outcome.OPTIMAL)
        share = run.seconds(turn.name, CLOCK)
        end = 0.0 if share is None else (run.budget.remaining() or 0.0) - share
        fresh = known.outcome is Outcome.UNKNOWN
        if not self._begun and not (fresh and is_far(turn)):
            self._begun = True
            turn = self._by(self._nearest(turn, sums) or sums.found.solution, turn, sums, end)
        if not fresh:
            turn = self._search(turn, BRIEF, end)
            if _value(turn) > known.bound * CLOSE and self._has_time(end):
                turn = self._by(sums.found.solution, turn, sums, end)
            turn = self._search(turn, MANY, end)
            if share is not None:
                turn = self._by_more(turn, sums, end)
        outcome = Outcome.OPTIMAL if _value(turn) == known.bound else known.outcome
        return Solved(outcome, turn.known.solution, known.bound, known.work)

    def _beneath(self, turn: Turn) -> Turn:
        """The same with what no plan's priority beats by the ways to fill nodes, which is asked for once."""
        if turn.name is not LevelName.PRIORITY or self._is_priced or turn.known.outcome is not Outcome.FEASIBLE:
            return turn
        self._is_priced = True
        share, left = self._run.seconds(turn.name), self._run.budget.remaining()
        if self._is_in_haste(share):
            return turn

        def remaining() -> float | None:
            now = self._run.budget.remaining()
            return None if share is None or left is None or now is None else share - (left - now)

        value, known = _value(turn), turn.known
        most = ceiling(self._f, value, remaining)
        if most is None or most >= known.bound:
            return turn
        outcome = Outcome.OPTIMAL if most == value else known.outcome
        return replace(turn, known=replace(known, bound=most, outcome=outcome))

    def _is_in_haste(self, seconds: float | None) -> bool:
        """Whether hardly anything but the start is left of the search, or nothing of a level's `seconds`."""
        return round(ROUNDS * self._run.budget.scale) == 0 or (seconds is not None and seconds <= 0)

    def _leaves_out(self, turn: Turn) -> bool:
        """Whether more than some few of the guests are not placed."""
        return self._goals[LevelName.PRIORITY].value(turn.known.solution) < (1 - LEFT_OUT) * self._asked

    def _by(self, wanted: Sequence[int], turn: Turn, sums: _Sums, end: float) -> Turn:
        """Goes towards the wanted sums, and then wherever something is gained; back where that was of no use.

        On the way to the sums a plan may become dearer.
        """
        left = self._run.budget.remaining()
        way_end = end if left is None else end + max(0.0, left - end) * WAY_BACK
        found = self._search(self._towards(wanted, turn, sums, way_end), BRIEF, end)
        self._took = (left or 0.0) - (self._run.budget.remaining() or 0.0)
        return min(turn, found, key=_value)

    def _by_more(self, turn: Turn, sums: _Sums, end: float) -> Turn:
        """Goes towards the nearest of the best sums while the clock allows, trying neighbourhoods in other orders."""
        for order in range(1, MOST_WAYS):
            worth, self._order = _value(turn), order
            if worth <= turn.known.bound * CLOSE or not self._has_time(end):
                break
            turn = self._by(self._nearest(turn, sums) or sums.found.solution, turn, sums, end)
            if _value(turn) < worth:
                turn = self._search(turn, MANY, end)
        return turn

    def _has_time(self, end: float) -> bool:
        """Whether a way towards the sums can take as long again as it did."""
        left = self._run.budget.remaining()
        return left is None or left - end >= self._took

    def _nearest(self, turn: Turn, sums: _Sums) -> tuple[int, ...]:
        """Sums as good as the best that have the fewest guests where the known plan has none; none: not found."""
        small = sums.aggregate
        goal = small.expression(turn.goal)
        model = small.model.copy()
        model.at_most(goal, goal.value(sums.found.solution))
        have = small.hint(turn.known.solution)
        away = []
        for alike, x in sums.pairs():
            if alike[0] in self._choices:
                away.append(model.integer(0, model.upper(x)))
                model.at_most(x - away[-1], have[x.terms[0][0]])
        work = WORK[turn.name] * self._run.budget.scale * NEAR_PART
        seconds = self._run.seconds(turn.name, NEAR_PART)
        return model.solve(total(away), maximize=False, work=work, seconds=seconds).solution

    def _towards(self, wanted: Sequence[int], turn: Turn, sums: _Sums, end: float) -> Turn:
        """A plan with the wanted sums, or nearly so."""
        plan = turn.known.solution
        model = self._f.model.copy()
        away, values = [], []
        for alike, x in sums.pairs():
            if alike[0] in self._choices:
                here = total(Linear(((var, 1),)) for var in alike)
                away.append(model.integer(0, model.upper(here)))
                model.at_most(here - away[-1], x.value(wanted))
                values.append(max(0, here.value(plan) - x.value(wanted)))
        goal = turn.goal + total(away) * AWAY
        towards = replace(_from(turn, (*plan, *values)), goal=goal)
        # Against a clock the way is no longer than else, so that there is time for another.
        manner = replace(TOWARDS, most=TOWARDS.most / max(1.0, self._run.budget.scale))
        found = self._search(towards, manner, end, model=model, told=_value(turn))
        return _from(turn, found.known.solution[: len(plan)])

    def _search(
        self, turn: Turn, manner: Manner, end: float, *, model: Model | None = None, told: int | None = None
    ) -> Turn:
        """Betters what is known until the manner or the work of all searches ends it."""
        search = Search(self._f, turn, model=model, told=told, order=self._order)
        found = search.go_on(self._run, replace(manner, most=min(manner.most, self._left)), end)
        self._left -= search.work / (WORK[turn.name] * turn.effort * self._run.budget.scale)
        return _from(turn, found)


def _value(turn: Turn) -> int:
    return turn.goal.value(turn.known.solution)


def _from(turn: Turn, solution: tuple[int, ...]) -> Turn:
    """The same with another known solution."""
    return replace(turn, known=replace(turn.known, solution=solution))
