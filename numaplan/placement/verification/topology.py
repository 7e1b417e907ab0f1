"""The CPU topology that a guest is shown: as many vCPUs as it has, and siblings only where the host has them.

No core that it is shown has vCPUs of two of its cells: kernels take siblings on two nodes for broken firmware.
"""

from collections.abc import Iterator, Sequence

from numaplan.model.plan import Placement
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def topology_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Topologies that do not fit their guest; a plan need not say any."""
    for placement in placements:
        problem = None if placement.topology is None else _problem(facts, placement)
        if problem is not None:
            yield Violation(placement.vm, "topology", f'guest "{placement.vm}" is shown {problem}')


def _problem(facts: Facts, placement: Placement) -> str | None:
    topology = placement.topology
    if topology is None:
        return None
    threads = sorted(pair for cell in placement.cells for pair in cell.vcpus)
    cell_of = {vcpu: cell.id for cell in placement.cells for vcpu, _ in cell.vcpus}
    if topology.vcpus != len(threads):
        return f"a topology of {format_count(topology.vcpus, 'vCPU')}; it has {len(threads)}"
    if topology.threads == 1:
        return None
    for start in range(0, len(threads), topology.threads):
        run = threads[start : start + topology.threads]
        vcpus = ", ".join(str(vcpu) for vcpu, _ in run)
        given = {cpus.lowest for _, cpus in run if len(cpus) == 1}
        cores = {facts.core(cpu) for cpu in given}
        if len(cores) != 1 or len(given) != topology.threads or any(len(core) != topology.threads for core in cores):
            return f"vCPUs {vcpus} as threads of one core; their CPUs are no whole core of the host"
        if len({cell_of[vcpu] for vcpu, _ in run}) > 1:
            return f"vCPUs {vcpus} as threads of one core; they are of several of its cells"
    return None
