"""What is told of a guest whose XML has other cells than vnf.yaml asks for."""

from dataclasses import replace

import pytest

from numaplan.model.guest import CellId, Guest, GuestCell, GuestTopology, VcpuId
from numaplan.model.request import CellRequest, MemoryPolicy, PageSize, Realtime
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import ties_lost, verify
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


@pytest.mark.parametrize(
    ("realtime", "left", "told"),
    [
        ({0, 1}, {0, 1}, None),
        ({1, 2, 3}, {1}, "a: realtime vCPUs 1-3 are asked for; of these it has 1"),
        ({2, 3}, None, "a: realtime vCPUs 2-3 are asked for; of these it has none"),
    ],
    ids=["all", "some", "none"],
)
def test_of_realtime_vcpus_those_are_left_that_the_guest_has(
    realtime: set[int], left: set[int] | None, told: str | None
) -> None:
    existing = Guest("a", "a.xml", 2, GIB, topology=GuestTopology(1, 1, 2, 1))
    asked = replace(guest("a", 4), realtime=Realtime(frozenset(map(VcpuId, realtime)), 7))
    kept, notes = keep_guest_topology(ask(asked), host("2n:4c:1t", guests=[existing]))
    assert kept.guests[0].realtime == (None if left is None else Realtime(frozenset(map(VcpuId, left)), 7))
    assert notes[1:] == (() if told is None else (told,))


def test_the_proof_expects_the_pages_of_the_first_cell_where_the_xml_has_another_number() -> None:
    """Of 1 GiB pages any could have some, but what is asked for the first cell holds for all three."""
    cells = tuple(GuestCell(CellId(i), (VcpuId(i),), GIB, 1) for i in range(3))
    snapshot = host("1n:8c:1t", pages={"1GiB": 3, "2MiB": 1536}, guests=[Guest("a", "a.xml", 3, 3 * GIB, cells=cells)])
    strict = MemoryPolicy.STRICT
    wishes = (
        CellRequest((VcpuId(0),), GIB, PageSize.HUGE_2M, strict),
        CellRequest((VcpuId(1), VcpuId(2)), 2 * GIB, PageSize.ANY, strict),
    )
    request = ask(replace(guest("a", (1, 2), distinct_nodes=False), cells=wishes), reserved="7")
    kept, _ = keep_guest_topology(request, snapshot)
    plan = replace(solve(kept, snapshot, budget=Budget()), request=kept)
    assert {cell.page_size_kib for cell in plan.placements[0].cells} == {2048}
    assert verify(request, snapshot, plan) == ties_lost(request, snapshot, plan) == ()
    large = replace(plan.placements[0].cells[0], page_size_kib=1 << 20)
    other = replace(plan.placements[0], cells=(large, *plan.placements[0].cells[1:]))
    (told,) = verify(request, snapshot, replace(plan, placements=(other,)))
    assert told.sentence == 'guest "a" cell 0 has pages of 1 GiB; it needs 2MiB'
