"""Why guests are left out of a plan: the words, and that a lack is told exactly where nothing would do."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from numaplan.cpuset import CpuSet
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.conflict import reasons
from numaplan.placement.conflict.explain import why_unplaced
from numaplan.placement.facts import host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.why.beside import Host
from numaplan.placement.why.unplaced import what_is_missing
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.why_bruteforce import cheapest_ways
from tests.requests import ask, guest, vfs

BESIDE: Final = "beside the guests that are placed, "


def left_out(request: Request, snapshot: Snapshot) -> dict[str, str]:
    return {one.vm: one.reason for one in solve(request, snapshot, budget=Budget()).unplaced}


def test_the_guest_that_keeps_away_from_one_that_is_left_out_is_named_whatever_its_priority() -> None:
    keeps = guest("d", 2, anti_affinity=["e"])
    request = ask(keeps, guest("e", 2, required=False, priority=9), reserved="0")
    said = 'it must keep away from "d" (on node 0), and has no place elsewhere'
    assert left_out(request, host("1n:8c:1t")) == {"e": BESIDE + said}


def test_the_guest_that_wants_the_nodes_of_one_that_is_left_out_is_named_with_its_nodes() -> None:
    here = guest("d", 5, affinity=["e"], interfaces=[vfs("first", "anchor")])
    request = ask(here, guest("e", 3, required=False, priority=9), reserved="0")
    said = 'it must share nodes with "d" (on node 0), and has no place there'
    assert left_out(request, host("2n:8c:1t", nics=[Nic("anchor", 0, 4)])) == {"e": BESIDE + said}


def test_without_time_only_what_nodes_lack_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link is a matter for a search, too few CPUs on each node are none."""
    here = guest("d", 5, interfaces=[vfs("first", "anchor")])
    tied, large = guest("e", 4, required=False, affinity=["d"]), guest("f", 9, required=False)
    request, snapshot = ask(here, tied, large, reserved="0"), host("2n:8c:1t", nics=[Nic("anchor", 0, 4)])
    facts, plan = host_facts(request, snapshot), solve(request, snapshot, budget=Budget())
    at_leisure, in_haste = (why_unplaced(request, facts, plan.placements, left) for left in (UNLIMITED, lambda: 0.0))
    assert [one.vm for one in at_leisure] == [one.vm for one in in_haste] == ["e", "f"]
    assert "nodes" in at_leisure[0].reason
    assert in_haste[0].reason.startswith("no way was found to place it")
    assert at_leisure[1] == in_haste[1]
    monkeypatch.setattr(reasons, "feasible", None)
    assert why_unplaced(request, facts, plan.placements, lambda: 0.0) == in_haste


def test_of_a_guest_that_is_tied_both_ways_to_one_that_is_placed_both_links_are_told() -> None:
    torn = guest("b", 1, required=False, affinity=["a"], anti_affinity=["a"])
    snapshot = host("2n:4c:1t", nics=[Nic("anchor", 0, 4)])
    found = left_out(ask(guest("a", 1, interfaces=[vfs("first", "anchor")]), torn, reserved="0"), snapshot)
    said = 'it is linked to "a" (on node 0) by affinity and by anti_affinity, which exclude each other'
    assert found == {"b": BESIDE + said}


def test_where_a_link_and_a_cpu_to_float_on_are_both_missing_the_link_is_told() -> None:
    request = ask(guest("a", (1, 1)), guest("b", 2, required=False, anti_affinity=["a"]))
    said = 'nodes 0 and 1: anti_affinity to "a", which is on nodes 0 and 1'
    assert left_out(request, host("2n:3c:1t")) == {"b": BESIDE + said}


def test_a_link_that_others_have_filled_is_named_with_what_it_still_carries() -> None:
    fast = vfs("i", "ens0", mbps=6000)
    asked = guest("d", 2, interfaces=[fast]), guest("e", 2, interfaces=[fast], required=False, priority=9)
    request = ask(*asked, reserved="0")
    found = left_out(request, host("1n:8c:1t", nics=[Nic("ens0", 0, 4, speed_mbps=10000)]))
    assert found == {"e": f'{BESIDE}node 0: "i" needs 6000 Mbit/s for its VF: ens0 has 4000 left'}


def test_the_guest_whose_emulator_would_have_nothing_to_float_on_is_named() -> None:
    request = ask(guest("a", 2), guest("b", 1, required=False, priority=5, emulator="isolate"))
    said = 'node 0: no CPU would be left for the emulator of "a" to float on'
    assert left_out(request, host("1n:4c:1t")) == {"b": BESIDE + said}


def test_a_guest_of_priority_0_that_has_no_place_is_told_what_it_lacks() -> None:
    request = ask(guest("d", 2, anti_affinity=["e"]), guest("e", 2, required=False, priority=0), reserved="0")
    assert "keep away" in left_out(request, host("1n:8c:1t"))["e"]
    assert "its priority is 0" in left_out(request, host("2n:8c:1t"))["e"]


@settings(max_examples=draws(15), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(existing=False))
def test_a_guest_that_is_left_out_lacks_something_exactly_where_it_has_no_place(case: Case) -> None:
    plan = solve(case.request, case.snapshot, budget=Budget())
    host_of_plan = Host(case.request, host_facts(case.request, case.snapshot), plan.placements)
    for unplaced in plan.unplaced if plan.placements else ():
        if host_of_plan.class_of[unplaced.vm].options:
            has_place = cheapest_ways(case.request, case.snapshot, plan.placements, unplaced.vm)
            assert (what_is_missing(host_of_plan, unplaced.vm) is None) == bool(has_place)


def test_what_is_missing_is_not_told_where_there_are_more_ways_than_are_counted() -> None:
    far = guest("e", [1, 2, 3, 4], required=False, priority=0)
    request = ask(guest("d", 2, anti_affinity=["e"]), far, reserved="0")
    facts = host_facts(request, host("6n:8c:1t"))
    counted = Host(request, facts, solve(request, facts.snapshot, budget=Budget()).placements)
    assert what_is_missing(counted, "e") is None


def test_a_core_with_threads_in_several_caches_is_not_said_to_lack() -> None:
    snapshot = host("1n:4c:2t")
    apart = tuple(replace(snapshot.llcs[0], cpus=CpuSet.parse(cpus)) for cpus in ("0-3", "4-7"))
    request = ask(guest("a", 2, thread_policy="require", required=False), reserved="0")
    assert "whole free core" not in left_out(request, replace(snapshot, llcs=apart))["a"]
