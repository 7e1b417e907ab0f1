"""What vnf.yaml and the plan together ask for, one PCI function at a time."""

import re
from dataclasses import dataclass
from typing import Final

from numaplan.model.devices import PciAddress
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceType

# libvirt drops an alias with any other character without a word (virDomainDeviceInfoParseXML, USER_ALIAS_CHARS).
_NOT_IN_ALIAS: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Slot:
    """One function for the guest. `aliases` are those that it may bear in the XML, the first the one it is given.

    An interface NAME of one VF is "NAME", one of several "NAME-1", "NAME-2" and so on.
    """

    name: str
    address: PciAddress
    aliases: tuple[str, ...]
    mac: str | None = None
    vlan: int | None = None
    is_device: bool = False


def interface_slots(request: GuestRequest, placement: Placement) -> list[Slot]:
    """A slot for each VF, in the order of the guest's interfaces."""
    given = {interface.name: interface.vfs for interface in placement.interfaces}
    wanted = [
        (interface, number, address)
        for interface in request.interfaces
        if interface.type is InterfaceType.SRIOV
        for number, address in enumerate(given.get(interface.name, ()), 1)
    ]
    names: list[str] = []
    for interface, number, _ in wanted:
        name = interface.name if interface.count == 1 else f"{interface.name}-{number}"
        names.append(_unique(name, names))
    slots = []
    for (interface, number, address), name in zip(wanted, names, strict=True):
        former = f"{interface.name}-1" if interface.count == 1 else interface.name
        others = (former,) if number == 1 and former not in names else ()
        mac = interface.mac.lower() if interface.mac and number == 1 else None
        slots.append(Slot(interface.name, address, (name, *others), mac, interface.vlan))
    return slots


def device_slots(request: GuestRequest, placement: Placement) -> list[Slot]:
    """A slot for each device, in the order of the request."""
    taken = [alias for slot in interface_slots(request, placement) for alias in slot.aliases]
    slots = []
    for device in placement.devices:
        name = _unique(device.name, taken)
        taken.append(name)
        slots.append(Slot(device.name, device.address, (name,), is_device=True))
    return slots


def _unique(name: str, taken: list[str]) -> str:
    alias = _NOT_IN_ALIAS.sub("_", name)
    while alias in taken:
        alias += "_"
    return alias
