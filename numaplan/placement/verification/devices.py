"""VFs and passed-through devices: eligible, as filtered, near enough, fast enough, each once and with its group.

A device (other than a VF) is eligible if the host has it, no guest that stays does, and it is no bridge, no VF, no PF
with configured VFs (they would go with it) and not in use by the host.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.plan import InterfacePlacement, Placement
from numaplan.model.request import Affinity, DeviceRequest, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def device_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Everything that a plan can do wrong with PCI functions."""
    asked = [(guest, placement) for placement in placements if (guest := facts.asked(placement.vm)) is not None]
    for guest, placement in asked:
        wanted = {interface.name: interface for interface in guest.interfaces}
        for planned in placement.interfaces:
            if planned.name in wanted:
                yield from _vf_violations(facts, guest, placement, planned=planned, interface=wanted[planned.name])
        wanted_devices = {device.name: device for device in guest.devices}
        for device in placement.devices:
            if device.name in wanted_devices:
                reason = _device_problem(facts, device.address, wanted_devices[device.name], placement=placement)
                if reason is not None:
                    yield Violation(
                        guest.name,
                        "device",
                        f'device {device.address} of guest "{guest.name}" device "{device.name}" {reason}',
                    )
        yield from _ports(facts, guest, placement)
        yield from _iommu(facts, guest, placement)
    yield from _once(asked)
    yield from _bandwidth(facts, asked)


def vf_problem(facts: Facts, vf: PciAddress) -> str | None:
    """Why no guest can have that VF; None where one can."""
    device = facts.pci.device(vf)
    if device is None or facts.pci.pf(vf) is None:
        return "is no configured VF of the host"
    taker = facts.pci.taken_by(vf)
    if taker is not None:
        return f'is taken by guest "{taker}"'
    use = facts.pci.host_use(device)
    return None if use is None else f"is in use by the host: {use}"


def vf_filter_problem(facts: Facts, vf: PciAddress, interface: InterfaceRequest) -> str | None:
    """What of the interface's wishes a configured VF does not meet; None where it meets all."""
    device, pf = facts.pci.device(vf), facts.pci.pf(vf)
    if device is None or pf is None:
        return None
    interfaces = facts.pci.names(pf)
    said = ", ".join(sorted(interfaces)) or str(pf.address)
    names = interfaces | {str(pf.address)}
    if interface.physnet is not None:
        ports = frozenset(
            port for name, ports in facts.request.policy.physnets if name == interface.physnet for port in ports
        )
        if not names & ports:
            return f'is on {said}; it needs physnet "{interface.physnet}" ({", ".join(sorted(ports)) or "no ports"})'
    if interface.pf is not None and interface.pf not in names:
        return f"is on {said}; it needs {interface.pf}"
    index = facts.pci.index(vf)
    if interface.vf_indexes is not None and index not in interface.vf_indexes:
        return f"has index {index}; it needs one of {sorted(interface.vf_indexes)}"
    return _id_problem(device, interface.vendor, interface.device)


def near_enough(facts: Facts, node: NodeId | None, affinity: Affinity, *, nodes: Sequence[NodeId]) -> bool:
    """Whether a device at `node` (None: the host does not say) suits a guest on `nodes`."""
    if affinity is Affinity.PREFERRED:
        return True
    if node is None:
        return False
    if node in nodes:
        return True
    return affinity is Affinity.SOCKET and not facts.packages([node]).isdisjoint(facts.packages(nodes))


def _vf_violations(
    facts: Facts, guest: GuestRequest, placement: Placement, *, planned: InterfacePlacement, interface: InterfaceRequest
) -> Iterator[Violation]:
    where = f'of guest "{guest.name}" interface "{interface.name}"'
    for vf in planned.vfs:
        problem = vf_problem(facts, vf)
        if problem is not None:
            yield Violation(guest.name, "vf_eligible", f"VF {vf} {where} {problem}")
            continue
        mismatch = vf_filter_problem(facts, vf, interface)
        if mismatch is not None:
            yield Violation(guest.name, "vf_filter", f"VF {vf} {where} {mismatch}")
        node = facts.pci.node(vf)
        if not near_enough(facts, node, interface.affinity, nodes=placement.nodes):
            yield Violation(
                guest.name, "vf_affinity", f"VF {vf} {where} {_far(node, interface.affinity, placement.nodes)}"
            )
    pfs = Counter(pf.address for vf in planned.vfs if (pf := facts.pci.pf(vf)) is not None)
    for address, times in sorted(pfs.items()):
        if interface.distinct_pfs and times > 1:
            yield Violation(
                guest.name,
                "distinct_pfs",
                f"PF {address} has {format_count(times, 'VF')} {where}; distinct_pfs needs at most 1",
            )


