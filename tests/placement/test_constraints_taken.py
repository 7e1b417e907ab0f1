"""What is taken already: by Open vSwitch with DPDK, and by guests as they run, whatever their XML says."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import Link, PciAddress
from numaplan.model.guest import (
    EmulatorPin,
    Guest,
    GuestThread,
    IothreadId,
    IothreadPin,
    RunningGuest,
    ThreadKind,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import HugepagePool, NodeId
from numaplan.model.plan import Status
from numaplan.model.request import (
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    HostPolicy,
    InterfaceRequest,
    InterfaceType,
    PageSize,
    Request,
    ThreadPolicy,
)
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, OvsInterface, PmdThread, SocketMemory
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.switch import switch_share
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.memory import capacity_kib
from numaplan.placement.verification.switch import switch_pages
from numaplan.placement.verify import verify
from tests.depth import draws
from tests.hosts import GIB, Nic, host
from tests.placement.verify_cases import cell, found, guest, placed, sriov

POLICY = HostPolicy(reserved_cpus=CpuSet.parse("0"), reserved_memory_kib=0)
MASKS = OpenVswitch(dpdk=True, pmd_cpus=CpuSet.parse("0-1"), lcore_cpus=CpuSet.parse("2"))


def facts_of(snapshot: Snapshot, policy: HostPolicy = POLICY) -> HostFacts:
    """The facts of the search; the proof must take the same."""
    request = Request(policy, (guest("a", 1),))
    facts = host_facts(request, snapshot)
    assert Facts(request, snapshot).taken & snapshot.cpus.online == facts.taken
    return facts


def with_switch(switch: OpenVswitch, shape: str = "1n:6c:1t") -> Snapshot:
    return replace(host(shape), openvswitch=switch)


def test_cpus_of_the_masks_are_taken_and_reserved_ones_are_nobodys_anyway() -> None:
    assert facts_of(with_switch(MASKS)).taken == CpuSet.parse("1-2")
    reserved = replace(POLICY, reserved_cpus=CpuSet.parse("0-2"))
    facts = facts_of(with_switch(MASKS), reserved)
    bare = facts_of(host("1n:6c:1t"), reserved)
    assert (facts.taken, facts.free, facts.notes) == (bare.taken, bare.free, bare.notes)


def test_threads_that_poll_take_their_cpus_whatever_the_mask_says() -> None:
    polling = replace(MASKS, pmds=(PmdThread(CpuId(4)), PmdThread(CpuId(99))))
    assert facts_of(with_switch(polling)).taken == CpuSet.parse("1-2,4")


@pytest.mark.parametrize("wanted", [None, False])
@pytest.mark.parametrize("runs", [None, False])
def test_masks_and_memory_that_are_left_over_take_nothing_where_dpdk_is_off(
    *, runs: bool | None, wanted: bool | None
) -> None:
    memory = (SocketMemory(NodeId(0), GIB),)
    bare = host("1n:6c:1t", pages={"1GiB": 4})
    left = replace(bare, openvswitch=replace(MASKS, dpdk=runs, dpdk_init=wanted, socket_memory=memory))
    assert facts_of(left).taken == CpuSet()
    assert facts_of(left).capacity_kib == facts_of(bare).capacity_kib
    assert facts_of(left).notes == facts_of(bare).notes
    polling = replace(left, openvswitch=replace(MASKS, dpdk=runs, dpdk_init=wanted, pmds=(PmdThread(CpuId(4)),)))
    assert facts_of(polling).taken == CpuSet.parse("1-2,4")


@pytest.mark.parametrize(("runs", "wanted"), [(True, None), (True, False), (False, True), (None, True)])
def test_masks_take_their_cpus_where_dpdk_runs_or_is_to(*, runs: bool | None, wanted: bool | None) -> None:
    assert facts_of(with_switch(replace(MASKS, dpdk=runs, dpdk_init=wanted))).taken == CpuSet.parse("1-2")


def test_the_sibling_of_a_polled_cpu_isolates_nobody() -> None:
    facts = facts_of(with_switch(replace(MASKS, lcore_cpus=None), "1n:3c:2t"))
    assert facts.free == CpuSet.parse("2-5")
    two, three = (Request(POLICY, (guest("a", n, thread_policy=ThreadPolicy.ISOLATE),)) for n in (2, 3))
    plan = solve(two, facts.snapshot, budget=Budget())
    assert {str(cpus) for _, cpus in plan.placements[0].cells[0].vcpus} == {"2", "3"}
    assert verify(two, facts.snapshot, plan) == ()
    assert solve(three, facts.snapshot, budget=Budget()).status is Status.INFEASIBLE


def test_a_note_says_once_what_the_switch_takes() -> None:
    snapshot = replace(
        host("1n:6c:1t", pages={"1GiB": 4}),
        openvswitch=replace(MASKS, dpdk=False, dpdk_init=True, socket_memory=(SocketMemory(NodeId(0), GIB + 1024),)),
    )
    cpus = "CPUs 1-2 (pmd-cpu-mask, dpdk-lcore-mask)"
    pages = "2 free 1 GiB pages of node 0 (dpdk-socket-mem)"
    assert facts_of(snapshot).notes == (f"Open vSwitch with DPDK takes {cpus}, {pages}",)


def test_a_plan_on_a_polled_cpu_is_refused() -> None:
    request = Request(POLICY, (guest("a", 1),))
    (violation,) = found(request, with_switch(MASKS), placed("a", cell(0, "2"), emulator="0"))
    assert violation.constraint == "cpu_not_allocatable"
    assert violation.sentence == 'cpu 2 of guest "a" vCPU 0 is taken by Open vSwitch'


def test_hugepages_are_taken_only_until_dpdk_has_them() -> None:
    memory = (SocketMemory(NodeId(0), GIB),)
    for dpdk, pmds, left in ((False, (), 3), (True, (), 4), (None, (), 4), (False, (PmdThread(CpuId(1)),), 4)):
        switch = OpenVswitch(dpdk=dpdk, dpdk_init=True, pmds=pmds, socket_memory=memory)
        facts = facts_of(replace(host("1n:6c:1t", pages={"1GiB": 4}), openvswitch=switch))
        assert facts.capacity_kib[NodeId(0), GIB] == left * GIB
    five = [guest(f"g{i}", 1, page_size=PageSize.HUGE_1G, required=False) for i in range(5)]
    starting = OpenVswitch(dpdk=False, dpdk_init=True, socket_memory=memory)
    snapshot = replace(host("1n:8c:1t", pages={"1GiB": 4}), openvswitch=starting)
    plan = solve(Request(POLICY, tuple(five)), snapshot, budget=Budget())
    assert len(plan.placements) == 3


@pytest.mark.parametrize(
    ("wanted_mib", "large", "small", "taken"),
    [
        (1024, 4, 1024, (1, 0)),
        (1025, 4, 1024, (1, 1)),
        (1025, 4, 0, (2, 0)),
        (1026, 4, 1, (1, 1)),
        (1028, 4, 1, (2, 0)),
        (4096, 2, 1024, (2, 1024)),
        (9999, 2, 3, (2, 3)),
        (512, 0, 100, (0, 100)),
    ],
)
def test_dpdk_takes_large_pages_first_and_the_rest_in_small_ones(
    wanted_mib: int, large: int, small: int, taken: tuple[int, int]
) -> None:
    assert pages_taken(wanted_mib << 10, large=large, small=small) == taken


@settings(max_examples=draws(35), deadline=None, derandomize=True)
@given(st.integers(0, 6 << 20), st.integers(0, 4), st.integers(0, 2048))
def test_dpdk_takes_enough_where_there_is_enough_and_never_more_than_there_is(
    wanted_kib: int, large: int, small: int
) -> None:
    took_large, took_small = pages_taken(wanted_kib, large=large, small=small)
    assert took_large <= large
    assert took_small <= small
    got = took_large * GIB + took_small * 2048
    assert got >= min(wanted_kib, large * GIB + small * 2048) - 2047


def pages_taken(wanted_kib: int, *, large: int, small: int) -> tuple[int, int]:
    """Pages of 1 GiB and of 2 MiB, as search and proof say alike."""
    snapshot = host("1n:1c:1t")
    pools = (HugepagePool(2048, small, small), HugepagePool(GIB, large, large))
    snapshot = replace(
        snapshot,
        nodes=(replace(snapshot.nodes[0], hugepages=pools),),
        openvswitch=OpenVswitch(dpdk=False, dpdk_init=True, socket_memory=(SocketMemory(NodeId(0), wanted_kib),)),
    )
    pages = dict(switch_share(snapshot, CpuSet.parse("")).pages)
    taken = pages.get((NodeId(0), GIB), 0), pages.get((NodeId(0), 2048), 0)
    assert taken == tuple(switch_pages(snapshot, NodeId(0), size) for size in (GIB, 2048))
    return taken


def test_a_function_that_is_a_port_of_the_switch_goes_to_no_guest() -> None:
    vf = PciAddress(0, 0x11, 0, 0)
    snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 2)])
    request = Request(POLICY, (guest("a", 1, interfaces=(sriov(pf="ens0", count=2),)),))
    assert solve(request, snapshot, budget=Budget()).status is Status.OPTIMAL
    polled = replace(snapshot, openvswitch=OpenVswitch(interfaces=(OvsInterface("dpdk0", "dpdk", pci=vf),)))
    facts = host_facts(request, polled)
    assert facts.busy_devices[vf] == "is dpdk0, a port of Open vSwitch"
    refused = found(request, polled, placed("a", cell(0, "1"), emulator="0", vfs=["0000:11:00.0", "0000:11:00.1"]))
    assert [v.sentence for v in refused] == [
        'VF 0000:11:00.0 of guest "a" interface "data" is in use by the host: dpdk0 is a port of Open vSwitch'
    ]


def running(name: str, *threads: GuestThread) -> Guest:
    pins = (VcpuPin(VcpuId(0), CpuSet.parse("1"), 1),)
    return replace(Guest(name, f"{name}.xml", 1, GIB, vcpu_pins=pins, running=True), live=RunningGuest(7, threads))


def thread(kind: ThreadKind, cpus: str, index: int | None = None) -> GuestThread:
    return GuestThread(kind, CpuSet.parse(cpus), index)


@pytest.mark.parametrize(
    ("threads", "taken"),
    [
        ((), "1"),
        ((thread(ThreadKind.VCPU, "3", 0),), "3"),
        ((thread(ThreadKind.VCPU, "2-3", 0),), ""),
        ((thread(ThreadKind.EMULATOR, "4"),), "1,4"),
        ((thread(ThreadKind.IOTHREAD, "5", 8),), "1,5"),
        ((thread(ThreadKind.OTHER, "5"), thread(ThreadKind.VHOST, "4")), "1"),
    ],
)
def test_a_guest_that_stays_takes_what_its_threads_have_alone_now(threads: tuple[GuestThread, ...], taken: str) -> None:
    snapshot = replace(host("1n:6c:1t"), guests=(running("stays", *threads),))
    assert facts_of(snapshot).taken == CpuSet.parse(taken)


def test_a_process_that_libvirt_does_not_know_takes_its_cpus() -> None:
    cpu = CpuSet.parse("4")
    stranger = Guest(
        "stranger",
        "proc/7",
        2,
        None,
        vcpu_pins=(VcpuPin(VcpuId(1), CpuSet.parse("3"), 0),),
        iothreads=1,
        iothread_pins=(IothreadPin(IothreadId(5), cpu, 0),),
        running=True,
    )
    assert facts_of(replace(host("1n:6c:1t"), guests=(stranger,))).taken == CpuSet.parse("3-4")


def test_vcpus_that_float_now_count_against_the_pool() -> None:
    policy = replace(POLICY, shared_cpus=CpuSet.parse("1-2"), shared_ratio=1)
    snapshot = replace(host("1n:6c:1t"), guests=(running("stays", thread(ThreadKind.VCPU, "1-2", 0)),))
    shared = guest("a", 2, cpu_policy=CpuPolicy.SHARED)
    assert facts_of(snapshot, policy).pool_left[NodeId(0)] == 1
    assert solve(Request(policy, (shared,)), snapshot, budget=Budget()).status is Status.INFEASIBLE
    one = guest("a", 1, cpu_policy=CpuPolicy.SHARED)
    plan = solve(Request(policy, (one,)), snapshot, budget=Budget())
    assert verify(Request(policy, (one,)), snapshot, plan) == ()


def test_a_guest_of_the_request_stays_where_it_runs() -> None:
    snapshot = replace(host("1n:6c:1t"), guests=(running("a", thread(ThreadKind.VCPU, "5", 0)),))
    request = Request(POLICY, (guest("a", 1),))
    plan = solve(request, snapshot, budget=Budget())
    assert plan.placements[0].cells[0].vcpus == ((VcpuId(0), CpuSet.parse("5")),)
    assert [level.value for level in plan.levels if level.name == "moves"] == [0]
    assert verify(request, snapshot, plan) == ()


def test_a_guest_keeps_the_several_cpus_that_its_emulator_has() -> None:
    existing = running("a", thread(ThreadKind.VCPU, "5", 0), thread(ThreadKind.EMULATOR, "2,4"))
    snapshot = replace(host("1n:8c:1t"), guests=(existing,))
    asked = guest("a", 1, emulator=EmulatorPolicy.SET, emulator_cpus=2)
    request = Request(POLICY, (asked, guest("b", 2)))
    plan = solve(request, snapshot, budget=Budget())
    assert plan.placements[0].emulator == CpuSet.parse("2,4")
    assert verify(request, snapshot, plan) == ()


@pytest.mark.parametrize("side", ["links", "functions"])
def test_a_pf_is_known_by_a_name_that_only_its_link_or_only_itself_says(side: str) -> None:
    snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 2, speed_mbps=10000), Nic("ens1", 0, 2)])
    if side == "links":
        snapshot = replace(snapshot, pci=tuple(replace(device, netdevs=()) for device in snapshot.pci))
    else:
        snapshot = replace(snapshot, links=tuple(replace(link, pci=None) for link in snapshot.links))
    wanted = InterfaceRequest("data", InterfaceType.SRIOV, pf="ens0", count=2, mbps=5000)
    request = Request(POLICY, (guest("a", 1, interfaces=(wanted,)),))
    plan = solve(request, snapshot, budget=Budget())
    assert [str(vf) for vf in plan.placements[0].interfaces[0].vfs] == ["0000:11:00.0", "0000:11:00.1"]
    assert verify(request, snapshot, plan) == ()
    faster = Request(POLICY, (guest("a", 1, interfaces=(replace(wanted, mbps=5001),)),))
    assert solve(faster, snapshot, budget=Budget()).status is Status.INFEASIBLE


def test_a_function_that_carries_a_vlan_of_the_host_goes_to_no_guest() -> None:
    card = PciAddress(0, 0x10, 0, 0)
    snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 0)])
    request = Request(POLICY, (guest("a", 1, devices=(DeviceRequest("d", address=card),)),))
    assert solve(request, snapshot, budget=Budget()).status is Status.OPTIMAL
    carrying = replace(snapshot, links=(*snapshot.links, Link("ens0.7", "vlan", lowers=("ens0",))))
    assert solve(request, carrying, budget=Budget()).status is Status.INFEASIBLE
    refused = found(request, carrying, placed("a", cell(0, "1"), emulator="0", devices=[("d", str(card))]))
    assert [v.constraint for v in refused] == ["device"]


def test_the_free_pages_of_a_node_less_those_to_come_are_what_the_proof_counts() -> None:
    memory = (SocketMemory(NodeId(0), 3 * GIB),)
    starting = OpenVswitch(dpdk=False, dpdk_init=True, socket_memory=memory)
    snapshot = replace(host("1n:4c:1t", pages={"1GiB": 2}), openvswitch=starting)
    assert capacity_kib(Facts(Request(POLICY, ()), snapshot), NodeId(0), GIB) == 0


def test_who_may_run_on_one_cpu_that_is_online_takes_it() -> None:
    stays = Guest("old", "old.xml", 1, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("4-5"), 1),))
    assert facts_of(host("1n:6c:1t", guests=(stays,))).taken == CpuSet()
    assert facts_of(host("1n:6c:1t", guests=(stays,), offline="5")).taken == CpuSet.parse("4")


def test_who_takes_the_one_cpu_that_is_online_takes_no_room_in_the_pool() -> None:
    pools = replace(POLICY, shared_cpus=CpuSet.parse("1"), shared_ratio=2)
    request = Request(pools, (guest("a", 2, cpu_policy=CpuPolicy.SHARED),))
    stays = Guest("old", "old.xml", 1, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("4-5"), 1),))
    snapshot = host("1n:6c:1t", guests=(stays,), offline="5")
    plan = solve(request, snapshot, budget=Budget())
    assert (plan.status, verify(request, snapshot, plan)) == (Status.OPTIMAL, ())
    assert solve(request, host("1n:6c:1t", guests=(stays,)), budget=Budget()).status is Status.INFEASIBLE


@pytest.mark.parametrize(("policy", "refused"), [("isolate", True), ("require", False), (None, False)])
def test_what_a_guest_that_stays_keeps_idle_beside_it_goes_to_nobody(policy: str | None, *, refused: bool) -> None:
    """Its emulator, alone on a reserved CPU, isolates nothing: pools are everybody's."""
    pins = (VcpuPin(VcpuId(0), CpuSet.parse("2"), 1),)
    stays = Guest(
        "old", "old.xml", 1, GIB, vcpu_pins=pins, emulator_pin=EmulatorPin(CpuSet.parse("0"), 1), thread_policy=policy
    )
    snapshot = host("1n:4c:2t", guests=(stays,))
    sibling = next(core.cpus for core in snapshot.cores if CpuId(2) in core.cpus) - CpuSet.parse("2")
    beside_pool = next(core.cpus for core in snapshot.cores if CpuId(0) in core.cpus) - CpuSet.parse("0")
    free = facts_of(snapshot).free
    assert (sibling & free == CpuSet(), beside_pool <= free) == (refused, True)
    request = Request(POLICY, (guest("a", 1),))
    told = [v.constraint for v in found(request, snapshot, placed("a", cell(0, str(sibling)), emulator="0"))]
    assert ("cpu_not_allocatable" in told) == refused


