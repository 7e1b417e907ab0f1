"""PCI functions as a plan may use them: which VF is whose, what the host itself uses, what goes only together."""

from collections.abc import Iterable

from numaplan.model.devices import Link, PciAddress, PciDevice
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.snapshot import Snapshot

# Userspace I/O drivers that DPDK binds to a port it drives itself (DPDK, Linux Drivers); vfio-pci is not among them:
# a VF bound to it waits for a guest just as well.
DPDK_DRIVERS = frozenset({"igb_uio", "uio_pci_generic"})


class PciFacts:
    """The PCI functions of a host and the links on them; `staying` guests keep what they have."""

    def __init__(self, snapshot: Snapshot, staying: Iterable[Guest]) -> None:
        self._devices = {device.address: device for device in snapshot.pci}
        self._links = {link.name: link for link in snapshot.links}
        self._carries = {lower: link.name for link in snapshot.links for lower in link.lowers}
        switch = snapshot.openvswitch
        self._switch_ports = () if switch is None else switch.interfaces
        self._taken = {address: guest.name for guest in staying for address in guest.pci_addresses}
        self._functions: dict[PciAddress, tuple[PciAddress, int | None]] = {
            device.address: (device.physfn, None) for device in snapshot.pci if device.physfn is not None
        }
        for device in snapshot.pci:
            if device.sriov is not None:
                self._functions |= {vf: (device.address, index) for index, vf in enumerate(device.sriov.vfs)}
        self._groups: dict[int, set[PciAddress]] = {group.id: set(group.devices) for group in snapshot.iommu_groups}
        self._group_of: dict[PciAddress, int] = {
            address: group.id for group in snapshot.iommu_groups for address in group.devices
        }
        for device in snapshot.pci:
            if device.iommu_group is not None:
                self._groups.setdefault(device.iommu_group, set()).add(device.address)
                self._group_of[device.address] = device.iommu_group

    def device(self, address: PciAddress) -> PciDevice | None:
        """The function at that address, if the host has it."""
        return self._devices.get(address)

    def pf(self, vf: PciAddress) -> PciDevice | None:
        """The physical function of a configured VF; None for everything else."""
        physfn, _ = self._functions.get(vf, (None, None))
        return None if physfn is None else self._devices.get(physfn)

    def is_vf(self, address: PciAddress) -> bool:
        """Whether it is a configured virtual function."""
        return address in self._functions

    def index(self, vf: PciAddress) -> int | None:
        """Its VF index, None where its PF does not list it."""
        return self._functions.get(vf, (vf, None))[1]

    def names(self, device: PciDevice) -> frozenset[str]:
        """The names of its network interfaces."""
        return frozenset({*device.netdevs, *(link.name for link in self._links_of(device))})

    def speed_mbps(self, pf: PciDevice) -> int | None:
        """The speed of its link (of the fastest, where it has several); None where the host does not say."""
        known = [link.speed_mbps for link in self._links_of(pf) if link.speed_mbps is not None and link.speed_mbps > 0]
        return max(known, default=None)

    def node(self, address: PciAddress) -> NodeId | None:
        """The node of the function, of its PF where it is a VF; None where the host does not say."""
        device = self._devices.get(address)
        owner = self.pf(address) or device
        return None if owner is None else owner.numa_node

    def taken_by(self, address: PciAddress) -> str | None:
        """The guest that stays and has it."""
        return self._taken.get(address)

    def host_use(self, device: PciDevice) -> str | None:
        """What the host itself does with the function: address, bridge, bond, VLAN, switch, DPDK; None: nothing."""
        for link in sorted(self._links_of(device), key=lambda link: link.name):
            if link.addresses:
                return f"{link.name} bears an address of the host"
            if link.master is not None:
                return f"{link.name} belongs to {link.master}"
            if link.name in self._carries:
                return f"{link.name} carries {self._carries[link.name]}"
        names = self.names(device)
        for port in self._switch_ports:
            if port.pci == device.address or port.name in names:
                return f"{port.name} is a port of Open vSwitch"
        return f"DPDK drives it ({device.driver})" if device.driver in DPDK_DRIVERS else None

    def group_mates(self, address: PciAddress) -> tuple[PciAddress, ...]:
        """The other functions of its IOMMU group, without bridges, in numeric order."""
        group = self._group_of.get(address)
        mates = set() if group is None else self._groups[group] - {address}
        return tuple(sorted(mate for mate in mates if not self._is_bridge(mate)))

    def _links_of(self, device: PciDevice) -> tuple[Link, ...]:
        return tuple(link for link in self._links.values() if link.pci == device.address or link.name in device.netdevs)

    def _is_bridge(self, address: PciAddress) -> bool:
        device = self._devices.get(address)
        return device is not None and device.is_bridge