def _ports(facts: Facts, guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    """Ports of bridges: near enough to where their traffic leaves the host."""
    for interface in guest.interfaces:
        if interface.type is InterfaceType.SRIOV:
            continue
        node = facts.uplinks.node(interface.bridge)
        if not near_enough(facts, node, interface.affinity, nodes=placement.nodes):
            where = f'the uplink of bridge "{interface.bridge}" of guest "{guest.name}" interface "{interface.name}"'
            yield Violation(guest.name, "port_affinity", f"{where} {_far(node, interface.affinity, placement.nodes)}")


def _device_problem(facts: Facts, address: PciAddress, wanted: DeviceRequest, *, placement: Placement) -> str | None:
    device = facts.pci.device(address)
    problem = device_problem(facts, device)
    if problem is not None or device is None:
        return problem
    if wanted.address is not None and wanted.address != address:
        return f"is not the one asked for; it needs {wanted.address}"
    mismatch = _id_problem(device, wanted.vendor, wanted.device)
    if mismatch is not None:
        return mismatch
    node = facts.pci.node(address)
    if not near_enough(facts, node, wanted.affinity, nodes=placement.nodes):
        return _far(node, wanted.affinity, placement.nodes)
    return None


def device_problem(facts: Facts, device: PciDevice | None) -> str | None:
    """Why no guest can have that device; None where one can."""
    if device is None:
        return "is not on the host"
    if device.is_bridge:
        return "is a bridge"
    # A kernel that says how many are configured may not show them.
    configured = 0 if device.sriov is None else max(device.sriov.configured, len(device.sriov.vfs))
    if configured:
        return f"has {format_count(configured, 'configured VF')}; it needs 0"
    taker = facts.pci.taken_by(device.address)
    if taker is not None:
        return f'is taken by guest "{taker}"'
    use = facts.pci.host_use(device)
    return None if use is None else f"is in use by the host: {use}"


def _id_problem(device: PciDevice, vendor: str | None, model: str | None) -> str | None:
    for what, found, wanted in (("vendor", device.vendor, vendor), ("device", device.device, model)):
        if wanted is not None and found.lower() != wanted.lower():
            return f"has {what} {found}; it needs {wanted}"
    return None


def _far(node: NodeId | None, affinity: Affinity, nodes: Sequence[NodeId]) -> str:
    found = "a node that the host does not say" if node is None else f"node {node}"
    return f"is at {found}; affinity {affinity} needs it near the guest's nodes {list(nodes)}"


def functions(placement: Placement) -> tuple[PciAddress, ...]:
    """Every VF and device of a placement."""
    vfs = (vf for interface in placement.interfaces for vf in interface.vfs)
    return (*vfs, *(device.address for device in placement.devices))


def _iommu(facts: Facts, guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    own = frozenset(functions(placement))
    told: set[PciAddress] = set()
    for address in sorted(own):
        missing = [mate for mate in facts.pci.group_mates(address) if mate not in own]
        if missing and address not in told:
            told.update(facts.pci.group_mates(address))
            others = ", ".join(str(mate) for mate in missing)
            yield Violation(
                guest.name,
                "iommu_group",
                f'{address} of guest "{guest.name}" shares its IOMMU group with {others}; it goes only together '
                f"with {len(missing)} more",
            )


def _once(asked: Sequence[tuple[GuestRequest, Placement]]) -> Iterator[Violation]:
    holders: defaultdict[PciAddress, list[str]] = defaultdict(list)
    for guest, placement in asked:
        for address in functions(placement):
            holders[address].append(guest.name)
    for address, names in sorted(holders.items()):
        if len(names) > 1:
            who = ", ".join(f'"{name}"' for name in names)
            yield Violation(
                names[1], "vf_twice", f"{address} is given {len(names)} times, to guests {who}; it can go to one"
            )


def _bandwidth(facts: Facts, asked: Sequence[tuple[GuestRequest, Placement]]) -> Iterator[Violation]:
    loads: defaultdict[PciAddress, int] = defaultdict(int)
    last: dict[PciAddress, str] = {}
    for guest, placement in asked:
        mbps = {interface.name: interface.mbps for interface in guest.interfaces}
        for interface in placement.interfaces:
            for pf in (facts.pci.pf(vf) for vf in interface.vfs):
                if pf is not None and mbps.get(interface.name):
                    loads[pf.address] += mbps[interface.name]
                    last[pf.address] = guest.name
    for address, load in sorted(loads.items()):
        device = facts.pci.device(address)
        speed = None if device is None else facts.pci.speed_mbps(device)
        if speed is not None and load > speed:
            yield Violation(
                last[address], "vf_bandwidth", f"PF {address} has a link of {speed} Mbit/s; its VFs need {load}"
            )
