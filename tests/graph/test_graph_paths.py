"""Traffic paths: from a guest's interface to the physical ports, and the nodes that they cross."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.graph.paths import traffic_paths
from numaplan.model.devices import Link, PciAddress
from numaplan.model.guest import GuestHostdev, GuestInterface, GuestThread, RunningGuest, ThreadKind
from numaplan.model.path import Span
from tests.graph.wired import PF0, PF1, TAP, VF0, crossed, path, port, routes, spelled, wired


def test_a_tap_leads_through_its_bridge_to_the_port() -> None:
    snapshot = wired(Link("vnet0", "tap", master="br0"), Link("br0", "bridge", lowers=("a", "vnet0")), port("a", "br0"))
    found = path(snapshot)
    assert [spelled(route) for route in found.routes] == ["guest:g@0 vhost:g@0 tap:vnet0 bridge:br0 port:a@0"]
    assert [(uplink.name, uplink.pci) for uplink in found.uplinks] == [("a", PF0)]
    assert found.routes[0].crossings == ()
    assert (found.guest, found.interface, found.name, found.unknown) == ("g", 0, "data", ())


def test_a_bridge_is_known_by_its_ports_alone() -> None:
    assert routes(wired(port("a", "br0"))) == ["guest:g@0 vhost:g@0 link:br0 port:a@0"]


def test_the_path_of_a_guest_that_does_not_run_starts_at_the_bridge() -> None:
    snapshot = wired(Link("br0", "bridge", lowers=("a",)), port("a", "br0"))
    assert routes(snapshot) == ["guest:g@0 vhost:g@0 bridge:br0 port:a@0"]


def test_a_port_on_another_package_is_one_crossing_of_both() -> None:
    snapshot = wired(Link("vnet0", "tap", master="br0"), Link("br0", "bridge"), port("b", "br0"))
    (crossing,) = path(snapshot).routes[0].crossings
    assert crossed(crossing) == "vhost:g port:b"
    assert (crossing.certain, crossing.package, crossing.distance) == (True, True, Span(32, 32))


def test_a_port_on_another_node_of_the_package_crosses_no_package() -> None:
    snapshot = wired(port("a", "br0"), vcpus="1", emulator="1")
    (crossing,) = path(snapshot).routes[0].crossings
    assert (crossing.certain, crossing.package, crossing.distance) == (True, False, Span(12, 12))


def test_vhost_threads_on_another_node_than_the_guest_cross_twice() -> None:
    live = RunningGuest(
        threads=(
            GuestThread(ThreadKind.VCPU, CpuSet.parse("0"), 0),
            GuestThread(ThreadKind.EMULATOR, CpuSet.parse("0-3")),
            GuestThread(ThreadKind.VHOST, CpuSet.parse("2")),
            GuestThread(ThreadKind.VHOST, CpuSet.parse("3")),
        )
    )
    snapshot = wired(port("a", "br0"), vcpus="3", emulator="3", live=live)
    (route,) = path(snapshot).routes
    assert spelled(route) == "guest:g@0 vhost:g@2,3 link:br0 port:a@0"
    assert [crossed(crossing) for crossing in route.crossings] == ["guest:g vhost:g", "vhost:g port:a"]
    assert [crossing.distance for crossing in route.crossings] == [Span(32, 33)] * 2
    assert route.stations[1].cpus == CpuSet.parse("2-3")


def test_without_vhost_the_emulator_carries_the_packets() -> None:
    live = RunningGuest(threads=(GuestThread(ThreadKind.EMULATOR, CpuSet.parse("1")),))
    assert routes(wired(port("a", "br0"), live=live)) == ["guest:g@0 emulator:g@1 link:br0 port:a@0"]
    emulated = replace(TAP, model="e1000e")
    assert routes(wired(port("a", "br0"), interfaces=[emulated])) == ["guest:g@0 emulator:g@0 link:br0 port:a@0"]


def test_threads_that_may_run_anywhere_can_avoid_a_crossing() -> None:
    snapshot = wired(port("a", "br0"), vcpus=None, emulator=None)
    (route,) = path(snapshot).routes
    assert spelled(route) == "guest:g@0,1,2,3 vhost:g@0,1,2,3 link:br0 port:a@0"
    assert [(crossed(c), c.certain, c.package) for c in route.crossings] == [
        ("guest:g vhost:g", False, False),
        ("vhost:g port:a", False, False),
    ]


def test_a_vf_leads_to_its_port_and_nothing_carries_its_packets() -> None:
    vf = GuestInterface("hostdev", 1, pci=VF0)
    (route,) = path(wired(interfaces=[vf], vcpus="2")).routes
    assert spelled(route) == "guest:g@2 function:0000:11:00.0@0 port:a@0"
    assert [crossed(crossing) for crossing in route.crossings] == ["guest:g function:0000:11:00.0"]
    assert route.uplink is not None
    assert route.uplink.pci == PF0


def test_a_whole_port_that_is_handed_over_is_the_uplink() -> None:
    assert routes(wired(interfaces=[GuestInterface("hostdev", 1, pci=PF1)])) == ["guest:g@0 port:b@2"]


def test_a_function_that_the_host_does_not_show_is_a_port_without_a_node() -> None:
    found = path(wired(interfaces=[GuestInterface("hostdev", 1, pci=PciAddress(9, 0, 0, 0))]))
    assert [spelled(route) for route in found.routes] == ["guest:g@0 port:0009:00:00.0"]
    assert found.unknown == ("the node of 0009:00:00.0 is not known",)


def test_a_network_function_that_is_no_interface_has_a_path_too() -> None:
    snapshot = wired(interfaces=[], hostdevs=[GuestHostdev(VF0, 50, "vf"), GuestHostdev(PciAddress(9, 0, 0, 0), 51)])
    found = path(snapshot)
    assert (found.interface, found.name) == (None, "vf")
    assert [spelled(route) for route in found.routes] == ["guest:g@0 function:0000:11:00.0@0 port:a@0"]


@pytest.mark.parametrize("lowers", [("b",), ()])
def test_a_macvtap_stands_on_its_lower_device(lowers: tuple[str, ...]) -> None:
    direct = GuestInterface("direct", 1, source="b", target="macvtap0")
    found = routes(wired(Link("macvtap0", "macvtap", lowers=lowers), interfaces=[direct]))
    assert found == [f"guest:g@0 vhost:g@0 {'macvtap:macvtap0 ' if lowers else ''}port:b@2"]


def test_a_macvtap_on_a_vf_leads_to_the_port_of_the_vf() -> None:
    direct = GuestInterface("direct", 1, source="av0", target="macvtap0")
    links = Link("macvtap0", "macvtap", lowers=("av0",)), Link("av0", pci=VF0)
    assert routes(wired(*links, interfaces=[direct])) == [
        "guest:g@0 vhost:g@0 macvtap:macvtap0 function:av0@0 port:a@0"
    ]


def test_a_vlan_on_a_bond_leads_to_every_member_by_name() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="br0"),
        Link("br0", "bridge", lowers=("bond0.7", "vnet0")),
        Link("bond0.7", "vlan", master="br0", lowers=("bond0",), vlan=7),
        Link("bond0", "bond", lowers=("b", "a")),
        Link("bond0.8", "vlan", master="br8", lowers=("bond0",), vlan=8),
        port("a", "bond0"),
        port("b", "bond0"),
    )
    found = path(snapshot)
    assert [spelled(route) for route in found.routes] == [
        "guest:g@0 vhost:g@0 tap:vnet0 bridge:br0 vlan:bond0.7 bond:bond0 port:a@0",
        "guest:g@0 vhost:g@0 tap:vnet0 bridge:br0 vlan:bond0.7 bond:bond0 port:b@2",
    ]
    assert [len(route.crossings) for route in found.routes] == [0, 1]
    assert [uplink.name for uplink in found.uplinks] == ["a", "b"]


def test_a_macvlan_leads_to_its_lower_device() -> None:
    links = Link("vnet0", "tap", master="br0"), Link("mv0", "macvlan", master="br0", lowers=("a",))
    assert routes(wired(*links, Link("br0", "bridge")))[0].endswith("bridge:br0 macvlan:mv0 port:a@0")


def test_a_veth_pair_joins_two_bridges() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="qbr"),
        Link("qbr", "bridge"),
        Link("qvb", "veth", master="qbr", peer="qvo"),
        Link("qvo", "veth", master="br0", peer="qvb"),
        Link("br0", "bridge"),
        port("a", "br0"),
    )
    assert routes(snapshot) == [
        "guest:g@0 vhost:g@0 tap:vnet0 bridge:qbr veth:qvb veth:qvo bridge:br0 port:a@0",
    ]


def test_bridges_in_a_circle_end_at_each_port_once() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="x"),
        *(Link(name, "bridge") for name in "xyz"),
        *(
            Link(f"{one}{other}", "veth", master=one, peer=f"{other}{one}")
            for one in "xyz"
            for other in "xyz"
            if one != other
        ),
        port("a", "y"),
        port("b", "z"),
    )
    assert [route.rpartition(" bridge:")[2] for route in routes(snapshot)] == ["y port:a@0", "z port:b@2"]


def test_other_guests_and_containers_are_no_way_out() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="br0"),
        Link("vnet1", "tap", master="br0"),
        Link("veth9", "veth", master="br0"),
        Link("br0", "bridge"),
        port("a", "br0"),
    )
    found = path(snapshot)
    assert len(found.routes) == 1
    assert found.unknown == ()


def test_a_bridge_without_a_port_is_where_the_path_ends() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="virbr0"), Link("virbr0", "bridge"), Link("v", "veth", master="virbr0")
    )
    found = path(snapshot)
    assert [spelled(route) for route in found.routes] == ["guest:g@0 vhost:g@0 tap:vnet0 bridge:virbr0"]
    assert found.uplinks == ()
    assert found.unknown == (
        "no physical port is reached from virbr0",
        "the other end of v is not known: it may be in another network namespace",
    )


def test_a_port_without_a_node_crosses_nothing_and_says_so() -> None:
    found = path(wired(port("c", "br0")))
    assert found.routes[0].crossings == ()
    assert found.unknown == ("the node of c is not known",)


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        (GuestInterface("bridge", 1, source="gone"), "the host shows no bridge gone"),
        (GuestInterface("direct", 1, source="gone"), "the host shows no interface gone"),
        (
            GuestInterface("network", 1, source="default"),
            "which bridge or port the libvirt network default uses is not known",
        ),
        (GuestInterface("user", 1), "an interface of type user has no device on the host"),
        (
            GuestInterface("vdpa", 1, source="/dev/vhost-vdpa-0"),
            "what an interface of type vdpa is joined to is not known",
        ),
        (GuestInterface("hostdev", 1), "what an interface of type hostdev is joined to is not known"),
    ],
)
def test_what_an_interface_is_joined_to_may_be_unknown(interface: GuestInterface, words: str) -> None:
    found = path(wired(interfaces=[interface]))
    assert found.unknown == (words,)
    assert found.uplinks == ()
    assert found.routes[0].stations[0].name == "g"


def test_a_libvirt_network_is_followed_from_the_tap_of_a_running_guest() -> None:
    network = GuestInterface("network", 1, source="default", target="vnet0")
    assert len(path(wired(Link("vnet0", "tap", master="br0"), port("a", "br0"), interfaces=[network])).uplinks) == 1


def test_paths_come_by_guest_and_interface_and_may_be_asked_for_some_guests() -> None:
    snapshot = wired(
        port("a", "br0"), interfaces=[TAP, replace(TAP, alias=None), replace(TAP, alias=None, target=None)]
    )
    other = replace(snapshot.guests[0], name="h", interfaces=(GuestInterface("user", 1),))
    snapshot = replace(snapshot, guests=(*snapshot.guests, other))
    found = [(one.guest, one.interface, one.name) for one in traffic_paths(snapshot)]
    assert found == [("g", 0, "data"), ("g", 1, "vnet0"), ("g", 2, "52:54:00:00:00:01"), ("h", 0, "interface 0")]
    assert [one.guest for one in traffic_paths(snapshot, [other])] == ["h"]


def test_packages_and_distances_that_the_host_does_not_say_are_not_known() -> None:
    snapshot = wired(port("b", "br0"))
    nodes = tuple(replace(node, packages=(), distances=()) for node in snapshot.nodes)
    (crossing,) = path(replace(snapshot, nodes=nodes)).routes[0].crossings
    assert (crossing.certain, crossing.package, crossing.distance) == (True, None, None)


def test_bonds_in_a_circle_of_many_bridges_are_walked_once() -> None:
    count = 40
    links = [Link(f"br{i}", "bridge") for i in range(count)]
    links += [
        Link(f"v{i}-{j}", "veth", master=f"br{i}", peer=f"v{j}-{i}")
        for i in range(count)
        for j in range(count)
        if i != j
    ]
    assert routes(wired(*links, port("a", "br39"))) == [
        "guest:g@0 vhost:g@0 bridge:br0 veth:v0-39 veth:v39-0 bridge:br39 port:a@0"
    ]