def test_a_guest_that_stays_is_not_robbed_of_its_idle_siblings_where_whole_cores_are_left_over() -> None:
    pins = (VcpuPin(VcpuId(0), CpuSet.parse("2"), 1),)
    stays = Guest("old", "old.xml", 1, GIB, vcpu_pins=pins, thread_policy="isolate")
    snapshot = host("1n:4c:2t", guests=(stays,))
    plan = solve(Request(POLICY, (guest("a", 6),)), snapshot, budget=Budget())
    assert plan.status is Status.INFEASIBLE
    assert solve(Request(POLICY, (guest("a", 5),)), snapshot, budget=Budget()).status is Status.OPTIMAL


def pinned(name: str, cpus: str, policy: str | None = None) -> Guest:
    pins = (VcpuPin(VcpuId(0), CpuSet.parse(cpus), 1),)
    return Guest(name, f"{name}.xml", 1, GIB, vcpu_pins=pins, thread_policy=policy)


def test_nobody_joins_an_isolated_guest_on_a_core_that_another_is_on_already() -> None:
    """The verifier lets who is there be: where moves are planned, nobody has to go who need not."""
    request = Request(POLICY, (guest("a", 1),))
    snapshot = host("1n:2c:4t", guests=(pinned("old", "1", "isolate"), pinned("stranger", "3"), pinned("a", "5")))
    facts = facts_of(snapshot)
    assert next(core.cpus for core in snapshot.cores if CpuId(1) in core.cpus) == CpuSet.parse("1,3,5,7")
    assert facts.free.isdisjoint(CpuSet.parse("1,3,5,7"))
    assert not found(request, snapshot, placed("a", cell(0, "5"), emulator="0"))
    told = found(request, snapshot, placed("a", cell(0, "7"), emulator="0"))
    assert [violation.constraint for violation in told] == ["cpu_not_allocatable"]


