"""On which node the traffic of a bridge leaves the host: through bonds, VLANs and other bridges, by physical ports.

And what is to be said of bridges of which that is not known.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.model.devices import Link, PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.request import GuestRequest, InterfaceType
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OvsInterface

# Kinds of link that are bridges, of the kernel or of Open vSwitch.
_BRIDGES: Final = frozenset({"bridge", "openvswitch"})
# A careless source gives these the function of a port below them.
_STACKED: Final = frozenset({"bridge", "bond", "team"})
# The kernel's datapath is the master of every port, whatever bridge it belongs to.
_OVS_DATAPATH: Final = "ovs-system"


def port_nodes(
    snapshot: Snapshot, bridges: Iterable[str], devices: Mapping[PciAddress, PciDevice]
) -> dict[str, frozenset[NodeId]]:
    """Each of these bridges with the nodes of its physical ports, as far as they are known.

    Traffic goes down from a bridge to its ports, and crosses to another bridge by a veth pair, a patch port or an
    internal port of Open vSwitch. Taps, vhost-user sockets and tunnels lead to no port.
    """
    wires = _Wires(snapshot, devices)
    return {bridge: wires.nodes_below(bridge) for bridge in sorted(set(bridges))}


def uplink_notes(
    guests: Iterable[GuestRequest], snapshot: Snapshot, nodes: Mapping[str, frozenset[NodeId]]
) -> list[str]:
    """A note for each bridge that is not there, and for those of vhost-user ports that have not one node of `nodes`.

    Of a management port nobody expects more than its bridge; a vhost-user port carries the guest's packets.
    """
    absent = _absent(snapshot, nodes)
    notes: dict[str, str] = {}
    for vm, port in ((guest.vm, port) for guest in guests for port in guest.interfaces):
        bridge = port.bridge
        if bridge is None or bridge in notes:
            continue
        if bridge in absent:
            what = f'{vm}: the host has no bridge "{bridge}", which interface "{port.name}" names'
            notes[bridge] = f"{what}: it counts in no cost"
        elif port.type is InterfaceType.VHOSTUSER and len(nodes[bridge]) > 1:
            on = format_id_list(nodes[bridge])
            notes[bridge] = (
                f'the physical ports of bridge "{bridge}" lie on several nodes ({on}): they count in no cost'
            )
        elif port.type is InterfaceType.VHOSTUSER and not nodes[bridge]:
            notes[bridge] = f'the node of the physical port of bridge "{bridge}" is not known: it counts in no cost'
    return list(notes.values())


def _absent(snapshot: Snapshot, bridges: Iterable[str]) -> frozenset[str]:
    """Those of these bridges that the host has not, where it has any: on one without, all may be yet to come."""
    switch = snapshot.openvswitch
    switches = frozenset(bridge.name for bridge in (() if switch is None else switch.bridges))
    if not switches and all(link.kind not in _BRIDGES for link in snapshot.links):
        return frozenset()
    return frozenset(bridges) - switches - {link.name for link in snapshot.links}


class _Wires:
    """What is plugged into what, by name: an interface of Open vSwitch has the name of the link that it is."""

    def __init__(self, snapshot: Snapshot, devices: Mapping[PciAddress, PciDevice]) -> None:
        switch = snapshot.openvswitch
        self._devices = devices
        self._links = {link.name: link for link in snapshot.links}
        self._plugged: dict[str, OvsInterface] = {} if switch is None else {i.name: i for i in switch.interfaces}
        self._members: dict[str, list[str]] = defaultdict(list)
        self._home: dict[str, str] = {}
        self._switches: dict[str, tuple[str, ...]] = {}
        for link in snapshot.links:
            if link.master not in (None, _OVS_DATAPATH):
                self._members[str(link.master)].append(link.name)
                self._home[link.name] = str(link.master)
        for bridge in () if switch is None else switch.bridges:
            inside = tuple(name for port in bridge.ports for name in port.interfaces)
            self._switches[bridge.name] = inside
            self._home |= dict.fromkeys(inside, bridge.name)

    def nodes_below(self, bridge: str) -> frozenset[NodeId]:
        """The nodes of all physical ports that can be reached from there."""
        nodes: set[NodeId] = set()
        seen: set[str] = set()
        pending = [bridge]
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            node = None if name in self._switches else self._port_node(name)
            if node is not None:
                nodes.add(node)
            pending += self._onward(name)
        return frozenset(nodes)

    def _onward(self, name: str) -> list[str]:
        if name in self._switches:
            return list(self._switches[name])
        link = self._links.get(name, Link(name))
        plugged = self._plugged.get(name)
        further = [*link.lowers, *self._members.get(name, ())]
        if plugged is not None and plugged.type == "internal" and name in self._home:
            further.append(self._home[name])
        peer = link.peer if plugged is None or plugged.peer is None else plugged.peer
        if peer is not None and peer in self._home:
            further.append(self._home[peer])
        return further

    def _port_node(self, name: str) -> NodeId | None:
        """The node of the function behind a name; of a DPDK port what Open vSwitch says where the host does not."""
        plugged = self._plugged.get(name)
        link = self._links.get(name)
        function = None if plugged is None else plugged.pci
        if function is None and link is not None and not self._is_stacked(link):
            function = link.pci
        device = None if function is None else self._devices.get(function)
        if device is not None:
            node = self._devices.get(device.physfn, device).numa_node if device.physfn else device.numa_node
            if node is not None:
                return node
        return plugged.node if plugged is not None and plugged.type == "dpdk" else None

    def _is_stacked(self, link: Link) -> bool:
        return link.kind in _STACKED or bool(link.lowers) or link.name in self._members
