"""What one node lacks for one cell, even with nothing else on it."""

from numaplan.model.host import NodeId
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts
from numaplan.placement.problem import CellDemand, CoreKind
from numaplan.units import format_size


def cell_lack(facts: HostFacts, cell: CellDemand, node: NodeId, *, cores: tuple[CoreKind, ...]) -> str | None:
    """What a node lacks for one cell even with nothing else on it, with the numbers; None where it lacks nothing."""
    here = [kind for kind in cores if kind.node == node]
    free = sum(kind.free * len(kind.cores) for kind in here)
    isolable = sum(len(kind.cores) for kind in here if kind.isolable)
    whole = sum(len(kind.cores) for kind in here if kind.whole)
    need = cell.cpus(facts.threads)
    if isolable < cell.isolated:
        return f"{isolable} free cores, needs {cell.isolated}"
    if whole < cell.whole:
        return f"{whole} whole free cores, needs {cell.whole}"
    if free < need:
        return f"{free} free CPUs, needs {need}"
    if facts.pool_left[node] < cell.shared:
        return f"room for {facts.pool_left[node]} shared vCPUs, needs {cell.shared}"
    if cell.strict and not any(
        facts.capacity_kib.get((node, size), 0) >= cell.memory_kib for size in cell.page_sizes_kib
    ):
        return _memory_lack(facts, cell, node)
    return None


def _memory_lack(facts: HostFacts, cell: CellDemand, node: NodeId) -> str:
    if not cell.page_sizes_kib:
        return f"no pages of a size that it may use and that divides {format_size(cell.memory_kib)}"
    have = {size: facts.capacity_kib.get((node, size), 0) for size in cell.page_sizes_kib}
    best = max(have, key=lambda size: (have[size], size))
    if best == SMALL_PAGE_KIB and (node, best) not in facts.capacity_kib:
        return f"does not say how much memory it has, needs {format_size(cell.memory_kib)}"
    if best == SMALL_PAGE_KIB:
        return f"{format_size(have[best])} of ordinary memory, needs {format_size(cell.memory_kib)}"
    return f"{have[best] // best} free {format_size(best)} pages, needs {cell.memory_kib // best}"
