"""Optional guests that others outdo: left out before the search where the host cannot hold them beside these."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.model.plan import Plan, Status
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import search
from numaplan.placement.facts import host_facts
from numaplan.placement.levels import Budget
from numaplan.placement.options import build_problem
from numaplan.placement.solve import solve
from numaplan.placement.surplus import without_surplus
from numaplan.placement.verify import verify
from tests.depth import draws
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

DRAWS = settings(max_examples=draws(25), deadline=None, derandomize=True)

HOST = host("2n:4c:1t", memory_gib=64, pages={"1GiB": 8}, nics=[Nic("ens0", node=0, vfs=2)])


def wish(name: str, vcpus: int, *, priority: int = 1, **wants: object) -> GuestRequest:
    return guest(name, vcpus, required=False, priority=priority, **wants)  # type: ignore[arg-type]  # what guest() takes


def searched_for(*guests: GuestRequest) -> list[str]:
    """Who is left of them on two nodes with four CPUs each, one of the eight being the host's."""
    request = ask(*guests, reserved="0")
    problem = without_surplus(build_problem(request, host_facts(request, HOST)))
    return [one.name for guests in problem.classes for one in guests.members]


def test_who_is_worth_less_than_others_that_fill_the_host_is_left_out() -> None:
    better = [wish(f"b{i}", 2, priority=5 + i) for i in range(4)]
    assert searched_for(*better, wish("a", 2, priority=4)) == ["b1", "b2", "b3"]
    # Two of these leave three of the seven CPUs, three leave one.
    assert searched_for(*better[:2], wish("a", 3, priority=4)) == ["b0", "b1", "a"]
    assert searched_for(*better[:3], wish("a", 3, priority=4)) == ["b0", "b1", "b2"]


def test_of_equals_in_worth_the_smaller_come_first_and_of_copies_so_many_as_find_room() -> None:
    small = [wish("s1", 1), wish("s2", 1)]
    large = [wish(f"l{i}", 2) for i in range(5)]
    assert searched_for(*large, *small) == ["l0", "l1", "s1", "s2"]


@pytest.mark.parametrize(
    "better",
    [
        {"memory_gib": 2},
        {"thread_policy": "isolate"},
        {"page_size": "any"},
        {"memory_policy": "preferred"},
        {"emulator": "isolate"},
        {"interfaces": [vfs("d", "ens0", affinity="preferred")]},
        {"priority": 0},
        {"anti_affinity": ["a"]},
    ],
    ids=lambda better: next(iter(better)),
)
def test_nobody_is_outdone_by_who_needs_more_or_something_else_or_is_tied(better: dict[str, object]) -> None:
    others = [wish(f"b{i}", 2, **({"priority": 9} | better)) for i in range(3)]  # type: ignore[arg-type]
    assert "a" in searched_for(*others, wish("a", 2, priority=5))


def test_who_is_required_or_there_is_never_left_out() -> None:
    better = [wish(f"b{i}", 2, priority=9) for i in range(4)]
    assert "a" in searched_for(*better, replace(wish("a", 2), required=True))


def test_what_counts_is_all_that_the_host_has_and_not_what_one_node_has() -> None:
    one_vf: dict[str, Any] = {"interfaces": [vfs("d", "ens0", affinity="preferred")]}
    better = [wish(f"b{i}", 1, priority=9, **one_vf) for i in range(2)]
    assert searched_for(*better, wish("a", 1, **one_vf), wish("c", 1)) == ["b0", "b1", "c"]


def best(request: Request, snapshot: Snapshot) -> Plan:
    plan = solve(request, snapshot, budget=Budget())
    assert verify(request, snapshot, plan) == ()
    return plan


@st.composite
def crowds(draw: st.DrawFn) -> list[GuestRequest]:
    """Some guests more than have a place, of sizes and priorities that often outdo each other."""
    number = draw(st.integers(4, 9))
    made = []
    for i in range(number):
        near = draw(st.sampled_from([(), ("required",), ("preferred",)]))
        made.append(
            wish(
                f"g{i}",
                draw(st.integers(1, 4)),
                priority=draw(st.integers(0, 3)),
                memory_gib=draw(st.integers(1, 3)),
                page_size="1GiB",
                thread_policy=draw(st.sampled_from(["prefer", "prefer", "require"])),
                emulator=draw(st.sampled_from(["share", "isolate"])),
                interfaces=[vfs("d", "ens0", affinity=each) for each in near],
            )
        )
    return made


@DRAWS
@given(crowds(), st.integers(4, 9))
def test_the_best_is_as_good_at_every_level_as_if_all_were_searched_for(guests: list[GuestRequest], pages: int) -> None:
    snapshot = host("2n:3c:2t", pages={"1GiB": pages}, llcs_per_node=3, nics=[Nic("ens0", node=0, vfs=2)])
    request = ask(*guests, reserved="0")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "without_surplus", lambda problem: problem)
        full = best(request, snapshot)
    plan = best(request, snapshot)
    assert full.status is plan.status is Status.OPTIMAL
    assert [level.value for level in plan.levels] == [level.value for level in full.levels]


def test_a_request_of_thousands_is_answered_and_proven() -> None:
    guests = [
        wish(f"g{i}", 1 + i % 7, priority=1 + i % 11, memory_gib=1 + i % 5, page_size="1GiB") for i in range(2_000)
    ]
    plan = best(ask(*guests, reserved="0"), host("2n:8c:2t", pages={"1GiB": 40}))
    assert plan.status is Status.OPTIMAL
    assert len(plan.unplaced) == len(guests) - len(plan.placements)
