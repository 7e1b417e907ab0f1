"""What Open vSwitch holds with DPDK: CPUs that its threads burn, hugepages that it will allocate when it starts."""

from collections.abc import Sequence

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.host import HugepagePool, NodeId
from numaplan.model.snapshot import Snapshot


def switch_cpus(snapshot: Snapshot) -> CpuSet:
    """The CPUs of pmd-cpu-mask and dpdk-lcore-mask, and those of the threads that it says poll.

    Masks of a switch that runs no such thread count only where its DPDK is on or is to be.
    """
    switch = snapshot.openvswitch
    if switch is None or not (switch.pmds or switch.dpdk is True or switch.dpdk_init is True):
        return EMPTY
    masks = [mask for mask in (switch.pmd_cpus, switch.lcore_cpus) if mask is not None]
    polling = [thread.cpu for thread in switch.pmds]
    return CpuSet([*polling, *(cpu for mask in masks for cpu in mask)])


def switch_pages(snapshot: Snapshot, node: NodeId, size_kib: int) -> int:
    """How many of a node's free pages of that size dpdk-socket-mem still takes: none once DPDK runs, or is off.

    It goes through the sizes from the largest down (DPDK's calc_num_pages_per_socket).
    """
    switch = snapshot.openvswitch
    if switch is None or switch.dpdk is not False or switch.dpdk_init is not True or switch.pmds:
        return 0
    wanted = sum(memory.size_kib for memory in switch.socket_memory[::-1] if memory.node == node)
    pools = next((host_node.hugepages for host_node in snapshot.nodes if host_node.id == node), ())
    ordered = sorted(pools, key=lambda pool: pool.size_kib, reverse=True)
    return _plan(ordered, wanted).get(size_kib, 0)


def _plan(pools: Sequence[HugepagePool], wanted_kib: int) -> dict[int, int]:
    if not pools or wanted_kib <= 0:
        return {}
    first, rest = pools[0], pools[1:]
    whole = min(first.free, wanted_kib // first.size_kib)
    remainder = wanted_kib - whole * first.size_kib
    if remainder and whole < first.free and sum(pool.free * pool.size_kib for pool in rest) < remainder:
        return {first.size_kib: whole + 1}
    return {first.size_kib: whole, **_plan(rest, remainder)}
