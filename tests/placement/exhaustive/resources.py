"""Every way to give all guests nodes, memory, VFs and devices, as yet without CPUs.

Concrete nodes, page sizes and functions are tried one by one. States of which nobody can tell what comes after apart
are one: the cheapest stands for them.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from tests.placement.exhaustive.check import cost, functions_of, memory_moved, partners_kept, vfs_moved
from tests.placement.exhaustive.reading import Json, list_text
from tests.placement.exhaustive.wishes import PortWish, Wish
from tests.placement.exhaustive.world import SMALL_KIB, World

STATE_LIMIT = 20_000

Nodes = tuple[int, ...]


class TooLargeError(Exception):
    """More states than trying everything is good for."""


@dataclass(frozen=True)
class Share:
    """What one guest gets on `nodes`, all but CPUs; `unmoved`: nothing of it is new to a guest that is there."""

    placement: Json
    nodes: Nodes
    cost: int
    memory: tuple[tuple[tuple[int, int], int], ...]
    memory_nodes: frozenset[int]
    functions: frozenset[str]
    mbps: tuple[tuple[str, int], ...]
    unmoved: bool


@dataclass(frozen=True)
class Shared:
    """What all guests get; None where one is not placed. `unmoved` are the guests of whom nothing is new."""

    cost: int = 0
    shares: tuple[Share | None, ...] = ()
    memory: tuple[tuple[tuple[int, int], int], ...] = ()
    memory_nodes: frozenset[int] = frozenset()
    functions: frozenset[str] = frozenset()
    mbps: tuple[tuple[str, int], ...] = ()
    unmoved: frozenset[int] = frozenset()

    @property
    def nodes(self) -> tuple[Nodes | None, ...]:
        """Where every guest is."""
        return tuple(None if share is None else share.nodes for share in self.shares)


def shared_out(world: World, wishes: Sequence[Wish], possible: Sequence[Sequence[Nodes]]) -> list[Shared]:
    """Everything that can be; `possible` are the nodes on which each guest's CPUs can be had while it is alone."""
    alike = _alike(world, wishes)
    states = [Shared()]
    for index, (wish, nodes) in enumerate(zip(wishes, possible, strict=True)):
        shares = [share for place in nodes for share in _shares(world, wish, place)]
        last = index == len(wishes) - 1
        found: dict[tuple[object, ...], Shared] = {}
        for state in states:
            grown = [_with(world, state, share, index, alike) for share in shares]
            grown += [] if wish.required else [_without(state)]
            for more in grown:
                if more is None:
                    continue
                seen = (more.nodes, more.unmoved, more.memory_nodes)
                key: tuple[object, ...] = seen if last else (*seen, more.memory, more.functions, more.mbps)
                if key not in found or more.cost < found[key].cost:
                    found[key] = more
                if len(found) > STATE_LIMIT:
                    raise TooLargeError
        states = list(found.values())
    return [state for state in states if _together(world, wishes, state)]


def _together(world: World, wishes: Sequence[Wish], state: Shared) -> bool:
    """Whether partners and pools allow it."""
    placed = [(wish, nodes) for wish, nodes in zip(wishes, state.nodes, strict=True) if nodes is not None]
    on = {wish.name: frozenset(nodes) for wish, nodes in placed}
    load: Counter[int] = Counter()
    for wish, nodes in placed:
        for cell, node in zip(wish.cells, nodes, strict=True):
            load[node] += len(cell.vcpus) - len(cell.dedicated)
    fits = all(vcpus <= world.room(node) for node, vcpus in load.items() if vcpus)
    return fits and all(partners_kept(world, wish, on) for wish, _ in placed)


def _without(state: Shared) -> Shared:
    return replace(state, shares=(*state.shares, None))


def _with(world: World, state: Shared, share: Share, index: int, alike: Sequence[tuple[str, ...]]) -> Shared | None:
    if share.functions & state.functions:
        return None
    functions = share.functions | state.functions
    # Of functions that are alike the first go first: who takes the second instead gains nothing.
    for kind in alike:
        taken = [address in functions for address in kind]
        if taken != sorted(taken, reverse=True):
            return None
    memory = Counter(dict(state.memory)) + Counter(dict(share.memory))
    if any(kib > world.capacity_kib.get(place, 0) for place, kib in memory.items()):
        return None
    mbps = Counter(dict(state.mbps)) + Counter(dict(share.mbps))
    if any(wanted > (world.link_mbps(pf) or wanted) for pf, wanted in mbps.items()):
        return None
    return Shared(
        state.cost + share.cost,
        (*state.shares, share),
        tuple(sorted(memory.items())),
        state.memory_nodes | share.memory_nodes,
        functions,
        tuple(sorted(mbps.items())),
        state.unmoved | {index} if share.unmoved else state.unmoved,
    )


