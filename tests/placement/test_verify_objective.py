"""The seven levels, each counted by hand."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.devices import Link, PciAddress, PciDevice
from numaplan.model.guest import EmulatorPin, Guest, GuestInterface, MemoryBinding, VcpuId, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.plan import LEVELS, Placement
from numaplan.model.request import (
    Affinity,
    Costs,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    MemoryPolicy,
    Request,
    ThreadPolicy,
)
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verify import objective
from tests.hosts import GIB, Nic, host
from tests.placement.verify_cases import POLICY, cell, guest, placed, sriov

# Node 0 has cores 0,8 1,9 2,10 3,11, node 1 has 4,12 5,13 6,14 7,15; 0 and 4 are reserved, 1 and 5 shared.
NICS = (Nic("ens0", 0, 2), Nic("ens1", 1, 2), Nic("ens2", None, 1))
HOST = host("2n:4c:2t", nics=NICS, llcs_per_node=2, distances=[[10, 17], [21, 10]])
COSTS = replace(POLICY, costs=Costs(vf=100, cell=10, memory_gib=1))


def level(name: str, request: Request, snapshot: Snapshot, *placements: Placement) -> int:
    return objective(request, snapshot, placements)[LEVELS.index(name)]


def test_an_empty_plan_leaves_the_host_as_it_is() -> None:
    assert objective(Request(POLICY, ()), HOST, ()) == (0, 0, 0, 2, 2, 4, 0)


def test_priority_is_the_sum_over_placed_guests() -> None:
    request = Request(POLICY, tuple(guest(name, 1, priority=weight) for name, weight in (("a", 3), ("b", 5), ("c", 7))))
    assert level("priority", request, HOST, placed("a", cell(0, "2")), placed("c", cell(0, "3"))) == 10


class TestCrossNodeCost:
    def test_a_vf_costs_the_larger_slit_entry_less_ten_to_the_nearest_node(self) -> None:
        request = Request(COSTS, (guest("a", 1, interfaces=(sriov(count=2),)),))
        here = placed("a", cell(0, "2"), vfs=["0000:11:00.0", "0000:11:00.1"])
        assert level("cross_node_cost", request, HOST, here) == 0
        assert level("cross_node_cost", request, HOST, placed("a", cell(0, "2"), vfs=["0000:21:00.0"])) == 100 * 11
        assert level("cross_node_cost", request, HOST, placed("a", cell(0, "2"), vfs=["0000:31:00.0"])) == 0

    def test_a_pair_of_cells_costs_its_distance_and_brings_vfs_nearer(self) -> None:
        request = Request(COSTS, (guest("a", 1, cells=2, interfaces=(sriov(),)),))
        both = placed("a", cell(0, "2"), cell(1, "6", id_=1, first=1), vfs=["0000:21:00.0"])
        assert level("cross_node_cost", request, HOST, both) == 10 * 11

    def test_remote_memory_costs_its_distance_for_every_gib_begun(self) -> None:
        request = Request(COSTS, (guest("a", 1, memory_kib=2 * GIB + 4, memory_policy=MemoryPolicy.PREFERRED),))
        remote = placed("a", cell(0, "2", memory_node=1, memory_kib=2 * GIB + 4))
        assert level("cross_node_cost", request, HOST, remote) == 3 * 11

    def test_where_the_host_says_no_distances_two_nodes_are_ten_apart(self) -> None:
        snapshot = replace(HOST, nodes=tuple(replace(node, distances=()) for node in HOST.nodes))
        request = Request(COSTS, (guest("a", 1, interfaces=(sriov(),)),))
        assert level("cross_node_cost", request, snapshot, placed("a", cell(0, "2"), vfs=["0000:21:00.0"])) == 1000
        assert level("cross_node_cost", request, snapshot, placed("a", cell(0, "2"), vfs=["0000:11:00.0"])) == 0

    def test_a_device_costs_as_much_as_a_vf(self) -> None:
        gpu = PciDevice(PciAddress.parse("0000:50:00.0"), "10de", "20b0", "030200", NodeId(1))
        wanted = DeviceRequest("gpu", address=gpu.address, affinity=Affinity.PREFERRED)
        request = Request(COSTS, (guest("a", 1, devices=(wanted,)),))
        far = placed("a", cell(0, "2"), devices=[("gpu", "0000:50:00.0")])
        assert level("cross_node_cost", request, replace(HOST, pci=(*HOST.pci, gpu)), far) == 1100


class TestVirtioPort:
    request = Request(COSTS, (guest("a", 1, interfaces=(InterfaceRequest("m", InterfaceType.VIRTIO, bridge="br0"),)),))
    plan = placed("a", cell(0, "2"))

    def cost(self, *links: Link) -> int:
        snapshot = replace(HOST, links=(*HOST.links, *links))
        return level("cross_node_cost", self.request, snapshot, self.plan)

    def test_a_bridge_over_a_vlan_over_a_bond_ends_at_its_ports(self) -> None:
        links = (
            Link("br0", "bridge", lowers=("bond0.5", "vnet0")),
            Link("bond0.5", "vlan", lowers=("bond0",)),
            Link("bond0", "bond", lowers=("ens1",)),
            Link("vnet0", "tun"),
        )
        assert self.cost(*links) == 1100

    def test_ports_of_two_nodes_a_missing_bridge_and_no_ports_cost_nothing(self) -> None:
        assert self.cost(Link("br0", "bridge", lowers=("ens0", "ens1"))) == 0
        assert self.cost(Link("br0", "bridge")) == 0
        assert self.cost() == 0

    def test_a_port_of_unknown_node_does_not_hide_the_others(self) -> None:
        assert self.cost(Link("br0", "bridge", lowers=("ens1", "ens2"))) == 1100
        assert self.cost(Link("br0", "bridge", lowers=("ens2",))) == 0

    def test_links_that_run_in_a_circle_end(self) -> None:
        assert self.cost(Link("br0", lowers=("br1",)), Link("br1", lowers=("br0", "ens1"))) == 1100


class TestLlcSpans:
    # The caches of node 0 are 0,1,8,9 and 2,3,10,11.
    policy = replace(POLICY, reserved_cpus=CpuSet.parse("0"), shared_cpus=CpuSet.parse("8"))

    def spans(self, placement: Placement, snapshot: Snapshot = HOST, asked: GuestRequest | None = None) -> int:
        return level("llc_spans", Request(self.policy, (asked or guest("a", 2),)), snapshot, placement)

    def test_each_cell_counts_the_caches_that_its_cell_set_touches(self) -> None:
        assert self.spans(placed("a", cell(0, "2", "3"))) == 1
        assert self.spans(placed("a", cell(0, "1", "2"))) == 2

    def test_an_emulator_of_its_own_is_in_the_cell_set(self) -> None:
        assert (
            self.spans(
                placed("a", cell(0, "2", "3"), emulator="1"), asked=guest("a", 2, emulator=EmulatorPolicy.ISOLATE)
            )
            == 2
        )
        assert self.spans(placed("a", cell(0, "2", "3"), emulator="8")) == 1

    def test_a_cell_without_dedicated_vcpus_counts_none(self) -> None:
        shared = placed("a", cell(0, "8", "8"), emulator="1")
        asked = guest("a", 2, cpu_policy=CpuPolicy.SHARED, emulator=EmulatorPolicy.ISOLATE)
        assert self.spans(shared, asked=asked) == 0

    def test_where_the_host_shows_no_caches_a_node_counts_as_one(self) -> None:
        assert self.spans(placed("a", cell(0, "1", "2")), snapshot=replace(HOST, llcs=())) == 1


class TestFree:
    policy = replace(POLICY, reserved_cpus=CpuSet.parse("0"), shared_cpus=CpuSet.parse("4"))
    request = Request(policy, (guest("a", 1, memory_policy=MemoryPolicy.PREFERRED),))

    def free(
        self, *placements: Placement, snapshot: Snapshot = HOST, request: Request | None = None
    ) -> tuple[int, ...]:
        return objective(request or self.request, snapshot, placements)[3:6]

    def test_nothing_given_leaves_all_but_cores_with_cpus_kept_back(self) -> None:
        assert self.free() == (2, 4, 6)

    def test_a_given_cpu_uses_up_its_node_its_cache_and_its_core(self) -> None:
        assert self.free(placed("a", cell(0, "2"))) == (1, 3, 5)

    def test_memory_given_uses_up_a_node_alone(self) -> None:
        assert self.free(placed("a", cell(0, "2", memory_node=1))) == (0, 3, 5)

    def test_a_taken_cpu_counts_even_if_it_is_reserved(self) -> None:
        old = Guest("old", "old.xml", 1, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("0"), 1),))
        assert self.free(snapshot=replace(HOST, guests=(old,))) == (1, 3, 6)

    def test_a_cache_without_allocatable_cpus_is_not_free(self) -> None:
        policy = replace(self.policy, reserved_cpus=CpuSet.parse("0,1,8,9"))
        assert self.free(request=Request(policy, ())) == (2, 3, 5)

    def test_shared_vcpus_are_given_no_cpu(self) -> None:
        request = Request(self.policy, (guest("a", 1, cpu_policy=CpuPolicy.SHARED),))
        assert self.free(placed("a", cell(1, "4"), emulator="4"), request=request) == (1, 4, 6)

    def test_a_core_with_an_idle_sibling_is_not_free(self) -> None:
        request = Request(self.policy, (guest("a", 2, thread_policy=ThreadPolicy.ISOLATE),))
        assert self.free(placed("a", cell(0, "2", "3")), request=request) == (1, 3, 4)

    def test_where_the_host_shows_no_caches_nodes_count(self) -> None:
        assert self.free(placed("a", cell(0, "2")), snapshot=replace(HOST, llcs=())) == (1, 1, 5)


class TestMoves:
    request = Request(POLICY, (guest("a", 2, interfaces=(sriov(),)),))
    plan = placed("a", cell(0, "2", "10"), vfs=["0000:11:00.0"])
    existing = Guest(
        "a",
        "a.xml",
        2,
        GIB,
        vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("2"), 1), VcpuPin(VcpuId(1), CpuSet.parse("10"), 1)),
        emulator_pin=EmulatorPin(CpuSet.parse("1,9"), 1),
        memory=MemoryBinding(None, "strict", (NodeId(0),), 1),
        interfaces=(GuestInterface("hostdev", 1, pci=PciAddress.parse("0000:11:00.0")),),
    )

    def moves(self, existing: Guest, *placements: Placement) -> int:
        return level("moves", self.request, replace(HOST, guests=(existing,)), *placements)

    def test_a_guest_that_keeps_everything_is_not_moved(self) -> None:
        assert self.moves(self.existing, self.plan) == 0

    @pytest.mark.parametrize(
        "other",
        [
            replace(existing, vcpu_pins=existing.vcpu_pins[::-1][:1]),
            replace(existing, vcpu_pins=(existing.vcpu_pins[0], VcpuPin(VcpuId(1), CpuSet.parse("3"), 1))),
            replace(existing, memory=MemoryBinding(None, "strict", (NodeId(1),), 1)),
            replace(existing, interfaces=()),
            Guest("a", "a.xml", 2, GIB),
        ],
    )
    def test_a_guest_whose_xml_has_another_cpu_node_or_vf_is_moved(self, other: Guest) -> None:
        assert self.moves(other, self.plan) == 1

    @pytest.mark.parametrize(
        "other",
        [
            replace(existing, emulator_pin=EmulatorPin(CpuSet.parse("1"), 1)),
            replace(existing, emulator_pin=None),
            replace(existing, memory=MemoryBinding(None, "strict", (NodeId(0), NodeId(1)), 1)),
            replace(existing, memory=None),
        ],
    )
    def test_a_floating_emulator_and_memory_bound_to_no_one_node_move_nobody(self, other: Guest) -> None:
        assert self.moves(other, self.plan) == 0

    def test_an_emulator_with_a_cpu_of_its_own_counts(self) -> None:
        request = Request(POLICY, (replace(self.request.guests[0], emulator=EmulatorPolicy.ISOLATE),))
        there = replace(self.existing, emulator_pin=EmulatorPin(CpuSet.parse("3"), 1))
        plans = [replace(self.plan, emulator=CpuSet.parse(cpu)) for cpu in ("3", "11")]
        snapshot = replace(HOST, guests=(there,))
        assert [level("moves", request, snapshot, plan) for plan in plans] == [0, 1]

    def test_a_guest_that_is_left_out_is_moved(self) -> None:
        assert self.moves(self.existing) == 1

    def test_a_guest_that_is_not_there_yet_or_stays_is_not(self) -> None:
        assert self.moves(replace(self.existing, name="other"), self.plan) == 0
