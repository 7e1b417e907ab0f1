"""What counting proves is true, and what it counts: QEMU's own memory too."""

from dataclasses import replace
from typing import Final

from hypothesis import given, settings

from numaplan.model.request import EmulatorPolicy, GuestRequest
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.fillings import fill, placed_so
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
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
