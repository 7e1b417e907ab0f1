"""PCI functions, their VFs, interrupts and network interfaces in an inventory."""

from collections.abc import Mapping
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import Link, PciAddress, PciDevice
from numaplan.model.kernel import Irq
from numaplan.model.snapshot import Snapshot
from numaplan.report.devices import (
    degraded,
    is_function,
    near_order,
    node_of,
    pcie,
    speed,
    speeds,
    vf_counts,
    worthy_kind,
)
from numaplan.report.holding import device_owners, used_vfs
from numaplan.report.text import NONE, UNKNOWN, clean, grid, known, number, wrap_list, yes

_LIST_WIDTH: Final = 40


def functions(snapshot: Snapshot) -> str:
    """Network functions and whatever else has VFs; the VFs themselves are counted at their PF."""
    shown = sorted((device for device in snapshot.pci if is_function(device)), key=near_order)
    if not shown:
        return ""
    known_speeds, owners = speeds(snapshot.links), device_owners(snapshot)
    headers = ["node", "PCI", "name", "driver", "link", "VFs used", "configured", "total", "IOMMU group"]
    rows = [
        [
            number(device.numa_node),
            str(device.address),
            "\n".join(map(clean, device.netdevs)) or NONE,
            NONE if device.driver is None else clean(device.driver),
            speed(device, known_speeds),
            *vf_counts(used_vfs(snapshot, device, owners), device),
            number(device.iommu_group),
        ]
        for device in shown
    ]
    worse = [degraded(device) for device in shown]
    if any(worse):
        headers.append("degraded PCIe link")
        rows = [[*row, link or NONE] for row, link in zip(rows, worse, strict=True)]
    return grid(headers, rows, right=["node", "link", "VFs used", "configured", "total", "IOMMU group"])


def virtual_functions(snapshot: Snapshot) -> str:
    """A row a VF: what its PF's driver says of it, and who has it."""
    near, owners = node_of(snapshot), device_owners(snapshot)
    devices = {device.address: device for device in snapshot.pci}
    rows = [
        _vf_row(snapshot, vf, devices.get(vf), pf=pf, place=place, node=near.get(vf), owners=owners)
        for pf in sorted(snapshot.pci, key=near_order)
        if pf.sriov is not None
        for place, vf in enumerate(pf.sriov.vfs)
    ]
    if not rows:
        return ""
    headers = ["node", "PF", "VF", "PCI", "MAC", "VLAN", "QoS", "trust", "spoof check", "link state", "min-max Mb/s"]
    headers += ["driver", "IOMMU group", "guest"]
    return grid(headers, rows, right=["node", "VF", "VLAN", "QoS", "IOMMU group"])


def _vf_row(
    snapshot: Snapshot,
    address: PciAddress,
    device: PciDevice | None,
    *,
    pf: PciDevice,
    place: int,
    node: int | None,
    owners: Mapping[PciAddress, tuple[int, ...]],
) -> list[str]:
    settings = None if device is None else device.vf
    row = [number(node), clean(pf.netdevs[0]) if pf.netdevs else str(pf.address), str(place), str(address)]
    if settings is None:
        row += [UNKNOWN] * 7
    else:
        row += [
            known(settings.mac),
            number(settings.vlan),
            number(settings.qos),
            yes(settings.trust),
            yes(settings.spoof_check),
            known(settings.link_state),
            f"{number(settings.min_rate_mbps)}-{_most(settings.max_rate_mbps)}",
        ]
    driver = UNKNOWN if device is None else NONE if device.driver is None else clean(device.driver)
    return [*row, driver, number(None if device is None else device.iommu_group), _owner(snapshot, owners, address)]


def _most(rate: int | None) -> str:
    return "any" if rate == 0 else number(rate)


def _owner(snapshot: Snapshot, owners: Mapping[PciAddress, tuple[int, ...]], address: PciAddress) -> str:
    if not snapshot.guests:
        return UNKNOWN
    return "\n".join(clean(snapshot.guests[place].name) for place in owners.get(address, ())) or NONE


