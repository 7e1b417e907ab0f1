"""Optional guests that have no place in a best plan, whatever the others do: left out before a model is built.

Copies: equal guests are one unit that is counted; but who is tied to others, or may need a whole IOMMU group, is a unit
of one, and a model of hundreds of these is large, though the host could never hold more than a few of them.

Outdone guests: who asks for no less than another and is worth no more is placed only beside that one, which could take
its place else. Where the host cannot hold all that outdo a guest and the guest itself, it is left out.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from operator import le
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.request import GuestRequest
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Outcome
from numaplan.placement.demands import needs, needs_untied
from numaplan.placement.formulation import coarse_units
from numaplan.placement.problem import GuestClass, Problem
from numaplan.placement.ties import Wish, ties

# CP-SAT's deterministic time to find out whether one guest has a place.
ALONE_WORK: Final = 0.1

# Of those that are worth the most, so many are looked at for who outdoes a guest.
MOST_RIVALS: Final = 500


def without_surplus(problem: Problem) -> Problem:
    """The problem without optional guests that have no place in some plan that is best at every level."""
    return _without_outdone(_without_beyond(_without_hopeless(problem)))


def _without_beyond(problem: Problem) -> Problem:
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


def _without_hopeless(problem: Problem) -> Problem:
    """The problem without optional guests that have no place even alone, though single nodes lack nothing for them.

    So it is where they want devices of IOMMU groups that go as one, and do not want whole groups.
    """
    known: dict[GuestRequest, bool] = {}

    def has_place(guests: GuestClass) -> bool:
        untied = needs_untied(guests.request)
        if untied not in known:
            alone = replace(problem, classes=(replace(guests, members=(untied,)),))
            f = formulate(alone, coarse_units(alone), fine=False)
            known[untied] = f.model.solve(ZERO, maximize=False, work=ALONE_WORK).outcome is not Outcome.INFEASIBLE
        return known[untied]

    classes = tuple(
        guests
        for guests in problem.classes
        if guests.request.required or guests.exists or not _wants_groups(problem, guests) or has_place(guests)
    )
    return problem if len(classes) == len(problem.classes) else replace(problem, classes=classes)


def _wants_groups(problem: Problem, guests: GuestClass) -> bool:
    """Whether it might need a whole IOMMU group."""
    return any(problem.device_kinds[i].bundle is not None for demand in guests.devices for i in demand.kinds)


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
    pairs = zip(_room(problem, guests, nodes), _needs_of(problem, guests), strict=True)
    return min(max(have, 0) // need for have, need in pairs if need)


def _room(problem: Problem, guests: GuestClass, nodes: frozenset[NodeId]) -> tuple[int, ...]:
    """What `nodes` have at most of each thing that a guest may need; memory and devices may be anywhere.

    Also where the core kinds do not tell all (Problem.uncounted): filling/needs.py counts more, where they do.
    """
    facts = problem.facts
    kinds = [kind for kind in problem.core_kinds if kind.node in nodes]
    sizes = {size for cell in guests.cells for size in cell.page_sizes_kib}
    # What floats where no pool is named needs a CPU that nobody holds.
    unheld = sum(len(facts.unheld(node)) for node in nodes) - guests.floats
    return (
        min(unheld, sum(kind.cpus for kind in kinds) + problem.cpus_beside(nodes)),
        # One whose threads lie apart counts for each of its kinds: too many are right here, too few would not be.
        sum(len(kind.cores) for kind in kinds if kind.isolable),
        sum(facts.pool_left[node] for node in nodes),
        sum(kib for (_, size), kib in facts.capacity_kib.items() if size in sizes),
        *(sum(len(problem.device_kinds[i].members) for i in demand.kinds) for demand in guests.devices),
    )


def _needs_of(problem: Problem, guests: GuestClass) -> tuple[int, ...]:
    """How much of each of these it needs."""
    cells = guests.cells
    return (
        sum(cell.cpus(problem.facts.threads) for cell in cells),
        sum(cell.isolated for cell in cells),
        sum(cell.shared for cell in cells),
        sum(cell.memory_kib for cell in cells),
        *(demand.count for demand in guests.devices),
    )


@dataclass(frozen=True, slots=True)
class _Rival:
    """A class of guests, by its number, among those that differ in nothing but how much each needs and is worth.

    `amounts` tell who could lie in the place of whom; `needs` are what is counted of the whole host.
    """

    number: int
    guests: GuestClass
    amounts: tuple[int, ...]
    needs: tuple[int, ...]

    @classmethod
    def of(cls, problem: Problem, number: int, guests: GuestClass) -> "_Rival":
        """What its cells and devices come to."""
        cells = ((c.isolated, c.whole, c.part, c.threads, c.shared, c.memory_kib) for c in guests.cells)
        amounts = (*chain.from_iterable(cells), *(demand.count for demand in guests.devices))
        return cls(number, guests, amounts, _needs_of(problem, guests))

    @property
    def rank(self) -> tuple[int, tuple[int, ...]]:
        """Whoever outdoes it has a lower one, or the same and comes before it."""
        return -self.guests.request.priority, self.amounts

    def could_take_place_of(self, other: "_Rival") -> bool:
        """Whether it needs no more of anything."""
        return all(map(le, self.amounts, other.amounts))


def _without_outdone(problem: Problem) -> Problem:
    """The problem without optional guests that the host cannot hold beside all those that outdo them.

    In the place of a guest, one that outdoes it is worth as much and costs no more, at the lower levels too.
    """
    classes = list(problem.classes)
    rivals: dict[Hashable, list[_Rival]] = defaultdict(list)
    linked = {name for guests in classes for name in (*guests.request.affinity, *guests.request.anti_affinity)}
    for number, guests in enumerate(classes):
        if not _has_links(guests, linked) and not (guests.exists or guests.partial or _wants_groups(problem, guests)):
            rivals[_ways_and_kinds(guests)].append(_Rival.of(problem, number, guests))
    for alike in rivals.values():
        have = _room(problem, alike[0].guests, frozenset(problem.facts.nodes))
        alike.sort(key=lambda rival: rival.rank)
        for i, rival in enumerate(alike):
            if not rival.guests.request.required:
                most = _most_beside(rival, alike[: min(i, MOST_RIVALS)], have)
                classes[rival.number] = replace(rival.guests, members=rival.guests.members[:most])
    return replace(problem, classes=tuple(guests for guests in classes if guests.members))


def _has_links(guests: GuestClass, linked: set[str]) -> bool:
    request = guests.request
    return bool(request.affinity or request.anti_affinity) or request.name in linked


def _ways_and_kinds(guests: GuestClass) -> Hashable:
    """All that guests have in common of which each can take the place of any that needs no less."""
    request = guests.request
    cells = tuple(
        (demand.page_sizes_kib, demand.strict, request.dedicated_vcpus.isdisjoint(cell.vcpus))
        for demand, cell in zip(guests.cells, request.cells, strict=True)
    )
    devices = tuple((demand.kinds, demand.affinity, demand.mbps, demand.distinct) for demand in guests.devices)
    return guests.options, cells, devices, guests.floats


def _most_beside(rival: _Rival, better: Sequence[_Rival], have: Sequence[int]) -> int:
    """How many of a class a host that has so much can hold beside all those of `better` that outdo it."""
    left = list(have)
    for other in better:
        if other.could_take_place_of(rival):
            count = len(other.guests.members)
            left = [there - need * count for there, need in zip(left, other.needs, strict=True)]
            if any(there < need for there, need in zip(left, rival.needs, strict=True)):
                return 0
    most = len(rival.guests.members)
    return min([most, *(max(there, 0) // need for there, need in zip(left, rival.needs, strict=True) if need)])
