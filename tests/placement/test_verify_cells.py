"""The cells of a plan's guest, those of its XML, and the topology that it is shown."""

from dataclasses import replace

import pytest

from numaplan.model.guest import CellId, Guest, GuestCell, GuestTopology, VcpuId
from numaplan.model.request import PageSize, Request
from numaplan.placement.verify import Violation, verify
from tests.hosts import GIB, host
from tests.placement.verify_cases import POLICY, cell, found, guest, placed, plan

HOST = host("2n:4c:2t", pages={"2MiB": 4096})
ONE = placed("a", cell(0, "2"))


class TestCellsOfTheXml:
    """The XML of "a" has two cells; the request asks for one with the same sums."""

    request = Request(POLICY, (guest("a", 2, memory_kib=2 * GIB, page_size=PageSize.HUGE_2M),))
    existing = Guest(
        "a",
        "a.xml",
        2,
        2 * GIB,
        cells=(GuestCell(CellId(0), (VcpuId(0),), GIB, 1), GuestCell(CellId(1), (VcpuId(1),), GIB, 1)),
    )
    snapshot = replace(HOST, guests=(existing,))
    kept = placed("a", cell(0, "2", page_kib=2048), cell(1, "6", id_=1, first=1, page_kib=2048), emulator="1,5,9,13")

    def test_the_plan_may_keep_to_them(self) -> None:
        assert not found(self.request, self.snapshot, self.kept)

    def test_or_give_those_asked_for(self) -> None:
        assert not found(
            self.request, self.snapshot, placed("a", cell(0, "2", "10", memory_kib=2 * GIB, page_kib=2048))
        )

    def test_unless_it_says_that_it_changes_them(self) -> None:
        changing = replace(plan(self.request, self.snapshot, self.kept), change_topology=True)
        assert verify(self.request, self.snapshot, changing) == (
            Violation("a", "cells", 'guest "a" has 2 cells, [0, 1]; needs 1'),
        )

    def test_but_not_make_up_others(self) -> None:
        assert [violation.constraint for violation in found(self.request, HOST, self.kept)] == ["cells"]

    def test_the_page_size_asked_for_holds_for_them_too(self) -> None:
        small = replace(self.kept, cells=tuple(replace(one, page_size_kib=4) for one in self.kept.cells))
        wrong = found(self.request, self.snapshot, small)
        assert [violation.constraint for violation in wrong] == ["page_size", "page_size"]


def test_missing_cells_are_told() -> None:
    request = Request(POLICY, (guest("a", 1, cells=2),))
    assert found(request, HOST, ONE) == (Violation("a", "cells", 'guest "a" has 1 cell, [0]; needs 2'),)


def test_missing_vcpus_are_told() -> None:
    assert found(Request(POLICY, (guest("a", 2),)), HOST, ONE) == (
        Violation("a", "cells", 'guest "a" cell 0 has vCPUs [0]; it needs [0, 1]'),
    )


def test_cells_on_one_node_are_told_where_distinct_nodes_are_asked() -> None:
    same_node = placed("a", cell(0, "2"), cell(0, "3", id_=1, first=1))
    assert found(Request(POLICY, (guest("a", 1, cells=2),)), HOST, same_node) == (
        Violation("a", "distinct_nodes", 'guest "a" has 2 cells on 1 node; it needs a node for each'),
    )
    assert not found(Request(POLICY, (guest("a", 1, cells=2, distinct_nodes=False),)), HOST, same_node)


@pytest.mark.parametrize(
    ("topology", "problem"),
    [
        (GuestTopology(1, 1, 1, 1), "a topology of 1 vCPU; it has 2"),
        (GuestTopology(7, 3, 5, 11), "a topology of 1155 vCPUs; it has 2"),
        (GuestTopology(1, 1, 1, 2), "vCPUs 0, 1 as threads of one core; their CPUs are no whole core of the host"),
    ],
)
def test_a_topology_that_the_host_does_not_have_is_told(topology: GuestTopology, problem: str) -> None:
    request = Request(POLICY, (guest("a", 2),))
    wrong = replace(placed("a", cell(0, "2", "3")), topology=topology)
    assert found(request, HOST, wrong) == (Violation("a", "topology", f'guest "a" is shown {problem}'),)


@pytest.mark.parametrize("topology", [None, GuestTopology(1, 1, 2, 1), GuestTopology(2, 1, 1, 1)])
def test_a_topology_without_threads_needs_no_whole_cores(topology: GuestTopology | None) -> None:
    plain = replace(placed("a", cell(0, "2", "3")), topology=topology)
    assert found(Request(POLICY, (guest("a", 2),)), HOST, plain) == ()


def test_no_core_that_a_guest_is_shown_has_vcpus_of_two_cells() -> None:
    request = Request(POLICY, (guest("a", 1, cells=2, distinct_nodes=False),))
    siblings = placed("a", cell(0, "2"), cell(0, "10", id_=1, first=1))
    assert not found(request, HOST, replace(siblings, topology=GuestTopology(2, 1, 1, 1)))
    assert found(request, HOST, replace(siblings, topology=GuestTopology(1, 1, 1, 2))) == (
        Violation(
            "a",
            "topology",
            'guest "a" is shown vCPUs 0, 1 as threads of one core; they are of several of its cells',
        ),
    )


def test_threads_of_the_guest_are_threads_of_the_host() -> None:
    whole = replace(placed("a", cell(0, "2", "10")), topology=GuestTopology(1, 1, 1, 2))
    assert found(Request(POLICY, (guest("a", 2),)), HOST, whole) == ()
