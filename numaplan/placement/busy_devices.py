"""Functions that the host itself uses, and what for: no guest gets these."""

from collections.abc import Mapping
from typing import Final

from numaplan.model.devices import Link, PciAddress
from numaplan.model.snapshot import Snapshot

# A function bound to one of these is driven by a process of the host's own (DPDK, "Linux drivers").
HOST_DPDK_DRIVERS: Final = frozenset({"igb_uio", "uio_pci_generic"})


def busy_devices(snapshot: Snapshot, links: Mapping[PciAddress, tuple[Link, ...]]) -> dict[PciAddress, str]:
    """What the host does with a function; of several uses the last one here is named."""
    above = {lower: link.name for link in snapshot.links for lower in link.lowers}
    switch = snapshot.openvswitch
    ports = {} if switch is None else {port.name: port for port in switch.interfaces}
    plugged = "is {}, a port of Open vSwitch"
    busy: dict[PciAddress, str] = {}
    for device in snapshot.pci:
        if device.driver in HOST_DPDK_DRIVERS:
            busy[device.address] = f"is bound to {device.driver} for DPDK on the host"
    for port in ports.values():
        if port.pci is not None:
            busy[port.pci] = plugged.format(port.name)
    busy |= {d.address: plugged.format(name) for d in snapshot.pci for name in d.netdevs if name in ports}
    for address, names in links.items():
        for link in names:
            if link.master is not None:
                busy[address] = f"is {link.name}, a member of {link.master}"
            elif link.name in above:
                busy[address] = f"is {link.name}, which carries {above[link.name]}"
            elif link.name in ports:
                busy[address] = plugged.format(link.name)
            elif link.addresses:
                busy[address] = f"is {link.name}, which bears an address of the host"
    return busy
