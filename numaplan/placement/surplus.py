"""Optional copies of which the host could never hold all: what is beyond is left out before a model is built.

Equal guests are one unit that is counted; but who is tied to others, or may need a whole IOMMU group, is a unit of one,
and a model of hundreds of these is large, though all but a few of them have no place whatever the others do.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.request import GuestRequest
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Outcome
from numaplan.placement.demands import needs
from numaplan.placement.formulation import coarse_units
from numaplan.placement.problem import GuestClass, Problem
from numaplan.placement.ties import Wish, ties

# CP-SAT's deterministic time to find out whether one guest has a place.
ALONE_WORK: Final = 0.1


def without_surplus(problem: Problem) -> Problem:
    """The problem without the last of each set of interchangeable optional guests, as many as never have a place."""
    problem = _without_hopeless(problem)
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


def _without_hopeless(problem: Problem) -> Problem:
    """The problem without optional guests that have no place even alone, though single nodes lack nothing for them.

    So it is where they want devices of IOMMU groups that go as one, and do not want whole groups.
    """
    known: dict[GuestRequest, bool] = {}

    def has_place(guests: GuestClass) -> bool:
        untied = replace(needs(guests.request), affinity=(), anti_affinity=(), required=True)
        if untied not in known:
            alone = replace(problem, classes=(replace(guests, members=(untied,)),))
            f = formulate(alone, coarse_units(alone), fine=False)
            known[untied] = f.model.solve(ZERO, maximize=False, work=ALONE_WORK).outcome is not Outcome.INFEASIBLE
        return known[untied]

    def wants_groups(guests: GuestClass) -> bool:
        return any(problem.device_kinds[i].bundle is not None for demand in guests.devices for i in demand.kinds)

    classes = tuple(
        guests
        for guests in problem.classes
        if guests.request.required or guests.exists or not wants_groups(guests) or has_place(guests)
    )
    return problem if len(classes) == len(problem.classes) else replace(problem, classes=classes)


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
    unheld = sum(len(facts.unheld(node)) for node in nodes) - guests.floats
    cpus = min(unheld, sum(kind.free * len(kind.cores) for kind in kinds) + problem.cpus_beside(nodes))
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
