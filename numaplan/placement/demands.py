"""What guests ask of a host in counts, and the ways in which their cells can lie on its nodes.

The same is asked again and again, of fewer guests each time or with one more: what is found for a host is kept.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

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
    ThreadPolicy,
)
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts
from numaplan.placement.kinds import core_kinds, entries, matching_kinds
from numaplan.placement.lacks import cell_lack
from numaplan.placement.problem import CellDemand, CoreKind, DeviceDemand, DeviceKind, Option, near_enough
from numaplan.placement.ways import about_so_many, ways, ways_with_room

# Eight unequal cells on eight nodes lie in 40,320 ways; beyond this many a guest is only searched in part, and
# nothing is then called proven.
MAX_OPTIONS: Final = 20_000
# Nor may the cells of all ways of all guests that have several be more, or a model of them takes gigabytes.
MAX_CELLS: Final = 120_000

# So many ways are kept of a host, some ten megabytes; those of a guest that has more than a part of them are not.
MAX_KEPT: Final = 50_000
_KEPT_EACH: Final = 500


class Demand(NamedTuple):
    """What a guest asks for, cell by cell and entry by entry, the ways open to it, and whether there are more ways."""

    cells: tuple[CellDemand, ...]
    devices: tuple[DeviceDemand, ...]
    options: tuple[Option, ...]
    are_more: bool


class Demands:
    """What guests ask of the host of `facts`, with its kinds of core and of device."""

    def __init__(self, facts: HostFacts, cores: tuple[CoreKind, ...], kinds: tuple[DeviceKind, ...]) -> None:
        self._facts = facts
        self._kinds = kinds
        # Guests differ in names and devices more than in cells, and lie in the same ways.
        self._nodes_of = lru_cache(maxsize=4096)(lambda cell: fitting_nodes(facts, cell, cores=cores))
        self._supply = lru_cache(maxsize=4096)(self._devices_near)
        self._kept: dict[tuple[GuestRequest, int], Demand] = {}
        self._ways_kept = 0

    def of(self, guest: GuestRequest, most: int) -> Demand:
        """What `guest` asks for, with no more than `most` ways."""
        # Who is tied to others stands alone, be there hundreds that else ask for the same.
        asked = needs_untied(guest)
        if (known := self._kept.get((asked, most))) is not None:
            return known
        found = self._found(asked, most)
        if len(found.options) <= _KEPT_EACH:
            if self._ways_kept > MAX_KEPT:
                self._kept.clear()
                self._ways_kept = 0
            self._kept[asked, most] = found
            self._ways_kept += 1 + len(found.options)
        return found

    def most_each(self, guests: Iterable[GuestRequest]) -> int:
        """How many ways each of `guests` may have, so that those of several cells have not too many together."""
        sizes = []
        for guest in guests:
            if len(guest.cells) > 1:
                cells = _cell_demands(self._facts, guest)
                possible = [self._nodes_of(cell) for cell in cells]
                sizes.append((about_so_many(cells, possible, distinct=guest.distinct_nodes), len(cells)))

        def all_cells(most: int) -> int:
            return sum(min(count, most) * cells for count, cells in sizes)

        most = bisect_right(range(1, MAX_OPTIONS + 1), MAX_CELLS, key=all_cells)
        return min(MAX_OPTIONS, max(len(self._facts.nodes), most))

    def _found(self, guest: GuestRequest, most: int) -> Demand:
        facts = self._facts
        cells = _cell_demands(facts, guest)
        devices = tuple(_device_demand(facts, self._kinds, entry) for entry in entries(guest))
        possible = [self._nodes_of(cell) for cell in cells]
        are_all = about_so_many(cells, possible, distinct=guest.distinct_nodes) <= most
        found = (ways if are_all else ways_with_room)(facts, cells, possible, distinct=guest.distinct_nodes)
        options = tuple(
            Option(nodes, node_cost(facts, guest, nodes))
            for nodes in islice(found, most)
            if all(self._supply(demand.kinds, demand.affinity, nodes) >= demand.count for demand in devices)
            and ports_in_reach(facts, guest, nodes)
        )
        return Demand(cells, devices, options, next(found, None) is not None)

    def _devices_near(self, which: tuple[int, ...], affinity: Affinity, nodes: tuple[NodeId, ...]) -> int:
        """How many devices of `which` kinds are near enough to `nodes`."""
        kinds = [self._kinds[i] for i in which]
        return sum(len(kind.members) for kind in kinds if near_enough(self._facts, affinity, kind.node, nodes))


@lru_cache(maxsize=4)  # as the kinds
def demands_on(facts: HostFacts, apart: CpuSet, kinds: tuple[DeviceKind, ...]) -> Demands:
    """What is known of guests on a host where each core with a CPU in `apart` is a kind of its own."""
    return Demands(facts, core_kinds(facts, apart), kinds)


@lru_cache(maxsize=4096)  # a conflict is found by asking of the same guests again and again
def needs(guest: GuestRequest) -> GuestRequest:
    """All that it asks for: equal for guests that differ by name alone."""
    interfaces = tuple(replace(interface, mac=None) for interface in guest.interfaces)
    return replace(guest, name="", vm="", interfaces=interfaces)


def needs_untied(guest: GuestRequest) -> GuestRequest:
    """The same but its links, and be it required or not: equal for guests that lie in the same ways."""
    return replace(needs(guest), affinity=(), anti_affinity=(), required=True, priority=1)


def ports_in_reach(facts: HostFacts, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> bool:
    """Whether the bridges of its virtio and vhost-user ports lead out near enough to `nodes`."""
    return all(
        near_enough(facts, port.affinity, facts.uplink_node(port.bridge), nodes)
        for port in guest.interfaces
        if port.type.is_port
    )


def _cell_demands(facts: HostFacts, guest: GuestRequest) -> tuple[CellDemand, ...]:
    return tuple(_cell_demand(facts, guest, i) for i in range(len(guest.cells)))


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


def node_cost(facts: HostFacts, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> int:
    """The cross-node cost of cells on `nodes`: between them, and to the physical ports of bridges."""
    return cells_cost(facts, nodes) + uplinks_cost(facts, guest, nodes)


def cells_cost(facts: HostFacts, nodes: tuple[NodeId, ...]) -> int:
    """What the distances between cells on `nodes` cost."""
    return facts.policy.costs.cell * sum(facts.distance(a, b) for i, a in enumerate(nodes) for b in nodes[:i])


def uplinks_cost(facts: HostFacts, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> int:
    """What the distances to the physical ports of bridges cost."""
    ports = [facts.uplink_node(interface.bridge) for interface in guest.interfaces if interface.type.is_port]
    return facts.policy.costs.vf * sum(min(facts.distance(port, node) for node in nodes) for port in ports)
