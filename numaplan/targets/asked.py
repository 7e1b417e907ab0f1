"""What a request and its placement say together, before any target has words for it."""

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import CellId, Guest, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import (
    Affinity,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    Memballoon,
    MemoryAccess,
    MemoryPolicy,
)
from numaplan.model.snapshot import Snapshot

SMALL_PAGE_KIB = 4
MIB_KIB = 1024
# A distance of 10 is one's own: Linux throws away a table that has it elsewhere (drivers/acpi/numa/srat.c, slit_valid).
OWN_DISTANCE = 10
# What libvirt and QEMU take where nobody says anything.
_UNKNOWN_DISTANCE = 20


def vcpu_pins(placement: Placement) -> list[tuple[VcpuId, CpuSet]]:
    """The CPUs of every vCPU, in the order of the vCPUs."""
    return sorted((pin for cell in placement.cells for pin in cell.vcpus), key=lambda pin: pin[0])


def memory_kib(placement: Placement) -> int:
    """The memory of all cells."""
    return sum(cell.memory_kib for cell in placement.cells)


def mebibytes(cell: CellPlacement) -> int:
    """The memory of a cell in MiB, rounded up."""
    return -(-cell.memory_kib // MIB_KIB)


def is_uneven(placement: Placement) -> bool:
    """Whether the memory of a cell is no multiple of 1 MiB."""
    return any(cell.memory_kib % MIB_KIB for cell in placement.cells)


def memory_nodes(placement: Placement) -> list[NodeId]:
    """The host nodes that its memory lies on, in numeric order."""
    return sorted({cell.memory_node for cell in placement.cells})


def is_strict(request: GuestRequest, cell: CellId) -> bool:
    """Whether the memory of a cell may lie on its node alone."""
    return request.cells[min(cell, len(request.cells) - 1)].memory_policy is MemoryPolicy.STRICT


def shows_cells(placement: Placement, existing: Guest | None) -> bool:
    """Whether the guest sees NUMA cells: where it has several, or saw some before."""
    return len(placement.cells) > 1 or (existing is not None and bool(existing.cells))


def has_huge_pages(placement: Placement) -> bool:
    """Whether a cell has pages that are not ordinary ones."""
    return any(cell.page_size_kib != SMALL_PAGE_KIB for cell in placement.cells)


def has_balloon(request: GuestRequest, placement: Placement, existing: Guest | None) -> bool | None:
    """Whether the guest has a balloon; None: nobody says."""
    huge = request.memballoon is Memballoon.AUTO and has_huge_pages(placement)
    if huge or request.memballoon is Memballoon.NONE:
        return False
    there = None if existing is None else existing.memballoon
    return None if there is None else there != "none"


def shares_memory(request: GuestRequest) -> bool:
    """Whether other processes map its memory: where that is asked for, or a vhost-user switch must."""
    vhost = any(interface.type is InterfaceType.VHOSTUSER for interface in request.interfaces)
    return vhost or request.memory_backing.access is MemoryAccess.SHARED


def device_at(snapshot: Snapshot, address: PciAddress) -> PciDevice | None:
    """The host's PCI function at an address."""
    return next((device for device in snapshot.pci if device.address == address), None)


def node_of(snapshot: Snapshot, address: PciAddress) -> NodeId | None:
    """The host node of a PCI function, a VF's that of its PF where it has none itself."""
    device = device_at(snapshot, address)
    if device is None or device.numa_node is not None or device.physfn is None:
        return None if device is None else device.numa_node
    parent = device_at(snapshot, device.physfn)
    return None if parent is None else parent.numa_node


def home_of(placement: Placement, snapshot: Snapshot, address: PciAddress) -> CellId | None:
    """The guest cell that a PCI function is nearest to, the first of several; None where nobody knows its node."""
    here = node_of(snapshot, address)
    if here is None:
        return None
    slit = _slit(snapshot)

    def distance(cell: CellPlacement) -> tuple[int, int]:
        return slit.get((here, cell.numa_node), OWN_DISTANCE if here == cell.numa_node else _UNKNOWN_DISTANCE), cell.id

    return min(placement.cells, key=distance).id


def cell_distances(
    placement: Placement, snapshot: Snapshot, existing: Guest | None
) -> tuple[list[tuple[CellId, CellId, int]], str | None]:
    """How far the guest sees each cell from each other one: as its XML has it, else as their nodes are; or why not."""
    pairs = [(one, other) for one in placement.cells for other in placement.cells if one.id != other.id]
    there = {} if existing is None else {(cell.id, other): d for cell in existing.cells for other, d in cell.distances}
    slit = _slit(snapshot)
    found = []
    for one, other in pairs:
        distance = there.get((one.id, other.id)) or slit.get((one.numa_node, other.numa_node))
        if distance is None:
            return [], "how far its cells are apart is not told to the guest: the host does not say"
        if distance <= OWN_DISTANCE:
            return [], "how far its cells are apart is not told to the guest: two of them are on one node"
        found.append((one.id, other.id, distance))
    return found, None


def _slit(snapshot: Snapshot) -> dict[tuple[NodeId, NodeId], int]:
    return {(node.id, other): distance for node in snapshot.nodes for other, distance in node.distances}


def vf_of(snapshot: Snapshot, address: PciAddress) -> tuple[str, int] | None:
    """A VF as `ip link` names it: its PF's interface, or address where that has none, and its index."""
    device = device_at(snapshot, address)
    parent = None if device is None or device.physfn is None else device_at(snapshot, device.physfn)
    if parent is None or parent.sriov is None or address not in parent.sriov.vfs:
        return None
    name = parent.netdevs[0] if parent.netdevs else str(parent.address)
    return name, parent.sriov.vfs.index(address)


def affinities(request: GuestRequest) -> list[Affinity]:
    """How near each VF interface and device must be, each word once, in the order of the request."""
    vfs = [interface.affinity for interface in request.interfaces if interface.type is InterfaceType.SRIOV]
    return list(dict.fromkeys([*vfs, *(device.affinity for device in request.devices)]))


def ports(request: GuestRequest) -> list[InterfaceRequest]:
    """Its interfaces that are ports of a bridge."""
    return [interface for interface in request.interfaces if interface.type.is_port]


def placement_in_words(placement: Placement) -> str:
    """The cells with their nodes and CPUs, in one phrase."""
    cells = []
    for cell in placement.cells:
        pins = [(vcpu, str(cpus)) for vcpu, cpus in cell.vcpus]
        on = ", ".join(f"{vcpu} on {cpus}" for vcpu, cpus in pins)
        cells.append(f"cell {cell.id} on node {cell.numa_node} (vCPU {on})" if on else f"cell {cell.id}")
    return "; ".join(cells)
