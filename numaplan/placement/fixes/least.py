"""How little of some levers is enough to make a case possible, alone and together."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from numaplan.placement.fixes.lever import Case, Levels, Lever, pulled
from numaplan.placement.fixes.probe import Probe

_MOST_SINGLES: Final = 16
MOST_OF_A_GROUP: Final = 2
# So many are priced where the price is that of a plan.
_MOST_EACH: Final = 6
# Levels of a lever that is not nested are tried in turn.
_MOST_IN_TURN: Final = 8


class Least:
    """Tries `levers` on a case, no more often than `cases`."""

    def __init__(self, case: Case, probe: Probe, levers: Sequence[Lever], *, cases: int | None = None) -> None:
        self._case = case
        self._probe = probe
        self._levers = levers
        self._last = None if cases is None else probe.cases + cases

    @property
    def spent(self) -> bool:
        """Whether every further answer is no."""
        return self._probe.spent or (self._last is not None and self._probe.cases >= self._last)

    def singles(self, even: Levels, *, joint: bool = False) -> list[dict[int, int]]:
        """The cheapest levers that help alone, each as little as it can be; `even`: what `evenly` says, if asked.

        `joint`: as a group has it.
        """
        hits: list[dict[int, int]] = []
        unknown = self._probe.unknown
        # Below an even price not even all of them help: one that does at that price is the cheapest.
        while even and not self._probe.tired and (hit := self._one_of(even)):
            hits.append(hit)
            if len(hits) == MOST_OF_A_GROUP:
                return hits
            even = self.evenly(without=hit)

        # Halves of them were pulled as far as they go, and helped no more than that.
        are_furthest = all(level == self._levers[number].most for number, level in even.items())
        refuted = even if joint and are_furthest and self._probe.unknown == unknown else {}
        for number, lever in enumerate(self._levers[:_MOST_SINGLES]):
            if self._probe.tired:
                break
            most = 0 if number in refuted or any(number in hit for hit in hits) else lever.most
            if len(hits) == MOST_OF_A_GROUP:
                # Only what is cheaper than the dearer of those that are known is of use.
                most = min(most, _within_price(lever, self.price(hits[-1]) - 1))
            if most and (level := self._least({}, number, most)):
                hits = sorted([*hits, {number: level}], key=self.price)[:MOST_OF_A_GROUP]
        return hits

    def each(self, even: Levels) -> list[dict[int, int]]:
        """Some levers that help alone, each as little as it can be, where the price does not say all; low ones first.

        `even`: what `evenly` says of levers none of which helps alone where no half of them does; {}: not asked.
        """
        unknown = self._probe.unknown
        hit = self._one_of(even) if even else {}
        if even and not hit and self._probe.unknown == unknown:
            return []
        hits = [hit] if hit else []
        cheap = sorted(enumerate(self._levers), key=lambda item: item[1].least_cost(item[1].most))
        for number, lever in cheap[:_MOST_SINGLES]:
            if self._probe.tired or len(hits) == _MOST_EACH:
                break
            if number not in hit and (level := self._least({}, number, lever.most)):
                hits.append({number: level})
        return hits

    def price(self, levels: Levels) -> int:
        """What these levels cost beside distance."""
        return sum(self._levers[number].price(level) for number, level in levels.items())

    def _one_of(self, levels: Levels) -> dict[int, int]:
        """A lever that helps alone, as little of it as can be, of `levels` that help together; {}: there is none."""
        if len(levels) == 1:
            ((number, most),) = levels.items()
            return {number: level} if (level := self._least({}, number, most)) else {}
        half = len(levels) // 2
        for part in (dict(list(levels.items())[:half]), dict(list(levels.items())[half:])):
            if (len(part) == 1 or self.holds(part)) and (hit := self._one_of(part)):
                return hit
        return {}

    def holds(self, levels: Levels) -> bool:
        """Whether it is proven that these levels are enough."""
        # To pull thousands of levers takes longer than to hear no.
        return not self.spent and self._probe.holds(pulled(self._case, self._levers, levels))

    def _least(self, others: Levels, number: int, most: int) -> int:
        """The least level of a lever, of `most`, that helps with `others` as they are; 0: none does."""
        if self._levers[number].nested and not self.holds({**others, number: most}):
            return 0
        return self._lowered(others, number, most)

    def _lowered(self, others: Levels, number: int, most: int) -> int:
        """The same, where it is known that `most` helps if the lever is nested."""
        if not self._levers[number].nested:
            levels = range(1, min(most, _MOST_IN_TURN) + 1)
            return next((level for level in levels if self.holds({**others, number: level})), 0)
        with self._probe.of_few(self._case) as are_few:
            # The guests of a conflict may need none of it, which is soon heard.
            needed = are_few and most > 1 and not self.holds({**others, number: 1})
            least = self._halved(others, number, low=1, high=most) if needed else int(are_few)
        if are_few and (least == most or self.holds({**others, number: least})):
            return least
        return self._halved(others, number, low=least, high=most)

    def _halved(self, others: Levels, number: int, *, low: int, high: int) -> int:
        """The least level that helps above `low`, which does not, up to `high`, which does."""
        while high - low > 1:
            middle = (low + high) // 2
            if self.holds({**others, number: middle}):
                high = middle
            else:
                low = middle
        return high

    def fewest(
        self,
        enough: Levels,
        *,
        order: Sequence[int] = (),
        harmless: bool = True,
        kept: Collection[int] = (),
    ) -> dict[int, int]:
        """Levels none of which can be lower with the others as they are; given up in an `order`, or dear ones first.

        `harmless`: less of one never makes another needless. `kept`: it is known that these cannot be lower.
        """
        with self._probe.of_few(self._case) as are_few:
            levels = self._fewest(enough, order, kept, harmless=harmless) if are_few else {}
        if levels and (levels == enough or self.holds(levels)):
            return levels
        if levels and not order and self.holds(more := {**enough, **levels}):
            # What the guests of a conflict need is mostly needed: first comes what else may be given up.
            enough, order = more, sorted(self._dear(more), key=levels.__contains__)
        return self._fewest(enough, order, kept, harmless=harmless)

    def _fewest(self, enough: Levels, order: Sequence[int], kept: Collection[int], *, harmless: bool) -> dict[int, int]:
        before, levels = enough, self._fewer(enough, order, kept)
        while not harmless and levels != before and len(levels) > 1 and not self.spent:
            before, levels = levels, self._fewer(levels, order, kept)
        return levels

    def _fewer(self, enough: Levels, order: Sequence[int], kept: Collection[int]) -> dict[int, int]:
        """The same where the others are as low as they were when each was lowered."""
        levels = dict(enough)
        alone = self._vital(levels)
        vital = alone.union(kept)

        def settle(numbers: Sequence[int], *, needed: bool) -> None:
            """`needed`: it is known that not all of these can be given up."""
            if self.spent:
                return
            given_up = frozenset(numbers)
            without = {number: level for number, level in levels.items() if number not in given_up}
            if not needed and self.holds(without):
                levels.clear()
                levels.update(without)
            elif len(numbers) == 1:
                number = numbers[0]
                levels[number] = self._lowered(without, number, levels[number]) or levels[number]
            else:
                half = len(numbers) // 2
                settle(numbers[:half], needed=False)
                settle(numbers[half:], needed=levels.keys().isdisjoint(numbers[:half]))

        if settled := [number for number in order or self._dear(levels) if number in levels and number not in vital]:
            settle(settled, needed=not vital)
        if high := [number for number in sorted(alone.difference(kept)) if levels[number] > 1]:
            self._lower(levels, high)
        return levels

    def _dear(self, levels: Levels) -> list[int]:
        """The levers that are pulled, the dearest first."""
        levers = self._levers
        return sorted(levels, key=lambda number: (-levers[number].least_cost(levels[number]), number))

    def _vital(self, enough: Levels) -> frozenset[int]:
        """Those of the levels without any one of which a vm has no place even alone."""
        if self.spent:
            return frozenset()
        vms = Counter(self._levers[number].vm for number in enough)
        own = {number: vm for number in enough if (vm := self._levers[number].vm) is not None and vms[vm] == 1}
        if not own:
            return frozenset()
        others = {number: level for number, level in enough.items() if number not in own}
        homeless = self._probe.homeless(pulled(self._case, self._levers, others))
        return frozenset(number for number, vm in own.items() if vm in homeless)

    def _lower(self, levels: dict[int, int], numbers: Sequence[int]) -> None:
        """Lowers those of the levels that need not be as high, to the first as many at once as can be."""
        if self.spent:
            return
        if len(numbers) == 1:
            (number,) = numbers
            levels[number] = self._lowered(levels, number, levels[number]) or levels[number]
        elif self.holds({**levels, **dict.fromkeys(numbers, 1)}):
            levels.update(dict.fromkeys(numbers, 1))
        else:
            half = len(numbers) // 2
            self._lower(levels, numbers[:half])
            self._lower(levels, numbers[half:])

    def leanest(self, enough: Levels) -> dict[int, int]:
        """The same of nested levers of which little is too much; the first are given up first."""
        levels = dict(enough)
        for number in sorted(enough):
            if self.holds({**levels, number: levels[number] - 1}):
                level = levels.pop(number) - 1
                if level and not self.holds(levels):
                    levels[number] = self._lowered(levels, number, level)
        return levels

    def trimmed(self, cheapest: Levels) -> dict[int, int]:
        """The cheapest levels, less what the GiB that are begun hold beyond what is needed."""
        levels = dict(cheapest)
        for number, level in cheapest.items():
            less, price = {**levels, number: level - 1}, self._levers[number].price
            if level > 1 and price(level - 1) == price(level) and self.holds(less):
                levels[number] = self._lowered(less, number, level - 1)
        return levels

    def evenly(self, without: Collection[int] = ()) -> dict[int, int]:
        """All levers but some up to one price, the least at which they help together; {}: at none they do."""
        with self._probe.of_few(self._case) as are_few:
            levels = self._evenly(without, low=-1) if are_few else {}
        if are_few and (not levels or self.holds(levels)):
            return levels
        return self._evenly(without, low=self._dearest(levels))

    def _dearest(self, levels: Levels) -> int:
        """The highest price that is paid for one lever; -1: none is pulled."""
        return max((self._levers[number].price(level) for number, level in levels.items()), default=-1)

    def _evenly(self, without: Collection[int], *, low: int) -> dict[int, int]:
        """The same, where it is known that they do not help up to the price `low`."""
        levers = self._levers
        numbers = [number for number in range(len(levers)) if number not in without]

        def up_to(price: int) -> dict[int, int]:
            levels = {number: _within_price(levers[number], price) for number in numbers}
            return {number: level for number, level in levels.items() if level}

        high = max((levers[number].price(levers[number].most) for number in numbers), default=0)
        if not numbers or not self.holds(up_to(high)):
            return {}
        while high - low > 1:
            middle = (low + high) // 2
            levels = up_to(middle)
            if self.holds(levels):
                high = max(self._dearest(levels), 0)
            else:
                # Up to the next price nothing changes.
                levels = {number: levels.get(number, 0) for number in numbers}
                low = min(levers[n].price(level + 1) for n, level in levels.items() if level < levers[n].most) - 1
        return up_to(high)

    def alike(self) -> dict[int, int]:
        """All levers at one level, or as far as they go, that helps; {}: none does. It is doubled until one does."""
        most = max(lever.most for lever in self._levers)
        for doubled in range((most - 1).bit_length() + 1):
            levels = {number: min(1 << doubled, lever.most) for number, lever in enumerate(self._levers)}
            if self.holds(levels):
                return levels
        return {}


def _within_price(lever: Lever, price: int) -> int:
    """The highest level that costs no more."""
    return bisect_right(range(1, lever.most + 1), price, key=lever.price)
