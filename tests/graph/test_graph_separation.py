"""Where anything in the graph is, and how far any two of them are apart."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.graph.build import build_graph
from numaplan.graph.query import nodes_of, separation
from numaplan.model.devices import Link, PciAddress
from numaplan.model.guest import (
    Guest,
    GuestInterface,
    GuestThread,
    RunningGuest,
    ThreadKind,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import DieId, NodeId
from numaplan.model.path import Span
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdQueue, PmdThread
from tests.hosts import GIB, Nic, host

SLIT = [[10, 12, 32, 32], [12, 10, 32, 32], [32, 32, 10, 12], [32, 32, 12, 10]]


def guest(name: str, cpus: str | None, *interfaces: GuestInterface) -> Guest:
    pins = () if cpus is None else (VcpuPin(VcpuId(0), CpuSet.parse(cpus), 1),)
    return Guest(name, f"{name}.xml", 1, GIB, vcpu_pins=pins, interfaces=interfaces)


def wired() -> Snapshot:
    """Four nodes of two cores; ports at nodes 0, 2 and nowhere; a bond of the first two with a VLAN and a bridge."""
    built = host(
        "4n:2c:1t",
        nodes_per_package=2,
        distances=SLIT,
        nics=[Nic("a", 0, 1), Nic("b", 2, 0), Nic("c", None, 0)],
        pages={"1GiB": 1},
        offline="7",
    )
    ports = tuple(replace(link, master="bond0" if link.name in {"a", "b"} else None) for link in built.links)
    links = (
        *ports,
        Link("bond0", "bond", lowers=("a", "b")),
        Link("bond0.7", "vlan", master="br0", lowers=("bond0",)),
        Link("br0", "bridge", lowers=("bond0.7", "br1")),
        Link("br1", "bridge", master="br0", lowers=("br0",)),
        Link("br9", "bridge"),
    )
    switch = OpenVswitch(
        bridges=(OvsBridge("br-phy", "netdev", (OvsPort("p", ("p",)), OvsPort("b", ("b",)))),),
        interfaces=(OvsInterface("p", "dpdk", pci=PciAddress(0, 0x30, 0, 0), node=NodeId(1)), OvsInterface("b")),
        pmds=(PmdThread(CpuId(6), queues=(PmdQueue("p", 0),)), PmdThread(CpuId(0), NodeId(3))),
    )
    live = RunningGuest(threads=(GuestThread(ThreadKind.VCPU, CpuSet.parse("4"), 0),))
    vf = GuestInterface("hostdev", 1, pci=PciAddress(0, 0x11, 0, 0))
    guests = (
        guest("floating", None),
        replace(guest("moved", "0"), live=live),
        guest("pinned", "0,5", vf, GuestInterface("user", 2)),
    )
    return replace(built, links=links, openvswitch=switch, guests=guests)


GRAPH = build_graph(wired())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("host", [0, 1, 2, 3]),
        ("package:1", [2, 3]),
        ("node:2", [2]),
        ("llc:3:2-3", [1]),
        ("core:3", [1]),
        ("cpu:3", [1]),
        ("cpu:7", []),
        ("pool:2:1048576", [2]),
        ("pci:0000:10:00.0", [0]),
        ("pci:0000:11:00.0", [0]),
        ("pci:0000:30:00.0", []),
        ("iommu_group:2000", [2]),
        ("link:a", [0]),
        ("link:c", []),
        ("link:bond0", [0, 2]),
        ("link:bond0.7", [0, 2]),
        ("link:br0", [0, 2]),
        ("link:br9", []),
        ("ovs_interface:p", [1]),
        ("ovs_interface:b", [2]),
        ("ovs_bridge:br-phy", [1, 2]),
        ("openvswitch", []),
        ("pmd:6", [3]),
        ("pmd:0", [3]),
        ("guest:pinned", [0, 2]),
        ("guest:moved", [2]),
        ("guest:floating", [0, 1, 2, 3]),
        ("interface:pinned:0", [0]),
        ("interface:pinned:1", [0, 2]),
        ("nothing", []),
    ],
)
def test_everything_is_on_its_nodes(key: str, expected: list[int]) -> None:
    assert list(nodes_of(GRAPH, key)) == expected


def test_a_die_is_on_the_nodes_of_its_cores() -> None:
    built = host("2n:2c:1t", nodes_per_package=2)
    cores = tuple(replace(core, die_id=DieId(core.numa_node or 0)) for core in built.cores)
    graph = build_graph(replace(built, cores=cores))
    assert nodes_of(graph, "die:package:0:1") == (1,)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("cpu:0", "cpu:1", Span(10, 10)),
        ("cpu:0", "cpu:2", Span(12, 12)),
        ("guest:pinned", "link:a", Span(10, 32)),
        ("link:a", "guest:pinned", Span(10, 32)),
        ("guest:floating", "node:3", Span(10, 32)),
        ("link:bond0", "core:2", Span(12, 32)),
        ("guest:moved", "guest:pinned", Span(10, 32)),
        ("link:c", "node:0", None),
        ("cpu:0", "cpu:99", None),
    ],
)
def test_the_nearest_and_the_farthest_nodes_of_two_things_tell_how_far_they_are_apart(
    one: str, other: str, expected: Span | None
) -> None:
    assert separation(GRAPH, one, other) == expected


def test_no_distance_is_made_up_where_the_host_says_none() -> None:
    built = host("2n:1c:1t")
    graph = build_graph(replace(built, nodes=(replace(built.nodes[0], distances=()), built.nodes[1])))
    assert separation(graph, "node:0", "node:0") is None
    assert separation(graph, "node:0", "node:1") == Span(21, 21)
    assert separation(graph, "host", "node:1") == Span(10, 21)
    assert separation(graph, "host", "host") is None


def test_a_long_chain_of_links_is_followed_to_its_end() -> None:
    built = host("1n:1c:1t", nics=[Nic("l0", 0, 0)])
    chain = [Link(f"l{i}", "vlan", lowers=(f"l{i - 1}",)) for i in range(1, 3000)]
    graph = build_graph(replace(built, links=(*built.links, *chain)))
    assert nodes_of(graph, "link:l2999") == (0,)
