"""The CPU topology that a guest should see: that of the host CPUs which its vCPUs really got."""

from itertools import groupby
from math import gcd

from numaplan.model.guest import GuestTopology
from numaplan.model.plan import CellPlacement
from numaplan.model.request import CpuPolicy, GuestRequest
from numaplan.placement.facts import HostFacts


def guest_topology(facts: HostFacts, request: GuestRequest, cells: tuple[CellPlacement, ...]) -> GuestTopology | None:
    """As large sockets as lie in one cell each, threads where every core of the guest is a whole one of the host.

    A kernel takes the vCPUs of a socket for neighbours at one cache, and complains of those on several nodes. None for
    shared and mixed guests: floating vCPUs have no siblings to mirror.
    """
    if request.cpu_policy is not CpuPolicy.DEDICATED:
        return None
    cell_of = sorted((vcpu, cell.id) for cell in cells for vcpu, _ in cell.vcpus)
    runs = [sum(1 for _ in run) for _, run in groupby(cell_of, key=lambda pair: pair[1])]
    together = gcd(*runs)
    threads = facts.threads
    if together % threads or not _on_whole_cores(facts, cells, threads):
        threads = 1
    return GuestTopology(request.vcpus // together, 1, together // threads, threads)


def _on_whole_cores(facts: HostFacts, cells: tuple[CellPlacement, ...], threads: int) -> bool:
    """Whether each run of `threads` vCPUs, as the guest numbers them, has a core of that many threads to itself."""
    cpus = [next(iter(given)) for _, given in sorted(pair for cell in cells for pair in cell.vcpus)]
    runs = (cpus[i : i + threads] for i in range(0, len(cpus), threads))
    return all(len({facts.core_of[cpu] for cpu in run}) == 1 for run in runs)
