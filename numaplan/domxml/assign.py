"""Hands the planned VFs and devices to the guest: which element gets which PCI function.

What of vnf.yaml is found in the XML (model/slots.py) has its source address changed and no more; what is not is added.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from numaplan.domxml.devices import (
    ALIAS_PREFIX,
    alias_of,
    device_elements,
    mac_of,
    pci_hostdevs,
    source_address,
    source_address_element,
    vlan_of,
)
from numaplan.domxml.element import New
from numaplan.domxml.locality import Handed, address_attributes, guest_addresses
from numaplan.domxml.numbers import pci_part
from numaplan.domxml.task import Task
from numaplan.domxml.tree import Element
from numaplan.model.devices import PciAddress
from numaplan.model.slots import Matching, PciElement, Slot, device_slots, interface_slots

_HOSTDEV: Final = "hostdev"


@dataclass(slots=True)
class _Board:
    """Who has what, and who gets what: `given` is filled slot by slot."""

    interfaces: dict[Element, PciAddress | None]
    hostdevs: dict[Element, PciAddress | None]
    given: dict[Element, Slot] = field(default_factory=dict)

    @property
    def all(self) -> dict[Element, PciAddress | None]:
        return self.interfaces | self.hostdevs

    def match(self, slots: list[Slot]) -> list[Slot]:
        """Gives each slot its element; returns the slots that have none."""
        elements = list(self.all)
        matching = Matching[Slot](
            PciElement(element in self.hostdevs, mac_of(element), alias_of(element), address)
            for element, address in self.all.items()
        )
        left = matching.by_order(matching.by_name(slots))
        left = matching.by_function(left, lambda slot, pci: slot.address == pci)
        self.given = {elements[number]: slot for number, slot in matching.given.items()}
        return left


def patch_devices(task: Task) -> None:
    """Interfaces of type hostdev and ``<hostdev>`` elements for every VF and device of the placement."""
    used: set[str] = {alias for element in task.root.walk() if (alias := _raw_alias(element))}
    interfaces = interface_slots(task.request, task.placement)
    devices = device_slots(task.request, task.placement)
    _refuse_other_types(task, interfaces)
    board = _Board(
        {
            element: source_address(task.document, element)
            for element in device_elements(task.document, "interface")
            if element.get("type") == _HOSTDEV
        },
        dict(pci_hostdevs(task.document)),
    )
    new = board.match([*interfaces, *devices])
    addresses: dict[Element, PciAddress] = {element: slot.address for element, slot in board.given.items()}
    addresses |= _exchanged(task, board, new)
    for element, address in addresses.items():
        if board.all[element] != address:
            _notice(task, element, board.all[element], address)
            _readdress(task, element, address)
    _refuse_other_functions(task, board)
    _note_what_stays(task, board, addresses)
    _show(task, board, new, used)


def _show(task: Task, board: _Board, news: list[Slot], used: set[str]) -> None:
    """Adds what is new, and has the guest see each function where it is to see it."""
    elements = {slot: element for element, slot in board.given.items()}
    order = [*interface_slots(task.request, task.placement), *device_slots(task.request, task.placement)]
    seen_at = guest_addresses(task, [Handed(slot, elements.get(slot)) for slot in order])
    for slot, element in elements.items():
        if slot in seen_at:
            task.moved.add(element)
            task.noticed.append(f'"{slot.aliases[0]}" moves to its PCI bus {seen_at[slot].bus:#04x}')
            _show_at(task, element, seen_at[slot])
    task.noticed.extend(f'a new device, "{slot.aliases[0]}"' for slot in news)
    added = [_added(task, slot, used, seen_at.get(slot)) for slot in news]
    for name in ("interface", "hostdev"):
        _append(task, name, [new for new in added if new.name == name])


def _notice(task: Task, element: Element, old: PciAddress | None, new: PciAddress) -> None:
    """What the guest sees of another function in the place of one: its model, and its MAC address where that is its."""
    before, after = (None if address is None else task.device(address) for address in (old, new))
    models = [(device.vendor, device.device) for device in (before, after) if device is not None]
    what = f"<{element.tag}> on line {element.line}"
    if models[1:] and models[0] != models[1]:
        task.noticed.append(f"{what} is a device of another model, {new} ({':'.join(models[1])})")
    elif element.name == "hostdev" or mac_of(element) is None:
        task.noticed.append(f"{what} is another device, {new}")


def _show_at(task: Task, element: Element, at: PciAddress) -> None:
    address = element.child("address")
    if address is None:
        new = New("address", (("type", "pci"), *address_attributes(at)))
        task.edits.insert(element, new, after=element.children[-1] if element.children else None)
        return
    _write_address(task, address, at)
    task.edits.drop_attribute(address, "multifunction")


def _refuse_other_types(task: Task, slots: list[Slot]) -> None:
    """A MAC address or alias that belongs to an interface of another type: not ours to turn into a VF."""
    for element in device_elements(task.document, "interface"):
        if element.get("type") == _HOSTDEV:
            continue
        mac, alias = mac_of(element), alias_of(element)
        for slot in slots:
            if (mac is not None and mac == slot.mac) or (alias is not None and alias == slot.aliases[0]):
                raise task.document.error(
                    element,
                    f'interface "{slot.name}" of vnf.yaml is of type sriov, the XML has it with type'
                    f" '{element.get('type')}'",
                    "give it another mac and name in vnf.yaml, or make it type='hostdev' in the XML",
                )


def _exchanged(task: Task, board: _Board, added: list[Slot]) -> dict[Element, PciAddress]:
    """What elements of no slot get for a function that the plan gives to a slot: one that a slot gives up."""
    wanted = {slot.address for slot in (*board.given.values(), *added)}
    freed = [
        address
        for element, address in board.all.items()
        if element in board.given and address is not None and address not in wanted
    ]
    exchanged = {}
    for element, address in board.all.items():
        if element in board.given or address not in wanted:
            continue
        if not freed:
            raise task.document.error(
                element,
                f"<{element.tag}> has {address}, which the plan gives to another interface of this guest",
                "name it in vnf.yaml, or take it out of the XML",
            )
        exchanged[element] = freed.pop(0)
        task.notes.append(
            f"<{element.tag}> on line {element.line} is not in vnf.yaml and has {address}, which the plan gives to"
            f" another of this guest: it gets {exchanged[element]} for it"
        )
    return exchanged


def _readdress(task: Task, element: Element, address: PciAddress) -> None:
    there = source_address_element(element)
    source = element.child("source")
    if there is None:
        new = _address(address, typed=element.name == "interface")
        if source is None:
            task.edits.insert(element, New("source", children=(new,)), after=None)
        else:
            task.edits.insert(source, new, after=None)
        return
    _write_address(task, there, address)


def _write_address(task: Task, there: Element, address: PciAddress) -> None:
    for (name, value), number, most in zip(
        address_attributes(address),
        (address.domain, address.bus, address.slot, address.function),
        (0xFFFFFFFF, 0xFF, 0x1F, 7),
        strict=True,
    ):
        if pci_part(task.document, there, name, most=most) != number:
            task.edits.set_attribute(there, name, value)


def _refuse_other_functions(task: Task, board: _Board) -> None:
    """An interface hands through VFs alone (formatdomain, "PCI Passthrough"): anything else is a ``<hostdev>``."""
    for element, slot in board.given.items():
        if element.name == "interface" and not _may_be_interface(task, slot.address):
            raise task.document.error(
                element,
                f"this interface is to hand through {slot.address}, which is no VF",
                "libvirt takes VFs alone there: make it a <hostdev> in the XML",
            )


def _may_be_interface(task: Task, address: PciAddress) -> bool:
    """Whether it is a VF, as far as the host says."""
    device = task.device(address)
    vfs = (vf for pf in task.host.pci if pf.sriov is not None for vf in pf.sriov.vfs)
    return device is None or device.physfn is not None or address in vfs


def _note_what_stays(task: Task, board: _Board, addresses: dict[Element, PciAddress]) -> None:
    for element, address in board.all.items():
        if element not in addresses:
            task.notes.append(f"<{element.tag}> on line {element.line} ({address}) is not in vnf.yaml: it stays")
    for element, slot in board.given.items():
        if element.name == "hostdev" and not slot.is_device:
            _note_hostdev(task, slot, f"line {element.line}")
            continue
        if slot.mac is not None and mac_of(element) not in {None, slot.mac}:
            task.notes.append(f'interface "{slot.name}" (line {element.line}) keeps its MAC address {mac_of(element)}')
        vlan = vlan_of(task.document, element)
        if slot.vlan is not None and vlan != slot.vlan:
            has = "no single VLAN" if vlan is None else f"VLAN {vlan}"
            task.notes.append(
                f'interface "{slot.name}" (line {element.line}) keeps what it has, {has}; vnf.yaml says {slot.vlan}'
            )


def _note_hostdev(task: Task, slot: Slot, where: str) -> None:
    """A ``<hostdev>`` leaves the function as the host has it."""
    said = [f"MAC address {slot.mac}"] if slot.mac is not None else []
    said += [f"VLAN {slot.vlan}"] if slot.vlan is not None else []
    if said:
        task.notes.append(
            f'interface "{slot.name}" is a <hostdev> ({where}), which sets no {" and no ".join(said)}:'
            f" set it on the PF of {slot.address}"
        )


def _added(task: Task, slot: Slot, used: set[str], at: PciAddress | None) -> New:
    """A new element for the slot; without an alias where another device has that already."""
    alias = ALIAS_PREFIX + slot.aliases[0]
    if alias in used:
        task.notes.append(f'"{slot.name}" gets no alias: another device of the guest is {alias}')
    if not slot.is_device and not _may_be_interface(task, slot.address):
        _note_hostdev(task, slot, "new")
        slot = replace(slot, is_device=True)
    return slot_element(slot, alias=None if alias in used else alias, at=at)


def slot_element(slot: Slot, *, alias: str | None, at: PciAddress | None = None) -> New:
    """The element that hands a slot's PCI function to the guest, which sees it `at` that address of its own."""
    source = New("source", children=(_address(slot.address, typed=not slot.is_device),))
    names = [] if alias is None else [New("alias", (("name", alias),))]
    if at is not None:
        names.append(New("address", (("type", "pci"), *address_attributes(at))))
    if slot.is_device:
        head = (("mode", "subsystem"), ("type", "pci"), ("managed", "yes"))
        return New("hostdev", head, children=(source, *names))
    mac = () if slot.mac is None else (New("mac", (("address", slot.mac),)),)
    vlan = () if slot.vlan is None else (New("vlan", children=(New("tag", (("id", str(slot.vlan)),)),)),)
    return New("interface", (("type", _HOSTDEV), ("managed", "yes")), children=(*mac, source, *vlan, *names))


def _append(task: Task, name: str, news: list[New]) -> None:
    """Behind the last of their kind, else at the end of ``<devices>``."""
    if not news:
        return
    all_devices = task.root.all("devices")
    if not all_devices:
        task.new_devices.extend(news)
        return
    parent = next((devices for devices in reversed(all_devices) if devices.all(name)), all_devices[-1])
    siblings = parent.all(name) or parent.children
    for new in news:
        task.edits.insert(parent, new, after=siblings[-1] if siblings else None)


def _address(address: PciAddress, *, typed: bool) -> New:
    """The address of a source: an interface's says that it is one of PCI, a hostdev's has no word for it."""
    kind = (("type", "pci"),) if typed else ()
    return New("address", (*kind, *address_attributes(address)))


def _raw_alias(element: Element) -> str | None:
    alias = element.child("alias")
    return None if alias is None else alias.get("name")
