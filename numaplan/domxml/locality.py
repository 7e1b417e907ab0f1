"""Shows a guest of several cells which of them a passed-through device is near: PCI buses that belong to a cell.

On q35 a PCIe expander bus has a guest NUMA node, and so has what is behind its root ports (QEMU, docs/pcie.txt).
"""

from dataclasses import dataclass, field
from typing import Final

from numaplan.domxml.buses import Bus, Buses, guest_address, read_buses
from numaplan.domxml.devices import device_elements
from numaplan.domxml.distances import LOCAL, REMOTE
from numaplan.domxml.element import New
from numaplan.domxml.task import FLAG, Task
from numaplan.domxml.tree import Element
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.request import DeviceLocality
from numaplan.model.slots import Slot
from numaplan.model.snapshot import Snapshot

_BUS_LIMIT: Final = 256
_SLOT_LIMIT: Final = 32
# Bus numbers are dealt in eights, so that a device more needs no other number later: the guest would see that.
_BUS_STEP: Final = 8


@dataclass(frozen=True, slots=True)
class Handed:
    """A function that the guest gets, and the element that hands it over; None: one that is to be added."""

    slot: Slot
    element: Element | None


@dataclass(slots=True)
class _Work:
    """What is to be added, and where the guest is to see what moves."""

    task: Task
    buses: Buses
    added: list[New] = field(default_factory=list)
    moves: dict[Slot, PciAddress] = field(default_factory=dict)


def guest_addresses(task: Task, handed: list[Handed]) -> dict[Slot, PciAddress]:
    """Where the guest is to see each function that it must see elsewhere; adds the controllers for that."""
    cells = task.placement.cells
    if len(cells) == 1 or task.request.device_locality is DeviceLocality.NEVER:
        return {}
    homes = {one: cell for one in handed if (cell := _home(task, one.slot.address)) is not None}
    buses = read_buses(task.document)
    away = {one: cell for one, cell in homes.items() if _cell_now(task, buses, one) != cell}
    if not away:
        return {}
    names = ", ".join(f'"{one.slot.aliases[0]}"' for one in away)
    if not _is_q35(task):
        task.notes.append(f"the guest cannot see which of its cells {names} is near: that takes machine type q35")
        return {}
    if not task.change_topology:
        task.withheld.append(f"the guest does not see which of its cells {names} is near: {FLAG}")
        return {}
    work = _Work(task, buses)
    # Numbers are dealt from the highest down, and the guest walks them upwards: what comes first is dealt last.
    for cell in reversed(dict.fromkeys(away.values())):
        _move(work, cell, [one for one, home in away.items() if home == cell and _is_movable(task, buses, one)])
    for new in work.added:
        task.add_device(new)
    _notice_order(work, handed)
    return work.moves


def node_of(host: Snapshot, address: PciAddress) -> NodeId | None:
    """The host node of a PCI function, a VF's that of its PF where it has none of its own; None: not known."""
    devices = {device.address: device for device in host.pci}
    device = devices.get(address)
    if device is not None and device.numa_node is None and device.physfn is not None:
        device = devices.get(device.physfn)
    return None if device is None else device.numa_node


def _home(task: Task, address: PciAddress) -> int | None:
    """The cell whose host node is nearest to a function, the lowest of several; None where its node is not known."""
    here = node_of(task.host, address)
    if here is None:
        return None
    slit = {(node.id, other): entry for node in task.host.nodes for other, entry in node.distances}

    def distance(node: NodeId) -> int:
        return slit.get((here, node), LOCAL if here == node else REMOTE)

    return min((distance(cell.numa_node), int(cell.id)) for cell in task.placement.cells)[1]


def _cell_now(task: Task, buses: Buses, one: Handed) -> int | None:
    address = None if one.element is None else guest_address(task.document, one.element)
    return None if address is None else buses.cell_of(address.bus)


def _is_q35(task: Task) -> bool:
    os = task.root.child("os")
    kind = None if os is None else os.child("type")
    return kind is not None and "q35" in (kind.get("machine") or "")


