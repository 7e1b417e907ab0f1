"""A capacity as text; the room that writes a form is imported for that form alone."""

from typing import assert_never

from numaplan.cli.forms import CapacityFormat
from numaplan.model.capacity import Capacity


def capacity_text(capacity: Capacity, form: CapacityFormat) -> str:
    """A capacity."""
    match form:
        case CapacityFormat.TABLE:
            from numaplan.report.capacity import capacity_table

            return capacity_table(capacity)
        case CapacityFormat.JSON:
            from numaplan.records.capacity import capacity_json

            return capacity_json(capacity)
    assert_never(form)
