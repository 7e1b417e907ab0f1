"""Guests that must share their nodes, as one guest of all their cells: fewer things to try, often equal."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from numaplan.model.guest import VcpuId
from numaplan.model.request import CellRequest, GuestRequest
from numaplan.placement.lies import Lies
from numaplan.placement.problem import CellDemand, DeviceDemand, GuestClass, Option, Problem

# What guests are alike by.
_Key = tuple[tuple[CellDemand, ...], tuple[DeviceDemand, ...], tuple[Option, ...], bool, int, int, str | None]


@dataclass(frozen=True, slots=True)
class Joined:
    """A problem in which guests stand for groups of another one: for each such its class, and those of its group."""

    problem: Problem
    groups: Mapping[str, tuple[GuestClass, tuple[GuestClass, ...]]]

    def apart(self, chosen: Mapping[str, int | None]) -> dict[str, int | None]:
        """The option of each guest of the other problem, where those of this one are `chosen`; None: not placed."""
        found = {name: option for name, option in chosen.items() if name not in self.groups}
        for name, (one, group) in self.groups.items():
            option = chosen[name]
            left = [] if option is None else list(one.options[option].nodes)
            for guests in group:
                nodes, left = tuple(left[: len(guests.cells)]), left[len(guests.cells) :]
                ways = [each.nodes for each in guests.options]
                found[guests.request.name] = ways.index(nodes) if nodes else None
        return found

    def lies_apart(self, lies: Lies) -> Lies:
        """Where the guests of the other problem lie, where those of this one do so."""
        found = {name: nodes for name, nodes in lies.items() if name not in self.groups}
        for name, (_, group) in self.groups.items():
            left = lies.get(name, ())
            for guests in group if left else ():
                found[guests.request.name], left = left[: len(guests.cells)], left[len(guests.cells) :]
        return found

    def lies_together(self, lies: Lies) -> Lies:
        """Where the guests of this problem lie, where those of the other one do so; of a group all must."""
        found = dict(lies)
        for name, (_, group) in self.groups.items():
            names = [guests.request.name for guests in group]
            nodes = tuple(node for each in names for node in lies.get(each, ()))
            for each in names:
                found.pop(each, None)
            if all(each in lies for each in names):
                found[name] = nodes
        return found


def joined(problem: Problem) -> Joined:
    """The same question with required guests that are linked joined where that changes nothing."""
    by_name = {guests.request.name: c for c, guests in enumerate(problem.classes) if len(guests.members) == 1}
    taken: set[int] = set()
    speaker: dict[str, str] = {}
    groups: dict[str, tuple[GuestClass, tuple[GuestClass, ...]]] = {}
    for numbers in _groups(problem, by_name):
        group = tuple(problem.classes[c] for c in numbers)
        names = {guests.request.name for guests in group}
        if _are_on_the_same_nodes(group) and all(_joinable(problem, guests, names) for guests in group):
            taken |= set(numbers)
            one = _one(group)
            speaker.update(dict.fromkeys(names, one.request.name))
            groups[one.request.name] = (one, group)
    rest = [_renamed(guests, speaker) for c, guests in enumerate(problem.classes) if c not in taken]
    ones = [_renamed(one, speaker) for one, _ in groups.values()]
    shunned = {name for guests in (*rest, *ones) for name in guests.request.anti_affinity}
    classes: dict[_Key, GuestClass] = {}
    for one in ones:
        # Who keeps away from others, or others from it, is one of a kind.
        apart = one.request.name if one.request.anti_affinity or one.request.name in shunned else None
        key = (one.cells, one.devices, one.options, one.floats, one.stands_for, one.request.priority, apart)
        known = classes.get(key)
        classes[key] = one if known is None else replace(known, members=known.members + one.members)
    return Joined(replace(problem, classes=(*rest, *classes.values())), groups)


def _renamed(guests: GuestClass, speaker: Mapping[str, str]) -> GuestClass:
    """The class as it keeps away from those that speak for groups."""
    asked = guests.request
    apart = tuple(dict.fromkeys(speaker.get(name, name) for name in asked.anti_affinity))
    if apart == asked.anti_affinity:
        return guests
    return replace(guests, members=(replace(asked, anti_affinity=apart), *guests.members[1:]))


def _groups(problem: Problem, by_name: Mapping[str, int]) -> list[tuple[int, ...]]:
    """Classes of one guest that affinity links, directly or through others; only groups of two and more."""
    # Copies that are tied to each other say the same, each with the others' names beside its own.
    said = dict.fromkeys(
        frozenset((name, *problem.classes[c].request.affinity)).intersection(by_name)
        for name, c in by_name.items()
        if problem.classes[c].request.affinity
    )
    links: dict[str, list[frozenset[str]]] = defaultdict(list)
    for names in said:
        for name in names if len(names) > 1 else ():
            links[name].append(names)
    groups = []
    seen: set[str] = set()
    for start in list(links):
        group: set[str] = set()
        pending = set() if start in seen else {start}
        while pending:
            name = pending.pop()
            group.add(name)
            pending |= frozenset().union(*links[name]) - group
        seen |= group
        if group:
            groups.append(tuple(sorted(by_name[name] for name in group)))
    return sorted(groups)


def _are_on_the_same_nodes(group: Sequence[GuestClass]) -> bool:
    """Whether each lies on as many nodes as all others, in one way on the same ones: then the nodes say how all lie."""
    ways = [[frozenset(option.nodes) for option in guests.options] for guests in group]
    return len({len(nodes) for its in ways for nodes in its}) <= 1 and all(len(set(its)) == len(its) for its in ways)


def _joinable(problem: Problem, guests: GuestClass, group: AbstractSet[str]) -> bool:
    """A required one, not kept, that no IOMMU group must go to whole, and that is to be near nobody else."""
    asked = guests.request
    return (
        asked.required
        and not guests.exists
        and not guests.partial
        and group.isdisjoint(asked.anti_affinity)
        and not any(name in problem.facts.guest_nodes for name in asked.affinity if name not in group)
        and all(problem.device_kinds[i].bundle is None for demand in guests.devices for i in demand.kinds)
    )


def _one(group: Sequence[GuestClass]) -> GuestClass:
    """Their cells, all on the same nodes."""
    ways = [{frozenset(option.nodes): option for option in guests.options} for guests in group]
    common = [option.nodes for option in group[0].options if all(frozenset(option.nodes) in its for its in ways)]
    options = []
    for nodes in sorted(common):
        each = [its[frozenset(nodes)] for its in ways]
        options.append(Option(tuple(n for option in each for n in option.nodes), sum(option.cost for option in each)))
    return GuestClass(
        members=(_one_request([guests.request for guests in group]),),
        cells=tuple(cell for guests in group for cell in guests.cells),
        devices=tuple(demand for guests in group for demand in guests.devices),
        options=tuple(options),
        floats=any(guests.floats for guests in group),
        exists=False,
        stands_for=len(group),
    )


def _one_request(requests: Sequence[GuestRequest]) -> GuestRequest:
    """What they ask for of CPUs and memory, under the name of the first."""
    cells: list[CellRequest] = []
    dedicated: set[VcpuId] = set()
    first = 0
    for asked in requests:
        number = {vcpu: VcpuId(first + i) for i, vcpu in enumerate(v for cell in asked.cells for v in cell.vcpus)}
        cells += [replace(cell, vcpus=tuple(number[vcpu] for vcpu in cell.vcpus)) for cell in asked.cells]
        dedicated |= {number[vcpu] for vcpu in asked.dedicated_vcpus}
        first += len(number)
    return replace(
        requests[0],
        cells=tuple(cells),
        dedicated_vcpus=frozenset(dedicated),
        affinity=(),
        anti_affinity=tuple(dict.fromkeys(name for asked in requests for name in asked.anti_affinity)),
        priority=sum(asked.priority for asked in requests),
    )
