"""Open vSwitch in an inventory: its settings, bridges with their ports, and polling threads."""

from typing import Final

from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OvsInterface
from numaplan.report.text import NONE, UNKNOWN, clean, facts, grid, known, number, wrap_list, yes
from numaplan.units import format_size

_LIST_WIDTH: Final = 72


def switch(snapshot: Snapshot) -> str:
    """What it is and what it was told to use."""
    ovs = snapshot.openvswitch
    if ovs is None:
        return ""
    rows = [
        ["Open vSwitch", known(ovs.version)],
        ["DPDK", yes(ovs.dpdk)],
        ["DPDK asked for", yes(ovs.dpdk_init)],
        ["hardware offload", yes(ovs.hardware_offload)],
        ["PMD CPUs asked for", NONE if ovs.pmd_cpus is None else wrap_list(str(ovs.pmd_cpus) or NONE, _LIST_WIDTH)],
        ["lcore CPUs", NONE if ovs.lcore_cpus is None else wrap_list(str(ovs.lcore_cpus) or NONE, _LIST_WIDTH)],
    ]
    memory = [f"node {part.node}: {format_size(part.size_kib)}" for part in ovs.socket_memory]
    return facts([*rows, ["socket memory", ", ".join(memory) or NONE]], indent="")


def switch_ports(snapshot: Snapshot) -> str:
    """A row an interface, under its bridge and port."""
    ovs = snapshot.openvswitch
    if ovs is None or not ovs.bridges:
        return ""
    known_ones = {interface.name: interface for interface in ovs.interfaces}
    rows: list[list[str]] = []
    for bridge in ovs.bridges:
        head = [clean(bridge.name), clean(bridge.datapath)]
        if not bridge.ports:
            rows.append([*head, *[NONE] * 7])
        for port in bridge.ports:
            vlan = NONE if port.vlan is None else str(port.vlan)
            if not port.interfaces:
                rows.append([*head, clean(port.name), vlan, *[NONE] * 5])
            rows += [
                [*head, clean(port.name), vlan, *_interface(name, known_ones.get(name))] for name in port.interfaces
            ]
    headers = ["bridge", "datapath", "port", "VLAN", "interface", "type", "node", "rx queues", "leads to"]
    return grid(headers, rows, right=["VLAN", "node", "rx queues"])


def _interface(name: str, interface: OvsInterface | None) -> list[str]:
    if interface is None:
        return [clean(name), *[UNKNOWN] * 4]
    ends = [] if interface.pci is None else [str(interface.pci)]
    ends += [clean(end) for end in (interface.socket, interface.peer, interface.remote) if end is not None]
    return [
        clean(name),
        clean(interface.type) or "system",
        number(interface.node),
        number(interface.rx_queues),
        "\n".join(ends) or NONE,
    ]


def switch_threads(snapshot: Snapshot) -> str:
    """Poll-mode threads and what each polls."""
    ovs = snapshot.openvswitch
    if ovs is None or not ovs.pmds:
        return ""
    rows = [
        [
            number(pmd.node),
            str(pmd.cpu),
            yes(pmd.isolated),
            "\n".join(f"{clean(queue.interface)} queue {queue.queue}" for queue in pmd.queues) or NONE,
        ]
        for pmd in ovs.pmds
    ]
    return grid(["node", "PMD on CPU", "isolated", "polls"], rows, right=["node", "PMD on CPU"])
