"""The ways in which a guest's cells can lie on nodes, and the classes of guests that have the same ways."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import islice
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.model.request import (
    Affinity,
    DeviceRequest,
    GuestRequest,
    InterfaceRequest,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    Request,
    ThreadPolicy,
)
from numaplan.placement.current import current_keep, pinned_cpus
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts
from numaplan.placement.kinds import core_kinds, device_kinds, entries, matching_kinds
from numaplan.placement.lacks import cell_lack
from numaplan.placement.problem import (
    CellDemand,
    CoreKind,
    DeviceDemand,
    DeviceKind,
    GuestClass,
    Keep,
    Option,
    Problem,
    near_enough,
)
from numaplan.placement.ways import about_so_many, ways, ways_with_room

# Eight unequal cells on eight nodes lie in 40,320 ways; beyond this many a guest is only searched in part, and
# nothing is then called proven.
MAX_OPTIONS: Final = 20_000
# Nor may the cells of all ways of all guests that have several be more, or a model of them takes gigabytes.
MAX_CELLS: Final = 120_000


def build_problem(request: Request, facts: HostFacts) -> Problem:
    """The counts of `request` on the host of `facts`."""
    existing = {guest.name: guest for guest in facts.snapshot.guests}
    apart = CpuSet(
        cpu for guest in request.guests if guest.name in existing for cpu in pinned_cpus(existing[guest.name], guest)
    )
    cores = core_kinds(facts, apart)
    kinds = device_kinds(facts, request.guests)
    linked = {name for guest in request.guests for name in (*guest.affinity, *guest.anti_affinity)}
    linked |= {guest.name for guest in request.guests if guest.affinity or guest.anti_affinity}
    groups: dict[tuple[GuestRequest, str | None], list[GuestRequest]] = defaultdict(list)
    for guest in request.guests:
        alone = guest.name in linked or guest.name in existing or _may_use_bundle(facts, kinds, guest)
        groups[needs(guest), guest.name if alone else None].append(guest)
    # Guests differ in names and devices more than in cells, and lie in the same ways.
    nodes_of = cache(lambda cell: fitting_nodes(facts, cell, cores=cores))
    supply = cache(partial(_supply, facts, kinds))
    most = _most_each(facts, nodes_of, [members[0] for members in groups.values()])
    classes = []

    @cache
    def demands(
        guest: GuestRequest,
    ) -> tuple[tuple[CellDemand, ...], tuple[DeviceDemand, ...], tuple[Option, ...], bool]:
        """Of cells and devices, the ways open to these, and whether there are more."""
        cells = tuple(_cell_demand(facts, guest, i) for i in range(len(guest.cells)))
        devices = tuple(_device_demand(facts, kinds, entry) for entry in entries(guest))
        possible = [nodes_of(cell) for cell in cells]
        are_all = about_so_many(cells, possible, distinct=guest.distinct_nodes) <= most
        found = (ways if are_all else ways_with_room)(facts, cells, possible, distinct=guest.distinct_nodes)
        options = tuple(
            Option(nodes, _node_cost(facts, guest, nodes))
            for nodes in islice(found, most)
            if all(supply(demand.kinds, demand.affinity, nodes) >= demand.count for demand in devices)
            and ports_in_reach(facts, guest, nodes)
        )
        return cells, devices, options, next(found, None) is not None

    for members in groups.values():
        first = members[0]
        # Who is tied to others stands alone, be there hundreds that else ask for the same.
        cells, devices, options, are_more = demands(replace(needs(first), affinity=(), anti_affinity=()))
        if first.name in existing:
            keep = current_keep(facts, first, existing[first.name], devices=devices, cores=cores, kinds=kinds)
            if keep is not None and ports_in_reach(facts, first, tuple(c.numa_node for c in keep.placement.cells)):
                options += (_kept_option(facts, first, keep, kinds=kinds),)
        floats = not facts.names_pools and first.has_floating_threads
        exists = first.name in existing
        classes.append(GuestClass(tuple(members), cells, devices, options, floats, exists=exists, partial=are_more))
    # Such a core could serve as a whole one too, on two caches; nothing is proven of what is not looked at.
    apart_on_a_node = Counter((kind.scattered, kind.node) for kind in cores if kind.scattered is not None)
    scattered = any(parts > 1 for parts in apart_on_a_node.values())
    scattered = scattered and any(c.whole or c.part for guests in classes for c in guests.cells)
    bundles: dict[int, int] = {}
    for kind in kinds:
        if kind.bundle is not None:
            bundles[kind.bundle] = bundles.get(kind.bundle, 0) + len(kind.members)
    return Problem(facts, tuple(classes), cores, kinds, bundles, scattered)


def uplink_node(facts: HostFacts, bridge: str | None) -> NodeId | None:
    """The node of the physical ports below a bridge that the request names; None where it is not known or not one."""
    return None if bridge is None else facts.uplinks.get(bridge)


def ports_in_reach(facts: HostFacts, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> bool:
    """Whether the bridges of its virtio and vhost-user ports lead out near enough to `nodes`."""
    return all(
        near_enough(facts, port.affinity, uplink_node(facts, port.bridge), nodes)
        for port in guest.interfaces
        if port.type.is_port
    )


def _kept_option(facts: HostFacts, guest: GuestRequest, keep: Keep, *, kinds: tuple[DeviceKind, ...]) -> Option:
    nodes = tuple(cell.numa_node for cell in keep.placement.cells)
    distances = [
        count * min(facts.distance(kinds[kind].node, node) for node in nodes) for _, kind, count in keep.devices
    ]
    return Option(nodes, _node_cost(facts, guest, nodes) + facts.policy.costs.vf * sum(distances), keep)


@lru_cache(maxsize=4096)  # a conflict is found by asking of the same guests again and again
def needs(guest: GuestRequest) -> GuestRequest:
    """All that it asks for: equal for guests that differ by name alone."""
    interfaces = tuple(replace(interface, mac=None) for interface in guest.interfaces)
    return replace(guest, name="", vm="", interfaces=interfaces)


def _may_use_bundle(facts: HostFacts, kinds: tuple[DeviceKind, ...], guest: GuestRequest) -> bool:
    if all(kind.bundle is None for kind in kinds):
        return False
    return any(
        kinds[kind].bundle is not None for entry in entries(guest) for kind in matching_kinds(facts, kinds, entry)
    )


def _cell_demand(facts: HostFacts, guest: GuestRequest, index: int) -> CellDemand:
    cell = guest.cells[index]
    dedicated = sum(vcpu in guest.dedicated_vcpus for vcpu in cell.vcpus)
    cpus = dedicated
    if index == 0:
        cpus += guest.own_emulator_cpus
        if guest.iothread_policy is IothreadPolicy.DEDICATED:
            cpus += guest.iothreads
    isolated = whole = part = threads = 0
    match guest.thread_policy:
        case ThreadPolicy.PREFER:
            threads = cpus
        case ThreadPolicy.ISOLATE:
            isolated = cpus
        case ThreadPolicy.REQUIRE:
            whole, part = divmod(cpus, facts.threads)
    if part == 1:
        # One thread of a further core is the same as any one thread.
        part, threads = 0, 1
    return CellDemand(
        isolated=isolated,
        whole=whole,
        part=part,
        threads=threads,
        shared=len(cell.vcpus) - dedicated,
        memory_kib=cell.memory_kib,
        page_sizes_kib=_page_sizes(facts, cell.page_size, cell.memory_kib),
        strict=cell.memory_policy is MemoryPolicy.STRICT,
    )


def _page_sizes(facts: HostFacts, wanted: PageSize, memory_kib: int) -> tuple[int, ...]:
    huge = sorted({size for _, size in facts.capacity_kib if size > SMALL_PAGE_KIB})
    match wanted:
        case PageSize.ANY:
            sizes = [SMALL_PAGE_KIB, *huge]
        case PageSize.LARGE:
            sizes = huge
        case PageSize.SMALL | PageSize.HUGE_2M | PageSize.HUGE_1G:
            sizes = [] if wanted.size_kib is None else [wanted.size_kib]
    return tuple(size for size in sizes if memory_kib % size == 0)


def _device_demand(
    facts: HostFacts, kinds: tuple[DeviceKind, ...], entry: InterfaceRequest | DeviceRequest
) -> DeviceDemand:
    matching = matching_kinds(facts, kinds, entry)
    if isinstance(entry, DeviceRequest):
        return DeviceDemand(entry.name, 1, matching, entry.affinity, mbps=0, distinct=False)
    return DeviceDemand(entry.name, entry.count, matching, entry.affinity, mbps=entry.mbps, distinct=entry.distinct_pfs)


def fitting_nodes(facts: HostFacts, cell: CellDemand, *, cores: tuple[CoreKind, ...]) -> tuple[NodeId, ...]:
    """The nodes that lack nothing for a cell."""
    return tuple(node for node in facts.nodes if cell_lack(facts, cell, node, cores=cores) is None)


def _most_each(
    facts: HostFacts, nodes_of: Callable[[CellDemand], Sequence[NodeId]], guests: Sequence[GuestRequest]
) -> int:
    """How many ways each of `guests` may have, so that those of several cells have not too many together."""
    sizes = []
    for guest in guests:
        if len(guest.cells) > 1:
            cells = [_cell_demand(facts, guest, i) for i in range(len(guest.cells))]
            possible = [nodes_of(cell) for cell in cells]
            sizes.append((about_so_many(cells, possible, distinct=guest.distinct_nodes), len(cells)))

    def all_cells(most: int) -> int:
        return sum(min(count, most) * cells for count, cells in sizes)

    most = bisect_right(range(1, MAX_OPTIONS + 1), MAX_CELLS, key=all_cells)
    return min(MAX_OPTIONS, max(len(facts.nodes), most))


def _supply(
    facts: HostFacts,
    kinds: tuple[DeviceKind, ...],
    which: tuple[int, ...],
    affinity: Affinity,
    nodes: tuple[NodeId, ...],
) -> int:
    """How many devices of `which` kinds are near enough to `nodes`."""
    return sum(len(kinds[i].members) for i in which if near_enough(facts, affinity, kinds[i].node, nodes))


def _node_cost(facts: HostFacts, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> int:
    costs = facts.policy.costs
    cost = sum(costs.cell * facts.distance(a, b) for i, a in enumerate(nodes) for b in nodes[:i])
    for interface in guest.interfaces:
        if interface.type.is_port:
            uplink = uplink_node(facts, interface.bridge)
            cost += costs.vf * min(facts.distance(uplink, node) for node in nodes)
    return cost
