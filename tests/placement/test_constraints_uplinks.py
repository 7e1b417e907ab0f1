"""Ports of bridges: where traffic leaves the host, for the search and for the proof alike."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from numaplan.cpuset import CpuSet
from numaplan.domxml.fragment import needed_guest
from numaplan.domxml.patch import patch_guest
from numaplan.model.devices import Link, PciAddress
from numaplan.model.host import NodeId
from numaplan.model.plan import Status
from numaplan.model.request import Affinity, InterfaceRequest, InterfaceType, Request
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, OvsPort
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.ports import no_port_near
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import verify
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.random_cases_hosts import BRIDGES
from tests.placement.verify_cases import POLICY, cell, found, guest, placed

ALL = replace(POLICY, reserved_cpus=CpuSet.parse(""), shared_cpus=None)
NICS = (Nic("ens0", 0, 1), Nic("ens1", 1, 1))
PF0, PF1 = PciAddress(0, 0x10, 0, 0), PciAddress(0, 0x20, 0, 0)


def port(
    bridge: str, kind: InterfaceType = InterfaceType.VHOSTUSER, *, affinity: Affinity = Affinity.PREFERRED
) -> InterfaceRequest:
    return InterfaceRequest("mgmt", kind, bridge=bridge, affinity=affinity)


def wired(*links: Link, switch: OpenVswitch | None = None, nics: Sequence[Nic] = NICS) -> Snapshot:
    """Two nodes of two CPUs, a PF on each, and these links beside those of the PFs."""
    snapshot = host("2n:2c:1t", nics=nics)
    names = {link.name for link in links}
    own = [link for link in snapshot.links if link.name not in names]
    return replace(snapshot, links=tuple(sorted((*own, *links), key=lambda link: link.name)), openvswitch=switch)


def switch(*bridges: tuple[str, Sequence[OvsInterface]], bonded: bool = False) -> OpenVswitch:
    """Bridges with these interfaces, each a port of its own, or all of a bridge one bond."""
    return OpenVswitch(
        bridges=tuple(
            OvsBridge(
                name,
                "netdev",
                (OvsPort("bond", tuple(i.name for i in inside)),)
                if bonded
                else tuple(OvsPort(i.name, (i.name,)) for i in inside),
            )
            for name, inside in bridges
        ),
        interfaces=tuple(sorted((i for _, inside in bridges for i in inside), key=lambda i: i.name)),
    )


def uplink(snapshot: Snapshot, bridge: str = "br0") -> int | None:
    """What search and proof say alike."""
    request = Request(ALL, (guest("a", 1, interfaces=(port(bridge),)),))
    searched = host_facts(request, snapshot).uplink_node(bridge)
    assert Facts(request, snapshot).uplinks.node(bridge) == searched
    return searched


def dpdk(name: str, function: PciAddress | None, node: int | None = None) -> OvsInterface:
    return OvsInterface(name, "dpdk", pci=function, node=None if node is None else NodeId(node))


def patch(name: str, peer: str) -> OvsInterface:
    return OvsInterface(name, "patch", peer=peer)


SNAPSHOTS = {
    "a bridge on a PF": (wired(Link("br0", "bridge", lowers=("ens1",))), 1),
    "a PF that names its bridge": (wired(Link("br0", "bridge"), Link("ens1", pci=PF1, master="br0")), 1),
    "a bridge on a VLAN": (
        wired(Link("br0", "bridge", lowers=("ens1.5",)), Link("ens1.5", "vlan", lowers=("ens1",))),
        1,
    ),
    "a bond of two nodes": (
        wired(Link("br0", "bridge", lowers=("up",)), Link("up", "bond", lowers=("ens0", "ens1"))),
        None,
    ),
    "a bond that bears the function of its first member": (
        wired(Link("br0", "bridge", lowers=("up",)), Link("up", "bond", pci=PF0, lowers=("ens1",))),
        1,
    ),
    "a bridge without ports": (wired(Link("br0", "bridge")), None),
    "no such bridge": (wired(), None),
    "a tap beside a PF": (wired(Link("br0", "bridge", lowers=("ens1", "tap0")), Link("tap0", "tap")), 1),
    "a port of DPDK": (wired(switch=switch(("br0", [dpdk("p0", PF1)]))), 1),
    "a port of DPDK whose function is not shown": (
        wired(switch=switch(("br0", [dpdk("p0", PciAddress(0, 0x77, 0, 0), 1)]))),
        1,
    ),
    "the node of a vhost-user port is that of a guest": (
        wired(switch=switch(("br0", [OvsInterface("v", "dpdkvhostuserclient", node=NodeId(1))]))),
        None,
    ),
    "a bond of DPDK on one node": (
        wired(switch=switch(("br0", [dpdk("p0", PF1), dpdk("p1", PF1)]), bonded=True)),
        1,
    ),
    "an interface of the host": (wired(switch=switch(("br0", [OvsInterface("ens1")]))), 1),
    "a patch to the bridge of the PF": (
        wired(
            switch=switch(
                ("br0", [OvsInterface("br0", "internal"), patch("a", "b")]),
                ("br-ex", [OvsInterface("br-ex", "internal"), patch("b", "a"), dpdk("p0", PF1)]),
            )
        ),
        1,
    ),
    "a veth pair from the kernel's bridge": (
        wired(
            Link("br0", "bridge", lowers=("qvb",)),
            Link("qvb", "veth", master="br0", peer="qvo"),
            Link("qvo", "veth", master="ovs-system", peer="qvb"),
            switch=switch(("br-ex", [OvsInterface("qvo"), OvsInterface("ens1")])),
        ),
        1,
    ),
    "an internal port in the kernel's bridge": (
        wired(
            Link("br0", "bridge", lowers=("int0",)),
            Link("int0", "openvswitch", master="br0"),
            switch=switch(("br-ex", [OvsInterface("int0", "internal"), OvsInterface("ens1")])),
        ),
        1,
    ),
    "a tunnel": (wired(switch=switch(("br0", [OvsInterface("t", "vxlan", remote="192.0.2.1")]))), None),
    "two bridges that lead to each other": (
        wired(switch=switch(("br0", [patch("a", "b")]), ("br1", [patch("b", "a")]))),
        None,
    ),
}


@pytest.mark.parametrize("case", SNAPSHOTS)
def test_the_uplink_is_on_the_node_of_the_physical_port(case: str) -> None:
    snapshot, node = SNAPSHOTS[case]
    assert uplink(snapshot) == node


def test_a_pf_without_a_node_is_an_uplink_that_is_not_known() -> None:
    snapshot = wired(Link("br0", "bridge", lowers=("ens0",)), nics=[Nic("ens0", None, 1)])
    assert uplink(snapshot) is None


@settings(max_examples=draws(25), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(odd=True))
def test_search_and_proof_find_the_same_uplinks(case: Case) -> None:
    for bridge in BRIDGES:
        uplink(case.snapshot, bridge)


LEADS = wired(switch=switch(("br0", [dpdk("p0", PF1)])))


def asking(*interfaces: InterfaceRequest) -> Request:
    return Request(ALL, (guest("a", 1, interfaces=interfaces),))


@pytest.mark.parametrize("kind", [InterfaceType.VIRTIO, InterfaceType.VHOSTUSER])
@pytest.mark.parametrize("affinity", [Affinity.PREFERRED, Affinity.REQUIRED])
def test_a_port_draws_its_guest_to_the_uplink(kind: InterfaceType, affinity: Affinity) -> None:
    request = asking(port("br0", kind, affinity=affinity))
    plan = solve(request, LEADS, budget=Budget())
    assert plan.status is Status.OPTIMAL
    assert plan.placements[0].nodes == (NodeId(1),)
    assert plan.placements[0].interfaces == ()
    assert verify(request, LEADS, plan) == ()


def test_a_far_port_costs_as_much_as_a_vf() -> None:
    request = Request(replace(ALL, reserved_cpus=CpuSet.parse("2-3")), asking(port("br0")).guests)
    plan = solve(request, LEADS, budget=Budget())
    assert [level.value for level in plan.levels if level.name == "cross_node_cost"] == [110]
    assert verify(request, LEADS, plan) == ()


def test_socket_is_satisfied_by_the_other_node_of_the_package() -> None:
    near = replace(host("2n:2c:1t", nodes_per_package=2, nics=NICS), openvswitch=LEADS.openvswitch)
    policy = replace(ALL, reserved_cpus=CpuSet.parse("2-3"))
    request = Request(policy, asking(port("br0", affinity=Affinity.SOCKET)).guests)
    assert solve(request, near, budget=Budget()).status is Status.OPTIMAL
    assert solve(request, LEADS, budget=Budget()).status is Status.INFEASIBLE


def test_a_package_has_the_nodes_that_it_names_and_those_that_name_it() -> None:
    near = replace(host("2n:2c:1t", nodes_per_package=2, nics=NICS), openvswitch=LEADS.openvswitch)
    request = Request(
        replace(ALL, reserved_cpus=CpuSet.parse("2-3")), asking(port("br0", affinity=Affinity.SOCKET)).guests
    )
    silent_node = replace(near, nodes=tuple(replace(n, packages=n.packages[: n.id == 0]) for n in near.nodes))
    silent_package = replace(near, packages=tuple(replace(one, numa_nodes=()) for one in near.packages))
    for snapshot in (silent_node, silent_package):
        plan = solve(request, snapshot, budget=Budget())
        assert plan.status is Status.OPTIMAL
        assert verify(request, snapshot, plan) == ()


def test_one_cell_near_the_port_is_enough() -> None:
    request = Request(ALL, (guest("a", 1, cells=2, interfaces=(port("br0", affinity=Affinity.REQUIRED),)),))
    plan = solve(request, LEADS, budget=Budget())
    assert plan.status is Status.OPTIMAL
    assert verify(request, LEADS, plan) == ()


def test_a_port_whose_uplink_is_not_known_costs_nothing_and_of_a_vhost_user_port_a_note_says_so() -> None:
    snapshot = wired(Link("br0", "bridge"))
    plan = solve(asking(port("br0")), snapshot, budget=Budget())
    assert [level.value for level in plan.levels if level.name == "cross_node_cost"] == [0]
    assert plan.notes == ('the node of the physical port of bridge "br0" is not known: it counts in no cost',)
    assert host_facts(asking(port("br0", InterfaceType.VIRTIO)), snapshot).notes == ()


@pytest.mark.parametrize("kind", [InterfaceType.VIRTIO, InterfaceType.VHOSTUSER])
def test_a_bridge_that_a_host_has_not_beside_others_is_told_with_the_first_that_names_it(kind: InterfaceType) -> None:
    guests = tuple(guest(name, 1, interfaces=(port("br-none", kind),)) for name in "ab")
    for snapshot in (LEADS, wired(Link("br0", "bridge"))):
        assert host_facts(Request(ALL, guests), snapshot).notes == (
            'a: the host has no bridge "br-none", which interface "mgmt" names: it counts in no cost',
        )


def test_on_a_host_without_bridges_a_management_port_is_not_told() -> None:
    assert host_facts(asking(port("br-none", InterfaceType.VIRTIO)), wired()).notes == ()


def reason(request: Request, snapshot: Snapshot) -> str | None:
    assert solve(request, snapshot, budget=Budget()).status is Status.INFEASIBLE
    problem = build_problem(request, host_facts(request, snapshot))
    return no_port_near(problem, problem.classes[0])


def test_a_port_that_must_be_near_and_cannot_be_is_told_with_its_node() -> None:
    required = port("br0", affinity=Affinity.REQUIRED)
    crowded = Request(replace(ALL, reserved_cpus=CpuSet.parse("2-3")), asking(required).guests)
    wish = 'interface "mgmt" needs the physical port of bridge "br0" with affinity required'
    assert reason(crowded, LEADS) == f"{wish}: it is on node 1; node 1: 0 free CPUs, needs 1"
    assert reason(asking(port("br-none", affinity=Affinity.SOCKET)), LEADS) == (
        'interface "mgmt" needs the physical port of bridge "br-none" with affinity socket:'
        " the host does not say that it has one, on one node"
    )


def test_ports_on_two_nodes_have_no_place_for_one_cell() -> None:
    both = wired(switch=switch(("br0", [dpdk("p0", PF1)]), ("br1", [dpdk("p1", PF0)])))
    ports = [replace(port(bridge, affinity=Affinity.REQUIRED), name=bridge) for bridge in ("br0", "br1")]
    assert reason(asking(*ports), both) == (
        'its ports are not near each other: interface "br0" the physical port of bridge "br0" with affinity required'
        ' (node 1), interface "br1" the physical port of bridge "br1" with affinity required (node 0),'
        " and no way to lie on nodes is near all of them"
    )
    two_cells = Request(ALL, (guest("a", 1, cells=2, interfaces=tuple(ports)),))
    assert solve(two_cells, both, budget=Budget()).status is Status.OPTIMAL


def test_a_plan_that_puts_a_guest_far_from_its_port_is_refused() -> None:
    far = placed("a", cell(0, "0"), emulator="1")
    preferred, required = (
        guest("a", 1, interfaces=(port("br0", affinity=affinity),))
        for affinity in (Affinity.PREFERRED, Affinity.REQUIRED)
    )
    assert found(Request(ALL, (preferred,)), LEADS, far) == ()
    (violation,) = found(Request(ALL, (required,)), LEADS, far)
    where = 'the uplink of bridge "br0" of guest "a" interface "mgmt" is at node 1'
    assert violation.constraint == "port_affinity"
    assert violation.sentence == f"{where}; affinity required needs it near the guest's nodes [0]"


def test_the_xml_of_a_vhost_user_interface_is_left_alone() -> None:
    interface = """\
    <interface type='vhostuser'>
      <mac address='52:54:00:00:00:01'/>
      <source type='unix' path='/run/vhost/v0' mode='server'/>
      <model type='virtio'/>
    </interface>