def _is_movable(task: Task, buses: Buses, one: Handed) -> bool:
    """Whether it may leave the slot where it is: not that of a device of several functions, or of no slot at all."""
    address = None if one.element is None else one.element.child("address")
    if address is None or one.element is None:
        return True
    line = one.element.line
    if address.get("type") != "pci":
        return False
    at = guest_address(task.document, one.element)
    if at is not None and buses.functions_at(at) > 1:
        task.notes.append(
            f"<{one.element.tag}> on line {line} shares PCI slot {at.bus:02x}:{at.slot:02x} of the guest with others:"
            " it stays there, and the guest does not see which of its cells it is near"
        )
        return False
    return True


def _move(work: _Work, cell: int, ones: list[Handed]) -> None:
    """Gives each of them a root port of its own below an expander bus of the cell."""
    moved = {guest_address(work.task.document, one.element) for one in ones if one.element is not None}
    free = [port for bus in work.buses.expanders_of(cell) for port in work.buses.free_ports(bus, but=moved)]
    left = len(ones) - len(free)
    for bus in work.buses.expanders_of(cell):
        room = min(work.buses.room(bus), max(left, 0))
        free += [port for _ in range(room) if (port := _add_port(work, bus)) is not None]
        left = len(ones) - len(free)
    if left > 0 and (new := _add_expander(work, cell, ports=left)) is not None:
        free += [port for _ in range(left) if (port := _add_port(work, new)) is not None]
    for one, port in zip(ones, free, strict=False):
        work.moves[one.slot] = PciAddress(0, port.index, 0, 0)
    for one in ones[len(free) :]:
        work.task.notes.append(
            f'the guest does not see which of its cells "{one.slot.aliases[0]}" is near: it has no PCI bus number left'
        )


def _notice_order(work: _Work, handed: list[Handed]) -> None:
    """Guests name network interfaces in the order in which they find them."""
    moves = {one.element: work.moves[one.slot] for one in handed if one.element is not None and one.slot in work.moves}
    before: dict[str, tuple[int, ...]] = {}
    after: dict[str, tuple[int, ...]] = {}
    for element in device_elements(work.task.document, "interface"):
        address = guest_address(work.task.document, element)
        if address is not None:
            name = f"line {element.line}"
            before[name] = work.buses.order_of(address)
            after[name] = work.buses.order_of(moves.get(element, address))
    order = sorted(after, key=lambda name: after[name])
    if order != sorted(before, key=lambda name: before[name]):
        work.task.noticed.append(f"its network interfaces in another order: those on {', '.join(order)}")


def _add_port(work: _Work, parent: Bus) -> Bus | None:
    index = work.buses.free_index()
    taken = work.buses.slots_of(parent)
    slot = next((slot for slot in range(_SLOT_LIMIT) if slot not in taken), None)
    if slot is None or index >= _BUS_LIMIT:
        return None
    port = Bus(index, "pcie-root-port", parent.index, slot)
    work.buses.add(port)
    at = New("address", (("type", "pci"), *address_attributes(PciAddress(0, parent.index, slot, 0))))
    work.added.append(_controller(port, at))
    return port


def _add_expander(work: _Work, cell: int, *, ports: int) -> Bus | None:
    """A bus with room for so many root ports, its number as high as those that are there let it be."""
    index = work.buses.free_index()
    lowest = work.buses.lowest_number()
    # What is plugged into the root bus has a number of its own too, each device at most one.
    floor = 1 + sum(len(devices.children) for devices in work.task.root.all("devices")) + len(work.added)
    steps = -(-(ports + 1) // _BUS_STEP) * _BUS_STEP
    number = next((lowest - size for size in (steps, ports + 1) if lowest - size >= floor), None)
    if number is None or index >= _BUS_LIMIT:
        return None
    bus = Bus(index, "pcie-expander-bus", 0, None, number=number, cell=cell)
    work.buses.add(bus)
    target = New("target", (("busNr", str(number)),), children=(New("node", text=str(cell)),))
    work.added.append(_controller(bus, target))
    return bus


def _controller(bus: Bus, child: New) -> New:
    head = (("type", "pci"), ("index", str(bus.index)), ("model", bus.model))
    return New("controller", head, children=(child,))


def address_attributes(address: PciAddress) -> tuple[tuple[str, str], ...]:
    """A PCI address as libvirt writes it."""
    return (
        ("domain", f"{address.domain:#06x}"),
        ("bus", f"{address.bus:#04x}"),
        ("slot", f"{address.slot:#04x}"),
        ("function", f"{address.function:#x}"),
    )
