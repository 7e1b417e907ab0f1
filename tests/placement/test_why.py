"""Why a guest lies where it does: the words and their numbers, on hosts small enough to see it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from numaplan.model.host import NodeId
from numaplan.model.plan import RunnerUp, Why
from numaplan.model.request import Costs, CpuPolicy, GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.facts import host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.why import cheapest as counting
from numaplan.placement.why import elsewhere
from numaplan.placement.why.cheapest import MAX_STEPS, MAX_STEPS_IN_ALL, Offer, Served, Service, Steps, Stock, Want
from numaplan.placement.why.places import explain_places
from numaplan.report.why import why_text
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs


def whys(request: Request, snapshot: Snapshot) -> dict[str, Why]:
    plan = solve(request, snapshot, budget=Budget())
    found = explain_places(request, host_facts(request, snapshot), plan.placements)
    assert [why.vm for why in found] == [placement.vm for placement in plan.placements]
    return {why.vm: why for why in found}


SAME = "node {node} would cost the same: a lower level decided, or nothing did and the first of equals was taken"
TWO_NODES = host("2n:4c:1t", nics=[Nic("anchor", 0, 4)])


def anchored(name: str, vcpus: int) -> GuestRequest:
    """A guest that lies on node 0 for its VF, so that equal nodes are none."""
    return guest(name, vcpus, interfaces=[vfs("first", "anchor", affinity="required")])


def test_a_node_that_is_too_full_is_named_with_what_it_has_and_what_is_needed() -> None:
    found = whys(ask(anchored("big", 3), guest("small", 2), shared="3,7"), TWO_NODES)
    assert found["big"] == Why("big", ("node 1 has 1 free CPU, needs 3",), None)
    assert found["small"] == Why("small", ("node 0 has 0 free CPUs, needs 2",), None)


def test_whole_cores_isolation_and_the_shared_pool_are_counted_each_in_its_own_words() -> None:
    request = ask(
        guest("whole", 3, thread_policy="require"),
        guest("alone", 2, thread_policy="isolate", emulator="isolate"),
        guest("floats", 2, cpu_policy="shared"),
        shared="0,8",
    )
    found = whys(request, host("2n:4c:2t"))
    assert found["whole"].reasons == ("node 0 has 0 whole free cores, needs 1",)
    assert found["alone"].reasons == ("node 1 has 2 free cores, needs 3 for thread_policy isolate",)
    assert found["floats"].reasons == ("node 1 has no shared CPUs, needs 2",)


def test_pages_that_the_host_does_not_list_are_none() -> None:
    snapshot = host("2n:2c:1t", pages={"2MiB": [0, 512]}, distances=[[10, 17], [21, 10]])
    bare = replace(snapshot, nodes=(replace(snapshot.nodes[0], hugepages=()), *snapshot.nodes[1:]))
    strict = whys(ask(guest("a", 1, page_size="2MiB"), reserved="0"), bare)
    assert strict["a"] == Why("a", ("node 0 has 0 free 2 MiB pages, needs 512",), None)
    near = whys(ask(guest("a", 1, page_size="2MiB", memory_policy="preferred"), reserved=""), bare)
    assert near["a"].runner_up is not None
    assert near["a"].runner_up.extra_cost == 11


def test_memory_that_others_have_is_missing_where_they_are() -> None:
    request = ask(
        guest("a", 1, memory_gib=3, page_size="1GiB"), guest("b", 1, memory_gib=2, page_size="1GiB"), shared="3,7"
    )
    found = whys(request, host("2n:4c:1t", pages={"1GiB": [4, 3]}))
    assert found["b"].reasons in (
        ("node 0 has 1 free 1 GiB page, needs 2",),
        ("node 1 has 0 free 1 GiB pages, needs 2",),
    )


def test_vfs_on_another_node_are_the_reason_and_the_price() -> None:
    near = ask(guest("fw", 2, interfaces=[vfs("wan", "ens1", 2)]), shared="3,7")
    far = ask(guest("fw", 2, interfaces=[vfs("wan", "ens1", 2, affinity="preferred")]), shared="3,7")
    snapshot = host("2n:4c:1t", nics=[Nic("ens1", 1, 4)])
    said = 'node 0 has 0 free devices near enough for "wan", needs 2 VFs with pf ens1'
    assert whys(near, snapshot)["fw"] == Why("fw", (said,), None)
    why = whys(far, snapshot)["fw"]
    assert why.reasons == ('node 0 would cost 220 more: "wan" is on node 1',)
    assert why.runner_up is not None
    assert (why.runner_up.nodes, why.runner_up.extra_cost) == ((0,), 220)


def test_partners_are_named_with_their_nodes_whoever_named_whom() -> None:
    request = ask(anchored("a", 1), guest("b", 2, anti_affinity=["a"]), guest("c", 1, affinity=["b"]), shared="3,7")
    found = whys(request, TWO_NODES)
    assert found["a"].reasons == ('node 1: anti_affinity to "b", which is on node 1',)
    assert found["b"].reasons == ('node 0: affinity to "c", which is on node 1',)
    assert found["c"].reasons == ('node 0: affinity to "b", which is on node 1',)


def test_of_equal_cost_the_first_level_below_that_differs_is_told() -> None:
    found = whys(ask(anchored("a", 2), guest("b", 1), shared="3,7"), TWO_NODES)
    assert found["b"].reasons == ("node 1 would cost the same, but leave 0 nodes free instead of 1",)
    # Node 0 has six CPUs in caches of three, node 1 has four of its six left, two in each cache.
    split = host("2n:6c:1t", llcs_per_node=2)
    found = whys(ask(guest("a", 3), shared="6,9"), split)
    assert found["a"].reasons == ("node 1 would cost the same, but touch 2 last-level caches at least instead of 1",)
    found = whys(ask(guest("a", 3), shared="0,6"), split)
    assert found["a"].reasons in ((SAME.format(node=0),), (SAME.format(node=1),))


def test_memory_that_may_be_elsewhere_takes_the_node_where_it_costs_the_same() -> None:
    near = guest("b", 1, memory_policy="preferred")
    found = whys(ask(anchored("a", 2), near, shared="3,7"), TWO_NODES)
    assert found["b"].reasons == ("node 1 would cost the same, but leave 0 nodes free instead of 1",)
    # Nothing is far where distance costs nothing: memory of a guest without CPUs of its own can stay with the others.
    floating = replace(near, cpu_policy=CpuPolicy.SHARED, dedicated_vcpus=frozenset())
    found = whys(ask(anchored("a", 2), floating, shared="3,7", costs=Costs(memory_gib=0)), TWO_NODES)
    assert found["b"].reasons in ((SAME.format(node=0),), (SAME.format(node=1),))


def test_where_memory_far_away_may_take_another_node_it_is_told_that_no_more_are_free() -> None:
    slit = [[10, 20, 20, 15], [20, 10, 20, 15], [20, 20, 10, 15], [15, 15, 15, 10]]
    nics = [Nic("anchor", 0, 4), Nic("other", 3, 4)]
    snapshot = host("4n:4c:1t", pages={"1GiB": [0, 0, 0, 2]}, distances=slit, nics=nics)
    fills = guest("c", 1, interfaces=[vfs("first", "other", affinity="required")])
    far = guest("b", 1, page_size="1GiB", memory_policy="preferred")
    found = whys(ask(anchored("a", 2), fills, far, shared="3,7,11,15", reserved="12-13"), snapshot)
    assert found["b"].reasons == (
        "node 3 has 0 free CPUs, needs 1",
        "nodes 1 and 2 would cost the same, but leave at most 1 node free instead of 2",
    )


def test_a_guest_of_two_cells_is_told_way_by_way() -> None:
    request = ask(guest("db", [2, 2]), shared="0")
    snapshot = host("3n:4c:1t", distances=[[10, 12, 30], [12, 10, 30], [30, 30, 10]])
    why = whys(request, snapshot)["db"]
    assert why.reasons == ("its cells on nodes (0, 2) or (1, 2) would cost 180 more: the distance between its cells",)
    assert why.runner_up is not None
    assert why.runner_up.nodes == (0, 2)


def test_what_a_node_lacks_for_some_of_the_cells_is_not_told_as_a_lack_of_the_node() -> None:
    both = guest("a", [2, 2], distinct_nodes=False, anti_affinity=["b"])
    reasons = whys(ask(both, anchored("b", 2), reserved="0"), host("3n:3c:1t", nics=[Nic("anchor", 0, 4)]))["a"].reasons
    assert reasons == (
        "nodes 1 and 2 have 3 free CPUs each, needs 4 for 2 cells",
        'its cells on nodes (0, 0), (0, 1) or (0, 2): anti_affinity to "b", which is on node 0',
    )
    unequal = guest("a", [1, 3], interfaces=[vfs("first", "anchor")])
    reasons = whys(ask(unequal, anchored("b", 2), reserved="4"), TWO_NODES)["a"].reasons
    assert reasons == ("node 0 has 2 free CPUs, needs 3 for cell 1",)


def test_cells_that_need_as_many_cpus_but_have_other_vcpus_can_change_places() -> None:
    asked = guest("a", [2, 3], iothreads=1, iothread_policy="dedicated")
    why = whys(ask(asked, reserved="0"), host("2n:4c:1t"))["a"]
    there = "its cells on nodes (1, 0) would cost the same: a lower level decided, or nothing did and the first of"
    assert why.reasons == (f"{there} equals was taken",)
    assert why.runner_up is not None
    assert why.runner_up.nodes == (1, 0)
    # Three cells of which the last two are equal: two ways more, not five.
    why = whys(ask(guest("a", [2, 3, 3], emulator="isolate"), reserved="0"), host("3n:4c:1t"))["a"]
    assert why.reasons == (f"{there.replace('(1, 0)', '(1, 0, 2) or (2, 0, 1)')} equals was taken",)


def test_one_node_is_the_whole_reason() -> None:
    assert whys(ask(guest("a", 2), shared="0"), host("1n:4c:1t"))["a"] == Why("a", ("the host has one node",), None)


def test_the_last_cpu_on_which_another_emulator_floats_is_not_given_away() -> None:
    found = whys(ask(anchored("a", 3), guest("b", 1)), TWO_NODES)
    assert found["b"].reasons == ('node 0: no CPU would be left for the emulator of "a" to float on',)
    found = whys(ask(anchored("a", 3), guest("b", 1, emulator="isolate")), TWO_NODES)
    assert found["b"].reasons == ("node 0 has 1 free CPU, needs 2",)


def cheapest(wants: Sequence[Want], left: Mapping[Stock, int]) -> Served:
    return Service(wants, left).served(Steps())


def test_the_cheapest_service_is_found_where_the_nearest_choice_blocks_another() -> None:
    # The first want could have either; were it to take the near one, the second would have nothing.
    either = Want(1, (Offer(0, (("near", 1),)), Offer(5, (("far", 1),))))
    only = Want(1, (Offer(1, (("near", 1),)),))
    served = cheapest([either, only], {"near": 1, "far": 1})
    assert (served.cost, served.decided) == (6, True)
    assert cheapest([only, only], {"near": 1}).cost is None


def test_a_service_that_takes_too_many_steps_is_not_called_impossible() -> None:
    # Ten pieces for nine places, each place apart: no counting of one place tells it.
    wants = [Want(1, tuple(Offer(0, ((i, 1),)) for i in range(9))) for _ in range(10)]
    served = cheapest(wants, dict.fromkeys(range(9), 1))
    assert served.cost is None
    assert not served.decided
    assert MAX_STEPS < 100_000


def test_more_pieces_than_calls_can_be_nested_are_served() -> None:
    count = sys.getrecursionlimit()
    want = Want(count, (Offer(1, (("near", 1),)), Offer(5, (("far", 1),))))
    served = cheapest([want], {"near": count - 2, "far": 2})
    assert (served.cost, served.decided) == (count + 8, True)
    assert cheapest([want], {"near": count - 2, "far": 1}).cost is None


def test_what_many_ways_ask_alike_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    monkeypatch.setattr(elsewhere, "Steps", lambda: steps)
    uneven = guest("a", [1, 2, 3, 4], memory_gib=2, page_size="1GiB", memory_policy="preferred")
    why = whys(ask(uneven), host("5n:5c:1t", pages={"1GiB": [3, 3, 3, 3, 1]}))["a"]
    assert why.runner_up is not None
    assert why.runner_up.extra_cost == 0
    # A question for the four nodes with room, one for each that the fifth stands in for: not one for each of 119 ways.
    assert MAX_STEPS_IN_ALL - steps.left < 119


def test_what_was_not_counted_is_told_and_the_place_that_can_be_the_cheapest_is_counted_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elsewhere, "Steps", lambda: Steps(2))
    snapshot = host("3n:4c:1t", distances=[[10, 30, 12], [30, 10, 30], [12, 30, 10]], nics=[Nic("ens1", 0, 4)])
    why = whys(ask(guest("a", 1, interfaces=[vfs("wan", "ens1", affinity="preferred")])), snapshot)["a"]
    there = 'node 2 would cost 20 more: "wan" is on node 0'
    assert why == Why("a", (f"node 1: {elsewhere.UNDECIDED}", there), RunnerUp((NodeId(2),), 20, there))


def test_no_place_is_next_best_where_a_cheaper_one_was_not_counted_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask(guest("a", [1, 1], memory_gib=2, page_size="1GiB", memory_policy="preferred"))
    snapshot = host("3n:4c:1t", pages={"1GiB": [2, 2, 0]}, distances=[[10, 11, 12], [11, 10, 13], [12, 13, 10]])
    why = whys(request, snapshot)["a"]
    assert why.runner_up is not None
    assert (why.runner_up.nodes, why.runner_up.extra_cost) == ((0, 2), 16)
    # The pages of node 0 are the nearest to both cells on nodes 0 and 2: that takes more than a step each.
    monkeypatch.setattr(counting, "MAX_STEPS", 2)
    why = whys(request, snapshot)["a"]
    more = "the distance between its cells (+20), the distance to its memory (+4)"
    assert why.reasons == (
        f"its cells on nodes (0, 2): {elsewhere.UNDECIDED}",
        f"its cells on nodes (1, 2) would cost 24 more: {more}",
        "which other place is the cheapest was not found out",
    )
    assert why.runner_up is None


def test_parts_of_cores_that_were_not_counted_to_the_end_are_no_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask(guest("a", [6, 6], thread_policy="require", distinct_nodes=False))
    snapshot = host("2n:4c:4t")
    monkeypatch.setattr(counting, "MAX_STEPS", 1)
    why = whys(request, snapshot)["a"]
    ways = "(0, 1) or (1, 1)" if why.reasons[0].count("(1, 1)") else "(0, 0) or (0, 1)"
    assert why.reasons == (f"its cells on nodes {ways}: {elsewhere.UNDECIDED}",)


def test_where_the_order_of_its_nodes_matters_the_heading_has_it_as_the_reasons_have() -> None:
    snapshot = host("2n:4c:1t")
    for cells, where in (([1, 3], "a has its cells on nodes (1, 0):"), ([3, 1], "a is on nodes 0, 1:")):
        request = ask(guest("a", cells), reserved="4,5")
        plan = solve(request, snapshot, budget=Budget())
        plan = replace(plan, whys=explain_places(request, host_facts(request, snapshot), plan.placements))
        assert why_text(plan).startswith(f"why {where}\n")
