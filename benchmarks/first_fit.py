"""First fit as Nova schedules: one guest after the other, each on the first host cells that take it.

What its libvirt driver does (nova/virt/hardware.py, numa_fit_instance_to_host): the host's cells are tried in an order,
every assignment of guest cells to them in turn; CPUs are packed by the thread policy, pages and PCI devices checked,
and the first assignment that passes stays. It is given what helps it: several orders of guests and cells of which the
best counts, and VFs of the guest's own nodes before any other. It passes over nodes that (anti-)affinity to a guest
placed before rules out. It knows no shared vCPUs, devices other than VFs or dedicated iothreads, as the instances
have none.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, InterfacePlacement, Placement
from numaplan.model.request import (
    Affinity,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    Request,
    ThreadPolicy,
)
from numaplan.model.snapshot import Snapshot
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, host_facts
from numaplan.placement.floating import floating_cpus, idle_siblings
from numaplan.placement.kinds import matching_devices, unusable
from numaplan.placement.shape import guest_topology

# For each guest the others that it is tied to, by either's wish, and whether that is to lie together.
Links = Mapping[str, Sequence[tuple[str, bool]]]

GuestOrder = Callable[[Sequence[GuestRequest]], list[GuestRequest]]

# As they come; by size; by priority; by priority for each CPU; those with VFs first.
GUEST_ORDERS: Final[Mapping[str, GuestOrder]] = {
    "request": list,
    "largest": lambda guests: sorted(guests, key=lambda g: -g.vcpus),
    "priority": lambda guests: sorted(guests, key=lambda g: (-g.priority, -g.vcpus)),
    "density": lambda guests: sorted(guests, key=lambda g: -g.priority / max(1, g.vcpus)),
    "devices": lambda guests: sorted(guests, key=lambda g: (not g.interfaces, -g.priority)),
}

# Whether the emptiest node comes first (Nova's default today) or the fullest.
NODE_ORDERS: Final = (True, False)


@dataclass
class Host:
    """What is left: free threads core by core, memory by node and page size, VFs, and the links' bandwidth."""

    facts: HostFacts
    cores: dict[NodeId, list[CpuSet]]
    alone: set[CpuId] = field(default_factory=set)
    memory: dict[tuple[NodeId, int], int] = field(default_factory=dict)
    used: set[PciAddress] = field(default_factory=set)
    load: Counter[PciAddress] = field(default_factory=Counter)
    matching: dict[InterfaceRequest, tuple[PciAddress, ...]] = field(default_factory=dict)
    links: Links = field(default_factory=dict)
    nodes_of: dict[str, frozenset[NodeId]] = field(default_factory=dict)

    def free(self, node: NodeId) -> int:
        """Free threads of a node."""
        return sum(len(core) for core in self.cores[node])


def first_fit(
    request: Request, snapshot: Snapshot, *, guests: GuestOrder = list, spread: bool = True
) -> list[Placement]:
    """The placements of one run; `spread` tries the emptiest node first, else the fullest."""
    facts = host_facts(request, snapshot)
    host = Host(facts, _free_cores(facts), memory=dict(facts.capacity_kib), links=_links(request))
    placed = [(guest, _place(host, guest, spread=spread)) for guest in guests(request.guests)]
    return _floated(facts, [(guest, placement) for guest, placement in placed if placement is not None])


def all_first_fits(request: Request, snapshot: Snapshot) -> list[list[Placement]]:
    """One run for each order of guests and of nodes."""
    return [
        first_fit(request, snapshot, guests=order, spread=spread)
        for order in GUEST_ORDERS.values()
        for spread in NODE_ORDERS
    ]


def _links(request: Request) -> Links:
    links: dict[str, list[tuple[str, bool]]] = {guest.name: [] for guest in request.guests}
    for guest in request.guests:
        for others, together in ((guest.affinity, True), (guest.anti_affinity, False)):
            for other in others:
                links[guest.name].append((other, together))
                links[other].append((guest.name, together))
    return links


