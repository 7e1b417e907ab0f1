"""The CPU topology that guests are shown."""

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement
from numaplan.placement.facts import host_facts
from numaplan.placement.shape import guest_topology
from tests.hosts import host
from tests.requests import ask, guest


def shown(*cells: list[int]) -> tuple[int, int, int]:
    """Sockets, cores and threads for cells with these vCPUs, which have the threads of one core after the other."""
    request, snapshot = ask(guest("a", [len(cell) for cell in cells])), host("1n:16c:2t")
    cpus = [cpu for core in snapshot.cores for cpu in core.cpus]
    given = tuple(
        CellPlacement(
            CellId(k),
            NodeId(0),
            tuple((VcpuId(vcpu), CpuSet([cpus[vcpu]])) for vcpu in cell),
            NodeId(0),
            1 << 20,
            4,
        )
        for k, cell in enumerate(cells)
    )
    topology = guest_topology(host_facts(request, snapshot), request.guests[0], given)
    assert topology is not None
    return topology.sockets, topology.cores, topology.threads


@pytest.mark.parametrize(
    ("cells", "topology"),
    [
        ([[0, 1, 2, 3, 4, 5, 6, 7]], (1, 4, 2)),
        ([[0, 1, 2, 3], [4, 5, 6, 7]], (2, 2, 2)),
        ([[0, 1, 2, 3, 4, 5], [6, 7]], (4, 1, 2)),
        ([[0, 1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11]], (3, 2, 2)),
        ([[0, 1, 2], [3, 4, 5, 6, 7]], (8, 1, 1)),
        ([[0, 1, 4, 5], [2, 3, 6, 7]], (4, 1, 2)),
        ([[0, 2, 4, 6], [1, 3, 5, 7]], (8, 1, 1)),
    ],
)
def test_no_socket_has_vcpus_of_two_cells(cells: list[list[int]], topology: tuple[int, int, int]) -> None:
    assert shown(*cells) == topology
