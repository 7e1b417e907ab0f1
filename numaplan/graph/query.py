"""Questions to the graph of a host."""

from typing import Final

from networkx import Graph

from numaplan.cpuset import CpuId
from numaplan.graph.keys import Edge, Vertex, cpu_key, guest_key, node_key, pci_key
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId

# SLIT: 10 is "local" (ACPI 6.5, section 5.2.17).
LOCAL_DISTANCE: Final = 10
UNKNOWN_REMOTE: Final = 10


def distance(graph: "Graph[str]", one: NodeId, other: NodeId) -> int:
    """The larger of the two SLIT entries less 10, never below 0.

    Where the host does not say: 0 on one node, 10 between two.
    """
    if one == other:
        entry = graph.nodes.get(node_key(one), {}).get("distance")
        return 0 if entry is None else max(0, int(entry) - LOCAL_DISTANCE)
    edge = graph.get_edge_data(node_key(one), node_key(other))
    return UNKNOWN_REMOTE if edge is None else max(0, int(edge["weight"]) - LOCAL_DISTANCE)


def node_of(graph: "Graph[str]", device: PciAddress) -> NodeId | None:
    """The node that a device is near; a VF's is its PF's. None where the host does not say, or lacks the device."""
    key = pci_key(device)
    if key not in graph:
        return None
    physfn = graph.nodes[key].get("physfn")
    parent = key if physfn is None else pci_key(PciAddress.parse(physfn))
    # A PF that only its VF speaks of has no vendor: the VF's own word is then all there is.
    return _near(graph, parent if "vendor" in graph.nodes[parent] else key)


def nearest_nodes(graph: "Graph[str]", device: PciAddress) -> tuple[NodeId, ...]:
    """All nodes of the host, the nearest to the device first, equally near ones by id; () where its node is unknown."""
    home = node_of(graph, device)
    if home is None:
        return ()
    return tuple(sorted(nodes(graph), key=lambda node: (distance(graph, home, node), node != home, node)))


def nodes(graph: "Graph[str]") -> tuple[NodeId, ...]:
    """The ids of all nodes, in numeric order."""
    return tuple(sorted(NodeId(data["id"]) for _, data in graph.nodes(data=True) if data["kind"] == Vertex.NODE))


def devices_at(graph: "Graph[str]", node: NodeId) -> tuple[PciAddress, ...]:
    """The PCI functions that the host says are near the node, by address."""
    found = _neighbours(graph, node_key(node), Edge.NEAR)
    return tuple(sorted(PciAddress.parse(graph.nodes[key]["address"]) for key in found))


def guests_on(graph: "Graph[str]", cpu: CpuId) -> tuple[str, ...]:
    """The names of the guests that are confined to CPUs among which is this one; guests that float anywhere are not."""
    return _guest_names(_neighbours(graph, cpu_key(cpu), Edge.PINS))


def users_of(graph: "Graph[str]", device: PciAddress) -> tuple[str, ...]:
    """The names of the guests that a device is handed to."""
    return _guest_names(_neighbours(graph, pci_key(device), Edge.USES))


def _guest_names(keys: list[str]) -> tuple[str, ...]:
    return tuple(sorted(key.removeprefix(guest_key("")) for key in keys))


def _neighbours(graph: "Graph[str]", key: str, kind: Edge) -> list[str]:
    if key not in graph:
        return []
    return [other for other, edge in graph.adj[key].items() if edge["kind"] == kind]


def _near(graph: "Graph[str]", key: str) -> NodeId | None:
    return next((NodeId(graph.nodes[other]["id"]) for other in _neighbours(graph, key, Edge.NEAR)), None)
