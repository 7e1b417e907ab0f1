"""Every way for one guest with the others held, tried on concrete CPUs, memory and VFs and judged by verify."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import IothreadId
from numaplan.model.host import NodeId
from numaplan.model.plan import LEVELS, Placement
from numaplan.model.request import EmulatorPolicy, GuestRequest, IothreadPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import cpus_of, grants
from numaplan.placement.verification.objective import cross_node_cost, level_values
from numaplan.placement.verify import placement_violations
from tests.placement.bruteforce_options import (
    VfKind,
    cell_choices,
    cpu_options,
    device_choices,
    skeleton,
    vf_kinds,
    vf_wishes,
)


def cheapest_ways(
    request: Request, snapshot: Snapshot, placements: Sequence[Placement], vm: str
) -> dict[tuple[NodeId, ...], int]:
    """The least cost of guest `vm` on each choice of nodes on which a valid plan leaves all others where they are."""
    facts = Facts(request, snapshot)
    guest = facts.asked(vm)
    assert guest is not None
    others = [placement for placement in placements if placement.vm != vm]
    found: dict[tuple[NodeId, ...], int] = {}
    for base in sorted(_bases(facts, guest, others), key=lambda base: cross_node_cost(facts, guest, base)):
        nodes = tuple(cell.numa_node for cell in base.cells)
        if nodes not in found and _can_be(facts, guest, base, others):
            found[nodes] = cross_node_cost(facts, guest, base)
    return found


def most_free_nodes(
    request: Request, snapshot: Snapshot, placements: Sequence[Placement], vm: str, *, nodes: tuple[NodeId, ...]
) -> int:
    """The most nodes that are free where guest `vm` lies on `nodes` at what it costs now, all others where they are."""
    facts = Facts(request, snapshot)
    guest = facts.asked(vm)
    assert guest is not None
    (now,) = (placement for placement in placements if placement.vm == vm)
    others = [placement for placement in placements if placement.vm != vm]
    return max(
        level_values(facts, [*others, there])[LEVELS.index("free_nodes")]
        for base in _bases(facts, guest, others)
        if tuple(cell.numa_node for cell in base.cells) == nodes
        if cross_node_cost(facts, guest, base) == cross_node_cost(facts, guest, now)
        if (there := _as_it_can_be(facts, guest, base, others)) is not None
    )


def _bases(facts: Facts, guest: GuestRequest, others: Sequence[Placement]) -> Iterator[Placement]:
    kinds = vf_kinds(facts)
    used = {vf for other in others for interface in other.interfaces for vf in interface.vfs}
    used |= {device.address for other in others for device in other.devices}
    for cells in cell_choices(facts, guest):
        for wish in vf_wishes(facts, guest, kinds):
            vfs = _named(wish, kinds, used)
            for devices in device_choices(facts, guest) if vfs is not None else ():
                addresses = [device.address for device in devices]
                if used.isdisjoint(addresses) and len(set(addresses)) == len(addresses):
                    yield skeleton(guest, cells, vfs or [], devices)


def _named(
    wish: tuple[tuple[VfKind, ...], ...], kinds: dict[VfKind, tuple[PciAddress, ...]], used: set[PciAddress]
) -> list[tuple[PciAddress, ...]] | None:
    """The first VFs of each kind that nobody has."""
    taken = set(used)
    named = []
    for interface_kinds in wish:
        mine = []
        for kind in interface_kinds:
            vf = next((vf for vf in kinds[kind] if vf not in taken), None)
            if vf is None:
                return None
            taken.add(vf)
            mine.append(vf)
        named.append(tuple(mine))
    return named


def _can_be(facts: Facts, guest: GuestRequest, base: Placement, others: Sequence[Placement]) -> bool:
    return _as_it_can_be(facts, guest, base, others) is not None


def _as_it_can_be(facts: Facts, guest: GuestRequest, base: Placement, others: Sequence[Placement]) -> Placement | None:
    """The placement `base` with its CPUs, where there is a valid plan with it."""
    held = CpuSet(cpu for other in others for cpu in _dedicated(facts, other))
    for option in cpu_options(facts, guest, base):
        if not option.cpus.isdisjoint(held):
            continue
        everybody = [*others, option.placement]
        given = facts.taken | held | option.cpus
        if not any(placement_violations(facts, [afloat(facts, each, given) for each in everybody])):
            return option.placement
    return None


def _dedicated(facts: Facts, placement: Placement) -> CpuSet:
    guest = facts.asked(placement.vm)
    return EMPTY if guest is None else cpus_of(grants(guest, placement))


def afloat(facts: Facts, placement: Placement, given: CpuSet) -> Placement:
    """The placement with threads that share CPUs where the contract has them, now that all else is known."""
    guest = facts.asked(placement.vm)
    assert guest is not None
    rung = facts.share_ladder(placement.nodes)
    where = rung if rung is not None else facts.cpus(placement.nodes) - given
    shares = guest.iothread_policy is IothreadPolicy.SHARE
    return replace(
        placement,
        emulator=where if guest.emulator is EmulatorPolicy.SHARE else placement.emulator,
        iothreads=tuple((IothreadId(i), where) for i in range(1, guest.iothreads + 1))
        if shares
        else placement.iothreads,
    )
