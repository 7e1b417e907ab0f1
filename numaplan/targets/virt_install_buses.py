"""virt-install's options for the PCI buses of guest cells: those that the XML of ``-o xml`` has, element by element."""

from dataclasses import dataclass, replace

from numaplan.domxml.fragment import needed_guest
from numaplan.domxml.read import read_guest
from numaplan.model.devices import PciAddress
from numaplan.model.guest import GuestController
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, InterfaceType, MemoryBackingRequest
from numaplan.model.snapshot import Snapshot

_Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Buses:
    """The suboptions of each ``--controller``, the machine type that they take, and where each alias's device goes."""

    machine: str | None = None
    controllers: tuple[_Pairs, ...] = ()
    addresses: tuple[tuple[str, PciAddress], ...] = ()

    def address_of(self, alias: str) -> _Pairs:
        """The suboptions that put a device there; none where libvirt may choose."""
        return next((address_pairs(address) for name, address in self.addresses if name == alias), [])


def buses_of(request: GuestRequest, placement: Placement, snapshot: Snapshot) -> Buses:
    """None of it where the guest is shown no locality."""
    if len(placement.cells) == 1:
        return Buses()
    # Only what is handed over counts, and a name may hold what XML cannot.
    plain = replace(
        request,
        name="guest",
        interfaces=tuple(i for i in request.interfaces if i.type is InterfaceType.SRIOV),
        memory_backing=MemoryBackingRequest(),
    )
    guest = read_guest(needed_guest(plain, placement, snapshot).data, "guest.xml")
    pci = [controller for controller in guest.controllers if controller.type == "pci"]
    if not pci:
        return Buses()
    handed = [(one.alias, one.address) for one in guest.interfaces]
    handed += [(one.alias, one.address) for one in guest.hostdevs]
    return Buses(
        guest.machine,
        tuple(_controller(controller) for controller in pci),
        tuple((alias, address) for alias, address in handed if alias is not None and address is not None),
    )


def _controller(controller: GuestController) -> _Pairs:
    pairs = [("type", "pci"), ("model", controller.model or "")]
    if controller.index is not None:
        pairs.append(("index", str(controller.index)))
    if controller.bus_number is not None:
        pairs.append(("target.busNr", str(controller.bus_number)))
    if controller.cell is not None:
        pairs.append(("target.node", str(controller.cell)))
    return pairs if controller.address is None else [*pairs, *address_pairs(controller.address)]


def address_pairs(address: PciAddress) -> _Pairs:
    """Where the guest sees a device."""
    return [
        ("address.type", "pci"),
        ("address.domain", f"{address.domain:#06x}"),
        ("address.bus", f"{address.bus:#04x}"),
        ("address.slot", f"{address.slot:#04x}"),
        ("address.function", f"{address.function:#x}"),
    ]
