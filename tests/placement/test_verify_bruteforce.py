"""Brute force itself: known optima on hosts made by hand, and an even more naive search on the smallest hosts."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, permutations, product

import pytest
from hypothesis import HealthCheck, given, settings

from numaplan.cpuset import CpuSet
from numaplan.model.guest import EmulatorPin, Guest, IothreadId, MemoryBinding, VcpuId, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.plan import DevicePlacement, Placement, Status
from numaplan.model.request import (
    Affinity,
    CpuPolicy,
    EmulatorPolicy,
    GuestRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    Request,
    ThreadPolicy,
)
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.devices import device_violations
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import is_dedicated
from numaplan.placement.verification.memory import memory_violations
from numaplan.placement.verification.objective import level_values
from numaplan.placement.verify import objective, placement_violations, verify
from tests.depth import draws
from tests.hosts import GIB, Nic, host
from tests.placement.bruteforce import Values, differences, optimum, rank
from tests.placement.bruteforce_options import cell_choices, skeleton
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.verify_cases import POLICY, guest, plan, sriov

NAIVE = draws(10)
ODD = draws(6)
VALID = draws(15)

BARE = replace(POLICY, reserved_cpus=CpuSet.parse("0"), shared_cpus=None)


def values(request: Request, snapshot: Snapshot) -> Values | None:
    best = optimum(request, snapshot)
    if best is None:
        return None
    found, placements = best
    assert objective(request, snapshot, placements) == found
    unplaced = [guest.name for guest in request.guests if guest.name not in {one.vm for one in placements}]
    assert verify(request, snapshot, plan(request, snapshot, *placements, unplaced=unplaced)) == ()
    return found


def test_one_small_guest_takes_one_core_and_leaves_the_other_node_free() -> None:
    assert values(Request(BARE, (guest("a", 2),)), host("2n:2c:2t")) == (1, 0, 1, 1, 1, 2, 0)


def test_isolation_costs_a_core_for_each_vcpu() -> None:
    request = Request(BARE, (guest("a", 2, thread_policy=ThreadPolicy.ISOLATE),))
    assert values(request, host("2n:3c:2t")) == (1, 0, 1, 1, 1, 4, 0)
    assert values(request, host("1n:2c:1t")) is None
    # The sibling of the reserved CPU 0 will do, and leaves the whole cores of the other node.
    assert values(request, host("2n:2c:2t")) == (1, 0, 1, 1, 1, 2, 0)
    assert values(request, host("1n:2c:2t")) == (1, 0, 1, 0, 0, 0, 0)


def test_a_guest_goes_where_its_vf_is() -> None:
    snapshot = host("2n:2c:1t", nics=[Nic("ens0", 1, 1)])
    assert values(Request(BARE, (guest("a", 2, interfaces=(sriov(),)),)), snapshot) == (1, 0, 1, 1, 1, 1, 0)
    # Three vCPUs fit on no node; on two cells the pair costs 10 x 11.
    assert values(Request(BARE, (guest("a", 3, interfaces=(sriov(),)),)), snapshot) is None
    two_cells = Request(BARE, (guest("a", 1, cells=2, interfaces=(sriov(),)),))
    assert values(two_cells, snapshot) == (1, 110, 2, 0, 0, 1, 0)


def test_a_far_vf_is_used_where_it_is_only_preferred() -> None:
    snapshot = host("2n:2c:1t", nics=[Nic("ens0", 0, 1)])
    preferred = guest("a", 2, interfaces=(sriov(),))
    assert values(Request(BARE, (preferred,)), snapshot) == (1, 110, 1, 1, 1, 1, 0)
    required = guest("a", 2, interfaces=(sriov(affinity=Affinity.REQUIRED),))
    assert values(Request(BARE, (required,)), snapshot) is None


def test_of_two_optional_guests_the_weightier_is_placed() -> None:
    guests = (guest("a", 2, required=False, priority=2), guest("b", 3, required=False, priority=3))
    assert values(Request(BARE, guests), host("1n:4c:1t")) == (3, 0, 1, 0, 0, 0, 0)
    assert values(Request(BARE, guests), host("1n:3c:1t")) == (2, 0, 1, 0, 0, 0, 0)
    assert values(Request(BARE, guests), host("1n:2c:1t")) == (0, 0, 0, 1, 1, 1, 0)


def test_preferred_memory_goes_to_the_other_node_at_a_cost_when_it_must() -> None:
    snapshot = host("1n:2c:1t", memory_gib=1)
    far = replace(snapshot.nodes[0], id=NodeId(1), cpus=CpuSet(), available_kib=4 * GIB)
    nodes = tuple(replace(node, distances=((NodeId(0), 10), (NodeId(1), 20))) for node in (snapshot.nodes[0], far))
    snapshot = replace(snapshot, nodes=nodes)
    strict = guest("a", 1, memory_kib=2 * GIB)
    preferred = guest("a", 1, memory_kib=2 * GIB, memory_policy=MemoryPolicy.PREFERRED)
    assert values(Request(BARE, (strict,)), snapshot) is None
    # D(1, 0) is the larger of 20 and 10, less 10.
    assert values(Request(BARE, (preferred,)), snapshot) == (1, 20, 1, 0, 0, 0, 0)


def test_page_sizes_are_chosen_so_that_all_guests_fit() -> None:
    guests = (guest("a", 1, page_size=PageSize.ANY), guest("b", 1, page_size=PageSize.HUGE_2M))
    assert values(Request(BARE, guests), host("1n:3c:1t", pages={"2MiB": 512}, memory_gib=1)) is not None
    assert values(Request(BARE, guests), host("1n:3c:1t", pages={"2MiB": 512}, memory_gib=0)) is None


def test_a_guest_that_is_there_already_stays_where_nothing_better_is_to_be_had() -> None:
    snapshot = host("1n:4c:1t")
    existing = Guest(
        "a",
        "a.xml",
        2,
        GIB,
        vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("3"), 1), VcpuPin(VcpuId(1), CpuSet.parse("1"), 1)),
        emulator_pin=EmulatorPin(CpuSet.parse("0"), 1),
        memory=MemoryBinding(None, "strict", (NodeId(0),), 1),
    )
    request = Request(BARE, (guest("a", 2),))
    assert values(request, replace(snapshot, guests=(existing,))) == (1, 0, 1, 0, 0, 1, 0)
    elsewhere = replace(existing, emulator_pin=EmulatorPin(CpuSet.parse("2"), 1))
    assert values(request, replace(snapshot, guests=(elsewhere,))) == (1, 0, 1, 0, 0, 1, 0)
    worse = replace(existing, vcpu_pins=existing.vcpu_pins[:1])
    assert values(request, replace(snapshot, guests=(worse,))) == (1, 0, 1, 0, 0, 1, 1)


def test_shared_vcpus_fill_the_pool_up_to_its_ratio() -> None:
    policy = replace(POLICY, reserved_cpus=CpuSet.parse("0"), shared_cpus=CpuSet.parse("1"), shared_ratio=4)
    four = guest("a", 4, cpu_policy=CpuPolicy.SHARED)
    five = guest("a", 5, cpu_policy=CpuPolicy.SHARED)
    assert values(Request(policy, (four,)), host("1n:2c:1t")) == (1, 0, 0, 0, 0, 0, 0)
    assert values(Request(policy, (five,)), host("1n:2c:1t")) is None


@pytest.mark.parametrize("cells", [1, 2])
def test_emulators_and_iothreads_of_their_own_need_cpus_at_cell_0(cells: int) -> None:
    asked = guest(
        "a",
        1,
        cells=cells,
        emulator=EmulatorPolicy.ISOLATE,
        iothreads=1,
        iothread_policy=IothreadPolicy.DEDICATED,
    )
    assert values(Request(BARE, (asked,)), host("2n:3c:1t")) is not None
    assert values(Request(BARE, (asked,)), host("2n:2c:1t")) is None


def test_differences_tell_a_plan_that_is_not_the_best() -> None:
    request, snapshot = Request(BARE, (guest("a", 2),)), host("2n:2c:2t")
    best = optimum(request, snapshot)
    assert best is not None
    good = plan(request, snapshot, *best[1])
    assert differences(request, snapshot, good) == ()
    spread = [
        replace(cell, vcpus=((VcpuId(0), CpuSet.parse("2")), (VcpuId(1), CpuSet.parse("3"))))
        for cell in best[1][0].cells
    ]
    moved = [replace(cell, numa_node=NodeId(1), memory_node=NodeId(1)) for cell in spread]
    worse = plan(request, snapshot, replace(best[1][0], cells=tuple(moved)))
    assert verify(request, snapshot, worse) == ()
    assert len(differences(request, snapshot, worse)) == 1
    refused = replace(good, status=Status.INFEASIBLE, levels=(), placements=())
    assert len(differences(request, snapshot, refused)) == 1
    assert len(differences(Request(BARE, (guest("a", 9),)), snapshot, good)) == 1


@settings(max_examples=NAIVE, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(small=True))
def test_it_agrees_with_trying_every_cpu_in_every_order(case: Case) -> None:
    best = optimum(case.request, case.snapshot)
    assert (None if best is None else best[0]) == _naive(case.request, case.snapshot)


@settings(max_examples=ODD, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(small=True, odd=True))
def test_it_agrees_on_odd_hosts_too(case: Case) -> None:
    best = optimum(case.request, case.snapshot)
    assert (None if best is None else best[0]) == _naive(case.request, case.snapshot)


@settings(max_examples=VALID, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(odd=True))
def test_what_it_finds_is_a_valid_plan(case: Case) -> None:
    found = values(case.request, case.snapshot)
    required = sum(guest.priority for guest in case.request.guests if guest.required)
    assert found is None or found[0] >= required


def _naive(request: Request, snapshot: Snapshot) -> Values | None:
    """The best of all plans, with no thought at all."""
    facts = Facts(request, snapshot)
    ways = [[*(way for way in _every(facts, asked)), *([] if asked.required else [None])] for asked in request.guests]
    feasible = []
    for plan_ in product(*ways):
        placements = [placement for placement in plan_ if placement is not None]
        if not any(placement_violations(facts, placements)):
            feasible.append(level_values(facts, placements))
    return min(feasible, key=rank, default=None)


def _every(facts: Facts, asked: GuestRequest) -> Iterator[Placement]:
    """Every placement that can be written down for a guest, if it is valid but for the other guests."""
    vfs = [device.address for device in facts.snapshot.pci if device.physfn is not None]
    counts = [port.count if port.type is InterfaceType.SRIOV else 0 for port in asked.interfaces]
    threads = [vcpu for cell in asked.cells for vcpu in cell.vcpus if is_dedicated(asked, vcpu)]
    emulators = [
        CpuSet(some) for count in range(1, len(facts.online) + 1) for some in combinations(facts.online, count)
    ]
    cards = [
        [DevicePlacement(wanted.name, device.address) for device in facts.snapshot.pci] for wanted in asked.devices
    ]
    for cells in cell_choices(facts, asked):
        for given_vfs, devices in product(product(*(combinations(vfs, n) for n in counts)), product(*cards)):
            base = skeleton(asked, cells, given_vfs, devices)
            if any(memory_violations(facts, [base])) or any(device_violations(facts, [base])):
                continue
            rung = facts.share_ladder(base.nodes)
            floats = emulators if rung is None or asked.emulator is not EmulatorPolicy.SHARE else [rung]
            for cpus in permutations(facts.allocatable, len(threads)):
                own = dict(zip(threads, cpus, strict=True))
                with_cpus = tuple(
                    replace(
                        cell,
                        vcpus=tuple((vcpu, CpuSet([own[vcpu]]) if vcpu in own else pool) for vcpu, pool in cell.vcpus),
                    )
                    for cell in cells
                )
                for emulator in floats:
                    placement = replace(base, cells=with_cpus, emulator=emulator)
                    for ready in _with_iothreads(facts, asked, placement, rung):
                        if not any(placement_violations(facts, [ready])):
                            yield ready


def _with_iothreads(
    facts: Facts, asked: GuestRequest, placement: Placement, rung: CpuSet | None
) -> Iterator[Placement]:
    """At most one iothread, on one CPU of its own, or afloat where the emulator is or on all that is free."""
    if not asked.iothreads:
        yield placement
        return
    if asked.iothread_policy is IothreadPolicy.DEDICATED:
        choices = [CpuSet([cpu]) for cpu in facts.allocatable]
    else:
        choices = [rung] if rung is not None else [CpuSet([cpu]) for cpu in facts.online]
    for choice in choices:
        yield replace(placement, iothreads=((IothreadId(1), choice),))
