"""Memory: page sizes as asked, on the right node, within what the node has of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from numaplan.model.guest import CellId, Guest
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import PageSize
from numaplan.placement.verification.facts import Facts, bound_node
from numaplan.placement.verification.shape import ExpectedCell, expected_cells
from numaplan.placement.verification.switch import switch_pages
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count, format_size

SMALL_PAGE_KIB = 4


def memory_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Page sizes, memory nodes and the capacity of each page size on each node, QEMU's own memory included."""
    needs: defaultdict[tuple[NodeId, int], int] = defaultdict(int)
    last: dict[tuple[NodeId, int], str] = {}
    for placement in placements:
        guest = facts.asked(placement.vm)
        if guest is None:
            continue
        expected = {cell.id: cell for cell in expected_cells(facts, guest, placement)}
        for node in sorted(set(placement.nodes)) if facts.request.policy.guest_overhead_kib else ():
            if facts.node(node) is not None:
                needs[node, SMALL_PAGE_KIB] += facts.request.policy.guest_overhead_kib
                last[node, SMALL_PAGE_KIB] = guest.name
        for cell in placement.cells:
            if cell.id not in expected:
                continue
            where = f'guest "{guest.name}" cell {cell.id}'
            problem = _page_problem(cell, expected[cell.id])
            if problem is not None:
                yield Violation(guest.name, "page_size", f"{where} {problem}")
                continue
            node_problem = _node_problem(facts, cell, expected[cell.id])
            if node_problem is not None:
                yield Violation(guest.name, "memory_node", f"{where} {node_problem}")
            if facts.node(cell.memory_node) is not None:
                key = (cell.memory_node, cell.page_size_kib)
                needs[key] += cell.memory_kib
                last[key] = guest.name
    for (node, size_kib), needed_kib in sorted(needs.items()):
        yield from _capacity(facts, node, size_kib, needed_kib=needed_kib, vm=last[node, size_kib])


