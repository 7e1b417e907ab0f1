"""An inventory as text; the room that writes a form is imported for that form alone."""

from typing import assert_never

from numaplan.cli.forms import InventoryFormat
from numaplan.model.snapshot import Snapshot


def inventory_text(snapshot: Snapshot, form: InventoryFormat, *, wide: bool) -> str:
    """An inventory; `wide`: the table with everything in it."""
    match form:
        case InventoryFormat.TABLE:
            from numaplan.graph.paths import traffic_paths
            from numaplan.report.tables import inventory_table

            return inventory_table(snapshot, wide=wide, paths=traffic_paths(snapshot) if wide else ())
        case InventoryFormat.JSON:
            from numaplan.graph.paths import traffic_paths
            from numaplan.records.inventory import inventory_json

            return inventory_json(snapshot, traffic_paths(snapshot))
        case InventoryFormat.SVG:
            from numaplan.report.topology_svg import topology_svg

            return topology_svg(snapshot)
        case InventoryFormat.DOT | InventoryFormat.GRAPHML | InventoryFormat.NODE_LINK:
            return _graph_text(snapshot, form)
    assert_never(form)


def _graph_text(snapshot: Snapshot, form: InventoryFormat) -> str:
    from numaplan.graph.build import build_graph
    from numaplan.graph.export import dot, graphml
    from numaplan.graph.node_link import graph_json

    graph = build_graph(snapshot)
    if form is InventoryFormat.NODE_LINK:
        return graph_json(graph)
    return dot(graph) if form is InventoryFormat.DOT else graphml(graph)
