"""The plainest placement of a request: cell n on node n, vCPUs on the CPUs of that node in order."""

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import GuestRequest
from tests.targets.drawn import HOST


def placed(request: GuestRequest, *, page_size_kib: int = 4) -> Placement:
    """Without VFs, its emulator on CPU 0."""
    cells = []
    for number, cell in enumerate(request.cells):
        cpus = list(HOST.nodes[number].cpus)[1:]
        own = tuple((vcpu, CpuSet([cpus[k]])) for k, vcpu in enumerate(cell.vcpus))
        node = NodeId(number)
        cells.append(CellPlacement(CellId(number), node, own, node, cell.memory_kib, page_size_kib))
    return Placement(request.name, tuple(cells), CpuSet([0]))
