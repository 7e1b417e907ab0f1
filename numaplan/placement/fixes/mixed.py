"""Changes of several kinds in vnf.yaml that are enough together, and cheap.

Everything that could be cheaper than what is known is allowed at first, and given up again, what costs most at least
before all else. Then all choices are gone through that could be cheaper still. Where these are too many, what was not
given up is forbidden in turn, where what the others cost would be less.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from numaplan.placement.fixes.answers import Answers
from numaplan.placement.fixes.hitting import HittingSets, Mix, Worth
from numaplan.placement.fixes.least import Least
from numaplan.placement.fixes.lever import Case, Group, Levels, Lever, pulled
from numaplan.placement.fixes.probe import Probe

# So many cases are for a mix where something else of vnf.yaml helps, and so many to make one cheaper.
_FOR_A_MIX: Final = 60
_FOR_CHEAPER: Final = 45
# So many for the cheapest of all, and times guests, as a case of many takes longer.
_FOR_CHEAPEST: Final = 120
_TIMES_GUESTS: Final = 600
# So many levers that may do harm are tried alone beside the others.
_MOST_ALONE: Final = 4

# How many copies of each vm to leave out of a case at least, in ways of which the first is best; and whether none of
# these could be fewer.
WorthLeast = Callable[[Case], Sequence[tuple[dict[int, int], bool]]]


class Mixed:
    """Looks for cheap mixes of `levers`: first those that leave guests out, then those of some groups."""

    def __init__(
        self, case: Case, probe: Probe, leaving: Sequence[Lever], groups: Sequence[Group], worth_least: WorthLeast
    ) -> None:
        joint = [lever for group in groups if group.joint for lever in group.finest]
        others = [lever for group in groups if not group.joint for lever in group.finest]
        self.levers = (*leaving, *joint, *others)
        self._case = case
        self._probe = probe
        self._worth_least = worth_least
        self._leaving = range(len(leaving))
        self._joint = range(len(leaving), len(leaving) + len(joint))
        self._others = range(len(leaving) + len(joint), len(self.levers))
        # Whether there were too many choices to go through.
        self.was_cut = False
        self._answers = Answers(self.levers, harmless=range(len(leaving) + len(joint)), leaving=self._leaving)

    def leaving_nobody_out(self, below: int | None, cases: int | None = _FOR_A_MIX) -> Mix | None:
        """What is enough, of what may cost less than `below` if that is said, and leaves nobody out.

        It may cost more where its distance is more than the least that there could be. `cases`: no more are tried where
        something is known already.
        """
        if below is not None and sum(sorted(self._first_costs((*self._joint, *self._others)))[:2]) >= below:
            return None
        least = Least(self._case, self._probe, self.levers, cases=None if below is None else cases)
        best: Mix | None = None
        for beside in self._beside(below):
            enough = {**self._all(below), **beside}
            mix = self._found(least, enough, {}) if enough and least.holds(enough) else None
            if mix is not None and (below is None or self._least_costs(mix.levels) < below):
                best = mix if best is None else min(best, mix, key=lambda mix: mix.worth)
            is_found = best is not None and (below is None or best.cost < below)
            if is_found or self._probe.tired or least.spent:
                break
        return best

    def leaving_fewest_out(self, below: int) -> Mix | None:
        """What is enough and costs less than `below`, with as few left out as can be."""
        least_of_all = min(self._first_costs(self._leaving), default=below)
        rest = below - least_of_all
        if not any(cost < rest for cost in self._first_costs((*self._joint, *self._others))):
            return None
        least = Least(self._case, self._probe, self.levers)
        ways = []
        for beside in self._beside(rest):
            others = {**self._all(rest), **beside}
            for way, are_fewest in self._worth_least(pulled(self._case, self.levers, others)):
                cost = least.price(way) + self._least_costs(beside)
                if way and cost < below:
                    ways.append((cost, way, others, are_fewest))
            if self._probe.tired or (ways and min(ways, key=_cost)[0] <= least_of_all):
                break
        for _, way, others, are_fewest in sorted(ways, key=_cost):
            if least.holds({**others, **way}):
                mix = self._found(least, {**others, **way}, way if are_fewest else {})
                return mix if mix is not None and mix.cost < below else None
        return None

    def cheapest(self, known: Mix | None, below: int, *, may_leave_out: bool) -> Mix | None:
        """The cheapest that costs less than `below`, or is better than a mix that is `known` and does; else that mix.

        If there are too many choices, one that is cheap.
        """
        mix = None if known is None or known.cost >= below else known
        if may_leave_out and min(self._first_costs(self._leaving), default=below) >= below:
            return mix
        numbers = range(len(self.levers)) if may_leave_out else (*self._joint, *self._others)
        with self._probe.beside():
            best, is_cheapest = self._hit(numbers, mix, below)
        if is_cheapest:
            return best
        self.was_cut = True
        found = [mix for mix in (best, mix) if mix is not None]
        if not may_leave_out:
            with self._probe.beside():
                found += self._falling(below)
        # From each of them another one may be the best that is found.
        apart = {tuple(sorted(each.levels.items())): each for each in found}
        for each in apart.values():
            with self._probe.beside():
                found.append(self._exchanged(each))
        return min((each for each in found if each.cost < below), key=lambda mix: mix.worth, default=None)

    def _falling(self, below: int) -> Iterator[Mix]:
        """What leaves nobody out and costs less than `below`, and then of what may cost less than that, and so on."""
        while not self._probe.tired and (mix := self.leaving_nobody_out(below, cases=None)) and mix.cost < below:
            yield mix
            below = mix.cost

    def _hit(self, numbers: Sequence[int], known: Mix | None, below: int) -> tuple[Mix | None, bool]:
        """The same by all choices, and whether it is certain: no limit ended it, and every answer is known."""
        if known is not None:
            self._answers.learn_enough(known.levels)
        cases = min(_FOR_CHEAPEST, _TIMES_GUESTS // len(self._case.request.guests))
        least = Least(self._case, self._probe, self.levers, cases=cases)
        hitting = HittingSets(self._answers, numbers, least, self._price)
        unknown = self._probe.unknown
        best = hitting.best(Worth(below, 0) if known is None else known.worth)
        # What is not known to be enough counts as not enough.
        is_certain = hitting.is_complete and self._probe.unknown == unknown
        return known if best is None else self._tightest(best), is_certain

    def _tightest(self, mix: Mix) -> Mix:
        """The mix with the first value of each lever that costs no more."""
        least = Least(self._case, self._probe, self.levers)
        for number, level in sorted(mix.levels.items()):
            lever = self.levers[number]
            for other in range(1, level):
                levels = {**mix.levels, number: other}
                is_as_cheap = not lever.nested and lever.least_cost(other) == lever.least_cost(level)
                if is_as_cheap and least.holds(levels):
                    tight = Mix(levels, self._price(levels))
                    if tight.cost <= mix.cost:
                        mix = tight
                        break
        return mix

    def _exchanged(self, mix: Mix) -> Mix:
        """The mix, or one that costs less or is of fewer things: without what is dear in it and all that is as dear.

        Or without that alone, where there is no such mix.
        """
        least = Least(self._case, self._probe, self.levers, cases=_FOR_CHEAPER)
        needed: dict[int, int] = {}
        tried: set[int] = set()
        while not (self._probe.tired or least.spent):
            dear = sorted(mix.levels, key=lambda number: (-self._least_cost(number, mix.levels[number]), number))
            forbidden = next((number for number in dear if number not in tried), None)
            if forbidden is None:
                break
            tried.add(forbidden)
            level = mix.levels[forbidden]
            cost = self._least_cost(forbidden, level)
            # What cannot be forbidden is in every mix that is cheaper.
            below = mix.cost - self._least_costs(needed)
            for limit in (cost, below) if cost < below else (below,):
                enough = self._without(forbidden, cost, limit, mix, needed)
                is_enough = least.holds(enough)
                found = self._found(least, enough, {}) if is_enough else None
                if found is not None and found.worth < mix.worth:
                    mix = found
                    break
                if not is_enough and limit == below:
                    needed[forbidden] = level
        return mix

    def _without(self, forbidden: int, cost: int, limit: int, mix: Mix, needed: Levels) -> dict[int, int]:
        """All levers that cost less than a `limit`, one less than it costs; of what may do harm what is in a mix."""
        there = {number: level for number, level in mix.levels.items() if number not in self._joint}
        there |= {
            number: max(level, self._level(number, limit)) for number, level in there.items() if number in self._others
        }
        enough = {**there, **self._all(limit)}
        enough |= {number: max(level, enough.get(number, 0)) for number, level in needed.items()}
        enough[forbidden] = self._level(forbidden, cost)
        return {number: level for number, level in enough.items() if level}

    def _found(self, least: Least, enough: Levels, kept: Levels) -> Mix | None:
        """The mix that is left of what is enough, `kept` as it is; None: there was no time to find it."""
        harmless = not any(number in self._others for number in enough)
        levels = least.fewest(enough, harmless=harmless, kept=kept)
        # Where there was none it may be more than is needed.
        return None if least.spent else Mix(levels, self._price(levels))

    def _price(self, levels: Levels) -> int:
        return self._probe.cost(self._case, self.levers, levels)

    def _all(self, below: int | None) -> dict[int, int]:
        """Levers that do no harm, as far as they go, or as they cost less than `below`."""
        levels = {number: self._level(number, below) for number in self._joint}
        return {number: level for number, level in levels.items() if level}

    def _level(self, number: int, below: int | None) -> int:
        lever = self.levers[number]
        return lever.most if below is None else lever.within_cost(below - 1)

    def _beside(self, below: int | None) -> Iterator[Levels]:
        """How levers that may do harm are pulled beside the others: not at all, one or all of them a little, or far."""
        yield {}
        levels = {number: self._level(number, below) for number in self._others}
        levels = {number: level for number, level in levels.items() if level}
        cheap = sorted(levels, key=lambda number: (self._least_cost(number, 1), number))[:_MOST_ALONE]
        yield from ({number: 1} for number in cheap)
        if len(levels) > 1:
            yield dict.fromkeys(levels, 1)
        if any(level > 1 for level in levels.values()):
            yield levels
            yield from ({number: levels[number]} for number in cheap if levels[number] > 1)

    def _least_cost(self, number: int, level: int) -> int:
        return self.levers[number].least_cost(level)

    def _least_costs(self, levels: Levels) -> int:
        return sum(self._least_cost(number, level) for number, level in levels.items())

    def _first_costs(self, numbers: Sequence[int]) -> list[int]:
        return [self._least_cost(number, 1) for number in numbers]


def _cost(way: tuple[int, dict[int, int], dict[int, int], bool]) -> int:
    return way[0]
