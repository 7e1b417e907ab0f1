"""Every sum by which guests cannot all be placed, one after the other: totals, then those of tied guests."""

from collections.abc import Iterator

from numaplan.placement.conflict.linked import bands, crowds
from numaplan.placement.conflict.totals import Excess, exceeded, resources
from numaplan.placement.problem import Problem


def excess(problem: Problem) -> Excess | None:
    """The first count by which the guests of `problem` cannot all be placed; None where counting shows nothing."""
    return next(excesses(problem), None)


def excesses(problem: Problem) -> Iterator[Excess]:
    """Every count by which they cannot all be placed; none where some ways to use cores are not known."""
    if problem.uncounted:
        return
    counted = []
    for resource in resources(problem):
        counted.append(resource)
        yield from exceeded(problem, resource)
    yield from bands(problem, counted)
    yield from crowds(problem)
