"""What one node lacks for one cell, even with nothing else on it; and how that is told of all nodes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeVar

from numaplan.cpuset import CpuId, format_id_list
from numaplan.model.host import NodeId
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts
from numaplan.placement.problem import CellDemand, CoreKind
from numaplan.units import format_count, format_size

Said = TypeVar("Said", int, str)


def cell_lack(facts: HostFacts, cell: CellDemand, node: NodeId, *, cores: tuple[CoreKind, ...]) -> str | None:
    """What a node lacks for one cell even with nothing else on it, with the numbers; None where it lacks nothing."""
    if (cell.cpus(facts.threads) or cell.shared) and not facts.online(node):
        return "no CPUs"
    here = [kind for kind in cores if kind.node == node]
    return _cpu_lack(facts, cell, here) or _pool_lack(facts, cell, node) or _memory_lack(facts, cell, node)


def node_by_node(said: Mapping[NodeId, str]) -> str:
    """``node 0: ...; nodes 1-7 each: ...``: nodes of which the same is said stand together."""
    return "; ".join(
        f"node {some[0]}: {words}" if len(some) == 1 else f"nodes {format_id_list(some)} each: {words}"
        for words, some in alike(said.items()).items()
    )


def alike(said: Iterable[tuple[int, Said]]) -> dict[Said, list[int]]:
    """The numbers of which the same is said, in their order."""
    groups: dict[Said, list[int]] = {}
    for number, words in said:
        groups.setdefault(words, []).append(number)
    return groups


def huge_pages(facts: HostFacts) -> str:
    """``no huge pages``, ``huge pages of 2 MiB and 1 GiB only``: the sizes that a host lists, be any free or not."""
    sizes = " and ".join(format_size(size) for size in huge_sizes_kib(facts))
    return f"huge pages of {sizes} only" if sizes else "no huge pages"


def huge_sizes_kib(facts: HostFacts) -> list[int]:
    """The sizes of huge pages that a host lists; of `facts` for a question those that it adds are not among them."""
    pools = (pool.size_kib for node in facts.snapshot.nodes for pool in node.hugepages)
    return sorted({size for size in pools if size > SMALL_PAGE_KIB})


def isolable_cores(here: Iterable[CoreKind]) -> int:
    """The cores of a node that one can have alone; of one whose threads lie apart the several kinds are one."""
    kinds = [kind for kind in here if kind.isolable]
    scattered = {kind.scattered for kind in kinds if kind.scattered is not None}
    return len(scattered) + sum(len(kind.cores) for kind in kinds if kind.scattered is None)


def _whole_cores(here: Iterable[CoreKind], width: int) -> int:
    """The cores of a node that are free as wide as they come, also those whose threads lie in several LLCs."""
    apart: dict[CpuId, int] = defaultdict(int)
    whole = 0
    for kind in here:
        whole += len(kind.cores) if kind.whole else 0
        if kind.scattered is not None:
            apart[kind.scattered] += kind.free
    return whole + sum(free == width > 1 for free in apart.values())


def _cpu_lack(facts: HostFacts, cell: CellDemand, here: list[CoreKind]) -> str | None:
    isolable = isolable_cores(here)
    whole = _whole_cores(here, facts.threads)
    free = sum(kind.cpus for kind in here)
    if cell.whole and facts.threads == 1:
        return "no SMT, which thread_policy require needs"
    if isolable < cell.isolated:
        return f"{format_count(isolable, 'free core')}, needs {cell.isolated}"
    if whole < cell.whole:
        return f"{format_count(whole, 'whole free core')}, needs {cell.whole}"
    if free < (need := cell.cpus(facts.threads)):
        return f"{format_count(free, 'free CPU')}, needs {need}"
    return _part_lack(cell, here, whole) if cell.part else None


def _part_lack(cell: CellDemand, here: list[CoreKind], whole: int) -> str | None:
    """What is left for the part beside the whole cores: it may lie on another of these, or on one that lies apart."""
    widest = _widest(kind for kind in here if whole > cell.whole or not kind.whole)
    if widest >= cell.part:
        return None
    threads = f"no more than {format_count(widest, 'free thread')}"
    if not cell.whole:
        return f"{threads} on one core, needs {cell.part}"
    return f"{format_count(whole, 'whole free core')} and {threads} on another, needs {cell.whole} and {cell.part}"


def _widest(kinds: Iterable[CoreKind]) -> int:
    """The most free threads of one core."""
    apart: dict[CpuId, int] = defaultdict(int)
    most = 0
    for kind in kinds:
        if kind.scattered is None:
            most = max(most, kind.free)
        else:
            apart[kind.scattered] += kind.free
    return max((most, *apart.values()))


def _pool_lack(facts: HostFacts, cell: CellDemand, node: NodeId) -> str | None:
    if facts.pool_left[node] >= cell.shared:
        return None
    if not facts.shared & facts.online(node):
        return f"no shared CPUs, needs room for {format_count(cell.shared, 'shared vCPU')}"
    return f"room for {format_count(facts.pool_left[node], 'shared vCPU')}, needs {cell.shared}"


def _memory_lack(facts: HostFacts, cell: CellDemand, node: NodeId) -> str | None:
    if not cell.page_sizes_kib:
        return _undivided(facts, cell.memory_kib)
    overhead = facts.policy.guest_overhead_kib
    small = facts.capacity_kib.get((node, SMALL_PAGE_KIB), 0)
    have = {size: facts.capacity_kib.get((node, size), 0) for size in cell.page_sizes_kib}
    if SMALL_PAGE_KIB in have:
        have[SMALL_PAGE_KIB] -= overhead
    best = max(have, key=lambda size: (have[size], size))
    if cell.strict and have[best] < cell.memory_kib:
        if best > SMALL_PAGE_KIB and best not in huge_sizes_kib(facts):
            return f"{huge_pages(facts)}, needs {cell.memory_kib // best} of {format_size(best)}"
        if best > SMALL_PAGE_KIB:
            pages = format_count(have[best] // best, f"free {format_size(best)} page")
            return f"{pages}, needs {cell.memory_kib // best}"
        return _ordinary_lack(
            facts, node, format_size(cell.memory_kib) + (f" and {_own(overhead)}" if overhead else "")
        )
    return _ordinary_lack(facts, node, _own(overhead)) if small < overhead else None


def _undivided(facts: HostFacts, memory_kib: int) -> str:
    """Why no page size is left; where ordinary pages hold the memory whole, it was huge ones that were asked for."""
    # Cut to two decimals a size would be divided by some pages.
    said = f"{memory_kib} KiB" if memory_kib % SMALL_PAGE_KIB else format_size(memory_kib)
    lack = f"{said} is not a multiple of any page size that it may use"
    if memory_kib % SMALL_PAGE_KIB:
        return lack
    return f"{lack} (the host has {huge_pages(facts)})" if huge_sizes_kib(facts) else huge_pages(facts)


def _own(overhead_kib: int) -> str:
    return f"{format_size(overhead_kib)} of ordinary memory for QEMU itself"


def _ordinary_lack(facts: HostFacts, node: NodeId, needs: str) -> str:
    available = next(n.available_kib for n in facts.snapshot.nodes if n.id == node)
    if available is None:
        return f"memory that the host does not tell, needs {needs}"
    reserved = facts.policy.reserved_memory_kib
    less = f" ({format_size(available)} less reserved_memory {format_size(reserved)})" if reserved else ""
    have = facts.capacity_kib.get((node, SMALL_PAGE_KIB), 0)
    return f"{format_size(have)} of ordinary memory{less}, needs {needs}"
