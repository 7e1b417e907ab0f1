"""What Open vSwitch with DPDK holds of a host: the CPUs that it polls on, and hugepages that it has still to take."""

from dataclasses import dataclass

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.host import HugepagePool, NodeId
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch
from numaplan.units import format_count, format_size


@dataclass(frozen=True, slots=True)
class SwitchShare:
    """`cpus` are those of its threads, `pages` the free pages by node and size in KiB that it will take at its start.

    `notes` say so.
    """

    cpus: CpuSet = EMPTY
    pages: tuple[tuple[tuple[NodeId, int], int], ...] = ()
    notes: tuple[str, ...] = ()


def switch_share(snapshot: Snapshot, reserved: CpuSet) -> SwitchShare:
    """What the switch of `snapshot` holds; `reserved` CPUs are nobody's anyway."""
    switch = snapshot.openvswitch
    if switch is None:
        return SwitchShare()
    cpus = (_thread_cpus(switch) & snapshot.cpus.online) - reserved
    pages = _pages_to_come(switch, snapshot)
    said = [f"CPUs {cpus} (pmd-cpu-mask, dpdk-lcore-mask)"] if cpus else []
    said += [
        f"{format_count(count, f'free {format_size(size)} page')} of node {node} (dpdk-socket-mem)"
        for (node, size), count in pages
    ]
    notes = (f"Open vSwitch with DPDK takes {', '.join(said)}",) if said else ()
    return SwitchShare(cpus, pages, notes)


def _thread_cpus(switch: OpenVswitch) -> CpuSet:
    """CPUs of the masks, polled as soon as a node has a port, and those of threads that poll by another mask still.

    A mask says nothing where DPDK neither runs nor is asked for.
    """
    polling = CpuSet(pmd.cpu for pmd in switch.pmds)
    if not switch.has_dpdk and not polling:
        return EMPTY
    return polling | (switch.pmd_cpus or EMPTY) | (switch.lcore_cpus or EMPTY)


def _pages_to_come(switch: OpenVswitch, snapshot: Snapshot) -> tuple[tuple[tuple[NodeId, int], int], ...]:
    """Pages that DPDK allocates at its start."""
    wanted = memory_to_come(switch)
    return tuple(
        ((node.id, size), count)
        for node in snapshot.nodes
        for size, count in _allocate(node.hugepages, wanted.get(node.id, 0))
        if count
    )


def memory_to_come(switch: OpenVswitch | None) -> dict[NodeId, int]:
    """KiB of hugepages that DPDK wants at its start, by node; once it runs, the free counts lack them already."""
    if switch is None or switch.dpdk is not False or not switch.dpdk_init or switch.pmds:
        return {}
    return {memory.node: memory.size_kib for memory in switch.socket_memory}


def _allocate(pools: tuple[HugepagePool, ...], wanted_kib: int) -> list[tuple[int, int]]:
    """(page size, pages) for so much memory: large pages first, the rest in small ones where these suffice.

    DPDK, lib/eal/linux/eal_memory.c, calc_num_pages_per_socket.
    """
    taken: list[tuple[int, int]] = []
    left = wanted_kib
    largest_first = sorted(pools, key=lambda pool: -pool.size_kib)
    for i, pool in enumerate(largest_first):
        count = min(left // pool.size_kib, pool.free)
        left -= count * pool.size_kib
        smaller = sum(other.free * other.size_kib for other in largest_first[i + 1 :])
        if left > 0 and count < pool.free and smaller < left:
            count += 1
            left = 0
        taken.append((pool.size_kib, count))
    return taken
