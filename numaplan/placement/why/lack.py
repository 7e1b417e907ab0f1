"""What is missing on a way for a guest to lie on nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from numaplan.cpuset import format_id_list
from numaplan.model.host import NodeId
from numaplan.placement.problem import GuestClass

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


def for_cells(guests: GuestClass, cells: Sequence[int]) -> str:
    """Which cells of several it is that a node cannot take: others, or fewer of them, may well lie there."""
    if len(set(guests.cells)) == 1:
        return f" for {len(cells)} cells" if len(cells) > 1 else ""
    return f" for cell{'s' * (len(cells) > 1)} {format_id_list(cells)}"
