"""Copies that are tied to each other, and to others: as few constraints as guests, and no answer changed by it."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from typing import Final

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from numaplan.model.plan import Status
from numaplan.model.request import GuestRequest
from numaplan.placement import demands
from numaplan.placement.conflict.counted import is_counted_out, leaves_no_way
from numaplan.placement.conflict.excess import excess
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.linked import bands
from numaplan.placement.conflict.totals import resources
from numaplan.placement.conflict.twins import are_twins
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import coarse_units
from numaplan.placement.joined import joined
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible
from numaplan.placement.solve import solve
from numaplan.placement.surplus import without_surplus
from numaplan.placement.ties import Wish, tied_sets, ties
from numaplan.placement.verify import verify
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.exhaustive.cases import Case
from tests.placement.exhaustive.compare import UNDECIDED, differences, question
from tests.placement.exhaustive.drawn_hosts import hosts
from tests.placement.exhaustive.limits import Limits
from tests.placement.exhaustive.reading import Json
from tests.placement.exhaustive.resources import TooLargeError
from tests.requests import ask, guest, vfs

DRAWS: Final = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
NAMES: Final = ("a", "b", "c")

# Whom the copies of each name are tied to, by name.
Wishes = dict[str, dict[Wish, tuple[str, ...]]]


def copies(name: str, count: int, *, vcpus: int | tuple[int, ...] = 1, **wants: object) -> list[GuestRequest]:
    """As many guests as `count: N` makes; who is tied to "a" or to itself is so to each copy of it."""
    return [guest(f"{name}-{i}", vcpus, **wants) for i in range(1, count + 1)]  # type: ignore[arg-type]


def tied(groups: dict[str, list[GuestRequest]], wishes: Wishes) -> list[GuestRequest]:
    """The guests, those of each group tied to all of those that it wishes to be with, or away from."""
    found = []
    for name, guests in groups.items():
        for one in guests:
            near, apart = (
                tuple(other.name for group in wishes[name].get(wish, ()) for other in groups[group] if other != one)
                for wish in Wish
            )
            found.append(replace(one, affinity=near, anti_affinity=apart))
    return found


@settings(DRAWS, max_examples=draws(25))
@given(st.integers(1, 7), st.data())
def test_sets_say_of_no_other_pairs_than_the_guests_do_that_they_are_tied(count: int, data: st.DataObject) -> None:
    pairs = data.draw(st.sets(st.sampled_from(list(combinations(range(count), 2)) or [(0, 0)])))
    pairs = {(a, b) for a, b in pairs if a != b}
    guests = [guest(str(i), anti_affinity=[str(b) for a, b in pairs if a == i]) for i in range(count)]
    of = ties([[one] for one in guests], Wish.APART)
    sets = tied_sets(of)
    assert sorted(i for each in sets for i in each.members) == sorted({i for pair in pairs for i in pair})
    said = {pair for each in sets if each.mutual for pair in combinations(each.members, 2)}
    for one, other in combinations(sets, 2):
        if of[one.members[0]] >> other.members[0] & 1:
            said |= {(min(pair), max(pair)) for pair in product(one.members, other.members)}
    assert said == pairs


@st.composite
def cases_of_copies(draw: st.DrawFn) -> Case:
    """Up to three vms in copies of one or two vCPUs, and ties of any sort between these, also among copies."""
    inventory = draw(hosts(Limits(nodes=3, cpus=8, guests=3, vcpus=6)))
    inventory["guests"] = []
    for link in inventory["links"]:
        link["kind"] = None
    names = NAMES[: draw(st.integers(1, 3))]
    vms: list[Json] = []
    for name in names:
        vm: Json = {"name": name, "vcpus": draw(st.sampled_from([1, 1, 2])), "memory": "512MiB"}
        vm["count"] = draw(st.integers(1, 4 - len(names) // 2))
        if vm["vcpus"] == 2 and draw(st.booleans()):
            vm["cells"] = 2
            vm["distinct_nodes"] = draw(st.booleans())
        if draw(st.sampled_from([True, True, False])):
            vm["required"] = False
        for wish in Wish:
            vm[wish.value] = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
        vms.append({key: value for key, value in vm.items() if value != []})
    policy = {"reserved_memory": "0KiB", "guest_overhead": draw(st.sampled_from(["0KiB", "512MiB"]))}
    return Case(inventory, {"apiVersion": "numaplan/v1", "host": policy, "vms": vms})


@settings(DRAWS, max_examples=draws(15))
@given(cases_of_copies())
def test_the_answer_for_copies_is_that_of_trying_everything(case: Case) -> None:
    try:
        found = differences(case)
    except TooLargeError:
        reject()
    assert [line for line in found if not line.startswith(UNDECIDED)] == []


@settings(DRAWS, max_examples=draws(20))
@given(cases_of_copies())
def test_guests_that_share_their_nodes_have_a_place_as_one_guest_just_where_they_have_one(case: Case) -> None:
    request = question(case).request
    request = replace(request, guests=tuple(replace(guest, required=True) for guest in request.guests))
    problem = build_problem(request, host_facts(request, question(case).snapshot))
    assert feasible(joined(problem).problem, Budget()) is feasible(problem, Budget())


def test_copies_of_two_cells_that_share_their_nodes_are_counted_there() -> None:
    """Two nodes of 8 CPUs, of which the host keeps one, take seven of them, whichever of the four they are."""
    groups = {"a": copies("a", 8, vcpus=(1, 1))}
    request = ask(*tied(groups, {"a": {Wish.TOGETHER: ("a",)}}), reserved="0,8,16,24")
    snapshot = host("4n:8c:1t")
    found, _ = conflict(request, host_facts(request, snapshot))
    assert all(member.proven for member in found.members)
    assert {member.constraint for member in found.members} == {"vcpus", "affinity"}
    assert solve(replace(request, guests=request.guests[:7]), snapshot, budget=Budget()).status is Status.OPTIMAL


@settings(DRAWS, max_examples=draws(25))
@given(cases_of_copies())
def test_counting_refuses_no_copies_that_have_a_place(case: Case) -> None:
    request = question(case).request
    request = replace(request, guests=tuple(replace(guest, required=True) for guest in request.guests))
    problem = build_problem(request, host_facts(request, question(case).snapshot))
    if excess(problem) is not None or leaves_no_way(problem) or is_counted_out(problem):
        assert feasible(problem, Budget()) is Outcome.INFEASIBLE


@pytest.mark.parametrize(
    ("wants", "named"),
    [
        # On two nodes of 64 CPUs each, one of which must be left to float on.
        ({"vcpus": (2, 2)}, {"vcpus": 32, "emulator": 1, "affinity": 1}),
        ({"vcpus": (2, 2), "distinct_nodes": False}, {"vcpus": 32, "emulator": 1, "affinity": 1}),
        ({"vcpus": 4, "thread_policy": "isolate"}, {"vcpus": 9, "thread_policy": 8, "affinity": 1}),
        ({"vcpus": (1, 1), "memory_gib": 9}, {"memory": 29, "memory_policy": 29, "affinity": 1}),
    ],
)
def test_of_copies_that_no_nodes_hold_together_all_that_is_named_is_proven_to_be_needed(
    wants: dict[str, object], named: dict[str, int]
) -> None:
    groups = {"a": copies("a", 34, **wants)}  # type: ignore[arg-type]
    request = ask(*tied(groups, {"a": {Wish.TOGETHER: ("a",)}}))
    found, _ = conflict(request, host_facts(request, host("4n:32c:2t", memory_gib=256)))
    assert all(member.proven for member in found.members)
    assert Counter(member.constraint for member in found.members) == named


@pytest.mark.parametrize("required", [True, False])
def test_groups_that_are_alike_are_placed_at_a_proven_cost(*, required: bool) -> None:
    """Pairs of a router and its database: one by one they are out of the solver's reach."""
    guests = []
    for i in range(56):
        wan = [vfs("wan", "wan", 2, affinity="preferred", physnet=True)]
        size = 4 if i % 2 else 6
        guests += [
            guest(f"fw{i}", size, memory_gib=8, page_size="1GiB", required=required, interfaces=wan),
            guest(f"db{i}", 4, memory_gib=8, page_size="1GiB", required=required, affinity=[f"fw{i}"]),
        ]
    snapshot = host("8n:32c:2t", pages={"1GiB": 125}, nics=[Nic("ens0", 1, 128), Nic("ens1", 5, 128)])
    request = ask(*guests, reserved="0-3", physnets={"wan": ("ens0", "ens1")})
    plan = solve(request, snapshot, budget=Budget())
    assert [(level.name, level.proven) for level in plan.levels[:2]] == [("priority", True), ("cross_node_cost", True)]
    assert len(plan.placements) == len(guests)
    assert not verify(request, snapshot, plan)


