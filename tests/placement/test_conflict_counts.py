"""What counting proves is true, and what it counts: QEMU's own memory too."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.model.request import EmulatorPolicy, GuestRequest
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.filling.fillings import fill, placed_so
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible
from tests.depth import draws
from tests.hosts import host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

DRAWS: Final = draws(25)


@settings(max_examples=DRAWS, deadline=None, derandomize=True, database=None)
@given(requests_and_hosts())
def test_what_counting_refuses_no_search_can_place_and_what_it_places_has_a_place(case: Case) -> None:
    request = replace(case.request, guests=tuple(replace(guest, required=True) for guest in case.request.guests))
    problem = build_problem(request, host_facts(request, case.snapshot))
    filling = fill(problem)
    placed = bool(filling.slots) and placed_so(problem, filling)
    if excess(problem) is not None or filling.outcome is Outcome.INFEASIBLE or placed:
        found = feasible(problem, Budget())
        assert found is (Outcome.FEASIBLE if placed else Outcome.INFEASIBLE)


def test_sizes_that_do_not_share_out_over_the_nodes_are_refused_though_no_total_is_exceeded() -> None:
    # A node of 15 CPUs takes two of 6 or three of 5, and not one of each twice.
    sizes = [6] * 3 + [5] * 2
    request = ask(*(guest(f"g{i}", size) for i, size in enumerate(sizes)), reserved="0,8")
    problem = build_problem(request, host_facts(request, host("2n:8c:2t")))
    assert excess(problem) is None
    assert fill(problem).outcome is Outcome.INFEASIBLE


def test_what_all_amounts_have_in_common_is_left_over_on_each_node() -> None:
    # Fours and sixes take 14 of a node's 15 pages; neither of them alone shows it.
    sizes = [6] * 4 + [4] * 5
    guests = [guest(f"g{i}", 1, memory_gib=size, page_size="1GiB") for i, size in enumerate(sizes)]
    problem = build_problem(ask(*guests), host_facts(ask(*guests), host("3n:8c:2t", pages={"1GiB": 15})))
    over = excess(problem)
    assert over is not None
    assert over.sentence == "they need 22 times 2 1 GiB pages, the host can give that 21 times"


def test_a_page_size_of_which_no_node_has_enough_does_not_count() -> None:
    # Of 12 GiB in huge pages 2 are in small ones, 1 on each node: none of those who want 2 is served by these.
    wants = [(2, "large")] * 4 + [(1, "1GiB")] * 3
    guests = [guest(f"g{i}", 1, memory_gib=gib, page_size=size) for i, (gib, size) in enumerate(wants)]

    def over(small: int) -> str | None:
        snapshot = host("2n:8c:2t", pages={"1GiB": 5, "2MiB": small})
        found = excess(build_problem(ask(*guests), host_facts(ask(*guests), snapshot)))
        return None if found is None else found.sentence

    assert over(512) == "they need 11 1 GiB pages (no node has enough of another page size), the host has 10 free"
    assert over(1024) is None


@pytest.mark.parametrize("policy", ["strict", "preferred"])
def test_memory_that_may_lie_anywhere_shares_the_nodes_out_too(policy: str) -> None:
    # A node of 15 pages holds two of 6 or three of 5, wherever the CPUs of the guests are.
    sizes = [6] * 3 + [5] * 2
    guests = [
        guest(f"g{i}", 1, memory_gib=size, page_size="1GiB", memory_policy=policy) for i, size in enumerate(sizes)
    ]
    problem = build_problem(ask(*guests), host_facts(ask(*guests), host("2n:8c:2t", pages={"1GiB": 15})))
    assert excess(problem) is None
    assert fill(problem).outcome is Outcome.INFEASIBLE
    filling = fill(problem.only({"g0", "g1", "g3", "g4"}))
    assert placed_so(problem.only({"g0", "g1", "g3", "g4"}), filling)


@settings(max_examples=DRAWS, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([(1,), (2,), (3,), (1, 1), (2, 2), (1, 2), (1, 1, 1), (2, 1, 1)]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(0, 2), max_size=3, unique=True),
    st.booleans(),
)
def test_cells_that_lie_apart_are_refused_only_where_no_search_can_place_them(
    cells: list[tuple[tuple[int, ...], bool]],
    taken: list[int],
    partial: bool,  # noqa: FBT001
) -> None:
    """On three nodes of three CPUs, some of which are `taken`; `partial`: as if there were more ways than are known."""
    guests = [guest(f"g{i}", sizes, distinct_nodes=apart) for i, (sizes, apart) in enumerate(cells)]
    request = ask(*guests, reserved=",".join(str(3 * node) for node in taken))
    problem = build_problem(request, host_facts(request, host("3n:3c:1t")))
    classes = tuple(replace(guests, partial=partial) for guests in problem.classes)
    if fill(replace(problem, classes=classes)).outcome is Outcome.INFEASIBLE:
        assert feasible(problem, Budget()) is Outcome.INFEASIBLE


@pytest.mark.parametrize("partial", [False, True])
def test_equal_cells_that_lie_apart_take_a_node_each(*, partial: bool) -> None:
    """Six guests fill six of the seven nodes of six CPUs; the seventh and the one of five take a cell each."""

    def outcome(*others: GuestRequest) -> Outcome:
        request = ask(*(guest(f"g{i}", 6) for i in range(6)), *others, reserved="0")
        problem = build_problem(request, host_facts(request, host("8n:6c:1t")))
        classes = tuple(replace(c, partial=partial and len(c.cells) > 1) for c in problem.classes)
        assert excess(problem) is None
        return fill(replace(problem, classes=classes)).outcome

    assert outcome(guest("two", (2, 2))) is Outcome.OPTIMAL
    assert outcome(guest("two", (2, 2)), guest("too", (2, 2))) is Outcome.OPTIMAL
    assert outcome(guest("three", (2, 2, 2))) is Outcome.INFEASIBLE
    assert outcome(guest("three", (2, 2, 2), distinct_nodes=False)) is Outcome.OPTIMAL


def test_where_no_pool_is_named_a_node_keeps_a_cpu_for_what_floats_there() -> None:
    # Two of 2 vCPUs fill a node of 4 CPUs, and then nothing can float there.
    def outcome(*guests: GuestRequest, reserved: str = "") -> Outcome:
        request = ask(*guests, reserved=reserved)
        return fill(build_problem(request, host_facts(request, host("2n:4c:1t")))).outcome

    pairs = [guest(f"g{i}", 2) for i in range(3)]
    still = replace(pairs[2], emulator=EmulatorPolicy.SET, emulator_cpus=0)
    assert outcome(*pairs) is Outcome.INFEASIBLE
    assert outcome(*pairs[:2]) is Outcome.OPTIMAL
    # On a node of their own two fill it, if nothing of theirs floats.
    assert outcome(*pairs[:1], still, replace(still, name="still")) is Outcome.OPTIMAL
    assert outcome(*pairs[:2], still) is Outcome.INFEASIBLE
    # What floats on reserved CPUs needs none of the others.
    assert outcome(guest("a", 4), *pairs[:1], reserved="4") is Outcome.OPTIMAL


def test_where_no_guest_may_be_left_out_of_the_count_too_many_kinds_of_them_tell_nothing() -> None:
    # The five large ones alone have no place; the small ones of one CPU each make a sixth and more.
    small = [guest(f"s{i}", 1, memory_gib=i + 1) for i in range(3)]
    large = [guest(f"g{i}", size) for i, size in enumerate((6, 6, 6, 5, 5))]
    request = ask(*large, *small, reserved="0,8")
    problem = build_problem(request, host_facts(request, host("2n:8c:2t")))
    assert fill(problem).outcome is Outcome.INFEASIBLE
    told = fill(problem, whole=4)
    assert (told.outcome, told.lumps) == (Outcome.UNKNOWN, 5)
    assert fill(problem, whole=5).outcome is Outcome.INFEASIBLE


def test_what_qemu_itself_takes_is_named_with_the_guests_that_need_a_place_for_it() -> None:
    snapshot = host("1n:6c:1t", memory_gib=1, pages={"1GiB": 8})
    asked = ask(*(guest(f"g{i}", 1, page_size="1GiB") for i in range(6)), reserved="0")
    request = replace(asked, policy=replace(asked.policy, guest_overhead_kib=1 << 18))
    facts = host_facts(request, snapshot)
    found, reasons = conflict(request, facts)
    assert [(member.vm, member.constraint) for member in found.members] == [
        *((f"g{i}", "placed") for i in range(5)),
        (None, "guest_overhead"),
    ]
    assert found.members[-1].sentence == (
        "each guest needs 256 MiB of ordinary memory for QEMU on each of its nodes; free: node 0: 1 GiB"
    )
    assert reasons[0].reason.endswith("they need 327680 4 KiB pages, the host has 262144 free")


def test_what_qemu_takes_is_not_named_where_cpus_alone_do_not_suffice() -> None:
    asked = ask(guest("a", 3), guest("b", 3), reserved="0")
    request = replace(asked, policy=replace(asked.policy, guest_overhead_kib=1 << 18))
    found, _ = conflict(request, host_facts(request, host("1n:6c:1t")))
    assert [(member.vm, member.constraint) for member in found.members] == [("a", "vcpus"), ("b", "vcpus")]


def test_what_cells_that_lie_apart_need_is_all_proven_to_be_needed() -> None:
    request = ask(*(guest(f"g{i}", 6) for i in range(6)), guest("three", (2, 2, 2)), reserved="0")
    found, _ = conflict(request, host_facts(request, host("8n:6c:1t")))
    assert [(member.vm, member.constraint, member.proven) for member in found.members] == [
        *((f"g{i}", "vcpus", True) for i in range(6)),
        ("three", "vcpus", True),
        ("three", "distinct_nodes", True),
    ]
