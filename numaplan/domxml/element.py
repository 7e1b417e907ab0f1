"""Elements to be written, and how they look: escaped, indented, quoted as the document does."""

from dataclasses import dataclass
from typing import Final

_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_VALUE: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)


@dataclass(frozen=True, slots=True)
class New:
    """An element to be written; `attributes` are (name, value) pairs. It has children or text, not both."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple["New", ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a document is laid out: its line end, one step of indentation, its quotation mark."""

    newline: str = "\n"
    step: str = "  "
    quote: str = "'"


def escape_text(text: str) -> str:
    """Character data."""
    return text.translate(_TEXT)


def escape_value(text: str) -> str:
    """An attribute's value, for either kind of quotation mark."""
    return text.translate(_VALUE)


def render(new: New, layout: Layout, *, indent: str | None) -> str:
    """The element as text: its children on lines of their own, `indent` before its own end tag; all in one if None."""
    quote = layout.quote
    start = new.name + "".join(f" {name}={quote}{escape_value(value)}{quote}" for name, value in new.attributes)
    if new.text:
        return f"<{start}>{escape_text(new.text)}</{new.name}>"
    if not new.children:
        return f"<{start}/>"
    if indent is None:
        return f"<{start}>{''.join(render(child, layout, indent=None) for child in new.children)}</{new.name}>"
    deeper = indent + layout.step
    lines = (f"{layout.newline}{deeper}{render(child, layout, indent=deeper)}" for child in new.children)
    return f"<{start}>{''.join(lines)}{layout.newline}{indent}</{new.name}>"
