"""A picture as a tree of boxes and texts, and how it is written as SVG: no script, no reference to anything outside.

All coordinates are whole pixels, so that the same picture is the same bytes everywhere.
"""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from numaplan.report.measure import needs_fitting, picture_text, shorten, text_width

_LINE_PERCENT: Final = 130
_MIDDLE: Final = "middle"
_END: Final = "end"


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How a text looks; `css` is what the style sheet says of it beyond size and weight."""

    size: int
    bold: bool = False
    css: str = "fill:#1b1f24"

    @property
    def height(self) -> int:
        """Of a line."""
        return -(-self.size * _LINE_PERCENT // 100)


@dataclass(frozen=True, slots=True)
class BoxStyle:
    """How a box looks; `radius` is that of its corners."""

    css: str
    radius: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """One line in a space of `width` pixels; what is too long is shortened and stands in full in a tooltip."""

    text: str
    style: str
    width: int
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with what stands in it; `style` "" draws nothing. `title` is its tooltip."""

    style: str
    width: int
    height: int
    children: "tuple[Placed, ...]" = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """Something at a place within its parent."""

    x: int
    y: int
    what: Box | Text


@dataclass(frozen=True, slots=True)
class Sheet:
    """Every style that a picture uses, and definitions (patterns) that its boxes refer to."""

    texts: Mapping[str, TextStyle]
    boxes: Mapping[str, BoxStyle]
    definitions: str

    def width_of(self, text: str, style: str) -> int:
        """Pixels that `text` needs."""
        look = self.texts[style]
        return text_width(picture_text(text), look.size, bold=look.bold)

    def height_of(self, style: str) -> int:
        """Pixels of a line."""
        return self.texts[style].height


def svg(picture: Box, sheet: Sheet, *, title: str, description: str) -> str:
    """The whole document; `title` and `description` are what a screen reader says of it."""
    size = f'width="{picture.width}" height="{picture.height}" viewBox="0 0 {picture.width} {picture.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="numaplan" role="img" {size}>',
        f"<title>{_escape(title)}</title>",
        f"<desc>{_escape(description)}</desc>",
        f"<style>{_css(sheet)}</style>",
        f"<defs>{sheet.definitions}</defs>",
        *_draw(Placed(0, 0, picture), 0, 0, sheet),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _css(sheet: Sheet) -> str:
    rules = ["svg.numaplan text{font-family:sans-serif;font-variant-numeric:tabular-nums}"]
    for name, style in sheet.texts.items():
        weight = ";font-weight:bold" if style.bold else ""
        rules.append(f"svg.numaplan .{name}{{font-size:{style.size}px{weight};{style.css}}}")
    rules += [f"svg.numaplan .{name}{{{style.css}}}" for name, style in sheet.boxes.items()]
    return "\n" + "\n".join(rules) + "\n"


def _draw(placed: Placed, left: int, top: int, sheet: Sheet) -> Iterator[str]:
    x, y = left + placed.x, top + placed.y
    if isinstance(placed.what, Text):
        yield from _draw_text(placed.what, x, y, sheet)
        return
    box = placed.what
    rect = _rect(box, x, y, sheet)
    title = f"<title>{_escape(box.title)}</title>" if box.title else ""
    if not box.children and not title:
        yield rect
        return
    yield f"<g>{title}{rect}"
    for child in box.children:
        yield from _draw(child, x, y, sheet)
    yield "</g>"


def _rect(box: Box, x: int, y: int, sheet: Sheet) -> str:
    space = f'x="{x}" y="{y}" width="{box.width}" height="{box.height}"'
    if not box.style:
        return f'<rect {space} fill="none"/>'
    radius = sheet.boxes[box.style].radius
    rounded = f' rx="{radius}"' if radius else ""
    return f'<rect class="{box.style}" {space}{rounded}/>'


def _draw_text(text: Text, x: int, y: int, sheet: Sheet) -> Iterator[str]:
    style = sheet.texts[text.style]
    full = picture_text(text.text)
    shown = shorten(full, style.size, text.width, bold=style.bold)
    if not shown.strip():
        return
    match text.anchor:
        case "middle":
            x, anchor = x + text.width // 2, f' text-anchor="{_MIDDLE}"'
        case "end":
            x, anchor = x + text.width, f' text-anchor="{_END}"'
        case _:
            anchor = ""
    fitted = ""
    if needs_fitting(shown):
        fitted = f' textLength="{text_width(shown, style.size, bold=style.bold)}" lengthAdjust="spacingAndGlyphs"'
    title = "" if shown == full else f"<title>{_escape(full)}</title>"
    yield f'<text class="{text.style}" x="{x}" y="{y + style.size}"{anchor}{fitted}>{title}{_escape(shown)}</text>'


def _escape(text: str) -> str:
    return html.escape(picture_text(text))