def test_nobody_takes_the_place_beside_an_isolated_guest_of_one_who_leaves_it() -> None:
    request = Request(POLICY, (guest("new", 2), guest("a", 1)))
    snapshot = host("1n:4c:2t", guests=(pinned("old", "1", "isolate"), pinned("a", "5")))
    moved = placed("a", cell(0, "6"), emulator="0")
    told = found(request, snapshot, placed("new", cell(0, "2", "5"), emulator="0"), moved)
    assert [(violation.vm, violation.constraint) for violation in told] == [("new", "cpu_not_allocatable")]
    stays = placed("a", cell(0, "5"), emulator="0")
    assert not found(request, snapshot, placed("new", cell(0, "2", "6"), emulator="0"), stays)


def test_the_cpus_of_its_own_that_an_emulator_has_beside_an_isolated_guest_may_stay_its_own() -> None:
    there = replace(pinned("a", "2"), emulator_pin=EmulatorPin(CpuSet.parse("5-6"), 1))
    snapshot = host("1n:4c:2t", guests=(pinned("old", "1", "isolate"), there))
    request = Request(POLICY, (guest("a", 1, emulator=EmulatorPolicy.SET, emulator_cpus=2),))
    assert not found(request, snapshot, placed("a", cell(0, "2"), emulator="5-6"))
    other = replace(request, guests=(guest("a", 1, emulator=EmulatorPolicy.ISOLATE),))
    told = found(other, snapshot, placed("a", cell(0, "2"), emulator="5"))
    assert [violation.constraint for violation in told] == ["cpu_not_allocatable"]


