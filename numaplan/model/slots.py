"""The PCI functions that a guest of vnf.yaml asks for, one at a time, and the elements of its XML that hand them to it.

An interface is found in the XML by its MAC address, then by its alias, then by order among the interfaces of type
hostdev that are left; a device by its alias. What is not found so may yet be a ``<hostdev>`` with a function that will
do. Whoever plans and whoever writes the XML ask here, so that both mean the same element.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceType

# libvirt drops an alias with any other character without a word (virDomainDeviceInfoParseXML, USER_ALIAS_CHARS).
_NOT_IN_ALIAS: Final = re.compile(r"[^A-Za-z0-9_-]")
_HOSTDEV: Final = "hostdev"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One function for the guest. `aliases` are those that it may bear in the XML, the first the one it is given.

    An interface NAME of one VF is "NAME", one of several "NAME-1", "NAME-2" and so on.
    """

    name: str
    aliases: tuple[str, ...]
    mac: str | None = None
    vlan: int | None = None
    is_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(Wanted):
    """A wanted function, and the one that a plan gives for it."""

    address: PciAddress


@dataclass(frozen=True, slots=True)
class PciElement:
    """An ``<interface type='hostdev'>`` or ``<hostdev>`` of the XML; `alias` without "ua-"."""

    is_hostdev: bool
    mac: str | None
    alias: str | None
    pci: PciAddress | None


W = TypeVar("W", bound=Wanted)


class Matching(Generic[W]):
    """Which element serves which wanted function: `given` by the element's number. Each step returns what is left."""

    def __init__(self, elements: Iterable[PciElement]) -> None:
        self._elements = tuple(elements)
        self.given: dict[int, W] = {}

    def by_name(self, wanted: Sequence[W]) -> list[W]:
        """Interfaces by MAC address, then by alias; devices by alias, among ``<hostdev>`` alone."""
        left = self._match(
            [one for one in wanted if not one.is_device],
            lambda one, element: not element.is_hostdev and one.mac is not None and element.mac == one.mac,
        )
        # Its own alias goes before the one that it had under another count.
        left = self._match(left, lambda one, element: element.alias in one.aliases[:1])
        left = self._match(left, lambda one, element: element.alias in one.aliases[1:])
        devices = [one for one in wanted if one.is_device]
        return left + self._match(devices, lambda one, element: element.is_hostdev and element.alias in one.aliases)

    def by_order(self, wanted: Sequence[W]) -> list[W]:
        """Interfaces in the order of the XML."""
        return self._match(wanted, lambda one, element: not one.is_device and not element.is_hostdev)

    def by_function(self, wanted: Sequence[W], serves: Callable[[W, PciAddress], bool]) -> list[W]:
        """By the function that a ``<hostdev>`` has; devices by an interface's too."""
        left = self._match(
            wanted, lambda one, element: element.is_hostdev and element.pci is not None and serves(one, element.pci)
        )
        return self._match(
            left, lambda one, element: one.is_device and element.pci is not None and serves(one, element.pci)
        )

    def _match(self, wanted: Sequence[W], fits: Callable[[W, PciElement], bool]) -> list[W]:
        """Gives each the first element that fits and is free."""
        left = []
        for one in wanted:
            free = (i for i, element in enumerate(self._elements) if i not in self.given and fits(one, element))
            number = next(free, None)
            if number is None:
                left.append(one)
            else:
                self.given[number] = one
        return left


def guest_elements(guest: Guest) -> tuple[PciElement, ...]:
    """What hands functions to a guest: its interfaces, then its ``<hostdev>`` elements."""
    interfaces = [
        PciElement(is_hostdev=False, mac=i.mac, alias=i.alias, pci=i.pci)
        for i in guest.interfaces
        if i.type == _HOSTDEV
    ]
    return (*interfaces, *(PciElement(is_hostdev=True, mac=None, alias=h.alias, pci=h.pci) for h in guest.hostdevs))


def wanted_functions(request: GuestRequest) -> list[list[Wanted]]:
    """For each SR-IOV interface its functions, then for each device its one."""
    interfaces = [interface for interface in request.interfaces if interface.type is InterfaceType.SRIOV]
    names: list[str] = []
    for interface in interfaces:
        for number in range(1, interface.count + 1):
            name = interface.name if interface.count == 1 else f"{interface.name}-{number}"
            names.append(_unique(name, names))
    left = iter(names)
    taken = list(names)
    found: list[list[Wanted]] = []
    for interface in interfaces:
        former = _alias(f"{interface.name}-1" if interface.count == 1 else interface.name)
        functions = []
        for number in range(interface.count):
            others = (former,) if number == 0 and former not in names else ()
            mac = interface.mac.lower() if interface.mac and number == 0 else None
            functions.append(Wanted(interface.name, (next(left), *others), mac, interface.vlan))
            taken += others
        found.append(functions)
    return [*found, *([one] for one in _devices([device.name for device in request.devices], taken))]


def interface_slots(request: GuestRequest, placement: Placement) -> list[Slot]:
    """A slot for each VF, in the order of the guest's interfaces."""
    given = {interface.name: interface.vfs for interface in placement.interfaces}
    wanted = [functions for functions in wanted_functions(request) if not functions[0].is_device]
    return [
        _slot(one, address)
        for functions in wanted
        for one, address in zip(functions, given.get(functions[0].name, ()), strict=False)
    ]


def device_slots(request: GuestRequest, placement: Placement) -> list[Slot]:
    """A slot for each device, in the order of the plan."""
    interfaces = (one for functions in wanted_functions(request) for one in functions if not one.is_device)
    taken = [alias for one in interfaces for alias in one.aliases]
    wanted = _devices([device.name for device in placement.devices], taken)
    return [_slot(one, device.address) for one, device in zip(wanted, placement.devices, strict=True)]


def _devices(names: Sequence[str], taken: Sequence[str]) -> list[Wanted]:
    """Devices with aliases that nothing else of the guest has."""
    aliases = list(taken)
    for name in names:
        aliases.append(_unique(name, aliases))
    return [Wanted(name, (alias,), is_device=True) for name, alias in zip(names, aliases[len(taken) :], strict=True)]


def _slot(wanted: Wanted, address: PciAddress) -> Slot:
    return Slot(wanted.name, wanted.aliases, wanted.mac, wanted.vlan, wanted.is_device, address=address)


def _alias(name: str) -> str:
    return _NOT_IN_ALIAS.sub("_", name)


def _unique(name: str, taken: Sequence[str]) -> str:
    alias = _alias(name)
    while alias in taken:
        alias += "_"
    return alias
