"""A host as a picture that stands alone: packages, nodes, caches, cores with their guests, memory, devices, distances.

Of guests and devices beyond what one can look at, the picture counts; the table and the JSON form name them all.
"""

from collections.abc import Sequence
from math import log
from typing import Final

from numaplan.model.host import NumaNode
from numaplan.model.snapshot import Snapshot
from numaplan.report.layout import flow, line, packed, stack
from numaplan.report.svg import Box, Placed, Text, svg
from numaplan.report.text import UNKNOWN, count, gib, known
from numaplan.report.topology_cores import Cells, cells
from numaplan.report.topology_devices import devices
from numaplan.report.topology_groups import outers
from numaplan.report.topology_node import Drawing, inner_width, outer_box
from numaplan.report.topology_panels import Panels, panels
from numaplan.report.topology_style import SHEET

_MARGIN: Final = 20
_GAP: Final = 12
_SMALLEST: Final = 680
_MOST_COLUMNS: Final = 8
# A screen's shape.
_RATIO: Final = 1.5
_SHAPE_WEIGHT: Final = 0.5


def topology_svg(snapshot: Snapshot) -> str:
    """One SVG document. The same snapshot is the same bytes."""
    look = cells(snapshot)
    grouped = outers(snapshot)
    drawing = Drawing(look, devices(snapshot), inner_width(look, grouped))
    boxes = [outer_box(drawing, outer) for outer in grouped]
    body = _best_body(drawing, boxes)
    title = f"NUMA topology of host {known(snapshot.host.hostname)}"
    return svg(_page(snapshot, body), SHEET, title=title, description=_description(look))


def _best_body(drawing: Drawing, boxes: Sequence[Box]) -> Box:
    """Of all ways to arrange packages and panels the smallest whose shape is near a screen's."""
    step = max((box.width for box in boxes), default=_SMALLEST) + _GAP
    widths = sorted({max(_SMALLEST, step * columns) for columns in range(1, _MOST_COLUMNS + 1)})
    others = panels(drawing)
    found = []
    for width in widths:
        main = flow(boxes, width=width, gap=_GAP)
        found.append(_below(others, main, max(width, main.width)))
        found.append(_beside(others, main))
    return min(found, key=_shape)


def _below(others: Panels, main: Box, width: int) -> Box:
    return stack([main, packed(others.fitted(width), width=width, gap=_GAP)], gap=_GAP)


def _beside(others: Panels, main: Box) -> Box:
    side = stack(others.fitted(0), gap=_GAP)
    height = max(main.height, side.height)
    return Box("", main.width + _GAP + side.width, height, (Placed(0, 0, main), Placed(main.width + _GAP, 0, side)))


def _shape(body: Box) -> float:
    """Lower is better."""
    width, height = max(1, body.width), max(1, body.height)
    # Whole thousandths: no last digit of a float decides.
    return round(log(width * height) + _SHAPE_WEIGHT * abs(log(width / height / _RATIO)), 3)


def _page(snapshot: Snapshot, body: Box) -> Box:
    width = max(_SMALLEST, body.width)
    host = snapshot.host
    said = [f"Linux {known(host.kernel)}", known(host.architecture), known(host.cpu_model), host.source.value]
    texts = (
        Text(f"host {known(host.hostname)}", "h1", width),
        Text(" \u00b7 ".join(said), "t", width),
        Text(_amounts(snapshot), "t", width),
    )
    head = [line(text, width=width, height=SHEET.height_of(text.style)) for text in texts]
    content = stack([stack(head, gap=2), body], gap=_GAP)
    placed = (Placed(_MARGIN, _MARGIN, content),)
    return Box("page", content.width + 2 * _MARGIN, content.height + 2 * _MARGIN, placed)


def _amounts(snapshot: Snapshot) -> str:
    sizes = [node.memory_kib for node in snapshot.nodes]
    memory = UNKNOWN if None in sizes or not sizes else gib(sum(size or 0 for size in sizes))
    said = [
        count(len(snapshot.packages), "package"),
        count(len(snapshot.nodes), "node"),
        count(len(snapshot.cores), "core"),
        f"{count(len(snapshot.cpus.online), 'CPU')} online",
        f"{memory} GiB",
        count(len(snapshot.guests), "guest"),
    ]
    said += [count(len(snapshot.gaps), "gap")] if snapshot.gaps else []
    return " \u00b7 ".join(said)


def _description(look: Cells) -> str:
    """What the picture shows, for those who do not see it."""
    snapshot = look.snapshot
    said = [f"{_amounts(snapshot)}."]
    said += [_node_words(look, node) for node in snapshot.nodes]
    clashes = [str(cpu) for cpu in snapshot.cpus.online if look.style(cpu) == "clash"]
    if clashes:
        said.append(f"CPUs held by more than one: {', '.join(clashes)}.")
    return " ".join(said)


def _node_words(look: Cells, node: NumaNode) -> str:
    free = node.cpus - look.holding.taken
    memory = f"{gib(node.available_kib)} of {gib(node.memory_kib)} GiB available"
    return f"Node {node.id}: CPUs {node.cpus or 'none'}, {len(free)} free, {memory}."
