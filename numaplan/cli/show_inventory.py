"""An inventory as text; the room that writes a form is imported for that form alone."""

from typing import assert_never

from numaplan.cli.forms import InventoryFormat
from numaplan.model.snapshot import Snapshot


def inventory_text(snapshot: Snapshot, form: InventoryFormat) -> str:
    """An inventory."""
    match form:
        case InventoryFormat.TABLE:
            from numaplan.report.tables import inventory_table

            return inventory_table(snapshot)
        case InventoryFormat.JSON:
            from numaplan.records.inventory import inventory_json

            return inventory_json(snapshot)
        case InventoryFormat.DOT | InventoryFormat.GRAPHML:
            from numaplan.graph.build import build_graph
            from numaplan.graph.export import dot, graphml

            graph = build_graph(snapshot)
            return dot(graph) if form is InventoryFormat.DOT else graphml(graph)
    assert_never(form)
