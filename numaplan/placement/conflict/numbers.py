"""Need against have in numbers, for each constraint that is to blame for a conflict that no single total shows."""

from collections.abc import Callable, Mapping
from typing import Final

from numaplan.model.devices import PciAddress
from numaplan.placement.conflict.asks import by_node, cores_by_node, free_cores, free_memory
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.lacks import node_by_node
from numaplan.placement.problem import CellDemand, DeviceDemand, Problem
from numaplan.units import format_count, format_few, format_size

_MOST_NAMED: Final = 5


def in_numbers(problem: Problem, constraint: str) -> str:
    """`` (needed: 12 CPUs; free CPUs: ...)``, of all guests of `problem`; "" where a constraint has no numbers."""
    said = _NUMBERS[constraint](problem) if constraint in _NUMBERS else None
    return "" if said is None else f" ({said})"


def _sum(problem: Problem, amount: Callable[[CellDemand], int]) -> int:
    return sum(len(guests.members) * sum(map(amount, guests.cells)) for guests in problem.classes)


def _cpus(problem: Problem) -> str:
    width = problem.facts.threads
    isolated, whole = _sum(problem, lambda cell: cell.isolated), _sum(problem, lambda cell: cell.whole)
    needs = [format_count(_sum(problem, lambda cell: cell.cpus(width)), "CPU")]
    have = [f"free CPUs: {cores_by_node(problem, lambda kind: kind.cpus)}"]
    if isolated:
        needs.append(f"{isolated} of them with a core to itself")
        have.append(free_cores(problem))
    if whole:
        needs.append(f"{format_count(whole, 'whole core')} among them")
        have.append(f"whole free cores: {cores_by_node(problem, lambda kind: len(kind.cores) if kind.whole else 0)}")
    return f"needed: {', '.join(needs)}; {'; '.join(have)}"


def _pool(problem: Problem) -> str:
    need = format_count(_sum(problem, lambda cell: cell.shared), "shared vCPU")
    return f"needed: room for {need}; room in the pool: {by_node(problem.facts.pool_left)}"


def _memory(problem: Problem) -> str:
    by_sizes: dict[tuple[int, ...], int] = {}
    for guests in problem.classes:
        for cell in guests.cells:
            sizes = tuple(sorted(cell.page_sizes_kib))
            by_sizes[sizes] = by_sizes.get(sizes, 0) + cell.memory_kib * len(guests.members)
    needs = [
        f"{format_size(kib)} in pages of {' or '.join(map(format_size, sizes))}" for sizes, kib in by_sizes.items()
    ]
    every = {size for some in by_sizes for size in some}
    if own := problem.facts.policy.guest_overhead_kib:
        needs.append(
            f"{format_size(own)} in pages of {format_size(SMALL_PAGE_KIB)} for QEMU on each node of each guest"
        )
        every.add(SMALL_PAGE_KIB)
    return f"needed: {', '.join(needs)}; {free_memory(problem, sorted(every))}"


def _bandwidth(problem: Problem) -> str:
    """How many VFs need how much, and what the link of each PF in reach carries."""
    needs: dict[int, int] = {}
    pfs: set[PciAddress] = set()
    for guests, demand in _demands(problem):
        if demand.mbps:
            needs[demand.mbps] = needs.get(demand.mbps, 0) + demand.count * guests
            pfs |= {pf for i in demand.kinds if (pf := problem.device_kinds[i].pf) is not None}
    wanted = " and ".join(
        f"{mbps} Mbit/s for {format_count(count, 'VF')}" for mbps, count in sorted(needs.items(), reverse=True)
    )
    carried = [_link(problem, pf) for pf in sorted(pfs)]
    return f"needed: {wanted}; {format_few(carried, _MOST_NAMED)}"


def _link(problem: Problem, pf: PciAddress) -> str:
    links, speed = problem.facts.links.get(pf, ()), problem.facts.link_speed(pf)
    device = problem.facts.devices[pf]
    node = problem.facts.device_node(device)
    name = next((link.name for link in links), str(pf)) + ("" if node is None else f" on node {node}")
    return f"{name} carries {speed}" if speed is not None else f"what {name} carries is not known"


def _devices(problem: Problem) -> str:
    """How many are wanted, and how many of these kinds there are on each node."""
    demands = list(_demands(problem))
    if len(problem.classes) == 1 and len(problem.classes[0].members) == 1:
        wanted = format_few([_for_entry(demand) for _, demand in demands], _MOST_NAMED)
    else:
        wanted = str(sum(guests * demand.count for guests, demand in demands))
    kinds = [problem.device_kinds[i] for i in sorted({i for _, demand in demands for i in demand.kinds})]
    there = {}
    for node in problem.facts.nodes:
        here = [kind for kind in kinds if kind.node == node]
        pfs = {kind.pf for kind in here if kind.pf is not None}
        on_pfs = f" of {format_count(len(pfs), 'PF')}" if pfs else ""
        there[node] = f"{sum(len(kind.members) for kind in here)} free{on_pfs}"
    lost = sum(len(kind.members) for kind in kinds if kind.node is None)
    return f"needed: {wanted}; {node_by_node(there)}" + (f"; {lost} on a node that is not known" if lost else "")


def _for_entry(demand: DeviceDemand) -> str:
    return f'{demand.count} for "{demand.name}"' + (" on as many PFs" if demand.distinct else "")


def _groups(problem: Problem) -> str:
    """How many devices are wanted, and in how large IOMMU groups they go."""
    kinds = [problem.device_kinds[i] for i in sorted({i for _, demand in _demands(problem) for i in demand.kinds})]
    wanted = sum(guests * demand.count for guests, demand in _demands(problem))
    bundles = {kind.bundle for kind in kinds if kind.bundle is not None}
    sizes = sorted(problem.bundles[bundle] for bundle in bundles)
    free = [f"{format_count(sizes.count(size), 'whole group')} of {size}" for size in dict.fromkeys(sizes)]
    alone = sum(len(kind.members) for kind in kinds if kind.bundle is None)
    return f"needed: {wanted}; free: {' and '.join([*free, *([f'{alone} in no such group'] * bool(alone))])}"


def _demands(problem: Problem) -> list[tuple[int, DeviceDemand]]:
    """Every demand, and how many guests have it."""
    return [(len(guests.members), demand) for guests in problem.classes for demand in guests.devices]


_NUMBERS: Final[Mapping[str, Callable[[Problem], str]]] = {
    "dedicated_cpus": _cpus,
    "shared_pool": _pool,
    "memory": _memory,
    "bandwidth": _bandwidth,
    "devices": _devices,
    "iommu_groups": _groups,
}
