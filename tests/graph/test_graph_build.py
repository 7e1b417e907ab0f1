"""build_graph and the questions to it."""

from collections import Counter
from dataclasses import replace

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.graph.build import build_graph
from numaplan.graph.keys import Vertex
from numaplan.graph.query import devices_at, distance, guests_on, nearest_nodes, node_of, nodes, users_of
from numaplan.model.devices import Link, PciAddress
from numaplan.model.guest import Guest, GuestInterface, MemoryBinding, VcpuId, VcpuPin
from numaplan.model.host import DieId, NodeId
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort
from tests.hosts import GIB, Nic, host
from tests.records.samples import full_snapshot

PF = PciAddress(0, 0x10, 0, 0)
VF = PciAddress(0, 0x11, 0, 1)
NOWHERE = PciAddress(0, 0x20, 0, 0)


def test_every_part_of_the_host_is_a_node_of_its_kind() -> None:
    snapshot = full_snapshot()
    graph = build_graph(snapshot)
    kinds = Counter(data["kind"] for _, data in graph.nodes(data=True))
    assert set(kinds) == {kind.value for kind in Vertex} - {"die"}
    switch = snapshot.openvswitch
    assert switch is not None
    said = {
        "host": 1,
        "package": 2,
        "node": 2,
        "llc": 4,
        "core": 8,
        "cpu": 16,
        "pool": 4,
        "pci": 9,
        "iommu_group": 8,
        "openvswitch": 1,
        "ovs_bridge": len(switch.bridges),
        "ovs_port": sum(len(bridge.ports) for bridge in switch.bridges),
        "pmd": len(switch.pmds),
        "guest": 2,
        "interface": sum(len(guest.interfaces) for guest in snapshot.guests),
    }
    assert {kind: kinds[kind] for kind in said} == said


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("host", "package:0", "contains"),
        ("host", "node:1", "contains"),
        ("package:1", "node:1", "contains"),
        ("package:0", "core:0", "contains"),
        ("node:0", "core:2", "contains"),
        ("node:0", "llc:3:0-1,8-9", "contains"),
        ("llc:3:0-1,8-9", "core:1", "contains"),
        ("core:2", "cpu:10", "contains"),
        ("node:1", "pool:1:1048576", "contains"),
        ("node:0", "node:1", "distance"),
        ("node:0", "pci:0000:10:00.0", "near"),
        ("pci:0000:10:00.0", "pci:0000:11:00.1", "backs"),
        ("iommu_group:1001", "pci:0000:11:00.0", "member"),
        ("link:ens1f0", "pci:0000:10:00.0", "link"),
        ("link:ens1f0", "link:br0", "member"),
        ("guest:fw1", "cpu:1", "pins"),
        ("guest:fw1", "node:0", "binds"),
        ("guest:fw1", "pci:0000:11:00.0", "uses"),
        ("guest:fw1", "interface:fw1:1", "contains"),
        ("interface:fw1:0", "pci:0000:11:00.0", "link"),
        ("interface:fw1:1", "link:vnet3", "link"),
        ("interface:fw1:1", "link:br0", "member"),
        ("interface:fw1:2", "ovs_interface:vhu1", "link"),
        ("host", "openvswitch", "contains"),
        ("openvswitch", "ovs_bridge:br-int", "contains"),
        ("openvswitch", "node:1", "binds"),
        ("openvswitch", "pmd:5", "contains"),
        ("ovs_bridge:br-phy", "ovs_port:bond0", "member"),
        ("ovs_port:bond0", "ovs_interface:dpdk1", "member"),
        ("ovs_interface:dpdk0", "pci:0000:20:00.0", "link"),
        ("ovs_interface:dpdk0", "node:1", "near"),
        ("ovs_interface:patch-phy", "ovs_interface:patch-int", "link"),
        ("pmd:5", "cpu:5", "pins"),
        ("pmd:5", "node:1", "near"),
        ("pmd:5", "ovs_interface:vhu1", "polls"),
    ],
)
def test_what_belongs_together_is_joined(one: str, other: str, kind: str) -> None:
    graph = build_graph(full_snapshot())
    assert graph.edges[one, other]["kind"] == kind


def test_what_the_host_does_not_say_is_left_out() -> None:
    graph = build_graph(full_snapshot())
    assert "speed_mbps" not in graph.nodes["link:ens2f0"]
    assert graph.nodes["link:ens1f0"]["speed_mbps"] == 25000
    assert not any(value is None for _, data in graph.nodes(data=True) for value in data.values())
    assert not any(value is None for *_, data in graph.edges(data=True) for value in data.values())


