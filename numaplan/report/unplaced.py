"""Who has no place, and why, in lines."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from numaplan.model.plan import Unplaced
from numaplan.report.text import clean
from numaplan.units import format_few

MOST_NAMES: Final = 4


def unplaced_lines(unplaced: Sequence[Unplaced]) -> list[str]:
    """One line for each reason, with the guests that stand beside each other and share it."""
    lines = []
    for reason, alike in groupby(unplaced, lambda one: one.reason):
        names = [clean(one.vm) for one in alike]
        each = ", each" if len(names) > 1 else ""
        lines.append(f"{format_few(names, MOST_NAMES)}{each}: {clean(reason)}")
    return lines