def test_where_ways_were_left_out_counting_says_nothing_of_guests_that_are_tied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demands, "MAX_OPTIONS", 1)
    groups = {"a": copies("a", 5, vcpus=2)}
    request = ask(*tied(groups, {"a": {Wish.TOGETHER: ("a",)}}), reserved="0")
    problem = build_problem(request, host_facts(request, host("2n:8c:1t")))
    assert problem.truncated
    assert not leaves_no_way(problem)
    assert not list(bands(problem, resources(problem)))


def test_guests_that_another_one_holds_together_are_in_conflict_with_it_alone() -> None:
    apart = [guest(f"a-{i}", 2, affinity=["b"]) for i in (1, 2)]
    request = ask(*apart, guest("b", 1), guest("c", 1), reserved="0,4")
    found, reasons = conflict(request, host_facts(request, host("2n:4c:1t")))
    assert {member.vm for member in found.members} == {"a-1", "a-2", "b"}
    assert all(member.proven for member in found.members)
    assert "their affinity keeps them on the same node: they need 5 CPUs there, where at most 3 are free" in (
        reasons[0].reason
    )


# The most copies that are asked for: 1 GiB each, of which the host has 64 on either node.
MANY: Final = 200
# Each of two nodes has eight CPUs; of the three ways to fill them, one lets none of the first sort in.
WISHES: Final[Wishes] = {"g": {Wish.APART: ("g",), Wish.TOGETHER: ("h",)}, "h": {Wish.TOGETHER: ("g",)}}


