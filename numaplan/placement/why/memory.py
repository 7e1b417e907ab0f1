"""Whether a guest finds its memory on the nodes of a way with all others held, and what is missing there."""

from collections.abc import Mapping, Sequence

from numaplan.model.host import NodeId
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.problem import CellDemand, GuestClass, Problem
from numaplan.placement.why.beside import Beside
from numaplan.placement.why.cheapest import Offer, Service, Stock, Want
from numaplan.placement.why.lack import Lack, Nodes, for_cells
from numaplan.units import format_count, format_size


def memory_want(problem: Problem, cell: CellDemand, node: NodeId) -> Want:
    """The memory of a cell on `node`: there, or where it may be elsewhere on any node."""
    offers = [
        Offer(problem.memory_cost(cell, node, other), (((other, size), cell.memory_kib),))
        for other in ((node,) if cell.strict else problem.facts.nodes)
        for size in cell.page_sizes_kib
    ]
    return Want(1, tuple(sorted(offers, key=lambda offer: offer.cost)))


def serve_memory(
    problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes, wants: Sequence[Want]
) -> Service:
    """What its cells on `nodes` want of memory, out of what is left."""
    return Service(wants, _memory_left(problem, beside, guests, nodes=nodes))


def memory_lack(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> Lack:
    """What of its memory is missing for a guest on `nodes`, which cannot be served there."""
    left = _memory_left(problem, beside, guests, nodes=nodes)
    for k, (cell, node) in enumerate(zip(guests.cells, nodes, strict=True)):
        have = {size: left.get((node, size), 0) for size in cell.page_sizes_kib}
        if not have:
            size = format_size(cell.memory_kib)
            return Lack(node, f"has no pages of a size that divides {size}{for_cells(guests, [k])}")
        best = max(have, key=lambda size: (have[size], size))
        if cell.strict and have[best] < cell.memory_kib:
            if best == SMALL_PAGE_KIB:
                said = f"{format_size(have[best])} of ordinary memory left, needs {format_size(cell.memory_kib)}"
            else:
                pages = format_count(have[best] // best, f"free {format_size(best)} page")
                said = f"{pages}, needs {cell.memory_kib // best}"
            return Lack(node, f"has {said}{for_cells(guests, [k])}")
    return Lack(None, "its cells find too little memory together")


def _memory_left(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> Mapping[Stock, int]:
    """Memory by node and page size, less what QEMU itself would take; none where the host does not list any."""
    sizes = {SMALL_PAGE_KIB, *(size for cell in guests.cells for size in cell.page_sizes_kib)}
    places = [(node, size) for node in problem.facts.nodes for size in sorted(sizes)]
    left: dict[Stock, int] = {place: beside.capacity_kib.get(place, 0) for place in places}
    for node in set(nodes):
        left[node, SMALL_PAGE_KIB] -= problem.facts.policy.guest_overhead_kib
    return left
