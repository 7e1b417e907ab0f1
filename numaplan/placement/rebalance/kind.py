"""What kind of move it takes to bring a guest somewhere, and what that costs."""

from collections.abc import Sequence
from typing import Final

from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind
from numaplan.model.request import GuestRequest, PageSize
from numaplan.placement.facts import SMALL_PAGE_KIB, bound_node
from numaplan.placement.rebalance.changes import PRICES
from numaplan.placement.rebalance.standing import Standing
from numaplan.placement.resident import adds_up
from numaplan.units import GIB_KIB

MOVABLE_MODES: Final = frozenset({"strict", "restrictive"})


def kind_of_move(standing: Standing, nodes: Sequence[NodeId | None], *, devices_change: bool) -> MoveKind:
    """What it takes to bring a guest, cells and memory, to `nodes`."""
    if standing.guest.running is False:
        return MoveKind.CONFIGURE
    if memory_nodes(standing) == tuple(nodes) or _scattered_there(standing, nodes):
        return MoveKind.REPLUG if devices_change else MoveKind.REPIN
    return MoveKind.MOVE_PAGES if not devices_change and pages_can_move(standing) else MoveKind.RESTART


def memory_nodes(standing: Standing) -> tuple[NodeId, ...] | None:
    """The node of each cell's memory, taken to be where the vCPUs are where nobody knows.

    None: not that either, or it lies on several.
    """
    nodes = [cell.memory_node if cell.memory_nodes else cell.node for cell in standing.cells]
    known = tuple(node for node in nodes if node is not None)
    return known if len(known) == len(nodes) else None


def moves_memory(standing: Standing, nodes: Sequence[NodeId | None]) -> bool:
    """Whether memory that is known to lie somewhere has to go, to be on `nodes` (None: on any one)."""
    if len(nodes) != len(standing.cells):
        return True
    return not _scattered_there(standing, nodes) and any(
        cell.memory_nodes and cell.memory_nodes != (node,) for cell, node in zip(standing.cells, nodes, strict=True)
    )


def _scattered_there(standing: Standing, nodes: Sequence[NodeId | None]) -> bool:
    """Whether it is not known which cell's memory lies where, and on `nodes` they can have what was seen of it."""
    if len(nodes) != len(standing.cells) or not any(cell.memory_nodes[1:] for cell in standing.cells):
        return False
    return adds_up(standing.guest, nodes, [cell.memory_kib for cell in standing.cells])


def binds_anew(standing: Standing, nodes: Sequence[NodeId | None]) -> bool:
    """Whether the XML binds the memory of a cell to one node that is not the one of `nodes`."""
    cells = [cell.id for cell in standing.guest.cells] or [CellId(0)]
    return any(bound_node(standing.guest, cell) not in (None, node) for cell, node in zip(cells, nodes, strict=False))


def pages_can_move(standing: Standing) -> bool:
    """Whether libvirt and the kernel can move its memory while it runs.

    ``virsh numatune --live`` knows one node set for the whole guest and refuses modes but strict and restrictive
    (libvirt, qemuDomainSetNumaParamsLive); pages that VFIO has pinned, and huge ones, stay where they are.
    """
    guest = standing.guest
    bound = guest.memory
    device = bool(guest.pci_addresses) or any(interface.type == "vhostuser" for interface in guest.interfaces)
    free = bound is None or (bound.mode in MOVABLE_MODES and bound.nodes is not None)
    pages = {cell.page_kib for cell in standing.cells} | {page_kib for (_, page_kib), _ in standing.memory}
    return not device and not guest.memnodes and len(standing.cells) == 1 and pages == {SMALL_PAGE_KIB} and free


def can_stop(standing: Standing) -> bool:
    """Whether it is there again after it was stopped: libvirt keeps no XML of a transient guest."""
    return standing.guest.persistent is not False


def price(standing: Standing, kind: MoveKind) -> int:
    """What a change of that kind costs for that guest."""
    gib = -(-sum(cell.memory_kib for cell in standing.cells) // GIB_KIB)
    return PRICES[kind] + (gib if kind is MoveKind.MOVE_PAGES else 0)


def same_shape(standing: Standing, request: GuestRequest) -> bool:
    """Whether a request asks for the cells, vCPUs, memory and iothreads that the guest has."""
    asked = [(cell.vcpus, cell.memory_kib) for cell in request.cells]
    there = [(cell.vcpus, cell.memory_kib) for cell in standing.cells]
    pages = zip(request.cells, standing.cells, strict=False)
    return (
        asked == there
        and all(_accepts(cell.page_size, has.page_kib) for cell, has in pages)
        and request.iothreads == len(standing.guest.iothread_ids)
    )


def _accepts(wanted: PageSize, page_kib: int | None) -> bool:
    """Whether a cell may keep its pages; None: those of the host's default huge size."""
    if wanted.size_kib is not None:
        return wanted.size_kib == page_kib
    return wanted is PageSize.ANY or page_kib != SMALL_PAGE_KIB
