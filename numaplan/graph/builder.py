"""The graph while it grows; what is put into it stands in `build`, `guests` and `switch`."""

from networkx import Graph

from numaplan.cpuset import CpuId
from numaplan.graph.keys import Edge, Vertex, cpu_key, link_key, node_key, ovs_interface_key, pci_key
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId


class GraphBuilder:
    """A second mention of a node or an edge adds to the first.

    Attributes that are None or empty are left out: GraphML has neither. True and false are 1 and 0.
    """

    def __init__(self) -> None:
        self.graph: Graph[str] = Graph()

    def vertex(self, key: str, kind: Vertex, **attributes: str | int | None) -> str:
        """A node of the graph, and its key."""
        self.graph.add_node(key, kind=kind.value, **_said(attributes))
        return key

    def edge(self, one: str, other: str, kind: Edge, **attributes: str | int | None) -> None:
        """An edge between two; nothing is joined with itself."""
        if one != other:
            self.graph.add_edge(one, other, kind=kind.value, **_said(attributes))

    def member(self, whole: str, part: str) -> None:
        """A part of something; the graph is undirected, so the edge says which of the two is the whole."""
        self.edge(whole, part, Edge.MEMBER, of=whole)

    def node(self, node: NodeId) -> str:
        """A NUMA node."""
        return self._mention(node_key(node), Vertex.NODE, id=node)

    def cpu(self, cpu: CpuId) -> str:
        """A CPU."""
        return self._mention(cpu_key(cpu), Vertex.CPU, id=cpu)

    def pci(self, address: PciAddress) -> str:
        """A PCI function."""
        return self._mention(pci_key(address), Vertex.PCI, address=str(address))

    def link(self, name: str) -> str:
        """An interface of the host."""
        return self._mention(link_key(name), Vertex.LINK, name=name)

    def ovs_interface(self, name: str) -> str:
        """An interface of Open vSwitch."""
        return self._mention(ovs_interface_key(name), Vertex.OVS_INTERFACE, name=name)

    def _mention(self, key: str, kind: Vertex, **attributes: str | int) -> str:
        return key if key in self.graph else self.vertex(key, kind, **attributes)


def _said(attributes: dict[str, str | int | None]) -> dict[str, str | int]:
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in attributes.items()
        if value is not None and value != ""
    }