def test_a_vcpu_on_a_reserved_cpu_is_isolated_too() -> None:
    snapshot = host("1n:4c:2t", guests=(pinned("old", "0", "isolate"),))
    request = Request(POLICY, (guest("a", 1),))
    assert facts_of(snapshot).free == CpuSet.parse("1-3,5-7")
    told = found(request, snapshot, placed("a", cell(0, "4"), emulator="1"))
    assert [violation.constraint for violation in told] == ["cpu_not_allocatable"]


def test_what_a_guest_has_beside_an_isolated_one_goes_to_nobody_else() -> None:
    snapshot = host("1n:4c:2t", guests=(pinned("old", "2", "isolate"), pinned("a", "6")))
    asked = Request(HostPolicy(CpuSet.parse("0-1,4-5")), (guest("a", 2), guest("b", 1)))
    assert solve(asked, snapshot, budget=Budget()).status is Status.INFEASIBLE
    fewer = replace(asked, guests=(guest("a", 1), guest("b", 1)))
    plan = solve(fewer, snapshot, budget=Budget())
    assert [str(cpus) for one in plan.placements for _, cpus in one.cells[0].vcpus] == ["6", "3"]
    wider = replace(asked, guests=(guest("a", 1), guest("b", 2)))
    plan = solve(wider, snapshot, budget=Budget())
    assert verify(wider, snapshot, plan) == ()
    assert [str(cpus) for one in plan.placements for _, cpus in one.cells[0].vcpus] == ["6", "3", "7"]