def _tied_apart(host: Host, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> bool:
    """Whether a guest that is placed already rules these nodes out."""
    mine = frozenset(nodes)
    for other, together in host.links.get(guest.name, ()):
        theirs = host.nodes_of.get(other)
        if theirs is not None and (not (mine <= theirs or theirs <= mine) if together else mine & theirs):
            return True
    return False


def _free_cores(facts: HostFacts) -> dict[NodeId, list[CpuSet]]:
    cores: dict[NodeId, list[CpuSet]] = {node: [] for node in facts.nodes}
    for core in facts.snapshot.cores:
        if core.numa_node is not None and core.cpus & facts.free:
            cores[core.numa_node].append(core.cpus & facts.free)
    return cores


def _place(host: Host, guest: GuestRequest, *, spread: bool) -> Placement | None:
    """Takes what the guest gets out of `host`; None, and nothing taken, where no assignment of cells passes."""
    wants = [i for i in guest.interfaces if i.type is InterfaceType.SRIOV]
    near = {host.facts.devices[vf].numa_node for i in wants for vf in _matching(host, i)}
    pci = {host.facts.device_node(device) for device in host.facts.snapshot.pci if device.physfn is not None}
    nodes = sorted(
        host.facts.nodes,
        # Nodes without PCI devices for guests that want none; those with the right ones for guests that do.
        key=lambda node: (node not in near if wants else node in pci, -host.free(node) if spread else host.free(node)),
    )
    for remote in (False, True):
        for assigned in permutations(nodes, len(guest.cells)):
            if _tied_apart(host, guest, assigned):
                continue
            found = _fit(host, guest, assigned, wants=wants, remote=remote)
            if found is not None:
                host.nodes_of[guest.name] = frozenset(assigned)
                return found
        if not any(i.affinity is not Affinity.REQUIRED for i in wants):
            break
    return None


def _fit(
    host: Host, guest: GuestRequest, nodes: tuple[NodeId, ...], *, wants: list[InterfaceRequest], remote: bool
) -> Placement | None:
    memory = _memory(host, guest, nodes)
    cpus = [_cpus(host, guest, k, node) for k, node in enumerate(nodes)] if memory is not None else []
    if memory is None or any(one is None for one in cpus):
        return None
    devices = _devices(host, wants, nodes, remote=remote)
    if devices is None:
        return None
    cells = []
    extra: list[CpuId] = []
    for k, (cell, node, chosen) in enumerate(zip(guest.cells, nodes, cpus, strict=True)):
        assert chosen is not None  # noqa: S101  # looked at above
        _take_cpus(host, guest, node, chosen)
        place, size = memory[k]
        host.memory[place, size] -= cell.memory_kib
        vcpus = tuple((VcpuId(v), CpuSet([cpu])) for v, cpu in zip(cell.vcpus, chosen, strict=False))
        extra += chosen[len(cell.vcpus) :]
        cells.append(CellPlacement(CellId(k), node, vcpus, place, cell.memory_kib, size))
    for interface, vfs in zip(wants, devices, strict=True):
        host.used |= set(vfs)
        for vf in vfs:
            pf = host.facts.devices[vf].physfn
            if pf is not None:
                host.load[pf] += interface.mbps
    return Placement(
        guest.name,
        tuple(cells),
        CpuSet(extra),
        interfaces=tuple(InterfacePlacement(i.name, vfs) for i, vfs in zip(wants, devices, strict=True)),
        topology=guest_topology(host.facts, guest, tuple(cells)),
    )


def _memory(host: Host, guest: GuestRequest, nodes: tuple[NodeId, ...]) -> list[tuple[NodeId, int]] | None:
    """(node, page size in KiB) for each cell: the largest size that it may have, its own node before others."""
    left = dict(host.memory)
    found = []
    for cell, node in zip(guest.cells, nodes, strict=True):
        others = () if cell.memory_policy is MemoryPolicy.STRICT else host.facts.nodes
        sizes = _page_sizes(host.facts, cell.page_size, cell.memory_kib)
        places = [(at, size) for at in (node, *others) for size in sizes if left.get((at, size), 0) >= cell.memory_kib]
        if not places:
            return None
        left[places[0]] -= cell.memory_kib
        found.append(places[0])
    return found


def _page_sizes(facts: HostFacts, wanted: PageSize, memory_kib: int) -> list[int]:
    huge = sorted({size for _, size in facts.capacity_kib if size > SMALL_PAGE_KIB}, reverse=True)
    by_choice = {PageSize.ANY: [*huge, SMALL_PAGE_KIB], PageSize.LARGE: huge}
    sizes = by_choice.get(wanted, [wanted.size_kib or SMALL_PAGE_KIB])
    return [size for size in sizes if memory_kib % size == 0]


def _cpus(host: Host, guest: GuestRequest, k: int, node: NodeId) -> list[CpuId] | None:
    """The CPUs of a cell set on a node: vCPUs first."""
    count = len(guest.cells[k].vcpus) + (guest.own_emulator_cpus if k == 0 else 0)
    width = host.facts.threads
    cores = host.cores[node]
    whole = [core for core in cores if len(core) == width]
    match guest.thread_policy:
        case ThreadPolicy.ISOLATE:
            chosen = [core.lowest for core in whole[:count]]
        case ThreadPolicy.REQUIRE:
            full, rest = divmod(count, width)
            chosen = [cpu for core in whole[:full] for cpu in core]
            others = sorted((core for core in cores if core not in whole[:full] and len(core) >= rest), key=len)
            if rest and (len(whole) < full or not others):
                return None
            chosen += list(others[0])[:rest] if rest else []
        case ThreadPolicy.PREFER:
            chosen = _packed(cores, count, width)
    return chosen if len(chosen) == count else None


def _packed(cores: list[CpuSet], count: int, width: int) -> list[CpuId]:
    """Whole cores as far as they are filled, then threads of cores that are open already."""
    whole = [core for core in cores if len(core) == width]
    chosen = [cpu for core in whole[: count // width] for cpu in core]
    others = sorted((core for core in cores if core not in whole[: count // width]), key=len)
    chosen += [cpu for core in others for cpu in core][: count - len(chosen)]
    return chosen


def _take_cpus(host: Host, guest: GuestRequest, node: NodeId, chosen: list[CpuId]) -> None:
    gone = CpuSet(chosen)
    if guest.thread_policy is ThreadPolicy.ISOLATE:
        gone = CpuSet(cpu for core in host.cores[node] if not core.isdisjoint(gone) for cpu in core)
    host.cores[node] = [core - gone for core in host.cores[node] if core - gone]


def _devices(
    host: Host, wants: list[InterfaceRequest], nodes: tuple[NodeId, ...], *, remote: bool
) -> list[tuple[PciAddress, ...]] | None:
    """VFs for every interface, near ones first; only near ones unless `remote`."""
    facts = host.facts
    speeds = {link.pci: link.speed_mbps for link in facts.snapshot.links}
    used, load = set(host.used), Counter(host.load)
    found = []
    for interface in wants:
        ranked = sorted(_matching(host, interface), key=lambda vf: _distance(facts, vf, nodes))
        chosen: list[PciAddress] = []
        for vf in ranked:
            pf = facts.devices[vf].physfn
            if pf is None or vf in used or not _near_enough(facts, interface, vf, nodes=nodes, remote=remote):
                continue
            speed = speeds.get(pf)
            if speed is not None and load[pf] + interface.mbps > speed:
                continue
            chosen.append(vf)
            used.add(vf)
            load[pf] += interface.mbps
            if len(chosen) == interface.count:
                break
        if len(chosen) < interface.count:
            return None
        found.append(tuple(sorted(chosen)))
    return found


def _matching(host: Host, interface: InterfaceRequest) -> tuple[PciAddress, ...]:
    if interface not in host.matching:
        found = matching_devices(host.facts, interface)
        host.matching[interface] = tuple(d.address for d in found if unusable(host.facts, d) is None)
    return host.matching[interface]


def _distance(facts: HostFacts, vf: PciAddress, nodes: tuple[NodeId, ...]) -> int:
    return min(facts.distance(facts.device_node(facts.devices[vf]), node) for node in nodes)


def _near_enough(
    facts: HostFacts, interface: InterfaceRequest, vf: PciAddress, *, nodes: tuple[NodeId, ...], remote: bool
) -> bool:
    node = facts.device_node(facts.devices[vf])
    if node in nodes:
        return True
    if not remote or interface.affinity is Affinity.REQUIRED or node is None:
        return False
    if interface.affinity is Affinity.PREFERRED:
        return True
    return any(facts.packages_of[node] & facts.packages_of[other] for other in nodes)


def _floated(facts: HostFacts, placed: list[tuple[GuestRequest, Placement]]) -> list[Placement]:
    """Fills in where emulators and iothreads float, once it is known who holds what."""
    sets = {p.vm: CpuSet(cpu for c in p.cells for _, one in c.vcpus for cpu in one) | p.emulator for _, p in placed}
    held = CpuSet(cpu for cpus in sets.values() for cpu in cpus)
    isolated = CpuSet(cpu for g, p in placed if g.thread_policy is ThreadPolicy.ISOLATE for cpu in sets[p.vm])
    idle = idle_siblings(facts, isolated)
    done = []
    for guest, placement in placed:
        floats = not guest.own_emulator_cpus or (guest.iothreads and guest.iothread_policy is IothreadPolicy.SHARE)
        cpus = floating_cpus(facts, placement.nodes, held=held, idle=idle)[0] if floats else EMPTY
        done.append(placement if guest.own_emulator_cpus else replace(placement, emulator=cpus))
    return done
