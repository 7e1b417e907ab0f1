"""The CPU topology that a guest should see: that of the host CPUs which its vCPUs really got."""

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
    sizes = {len(cell.vcpus) for cell in cells}
    sockets = len(cells) if len(sizes) == 1 else 1
    threads = facts.threads
    if any(size % threads for size in sizes) or not _on_whole_cores(facts, cells, threads):
        threads = 1
    return GuestTopology(sockets, 1, request.vcpus // sockets // threads, threads)


def _on_whole_cores(facts: HostFacts, cells: tuple[CellPlacement, ...], threads: int) -> bool:
    """Whether each run of `threads` vCPUs, as the guest numbers them, has a core of that many threads to itself."""
    cpus = [next(iter(given)) for _, given in sorted(pair for cell in cells for pair in cell.vcpus)]
    runs = (cpus[i : i + threads] for i in range(0, len(cpus), threads))
    return all(len({facts.core_of[cpu] for cpu in run}) == 1 for run in runs)
