"""Everything that one guest could get, written down one by one: nodes, memory, VFs and devices, then concrete CPUs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement, product

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, DevicePlacement, InterfacePlacement, Placement
from numaplan.model.request import (
    CellRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    ThreadPolicy,
)
from numaplan.placement.verification.devices import device_problem, vf_filter_problem, vf_problem
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import grants, is_dedicated
from numaplan.placement.verification.objective import llc_spans
from numaplan.placement.verification.threads import thread_violations

# VFs of one kind are as good as each other: same PF, same ids, same answers to every interface of the request.
VfKind = tuple[object, ...]


@dataclass(frozen=True)
class CpuOption:
    """A placement with its CPUs (memory and VFs still to come); `alone` are siblings that its isolation keeps idle."""

    placement: Placement
    cpus: CpuSet
    alone: CpuSet
    spans: int
    mirrors_xml: bool


def vf_kinds(facts: Facts) -> dict[VfKind, tuple[PciAddress, ...]]:
    """The VFs that a guest can have, kind by kind. A VF that a guest has now, or with company, is a kind of its own."""
    interfaces = [interface for guest in facts.request.guests for interface in guest.interfaces]
    owned = {
        address
        for guest in facts.request.guests
        if (existing := facts.existing(guest.name)) is not None
        for address in existing.pci_addresses
    }
    kinds: dict[VfKind, list[PciAddress]] = {}
    for device in facts.snapshot.pci:
        vf = device.address
        pf = facts.pci.pf(vf)
        if pf is None or vf_problem(facts, vf) is not None:
            continue
        answers = tuple(vf_filter_problem(facts, vf, interface) is None for interface in interfaces)
        itself = vf if vf in owned or facts.pci.group_mates(vf) else None
        kinds.setdefault((pf.address, device.vendor, device.device, answers, itself), []).append(vf)
    return {kind: tuple(sorted(vfs)) for kind, vfs in kinds.items()}


def vf_wishes(
    facts: Facts, guest: GuestRequest, kinds: dict[VfKind, tuple[PciAddress, ...]]
) -> list[tuple[tuple[VfKind, ...], ...]]:
    """For each of the guest's interfaces the kinds of its VFs, in every combination."""

    def ways(interface: InterfaceRequest) -> list[tuple[VfKind, ...]]:
        if interface.type is not InterfaceType.SRIOV:
            return [()]
        fitting = [kind for kind, vfs in kinds.items() if vf_filter_problem(facts, vfs[0], interface) is None]
        several = combinations_with_replacement(fitting, interface.count)
        return [way for way in several if all(times <= len(kinds[kind]) for kind, times in Counter(way).items())]

    return list(product(*(ways(interface) for interface in guest.interfaces)))


def device_choices(facts: Facts, guest: GuestRequest) -> list[tuple[DevicePlacement, ...]]:
    """Every eligible function for every device entry; what fits is left to the check."""
    eligible = [device.address for device in facts.snapshot.pci if device_problem(facts, device) is None]
    ways = [[DevicePlacement(device.name, address) for address in eligible] for device in guest.devices]
    return list(product(*ways))


def cell_choices(facts: Facts, guest: GuestRequest) -> list[tuple[CellPlacement, ...]]:
    """Every node, memory node and page size for every cell, shared vCPUs on the pool of the node, dedicated on none."""
    nodes = [node.id for node in facts.snapshot.nodes]

    def one(index: int, cell: CellRequest) -> Iterator[CellPlacement]:
        for node, memory_node in product(nodes, nodes):
            if cell.memory_policy is MemoryPolicy.STRICT and memory_node != node:
                continue
            host_node = facts.node(memory_node)
            sizes = [] if host_node is None else [pool.size_kib for pool in host_node.hugepages]
            for size_kib in (4, *sizes):
                yield CellPlacement(
                    CellId(index), node, _without_cpus(facts, guest, cell, node), memory_node, cell.memory_kib, size_kib
                )

    return list(product(*(list(one(index, cell)) for index, cell in enumerate(guest.cells))))


def skeleton(
    guest: GuestRequest,
    cells: tuple[CellPlacement, ...],
    vfs: Sequence[tuple[PciAddress, ...]],
    devices: tuple[DevicePlacement, ...],
) -> Placement:
    """A placement without CPUs of its own."""
    return Placement(
        guest.name,
        cells,
        EMPTY,
        interfaces=tuple(
            InterfacePlacement(interface.name, addresses)
            for interface, addresses in zip(guest.interfaces, vfs, strict=True)
            if interface.type is InterfaceType.SRIOV
        ),
        devices=devices,
    )


