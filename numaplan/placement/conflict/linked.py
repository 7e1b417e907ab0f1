"""Proofs by counting of guests that affinity keeps on the same nodes, or anti-affinity on different ones."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from numaplan.model.host import NodeId
from numaplan.placement.conflict.totals import Excess, Resource
from numaplan.placement.problem import Problem
from numaplan.placement.ties import Ties, Wish, tied_groups, tied_sets, ties


@dataclass(frozen=True, slots=True)
class _Band:
    """Classes of one guest that all lie within one of `ways`, sets of nodes, whichever it is.

    All of them are tied to the one that they are held together `by`; None: each is tied to each other one.
    """

    numbers: tuple[int, ...]
    ways: frozenset[frozenset[NodeId]]
    by: int | None = None

    @property
    def most(self) -> int:
        """How many nodes they lie on at most."""
        return max(map(len, self.ways))


def bands(problem: Problem, counted: Iterable[Resource]) -> Iterator[Excess]:
    """Guests that need more on the nodes that they must share than any such nodes have."""
    found = _bands(problem)
    for resource in counted if found else ():
        wanted: dict[int, int] = defaultdict(int)
        for item in resource.items:
            if item.near:
                wanted[item.number] += item.amount * item.count
        for band in found:
            yield from _exceeded(resource, band, {c: wanted[c] for c in band.numbers})
    for band in found:
        yield from _floating(problem, band)


def _exceeded(resource: Resource, band: _Band, weights: dict[int, int]) -> Iterator[Excess]:
    reach = {pool for item in resource.items if item.near and item.number in weights for pool in item.reach}
    at: dict[NodeId | None, int] = defaultdict(int)
    for pool in reach:
        at[pool.node] += resource.have.get(pool, 0)
    need, have = sum(weights.values()), max(sum(at[node] for node in way) for way in band.ways)
    if need > have:
        yield Excess(resource.noun, 1, need, have, None, weights, together=band.most, by=band.by)


def _floating(problem: Problem, band: _Band) -> Iterator[Excess]:
    """Where the host names no pool, the threads that float need one CPU there that nobody holds."""
    facts = problem.facts
    weights = {c: sum(cell.cpus(facts.threads) for cell in problem.classes[c].cells) for c in band.numbers}
    first = next((c for c in band.numbers if problem.classes[c].floats), None)
    if first is None:
        return
    weights[first] += 1
    at = {node: len(facts.unheld(node)) for node in facts.nodes}
    need, have = sum(weights.values()), max(sum(at[node] for node in way) for way in band.ways)
    if need > have:
        noun = "CPUs, one of them for emulators and iothreads to float on,"
        yield Excess(noun, 1, need, have, None, weights, together=band.most, by=band.by)


def _bands(problem: Problem) -> list[_Band]:
    """Guests that all are tied to each other, and those tied to one that lies on no fewer nodes than they do."""
    if not any(guests.request.affinity for guests in problem.classes):
        return []
    tied = ties([guests.members for guests in problem.classes], Wish.TOGETHER)
    ways = [frozenset(frozenset(option.nodes) for option in guests.options) for guests in problem.classes]
    # Where ways were left out, guests may lie elsewhere than all those that are known say.
    known = [c for c, guests in enumerate(problem.classes) if ways[c] and not guests.partial]
    single = [c for c in known if len(problem.classes[c].members) == 1]
    found: dict[tuple[int, ...], _Band] = {}
    whole: set[int] = set()
    for numbers in _all_tied(tied, single):
        found[numbers] = _Band(numbers, frozenset().union(*(ways[c] for c in numbers)))
        whole.update(c for c in numbers if sum(1 for _ in tied_groups(tied, c)) + 1 == len(numbers))
    sizes = {c: [len(way) for way in ways[c]] for c in single}
    # Who is tied to nobody else than those that are all tied together holds no more than these.
    for c in [c for c in single if c not in whole]:
        within = [o for o in tied_groups(tied, c) if o in sizes and max(sizes[o]) <= min(sizes[c])]
        numbers = tuple(sorted((c, *within)))
        if within and numbers not in found:
            found[numbers] = _Band(numbers, ways[c], by=c)
    return list(found.values())


def _all_tied(tied: Ties, single: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Guests of which each is tied to each other one: of any two the nodes of one contain those of the other."""
    there = set(single)
    for each in tied_sets(tied):
        if each.mutual and there.issuperset(each.members):
            yield each.members


def crowds(problem: Problem) -> Iterator[Excess]:
    """Guests each of which keeps away from each other one of them, and that need more nodes than they can reach."""
    linked = {
        guests.request.name: (c, guests)
        for c, guests in enumerate(problem.classes)
        if len(guests.members) == 1 and guests.options and not guests.partial
    }
    foes: dict[str, set[str]] = {name: set() for name in linked}
    for name, (_, guests) in linked.items():
        for other in guests.request.anti_affinity:
            if other in foes:
                foes[name].add(other)
                foes[other].add(name)
    for start, others in foes.items():
        crowd = [start]
        for other in sorted(others, key=lambda name: (-len(foes[name]), name)):
            if all(other in foes[member] for member in crowd):
                crowd.append(other)
        weights = {linked[name][0]: min(len(set(o.nodes)) for o in linked[name][1].options) for name in crowd}
        reach = {node for name in crowd for option in linked[name][1].options for node in option.nodes}
        if (need := sum(weights.values())) > len(reach):
            yield Excess("nodes of their own", 1, need, len(reach), None, weights)
            return
