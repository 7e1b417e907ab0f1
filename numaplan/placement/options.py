"""The counts of a request: the classes of guests that have the same ways, and the kinds they choose from."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from numaplan.cpuset import CpuSet
from numaplan.model.request import GuestRequest, Request
from numaplan.placement.current import Keeps, current_keeps, pinned_cpus
from numaplan.placement.demands import demands_on, needs, node_cost, ports_in_reach
from numaplan.placement.facts import HostFacts
from numaplan.placement.kept_devices import ExistingGuest
from numaplan.placement.kinds import core_kinds, device_kinds, entries, matching_kinds
from numaplan.placement.problem import CoreKind, DeviceKind, GuestClass, Keep, Option, Problem


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
    claimed = frozenset(address for address, guests in named.items() if guests > 1)
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
        demand = demands.of(first, most)
        keeps = Keeps()
        if first.name in existing:
            guest_there = ExistingGuest(facts, first, existing[first.name], demand.devices, kinds, claimed)
            keeps = _ways_to_stay(guest_there, cores)
        options = demand.options + tuple(_kept_option(facts, first, keep, kinds=kinds) for keep in keeps.ways)
        classes.append(
            GuestClass(
                tuple(members),
                demand.cells,
                demand.devices,
                options,
                floats=not facts.has_pools and first.has_floating_threads,
                exists=first.name in existing,
                partial=demand.are_more or not keeps.complete,
                stays_beside=any(not facts.idle.isdisjoint(keep.cpus) for keep in keeps.ways),
            )
        )
    return Problem(facts, tuple(classes), cores, kinds, _bundles(kinds), _are_scattered(cores, classes))


def _ways_to_stay(there: ExistingGuest, cores: tuple[CoreKind, ...]) -> Keeps:
    """The ways to stay in which a guest is within reach of its ports."""
    # That another device takes the place of one that is no VF is no move.
    ways = (False, True) if there.request.devices else (False,)
    found = [current_keeps(there, cores, loose=loose) for loose in ways]
    near = (
        keep
        for keeps in found
        for keep in keeps.ways
        if ports_in_reach(there.facts, there.request, tuple(cell.numa_node for cell in keep.placement.cells))
    )
    return Keeps(tuple(near), all(keeps.complete for keeps in found))


def _bundles(kinds: Sequence[DeviceKind]) -> dict[int, int]:
    """How many functions each IOMMU group that goes as a whole has."""
    counts: dict[int, int] = {}
    for kind in kinds:
        if kind.bundle is not None:
            counts[kind.bundle] = counts.get(kind.bundle, 0) + len(kind.members)
    return counts


def _are_scattered(cores: Sequence[CoreKind], classes: Sequence[GuestClass]) -> bool:
    """Whether a core on two caches of a node could serve guests as a whole one, too; that is not looked at."""
    parts = Counter((kind.scattered, kind.node) for kind in cores if kind.scattered is not None)
    return any(count > 1 for count in parts.values()) and any(
        cell.whole or cell.part for guests in classes for cell in guests.cells
    )


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
