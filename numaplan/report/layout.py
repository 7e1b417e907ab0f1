"""Boxes beside and below each other: sizes come from what stands in them, so that nothing overlaps."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from numaplan.report.svg import Box, Placed, Text

# Invisible boxes, and those whose visible children should end where they do.
_THROUGH: Final = frozenset({"", "package"})


def stack(boxes: Iterable[Box], *, gap: int) -> Box:
    """An invisible box with `boxes` below each other."""
    placed: list[Placed] = []
    y = width = 0
    for box in boxes:
        placed.append(Placed(0, y, box))
        y += box.height + gap
        width = max(width, box.width)
    return Box("", width, max(0, y - gap), tuple(placed))


def flow(boxes: Sequence[Box], *, width: int, gap: int, level: bool = True) -> Box:
    """An invisible box with `boxes` in rows no wider than `width` (or one box, if that is wider).

    `level`: boxes of a row get the height of its highest.
    """
    rows: list[list[Box]] = []
    used = 0
    for box in boxes:
        if rows and used + gap + box.width <= width:
            rows[-1].append(box)
            used += gap + box.width
        else:
            rows.append([box])
            used = box.width
    return stack((_row(row, gap=gap, level=level) for row in rows), gap=gap)


def packed(boxes: Sequence[Box], *, width: int, gap: int) -> Box:
    """An invisible box with `boxes` closely packed: the highest first, lower ones below each other beside it."""
    shelves: list[list[list[Box]]] = []
    used = 0
    for box in sorted(boxes, key=lambda box: -box.height):
        columns = shelves[-1] if shelves else []
        high = columns[0][0].height if columns else 0
        below = (column for column in columns if box.width <= column[0].width and _fits(column, box, gap, high))
        column = next(below, None)
        if column is not None:
            column.append(box)
        elif columns and used + gap + box.width <= width:
            columns.append([box])
            used += gap + box.width
        else:
            shelves.append([[box]])
            used = box.width
    rows = ([stack(column, gap=gap) for column in columns] for columns in shelves)
    return stack((_row(row, gap=gap, level=False) for row in rows), gap=gap)


def _fits(column: Sequence[Box], box: Box, gap: int, height: int) -> bool:
    return sum(above.height + gap for above in column) + box.height <= height


def taller(box: Box, extra: int, *, through: frozenset[str]) -> Box:
    """`box` higher by `extra`; boxes of the styles `through` hand that on to those of their boxes that end lowest."""
    if box.style not in through:
        return replace(box, height=box.height + extra)
    ends = [child.y + child.what.height for child in box.children if isinstance(child.what, Box)]
    lowest = max(ends, default=0)
    children = tuple(
        replace(child, what=taller(child.what, extra, through=through))
        if isinstance(child.what, Box) and child.y + child.what.height == lowest
        else child
        for child in box.children
    )
    return replace(box, height=box.height + extra, children=children)


def _row(boxes: Sequence[Box], *, gap: int, level: bool) -> Box:
    height = max(box.height for box in boxes)
    placed: list[Placed] = []
    x = 0
    for box in boxes:
        placed.append(Placed(x, 0, taller(box, height - box.height, through=_THROUGH) if level else box))
        x += box.width + gap
    return Box("", x - gap, height, tuple(placed))


def grid(boxes: Sequence[Box], *, columns: int, gap: int) -> Box:
    """An invisible box with `boxes`, all of one width, in rows of `columns`."""
    rows = [boxes[start : start + columns] for start in range(0, len(boxes), columns)]
    return stack((_row(row, gap=gap, level=False) for row in rows), gap=gap)


def framed(content: Box, *, style: str, pad: int, width: int = 0, title: str = "") -> Box:
    """`content` in a box of `style` with `pad` pixels around it, at least `width` wide."""
    wide = max(width, content.width + 2 * pad)
    return Box(style, wide, content.height + 2 * pad, (Placed(pad, pad, content),), title)


def line(*texts: Text, width: int, height: int, drop: int = 0) -> Box:
    """Texts in one line of `width`, each in its own space: from the left, but for those anchored at the end.

    `drop` is how much smaller the latter are: as much lower they stand, so that all have one base line.
    """
    left = 0
    right = width
    placed: list[Placed] = []
    for text in texts:
        if text.anchor == "end":
            right -= text.width
            placed.append(Placed(right, drop, text))
        else:
            placed.append(Placed(left, 0, text))
            left += text.width
    return Box("", width, height, tuple(placed))
