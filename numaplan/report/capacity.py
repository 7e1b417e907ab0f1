"""A capacity for an engineer's eyes: how many copies fit and where, and what one more would need."""

from collections import Counter

from numaplan.model.capacity import Capacity, Shortage
from numaplan.report.text import NONE, clean, grid, page


def capacity_table(capacity: Capacity) -> str:
    """The number first; what is short as a table; where the copies lie in the plan that was verified."""
    proven = "proven" if capacity.proven else "not proven: there may be room for more"
    copies = "1 copy fits" if capacity.fit == 1 else f"{capacity.fit} copies fit"
    return page(
        [
            f"{clean(capacity.vm)}: {copies} ({proven})",
            _places(capacity),
            clean(capacity.next.sentence),
            _shortages(capacity.next.short),
            "\n".join(f"note: {clean(note)}" for note in capacity.notes),
        ]
    )


def _places(capacity: Capacity) -> str:
    mine = set(capacity.copies)
    places = Counter(placement.nodes for placement in capacity.placements if placement.vm in mine)
    if not places:
        return ""
    rows = [[", ".join(map(str, nodes)), str(copies)] for nodes, copies in sorted(places.items())]
    return grid(["on node", "copies"], rows, right=["on node", "copies"])


def _shortages(short: tuple[Shortage, ...]) -> str:
    if not short:
        return ""
    rows = [
        [
            clean(row.resource) + (" (KiB)" if row.resource == "ordinary memory" else ""),
            NONE if row.numa_node is None else str(row.numa_node),
            str(row.have),
            str(row.need),
            str(row.missing),
        ]
        for row in short
    ]
    numbers = ["node", "have", "need", "missing"]
    return grid(["resource", *numbers], rows, right=numbers)