def test_an_offline_cpu_is_there_without_a_core() -> None:
    graph = build_graph(host("2n:4c:2t", offline="3"))
    assert graph.nodes["cpu:3"] == {"kind": "cpu", "id": 3, "online": 0, "isolated": 0}
    assert not graph.adj["cpu:3"]


def test_two_packages_without_an_id_stay_two() -> None:
    built = host("2n:1c:1t")
    graph = build_graph(replace(built, packages=tuple(replace(package, id=None) for package in built.packages)))
    assert graph.has_edge("package:?0", "node:0")
    assert graph.has_edge("package:?1", "node:1")


def test_a_pin_says_whose_thread_may_run_there() -> None:
    graph = build_graph(full_snapshot())
    assert graph.edges["guest:fw1", "cpu:0"] == {
        "kind": "pins",
        "vcpus": "3",
        "emulator": 1,
        "iothreads": "3",
        "threads": "emulator,iothread:3,vhost",
    }
    assert graph.edges["guest:fw1", "cpu:1"] == {"kind": "pins", "vcpus": "0,3", "threads": "vcpu:0,vhost"}


def test_a_thread_that_may_run_on_every_cpu_is_confined_to_none() -> None:
    graph = build_graph(full_snapshot())
    assert "other" not in ",".join(data.get("threads", "") for *_, data in graph.edges(data=True))
    assert not graph.has_edge("guest:fw1", "cpu:15")


def test_a_guest_is_where_its_threads_are_and_not_where_its_pins_say() -> None:
    graph = build_graph(full_snapshot())
    assert graph.nodes["guest:fw1"]["vcpu_cpus"] == "1-2"
    assert "vcpu_cpus" not in graph.nodes["guest:web"]


def test_the_whole_of_a_membership_is_named() -> None:
    graph = build_graph(full_snapshot())
    assert graph.edges["link:ens1f0", "link:br0"]["of"] == "link:br0"
    assert graph.edges["ovs_port:bond0", "ovs_interface:dpdk0"]["of"] == "ovs_port:bond0"
    assert graph.edges["interface:fw1:1", "link:br0"]["of"] == "link:br0"


def test_ends_of_a_veth_pair_are_joined_and_a_vlan_consists_of_its_parent() -> None:
    links = (
        Link("a", pci=PF),
        Link("a.7", "vlan", lowers=("a",), vlan=7, up=False, mtu=9000, mac="52:54:00:00:00:07"),
        Link("v0", "veth", peer="v1"),
    )
    graph = build_graph(replace(host("1n:1c:1t", nics=[Nic("a", 0, 0)]), links=links))
    assert graph.edges["link:v0", "link:v1"] == {"kind": "link"}
    assert graph.edges["link:a", "link:a.7"] == {"kind": "member", "of": "link:a.7"}
    assert graph.nodes["link:a.7"] == {
        "kind": "link",
        "name": "a.7",
        "link_kind": "vlan",
        "mac": "52:54:00:00:00:07",
        "mtu": 9000,
        "up": 0,
        "vlan": 7,
    }


def test_a_device_says_where_its_interrupts_are_served() -> None:
    graph = build_graph(full_snapshot())
    device = graph.nodes["pci:0000:10:00.0"]
    assert (device["interrupts"], device["interrupt_cpus"]) == (1, "3")
    assert "interrupts" not in graph.nodes["pci:0000:20:00.0"]


def test_an_interface_of_a_bridge_of_open_vswitch_is_its_port() -> None:
    switch = OpenVswitch(bridges=(OvsBridge("br-int", "system", ()),))
    guest = Guest("a", "a", 1, GIB, interfaces=(GuestInterface("bridge", 1, source="br-int"),))
    graph = build_graph(replace(host("1n:1c:1t", guests=[guest]), openvswitch=switch))
    assert graph.edges["interface:a:0", "ovs_bridge:br-int"] == {"kind": "member", "of": "ovs_bridge:br-int"}
    assert "link:br-int" not in graph


def test_an_interface_of_open_vswitch_is_the_link_of_its_name() -> None:
    switch = OpenVswitch(
        bridges=(OvsBridge("br0", "system", (OvsPort("a", ("a",)), OvsPort("gone", ("gone",)))),),
        interfaces=(OvsInterface("a"), OvsInterface("gone")),
    )
    graph = build_graph(replace(host("1n:1c:1t", nics=[Nic("a", 0, 0)]), openvswitch=switch))
    assert graph.edges["ovs_interface:a", "link:a"]["kind"] == "link"
    assert "link:gone" not in graph


def test_dies_are_nodes_where_a_package_has_several() -> None:
    built = host("2n:2c:1t")
    cores = (replace(built.cores[0], die_id=DieId(1)), *built.cores[1:])
    graph = build_graph(replace(built, cores=cores))
    assert graph.has_edge("package:0", "die:package:0:1")
    assert graph.has_edge("die:package:0:1", "core:0")
    assert graph.has_edge("die:package:0:0", "core:1")
    assert "die:package:1:0" not in graph


