"""Memory: page sizes as asked, strict and preferred nodes, and the capacity of each page size on each node."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, Guest, GuestCell, HugepageRequest, MemoryBinding, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import Status
from numaplan.model.request import MemoryPolicy, PageSize, Request
from numaplan.placement.verify import Violation, ties_lost, verify
from tests.hosts import GIB, host
from tests.placement.verify_cases import POLICY, cell, found, guest, placed, plan

HOST = host("2n:4c:2t", memory_gib=4, pages={"2MiB": [512, 1024], "1GiB": [0, 2]})


@pytest.mark.parametrize(
    ("wish", "page_kib"),
    [
        (PageSize.SMALL, 4),
        (PageSize.HUGE_2M, 2048),
        (PageSize.HUGE_1G, GIB),
        (PageSize.LARGE, 2048),
        (PageSize.LARGE, GIB),
        (PageSize.ANY, 4),
        (PageSize.ANY, 2048),
        (PageSize.ANY, GIB),
    ],
)
def test_a_page_size_that_was_asked_for_is_valid(wish: PageSize, page_kib: int) -> None:
    request = Request(POLICY, (guest("a", 1, page_size=wish),))
    assert not found(request, HOST, placed("a", cell(1, "6", page_kib=page_kib), emulator="5,13"))


@pytest.mark.parametrize(
    ("wish", "page_kib", "has"),
    [
        (PageSize.SMALL, 2048, "2 MiB"),
        (PageSize.HUGE_2M, 4, "4 KiB"),
        (PageSize.HUGE_1G, 2048, "2 MiB"),
        (PageSize.LARGE, 4, "4 KiB"),
    ],
)
def test_another_page_size_than_asked_is_told(wish: PageSize, page_kib: int, has: str) -> None:
    request = Request(POLICY, (guest("a", 1, page_size=wish),))
    assert found(request, HOST, placed("a", cell(1, "6", page_kib=page_kib), emulator="5,13")) == (
        Violation("a", "page_size", f'guest "a" cell 0 has pages of {has}; it needs {wish}'),
    )


@pytest.mark.parametrize("wish", [PageSize.HUGE_1G, PageSize.LARGE, PageSize.ANY])
def test_memory_that_is_no_multiple_of_its_pages_is_told(wish: PageSize) -> None:
    request = Request(POLICY, (guest("a", 1, page_size=wish, memory_kib=GIB + 2048),))
    assert found(request, HOST, placed("a", cell(1, "6", memory_kib=GIB + 2048, page_kib=GIB), emulator="5,13")) == (
        Violation("a", "page_size", 'guest "a" cell 0 has 1050624 KiB in pages of 1 GiB; it needs a multiple of that'),
    )


def test_strict_memory_on_another_node_is_told() -> None:
    request = Request(POLICY, (guest("a", 1),))
    assert found(request, HOST, placed("a", cell(0, "2", memory_node=1))) == (
        Violation("a", "memory_node", 'guest "a" cell 0 has its memory on node 1; strict memory needs node 0'),
    )


def test_preferred_memory_may_lie_on_any_node_of_the_host() -> None:
    request = Request(POLICY, (guest("a", 1, memory_policy=MemoryPolicy.PREFERRED),))
    assert not found(request, HOST, placed("a", cell(0, "2", memory_node=1)))
    assert found(request, HOST, placed("a", cell(0, "2", memory_node=7))) == (
        Violation("a", "memory_node", 'guest "a" cell 0 has its memory on node 7, which the host does not have'),
    )


def test_more_huge_pages_than_are_free_are_told() -> None:
    request = Request(POLICY, (guest("a", 1, page_size=PageSize.LARGE, memory_kib=2 * GIB),))
    assert found(request, HOST, placed("a", cell(0, "2", memory_kib=2 * GIB, page_kib=2048))) == (
        Violation("a", "memory_capacity", "node 0 has 512 free 2 MiB pages; its guests need 1024"),
    )


def test_a_page_size_that_the_node_lacks_has_no_capacity() -> None:
    request = Request(POLICY, (guest("a", 1, page_size=PageSize.ANY),))
    assert found(request, HOST, placed("a", cell(0, "2", page_kib=64))) == (
        Violation("a", "memory_capacity", "node 0 has 0 free 64 KiB pages; its guests need 16384"),
    )


def test_guests_that_together_need_more_pages_than_are_free_are_told_once() -> None:
    request = Request(POLICY, tuple(guest(name, 1, page_size=PageSize.LARGE) for name in "ab"))
    placements = [placed(name, cell(0, cpu, page_kib=2048)) for name, cpu in (("a", "2"), ("b", "3"))]
    assert found(request, HOST, *placements) == (
        Violation("b", "memory_capacity", "node 0 has 512 free 2 MiB pages; its guests need 1024"),
    )


def test_ordinary_pages_are_what_is_available_less_what_is_reserved() -> None:
    request = Request(replace(POLICY, reserved_memory_kib=GIB), (guest("a", 1, memory_kib=3 * GIB),))
    assert not found(request, HOST, placed("a", cell(0, "2", memory_kib=3 * GIB)))
    more = Request(replace(POLICY, reserved_memory_kib=GIB), (guest("a", 1, memory_kib=3 * GIB + 4),))
    assert found(more, HOST, placed("a", cell(0, "2", memory_kib=3 * GIB + 4))) == (
        Violation("a", "memory_capacity", "node 0 has 3145728 KiB of 4 KiB pages; its guests need 3145732 KiB"),
    )


def test_memory_that_the_host_does_not_say_is_no_capacity() -> None:
    snapshot = replace(HOST, nodes=tuple(replace(node, available_kib=None) for node in HOST.nodes))
    assert found(Request(POLICY, (guest("a", 1),)), snapshot, placed("a", cell(0, "2"))) == (
        Violation("a", "memory_capacity", "node 0 has 0 KiB of 4 KiB pages; its guests need 1048576 KiB"),
    )


class TestMemoryGivenBack:
    """Node 0 has 512 free pages of 2 MiB; guest "a" holds 512 more of them if it runs."""

    request = Request(POLICY, (guest("a", 1, page_size=PageSize.HUGE_2M, memory_kib=2 * GIB),))
    plan = placed("a", cell(0, "2", memory_kib=2 * GIB, page_kib=2048))
    existing = Guest(
        "a",
        "a.xml",
        1,
        GIB,
        cells=(GuestCell(CellId(0), (VcpuId(0),), GIB, 1),),
        memnodes=(MemoryBinding(CellId(0), "strict", (NodeId(0),), 1),),
        hugepages=(HugepageRequest(2048, None, 1),),
        running=True,
    )
    # The XML's one cell has 1 GiB; the request asks for 2 GiB in one cell.

    def told(self, existing: Guest) -> list[str]:
        return [violation.constraint for violation in found(self.request, replace(HOST, guests=(existing,)), self.plan)]

    def test_a_running_guest_gives_back_what_its_xml_binds_to_the_node(self) -> None:
        assert self.told(self.existing) == []

    def test_a_guest_without_cells_is_bound_as_a_whole(self) -> None:
        whole = replace(self.existing, cells=(), memnodes=(), memory=MemoryBinding(None, "strict", (NodeId(0),), 1))
        assert self.told(whole) == []

    @pytest.mark.parametrize("running", [False, None])
    def test_a_guest_that_is_not_known_to_run_gives_nothing_back(self, *, running: bool | None) -> None:
        assert self.told(replace(self.existing, running=running)) == ["memory_capacity"]

    def test_memory_that_may_lie_on_two_nodes_is_not_given_back(self) -> None:
        both = MemoryBinding(CellId(0), "strict", (NodeId(0), NodeId(1)), 1)
        assert self.told(replace(self.existing, memnodes=(both,))) == ["memory_capacity"]

    def test_memory_of_another_page_size_or_node_is_not_given_back(self) -> None:
        other_size = replace(self.existing, hugepages=(HugepageRequest(GIB, None, 1),))
        other_node = replace(self.existing, memnodes=(MemoryBinding(CellId(0), "strict", (NodeId(1),), 1),))
        assert self.told(other_size) == ["memory_capacity"]
        assert self.told(other_node) == ["memory_capacity"]
        assert self.told(replace(self.existing, hugepages=())) == ["memory_capacity"]

    def test_a_page_size_for_the_cell_goes_before_that_for_all(self) -> None:
        pages = (HugepageRequest(GIB, None, 1), HugepageRequest(2048, (CellId(0),), 2))
        assert self.told(replace(self.existing, hugepages=pages)) == []

    def test_a_guest_that_stays_gives_nothing_back(self) -> None:
        assert self.told(replace(self.existing, name="other")) == ["memory_capacity"]


class TestTies:
    large, any_size = guest("a", 1, page_size=PageSize.LARGE), guest("b", 1, page_size=PageSize.ANY)
    request = Request(POLICY, (large, any_size))

    def lost(self, a_kib: int, b_kib: int, pages: dict[str, int], status: Status = Status.OPTIMAL) -> list[str]:
        snapshot = host("1n:4c:1t", pages=pages)
        policy = replace(POLICY, reserved_cpus=CpuSet(), shared_cpus=CpuSet.parse("0"))
        request = Request(policy, self.request.guests)
        placements = [
            placed(vm, cell(0, cpu, page_kib=kib), emulator="0")
            for vm, cpu, kib in (("a", "1", a_kib), ("b", "2", b_kib))
        ]
        made = replace(plan(request, snapshot, *placements), status=status)
        assert verify(request, snapshot, plan(request, snapshot, *placements)) == ()
        return [violation.sentence for violation in ties_lost(request, snapshot, made)]

    def test_the_larger_pages_win(self) -> None:
        assert self.lost(GIB, GIB, {"2MiB": 1024, "1GiB": 2}) == []
        assert self.lost(GIB, 2048, {"2MiB": 1024, "1GiB": 1}) == []
        assert self.lost(2048, GIB, {"2MiB": 1024, "1GiB": 1}) == []
        assert self.lost(2048, 4, {"2MiB": 1024, "1GiB": 1}) == [
            'guest "a" cell 0 has pages of 2 MiB; node 0 has room for it in larger ones of 1 GiB',
            'guest "b" cell 0 has pages of 4 KiB; node 0 has room for it in larger ones of 2 MiB',
        ]

    def test_what_is_not_optimal_may_have_smaller_ones(self) -> None:
        assert self.lost(2048, 4, {"2MiB": 1024, "1GiB": 1}, Status.FEASIBLE) == []