def test_of_hundreds_of_copies_that_are_tied_to_hundreds_as_many_are_placed_as_can_be() -> None:
    groups = {name: copies(name, MANY, required=False) for name in ("g", "h")}
    request, snapshot = ask(*tied(groups, WISHES)), host("2n:8c:1t")
    plan = solve(request, snapshot, budget=Budget())
    assert (plan.status, len(plan.placements)) == (Status.OPTIMAL, 14)
    assert len(plan.unplaced) == 2 * MANY - 14
    assert not verify(request, snapshot, plan)


@pytest.mark.parametrize("cells", [1, (1, 1)])
def test_a_model_grows_with_the_guests_that_are_tied_and_not_with_their_pairs(cells: int | tuple[int, ...]) -> None:
    wishes: Wishes = {"g": {Wish.TOGETHER: ("g", "h")}, "h": {Wish.APART: ("h",)}}

    def rows(count: int) -> int:
        request = ask(*tied({name: copies(name, count, vcpus=cells) for name in ("g", "h")}, wishes))
        problem = build_problem(request, host_facts(request, host("2n:8c:1t")))
        return sum(1 for _ in formulate(problem, coarse_units(problem), fine=False).model.rows())

    assert rows(80) < 2.2 * rows(40)


def kept(*guests: GuestRequest) -> list[str]:
    """Who is left to be searched for on two nodes with four CPUs each, and a PF with two VFs."""
    request = ask(*guests)
    facts = host_facts(request, host("2n:4c:1t", memory_gib=8, nics=[Nic("ens0", node=0, vfs=2)]))
    problem = without_surplus(build_problem(request, facts))
    return [guest.name for guests in problem.classes for guest in guests.members]


