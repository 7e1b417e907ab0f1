"""Distances between nodes as the host's firmware tells them (ACPI, System Locality Information Table)."""

from collections.abc import Callable, Iterable

from numaplan.model.host import NodeId, NumaNode
from numaplan.model.path import Span


def slit_entries(nodes: Iterable[NumaNode]) -> dict[tuple[NodeId, NodeId], int]:
    """By pairs of nodes, the lower first: the larger of the two entries, which need not be equal."""
    entries: dict[tuple[NodeId, NodeId], int] = {}
    for node in nodes:
        for other, distance in node.distances:
            pair = (min(node.id, other), max(node.id, other))
            entries[pair] = max(distance, entries.get(pair, 0))
    return entries


def span(
    entry: Callable[[NodeId, NodeId], int | None], ones: Iterable[NodeId], others: Iterable[NodeId]
) -> Span | None:
    """The smallest and the largest entry between the two; None where one of them is not said, or there is no node."""
    targets = tuple(others)
    found = [entry(min(one, other), max(one, other)) for one in ones for other in targets]
    said = [distance for distance in found if distance is not None]
    return Span(min(said), max(said)) if said and len(said) == len(found) else None