def cpu_options(facts: Facts, guest: GuestRequest, base: Placement) -> list[CpuOption]:
    """Every set of free CPUs of the right size for every cell of `base`, handed out vCPUs first, whole cores first.

    Which thread of a set runs where matters to `moves` alone, so the way in which the guest's XML has it comes first.
    """
    free = facts.allocatable - facts.taken
    sets = [
        combinations(free & facts.cpus([cell.numa_node]), _own_threads(guest, index))
        for index, cell in enumerate(base.cells)
    ]
    found = [_as_in_xml(facts, guest, base), *(_handed_out(facts, guest, base, chosen) for chosen in product(*sets))]
    options = []
    for index, placement in enumerate(found):
        if placement is None:
            continue
        given = grants(guest, placement)
        cpus = CpuSet(grant.cpu for grant in given)
        held = facts.taken | cpus
        if len(cpus) < len(given) or not cpus <= free:
            continue
        if any(thread_violations(facts, guest, placement, own=given, held=held)):
            continue
        cores = CpuSet(sibling for cpu in cpus for sibling in facts.core(cpu))
        alone = cores - cpus if guest.thread_policy is ThreadPolicy.ISOLATE else EMPTY
        options.append(CpuOption(placement, cpus, alone, llc_spans(facts, guest, placement), mirrors_xml=index == 0))
    return options


def _own_threads(guest: GuestRequest, index: int) -> int:
    """How many CPUs of its own the cell needs."""
    vcpus = sum(is_dedicated(guest, vcpu) for vcpu in guest.cells[index].vcpus)
    return vcpus if index else vcpus + _own_emulator(guest) + _own_iothreads(guest)


def _own_emulator(guest: GuestRequest) -> int:
    return {EmulatorPolicy.SHARE: 0, EmulatorPolicy.ISOLATE: 1, EmulatorPolicy.SET: guest.emulator_cpus}[guest.emulator]


def _own_iothreads(guest: GuestRequest) -> int:
    return guest.iothreads if guest.iothread_policy is IothreadPolicy.DEDICATED else 0


def _without_cpus(
    facts: Facts, guest: GuestRequest, cell: CellRequest, node: NodeId
) -> tuple[tuple[VcpuId, CpuSet], ...]:
    pool = facts.shared & facts.cpus([node])
    return tuple((vcpu, EMPTY if is_dedicated(guest, vcpu) else pool) for vcpu in cell.vcpus)


def _handed_out(facts: Facts, guest: GuestRequest, base: Placement, chosen: Sequence[tuple[CpuId, ...]]) -> Placement:
    cells = []
    left: list[CpuId] = []
    for cell, cpus in zip(base.cells, chosen, strict=True):
        shares = Counter(facts.core(cpu).lowest for cpu in cpus)
        order = sorted(cpus, key=lambda cpu: (-shares[facts.core(cpu).lowest], facts.core(cpu).lowest, cpu))
        waiting = iter(order)
        vcpus = tuple(
            (vcpu, CpuSet([next(waiting)]) if is_dedicated(guest, vcpu) else pool) for vcpu, pool in cell.vcpus
        )
        cells.append(replace(cell, vcpus=vcpus))
        left += waiting
    emulator, rest = left[: _own_emulator(guest)], left[_own_emulator(guest) :]
    iothreads = [CpuSet([cpu]) for cpu in rest] or [EMPTY] * guest.iothreads
    return replace(
        base,
        cells=tuple(cells),
        emulator=CpuSet(emulator),
        iothreads=tuple((IothreadId(i), cpus) for i, cpus in enumerate(iothreads, start=1)),
    )


def _as_in_xml(facts: Facts, guest: GuestRequest, base: Placement) -> Placement | None:
    """The CPUs that the guest's XML pins, where it pins every thread of its own on as many as are asked."""
    existing = facts.existing(guest.name)
    if existing is None:
        return None
    pins = {vcpu: existing.effective_vcpu_affinity(vcpu) for cell in base.cells for vcpu, _ in cell.vcpus}
    cells = tuple(
        replace(
            cell,
            vcpus=tuple(
                (vcpu, (pins[vcpu] or EMPTY) if is_dedicated(guest, vcpu) else pool) for vcpu, pool in cell.vcpus
            ),
        )
        for cell in base.cells
    )
    own_iothreads = guest.iothread_policy is IothreadPolicy.DEDICATED
    iothreads = tuple(
        (id_, (existing.effective_iothread_affinity(id_) or EMPTY) if own_iothreads else EMPTY)
        for id_ in map(IothreadId, range(1, guest.iothreads + 1))
    )
    emulator = existing.effective_emulator_affinity() if _own_emulator(guest) else None
    placement = replace(base, cells=cells, emulator=emulator or EMPTY, iothreads=iothreads)
    threads = sum(_own_threads(guest, index) for index in range(len(base.cells)))
    one_node = all(grant.cpu in facts.cpus([base.cells[grant.cell].numa_node]) for grant in grants(guest, placement))
    return placement if one_node and len(grants(guest, placement)) == threads else None
