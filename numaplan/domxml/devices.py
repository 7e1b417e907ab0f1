"""Network interfaces, passed-through PCI functions, controllers and the balloon in ``<devices>``."""

import re
from collections.abc import Iterator
from typing import Final

from numaplan.domxml.numbers import attribute, lenient, pci_address, pci_part, whole
from numaplan.domxml.tree import Document, Element
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, GuestController, GuestHostdev, GuestInterface

# libvirt keeps an alias of the user's only with this before it (formatdomain, "Device aliases").
ALIAS_PREFIX: Final = "ua-"
VLAN_LIMIT: Final = 4095
_NUMBER_LIMIT: Final = 2**31 - 1
_BUS_LIMIT: Final = 0xFF
# What libvirt takes a controller for that does not say.
_CONTROLLER: Final = "ide"
_QUEUES = re.compile(r"[0-9]{1,9}", re.ASCII)
_SOURCE_NAMES: Final = ("bridge", "network", "dev", "path", "portgroup", "portid", "switchid")


def device_elements(document: Document, name: str) -> tuple[Element, ...]:
    """The devices of that name, in the order of the file."""
    return tuple(device for devices in document.root.all("devices") for device in devices.all(name))


def read_interfaces(document: Document) -> tuple[GuestInterface, ...]:
    """``<interface>``, of every type."""
    return tuple(_interface(document, element) for element in device_elements(document, "interface"))


def read_hostdevs(document: Document) -> tuple[GuestHostdev, ...]:
    """``<hostdev mode='subsystem' type='pci'>``."""
    return tuple(
        GuestHostdev(
            address, element.line, alias_of(element), guest_address(document, element), managed=managed_of(element)
        )
        for element, address in pci_hostdevs(document)
    )


def read_controllers(document: Document) -> tuple[GuestController, ...]:
    """``<controller>``, of every type; an index that is no number only informs and is passed over."""
    return tuple(_controller(document, element) for element in device_elements(document, "controller"))


def read_memballoon(document: Document) -> str | None:
    """The model of ``<memballoon>`` as it stands; None where there is no such device, and libvirt adds one."""
    return next((balloon.get("model") or None for balloon in device_elements(document, "memballoon")), None)


def pci_hostdevs(document: Document) -> Iterator[tuple[Element, PciAddress]]:
    """The ``<hostdev>`` elements of PCI functions, each with the function's address."""
    for element in device_elements(document, "hostdev"):
        if element.get("type") == "pci" and element.get("mode") in {None, "subsystem"}:
            address = source_address(document, element)
            if address is not None:
                yield element, address


def source_address_element(element: Element) -> Element | None:
    """``<source><address>`` of a PCI function."""
    source = element.child("source")
    address = None if source is None else source.child("address")
    return address if address is not None and address.get("type") in {None, "pci"} else None


def source_address(document: Document, element: Element) -> PciAddress | None:
    """The host's PCI function behind an interface or hostdev; None where the XML names none."""
    address = source_address_element(element)
    return None if address is None else pci_address(document, address)


def guest_address(document: Document, element: Element) -> PciAddress | None:
    """Where the guest sees the device on its own PCI bus; None where libvirt is yet to choose, or it is on another bus.

    Zeros in domain, bus and slot mean that libvirt chooses (virPCIDeviceAddressIsEmpty).
    """
    address = element.child("address")
    if address is None or address.get("type") != "pci":
        return None
    found = pci_address(document, address)
    return found if (found.domain, found.bus, found.slot) != (0, 0, 0) else None


def managed_of(element: Element) -> bool:
    """``managed``: whether libvirt binds the host's device itself; no word, and any other word, means no."""
    return element.get("managed") == "yes"


def mac_of(element: Element) -> str | None:
    """Its MAC address, in lower case."""
    mac = element.child("mac")
    text = None if mac is None else mac.get("address")
    return text.strip().lower() if text else None


def alias_of(element: Element) -> str | None:
    """Its alias without "ua-"; None where it has none, or only one that libvirt gave."""
    alias = element.child("alias")
    name = None if alias is None else alias.get("name")
    return name.removeprefix(ALIAS_PREFIX) if name and name.startswith(ALIAS_PREFIX) else None


def vlan_of(document: Document, element: Element) -> int | None:
    """Its VLAN where it has exactly one tag."""
    vlan = element.child("vlan")
    tags = () if vlan is None else vlan.all("tag")
    return attribute(document, tags[0], "id", least=0, most=VLAN_LIMIT) if len(tags) == 1 else None


def socket_of(element: Element) -> str | None:
    """The socket of a vhost-user interface (formatdomain, "vhost-user interface": ``<source type='unix' path=>``)."""
    source = element.child("source")
    if element.get("type") != "vhostuser" or source is None or source.get("type") != "unix":
        return None
    return source.get("path") or None


def queues_of(element: Element) -> int | None:
    """``<driver queues>``; None where it leaves them to libvirt, for what libvirt refuses, and for what is not virtio.

    With another model, and for type hostdev, libvirt passes ``<driver>`` over (formatdomain, "Setting NIC
    driver-specific options").
    """
    if element.get("type") == "hostdev":
        return None
    text = _inner(element, "driver", "queues") or ""
    if _QUEUES.fullmatch(text) is None or not (_inner(element, "model", "type") or "").startswith("virtio"):
        return None
    # 0 is libvirt's word for "not said".
    return int(text) or None


def _inner(element: Element, child: str, name: str) -> str | None:
    """An attribute of a child; None where it is absent or empty."""
    inner = element.child(child)
    return None if inner is None else inner.get(name) or None


def _interface(document: Document, element: Element) -> GuestInterface:
    source = element.child("source")
    kind = element.get("type") or ""
    names = () if source is None else (source.get(name) for name in _SOURCE_NAMES)
    return GuestInterface(
        kind,
        element.line,
        mac=mac_of(element),
        alias=alias_of(element),
        source=next((name for name in names if name), None),
        pci=source_address(document, element) if kind == "hostdev" else None,
        vlan=vlan_of(document, element),
        target=_inner(element, "target", "dev"),
        socket=socket_of(element),
        model=_inner(element, "model", "type"),
        queues=queues_of(element),
        address=guest_address(document, element),
        managed=managed_of(element) if kind == "hostdev" else None,
    )


def _controller(document: Document, element: Element) -> GuestController:
    kind = element.get("type") or _CONTROLLER
    target = element.child("target") if kind == "pci" else None
    node = None if target is None else target.child("node")
    cell = None
    if node is not None and node.text:
        cell = CellId(whole(document, node, node.text, what="<node> of <target>", least=0, most=_NUMBER_LIMIT))
    has_number = target is not None and target.get("busNr") is not None
    return GuestController(
        kind,
        element.line,
        index=lenient(element.get("index"), most=_NUMBER_LIMIT),
        model=element.get("model") or None,
        cell=cell,
        bus_number=pci_part(document, target, "busNr", most=_BUS_LIMIT) if target is not None and has_number else None,
        address=guest_address(document, element),
    )
