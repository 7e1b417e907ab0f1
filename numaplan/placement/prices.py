"""What guests would have to be worth for all that they need, where the host cannot hold all of them.

The prices are those of a linear program in which the host is one heap of threads, pages and devices, of which fractions
of guests take. They tell which guests are worth their room, and, in whole numbers, what no plan's priority beats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from numaplan.placement.formulation import Formulation, Unit
from numaplan.placement.lp import LinearProgram
from numaplan.placement.packing import Sum, device_sums, sums

# Where fewer of the guests are left out, the search soon finds the best and its bound without prices, and the linear
# solver, which takes 20 ms and 4 MiB to load, is not worth it.
MANY_LEFT_OUT: Final = 0.1

# Prices are used to so many parts of a priority of one.
PARTS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Prices:
    """What all that a guest of each unit needs comes to, in PARTS of a priority; `most`: no plan's priority is more."""

    weights: tuple[int, ...]
    most: int


def prices(f: Formulation) -> Prices | None:
    """The prices on coarse `f`; None where the host, as one heap, could hold all guests but some few."""
    scarce = [left for each in chain(sums(f), device_sums(f)) if (left := _beside_required(f.units, each)) is not None]
    most_left = max((_least_left_out(f.units, each) for each in scarce), default=0)
    if not scarce or most_left < MANY_LEFT_OUT * sum(unit.count for unit in f.units):
        return None
    found = _dual(f.units, scarce)
    if found is None:
        return None
    weights = [0] * len(f.units)
    # Whatever the prices, no plan is worth more than all room and what guests are worth beyond what they take of it
    # (weak duality): where those of the linear program are not the best, the bound is only less tight.
    most = 0
    for price, each in zip(found, scarce, strict=True):
        most += price * each.have
        for u, need in enumerate(each.needs):
            weights[u] += price * need
    for unit, weight in zip(f.units, weights, strict=True):
        worth = PARTS * unit.guest.priority
        most += unit.count * (worth if unit.guest.required else max(0, worth - weight))
    return Prices(tuple(weights), most // PARTS)


def _beside_required(units: Sequence[Unit], each: Sum) -> Sum | None:
    """What the required guests leave for the others, to whom it is not enough; None where it is."""
    required = sum(unit.count * need for unit, need in zip(units, each.needs, strict=True) if unit.guest.required)
    wanted = sum(unit.count * need for unit, need in zip(units, each.needs, strict=True))
    return None if wanted <= each.have else Sum(each.needs, max(0, each.have - required))


def _least_left_out(units: Sequence[Unit], each: Sum) -> int:
    """How many optional guests have no place at least, were those that need the most left out first."""
    optional = [(need, unit.count) for need, unit in zip(each.needs, units, strict=True) if not unit.guest.required]
    over, left_out = sum(need * count for need, count in optional) - each.have, 0
    for need, count in sorted(optional, reverse=True):
        if over > 0 and need:
            some = min(count, -(-over // need))
            over, left_out = over - some * need, left_out + some
    return left_out


def _dual(units: Sequence[Unit], scarce: Sequence[Sum]) -> list[int] | None:
    """A price for one of each sum, in PARTS of a priority; None where none are found."""
    program = LinearProgram()
    # Millions of small pages beside two VFs would be more than its tolerance tells apart.
    scales = [max(each.needs) for each in scarce]
    rows = [program.row(high=each.have / scale) for each, scale in zip(scarce, scales, strict=True)]
    for u, unit in enumerate(units):
        if not unit.guest.required:
            needs = {row: each.needs[u] / scale for row, each, scale in zip(rows, scarce, scales, strict=True)}
            program.column(-float(unit.guest.priority), needs, high=unit.count)
    solved = program.solve()
    if solved is None:
        return None
    return [max(0, round(-PARTS * solved.prices[row] / scale)) for row, scale in zip(rows, scales, strict=True)]
