"""The coarse model with any number of copies of one vm in it, which it does not tell apart."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.request import Costs, Request
from numaplan.placement.capacity.copies import Copies
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.totals import resources
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Linear, total
from numaplan.placement.current import pinned_cpus
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation, Unit
from numaplan.placement.lies import Lies
from numaplan.placement.options import build_problem
from numaplan.placement.problem import GuestClass, Option, Problem
from numaplan.placement.ties import nested

Nodes = frozenset[NodeId]
# How many guests of a class go each way: by its number, the nodes of the cells, and whether they stay as they are.
WaysTaken = Mapping[tuple[int, tuple[NodeId, ...], bool], int]

# No guest has this name, so a link to it binds nothing; but a guest with a link is told apart from its equals.
_NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class CopiesProblem:
    """A problem of all required guests in which class `number`, where there is one, is that of the copies.

    `staying` are the last classes: each a copy that is there and may stay where no other could lie. Where it is to lie
    elsewhere it is a copy like the others.
    """

    problem: Problem
    copies: Copies
    number: int
    staying: tuple[int, ...]

    @property
    def guests(self) -> GuestClass:
        """The class of the copies; how many members it has means nothing."""
        return self.problem.classes[self.number]

    def is_copy(self, number: int) -> bool:
        """Whether a class is that of the copies or of one that stays."""
        return number == self.number or number in self.staying

    @property
    def most(self) -> int:
        """No more copies than this find a place, by what is counted in all and of each set of nodes."""
        low, high = 0, self._most_alone
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (low, middle - 1) if self.exceeds(middle) else (middle, high)
        return low

    def exceeds(self, count: int) -> bool:
        """Whether counting alone shows that `count` copies have no place, however many of them stay."""
        return excess(self.with_copies(max(0, count - len(self.staying)))) is not None

    def with_copies(self, count: int) -> Problem:
        """The problem in which the class of the copies has `count` members, and none stays."""
        copies = (replace(self.guests, members=self.guests.members * count),) if count else ()
        end = len(self.problem.classes) - len(self.staying)
        behind = self.problem.classes[self.number + 1 : end]
        return replace(self.problem, classes=(*self.problem.classes[: self.number], *copies, *behind))

    @property
    def is_linked(self) -> bool:
        """Whether affinity or anti-affinity binds the copies, of which `problem` says nothing."""
        copies = self.copies
        return bool(copies.together or copies.apart or copies.near or copies.far)

    @property
    def is_simple(self) -> bool:
        """Whether `required` is the whole question of copies."""
        return not self.is_linked and not self.told_apart and not self.staying

    @property
    def told_apart(self) -> bool:
        """Whether copies are not all the same to the model: an IOMMU group that goes as one goes to one copy."""
        kinds = self.problem.device_kinds
        return any(kinds[i].bundle is not None for demand in self.guests.devices for i in demand.kinds)

    def required(self, count: int, *, on: NodeId | None = None) -> Problem:
        """The problem in which `count` copies are required, one at least, each with a name of its own.

        The last of them lies `on` a node.
        """
        problem = self.with_copies(count)
        others = (guests.members for c, guests in enumerate(problem.classes) if c != self.number)
        names = self.copies.called(count, (guest.name for members in others for guest in members))
        members = tuple(replace(self.guests.request, name=name, required=True) for name in names)
        classes = list(problem.classes)
        classes[self.number] = replace(self.guests, members=members)
        if on is not None:
            there = tuple(option for option in self.guests.options if on in option.nodes)
            classes.append(replace(self.guests, members=members[-1:], options=there))
            classes[self.number] = replace(self.guests, members=members[:-1])
        return replace(problem, classes=tuple(guests for guests in classes if guests.members))

    @property
    def _most_alone(self) -> int:
        """No more than this by each thing that the host has in all."""
        nodes, anew = len(self.problem.facts.nodes), 0
        if self.guests.options or self.guests.partial:
            one = replace(self.problem, classes=(self.guests,))
            counts = [resource.times for resource in resources(one)]
            anew = min(count for count in counts if count is not None)
        return min([anew + len(self.staying)] + [nodes] * self.copies.apart)


def copies_problem(request: Request, facts: HostFacts, copies: Copies) -> CopiesProblem:
    """The required guests of `request` and a class of copies, on the host of `facts`."""
    linked = {*copies.near, *copies.far}
    others = [
        replace(guest, anti_affinity=(*guest.anti_affinity, _NOBODY)) if guest.name in linked else guest
        for guest in request.guests
        if guest.vm != copies.vm and guest.required
    ]
    name = copies.called(len(copies.present) + 1, (guest.name for guest in request.guests))[-1]
    # What the copies that are there hold is free in the facts, and where they lie binds none of them. But on a core
    # that another guest has to itself only who is there may have anything: by staying as it is.
    there = (guest for guest in facts.snapshot.guests if guest.name in copies.present)
    beside = [guest for guest in there if _is_beside(guest, copies, facts)]
    gone = set(copies.present) - {guest.name for guest in beside}
    copies_there = [replace(copies.guest, name=guest.name) for guest in beside]
    asked = replace(request, guests=(*others, replace(copies.guest, name=name), *copies_there))
    problem = _without_costs(build_problem(asked, _without_guests(facts, gone)))
    classes, staying = list[GuestClass](), list[GuestClass]()
    for guests in problem.classes:
        if guests.request.name not in copies.present:
            classes.append(guests)
        elif guests.stays_beside:
            # Where it could lie as well as any other copy it is one of these.
            staying.append(replace(guests, options=tuple(way for way in guests.options if _stays_beside(way, facts))))
    number = next(c for c, guests in enumerate(classes) if guests.request.name == name)
    last = tuple(range(len(classes), len(classes) + len(staying)))
    facts = _without_guests(problem.facts, set(copies.present))
    return CopiesProblem(replace(problem, facts=facts, classes=(*classes, *staying)), copies, number, last)


def _is_beside(guest: Guest, copies: Copies, facts: HostFacts) -> bool:
    """Whether a copy that is there has a CPU of a core that another guest has to itself."""
    return not facts.idle.isdisjoint(pinned_cpus(guest, copies.guest, online=facts.snapshot.cpus.online))


def _stays_beside(way: Option, facts: HostFacts) -> bool:
    return way.keep is not None and not facts.idle.isdisjoint(way.keep.cpus)


def _without_guests(facts: HostFacts, names: Collection[str]) -> HostFacts:
    """The facts of which the snapshot does not show these guests."""
    guests = tuple(guest for guest in facts.snapshot.guests if guest.name not in names)
    return replace(facts, snapshot=replace(facts.snapshot, guests=guests))


def _without_costs(problem: Problem) -> Problem:
    """The problem in which devices and memory cost the same everywhere: the question is only whether there is room.

    Guests on different nodes that may have them from anywhere are then the same to the model.
    """
    policy = replace(problem.facts.policy, costs=Costs(vf=0, cell=0, memory_gib=0))
    return replace(problem, facts=replace(problem.facts, policy=policy))


def formulate_copies(
    asked: CopiesProblem, count: int, *, without: str | None = None, linked: bool = True
) -> tuple[Formulation, Linear]:
    """The model with up to `count` copies, and how many are placed; `without` one constraint, or not `linked`."""
    units = _units(asked, count)
    f = formulate(asked.problem, units, fine=False, without=without)
    alike = [u for u, unit in enumerate(f.units) if unit.number == asked.number]
    for u, following in pairwise(alike):
        f.model.at_least(f.placed(u) - f.placed(following), 0)
    mine = [u for u, unit in enumerate(f.units) if asked.is_copy(unit.number)]
    placed = total(f.placed(u) for u in mine)
    f.model.at_most(placed, count)
    if linked and mine:
        _link(f, asked, mine, count)
    return f, placed


def ways_taken(f: Formulation, solution: Sequence[int]) -> WaysTaken:
    """Which ways the guests of a solution go."""
    taken: dict[tuple[int, tuple[NodeId, ...], bool], int] = defaultdict(int)
    for u, unit in enumerate(f.units):
        for option, count in f.options(u):
            taken[unit.number, option.nodes, option.keep is not None] += count.value(solution)
    return {way: count for way, count in taken.items() if count}


def lies_so(problem: Problem, held: WaysTaken) -> Lies:
    """Where guests lie if so many go each way, those of a class in the order of the request."""
    found: dict[str, tuple[NodeId, ...]] = {}
    for c, guests in enumerate(problem.classes):
        ways = [nodes for (number, nodes, _), count in held.items() if number == c for _ in range(count)]
        found.update(zip((guest.name for guest in guests.members), ways, strict=False))
    return found


def hint_of(f: Formulation, held: WaysTaken) -> dict[int, int]:
    """Values of variables from which a search may start: a solution for one copy less."""
    found = {}
    for u, unit in enumerate(f.units):
        if unit.count == len(unit.guests.members) or unit.count > 1:
            for option, count in f.options(u):
                found[count.terms[0][0]] = held.get((unit.number, option.nodes, option.keep is not None), 0)
    return found


def hold(f: Formulation, held: WaysTaken) -> None:
    """Demands that at least so many guests go each way."""
    ways: dict[tuple[int, tuple[NodeId, ...], bool], list[Linear]] = defaultdict(list)
    room: Counter[int] = Counter()
    for u, unit in enumerate(f.units):
        room[unit.number] += unit.count
        for option, count in f.options(u):
            ways[unit.number, option.nodes, option.keep is not None].append(count)
    for (number, _, _), least in held.items():
        room[number] -= least
    for way, counts in ways.items():
        # Where the class has no more members, that is how all of them lie.
        least = held.get(way, 0)
        f.model.between(least, total(counts), least + room[way[0]])


def _units(asked: CopiesProblem, count: int) -> list[Unit]:
    units = []
    for c, guests in enumerate(asked.problem.classes):
        options = tuple(range(len(guests.options)))
        if c != asked.number:
            units.append(Unit(c, guests, 0, len(guests.members), options))
        elif count and asked.told_apart:
            units += [Unit(c, guests, 0, 1, options)] * count
        elif count:
            units.append(Unit(c, guests, 0, count, options))
    return units


def _link(f: Formulation, asked: CopiesProblem, mine: Sequence[int], count: int) -> None:
    """Affinity and anti-affinity of the copies, with each other and with other guests."""
    copies, facts = asked.copies, asked.problem.facts
    if not asked.is_linked:
        return
    ways = _by_nodes((option, n) for u in mine for option, n in f.options(u))
    if copies.apart:
        for node in facts.nodes:
            f.model.at_most(total(n for nodes, n in ways.items() if node in nodes), 1)
    used = {nodes: f.model.boolean() for nodes in ways}
    for nodes, n in ways.items():
        f.model.at_most(n - used[nodes] * count, 0)
    if copies.together:
        _keep_together(f, used)
    by_name = {name: u for u, unit in enumerate(f.units) if u not in mine for name in unit.names}
    for partners, fits in ((copies.near, nested), (copies.far, frozenset.isdisjoint)):
        for partner in partners:
            if partner in by_name:
                _link_with(f, used, by_name[partner], fits)
            elif held := facts.guest_nodes.get(partner):
                f.model.equal(total(here for nodes, here in used.items() if not fits(nodes, held)))


def _link_with(f: Formulation, used: dict[Nodes, Linear], u: int, fits: Callable[[Nodes, Nodes], bool]) -> None:
    """Where a copy lies, none of the guests of unit `u` lies on nodes that do not fit."""
    theirs = _by_nodes(f.options(u))
    count = f.units[u].count
    for nodes, here in used.items():
        against = total(n for other, n in theirs.items() if not fits(nodes, other))
        f.model.at_most(against + here * count, count)


def _keep_together(f: Formulation, used: dict[Nodes, Linear]) -> None:
    """Of any two node sets that copies have, one contains the other: so there is one of each size at most."""
    by_size: dict[int, list[Nodes]] = defaultdict(list)
    for nodes in used:
        by_size[len(nodes)].append(nodes)
    for sets in by_size.values():
        f.model.at_most(total(used[nodes] for nodes in sets), 1)
        for nodes, here in used.items():
            if len(nodes) < len(sets[0]):
                f.model.at_most(here + total(used[other] for other in sets if not nodes <= other), 1)


def _by_nodes(options: Iterable[tuple[Option, Linear]]) -> dict[Nodes, Linear]:
    lists: dict[Nodes, list[Linear]] = defaultdict(list)
    for option, n in options:
        lists[frozenset(option.nodes)].append(n)
    return {nodes: total(parts) for nodes, parts in lists.items()}
