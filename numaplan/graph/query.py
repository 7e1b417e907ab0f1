"""Questions to the graph of a host."""

from collections.abc import Mapping
from typing import Final

from networkx import Graph

from numaplan.cpuset import CpuId, CpuSet
from numaplan.graph.keys import Edge, Vertex, cpu_key, guest_key, node_key, pci_key
from numaplan.graph.slit import span
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.path import Span

# SLIT: 10 is "local" (ACPI 6.5, section 5.2.17).
LOCAL_DISTANCE: Final = 10
UNKNOWN_REMOTE: Final = 10

# What says where a thing is, the best first.
_PLACED_BY: Final[Mapping[Vertex, tuple[tuple[Edge, Vertex], ...]]] = {
    Vertex.HOST: ((Edge.CONTAINS, Vertex.NODE),),
    Vertex.PACKAGE: ((Edge.CONTAINS, Vertex.NODE),),
    Vertex.DIE: ((Edge.CONTAINS, Vertex.CORE),),
    Vertex.LLC: ((Edge.CONTAINS, Vertex.NODE),),
    Vertex.CORE: ((Edge.CONTAINS, Vertex.NODE),),
    Vertex.CPU: ((Edge.CONTAINS, Vertex.CORE),),
    Vertex.POOL: ((Edge.CONTAINS, Vertex.NODE),),
    Vertex.LINK: ((Edge.LINK, Vertex.PCI),),
    Vertex.OVS_INTERFACE: ((Edge.LINK, Vertex.PCI), (Edge.LINK, Vertex.LINK)),
    Vertex.PMD: ((Edge.PINS, Vertex.CPU),),
    Vertex.INTERFACE: ((Edge.LINK, Vertex.PCI), (Edge.CONTAINS, Vertex.GUEST)),
}


def distance(graph: "Graph[str]", one: NodeId, other: NodeId) -> int:
    """The larger of the two SLIT entries less 10, never below 0.

    Where the host does not say: 0 on one node, 10 between two.
    """
    if one == other:
        entry = graph.nodes.get(node_key(one), {}).get("distance")
        return 0 if entry is None else max(0, int(entry) - LOCAL_DISTANCE)
    edge = graph.get_edge_data(node_key(one), node_key(other))
    return UNKNOWN_REMOTE if edge is None else max(0, int(edge["weight"]) - LOCAL_DISTANCE)


def separation(graph: "Graph[str]", one: str, other: str) -> Span | None:
    """SLIT entries between any two things of the graph by their keys: of their nearest nodes and of their farthest.

    10 is "on one node". None where the host does not say, or does not say where one of the two is; unlike `distance`,
    which puts a number on what is not known.
    """
    return span(lambda a, b: _slit_entry(graph, a, b), nodes_of(graph, one), nodes_of(graph, other))


def nodes_of(graph: "Graph[str]", key: str) -> tuple[NodeId, ...]:
    """The NUMA nodes on which anything in the graph is, in numeric order; () where that is not known.

    A guest is where its vCPUs may run: everywhere that there are CPUs, where they are confined to none. A bridge, bond
    or VLAN is where its ports are.
    """
    found: set[NodeId] = set()
    seen: set[str] = set()
    todo = [key]
    while todo:
        here = todo.pop()
        if here in seen or here not in graph:
            continue
        seen.add(here)
        own = _own_node(graph, here)
        if own is None:
            todo.extend(_parts(graph, here))
        else:
            found.add(own)
    return tuple(sorted(found))


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
    return _guest_names(_neighbours(graph, cpu_key(cpu), Edge.PINS, only=Vertex.GUEST))


def users_of(graph: "Graph[str]", device: PciAddress) -> tuple[str, ...]:
    """The names of the guests that a device is handed to."""
    return _guest_names(_neighbours(graph, pci_key(device), Edge.USES))


def _slit_entry(graph: "Graph[str]", one: NodeId, other: NodeId) -> int | None:
    if one == other:
        entry = graph.nodes[node_key(one)].get("distance")
    else:
        entry = (graph.get_edge_data(node_key(one), node_key(other)) or {}).get("weight")
    return None if entry is None else int(entry)


def _own_node(graph: "Graph[str]", key: str) -> NodeId | None:
    data = graph.nodes[key]
    if data["kind"] == Vertex.NODE:
        return NodeId(data["id"])
    if data["kind"] == Vertex.PCI:
        return node_of(graph, PciAddress.parse(data["address"]))
    return _near(graph, key)


def _parts(graph: "Graph[str]", key: str) -> list[str]:
    """The things whose nodes are those of a thing that has none of its own."""
    data = graph.nodes[key]
    kind = Vertex(data["kind"])
    if kind is Vertex.GUEST:
        cpus = data.get("vcpu_cpus")
        if cpus is None:
            return [node_key(node) for node in nodes(graph) if graph.nodes[node_key(node)].get("cpus")]
        return [cpu_key(cpu) for cpu in CpuSet.parse(cpus)]
    ways = (_neighbours(graph, key, edge, only=other) for edge, other in _PLACED_BY.get(kind, ()))
    return next((way for way in ways if way), []) or _members(graph, key)


def _members(graph: "Graph[str]", key: str) -> list[str]:
    edges = graph.adj[key].items()
    return [other for other, edge in edges if edge["kind"] == Edge.MEMBER and edge.get("of") == key]


def _guest_names(keys: list[str]) -> tuple[str, ...]:
    return tuple(sorted(key.removeprefix(guest_key("")) for key in keys))


def _neighbours(graph: "Graph[str]", key: str, kind: Edge, *, only: Vertex | None = None) -> list[str]:
    if key not in graph:
        return []
    found = [other for other, edge in graph.adj[key].items() if edge["kind"] == kind]
    return found if only is None else [other for other in found if graph.nodes[other]["kind"] == only]


def _near(graph: "Graph[str]", key: str) -> NodeId | None:
    return next((NodeId(graph.nodes[other]["id"]) for other in _neighbours(graph, key, Edge.NEAR)), None)
