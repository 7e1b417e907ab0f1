"""Optional copies of which the host could never hold all: what is beyond is left out before a model is built.

Equal guests are one unit that is counted; but who is tied to others, or may need a whole IOMMU group, is a unit of one,
and a model of hundreds of these is large, though all but a few of them have no place whatever the others do.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import product

from numaplan.model.request import GuestRequest
from numaplan.placement.options import needs
from numaplan.placement.problem import GuestClass, Problem
from numaplan.placement.ties import Wish, ties


def without_surplus(problem: Problem) -> Problem:
    """The problem without the last of each set of interchangeable optional guests, as many as never have a place."""
    members = [guests.members for guests in problem.classes]
    near, apart = ties(members, Wish.TOGETHER), ties(members, Wish.APART)
    alike: dict[tuple[GuestRequest, int, int], list[int]] = defaultdict(list)
    for c, guests in enumerate(problem.classes):
        if len(guests.members) == 1 and not guests.request.required and not guests.exists:
            plain = replace(needs(guests.request), affinity=(), anti_affinity=())
            # Copies may be tied to each other or not: in the eyes of those that are, each is tied to itself as well.
            for tied in product((near[c], near[c] | 1 << c), (apart[c], apart[c] | 1 << c)):
                alike[plain, *tied].append(c)
    beyond: set[int] = set()
    for first, *others in alike.values():
        if others:
            are_apart = bool(apart[first] >> others[0] & 1)
            beyond.update([first, *others][_most(problem, problem.classes[first], apart=are_apart) :])
    if not beyond:
        return problem
    return replace(problem, classes=tuple(guests for c, guests in enumerate(problem.classes) if c not in beyond))


def _most(problem: Problem, guests: GuestClass, *, apart: bool) -> int:
    """So many copies of a guest the host holds at most, nobody else being there; `apart`: no two of them on a node."""
    facts, cells, kinds = problem.facts, guests.cells, problem.core_kinds
    if not guests.options:
        return 0
    sizes = {size for cell in cells for size in cell.page_sizes_kib}
    memory_kib = sum(kib for (_, size), kib in facts.capacity_kib.items() if size in sizes)
    have_and_need = [
        (sum(kind.free * len(kind.cores) for kind in kinds), sum(cell.cpus(facts.threads) for cell in cells)),
        (sum(len(kind.cores) for kind in kinds if kind.isolable), sum(cell.isolated for cell in cells)),
        (sum(facts.pool_left.values()), sum(cell.shared for cell in cells)),
        (memory_kib, sum(cell.memory_kib for cell in cells)),
    ]
    have_and_need += [
        (sum(len(problem.device_kinds[i].members) for i in demand.kinds), demand.count) for demand in guests.devices
    ]
    if apart:
        have_and_need.append((len(facts.nodes), min(len(set(option.nodes)) for option in guests.options)))
    return min(max(have, 0) // need for have, need in have_and_need if need)