def test_the_same_host_gives_the_same_graph_in_the_same_order() -> None:
    one, other = build_graph(full_snapshot()), build_graph(full_snapshot())
    assert list(one.nodes(data=True)) == list(other.nodes(data=True))
    assert list(one.edges(data=True)) == list(other.edges(data=True))


def test_the_distance_is_the_larger_of_two_slit_entries_less_ten() -> None:
    graph = build_graph(host("3n:1c:1t", distances=[[10, 12, 9], [21, 10, 40], [9, 40, 17]]))
    assert graph.edges["node:0", "node:1"]["weight"] == 21
    assert distance(graph, NodeId(0), NodeId(1)) == distance(graph, NodeId(1), NodeId(0)) == 11
    assert distance(graph, NodeId(0), NodeId(0)) == 0
    assert distance(graph, NodeId(2), NodeId(2)) == 7
    assert distance(graph, NodeId(0), NodeId(2)) == 0


def test_a_distance_that_the_host_does_not_say_is_0_on_one_node_and_10_between_two() -> None:
    built = host("2n:1c:1t")
    graph = build_graph(replace(built, nodes=tuple(replace(node, distances=()) for node in built.nodes)))
    assert distance(graph, NodeId(0), NodeId(0)) == 0
    assert distance(graph, NodeId(0), NodeId(1)) == 10
    assert distance(graph, NodeId(7), NodeId(7)) == 0
    assert distance(graph, NodeId(7), NodeId(8)) == 10


def test_the_nearest_nodes_of_a_device_come_first_and_its_own_before_all() -> None:
    slit = [[10, 31, 21, 10], [31, 10, 12, 31], [21, 12, 10, 21], [10, 31, 21, 10]]
    graph = build_graph(host("4n:1c:1t", distances=slit, nics=[Nic("a", 3, 2), Nic("b", None, 1)]))
    assert nearest_nodes(graph, PF) == (3, 0, 2, 1)
    assert nearest_nodes(graph, VF) == (3, 0, 2, 1)
    assert nearest_nodes(graph, NOWHERE) == ()
    assert nearest_nodes(graph, PciAddress(9, 9, 9, 1)) == ()


def test_a_vf_is_where_its_pf_is() -> None:
    built = host("2n:1c:1t", nics=[Nic("a", 1, 2)])
    moved = tuple(replace(device, numa_node=NodeId(0)) if device.physfn else device for device in built.pci)
    assert node_of(build_graph(replace(built, pci=moved)), VF) == 1
    alone = tuple(device for device in moved if device.physfn)
    assert node_of(build_graph(replace(built, pci=alone)), VF) == 0


def test_devices_at_a_node_come_by_address() -> None:
    graph = build_graph(host("2n:1c:1t", nics=[Nic("a", 0, 1), Nic("b", 1, 10), Nic("c", None, 1)]))
    assert [str(address) for address in devices_at(graph, NodeId(0))] == ["0000:10:00.0", "0000:11:00.0"]
    assert len(devices_at(graph, NodeId(1))) == 11
    assert list(devices_at(graph, NodeId(1))) == sorted(devices_at(graph, NodeId(1)))
    assert devices_at(graph, NodeId(9)) == ()


def test_guests_that_use_a_cpu_or_a_device_are_named() -> None:
    guests = [
        Guest("b", "b.xml", 2, GIB, vcpu_pins=(VcpuPin(VcpuId(0), CpuSet.parse("0-1"), 1),)),
        Guest("a", "a.xml", 1, GIB, vcpu_cpuset=CpuSet.parse("1")),
        Guest("floating", "c.xml", 1, GIB),
    ]
    graph = build_graph(host("1n:2c:1t", guests=guests))
    assert guests_on(graph, CpuId(0)) == ("b",)
    assert guests_on(graph, CpuId(1)) == ("a", "b")
    assert guests_on(graph, CpuId(77)) == ()
    full = build_graph(full_snapshot())
    assert users_of(full, PciAddress(0, 0x11, 0, 0)) == ("fw1",)
    assert users_of(full, PF) == ()


def test_nodes_are_numbered_not_spelled() -> None:
    assert nodes(build_graph(host("12n:1c:1t"))) == tuple(range(12))


def test_a_node_that_only_a_guest_or_a_distance_names_is_there_without_facts() -> None:
    built = host("1n:1c:1t", guests=[Guest("a", "a", 1, GIB, memory=MemoryBinding(None, "strict", (NodeId(5),), 1))])
    graph = build_graph(built)
    assert graph.nodes["node:5"] == {"kind": "node", "id": 5}
