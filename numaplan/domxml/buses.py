"""The guest's own PCI buses, as the controllers of its XML make them."""

import re
from collections import Counter
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from numaplan.domxml.numbers import pci_address
from numaplan.domxml.tree import Document, Element
from numaplan.model.devices import PciAddress

_EXPANDER: Final = "pcie-expander-bus"
_ROOT_PORT: Final = "pcie-root-port"
_NUMBERS: Final = 256
_DIGITS = re.compile(r"[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bus:
    """A PCI controller: `parent` is the index of the bus that it is plugged into, in `slot` (None: not said).

    Of an expander bus, `number` is the first of its bus numbers, and `cell` its guest NUMA node.
    """

    index: int
    model: str
    parent: int
    slot: int | None = None
    number: int | None = None
    cell: int | None = None
    function: int = 0


class Buses:
    """The buses that are there, and those that are added."""

    def __init__(self, buses: list[Bus], devices: list[PciAddress]) -> None:
        self._buses = {bus.index: bus for bus in buses}
        self._devices = devices

    def add(self, bus: Bus) -> None:
        """One more bus."""
        self._buses[bus.index] = bus

    def cell_of(self, index: int) -> int | None:
        """The guest NUMA node of what is plugged into a bus; None where the guest is told none."""
        seen: set[int] = set()
        while index in self._buses and index not in seen:
            seen.add(index)
            bus = self._buses[index]
            if bus.model == _EXPANDER:
                return bus.cell
            index = bus.parent
        return None

    def order_of(self, address: PciAddress) -> tuple[int, ...]:
        """Where the guest finds a device as it walks its buses: by bus number, then slot by slot."""
        path = [address.slot, address.function]
        seen: set[int] = set()
        index = address.bus
        while index in self._buses and index not in seen:
            seen.add(index)
            bus = self._buses[index]
            if bus.model == _EXPANDER:
                return (bus.number or 0, *path)
            path = [bus.slot or 0, bus.function, *path]
            index = bus.parent
        return (0, *path)

    def expanders_of(self, cell: int) -> list[Bus]:
        """The expander buses of a guest NUMA node whose numbers are known."""
        found = (bus for bus in self._buses.values() if bus.model == _EXPANDER and bus.cell == cell)
        return sorted((bus for bus in found if bus.number is not None), key=lambda bus: bus.index)

    def free_ports(self, expander: Bus, *, but: AbstractSet[PciAddress | None]) -> list[Bus]:
        """Its root ports with nothing behind them, `but` devices that leave."""
        taken = {address.bus for address in self._devices if address not in but}
        taken |= {bus.parent for bus in self._buses.values()}
        ports = (bus for bus in self._buses.values() if bus.model == _ROOT_PORT and bus.parent == expander.index)
        return sorted((port for port in ports if port.index not in taken), key=lambda port: port.index)

    def room(self, expander: Bus) -> int:
        """How many buses more fit below it, before the numbers of the next expander bus begin."""
        number = expander.number or 0
        above = (bus.number for bus in self._buses.values() if bus.number is not None and bus.number > number)
        below = [bus for bus in self._buses.values() if bus.index != expander.index and self._is_below(bus, expander)]
        return max(min([*above, _NUMBERS]) - number - 1 - len(below), 0)

    def slots_of(self, bus: Bus) -> set[int]:
        """The slots of a bus in which something is plugged."""
        ports = {port.slot for port in self._buses.values() if port.parent == bus.index and port.slot is not None}
        return ports | {address.slot for address in self._devices if address.bus == bus.index}

    def functions_at(self, address: PciAddress) -> int:
        """How many functions are in the slot of that address."""
        slots = Counter((other.domain, other.bus, other.slot) for other in self._devices)
        return slots[address.domain, address.bus, address.slot]

    def free_index(self) -> int:
        """An index above every one that is used: libvirt adds controllers below the highest by itself."""
        return max([0, *self._buses, *(address.bus for address in self._devices)]) + 1

    def lowest_number(self) -> int:
        """The lowest bus number that an expander bus has; one more than the highest of all where there is none."""
        return min([_NUMBERS, *(bus.number for bus in self._buses.values() if bus.number is not None)])

    def _is_below(self, bus: Bus, expander: Bus) -> bool:
        seen: set[int] = set()
        index = bus.parent
        while index in self._buses and index not in seen:
            if index == expander.index:
                return True
            seen.add(index)
            index = self._buses[index].parent
        return False


def read_buses(document: Document) -> Buses:
    """The PCI buses of a guest and what is plugged into them."""
    buses: list[Bus] = []
    devices: list[PciAddress] = []
    for group in document.root.all("devices"):
        for element in group.children:
            address = guest_address(document, element)
            if element.name == "controller" and element.get("type") == "pci":
                buses += _bus(element, address)
            elif address is not None:
                devices.append(address)
    return Buses(buses, devices)


def guest_address(document: Document, device: Element) -> PciAddress | None:
    """Where the guest sees a device on its PCI buses; None where the XML leaves that to libvirt."""
    address = device.child("address")
    return pci_address(document, address) if address is not None and address.get("type") == "pci" else None


def _bus(element: Element, address: PciAddress | None) -> list[Bus]:
    """Nothing where libvirt gives it an index of its own choice."""
    index = _number(element.get("index"))
    target = element.child("target")
    node = None if target is None else target.child("node")
    if index is None:
        return []
    parent, slot, function = (0, None, 0) if address is None else (address.bus, address.slot, address.function)
    number = None if target is None else _number(target.get("busNr"))
    cell = None if node is None else _number(node.text)
    return [Bus(index, element.get("model") or "", parent, slot, number, cell, function)]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _DIGITS.fullmatch(text.strip()) else None
