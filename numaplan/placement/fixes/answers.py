"""What is known of levels of levers: which are enough and which are not, and what follows of others.

A lever may do harm, so that more of it is not always better; one that does none makes possible at `most` whatever it
does at any other level. So does one that does harm where it is eased, though that is no change that can be made.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from numaplan.placement.fixes.lever import Levels, Lever


@dataclass(frozen=True, slots=True)
class Shortage:
    """Levels that are not enough, whatever those of levers are that are `idle` then."""

    levels: Levels
    idle: Collection[int] = ()


class Answers:
    """Answers about `levers`, some of which are `harmless`, and some are `leaving` a vm out."""

    def __init__(self, levers: Sequence[Lever], *, harmless: Sequence[int], leaving: Sequence[int]) -> None:
        self.levers = levers
        self.harmless = frozenset(harmless)
        # The level of each lever that does all that any other does; none where it may do harm and cannot be eased.
        self.tops: Mapping[int, int] = {
            number: lever.most if number in harmless else lever.most + 1
            for number, lever in enumerate(levers)
            if number in harmless or lever.eased is not None
        }
        self.leaving = leaving
        self.shortages: list[Shortage] = []
        self._enough: list[Levels] = []

    def learn_enough(self, levels: Levels) -> None:
        """Keeps levels that are enough."""
        self._enough.append(dict(levels))

    def learn_short(self, levels: Levels) -> Shortage:
        """Keeps levels that are not."""
        self.shortages.append(Shortage(dict(levels), self.idle(levels)))
        return self.shortages[-1]

    def idle(self, levels: Levels) -> frozenset[int]:
        """The levers of vms that are left out altogether, which can neither help nor harm."""
        gone = {self.levers[number].vm for number in self.leaving if levels.get(number) == self.tops[number]}
        numbers = range(len(self.levers)) if gone else ()
        return frozenset(n for n in numbers if n not in self.leaving and self.levers[n].vm in gone)

    def is_enough(self, levels: Levels) -> bool | None:
        """Whether levels are enough, as far as it follows from what is known."""
        if any(self._has_all(levels, enough) for enough in self._enough):
            return True
        return None if self.unmet(levels) is None else False

    def unmet(self, levels: Levels) -> Shortage | None:
        """A shortage that the levels do not go beyond."""
        return next((each for each in self.shortages if next(self.beyond(each, levels), None) is None), None)

    def is_nested(self, number: int) -> bool:
        """Whether more of a lever is always better."""
        return number in self.harmless and self.levers[number].nested

    def is_beyond(self, shortage: Shortage, number: int, level: int) -> bool:
        """Whether a level of one lever may help where the shortage is."""
        return number not in shortage.idle and not self._does_all(number, shortage.levels.get(number, 0), level)

    def beyond(self, shortage: Shortage, levels: Levels) -> Iterator[int]:
        """The levers by which levels go beyond a shortage."""
        for number in levels.keys() | shortage.levels.keys():
            if self.is_beyond(shortage, number, levels.get(number, 0)):
                yield number

    def _has_all(self, levels: Levels, others: Levels) -> bool:
        numbers = levels.keys() | others.keys()
        return all(self._does_all(number, levels.get(number, 0), others.get(number, 0)) for number in numbers)

    def _does_all(self, number: int, level: int, other: int) -> bool:
        """Whether a lever makes possible at a level all that it does at the other."""
        return level == other or level == self.tops.get(number) or (other < level and self.is_nested(number))
