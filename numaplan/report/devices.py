"""PCI devices in words: which are worth showing, how fast they are, and what is wrong with their PCIe link."""

from collections.abc import Iterable, Mapping
from typing import Final

from numaplan.model.devices import NETWORK_CLASS_PREFIX, Link, PciAddress, PciDevice, PcieLink
from numaplan.model.snapshot import Snapshot
from numaplan.report.text import NONE, UNKNOWN, number

_MBPS_PER_GBPS: Final = 1000
_MTPS_PER_GTPS: Final = 1000

# PCI class codes, upper 16 bits (PCI Code and ID Assignment Specification), of what goes to guests beside NICs.
_WORTHY: Final = (
    ("0108", "NVMe storage"),
    ("0300", "display controller"),
    ("0302", "3D controller"),
    ("0380", "display controller"),
    ("0b40", "coprocessor"),
    ("10", "encryption controller"),
    ("12", "accelerator"),
)
# ASPEED and Matrox: the screen of a server's management controller, which is nothing for a guest.
_MANAGEMENT_VENDORS: Final = frozenset({"1a03", "102b"})


def is_function(device: PciDevice) -> bool:
    """Whether it is a network function, or has VFs; VFs themselves are counted at their PF."""
    network = device.pci_class.startswith(NETWORK_CLASS_PREFIX)
    return device.physfn is None and (device.sriov is not None or network)


def worthy_kind(device: PciDevice) -> str | None:
    """What else it is that may go to a guest; None for the rest."""
    if device.physfn is not None or is_function(device) or device.vendor in _MANAGEMENT_VENDORS:
        return None
    return next((kind for prefix, kind in _WORTHY if device.pci_class.startswith(prefix)), None)


def near_order(device: PciDevice) -> tuple[bool, int, PciAddress]:
    """Node by node, those of unknown node last."""
    return (device.numa_node is None, device.numa_node or 0, device.address)


def speeds(links: Iterable[Link]) -> Mapping[PciAddress, int]:
    """The fastest interface of each function, in Mb/s."""
    found: dict[PciAddress, int] = {}
    for link in links:
        if link.pci is not None and link.speed_mbps is not None:
            found[link.pci] = max(found.get(link.pci, 0), link.speed_mbps)
    return found


def speed(device: PciDevice, known: Mapping[PciAddress, int]) -> str:
    """``25 Gb/s``; "?" where it has an interface that does not say, "-" where it has none."""
    mbps = known.get(device.address)
    if mbps is None:
        return UNKNOWN if device.netdevs else NONE
    gbps, rest = divmod(mbps, _MBPS_PER_GBPS)
    return f"{mbps} Mb/s" if rest else f"{gbps} Gb/s"


def pcie(link: PcieLink | None) -> str:
    """``8.0 GT/s x4``, with ``of x8`` or ``of 16.0 GT/s x8`` where the device can do better; "?" if not known."""
    if link is None or (link.speed_mtps is None and link.width is None):
        return UNKNOWN
    now = _trained(link.speed_mtps, link.width)
    if not link.is_degraded:
        return now
    slow = link.max_speed_mtps if link.speed_mtps != link.max_speed_mtps else None
    return f"{now} of {_trained(slow, link.max_width)}"


def _trained(mtps: int | None, width: int | None) -> str:
    said = [] if mtps is None else [f"{mtps / _MTPS_PER_GTPS:.1f} GT/s"]
    said += [] if width is None else [f"x{width}"]
    return " ".join(said)


def degraded(device: PciDevice) -> str | None:
    """Its PCIe link, where that is slower or narrower than the device can."""
    return pcie(device.link) if device.link is not None and device.link.is_degraded else None


def node_of(snapshot: Snapshot) -> Mapping[PciAddress, int]:
    """The node of each device that has one, a VF's being its PF's."""
    nodes = {device.address: device.numa_node for device in snapshot.pci}
    return {
        device.address: node
        for device in snapshot.pci
        if (node := nodes.get(device.physfn) if device.physfn in nodes else device.numa_node) is not None
    }


def vf_counts(used: int | None, device: PciDevice) -> tuple[str, str, str]:
    """How many VFs guests hold, how many there are, how many there could be."""
    if device.sriov is None:
        return (NONE, NONE, NONE)
    return (number(used), str(device.sriov.configured), str(device.sriov.total))
