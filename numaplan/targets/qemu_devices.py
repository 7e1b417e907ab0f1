"""QEMU's options for what is passed through, below the guest cell that it is near, and for ports of bridges."""

from collections.abc import Iterator
from typing import Final

from numaplan.model.guest import CellId, Guest
from numaplan.model.plan import Placement
from numaplan.model.request import DeviceLocality, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.model.slots import Slot, device_slots, interface_slots
from numaplan.model.snapshot import Snapshot
from numaplan.targets.asked import home_of, ports, vf_of
from numaplan.targets.shell import command

_BUS_NUMBERS: Final = 256
# A bus of an expander has 32 slots, and not all of them need be free.
_PORTS_OF_EXPANDER: Final = 24

_Options = list[tuple[str, ...]]


def escaped(text: str) -> str:
    """A value in an option: QEMU takes two commas for one."""
    return text.replace(",", ",,")


def passthrough(request: GuestRequest, placement: Placement, snapshot: Snapshot, *, root: str | None) -> _Options:
    """`-device vfio-pci` for each VF and device, below an expander bus of the cell that is near.

    `root` is the bus that expanders go on; None: there are none, as for a guest of one cell.
    """
    slots = [*interface_slots(request, placement), *device_slots(request, placement)]
    below: dict[CellId, list[Slot]] = {}
    anywhere = []
    for slot in slots:
        cell = home_of(placement, snapshot, slot.address) if root is not None else None
        if cell is None or request.device_locality is DeviceLocality.NEVER:
            anywhere.append(slot)
        else:
            below.setdefault(cell, []).append(slot)
    options: _Options = [("-device", _vfio(slot, root)) for slot in anywhere]
    number = _BUS_NUMBERS
    port = 0
    for cell_id in sorted(below):
        for first in range(0, len(below[cell_id]), _PORTS_OF_EXPANDER):
            group = below[cell_id][first : first + _PORTS_OF_EXPANDER]
            # Each port below an expander has a bus of its own, numbered on from the expander's.
            number -= len(group) + 1
            name = f"pxb{cell_id}" if first == 0 else f"pxb{cell_id}-{first // _PORTS_OF_EXPANDER}"
            options.append(("-device", f"pxb-pcie,id={name},bus_nr={number}{on_bus(root)},numa_node={cell_id}"))
            for slot in group:
                port += 1
                options.append(("-device", f"pcie-root-port,id=port{port},bus={name},chassis={port}"))
                options.append(("-device", _vfio(slot, f"port{port}")))
    return options


def _vfio(slot: Slot, bus: str | None) -> str:
    return f"vfio-pci,host={slot.address}{on_bus(bus)}"


def on_bus(bus: str | None) -> str:
    """Where a device goes; None: where QEMU puts it, which beside an expander may be the expander."""
    return "" if bus is None else f",bus={bus}"


def network_options(request: GuestRequest, existing: Guest | None, *, root: str | None) -> tuple[_Options, list[str]]:
    """The ports of bridges, and a sentence on each that cannot be made from what is known."""
    options: _Options = []
    unknown = []
    for number, interface in enumerate(ports(request)):
        socket = _socket(interface, existing)
        name = f'interface "{interface.name}"'
        if interface.type is InterfaceType.VHOSTUSER and socket is not None:
            options.append(("-chardev", f"socket,id=vhost{number},path={escaped(socket)},server=on,wait=off"))
            queues = f",queues={interface.queues}" if interface.queues else ""
            options.append(("-netdev", f"vhost-user,id=net{number},chardev=vhost{number}{queues}"))
            options.append(("-device", _virtio(interface, number, queues=interface.queues) + on_bus(root)))
        elif interface.type is InterfaceType.VHOSTUSER:
            unknown.append(
                f"{name}: the plan does not know the socket of a vhost-user port: add -chardev socket,path=SOCKET,"
                " -netdev vhost-user and -device virtio-net-pci"
            )
        elif interface.bridge is None:
            unknown.append(f"{name}: vnf.yaml names no bridge: add -netdev and -device virtio-net-pci")
        else:
            options.append(("-netdev", f"bridge,id=net{number},br={escaped(interface.bridge)}"))
            options.append(("-device", _virtio(interface, number, queues=None) + on_bus(root)))
            if interface.queues is not None and interface.queues > 1:
                unknown.append(
                    f"{name}: -netdev bridge has one queue, not {interface.queues}: make the tap yourself and use"
                    " -netdev tap,queues="
                )
    return options, unknown


def _virtio(interface: InterfaceRequest, number: int, *, queues: int | None) -> str:
    mac = "" if interface.mac is None else f",mac={escaped(interface.mac)}"
    # Two vectors a queue, one for what is configured, one for control (QEMU, hw/net/virtio-net.c).
    several = f",mq=on,vectors={2 * queues + 2}" if queues is not None and queues > 1 else ""
    return f"virtio-net-pci,netdev=net{number}{mac}{several}"


def _socket(interface: InterfaceRequest, existing: Guest | None) -> str | None:
    """The socket that the guest's XML has for this interface, found by MAC address or alias."""
    for there in () if existing is None else existing.interfaces:
        same = there.alias == interface.name or (interface.mac is not None and there.mac == interface.mac.lower())
        if same and there.socket is not None:
            return there.socket
    return None


def vf_sentences(request: GuestRequest, placement: Placement, snapshot: Snapshot) -> Iterator[str]:
    """What libvirt does to a VF and QEMU does not: its driver, MAC address, VLAN and trust."""
    slots = interface_slots(request, placement)
    if slots or placement.devices:
        yield "QEMU binds no device to vfio-pci: do that first, such as with driverctl set-override ADDRESS vfio-pci"
    trusted = {interface.name for interface in request.interfaces if interface.trust}
    for slot in slots:
        words = [*(("mac", slot.mac) if slot.mac else ()), *(("vlan", str(slot.vlan)) if slot.vlan is not None else ())]
        words += ["trust", "on"] if slot.name in trusted else []
        if not words:
            continue
        found = vf_of(snapshot, slot.address)
        pf, index = ("PF", "N") if found is None else (found[0], str(found[1]))
        yield (
            f'interface "{slot.name}" ({slot.address}): QEMU sets nothing on a VF:'
            f" {command('ip', 'link', 'set', 'dev', pf, 'vf', index, *words)}"
        )
