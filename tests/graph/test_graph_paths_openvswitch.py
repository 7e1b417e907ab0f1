"""Traffic paths through Open vSwitch, the kernel's and that of user space."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import Link
from numaplan.model.guest import GuestInterface
from numaplan.model.host import NodeId
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort, PmdQueue, PmdThread
from tests.graph.wired import PF0, PF1, TAP, crossed, path, port, routes, spelled, wired


def dpdk(*pmds: PmdThread, vhost_node: int | None = None) -> OpenVswitch:
    """Two bridges in user space, patched together; on the outer one a DPDK port, or two that are bonded."""
    return OpenVswitch(
        bridges=(
            OvsBridge("br-int", "netdev", (OvsPort("p-int", ("p-int",)), OvsPort("vhu0", ("vhu0",)))),
            OvsBridge("br-phy", "netdev", (OvsPort("bond", ("dpdk0", "dpdk1")), OvsPort("p-phy", ("p-phy",)))),
        ),
        interfaces=(
            OvsInterface("dpdk0", "dpdk", pci=PF0),
            OvsInterface("dpdk1", "dpdk", pci=PF1),
            OvsInterface("p-int", "patch", peer="p-phy"),
            OvsInterface("p-phy", "patch", peer="p-int"),
            OvsInterface(
                "vhu0",
                "dpdkvhostuserclient",
                socket="/var/run/vhost/vhu0",
                node=None if vhost_node is None else NodeId(vhost_node),
            ),
        ),
        pmds=pmds,
    )


VHU = GuestInterface("vhostuser", 1, socket="/run/vhost/vhu0")


def test_vhost_user_passes_the_threads_that_poll_it_and_those_of_the_port() -> None:
    switch = dpdk(
        PmdThread(CpuId(1), NodeId(1), queues=(PmdQueue("vhu0", 0), PmdQueue("dpdk0", 0))),
        PmdThread(CpuId(2), queues=(PmdQueue("dpdk1", 0),)),
        PmdThread(CpuId(3), NodeId(3), queues=(PmdQueue("vhu0", 1),)),
        vhost_node=0,
    )
    found = path(wired(interfaces=[VHU], switch=switch))
    between = "ovs_bridge:br-int patch:p-int patch:p-phy ovs_bridge:br-phy bond:bond"
    assert [spelled(route) for route in found.routes] == [
        f"guest:g@0 socket:vhu0@0 pmd:vhu0@1,3 {between} pmd:dpdk0@1 port:dpdk0@0",
        f"guest:g@0 socket:vhu0@0 pmd:vhu0@1,3 {between} pmd:dpdk1@2 port:dpdk1@2",
    ]
    assert [[(crossed(c), c.certain, c.package) for c in route.crossings] for route in found.routes] == [
        [
            ("socket:vhu0 pmd:vhu0", True, False),
            ("pmd:vhu0 pmd:dpdk0", False, False),
            ("pmd:dpdk0 port:dpdk0", True, False),
        ],
        [("socket:vhu0 pmd:vhu0", True, False), ("pmd:vhu0 pmd:dpdk1", True, False)],
    ]
    assert found.routes[0].stations[2].cpus == CpuSet.parse("1,3")
    assert found.unknown == ()


def test_threads_that_poll_and_that_nobody_tells_are_not_known() -> None:
    found = path(wired(interfaces=[VHU], switch=dpdk()))
    assert found.unknown == (
        "which threads poll dpdk0 is not known",
        "which threads poll dpdk1 is not known",
        "which threads poll vhu0 is not known",
    )
    assert [len(route.crossings) for route in found.routes] == [0, 1]


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        (dpdk(), "no port of Open vSwitch has the socket /run/vhost/other"),
        (None, "nobody could say which port has the socket /run/vhost/other"),
    ],
)
def test_a_socket_that_no_port_has_leads_nowhere(switch: OpenVswitch | None, words: str) -> None:
    found = path(wired(interfaces=[replace(VHU, socket="/run/vhost/other")], switch=switch))
    assert [spelled(route) for route in found.routes] == ["guest:g@0"]
    assert found.unknown == (words,)


def test_a_vhost_user_interface_is_found_by_its_targets_name_as_well() -> None:
    vhu = replace(VHU, socket="/elsewhere/vhu0", target="vhu0")
    assert len(path(wired(interfaces=[vhu], switch=dpdk())).uplinks) == 2


def kernel_switch(*ports: OvsPort, interfaces: Sequence[OvsInterface]) -> OpenVswitch:
    return OpenVswitch(
        bridges=(
            OvsBridge("br-ex", "system", (OvsPort("a", ("a",)), OvsPort("br-ex", ("br-ex",)), OvsPort("pi", ("pi",)))),
            OvsBridge("br-int", "system", (OvsPort("br-int", ("br-int",)), OvsPort("po", ("po",)), *ports)),
        ),
        interfaces=(
            OvsInterface("a"),
            OvsInterface("br-ex", "internal"),
            OvsInterface("br-int", "internal"),
            OvsInterface("pi", "patch", peer="po"),
            OvsInterface("po", "patch", peer="pi"),
            *interfaces,
        ),
    )


SYSTEM = (
    Link("ovs-system", "openvswitch"),
    Link("br-ex", "openvswitch", master="ovs-system"),
    Link("br-int", "openvswitch", master="ovs-system"),
    Link("b", pci=PF1, master="ovs-system"),
    port("a", "ovs-system"),
)


def test_a_tap_on_the_kernels_open_vswitch_leaves_by_its_own_bridge_and_the_patched_one() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="ovs-system"),
        *SYSTEM,
        switch=kernel_switch(OvsPort("vnet0", ("vnet0",), 7), interfaces=[OvsInterface("vnet0")]),
    )
    assert routes(snapshot) == [
        "guest:g@0 vhost:g@0 tap:vnet0 ovs_bridge:br-int patch:po patch:pi ovs_bridge:br-ex port:a@0"
    ]


def test_without_a_tap_the_path_starts_at_the_bridge_of_open_vswitch() -> None:
    snapshot = wired(
        *SYSTEM, interfaces=[replace(TAP, source="br-ex", target=None)], switch=kernel_switch(interfaces=[])
    )
    assert routes(snapshot) == ["guest:g@0 vhost:g@0 ovs_bridge:br-ex port:a@0"]


def test_a_hybrid_bridge_leads_through_its_veth_pair_into_open_vswitch() -> None:
    snapshot = wired(
        Link("vnet0", "tap", master="qbr"),
        Link("qbr", "bridge"),
        Link("qvb", "veth", master="qbr", peer="qvo"),
        Link("qvo", "veth", master="ovs-system", peer="qvb"),
        *SYSTEM,
        switch=kernel_switch(OvsPort("qvo", ("qvo",)), interfaces=[OvsInterface("qvo")]),
    )
    (route,) = routes(snapshot)
    assert route == (
        "guest:g@0 vhost:g@0 tap:vnet0 bridge:qbr veth:qvb veth:qvo "
        "ovs_bridge:br-int patch:po patch:pi ovs_bridge:br-ex port:a@0"
    )


def test_a_port_of_an_open_vswitch_that_could_not_be_asked_leads_nowhere() -> None:
    found = path(wired(Link("vnet0", "tap", master="ovs-system"), *SYSTEM))
    assert [spelled(route) for route in found.routes] == ["guest:g@0 vhost:g@0 tap:vnet0"]
    assert found.unknown == (
        "no physical port is reached from vnet0",
        "vnet0 is a port of Open vSwitch, whose bridges nobody could say",
    )


def test_tunnels_and_nameless_dpdk_ports_are_ways_out_that_are_not_followed() -> None:
    ports = (OvsPort("vnet0", ("vnet0",)), OvsPort("vx", ("vx",)), OvsPort("dpdk9", ("dpdk9",)))
    interfaces = (OvsInterface("vnet0"), OvsInterface("vx", "vxlan", remote="192.0.2.7"), OvsInterface("dpdk9", "dpdk"))
    snapshot = wired(
        Link("vnet0", "tap", master="ovs-system"), *SYSTEM, switch=kernel_switch(*ports, interfaces=interfaces)
    )
    assert path(snapshot).unknown == (
        "the function behind the DPDK port dpdk9 is not known",
        "tunnel vx to 192.0.2.7 leaves by the host's routes, which are not followed",
    )
