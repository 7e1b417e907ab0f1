"""Where traffic of a bridge leaves the host: every name that it reaches, and of these the physical ports."""

from collections import defaultdict
from collections.abc import Callable

from numaplan.model.devices import Link, PciAddress
from numaplan.model.host import NodeId
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, OvsInterface

Step = tuple[str, str]

# Every port of Open vSwitch in the kernel has this master, whichever bridge it belongs to.
DATAPATH = "ovs-system"
# What lies on ports and is none, though some sources give it the function of one.
ON_PORTS = frozenset({"bridge", "bond", "team"})
NO_SWITCH = OpenVswitch()


class Uplinks:
    """The physical ports below the bridges of a host; `node_of` tells the node of a PCI function."""

    def __init__(self, snapshot: Snapshot, node_of: Callable[[PciAddress], NodeId | None]) -> None:
        switch = snapshot.openvswitch or NO_SWITCH
        self._node_of = node_of
        self._bridges = frozenset(bridge.name for bridge in switch.bridges)
        self._rows = {row.name: row for row in switch.interfaces}
        self._links = {link.name: link for link in snapshot.links}
        self._steps: defaultdict[str, set[str]] = defaultdict(set)
        steps = [*_down(snapshot, switch), *_across(snapshot, switch)]
        for upper, lower in steps:
            self._steps[upper].add(lower)
        self._stacked = {upper for upper, _ in _down(snapshot, NO_SWITCH)}
        self._known: dict[str, NodeId | None] = {}

    def node(self, bridge: str | None) -> NodeId | None:
        """The node of the ports that traffic of `bridge` leaves by; None where that is not known to be one node."""
        if bridge is None:
            return None
        if bridge not in self._known:
            self._known[bridge] = self._find(bridge)
        return self._known[bridge]

    def _find(self, bridge: str) -> NodeId | None:
        reached = {bridge}
        while more := {lower for name in reached for lower in self._steps.get(name, ())} - reached:
            reached |= more
        nodes = {node for name in reached - self._bridges if (node := self._port(name)) is not None}
        return next(iter(nodes)) if len(nodes) == 1 else None

    def _port(self, name: str) -> NodeId | None:
        row = self._rows.get(name, OvsInterface(name))
        link = self._links.get(name, Link(name))
        own = None if link.kind in ON_PORTS or name in self._stacked else link.pci
        function = own if row.pci is None else row.pci
        node = None if function is None else self._node_of(function)
        if node is None and row.type == "dpdk":
            return row.node
        return node


def _down(snapshot: Snapshot, switch: OpenVswitch) -> list[Step]:
    """(a bridge, bond or VLAN; what lies below it). A bridge of Open vSwitch has only its ports below it."""
    bridges = {bridge.name for bridge in switch.bridges}
    steps = [(bridge.name, name) for bridge in switch.bridges for port in bridge.ports for name in port.interfaces]
    steps += [(link.name, lower) for link in snapshot.links for lower in link.lowers if link.name not in bridges]
    steps += [
        (link.master, link.name)
        for link in snapshot.links
        if link.master is not None and link.master != DATAPATH and link.master not in bridges
    ]
    return steps


def _across(snapshot: Snapshot, switch: OpenVswitch) -> list[Step]:
    """(a patch port, veth end or internal port; the bridge that it leads into)."""
    rows = {row.name: row for row in switch.interfaces}
    homes = {link.name: link.master for link in snapshot.links if link.master not in (None, DATAPATH)}
    homes |= {name: bridge.name for bridge in switch.bridges for port in bridge.ports for name in port.interfaces}
    ends = [(row.name, row.peer) for row in switch.interfaces if row.peer is not None]
    ends += [
        (link.name, link.peer)
        for link in snapshot.links
        if link.peer is not None and (link.name not in rows or rows[link.name].peer is None)
    ]
    ends += [(row.name, row.name) for row in switch.interfaces if row.type == "internal"]
    bridges = {bridge.name for bridge in switch.bridges}
    return [(end, home) for end, other in ends if end not in bridges and (home := homes.get(other)) is not None]
