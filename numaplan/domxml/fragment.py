"""For a guest without XML: a small domain of its own that says all that the plan needs."""

from collections.abc import Iterator

from numaplan.domxml.assign import slot_element
from numaplan.domxml.devices import ALIAS_PREFIX
from numaplan.domxml.element import Layout, New, render
from numaplan.domxml.patch import patch_guest
from numaplan.domxml.slots import interface_slots
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceRequest, InterfaceType


def needed_xml(request: GuestRequest, placement: Placement) -> str:
    """The elements that the guest would need, as one ``<domain>`` that is valid but has no disk, console or CPU model.

    It is a fragment to copy from: ``virsh define`` takes it, but there is nothing in it to boot.
    """
    memory = sum(cell.memory_kib for cell in placement.cells)
    devices = New("devices", children=tuple(_interfaces(request, placement)))
    domain = New(
        "domain",
        (("type", "kvm"),),
        children=(
            New("name", text=request.name),
            New("memory", (("unit", "KiB"),), text=str(memory)),
            New("vcpu", (("placement", "static"),), text=str(request.vcpus)),
            New("os", children=(New("type", text="hvm"),)),
            *((devices,) if devices.children else ()),
        ),
    )
    skeleton = render(domain, Layout(), indent="") + "\n"
    patched = patch_guest(
        skeleton.encode(), f"{request.name}.xml", request=request, placement=placement, change_topology=True
    )
    return patched.data.decode()


def _interfaces(request: GuestRequest, placement: Placement) -> Iterator[New]:
    """All interfaces in the guest's order, as that is the order in which it numbers them."""
    slots = interface_slots(request, placement)
    for interface in request.interfaces:
        if interface.type is InterfaceType.VIRTIO:
            if interface.bridge is not None:
                yield _virtio(interface)
            continue
        for slot in slots:
            if slot.name == interface.name:
                yield slot_element(slot, alias=ALIAS_PREFIX + slot.aliases[0])


def _virtio(interface: InterfaceRequest) -> New:
    mac = () if interface.mac is None else (New("mac", (("address", interface.mac),)),)
    queues = () if interface.queues is None else (New("driver", (("queues", str(interface.queues)),)),)
    source = New("source", (("bridge", interface.bridge or ""),))
    return New(
        "interface", (("type", "bridge"),), children=(*mac, source, New("model", (("type", "virtio"),)), *queues)
    )