"""
    xml = f"""\
<domain type='kvm'>
  <name>a</name>
  <memory unit='KiB'>1048576</memory>
  <vcpu placement='static'>1</vcpu>
  <os><type>hvm</type></os>
  <devices>
{interface}  </devices>
</domain>
"""
    request = asking(port("br0"))
    plan = solve(request, LEADS, budget=Budget())
    asked, placement = request.guests[0], plan.placements[0]
    patched = patch_guest(xml.encode(), "a.xml", request=asked, placement=placement, host=LEADS, change_topology=False)
    assert interface in patched.data.decode()
    assert "vhostuser" not in needed_guest(asked, placement, LEADS).data.decode()


def test_a_bridge_with_ports_on_several_nodes_is_told_with_these() -> None:
    both = wired(switch=switch(("br0", [dpdk("p0", PF1), dpdk("p1", PF0)])))
    plan = solve(asking(port("br0")), both, budget=Budget())
    assert 'the physical ports of bridge "br0" lie on several nodes (0-1): they count in no cost' in plan.notes
    required = asking(port("br0", affinity=Affinity.REQUIRED))
    wish = 'interface "mgmt" needs the physical port of bridge "br0" with affinity required'
    assert reason(required, both) == f"{wish}: its ports lie on several nodes (0-1)"
    found, _ = conflict(required, host_facts(required, both))
    assert found.members[-1].sentence == (
        'interface "mgmt" with affinity required: needs its uplink on a node of the guest;'
        " bridge br0 leads to several nodes (0-1)"
    )
