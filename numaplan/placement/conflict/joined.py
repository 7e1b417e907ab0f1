"""Guests that must share their nodes, as one guest of all their cells: fewer things to try, often equal."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from numaplan.placement.problem import CellDemand, DeviceDemand, GuestClass, Option, Problem

Needs = tuple[tuple[CellDemand, ...], tuple[DeviceDemand, ...], tuple[tuple[int, ...], ...], bool]


def joined(problem: Problem) -> Problem:
    """The same question with linked guests joined where that changes nothing: for whether, not for where."""
    by_name = {guests.request.name: c for c, guests in enumerate(problem.classes) if len(guests.members) == 1}
    shunned = {name for guests in problem.classes for name in guests.request.anti_affinity}
    taken: set[int] = set()
    classes: dict[Needs, GuestClass] = {}
    for group in _groups(problem, by_name):
        alike = _are_on_the_same_nodes([problem.classes[c] for c in group])
        names = {problem.classes[c].request.name for c in group}
        if alike and shunned.isdisjoint(names) and all(_joinable(problem, problem.classes[c], names) for c in group):
            taken |= set(group)
            one = _one([problem.classes[c] for c in group])
            key = (one.cells, one.devices, tuple(option.nodes for option in one.options), one.floats)
            known = classes.get(key)
            classes[key] = one if known is None else replace(known, members=known.members + one.members)
    rest = tuple(guests for c, guests in enumerate(problem.classes) if c not in taken)
    return replace(problem, classes=(*rest, *classes.values()))


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
    """Not one that is kept, that an IOMMU group must go to whole, or that has to do with guests outside."""
    asked = guests.request
    return (
        not guests.exists
        and not asked.anti_affinity
        and not any(name in problem.facts.guest_nodes for name in asked.affinity if name not in group)
        and all(problem.device_kinds[i].bundle is None for demand in guests.devices for i in demand.kinds)
    )


def _one(group: Sequence[GuestClass]) -> GuestClass:
    """Their cells, all on the same nodes."""
    nodes_of = [{frozenset(option.nodes): option.nodes for option in guests.options} for guests in group]
    common = [option.nodes for option in group[0].options if all(frozenset(option.nodes) in its for its in nodes_of)]
    return GuestClass(
        members=(replace(group[0].request, affinity=(), required=True),),
        cells=tuple(cell for guests in group for cell in guests.cells),
        devices=tuple(demand for guests in group for demand in guests.devices),
        options=tuple(
            Option(tuple(node for its in nodes_of for node in its[frozenset(nodes)]), cost=0)
            for nodes in sorted(common)
        ),
        floats=any(guests.floats for guests in group),
        exists=False,
    )
