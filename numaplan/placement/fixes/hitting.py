"""The cheapest levels that are enough: the choices in the order of the least that they cost, until one is.

What is not enough is widened to as much as is not, a shortage. Whatever is enough goes beyond each of these (it is a
hitting set), so that hardly any choice is ever asked about. What is enough counts as a shortage too: where guests then
lie far apart, it costs more than its least, and with something more it may cost less in all.
"""

from collections.abc import Callable, Collection, Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from numaplan.placement.fixes.answers import Answers, Shortage
from numaplan.placement.fixes.least import Least
from numaplan.placement.fixes.lever import Levels

# So many choices are looked at, most of which are known not to be enough, and so many that are enough are priced: what
# distance adds takes a search each.
_MOST_CHOICES: Final = 1_000
_MOST_PRICES: Final = 16


class Worth(NamedTuple):
    """Low costs before few things."""

    cost: int
    things: int


class Mix(NamedTuple):
    """Levels that are enough, with what they cost, distance too."""

    levels: dict[int, int]
    cost: int

    @property
    def worth(self) -> Worth:
        """What is less is better."""
        return Worth(self.cost, len(self.levels))


# A choice of levels, in their order, and what they cost at least.
_Choice = tuple[Worth, tuple[tuple[int, int], ...]]


class HittingSets:
    """Goes through the choices of levels of `numbers`; `least` asks, `cost` tells what enough levels cost."""

    def __init__(self, answers: Answers, numbers: Collection[int], least: Least, cost: Callable[[Levels], int]) -> None:
        self._answers = answers
        self._levers = answers.levers
        self._numbers = sorted(numbers)
        self._least = least
        self._cost = cost
        # Whether the search came to its end.
        self.is_complete = False

    def best(self, below: Worth) -> Mix | None:
        """What is better than that: nothing is better still, unless a limit was reached before."""
        best: Mix | None = None
        choices: list[_Choice] = [(Worth(0, 0), ())]
        seen = {choices[0][1]}
        prices = 0
        for _ in range(_MOST_CHOICES):
            if not choices or choices[0][0] >= below:
                self.is_complete = True
                break
            levels = dict(heappop(choices)[1])
            shortage = self._answers.unmet(levels)
            is_enough = shortage is None and self._holds(levels)
            if self._least.spent or (is_enough and prices == _MOST_PRICES):
                break
            if is_enough:
                prices += 1
                mix = Mix(levels, self._cost(levels))
                if mix.worth < below:
                    best, below = mix, mix.worth
                shortage = Shortage(levels)
            elif shortage is None:
                shortage = self._widest(levels, below.cost)
            for more in self._beyond(shortage, levels, below.cost):
                choice = self._choice(more)
                if choice[0] < below and choice[1] not in seen:
                    seen.add(choice[1])
                    heappush(choices, choice)
        return best

    def _choice(self, levels: Levels) -> _Choice:
        price = sum(self._levers[number].least_cost(level) for number, level in levels.items())
        return Worth(price, len(levels)), tuple(sorted(levels.items()))

    def _holds(self, levels: Levels) -> bool:
        known = self._answers.is_enough(levels)
        if known is None:
            known = self._least.holds(levels)
            if known:
                self._answers.learn_enough(levels)
        return known

    def _is_short(self, levels: Levels) -> bool:
        """Whether levels are known not to be enough; who may ask no more hears no, which says nothing."""
        return not self._holds(levels) and not self._least.spent

    def _beyond(self, shortage: Shortage, levels: Levels, below: int) -> Iterator[dict[int, int]]:
        """The levels with one of them raised so that they go beyond a shortage."""
        answers = self._answers
        for number in self._numbers:
            lever = self._levers[number]
            for level in range(levels.get(number, 0) + 1, lever.within_cost(below) + 1):
                if answers.is_beyond(shortage, number, level) and not self._is_needless(number, level):
                    yield {**levels, number: level}
                    if answers.is_nested(number):
                        break

    def _is_needless(self, number: int, level: int) -> bool:
        """Whether the highest level does all that this one does, and costs no more."""
        lever = self._levers[number]
        has_highest = number in self._answers.harmless and not lever.nested and level < lever.most
        return has_highest and lever.least_cost(level) == lever.least_cost(lever.most)

    def _widest(self, levels: Levels, below: int) -> Shortage:
        """Levels that are not enough, raised as far as they can be without being enough."""
        answers = self._answers
        wide = self._like_others(levels)
        leaving = {number: answers.tops[number] for number in answers.leaving}
        others = self._others(below)
        if self._is_short({**wide, **others}):
            # Then somebody must be left out, which costs most.
            wide |= others
            self._raise(wide, leaving)
        else:
            # Of vms that need not be there to be in the way nothing else is asked.
            self._raise(wide, leaving)
            idle = answers.idle(wide)
            self._raise(wide, {number: top for number, top in others.items() if number not in idle})
        return answers.learn_short(wide)

    def _others(self, below: int) -> dict[int, int]:
        """How far all but who is left out is raised at most, first what may do harm, and what costs most at last."""
        answers = self._answers
        tops: dict[int, int] = {}
        for number in sorted(set(self._numbers).difference(answers.leaving), key=self._rank):
            most = self._levers[number].within_cost(below)
            top = answers.tops.get(number, 0)
            if number not in answers.harmless:
                tops[number] = top
            elif answers.is_nested(number) or most == top:
                tops[number] = most
        return {number: top for number, top in tops.items() if top}

    def _rank(self, number: int) -> tuple[bool, int, int]:
        return number in self._answers.harmless, self._levers[number].least_cost(1), number

    def _like_others(self, levels: Levels) -> dict[int, int]:
        """Levels that are not enough; or a shortage with what may do harm as in these, if that is not enough either."""
        answers = self._answers
        for shortage in reversed(answers.shortages):
            beyond = set(answers.beyond(shortage, levels))
            if answers.harmless.isdisjoint(beyond):
                like = {**shortage.levels, **{number: levels.get(number, 0) for number in beyond}}
                if self._is_short(like):
                    return like
        return dict(levels)

    def _raise(self, levels: dict[int, int], tops: Levels) -> None:
        """Raises levels that are not enough up to these, or as far as they can be without being enough."""
        tops = {number: top for number, top in tops.items() if top > levels.get(number, 0)}
        if not tops or self._least.spent:
            return
        if self._is_short({**levels, **tops}):
            levels.update(tops)
        elif len(tops) > 1:
            half = len(tops) // 2
            self._raise(levels, dict(list(tops.items())[:half]))
            self._raise(levels, dict(list(tops.items())[half:]))
        else:
            ((number, high),) = tops.items()
            low = levels.get(number, 0)
            while self._answers.is_nested(number) and high - low > 1:
                middle = (low + high) // 2
                if self._is_short({**levels, number: middle}):
                    low = levels[number] = middle
                else:
                    high = middle
