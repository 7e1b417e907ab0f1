"""Open vSwitch in the graph: bridges, ports, interfaces, and the threads that poll them."""

from collections.abc import Collection

from numaplan.cpuset import format_id_list
from numaplan.graph.builder import GraphBuilder
from numaplan.graph.keys import (
    HOST,
    OPENVSWITCH,
    Edge,
    Vertex,
    ovs_bridge_key,
    ovs_interface_key,
    ovs_port_key,
    pmd_key,
)
from numaplan.model.switch import OpenVswitch, OvsBridge, OvsInterface, PmdThread


def add_switch(builder: GraphBuilder, switch: OpenVswitch, *, links: Collection[str]) -> None:
    """The switch; its interface of the name of one of the host's `links` is that link."""
    key = builder.vertex(
        OPENVSWITCH,
        Vertex.OPENVSWITCH,
        version=switch.version,
        dpdk=switch.dpdk,
        dpdk_init=switch.dpdk_init,
        hardware_offload=switch.hardware_offload,
        pmd_cpus=None if switch.pmd_cpus is None else str(switch.pmd_cpus),
        lcore_cpus=None if switch.lcore_cpus is None else str(switch.lcore_cpus),
    )
    builder.edge(HOST, key, Edge.CONTAINS)
    for memory in switch.socket_memory:
        builder.edge(key, builder.node(memory.node), Edge.BINDS, size_kib=memory.size_kib)
    for bridge in switch.bridges:
        builder.edge(key, _add_bridge(builder, bridge), Edge.CONTAINS)
    for interface in switch.interfaces:
        _add_interface(builder, interface, is_link=interface.name in links)
    for pmd in switch.pmds:
        builder.edge(key, _add_pmd(builder, pmd), Edge.CONTAINS)


def _add_bridge(builder: GraphBuilder, bridge: OvsBridge) -> str:
    key = builder.vertex(ovs_bridge_key(bridge.name), Vertex.OVS_BRIDGE, name=bridge.name, datapath=bridge.datapath)
    for port in bridge.ports:
        part = builder.vertex(ovs_port_key(port.name), Vertex.OVS_PORT, name=port.name, vlan=port.vlan)
        builder.member(key, part)
        for interface in port.interfaces:
            builder.member(part, builder.ovs_interface(interface))
    return key


def _add_interface(builder: GraphBuilder, interface: OvsInterface, *, is_link: bool) -> None:
    key = builder.vertex(
        ovs_interface_key(interface.name),
        Vertex.OVS_INTERFACE,
        name=interface.name,
        interface_type=interface.type,
        socket=interface.socket,
        remote=interface.remote,
        rx_queues=interface.rx_queues,
    )
    if is_link:
        builder.edge(key, builder.link(interface.name), Edge.LINK)
    if interface.pci is not None:
        builder.edge(key, builder.pci(interface.pci), Edge.LINK)
    if interface.peer is not None:
        builder.edge(key, builder.ovs_interface(interface.peer), Edge.LINK)
    if interface.node is not None:
        builder.edge(key, builder.node(interface.node), Edge.NEAR)


def _add_pmd(builder: GraphBuilder, pmd: PmdThread) -> str:
    key = builder.vertex(pmd_key(pmd.cpu), Vertex.PMD, id=pmd.cpu, isolated=pmd.isolated)
    builder.edge(key, builder.cpu(pmd.cpu), Edge.PINS)
    if pmd.node is not None:
        builder.edge(key, builder.node(pmd.node), Edge.NEAR)
    queues: dict[str, set[int]] = {}
    for queue in pmd.queues:
        queues.setdefault(queue.interface, set()).add(queue.queue)
    for interface, numbers in queues.items():
        builder.edge(key, builder.ovs_interface(interface), Edge.POLLS, queue_ids=format_id_list(numbers))
    return key
