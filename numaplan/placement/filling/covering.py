"""Ways to fill nodes that together hold all cells, or weights that prove that there are none.

Where there are too many ways to look at each, those worth a look are found one by one: the prices of a linear program
that covers the cells by ways tell which is the next one, the heaviest under them, until all is covered or their weights
prove that it cannot be (Gilmore and Gomory, "A linear programming approach to the cutting-stock problem", 1961). What
covers all in parts of ways can then be made whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.cpsat import ZERO, Linear, Model, Outcome, total
from numaplan.placement.filling.fillings import Filling, Load, Lump, NodeKind, Way, Ways
from numaplan.placement.filling.heaviest import Weighing, Weights, weighable, weighed
from numaplan.placement.filling.program import MOST_ASKED, NOTHING, PARTS, Gap, Program

# So many nodes are shared out freely at last, and CP-SAT's deterministic time for that.
LAST: Final = 4
SHARED_WORK: Final = 0.1

# The prices of two rounds are far apart at first: so much of the best ones is kept.
KEPT: Final = 0.3


@dataclass(frozen=True, slots=True)
class Covered:
    """The ways that were found to fill nodes, and how far these get.

    `weighing`: under its weights nodes hold less than the load, or as little more as was found; None: not looked for.
    `taken`: how often each way is taken where parts of ways cover all; else {}.
    """

    weighing: Weighing | None
    ways: Ways
    taken: Mapping[tuple[NodeKind, Way], float]


def cover(load: Load, known: Ways | None = None) -> Covered | None:
    """Covers a load by parts of ways, of those `known` and of others; None where there is nothing to cover."""
    sizes = load.shares()
    if not any(load.wanted[lump] for lump in sizes):
        return None
    program = Program(load, [Gap(size, {lump: 1}) for lump, size in sizes.items()])
    weights: Weights = {lump: round(PARTS * size) for lump, size in sizes.items()}
    for kind, ways in (known or {}).items():
        for way in ways:
            program.add(kind, way)
    if known and any(known.values()):
        priced = program.solve()
        if priced is not None and priced.cost < NOTHING:
            return Covered(None, program.ways, program.taken(priced))
        weights = weights if priced is None else program.weights(priced)
    best = found = weighed(load, weights)
    asked, kept = len(best.ways), KEPT
    while best.left >= 0:
        new = [kind for kind, way in found.ways.items() if program.add(kind, way)]
        priced = program.solve()
        if priced is None or priced.cost < NOTHING:
            return Covered(best, program.ways, {} if priced is None else program.taken(priced))
        if asked >= MOST_ASKED or not (new or kept):
            break
        kept = KEPT if new else 0
        prices = program.weights(priced)
        found = weighed(load, {lump: round(kept * best.weights[lump] + (1 - kept) * prices[lump]) for lump in sizes})
        asked += len(found.ways)
        best = min(best, found, key=lambda each: each.left)
    return Covered(best, program.ways, {})


def make_whole(load: Load, covered: Covered) -> Filling:
    """A filling of whole ways near the parts of ways that cover a load; UNKNOWN where none is found.

    The way that is taken most often is held, and the rest covered anew; the last nodes are shared out freely.
    """
    lumps = weighable(load)
    slots: dict[tuple[NodeId, Lump], int] = {}
    left, found = Load({lump: load.wanted[lump] for lump in lumps}, load.room), covered
    while len(left.room) > LAST:
        (kind, way), often = max(found.taken.items(), key=lambda each: each[1])
        laid = dict(zip(kind[1], way, strict=True))
        alike = [node for node in sorted(left.room) if left.kind(node, lumps) == kind]
        held = alike[: min(max(1, floor(often + NOTHING)), len(left.room) - LAST)]
        rest = left.beside(held, laid)
        covered_rest = cover(rest, found.ways)
        if covered_rest is not None and not covered_rest.taken:
            break
        slots.update({(node, lump): count for node in held for lump, count in laid.items()})
        if covered_rest is None:
            return Filling(Outcome.OPTIMAL, slots)
        left, found = rest, covered_rest
    last = _shared_out(left)
    return Filling(Outcome.OPTIMAL, {**slots, **last}) if last else Filling(Outcome.UNKNOWN)


def _shared_out(load: Load) -> Mapping[tuple[NodeId, Lump], int]:
    """How many of each lump lie on each node, every lump on its own instead of by ways; {} if not found."""
    model = Model()
    slots: dict[tuple[NodeId, Lump], Linear] = {}
    for node, room in load.room.items():
        _, lumps = load.kind(node, [lump for lump, count in load.wanted.items() if count])
        here = {lump: model.integer(0, load.most(lump)) for lump in lumps}
        slots.update({(node, lump): count for lump, count in here.items()})
        floating = {lump: count for lump, count in here.items() if lump.floats}
        # What floats needs one of the last thing, the same for all.
        floats: Linear = model.boolean() if floating else ZERO
        for lump, count in floating.items():
            model.at_most(count - floats * load.most(lump), 0)
        for i, have in enumerate(room):
            if sum(load.most(lump) * lump.needs[i] for lump in here) >= have:
                used = total(count * lump.needs[i] for lump, count in here.items())
                model.at_most(used + floats if i == len(room) - 1 else used, have)
    for lump, wanted in load.wanted.items():
        model.at_least(total(slots[node, lump] for node in load.room if (node, lump) in slots), wanted)
    solution = model.solve(ZERO, maximize=False, work=SHARED_WORK).solution
    return {slot: count.value(solution) for slot, count in slots.items()} if solution else {}
