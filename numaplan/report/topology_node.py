"""A node in a host's picture, and the packages around it: memory and huge pages as bars, cores, devices."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciDevice
from numaplan.model.host import HugepagePool, NumaNode, Package
from numaplan.report.layout import flow, framed, grid, line, stack
from numaplan.report.svg import Box, Placed, Text
from numaplan.report.text import UNKNOWN, count, gib, number
from numaplan.report.topology_cores import Cells, group_box, group_width
from numaplan.report.topology_devices import CARD_WIDTH, Devices, cards
from numaplan.report.topology_groups import NodePart, Outer
from numaplan.report.topology_style import SHEET
from numaplan.units import format_size

NODE_PAD: Final = 8
PACKAGE_PAD: Final = 10
GAP: Final = 8
_BAR: Final = 10
_LABEL: Final = 92
_VALUE: Final = 128
_CORE_GAP: Final = 4
_GROUP_FRAME: Final = 10
_MOST_COLUMNS: Final = 16
_FEW_NODES: Final = 3


@dataclass(frozen=True, slots=True)
class Drawing:
    """What every box of the picture is drawn with; `inner` is the width that each node has for its content."""

    cells: Cells
    devices: Devices
    inner: int


def inner_width(cells: Cells, outers: Sequence[Outer]) -> int:
    """Wide enough for a device's card, and for about twice as many columns as rows of the largest node's cores."""
    parts = [part for outer in outers for part in outer.parts]
    largest = max(parts, key=lambda part: len(part.cores), default=None)
    most = 1 if largest is None else len(largest.cores)
    wanted = min(_MOST_COLUMNS, max(1, ceil(sqrt(2 * most))))
    # Rows that are all full look better than the exact ratio.
    columns = next((c for c in range(wanted, min(_MOST_COLUMNS, wanted + 4) + 1) if most % c == 0), wanted)
    width = max(CARD_WIDTH, columns * (cells.core_width + _CORE_GAP) - _CORE_GAP + _GROUP_FRAME)
    if largest is None or len(largest.groups) <= 1:
        return width
    group = max(group_width(cells, len(group.cores)) for group in largest.groups)
    beside = min(len(largest.groups), ceil((width + _CORE_GAP) / (group + _CORE_GAP)))
    return max(CARD_WIDTH, beside * (group + _CORE_GAP) - _CORE_GAP)


def outer_box(drawing: Drawing, outer: Outer) -> Box:
    """Packages with their nodes, or what belongs to no package."""
    nodes = [node_box(drawing, part) for part in outer.parts]
    columns = len(nodes) if len(nodes) <= _FEW_NODES else ceil(sqrt(len(nodes)))
    width = columns * (drawing.inner + 2 * NODE_PAD + GAP)
    label = Text(_outer_label(outer), "h2", min(width, drawing.inner + 2 * NODE_PAD))
    head = line(label, width=label.width, height=SHEET.height_of("h2"))
    body = [flow(nodes, width=width, gap=GAP)] if nodes else []
    return framed(stack([head, *body], gap=6), style="package", pad=PACKAGE_PAD, title=_outer_title(outer))


def _outer_label(outer: Outer) -> str:
    if not outer.packages:
        return "No package"
    ids = [number(package.id) for package in outer.packages if package.id is not None]
    if len(ids) < len(outer.packages):
        return count(len(outer.packages), "package")
    return f"Package {ids[0]}" if len(ids) == 1 else f"Packages {', '.join(ids)}"


def _outer_title(outer: Outer) -> str:
    return "; ".join(_package_words(package) for package in outer.packages)


def _package_words(package: Package) -> str:
    nodes = ",".join(map(str, package.numa_nodes)) or "none"
    return f"package {number(package.id)}: CPUs {package.cpus}; nodes {nodes}"


def node_box(drawing: Drawing, part: NodePart) -> Box:
    """One node: who it is, its memory, its cores, its devices."""
    width = drawing.inner
    pieces = [_head(part, width), _summary(drawing, part, width)]
    if part.node is not None:
        pieces += [_memory(part.node, width)]
        pieces += [_pool(pool, width) for pool in reversed(part.node.hugepages) if pool.total or pool.free]
    groups = [group_box(drawing.cells, group, width=width, alone=len(part.groups) == 1) for group in part.groups]
    if groups:
        pieces.append(flow(groups, width=width, gap=4, level=False))
    pieces += device_rows(drawing, _near(drawing, part.node), width=width)
    return framed(stack(pieces, gap=5), style="node", pad=NODE_PAD, width=width + 2 * NODE_PAD)


def device_rows(drawing: Drawing, near: Sequence[PciDevice], *, width: int) -> list[Box]:
    """Cards in as many columns as `width` has room for; nothing where there is no device worth one."""
    columns = max(1, (width + 4) // (CARD_WIDTH + 4))
    card_width = (width - 4 * (columns - 1)) // columns
    found = cards(drawing.devices, near, width=card_width)
    return [grid(found, columns=columns, gap=4)] if found else []


def _near(drawing: Drawing, node: NumaNode | None) -> list[PciDevice]:
    if node is None:
        return []
    return [device for device in drawing.devices.snapshot.pci if device.numa_node == node.id]


def _cpus(part: NodePart) -> CpuSet:
    return CpuSet(cpu for core in part.cores for cpu in core.cpus)


def _head(part: NodePart, width: int) -> Box:
    name = "No node" if part.node is None else f"Node {part.node.id}"
    needed = SHEET.width_of(name, "h2")
    cpus = str(_cpus(part))
    return line(
        Text(name, "h2", needed),
        Text(f"CPUs {cpus}" if cpus else "no CPUs", "s", width - needed - GAP, "end"),
        width=width,
        height=SHEET.height_of("h2"),
        drop=SHEET.texts["h2"].size - SHEET.texts["s"].size,
    )


def _summary(drawing: Drawing, part: NodePart, width: int) -> Box:
    cpus = _cpus(part)
    if not cpus:
        text = "memory only" if part.node is not None and part.node.memory_kib else "no memory known"
        return line(Text(text, "s", width), width=width, height=SHEET.height_of("s"))
    free = cpus - drawing.cells.holding.taken
    said = [count(len(part.cores), "core"), count(len(cpus), "CPU"), f"{len(free)} free"]
    isolated = cpus & drawing.cells.snapshot.cpus.isolated
    said += [f"{len(isolated)} isolated"] if isolated else []
    return line(Text(" \u00b7 ".join(said), "s", width), width=width, height=SHEET.height_of("s"))


def _memory(node: NumaNode, width: int) -> Box:
    total, left = node.memory_kib, node.available_kib
    if total == 0:
        value, used = "none", None
    else:
        value = f"{gib(left)} / {gib(total)} GiB" if left is not None or total is not None else UNKNOWN
        used = None if left is None or total is None else (max(0, total - left), total)
    title = f"node {node.id}: memory available / total {value}"
    return bar_row("memory", value, used, width=width, title=title)


def _pool(pool: HugepagePool, width: int) -> Box:
    surplus = f", {pool.surplus} surplus" if pool.surplus else ""
    title = f"{pool.free} of {pool.total} pages of {format_size(pool.size_kib)} are free{surplus}"
    used = (max(0, pool.total - pool.free), pool.total)
    value = f"{pool.free} / {pool.total} free"
    return bar_row(f"{format_size(pool.size_kib)} pages", value, used, width=width, title=title)


def bar_row(label: str, value: str, used: tuple[int, int] | None, *, width: int, title: str) -> Box:
    """A label, a bar that is dark as far as `used` (of a whole) goes, and numbers; no bar where nothing is known."""
    height = SHEET.height_of("t")
    space = width - _LABEL - _VALUE - 2 * GAP
    placed = [Placed(0, 0, Text(label, "t", _LABEL)), Placed(width - _VALUE, 0, Text(value, "t", _VALUE, "end"))]
    if used is not None:
        taken, whole = used
        filled = min(space - 2, taken * (space - 2) // max(1, whole))
        inner = (Placed(1, 1, Box("used", filled, _BAR - 2)),) if filled > 0 else ()
        placed.append(Placed(_LABEL + GAP, (height - _BAR) // 2, Box("bar", space, _BAR, inner)))
    return Box("", width, height, tuple(placed), title)