def others(snapshot: Snapshot) -> str:
    """What else guests may be given: graphics, accelerators, NVMe; and what is known of every PF's PCIe link."""
    owners = device_owners(snapshot)
    rows = [
        [
            number(device.numa_node),
            str(device.address),
            _kind(device),
            clean(device.name or f"{device.vendor}:{device.device}"),
            NONE if device.driver is None else clean(device.driver),
            pcie(device.link),
            number(device.iommu_group),
            " ".join(map(clean, device.resets)) or NONE,
            _owner(snapshot, owners, device.address),
        ]
        for device in sorted(snapshot.pci, key=near_order)
        if is_function(device) or worthy_kind(device) is not None
    ]
    headers = ["node", "PCI", "kind", "device", "driver", "PCIe link", "IOMMU group", "resets", "guest"]
    return grid(headers, rows, right=["node", "IOMMU group"]) if rows else ""


def _kind(device: PciDevice) -> str:
    return worthy_kind(device) or ("network" if device.sriov is None else "PF")


def interrupts(snapshot: Snapshot) -> str:
    """Per device: how many interrupts, where they are served, and how many of them not on the device's node."""
    found: dict[PciAddress | None, list[Irq]] = {}
    for irq in snapshot.irqs:
        found.setdefault(irq.device, []).append(irq)
    if not found:
        return ""
    near = node_of(snapshot)
    cpus = {int(node.id): node.cpus for node in snapshot.nodes}
    everywhere = CpuSet(cpu for of_node in cpus.values() for cpu in of_node)
    names = {device.address: device.netdevs for device in snapshot.pci}
    ordered = sorted(found.items(), key=lambda item: (item[0] is None, item[0] or PciAddress(0, 0, 0, 0)))
    rows = []
    for address, irqs in ordered:
        node = None if address is None else near.get(address)
        local = None if node is None else cpus.get(node)
        elsewhere = EMPTY if local is None else everywhere - local
        served = CpuSet(cpu for irq in irqs for cpu in _served(irq))
        away = NONE if address is None else UNKNOWN
        if local is not None:
            away = str(sum(bool(_served(irq) & elsewhere) and _served(irq).isdisjoint(local) for irq in irqs))
        name = "" if address is None else "\n".join(map(clean, names.get(address, ())))
        where = "all others" if address is None else str(address)
        row = [NONE if address is None else number(node), where, name or NONE, str(len(irqs))]
        rows.append([*row, away, wrap_list(str(served) or UNKNOWN, _LIST_WIDTH)])
    headers = ["node", "interrupts of", "name", "how many", "off the node", "served on CPUs"]
    return grid(headers, rows, right=["node", "how many", "off the node"])


def _served(irq: Irq) -> CpuSet:
    return irq.effective or irq.affinity or EMPTY


def links(snapshot: Snapshot) -> str:
    """Network interfaces, each with what stands above it."""
    if not snapshot.links:
        return ""
    near = node_of(snapshot)
    by_name = {link.name: link for link in snapshot.links}
    above: dict[str, str] = {}
    for link in snapshot.links:
        for lower in link.lowers:
            above.setdefault(lower, link.name)
    rows = [
        [
            NONE if link.pci is None else number(near.get(link.pci)),
            clean(link.name),
            NONE if link.kind is None else clean(link.kind),
            NONE if link.pci is None else str(link.pci),
            UNKNOWN if link.speed_mbps is None else str(link.speed_mbps),
            number(link.mtu),
            known(link.mac),
            yes(link.up),
            yes(link.addresses),
            NONE if link.vlan is None else str(link.vlan),
            _chain(link, by_name, above),
        ]
        for link in snapshot.links
    ]
    headers = ["node", "interface", "kind", "PCI", "Mb/s", "MTU", "MAC", "up", "addresses", "VLAN", "below"]
    return grid(headers, rows, right=["node", "Mb/s", "MTU", "VLAN"])


def _chain(link: Link, by_name: Mapping[str, Link], above: Mapping[str, str]) -> str:
    """``bond0 > br0``: its master, that one's master, and so on; the other end of a veth pair last."""
    names: list[str] = []
    current: Link | None = link
    while current is not None:
        upper = current.master or above.get(current.name)
        if upper is None or upper in names or upper == link.name:
            break
        names.append(upper)
        current = by_name.get(upper)
    said = " > ".join(map(clean, names))
    if link.peer is None:
        return said or NONE
    return f"{said} (peer {clean(link.peer)})".strip()
