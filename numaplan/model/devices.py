"""PCI devices, SR-IOV functions, IOMMU groups and network links."""

import re
from dataclasses import dataclass
from typing import NamedTuple, NewType

from numaplan.model.host import NodeId

IommuGroupId = NewType("IommuGroupId", int)

_LAST_SLOT = 0x1F
_ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.ASCII | re.IGNORECASE)

# PCI class codes, upper 16 bits (PCI Code and ID Assignment Specification).
BRIDGE_CLASS_PREFIX = "06"
NETWORK_CLASS_PREFIX = "02"


class PciAddress(NamedTuple):
    """domain:bus:slot.function; orders numerically, prints as ``0000:3b:02.0``, the domain in four or more digits.

    A tuple, since hosts have thousands, and each is a key in several tables.
    """

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> "PciAddress":
        """From ``dddd:bb:ss.f`` or ``bb:ss.f``; raises ValueError."""
        match = _ADDRESS.fullmatch(text.strip())
        if match is None or int(match[3], 16) > _LAST_SLOT:
            raise ValueError(f"expected a PCI address such as 0000:3b:02.0, found {text[:80]!r}")
        return cls(int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16), int(match[4]))

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class Sriov:
    """A physical function's SR-IOV state; `vfs` are its configured VFs in the order of their VF index."""

    total: int
    configured: int
    vfs: tuple[PciAddress, ...]


@dataclass(frozen=True, slots=True)
class PcieLink:
    """A PCI Express link as it was trained, and what the device could do; speeds in MT/s (8.0 GT/s is 8000)."""

    speed_mtps: int | None = None
    width: int | None = None
    max_speed_mtps: int | None = None
    max_width: int | None = None

    @property
    def is_degraded(self) -> bool:
        """Whether it runs slower or narrower than the device can."""
        slow = None not in {self.speed_mtps, self.max_speed_mtps} and (self.speed_mtps or 0) < (
            self.max_speed_mtps or 0
        )
        narrow = None not in {self.width, self.max_width} and (self.width or 0) < (self.max_width or 0)
        return slow or narrow


@dataclass(frozen=True, slots=True)
class VfSettings:
    """What the PF's driver says of a VF (rtnetlink, IFLA_VF_*). Rates in Mb/s, 0 for no limit.

    `link_state` is "auto", "enable" or "disable".
    """

    index: int
    mac: str | None = None
    vlan: int | None = None
    qos: int | None = None
    trust: bool | None = None
    spoof_check: bool | None = None
    link_state: str | None = None
    min_rate_mbps: int | None = None
    max_rate_mbps: int | None = None


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One PCI function. `numa_node` is None where the kernel says -1; `pci_class` has six hex digits; ids have four.

    A PhysicalFunction is a device whose `sriov` is set, a VirtualFunction one whose `physfn` is. `resets` are the ways
    to reset it, the kernel's first choice first; `name` is vendor and model in words; `vf` what its PF says of a VF.
    """

    address: PciAddress
    vendor: str
    device: str
    pci_class: str
    numa_node: NodeId | None = None
    driver: str | None = None
    iommu_group: IommuGroupId | None = None
    netdevs: tuple[str, ...] = ()
    sriov: Sriov | None = None
    physfn: PciAddress | None = None
    link: PcieLink | None = None
    resets: tuple[str, ...] = ()
    name: str | None = None
    vf: VfSettings | None = None

    @property
    def is_bridge(self) -> bool:
        """Host, ISA and PCI bridges: they never go to a guest and do not count in an IOMMU group."""
        return self.pci_class.startswith(BRIDGE_CLASS_PREFIX)


@dataclass(frozen=True, slots=True)
class IommuGroup:
    """Devices that can only be passed through together."""

    id: IommuGroupId
    devices: tuple[PciAddress, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface of the host (/sys/class/net/*).

    `pci` is the function behind it, None for virtual ones; `master` the bridge, bond or switch it belongs to;
    `lowers` the interfaces below it (a bridge's ports, a bond's members, a VLAN's parent);
    `addresses` whether it bears an IP address, None where the host does not say. `up`: it can carry traffic now;
    `vlan` the id of a VLAN interface; `peer` the other end of a veth pair.
    """

    name: str
    kind: str | None = None
    pci: PciAddress | None = None
    speed_mbps: int | None = None
    master: str | None = None
    lowers: tuple[str, ...] = ()
    addresses: bool | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool | None = None
    vlan: int | None = None
    peer: str | None = None
