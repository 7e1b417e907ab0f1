"""Capacities to capacity JSON (schema ``numaplan/capacity/1``)."""

from typing import Final

from numaplan.model.capacity import Capacity
from numaplan.records.text import dump

CAPACITY_SCHEMA: Final = "numaplan/capacity/1"


def capacity_json(capacity: Capacity) -> str:
    """The capacity document; the same capacity, the same bytes."""
    short = [
        {"resource": row.resource, "numa_node": row.numa_node, "have": row.have, "need": row.need}
        for row in capacity.next.short
    ]
    return dump(
        {
            "schema": CAPACITY_SCHEMA,
            "vm": capacity.vm,
            "fit": capacity.fit,
            "proven": capacity.proven,
            "next": {"sentence": capacity.next.sentence, "short": short},
            "notes": list(capacity.notes),
        }
    )