@pytest.mark.parametrize(
    ("wants", "wishes", "most"),
    [
        ({"vcpus": 3}, {Wish.TOGETHER: ("b",)}, 2),
        # Each takes two of the eight CPUs, of which their emulators need one to float on.
        ({"thread_policy": "isolate", "vcpus": 2}, {Wish.TOGETHER: ("b",)}, 3),
        ({"memory_gib": 5}, {Wish.TOGETHER: ("b",)}, 3),
        ({"interfaces": [vfs("data", "ens0", affinity="preferred")]}, {Wish.TOGETHER: ("b",)}, 2),
        ({}, {Wish.APART: ("a",)}, 2),
        ({"vcpus": (1, 1)}, {Wish.APART: ("a",)}, 1),
        ({}, {Wish.TOGETHER: ("a", "b")}, 3),
        ({"vcpus": (1, 1)}, {Wish.TOGETHER: ("a",)}, 3),
        ({"vcpus": (1, 1), "distinct_nodes": False}, {Wish.TOGETHER: ("a",)}, 3),
        # No node has so many CPUs.
        ({"vcpus": 5}, {Wish.TOGETHER: ("b",)}, 0),
    ],
)
def test_of_optional_copies_that_are_tied_so_many_are_searched_for_as_the_host_could_hold(
    wants: dict[str, object], wishes: dict[Wish, tuple[str, ...]], most: int
) -> None:
    groups = {"a": copies("a", 10, required=False, **wants), "b": copies("b", 1)}  # type: ignore[arg-type]
    assert kept(*tied(groups, {"a": wishes, "b": {}})) == [
        *(f"a-{i}" for i in range(1, most + 1)),
        "b-1",
    ]


def test_required_copies_and_those_that_differ_are_all_searched_for() -> None:
    partner = guest("b")
    required = [guest(f"a{i}", 3, affinity=["b"]) for i in range(4)]
    assert kept(*required, partner) == ["a0", "a1", "a2", "a3", "b"]
    worth = [replace(one, required=False, priority=i) for i, one in enumerate(required)]
    assert kept(*worth, partner) == ["a0", "a1", "a2", "a3", "b"]
    # Somebody keeps away from one of them.
    alike = [replace(one, required=False) for one in required]
    assert kept(*alike, partner, guest("c", anti_affinity=["a3"])) == ["a0", "a1", "a3", "b", "c"]


@pytest.mark.parametrize(
    ("wishes", "twins"),
    [
        ({"a": {Wish.TOGETHER: ("a", "b")}, "b": {}}, True),
        ({"a": {Wish.APART: ("a",)}, "b": {Wish.TOGETHER: ("a",)}}, True),
        # The first copy has a wish of its own.
        ({"a": {Wish.TOGETHER: ("a",)}, "b": {}, "first": {Wish.APART: ("b",)}}, False),
    ],
)
def test_copies_that_are_tied_to_each_other_and_to_the_same_others_are_twins(*, wishes: Wishes, twins: bool) -> None:
    groups = {"a": copies("a", 3), "b": copies("b", 2)}
    guests = tied(groups, {name: wishes[name] for name in groups})
    if "first" in wishes:
        guests[0] = replace(guests[0], anti_affinity=("b-1", "b-2"))
    assert are_twins(guests, guests[0], guests[1]) is twins
    assert are_twins(guests, guests[1], guests[2])
    assert not are_twins(guests, guests[0], guests[3])
