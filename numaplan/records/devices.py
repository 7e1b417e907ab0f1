"""PCI functions, IOMMU groups and network links to their part of the inventory document."""

from collections.abc import Iterable, Sequence

from numaplan.model.devices import IommuGroup, Link, PciAddress, PciDevice, PcieLink, Sriov, VfSettings
from numaplan.model.guest import Guest
from numaplan.records.text import optional_address


def holders_of(guests: Iterable[Guest]) -> dict[PciAddress, list[str]]:
    """The names of the guests to which each function is handed, in the order of the guests."""
    holders: dict[PciAddress, list[str]] = {}
    for guest in guests:
        for address in dict.fromkeys(guest.pci_addresses):
            holders.setdefault(address, []).append(guest.name)
    return holders


def pci_document(device: PciDevice, holders: Sequence[str]) -> dict[str, object]:
    """A PCI function; ``guests`` says who holds it and is not read again: the guests themselves say it."""
    return {
        "address": str(device.address),
        "vendor": device.vendor,
        "device": device.device,
        "class": device.pci_class,
        "name": device.name,
        "numa_node": device.numa_node,
        "driver": device.driver,
        "iommu_group": device.iommu_group,
        "netdevs": list(device.netdevs),
        "sriov": None if device.sriov is None else _sriov_document(device.sriov),
        "physfn": optional_address(device.physfn),
        "vf": None if device.vf is None else _vf_document(device.vf),
        "link": None if device.link is None else _pcie_document(device.link),
        "resets": list(device.resets),
        "guests": list(holders),
    }


def group_document(group: IommuGroup) -> dict[str, object]:
    """An IOMMU group."""
    return {"id": group.id, "devices": [str(address) for address in group.devices]}


def link_document(link: Link) -> dict[str, object]:
    """A network interface of the host."""
    return {
        "name": link.name,
        "kind": link.kind,
        "pci": optional_address(link.pci),
        "speed_mbps": link.speed_mbps,
        "master": link.master,
        "lowers": list(link.lowers),
        "addresses": link.addresses,
        "mac": link.mac,
        "mtu": link.mtu,
        "up": link.up,
        "vlan": link.vlan,
        "peer": link.peer,
    }


def _sriov_document(sriov: Sriov) -> dict[str, object]:
    return {"total": sriov.total, "configured": sriov.configured, "vfs": [str(vf) for vf in sriov.vfs]}


def _vf_document(vf: VfSettings) -> dict[str, object]:
    return {
        "index": vf.index,
        "mac": vf.mac,
        "vlan": vf.vlan,
        "qos": vf.qos,
        "trust": vf.trust,
        "spoof_check": vf.spoof_check,
        "link_state": vf.link_state,
        "min_rate_mbps": vf.min_rate_mbps,
        "max_rate_mbps": vf.max_rate_mbps,
    }


def _pcie_document(link: PcieLink) -> dict[str, object]:
    return {
        "speed_mtps": link.speed_mtps,
        "width": link.width,
        "max_speed_mtps": link.max_speed_mtps,
        "max_width": link.max_width,
    }
