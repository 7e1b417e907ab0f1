"""What is missing on a way for a guest to lie on nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from numaplan.model.host import NodeId

Nodes = tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing: on one `node`, or (None) on the nodes of a way together."""

    node: NodeId | None
    sentence: str


def listed(nodes: Sequence[NodeId]) -> str:
    """``node 0``, ``nodes 0 and 2``, ``nodes 0, 1 and 2``."""
    if len(nodes) == 1:
        return f"node {nodes[0]}"
    return f"nodes {', '.join(map(str, nodes[:-1]))} and {nodes[-1]}"
