"""The CPU topology that a guest should see: that of the host CPUs which its vCPUs really got."""

from numaplan.cpuset import CpuSet
from numaplan.model.guest import GuestTopology
from numaplan.model.plan import CellPlacement
from numaplan.model.request import CpuPolicy, GuestRequest
from numaplan.placement.facts import HostFacts


def guest_topology(facts: HostFacts, request: GuestRequest, cells: tuple[CellPlacement, ...]) -> GuestTopology | None:
    """One socket a cell where cells are equal, threads where every core of the guest is a whole one of the host.

    None for shared and mixed guests: floating vCPUs have no siblings to mirror.
    """
    if request.cpu_policy is not CpuPolicy.DEDICATED:
        return None
    cores = {core.cpus for core in facts.snapshot.cores}
    sizes = {len(cell.vcpus) for cell in cells}
    sockets = len(cells) if len(sizes) == 1 else 1
    threads = facts.threads
    if any(size % threads for size in sizes) or not all(_siblings(cell, threads) <= cores for cell in cells):
        threads = 1
    return GuestTopology(sockets, 1, request.vcpus // sockets // threads, threads)


def _siblings(cell: CellPlacement, threads: int) -> set[CpuSet]:
    """The CPUs under each run of `threads` consecutive vCPUs."""
    cpus = [next(iter(vcpu_cpus)) for _, vcpu_cpus in cell.vcpus]
    return {CpuSet(cpus[i : i + threads]) for i in range(0, len(cpus), threads)}
