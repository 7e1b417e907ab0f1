"""Whole answers of the solver on hosts built here; every plan is checked by verify."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.model.plan import Plan, Status
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import Nic, host
from tests.placement.solving import solved
from tests.requests import ask, guest, vfs


def value(plan: Plan, name: str) -> int:
    return next(level.value for level in plan.levels if level.name == name)


def cpus(plan: Plan, name: str) -> CpuSet:
    placement = plan.placement(name)
    assert placement is not None
    return CpuSet(cpu for cell in placement.cells for _, one in cell.vcpus for cpu in one)


def node(plan: Plan, name: str) -> NodeId:
    placement = plan.placement(name)
    assert placement is not None
    return placement.cells[0].numa_node


def first_fit(guests: tuple[GuestRequest, ...], request: Request, snapshot: Snapshot) -> list[str]:
    """The guests that find a place one by one, each beside those before it, on the first node that takes it."""
    placed: list[GuestRequest] = []
    pinned: dict[str, NodeId] = {}
    for candidate in guests:
        for at in snapshot.nodes:
            # One guest more, everybody before it where it is: affinity to a node is what a node of its own is for.
            homes = {**pinned, candidate.name: at.id}
            trial = replace(request, guests=(*placed, candidate))
            if fits_at(trial, snapshot, homes):
                placed.append(candidate)
                pinned = homes
                break
    return [one.name for one in placed]


def fits_at(request: Request, snapshot: Snapshot, homes: dict[str, NodeId]) -> bool:
    """Whether each guest fits when held on one node: node by node, with the rest of the host left out."""
    for at in snapshot.nodes:
        here = tuple(one for one in request.guests if homes[one.name] == at.id)
        only = replace(snapshot, nodes=(at,), cores=tuple(c for c in snapshot.cores if c.numa_node == at.id))
        if here and not solve(replace(request, guests=here), only, budget=Budget()).placements:
            return False
    return True


def test_packing_order_decides_for_a_first_fit_and_not_for_us() -> None:
    snapshot = host("2n:8c:1t", pages={"1GiB": 32})
    small = [guest(f"small{i}", 2, memory_gib=4, page_size="1GiB", emulator="isolate") for i in (1, 2)]
    spread = replace(small[1], anti_affinity=("small1",))
    big = guest("big", 7, memory_gib=16, page_size="1GiB", emulator="isolate")
    # Emptiest node first puts the two small ones apart; written out as anti-affinity, nothing is left for the big one.
    assert solved(ask(small[0], spread, big), snapshot).status is Status.INFEASIBLE
    plan = solved(ask(*small, big), snapshot)
    assert plan.status is Status.OPTIMAL
    assert node(plan, "small1") == node(plan, "small2") != node(plan, "big")


def test_guests_find_a_place_that_a_one_by_one_first_fit_cannot_give_them() -> None:
    snapshot = host("2n:8c:1t", pages={"1GiB": 16})
    guests = tuple(
        guest(name, size, memory_gib=1, page_size="1GiB", emulator="isolate")
        for name, size in (("a", 2), ("b", 4), ("c", 4), ("d", 2))
    )
    # With their emulators they need 3, 3, 5 and 5 CPUs: a and d lie together, b takes the other node, c has none ...
    assert first_fit((guests[0], guests[3], guests[1], guests[2]), ask(*guests), snapshot) == ["a", "d", "b"]
    # ... though 3 + 5 on each node is exactly the host.
    plan = solved(ask(*guests), snapshot)
    assert [placement.vm for placement in plan.placements] == ["a", "b", "c", "d"]


def test_the_same_input_gives_the_same_plan() -> None:
    snapshot = host("4n:4c:2t", llcs_per_node=2, pages={"1GiB": 8}, nics=[Nic("p0", 1, 4)])
    request = ask(
        *(guest(f"g{i}", 3, thread_policy="require", interfaces=[vfs("d", "p0")]) for i in range(3)),
        guest("db", [2, 2], page_size="large"),
        reserved="0",
    )
    assert solved(request, snapshot) == solved(request, snapshot)


def test_a_vf_draws_its_guest_to_its_node() -> None:
    snapshot = host("2n:4c:2t", nics=[Nic("p0", 1, 4)])
    assert node(solved(ask(guest("fw", 4, interfaces=[vfs("d", "p0", 2)])), snapshot), "fw") == 1


def test_a_guest_without_vfs_leaves_the_nic_node_to_those_that_need_it() -> None:
    snapshot = host("2n:4c:1t", nics=[Nic("p0", 1, 4)])
    plan = solved(ask(guest("plain", 3), guest("fw", 3, interfaces=[vfs("d", "p0")])), snapshot)
    assert (node(plan, "plain"), node(plan, "fw")) == (0, 1)


def test_siblings_stay_whole_when_policy_is_require() -> None:
    plan = solved(ask(guest("g", 4, thread_policy="require")), host("1n:4c:2t"))
    assert str(cpus(plan, "g")) == "0-1,4-5"


def test_an_odd_require_takes_one_thread_of_a_further_core_that_others_may_share() -> None:
    odd = [guest(name, 3, thread_policy="require", emulator="isolate") for name in ("a", "b")]
    snapshot = host("1n:4c:2t")
    plan = solved(ask(*odd), snapshot)
    assert len(cpus(plan, "a") | cpus(plan, "b")) == 6


def test_two_odd_require_guests_share_the_core_that_neither_fills() -> None:
    # 3 + 3 + 2 on eight CPUs: no order of arrival works for a scheduler that takes a whole core for the odd one.
    sizes = (("a", 3), ("b", 3), ("pair", 2))
    snapshot = host("1n:5c:2t")
    request = ask(*(guest(name, size, thread_policy="require") for name, size in sizes), reserved="4,9")
    assert solved(request, snapshot).status is Status.OPTIMAL


def test_require_is_impossible_without_smt() -> None:
    assert solved(ask(guest("g", 2, thread_policy="require")), host("1n:4c:1t")).status is Status.INFEASIBLE


def test_isolate_takes_a_core_for_each_vcpu_and_leaves_the_siblings_idle() -> None:
    snapshot = host("1n:4c:2t")
    plan = solved(ask(guest("g", 3, thread_policy="isolate"), guest("h", 2)), snapshot)
    siblings = CpuSet((cpu + 4) % 8 for cpu in cpus(plan, "g"))
    assert (cpus(plan, "h") & (cpus(plan, "g") | siblings)) == CpuSet()


def test_isolate_uses_a_core_whose_sibling_is_reserved_before_it_breaks_a_whole_one() -> None:
    plan = solved(ask(guest("g", 1, thread_policy="isolate"), reserved="0"), host("1n:4c:2t"))
    assert str(cpus(plan, "g")) == "4"


def test_a_half_used_core_is_taken_before_a_whole_one_is_broken() -> None:
    plan = solved(ask(guest("g", 1), reserved="2"), host("1n:4c:2t"))
    assert str(cpus(plan, "g")) == "6"


def test_an_isolated_emulator_gets_a_cpu_on_the_node_of_cell_0() -> None:
    snapshot = host("2n:2c:1t")
    plan = solved(ask(guest("g", [1, 2], emulator="isolate")), snapshot)
    placement = plan.placement("g")
    assert placement is not None
    assert placement.emulator <= snapshot.nodes[placement.cells[0].numa_node].cpus
    assert len(cpus(plan, "g") | placement.emulator) == 4


def test_the_emulator_floats_on_the_shared_cpus_of_its_node_then_on_the_reserved_ones() -> None:
    snapshot = host("2n:4c:1t")
    request = ask(guest("g", 3), guest("h", 3), reserved="0", shared="4")
    plan = solved(request, snapshot)
    floats = {node(plan, p.vm): str(p.emulator) for p in plan.placements}
    assert floats == {0: "0", 1: "4"}


def test_where_no_pool_is_named_the_emulator_floats_on_what_nobody_holds() -> None:
    plan = solved(ask(guest("g", 3)), host("1n:4c:1t"))
    placement = plan.placement("g")
    assert placement is not None
    assert str(placement.emulator) == "3"
    assert solved(ask(guest("g", 4)), host("1n:4c:1t")).status is Status.INFEASIBLE


def test_shared_vcpus_fill_a_pool_up_to_the_ratio_and_no_further() -> None:
    snapshot = host("1n:4c:1t")
    fits = ask(guest("a", 5, cpu_policy="shared"), guest("b", 3, cpu_policy="shared"), shared="0-1", shared_ratio=4)
    assert solved(fits, snapshot).status is Status.OPTIMAL
    more = replace(fits, guests=(*fits.guests, guest("c", 1, cpu_policy="shared")))
    assert solved(more, snapshot).status is Status.INFEASIBLE


def test_threads_float_beside_an_isolated_cpu_only_where_there_is_no_other_and_it_is_said() -> None:
    lonely = guest("lonely", 1, thread_policy="isolate")
    plan = solved(ask(lonely), host("1n:2c:2t"))
    assert str(plan.placements[0].emulator) == "1,3"
    assert not any("lonely" in note for note in plan.notes)
    plan = solved(ask(lonely, guest("beside", 2)), host("1n:2c:2t"))
    assert [str(placement.emulator) for placement in plan.placements] == ["3", "3"]
    said = "its floating threads run on CPU 3, kept idle beside isolated ones: no other is free"
    assert set(plan.notes) > {f"lonely: {said}", f"beside: {said}"}


def test_a_mixed_guest_has_some_vcpus_of_its_own_and_floats_with_the_others() -> None:
    plan = solved(ask(guest("g", 4, cpu_policy="mixed", dedicated=[1, 2]), shared="0-1"), host("1n:4c:1t"))
    placement = plan.placement("g")
    assert placement is not None
    assert [str(one) for _, one in placement.cells[0].vcpus] == ["0-1", "2", "3", "0-1"]


def test_larger_pages_win_a_tie_and_give_way_to_who_needs_them() -> None:
    snapshot = host("1n:8c:1t", pages={"1GiB": 4, "2MiB": 2048})
    alone = solved(ask(guest("g", memory_gib=4, page_size="large")), snapshot).placements[0]
    assert alone.cells[0].page_size_kib == 1 << 20
    both = solved(
        ask(guest("g", memory_gib=4, page_size="large"), guest("d", memory_gib=4, page_size="1GiB")), snapshot
    )
    assert [p.cells[0].page_size_kib for p in both.placements] == [2048, 1 << 20]


def test_preferred_memory_goes_elsewhere_at_a_cost_where_strict_memory_finds_no_place() -> None:
    snapshot = host("2n:4c:1t", pages={"1GiB": [0, 8]}, nics=[Nic("p0", 0, 2)])
    strict = guest("g", memory_gib=2, page_size="1GiB", interfaces=[vfs("d", "p0")])
    assert solved(ask(strict), snapshot).status is Status.INFEASIBLE
    request = ask(guest("g", memory_gib=2, page_size="1GiB", memory_policy="preferred", interfaces=[vfs("d", "p0")]))
    plan = solved(request, snapshot)
    assert value(plan, "cross_node_cost") == 2 * 11
    assert plan.placements[0].cells[0].memory_node == 1


def test_a_preferred_vf_is_local_where_it_can_be_and_counted_where_not() -> None:
    snapshot = host("2n:4c:1t", nics=[Nic("p0", 0, 1), Nic("p1", 1, 4)])
    wanted = vfs("d", "net", 2, affinity="preferred", physnet=True)
    request = ask(guest("g", 2, interfaces=[wanted]), physnets={"net": ("p0",)})
    assert solved(request, snapshot).status is Status.INFEASIBLE
    request = ask(guest("g", 2, interfaces=[replace(wanted, distinct_pfs=True)]), physnets={"net": ("p0", "p1")})
    assert value(solved(request, snapshot), "cross_node_cost") == 10 * 11


def test_a_whole_iommu_group_goes_to_one_guest_or_stays() -> None:
    snapshot = host("1n:8c:1t", nics=[Nic("p0", 0, 2, per_group=2)])
    assert solved(ask(guest("g", interfaces=[vfs("d", "p0", 1)])), snapshot).status is Status.INFEASIBLE
    assert solved(ask(guest("g", interfaces=[vfs("d", "p0", 2)])), snapshot).status is Status.OPTIMAL


def test_bandwidth_is_promised_once() -> None:
    snapshot = host("1n:8c:1t", nics=[Nic("p0", 0, 4, speed_mbps=10_000)])
    fits = [guest(f"g{i}", 1, interfaces=[vfs("d", "p0", mbps=5_000)]) for i in range(2)]
    assert solved(ask(*fits), snapshot).status is Status.OPTIMAL
    third = guest("g2", 1, interfaces=[vfs("d", "p0", mbps=1)])
    assert solved(ask(*fits, third), snapshot).status is Status.INFEASIBLE


def test_anti_affinity_keeps_guests_on_nodes_apart_and_affinity_together() -> None:
    snapshot = host("2n:4c:1t")
    apart = solved(ask(guest("a", 1), guest("b", 1, anti_affinity=["a"])), snapshot)
    assert node(apart, "a") != node(apart, "b")
    together = solved(ask(guest("a", 3, emulator="isolate"), guest("b", 1, affinity=["a"])), snapshot)
    assert together.status is Status.INFEASIBLE


def test_a_cell_keeps_to_one_llc_where_one_is_free() -> None:
    snapshot = host("1n:8c:1t", llcs_per_node=2)
    plan = solved(ask(guest("ctl", 2), guest("dp", 4)), snapshot)
    assert value(plan, "llc_spans") == 2
    assert str(cpus(plan, "dp")) in {"0-3", "4-7"}


def test_the_first_of_equal_optional_guests_is_placed_by_priority() -> None:
    snapshot = host("1n:4c:1t")
    low = guest("low", 3, required=False)
    high = guest("high", 3, required=False, priority=5)
    plan = solved(ask(low, high), snapshot)
    assert [p.vm for p in plan.placements] == ["high"]
    assert [u.vm for u in plan.unplaced] == ["low"]


@pytest.mark.parametrize("reserved", [None, ""])
def test_offline_and_isolated_cpus_are_the_kernels_word(reserved: str | None) -> None:
    snapshot = host("1n:4c:1t", isolated="2-3", offline="1")
    plan = solved(ask(guest("g", 2), reserved=reserved), snapshot)
    assert str(cpus(plan, "g")) == ("2-3" if reserved is None else "0,2")


REASONS = {
    "cpus": (
        ask(guest("g", 9)),
        "no node can take it: nodes 0-1 each: 8 free CPUs, needs 9",
    ),
    "whole cores": (
        ask(guest("g", 6, thread_policy="require"), reserved="0-1,4-5"),
        "no node can take it: nodes 0-1 each: 2 whole free cores, needs 3",
    ),
    "pages": (
        ask(guest("g", memory_gib=4, page_size="1GiB")),
        "no node can take it: nodes 0-1 each: 2 free 1 GiB pages, needs 4",
    ),
    "ordinary memory": (
        ask(guest("g", memory_gib=63), reserved_memory_gib=2),
        (
            "no node can take it: nodes 0-1 each:"
            " 62 GiB of ordinary memory (64 GiB less reserved_memory 2 GiB), needs 63 GiB"
        ),
    ),
    "pool": (
        ask(guest("g", 5, cpu_policy="shared"), shared="0", shared_ratio=4),
        (
            "no node can take it: node 0: room for 4 shared vCPUs, needs 5;"
            " node 1: no shared CPUs, needs room for 5 shared vCPUs"
        ),
    ),
    "vfs": (
        ask(guest("g", interfaces=[vfs("d", "p0", 5)])),
        'interface "d" needs 5 VFs with pf p0, the host has 4 free',
    ),
    "a pf that is not there": (
        ask(guest("g", interfaces=[vfs("d", "p9")])),
        'interface "d" needs 1 VF with pf p9, the host has 0 free: it has no PF p9',
    ),
    "emulator": (
        ask(guest("g", 8)),
        (
            "no CPU of its nodes is left for its emulator or iothreads to float on: name shared_cpus or reserved_cpus,"
            " or give it a CPU with emulator: isolate"
        ),
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_guest_that_fits_nowhere_is_told_why_with_numbers(case: str) -> None:
    request, reason = REASONS[case]
    snapshot = host("2n:4c:2t", pages={"1GiB": 2}, nics=[Nic("p0", 0, 4)])
    plan = solved(request, snapshot)
    assert plan.status is Status.INFEASIBLE
    assert [unplaced.reason for unplaced in plan.unplaced] == [reason]


def test_a_guest_of_priority_0_is_told_that_nothing_is_won_by_it() -> None:
    plan = solved(ask(guest("fw", 3), guest("g", 1, required=False, priority=0)), host("2n:4c:1t"))
    assert [placement.vm for placement in plan.placements] == ["fw"]
    assert [unplaced.reason for unplaced in plan.unplaced] == [
        "its priority is 0, so nothing is won by placing it: give it 1 or more"
    ]


def test_where_nobody_is_required_there_is_always_a_plan() -> None:
    """What QEMU itself takes leaves room for fewer guests than their memory does, and a greedy plan does not see it."""
    request = ask(*(guest(f"g{i}", 1, memory_gib=8, required=False) for i in range(20)), reserved="0,8")
    request = replace(request, policy=replace(request.policy, guest_overhead_kib=1 << 20))
    snapshot = host("2n:8c:2t", memory_gib=64)
    plan = solve(request, snapshot, budget=Budget(scale=1e-9))
    assert verify(request, snapshot, plan) == ()
    assert len(plan.placements) == 14


def test_who_wants_a_part_of_an_iommu_group_takes_nobodys_place() -> None:
    part = [guest(f"p{i}", 1, required=False, priority=9, interfaces=[vfs("d", "ens0")]) for i in range(4)]
    whole = [guest(f"w{i}", 1, required=False, interfaces=[vfs("d", "ens0", 2)]) for i in range(4)]
    request, snapshot = ask(*part, *whole, reserved="0,8"), host("2n:8c:1t", nics=[Nic("ens0", 0, 8, per_group=2)])
    plan = solve(request, snapshot, budget=Budget(scale=1e-9))
    assert verify(request, snapshot, plan) == ()
    assert {placement.vm for placement in plan.placements} == {"w0", "w1", "w2", "w3"}
    assert plan.levels[0].proven
