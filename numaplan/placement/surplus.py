"""Optional copies of which the host could never hold all: what is beyond is left out before a model is built.

Equal guests are one unit that is counted; but who is tied to others, or may need a whole IOMMU group, is a unit of one,
and a model of hundreds of these is large, though all but a few of them have no place whatever the others do.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import product

from numaplan.model.host import NodeId
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
            together, are_apart = (bool(tied[first] >> others[0] & 1) for tied in (near, apart))
            most = _most(problem, problem.classes[first], together=together, apart=are_apart)
            beyond.update([first, *others][most:])
    if not beyond:
        return problem
    return replace(problem, classes=tuple(guests for c, guests in enumerate(problem.classes) if c not in beyond))


def _most(problem: Problem, guests: GuestClass, *, together: bool, apart: bool) -> int:
    """So many copies of a guest the host holds at most, nobody else being there; tied to each other: see ties.py."""
    ways = {frozenset(option.nodes) for option in guests.options}
    if not ways:
        return 0
    # Of two that are tied the one's nodes contain the other's: so all lie within those of one of them.
    places = ways if together else {frozenset(problem.facts.nodes)}
    most = max(_most_on(problem, guests, nodes) for nodes in places)
    return min(most, len(problem.facts.nodes) // min(map(len, ways))) if apart else most


def _most_on(problem: Problem, guests: GuestClass, nodes: frozenset[NodeId]) -> int:
    facts, cells = problem.facts, guests.cells
    kinds = [kind for kind in problem.core_kinds if kind.node in nodes]
    sizes = {size for cell in cells for size in cell.page_sizes_kib}
    # Memory need not be where the CPUs are, nor VFs.
    memory_kib = sum(kib for (_, size), kib in facts.capacity_kib.items() if size in sizes)
    # What floats where no pool is named needs a CPU that nobody holds.
    unheld = sum(len(facts.online(node) - facts.taken) for node in nodes) - guests.floats
    cpus = min(unheld, sum(kind.free * len(kind.cores) for kind in kinds))
    have_and_need = [
        (cpus, sum(cell.cpus(facts.threads) for cell in cells)),
        (sum(len(kind.cores) for kind in kinds if kind.isolable), sum(cell.isolated for cell in cells)),
        (sum(facts.pool_left[node] for node in nodes), sum(cell.shared for cell in cells)),
        (memory_kib, sum(cell.memory_kib for cell in cells)),
    ]
    have_and_need += [
        (sum(len(problem.device_kinds[i].members) for i in demand.kinds), demand.count) for demand in guests.devices
    ]
    return min(max(have, 0) // need for have, need in have_and_need if need)
