"""What no plan's priority beats, by the ways to fill nodes: what guests are worth, and what a node can hold of them.

Prices of a linear program in which ways to fill nodes cover the guests, but for those left out, say what each lump is
worth where it takes room from others. No plan is worth more than the heaviest ways under these and what guests are
worth beyond their lumps (weak duality): in whole numbers, whatever the prices. VFs, devices and links are left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

from numaplan.placement.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.filling.fillings import Load, lumps_of
from numaplan.placement.filling.heaviest import Weighing, weighed
from numaplan.placement.filling.program import MOST_ASKED, MOST_DIFFERENT, NOTHING, PARTS, Gap, Program
from numaplan.placement.formulation import Formulation, Unit


class _Guests(NamedTuple):
    """The guests of a unit, and what one of them wants."""

    unit: Unit
    gap: Gap


def ceiling(f: Formulation, known: int, remaining: Remaining = UNLIMITED) -> int | None:
    """What no plan of coarse `f` beats in priority, which `known` is of one; None where that cannot be told.

    Not all work is done where `known` is shown to be the most, or no time is `remaining`.
    """
    load = Load.of(f.problem)
    sizes = load.shares()
    if not 0 < len(sizes) <= MOST_DIFFERENT:
        return None
    asked = sum(unit.count * unit.guest.priority for unit in f.units)
    guests = []
    for unit in f.units:
        lumps = {lump: count for lump, count in lumps_of(f.problem, unit.guests).items() if lump in sizes}
        # To leave out who is required costs more than all others are worth.
        guests.append(_Guests(unit, Gap(asked + 1 if unit.guest.required else unit.guest.priority, lumps, unit.count)))
    program = Program(load, [each.gap for each in guests])
    found = weighed(load, {lump: round(PARTS * size) for lump, size in sizes.items()})
    best, questions = min(asked, _most(found, guests)), len(found.ways)
    while best > known and questions < MOST_ASKED and not is_over(remaining):
        new = [kind for kind, way in found.ways.items() if program.add(kind, way)]
        priced = program.solve()
        if priced is None or not new or best <= asked - priced.cost + NOTHING:
            break
        found = weighed(load, program.weights(priced))
        best, questions = min(best, _most(found, guests)), questions + len(found.ways)
    return best


def _most(found: Weighing, guests: Sequence[_Guests]) -> int:
    """What no plan beats, by any weights."""
    most = found.have
    for unit, gap in guests:
        gain = PARTS * unit.guest.priority - sum(found.weights[lump] * count for lump, count in gap.lumps.items())
        most += unit.count * (gain if unit.guest.required else max(0, gain))
    return most // PARTS