def tie_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Cells whose guest leaves the page size open and whose node has room for them in larger pages: no level minds.

    All placements are of the shape that was asked for.
    """
    needs: defaultdict[tuple[NodeId, int], int] = defaultdict(int)
    for placement in placements:
        for cell in placement.cells:
            needs[cell.memory_node, cell.page_size_kib] += cell.memory_kib
    for placement in placements:
        guest, node_sizes = facts.asked(placement.vm), facts.page_sizes
        if guest is None:
            continue
        for cell, wanted in zip(placement.cells, expected_cells(facts, guest, placement), strict=True):
            for size_kib in (size for size in node_sizes if size > cell.page_size_kib):
                may = _meets(wanted.page_size, size_kib) and cell.memory_kib % size_kib == 0
                left = capacity_kib(facts, cell.memory_node, size_kib) - needs[cell.memory_node, size_kib]
                if may and cell.memory_kib <= left:
                    said = f"has pages of {format_size(cell.page_size_kib)}; node {cell.memory_node} has room for it in"
                    sentence = f'guest "{guest.name}" cell {cell.id} {said} larger ones of {format_size(size_kib)}'
                    yield Violation(guest.name, "page_size", sentence)
                    break


def capacity_kib(facts: Facts, node: NodeId, size_kib: int) -> int:
    """The memory of that page size which a plan may give on that node; what the host does not say is no capacity.

    Guests of the request that are known to run give theirs back first.
    """
    numa_node = facts.node(node)
    if numa_node is None:
        return 0
    running = [
        existing
        for guest in facts.request.guests
        if (existing := facts.existing(guest.name)) is not None and existing.running is True
    ]
    back_kib = sum(_given_back_kib(facts, existing, node, size_kib) for existing in running)
    if size_kib == SMALL_PAGE_KIB:
        if numa_node.available_kib is None:
            return 0
        policy = facts.request.policy
        back_kib += policy.guest_overhead_kib * sum(node in facts.lies_on(existing) for existing in running)
        return max(0, numa_node.available_kib + back_kib - policy.reserved_memory_kib)
    pool = numa_node.pool(size_kib)
    if pool is None:
        return 0
    return (pool.free - switch_pages(facts.snapshot, node, size_kib)) * size_kib + back_kib


def _page_problem(cell: CellPlacement, expected: ExpectedCell) -> str | None:
    size_kib = cell.page_size_kib
    if not _meets(expected.page_size, size_kib):
        return f"has pages of {format_size(size_kib)}; it needs {expected.page_size}"
    if cell.memory_kib % size_kib:
        return f"has {cell.memory_kib} KiB in pages of {format_size(size_kib)}; it needs a multiple of that"
    return None


def _meets(wish: PageSize, size_kib: int) -> bool:
    if wish is PageSize.ANY:
        return size_kib >= SMALL_PAGE_KIB
    if wish is PageSize.LARGE:
        return size_kib > SMALL_PAGE_KIB
    return size_kib == wish.size_kib


def _node_problem(facts: Facts, cell: CellPlacement, expected: ExpectedCell) -> str | None:
    if facts.node(cell.memory_node) is None:
        return f"has its memory on node {cell.memory_node}, which the host does not have"
    if expected.strict and cell.memory_node != cell.numa_node:
        return f"has its memory on node {cell.memory_node}; strict memory needs node {cell.numa_node}"
    return None


def _capacity(facts: Facts, node: NodeId, size_kib: int, *, needed_kib: int, vm: str) -> Iterator[Violation]:
    have_kib = capacity_kib(facts, node, size_kib)
    if needed_kib <= have_kib:
        return
    if size_kib == SMALL_PAGE_KIB:
        sentence = f"node {node} has {have_kib} KiB of 4 KiB pages; its guests need {needed_kib} KiB"
    else:
        sentence = (
            f"node {node} has {format_count(have_kib // size_kib, f'free {format_size(size_kib)} page')}; "
            f"its guests need {needed_kib // size_kib}"
        )
    yield Violation(vm, "memory_capacity", sentence)


def _given_back_kib(facts: Facts, guest: Guest, node: NodeId, size_kib: int) -> int:
    """What a guest that runs gives back: where its memory was seen, else where its XML binds it."""
    if guest.live is not None and guest.live.memory:
        return sum(
            part.size_kib
            for part in guest.live.memory
            if part.node == node and _counts_as(facts, part.page_size_kib) == size_kib
        )
    cells = [(cell.id, cell.memory_kib) for cell in guest.cells] or [(CellId(0), guest.memory_kib or 0)]
    back = [kib for cell, kib in cells if bound_node(guest, cell) == node and _page_kib(facts, guest, cell) == size_kib]
    return sum(-(-kib // size_kib) * size_kib for kib in back)


def _counts_as(facts: Facts, page_size_kib: int) -> int:
    """Pages of a size of which no node has a pool are ordinary ones, whatever the kernel's base page is."""
    has_pool = any(node.pool(page_size_kib) is not None for node in facts.snapshot.nodes)
    return page_size_kib if has_pool else SMALL_PAGE_KIB


def _page_kib(facts: Facts, guest: Guest, cell: CellId) -> int | None:
    """The page size of a guest cell that exists; None where the XML leaves it to a default that is not known here."""
    for_it = [pages for pages in guest.hugepages if pages.cells is not None and cell in pages.cells]
    pages = next(iter([*for_it, *(pages for pages in guest.hugepages if pages.cells is None)]), None)
    if pages is None:
        return SMALL_PAGE_KIB
    if pages.size_kib is not None:
        return pages.size_kib
    if facts.snapshot.kernel.default_hugepage_kib is not None:
        return facts.snapshot.kernel.default_hugepage_kib
    sizes = {pool.size_kib for node in facts.snapshot.nodes for pool in node.hugepages}
    return sizes.pop() if len(sizes) == 1 else None
