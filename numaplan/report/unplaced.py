"""Who has no place, and why, in lines."""

from collections.abc import Sequence
from itertools import groupby

from numaplan.model.plan import Unplaced
from numaplan.report.text import clean, each_of


def unplaced_lines(unplaced: Sequence[Unplaced]) -> list[str]:
    """One line for each reason, with the guests that stand beside each other and share it."""
    lines = []
    for reason, alike in groupby(unplaced, lambda one: one.reason):
        lines.append(f"{each_of([one.vm for one in alike])}: {clean(reason)}")
    return lines
