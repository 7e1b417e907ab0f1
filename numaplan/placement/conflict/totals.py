"""Proofs by counting that guests cannot all be placed: what they need of a resource against what is in their reach.

A search finds pigeonholes hard to refute; a sum does not. Every count here is necessary, never sufficient.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from math import gcd
from typing import Final, NamedTuple

from numaplan.cpuset import format_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.filling.needs import CORE_COUNTS, CoreCount
from numaplan.placement.problem import CellDemand, GuestClass, Problem
from numaplan.units import format_count, format_size

# Unions of two reaches are looked at where there are at most so many different ones.
_PAIRED: Final = 24


class Pool(NamedTuple):
    """Where a resource lies: a node, and which part of what is there (a page size, a device kind, a PF)."""

    node: NodeId | None
    part: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """What each of `count` things of class `number` takes, whole, from one of the pools in `reach`.

    `near`: always from one on the guest's own nodes.
    """

    number: int
    count: int
    amount: int
    reach: frozenset[Pool]
    near: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """What every pool has, and who wants how much of it. `divisible`: an item may be gathered from several pools."""

    noun: str
    have: Mapping[Pool, int]
    items: tuple[Item, ...]
    divisible: bool = False

    @property
    def times(self) -> int | None:
        """How often all items together can be had at most, wherever they lie; None: without end."""
        need = sum(item.count * item.amount for item in self.items)
        reach = {pool for item in self.items if item.amount for pool in item.reach}
        return sum(self.have.get(pool, 0) for pool in reach) // need if need else None


@dataclass(frozen=True, slots=True)
class Excess:
    """`need` portions of `portion` are wanted of what holds `have`; `nodes`: where, None for the whole host.

    `weights` are the portions that one guest of each class wants there. `together`: all must lie on the same so many
    nodes, whichever these are, and that is so where those of class `by` are among them, or without these if it is None.
    """

    noun: str
    portion: int
    need: int
    have: int
    nodes: tuple[NodeId, ...] | None
    weights: Mapping[int, int]
    together: int = 0
    by: int | None = None

    @property
    def sentence(self) -> str:
        """Need against have, about guests that are called "they"."""
        if self.together:
            same = "node" if self.together == 1 else f"{self.together} nodes"
            return (
                f"their affinity keeps them on the same {same}: they need {self.need} {self.noun} there, where at most"
                f" {self.have} are free"
            )
        if self.portion == 1 and self.nodes is None:
            return f"they need {self.need} {self.noun}, the host has {self.have} free"
        where = "the host" if self.nodes is None else f"node{'s' * (len(self.nodes) > 1)} {format_id_list(self.nodes)}"
        if self.portion == 1:
            return f"they need {self.need} {self.noun} on {where}, where {self.have} are free"
        often, given = format_count(self.need, "time"), format_count(self.have, "time")
        return f"they need {often} {self.portion} {self.noun}, {where} can give that {given}"


def resources(problem: Problem) -> Iterator[Resource]:
    """Everything that is counted, the plainest first."""
    places = [_places(problem, guests) for guests in problem.classes]
    yield from _cpus(problem, places)
    yield _shared(problem, places)
    yield from _memory(problem)
    yield from _devices(problem)


def exceeded(problem: Problem, resource: Resource) -> Iterator[Excess]:
    """Every count by which those who want it cannot all have it."""
    items = [item for item in resource.items if item.count and item.amount]
    if not items:
        return
    amounts = {item.amount for item in items}
    # What several amounts have in common leaves its rest on each pool, too.
    portions = [1] if resource.divisible else sorted({gcd(a, b) for a in amounts for b in amounts} | {1})
    for reach in _reaches(items):
        inside = [item for item in items if item.reach <= reach]
        for portion in portions:
            have = sum(resource.have.get(pool, 0) // portion for pool in reach)
            need = sum(item.count * (item.amount // portion) for item in inside)
            if need > have:
                weights: dict[int, int] = {}
                for item in inside:
                    times = item.count // len(problem.classes[item.number].members)
                    weights[item.number] = weights.get(item.number, 0) + times * (item.amount // portion)
                yield Excess(resource.noun, portion, need, have, _where(problem, reach), weights)


def _where(problem: Problem, reach: frozenset[Pool]) -> tuple[NodeId, ...] | None:
    nodes = {pool.node for pool in reach if pool.node is not None}
    if nodes >= set(problem.facts.nodes) or any(pool.node is None for pool in reach):
        return None
    return tuple(sorted(nodes)) or None


def _reaches(items: Sequence[Item]) -> list[frozenset[Pool]]:
    """The sets of pools worth a look: all, then what single items can reach, then unions of two of these."""
    single = sorted(
        {item.reach for item in items}, key=lambda reach: (len(reach), sorted(map(repr, reach))), reverse=True
    )
    everywhere: frozenset[Pool] = reduce(frozenset.union, single)
    pairs = [a | b for i, a in enumerate(single) for b in single[:i]] if len(single) <= _PAIRED else []
    return list(dict.fromkeys([everywhere, *single, *pairs]))


# The page sizes that count for a cell.
_SizesOf = Callable[[GuestClass, CellDemand], tuple[int, ...]]

# Where each cell of a class can lie, anywhere for all that is known where ways were left out; one place for all where
# they always share a node.
_Places = Sequence[frozenset[Pool]]


def _places(problem: Problem, guests: GuestClass) -> _Places:
    if guests.partial:
        return [frozenset(map(Pool, problem.facts.nodes)) for _ in guests.cells]
    together = len(guests.cells) > 1 and all(len(set(option.nodes)) == 1 for option in guests.options)
    return [
        frozenset({Pool(option.nodes[k]) for option in guests.options})
        for k in range(1 if together else len(guests.cells))
    ]


def _items(problem: Problem, places: Sequence[_Places], need: Callable[[CellDemand], int]) -> tuple[Item, ...]:
    """Items of what cells need; cells that always share a node are one."""
    items = []
    for c, guests in enumerate(problem.classes):
        count, amounts = len(guests.members), [need(cell) for cell in guests.cells]
        if len(places[c]) < len(amounts):
            amounts = [sum(amounts)]
        items += [Item(c, count, amount, reach, near=True) for amount, reach in zip(amounts, places[c], strict=True)]
    return tuple(items)


def _cpus(problem: Problem, places: Sequence[_Places]) -> Iterator[Resource]:
    width, kinds = problem.facts.threads, problem.core_kinds
    for count in CORE_COUNTS:
        have = dict.fromkeys(map(Pool, problem.facts.nodes), 0)
        for kind in kinds:
            have[Pool(kind.node)] += count.have(kind, width)
        yield Resource(count.noun, have, _items(problem, places, partial(_need, count, width)))


def _need(count: CoreCount, width: int, cell: CellDemand) -> int:
    return count.need(cell, width)


def _shared(problem: Problem, places: Sequence[_Places]) -> Resource:
    have = {Pool(node): left for node, left in problem.facts.pool_left.items()}
    return Resource("shared vCPUs", have, _items(problem, places, lambda cell: cell.shared))


def _memory(problem: Problem) -> Iterator[Resource]:
    """Pages of each size for those who want no other; then memory of all sizes together. QEMU's own is ordinary.

    Then the same without the page sizes of which no node has enough for a cell, where that makes a difference.
    """
    plain = list(_memory_by_size(problem, lambda _guests, cell: cell.page_sizes_kib))
    yield from plain
    for resource, known in zip(_memory_by_size(problem, problem.sizes_that_hold), plain, strict=True):
        if resource.items != known.items:
            yield replace(resource, noun=f"{resource.noun} (no node has enough of another page size)")


def _memory_by_size(problem: Problem, sizes_of: _SizesOf) -> Iterator[Resource]:
    capacity = problem.facts.capacity_kib
    sizes = sorted({size for _, size in capacity}, reverse=True)
    for size in sizes:
        have = {Pool(node, size): free // size for (node, pages), free in capacity.items() if pages == size}
        own = _own_items(problem, size) if size == SMALL_PAGE_KIB else ()
        yield Resource(f"{format_size(size)} pages", have, (*_memory_items(problem, sizes_of, only=size), *own))
    everything = {Pool(node, size): free for (node, size), free in capacity.items()}
    own = _own_items(problem, 1)
    yield Resource("KiB of memory", everything, (*_memory_items(problem, sizes_of, only=None), *own))


def _own_items(problem: Problem, page_kib: int) -> tuple[Item, ...]:
    """What QEMU itself takes, in pages of that size: once on each node that a guest must have cells on."""
    overhead = problem.facts.policy.guest_overhead_kib // page_kib
    items = []
    for c, guests in enumerate(problem.classes if overhead else ()):
        count = len(guests.members)
        spread = min((len(set(option.nodes)) for option in guests.options), default=0)
        if guests.partial:
            nodes = [set(problem.facts.nodes)]
        elif spread == len(guests.cells):
            nodes = [{option.nodes[k] for option in guests.options} for k in range(spread)]
        else:
            nodes = [{node for option in guests.options for node in option.nodes}] * spread
        items += [
            Item(c, count, overhead * guests.stands_for, frozenset(Pool(n, SMALL_PAGE_KIB) for n in some), near=True)
            for some in nodes
        ]
    return tuple(items)


def _memory_items(problem: Problem, sizes_of: _SizesOf, *, only: int | None) -> tuple[Item, ...]:
    """In pages where `only` one size is meant, else in KiB."""
    items = []
    for c, guests in enumerate(problem.classes):
        for k, cell in enumerate(guests.cells):
            sizes = sizes_of(guests, cell)
            if only is not None and sizes != (only,):
                continue
            free = not cell.strict or any(option.keep is not None for option in guests.options)
            anywhere = free or guests.partial
            nodes = problem.facts.nodes if anywhere else sorted({option.nodes[k] for option in guests.options})
            reach = frozenset(Pool(node, size) for node in nodes for size in sizes)
            items.append(Item(c, len(guests.members), cell.memory_kib // (only or 1), reach, near=not free))
    return tuple(items)


def _devices(problem: Problem) -> Iterator[Resource]:
    kinds = problem.device_kinds
    pools = [Pool(kind.node, i) for i, kind in enumerate(kinds)]
    have = {pool: len(kind.members) for pool, kind in zip(pools, kinds, strict=True)}
    vfs: list[Item] = []
    rates: list[Item] = []
    links: dict[PciAddress, Pool] = {kind.pf: Pool(kind.node, i) for i, kind in enumerate(kinds) if kind.pf is not None}
    speeds = {kind.pf: problem.facts.link_speed(kind.pf) for kind in kinds}
    for c, guests in enumerate(problem.classes):
        for demand in guests.devices:
            near = [
                i
                for i in demand.kinds
                if guests.partial or any(problem.admits(demand, kinds[i], option.nodes) for option in guests.options)
            ]
            count = len(guests.members)
            vfs.append(Item(c, count, demand.count, frozenset(pools[i] for i in near)))
            if demand.mbps and all(speeds[kinds[i].pf] for i in near):
                reach = frozenset(links[pf] for i in near if (pf := kinds[i].pf) is not None)
                rates.append(Item(c, count * demand.count, demand.mbps, reach))
    yield Resource("VFs and devices", have, tuple(vfs), divisible=True)
    yield Resource("Mbit/s", {pool: speeds[pf] or 0 for pf, pool in links.items()}, tuple(rates))
