"""Gaps of many files of one kind, folded to one: a reader of the report is not to miss what else there is."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from numaplan.inventory.attribute import each_of
from numaplan.model.snapshot import Gap

# Up to here each file keeps a gap of its own.
_MOST: Final = 4
# Of one file or live source, whose every row may be at fault; and the longest reason, which may be a capture's own.
_MOST_OF_ONE: Final = 64
_LONGEST_WHY: Final = 1024
# A folder such as cpu3, node0 or the 43 of an interrupt, above the file; a PCI address is none.
_NUMBERED = re.compile(r"(?<=/)([A-Za-z_]*)(0|[1-9][0-9]*)(?=/)", re.ASCII)


def fold_gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """`gaps`, those with one reason and paths that differ in the number of one folder in one, as `each_of` names them.

    A folder itself that is at fault ("node1") is never folded: its name alone tells which node is left out.
    """
    alike: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        alike.setdefault((_pattern(gap.what), gap.why), []).append(gap)
    folded: list[Gap] = []
    for (pattern, why), group in alike.items():
        if len(group) > _MOST and "{}" in pattern:
            numbers = [int(match[2]) for gap in group if (match := _NUMBERED.search(gap.what))]
            folded.append(Gap(each_of(pattern, numbers), why))
        else:
            folded += group
    return tuple(sorted(_bounded(folded)))


def _bounded(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """The first of those that name one thing, and how many more there are."""
    by_name: dict[str, list[str]] = {}
    for gap in gaps:
        by_name.setdefault(gap.what, []).append(gap.why)
    for what, whys in by_name.items():
        for why in sorted(whys)[:_MOST_OF_ONE]:
            yield Gap(what, why if len(why) <= _LONGEST_WHY else f"{why[:_LONGEST_WHY]}...")
        if len(whys) > _MOST_OF_ONE:
            yield Gap(what, f"{len(whys) - _MOST_OF_ONE} more faults of it are not listed")


def _pattern(path: str) -> str:
    """`path` with "{}" for the first number; as it is where it has none, or braces of its own."""
    return path if "{" in path or "}" in path else _NUMBERED.sub(r"\1{}", path, count=1)
