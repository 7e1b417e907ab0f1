"""What is told of a guest whose XML has other cells than vnf.yaml asks for."""

import pytest

from numaplan.model.guest import CellId, Guest, GuestCell, GuestTopology, VcpuId
from numaplan.placement.adopt import keep_guest_topology
from tests.hosts import GIB, host
from tests.requests import ask, guest


@pytest.mark.parametrize("vcpus", [6, (3, 3)])
def test_who_has_a_topology_of_other_vcpus_and_no_cells_keeps_to_it_whatever_cells_are_asked_for(
    vcpus: int | tuple[int, ...],
) -> None:
    existing = Guest("a", "a.xml", 4, GIB, topology=GuestTopology(1, 1, 4, 1))
    kept, notes = keep_guest_topology(ask(guest("a", vcpus)), host("2n:4c:1t", guests=[existing]))
    (cell,) = kept.guests[0].cells
    assert (cell.vcpus, cell.memory_kib) == (tuple(map(VcpuId, range(4))), (1 if vcpus == 6 else 2) * GIB)
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (((0, 1), (2, 3)), None),
        (((0, 2), (1, 3)), (("vCPUs 0,2", "vCPUs 1,3"), ("vCPUs 0-1", "vCPUs 2-3"))),
        (((0, 1, 2), (3,)), (("3 vCPUs", "1 vCPU"), ("2 vCPUs", "2 vCPUs"))),
    ],
    ids=["none", "which", "how many"],
)
def test_the_difference_between_the_cells_is_told(
    there: tuple[tuple[int, ...], ...], told: tuple[tuple[str, str], tuple[str, str]] | None
) -> None:
    cells = (GuestCell(CellId(i), tuple(map(VcpuId, vcpus)), GIB, 1) for i, vcpus in enumerate(there))
    existing = Guest("a", "a.xml", 4, 2 * GIB, cells=tuple(cells))
    _, notes = keep_guest_topology(ask(guest("a", (2, 2))), host("2n:2c:1t", guests=[existing]))
    if told is None:
        assert notes == ()
        return
    has, asked = ("2 cells: " + ", ".join(f"{vcpus} with 1048576 KiB" for vcpus in side) for side in told)
    assert notes[0].startswith(f"a: its XML has {has}, vnf.yaml asks for {asked}: the plan keeps to the XML")