def _shares(world: World, wish: Wish, nodes: Nodes) -> Iterator[Share]:
    """All that one guest could get on its nodes; of what is alike but for its cost the cheapest."""
    best: dict[object, Share] = {}
    ports = list(_ports(world, wish, frozenset(nodes)))
    for memory in product(*(_memory(world, wish, index, node) for index, node in enumerate(nodes))):
        for chosen in ports:
            placement = without_cpus(world, wish, nodes, memory, chosen)
            used: Counter[tuple[int, int]] = Counter()
            for cell, place in zip(wish.cells, memory, strict=True):
                used[place] += cell.memory_kib
            for node in set(nodes) if world.overhead_kib else ():
                used[node, SMALL_KIB] += world.overhead_kib
            mbps: Counter[str] = Counter()
            for port, addresses in zip(wish.ports, chosen, strict=True):
                for address in addresses if port.mbps else ():
                    mbps[world.functions[address].pf or address] += port.mbps
            there = wish.name in world.there
            moved = there and (memory_moved(world, wish, placement) or vfs_moved(world, wish, placement))
            share = Share(
                placement,
                nodes,
                cost(world, wish, placement),
                tuple(sorted(used.items())),
                frozenset(node for node, _ in memory),
                frozenset(functions_of(placement)),
                tuple(sorted(mbps.items())),
                there and not moved,
            )
            key = (share.memory, share.memory_nodes, share.functions, share.mbps, share.unmoved)
            if key not in best or share.cost < best[key].cost:
                best[key] = share
    yield from best.values()


def _memory(world: World, wish: Wish, index: int, node: int) -> list[tuple[int, int]]:
    cell = wish.cells[index]
    return [
        (memory_node, page_kib)
        for (memory_node, page_kib), kib in world.capacity_kib.items()
        if kib >= cell.memory_kib and cell.takes(page_kib) and (memory_node == node or not cell.strict)
    ]


def _ports(world: World, wish: Wish, nodes: frozenset[int]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """The functions of every port, in every combination that is whole, each function once."""
    for chosen in product(*(_port(world, port, nodes) for port in wish.ports)):
        addresses = [address for some in chosen for address in some]
        mine = set(addresses)
        if len(mine) == len(addresses) and all(world.functions[address].mates <= mine for address in mine):
            yield chosen


def _port(world: World, port: PortWish, nodes: frozenset[int]) -> Iterator[tuple[str, ...]]:
    if port.is_bridged and not port.reaches(world, world.port_node(port.bridge), nodes):
        return
    fitting = [
        function
        for function in world.functions.values()
        if function.why_not is None and port.matches(function) and port.reaches(world, function.node, nodes)
    ]
    for some in combinations(fitting, port.count):
        if not port.distinct_pfs or len({function.pf for function in some}) == len(some):
            yield tuple(function.address for function in some)


def without_cpus(
    world: World,
    wish: Wish,
    nodes: Nodes,
    memory: Sequence[tuple[int, int]],
    chosen: Sequence[tuple[str, ...]],
) -> Json:
    """The placement in the plan document's form, with shared vCPUs on their pools and dedicated ones nowhere."""
    ports = list(zip(wish.ports, chosen, strict=True))
    return {
        "vm": wish.name,
        "cells": [
            {
                "id": index,
                "numa_node": node,
                "vcpus": {
                    str(vcpu): "" if vcpu in cell.dedicated else list_text(world.shared & world.cpus_of[node])
                    for vcpu in cell.vcpus
                },
                "memory_node": memory_node,
                "memory_kib": cell.memory_kib,
                "page_size_kib": page_kib,
            }
            for index, (cell, node, (memory_node, page_kib)) in enumerate(zip(wish.cells, nodes, memory, strict=True))
        ],
        "emulator": "",
        "iothreads": {str(iothread): "" for iothread in range(1, wish.iothreads + 1)},
        "interfaces": [
            {"name": port.name, "vfs": list(some)} for port, some in ports if port.is_vf and not port.is_bridged
        ],
        "devices": [{"name": port.name, "address": some[0]} for port, some in ports if some and not port.is_vf],
    }


def _alike(world: World, wishes: Sequence[Wish]) -> list[tuple[str, ...]]:
    """Functions that nobody can tell apart, in groups of several."""
    ports = [port for wish in wishes for port in wish.ports]
    owned = {
        part["pci"]
        for guest in world.returning
        for part in (*guest.get("interfaces", []), *guest.get("hostdevs", []))
        if part.get("pci")
    }
    groups: dict[object, list[str]] = {}
    for function in world.functions.values():
        if function.why_not is None and not function.mates and function.address not in owned and function.pf:
            answers = tuple(port.matches(function) for port in ports)
            groups.setdefault((function.pf, answers), []).append(function.address)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]
