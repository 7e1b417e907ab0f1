"""The counts of a request: the classes of guests that have the same ways, and the kinds they choose from."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial

from numaplan.cpuset import CpuSet
from numaplan.model.request import GuestRequest, Request
from numaplan.placement.current import Keeps, current_keeps, pinned_cpus
from numaplan.placement.demands import demands_on, needs, node_cost, ports_in_reach
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import core_kinds, device_kinds, entries, matching_kinds
from numaplan.placement.problem import DeviceKind, GuestClass, Keep, Option, Problem


def build_problem(request: Request, facts: HostFacts) -> Problem:
    """The counts of `request` on the host of `facts`."""
    existing = {guest.name: guest for guest in facts.snapshot.guests}
    online = facts.snapshot.cpus.online
    there = [(existing[guest.name], guest) for guest in request.guests if guest.name in existing]
    apart = CpuSet(cpu for guest, asked in there for cpu in pinned_cpus(guest, asked, online=online))
    cores = core_kinds(facts, apart)
    kinds = device_kinds(facts, request.guests)
    # A guest may be asked for in several ways.
    named = Counter(
        address for guest in {guest.name: guest for guest, _ in there}.values() for address in set(guest.pci_addresses)
    )
    claimed = {address for address, guests in named.items() if guests > 1}
    linked = {name for guest in request.guests for name in (*guest.affinity, *guest.anti_affinity)}
    linked |= {guest.name for guest in request.guests if guest.affinity or guest.anti_affinity}
    groups: dict[tuple[GuestRequest, str | None], list[GuestRequest]] = defaultdict(list)
    for guest in request.guests:
        alone = guest.name in linked or guest.name in existing or _may_use_bundle(facts, kinds, guest)
        groups[needs(guest), guest.name if alone else None].append(guest)
    demands = demands_on(facts, apart, kinds)
    most = demands.most_each(members[0] for members in groups.values())
    classes = []
    for members in groups.values():
        first = members[0]
        cells, devices, options, are_more = demands.of(first, most)
        keeps = Keeps()
        if first.name in existing:
            there_as = partial(
                current_keeps, facts, first, existing[first.name], devices=devices, cores=cores, kinds=kinds
            )
            # That another device takes the place of one that is no VF is no move.
            ways = (False, True) if first.devices else (False,)
            keeps = _in_reach(facts, first, [there_as(claimed=claimed, loose=loose) for loose in ways])
            options += tuple(_kept_option(facts, first, keep, kinds=kinds) for keep in keeps.ways)
        floats = not facts.has_pools and first.has_floating_threads
        exists = first.name in existing
        classes.append(
            GuestClass(
                tuple(members),
                cells,
                devices,
                options,
                floats,
                exists=exists,
                partial=are_more or not keeps.complete,
                stays_beside=any(not facts.idle.isdisjoint(keep.cpus) for keep in keeps.ways),
            )
        )
    # Such a core could serve as a whole one too, on two caches; nothing is proven of what is not looked at.
    apart_on_a_node = Counter((kind.scattered, kind.node) for kind in cores if kind.scattered is not None)
    scattered = any(parts > 1 for parts in apart_on_a_node.values())
    scattered = scattered and any(c.whole or c.part for guests in classes for c in guests.cells)
    bundles: dict[int, int] = {}
    for kind in kinds:
        if kind.bundle is not None:
            bundles[kind.bundle] = bundles.get(kind.bundle, 0) + len(kind.members)
    return Problem(facts, tuple(classes), cores, kinds, bundles, scattered)


def _in_reach(facts: HostFacts, request: GuestRequest, found: Sequence[Keeps]) -> Keeps:
    """Those of the ways to stay in which a guest is within reach of its ports."""
    near = (
        keep
        for keeps in found
        for keep in keeps.ways
        if ports_in_reach(facts, request, tuple(cell.numa_node for cell in keep.placement.cells))
    )
    return Keeps(tuple(near), all(keeps.complete for keeps in found))


def _kept_option(facts: HostFacts, guest: GuestRequest, keep: Keep, *, kinds: tuple[DeviceKind, ...]) -> Option:
    nodes = tuple(cell.numa_node for cell in keep.placement.cells)
    distances = [
        count * min(facts.distance(kinds[kind].node, node) for node in nodes) for _, kind, count in keep.devices
    ]
    return Option(nodes, node_cost(facts, guest, nodes) + facts.policy.costs.vf * sum(distances), keep)


def _may_use_bundle(facts: HostFacts, kinds: tuple[DeviceKind, ...], guest: GuestRequest) -> bool:
    if all(kind.bundle is None for kind in kinds):
        return False
    return any(
        kinds[kind].bundle is not None for entry in entries(guest) for kind in matching_kinds(facts, kinds, entry)
    )
