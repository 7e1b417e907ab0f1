"""Sorts a host's cores and devices into kinds of equals."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.model.slots import Matching, PciElement, Wanted, guest_elements, wanted_functions
from numaplan.placement.facts import HostFacts
from numaplan.placement.problem import CoreKind, DeviceDemand, DeviceKind, Problem

# A kind without its cores, as a tuple: a host has thousands of cores and few kinds.
_Key = tuple[NodeId, int | None, int, bool, bool, bool, CpuId | None, CpuId | None]


@lru_cache(maxsize=4)  # what is asked of a host is asked again and again with fewer guests
def core_kinds(facts: HostFacts, apart: CpuSet) -> tuple[CoreKind, ...]:
    """The kinds of core with something to give; each core with a CPU in `apart` is a kind of its own."""
    groups: dict[tuple[_Key, CpuId | None], list[CpuSet]] = defaultdict(list)
    available = facts.allocatable - facts.taken
    never_idle = facts.taken | facts.left
    for core in facts.snapshot.cores:
        found = {(facts.node_of[cpu], facts.llc_of.get(cpu)) for cpu in core.cpus if cpu in facts.node_of}
        # Broken firmware can show siblings in different caches, even on different nodes.
        one_place = len(found) == 1
        all_free = core.cpus & facts.free
        isolable = core.cpus.isdisjoint(never_idle)
        for node, llc in found if one_place else sorted(found, key=repr):
            free = all_free
            if not one_place:
                free = CpuSet(c for c in all_free if (facts.node_of[c], facts.llc_of.get(c)) == (node, llc))
            if not free:
                continue
            full = one_place and free == core.cpus
            whole = full and len(free) == facts.threads > 1
            split = core.name if not full and core.cpus <= available else None
            scattered = None if one_place else core.name
            key = (node, llc, len(free), whole, full, isolable, split, scattered)
            groups[key, None if core.cpus.isdisjoint(apart) else core.name].append(free)
    kinds = [CoreKind(*key, tuple(sorted(cores, key=lambda cpus: cpus.lowest))) for (key, _), cores in groups.items()]
    return tuple(sorted(kinds, key=lambda kind: kind.cores[0].lowest))


def device_kinds(facts: HostFacts, guests: Sequence[GuestRequest]) -> tuple[DeviceKind, ...]:
    """The kinds of device that some guest asks for and may have."""
    filters = sorted({_filter(facts, entry) for guest in guests for entry in entries(guest)}, key=repr)
    return _kinds_of(facts, tuple(filters), _unrequested(facts, guests))


@lru_cache(maxsize=4)  # as above
def _kinds_of(facts: HostFacts, filters: "tuple[_Filter, ...]", last: frozenset[PciAddress]) -> tuple[DeviceKind, ...]:
    """The kinds of device that some filter accepts, those with devices in `last` behind the others."""
    wanted: dict[PciAddress, tuple[int, ...]] = {}
    below: dict[PciAddress | None, list[int]] = {}
    for device in facts.snapshot.pci:
        # A PF has up to 256 VFs: which filters speak of it is asked once.
        if device.physfn not in below:
            below[device.physfn] = [i for i, wants in enumerate(filters) if wants.accepts_pf(facts, device.physfn)]
        matched = tuple(i for i in below[device.physfn] if filters[i].accepts_function(facts, device))
        if matched and unusable(facts, device) is None:
            wanted[device.address] = matched
    groups: dict[tuple[DeviceKind, tuple[int, ...], PciAddress | None], list[PciAddress]] = defaultdict(list)
    for address, matched in sorted(wanted.items(), key=lambda item: (item[0] in last, item[0])):
        device = facts.devices[address]
        companions = group_companions(facts, device)
        if not all(other in wanted for other in companions):
            continue
        bundle = device.iommu_group if companions else None
        kind = DeviceKind(device.physfn, facts.device_node(device), members=(), bundle=bundle)
        groups[kind, matched, address if device.physfn is None else None].append(address)
    kinds = [replace(kind, members=tuple(members)) for (kind, _, _), members in groups.items()]
    return tuple(sorted(kinds, key=lambda kind: min(kind.members)))


def entries(guest: GuestRequest) -> tuple[InterfaceRequest | DeviceRequest, ...]:
    """Everything of a guest that takes PCI devices: its SR-IOV interfaces, then its devices."""
    return (*(i for i in guest.interfaces if i.type is InterfaceType.SRIOV), *guest.devices)


def matching_kinds(
    facts: HostFacts, kinds: tuple[DeviceKind, ...], entry: InterfaceRequest | DeviceRequest
) -> tuple[int, ...]:
    """The kinds that an entry accepts."""
    wants = _filter(facts, entry)
    return tuple(i for i, kind in enumerate(kinds) if wants.accepts(facts, facts.devices[kind.members[0]]))


def matching_devices(facts: HostFacts, entry: InterfaceRequest | DeviceRequest) -> tuple[PciDevice, ...]:
    """Every device that an entry accepts, whether or not it can be given."""
    wants = _filter(facts, entry)
    return tuple(device for device in facts.snapshot.pci if wants.accepts(facts, device))


def obstacle(facts: HostFacts, device: PciDevice) -> str:
    """Why a device that would do is not given."""
    reason = unusable(facts, device)
    if reason is not None:
        return reason
    companions = ", ".join(str(address) for address in group_companions(facts, device))
    return f"goes only together with the rest of its IOMMU group ({companions})"


def bound_to_groups(problem: Problem, entry: InterfaceRequest | DeviceRequest, demand: DeviceDemand) -> list[PciDevice]:
    """The devices that would do, and that nothing but the rest of their IOMMU groups keeps from being given."""
    given = {address for i in demand.kinds for address in problem.device_kinds[i].members}
    would_do = (device for device in matching_devices(problem.facts, entry) if device.address not in given)
    return [device for device in would_do if unusable(problem.facts, device) is None]


def group_companions(facts: HostFacts, device: PciDevice) -> tuple[PciAddress, ...]:
    """The other devices of its IOMMU group that would have to go with it; bridges do not count."""
    if device.iommu_group is None:
        return ()
    return tuple(
        address
        for address in facts.groups.get(device.iommu_group, ())
        if address != device.address and not (address in facts.devices and facts.devices[address].is_bridge)
    )


def unusable(facts: HostFacts, device: PciDevice) -> str | None:
    """Why a device cannot go to any guest of the request; None where it can."""
    if device.address in facts.held_devices:
        return "is held by another guest"
    if device.is_bridge:
        return "is a bridge"
    if device.sriov is not None and (device.sriov.configured > 0 or device.sriov.vfs):
        return "is a PF with configured VFs"
    return facts.busy_devices.get(device.address)


def current_devices(facts: HostFacts, request: GuestRequest, guest: Guest) -> tuple[tuple[PciAddress | None, ...], ...]:
    """The functions that a guest has already, by the entry of the request that they serve; None: one that it lacks."""
    elements = guest_elements(guest)
    served = {wanted: element.pci for wanted, element, _ in _serving(facts, request, elements)}
    return tuple(tuple(served.get(one) for one in functions) for functions in wanted_functions(request))


def _serving(
    facts: HostFacts, request: GuestRequest, elements: Sequence[PciElement]
) -> Iterator[tuple[Wanted, PciElement, bool]]:
    """What serves each wanted function, and whether that only because of the function that it has."""
    filters = {
        (wanted[0].name, wanted[0].is_device): _filter(facts, entry)
        for wanted, entry in zip(wanted_functions(request), entries(request), strict=True)
    }

    def serves(one: Wanted, pci: PciAddress) -> bool:
        return pci in facts.devices and filters[one.name, one.is_device].accepts(facts, facts.devices[pci])

    matching = Matching[Wanted](elements)
    left = matching.by_order(matching.by_name([one for functions in wanted_functions(request) for one in functions]))
    lasting = set(matching.given)
    matching.by_function(left, serves)
    for number, one in matching.given.items():
        yield one, elements[number], number not in lasting


def _unrequested(facts: HostFacts, guests: Sequence[GuestRequest]) -> frozenset[PciAddress]:
    """Functions that guests of the request have beyond what it asks for, or in elements that go on naming them.

    They are given back with the rest, but the XML still names them: they go to somebody else last of all.
    """
    existing = {guest.name: guest for guest in facts.snapshot.guests}
    aside: set[PciAddress] = set()
    for request in guests:
        if request.name in existing:
            guest = existing[request.name]
            serving = _serving(facts, request, guest_elements(guest))
            aside |= set(guest.pci_addresses) - {element.pci for _, element, by_chance in serving if not by_chance}
    return frozenset(aside)


@dataclass(frozen=True, slots=True)
class _Filter:
    """What an entry accepts; None: anything."""

    only_vfs: bool
    pfs: tuple[str, ...] | None
    vf_indexes: tuple[int, ...] | None
    vendor: str | None
    device: str | None
    address: PciAddress | None

    def accepts(self, facts: HostFacts, device: PciDevice) -> bool:
        return self.accepts_pf(facts, device.physfn) and self.accepts_function(facts, device)

    def accepts_pf(self, facts: HostFacts, pf: PciAddress | None) -> bool:
        """Whether it may accept functions of that PF; None: functions that are no VFs."""
        if not self.only_vfs:
            return True
        return pf is not None and pf in facts.devices and (self.pfs is None or facts.goes_by(pf, self.pfs))

    def accepts_function(self, facts: HostFacts, device: PciDevice) -> bool:
        """Whether it accepts a function whose PF will do."""
        if self.vendor not in (None, device.vendor) or self.device not in (None, device.device):
            return False
        if self.address not in (None, device.address):
            return False
        return self.vf_indexes is None or facts.vf_indexes.get(device.address) in self.vf_indexes


def _filter(facts: HostFacts, entry: InterfaceRequest | DeviceRequest) -> _Filter:
    if isinstance(entry, DeviceRequest):
        return _Filter(
            only_vfs=False, pfs=None, vf_indexes=None, vendor=entry.vendor, device=entry.device, address=entry.address
        )
    pfs: tuple[str, ...] | None = None
    if entry.pf is not None:
        pfs = (entry.pf,)
    elif entry.physnet is not None:
        pfs = dict(facts.policy.physnets).get(entry.physnet, ())
    indexes = None if entry.vf_indexes is None else tuple(sorted(entry.vf_indexes))
    return _Filter(only_vfs=True, pfs=pfs, vf_indexes=indexes, vendor=entry.vendor, device=entry.device, address=None)
