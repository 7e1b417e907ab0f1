"""Edits of a domain XML by spans: what is not edited keeps every byte, what is added looks as its neighbours do."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from numaplan.domxml.element import Layout, New, escape_text, escape_value, render
from numaplan.domxml.tree import Document, Element, Run

_TO_LINE_END = re.compile(rb"(?:[ \t]|<!--(?:(?!-->)[^\r\n])*-->)*(?=\r?\n)")
_BLANK_TO_LINE_END = re.compile(rb"[ \t]*(?=\r?\n|\Z)")
_BOM: Final = b"\xef\xbb\xbf"
_CDATA: Final = b"<![CDATA["

Rank = tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """Bytes `start` to `end` of the old document become `new`."""

    start: int
    end: int
    new: bytes


@dataclass(slots=True, eq=False)
class _Changes:
    """What is to happen to one element; an attribute that becomes None goes away."""

    attributes: dict[str, str | None] = field(default_factory=dict)
    text: str | None = None
    insertions: list[tuple[Element | None, New]] = field(default_factory=list)


class Edits:
    """Collects the edits of one document. They are worked out together, so their order matters only among insertions.

    `removed` are the elements that go away.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.removed: set[Element] = set()
        self._emptied: set[Element] = set()
        self._changes: dict[Element, _Changes] = {}
        self._layout = _layout_of(document)

    def set_attribute(self, element: Element, name: str, value: str) -> None:
        """Gives the attribute that value, added behind the others where it is new."""
        if element.get(name) != value:
            self._of(element).attributes[name] = value

    def drop_attribute(self, element: Element, name: str) -> None:
        """Takes the attribute away, if it is there."""
        if element.get(name) is not None:
            self._of(element).attributes[name] = None

    def set_text(self, element: Element, text: str) -> None:
        """Makes `text` its character data; comments and children in it stay."""
        if element.text != text:
            self._of(element).text = text

    def remove(self, element: Element) -> None:
        """Takes the element away, with its line if it has that for itself."""
        self.removed.add(element)

    def leaves_nothing(self, element: Element) -> bool:
        """Whether all that was in it goes, and nothing comes: comments count too."""
        inside = self.document.data[element.open_end : element.close_start]
        for child in reversed(element.children):
            if child in self.removed:
                inside = inside.replace(self.document.data[child.start : child.end], b"", 1)
        return bool(element.children) and not element.attributes and not inside.strip()

    def empty(self, element: Element) -> None:
        """Takes its children away; where nothing else but white space stands in it, it becomes an empty tag."""
        self._emptied.add(element)

    def insert(self, parent: Element, new: New, *, after: Element | None) -> None:
        """Adds a child behind its sibling `after`, or before all others; equal places in the order of the calls."""
        self._of(parent).insertions.append((after, new))

    def insert_ranked(
        self, parent: Element, new: New, *, rank: Rank, rank_of: Callable[[Element], Rank | None]
    ) -> None:
        """Adds a child where its rank puts it among its siblings; those of rank None do not matter."""
        self.insert(parent, new, after=_neighbour(parent.children, rank, rank_of=rank_of))

    def splices(self) -> tuple[Splice, ...]:
        """The edits as splices that do not overlap, in the order of the document."""
        inside = {below for element in self.removed for child in element.children for below in child.walk()}
        found = [self._removal(element) for element in self.removed - inside]
        for element in self._emptied - self.removed:
            found += self._emptying(element)
        for element, changes in self._changes.items():
            if element not in self.removed:
                found += self._attribute_splices(element, changes)
                found += self._content_splices(element, changes)
        return tuple(sorted(found))

    def _of(self, element: Element) -> _Changes:
        return self._changes.setdefault(element, _Changes())

    def _attribute_splices(self, element: Element, changes: _Changes) -> list[Splice]:
        found = []
        added = ""
        quote = self._layout.quote
        for name, value in changes.attributes.items():
            attribute = element.attribute(name)
            if attribute is None:
                added += "" if value is None else f" {name}={quote}{escape_value(value)}{quote}"
            elif value is None:
                found.append(Splice(attribute.start, attribute.end, b""))
            else:
                found.append(Splice(attribute.value_start, attribute.value_end, escape_value(value).encode()))
        if added:
            end = element.attributes[-1].end if element.attributes else _name_end(element)
            found.append(Splice(end, end, added.encode()))
        return found

    def _content_splices(self, element: Element, changes: _Changes) -> list[Splice]:
        text = "" if changes.text is None else escape_text(changes.text)
        if element.is_empty_tag:
            if not text and not changes.insertions:
                return []
            inside = text + self._lines(element, [new for _, new in changes.insertions], closing=True)
            end = element.attributes[-1].end if element.attributes else _name_end(element)
            return [Splice(end, element.end, f">{inside}</{element.tag}>".encode())]
        found = [] if changes.text is None else self._text_splices(element, text)
        kept = [child for child in element.children if child not in self.removed]
        places: dict[Element | None, list[New]] = {}
        for after, new in changes.insertions:
            places.setdefault(self._kept_before(element, after), []).append(new)
        for after, news in places.items():
            found.append(self._insertion(element, after, news, first=kept[0] if kept else None))
        return found

    def _kept_before(self, parent: Element, after: Element | None) -> Element | None:
        """`after`, or the nearest sibling before it that stays."""
        if after is None or after not in self.removed:
            return after
        before = parent.children[: parent.children.index(after)]
        return next((child for child in reversed(before) if child not in self.removed), None)

    def _text_splices(self, element: Element, text: str) -> list[Splice]:
        data = self.document.data
        said = [run for run in element.runs if run.text.strip()]
        if not said:
            return [Splice(element.open_end, element.open_end, text.encode())]
        first, *others = [_bare(data, run) for run in said]
        return [Splice(*first, text.encode()), *(Splice(*other, b"") for other in others)]

    def _insertion(self, parent: Element, after: Element | None, news: list[New], *, first: Element | None) -> Splice:
        data = self.document.data
        indent = self._child_indent(parent)
        if after is not None:
            place = after.end
            if indent is not None and (match := _TO_LINE_END.match(data, place)):
                place = match.end()
        elif first is not None and indent is not None and _indent_of(data, first.start) is not None:
            newline = self._layout.newline
            new = "".join(render(new, self._layout, indent=indent) + newline + indent for new in news)
            return Splice(first.start, first.start, new.encode())
        elif parent.children:
            place = first.start if first is not None and indent is None else parent.open_end
        else:
            content = data[parent.open_end : parent.close_start]
            place = parent.open_end + len(content.rstrip())
        closing = not parent.children and b"\n" not in data[place : parent.close_start]
        return Splice(place, place, self._lines(parent, news, closing=closing).encode())

    def _lines(self, parent: Element, news: list[New], *, closing: bool) -> str:
        """The new children, each on a line of its own where the parent's are; `closing`: and one for the end tag."""
        indent = self._child_indent(parent)
        if indent is None or not news:
            return "".join(render(new, self._layout, indent=None) for new in news)
        newline = self._layout.newline
        lines = "".join(f"{newline}{indent}{render(new, self._layout, indent=indent)}" for new in news)
        own = _indent_of(self.document.data, parent.start)
        return lines + (f"{newline}{own or ''}" if closing else "")

    def _child_indent(self, parent: Element) -> str | None:
        """What stands before its children; None where they share a line."""
        data = self.document.data
        indents = (_indent_of(data, child.start) for child in parent.children)
        found = next((indent for indent in indents if indent is not None), None)
        if found is not None or parent.children:
            return found
        own = _indent_of(data, parent.start)
        return None if own is None else own + self._layout.step

    def _emptying(self, element: Element) -> list[Splice]:
        if element.is_empty_tag:
            return []
        edges = [element.open_end, *(e for child in element.children for e in (child.start, child.end))]
        between = zip(edges[::2], [*edges[1::2], element.close_start], strict=True)
        if any(self.document.data[start:end].strip() for start, end in between):
            return [self._removal(child) for child in element.children]
        return [Splice(element.open_end - 1, element.end, b"/>")]

    def _removal(self, element: Element) -> Splice:
        data = self.document.data
        start, end = element.start, element.end
        blank = _BLANK_TO_LINE_END.match(data, end)
        indent = _indent_of(data, start)
        if blank is not None and indent is not None:
            line_start = start - len(indent)
            for newline in (b"\r\n", b"\n"):
                if data.endswith(newline, 0, line_start):
                    return Splice(line_start - len(newline), blank.end(), b"")
        return Splice(start, end, b"")


def apply(data: bytes, splices: tuple[Splice, ...]) -> bytes:
    """The document with its splices done; raises ValueError where two of them overlap."""
    parts = []
    position = 0
    for splice in splices:
        if splice.start < position:
            raise ValueError(f"two edits at byte {splice.start}")
        parts += [data[position : splice.start], splice.new]
        position = splice.end
    return b"".join([*parts, data[position:]])


def _neighbour(
    siblings: tuple[Element, ...], rank: Rank, *, rank_of: Callable[[Element], Rank | None]
) -> Element | None:
    """The sibling behind which something of that rank belongs: the last of the highest rank that is not higher."""
    ranked = [(own, sibling) for sibling in siblings if (own := rank_of(sibling)) is not None]
    lower = [(own, sibling) for own, sibling in ranked if own <= rank]
    if lower:
        highest = max(own for own, _ in lower)
        return next(sibling for own, sibling in reversed(lower) if own == highest)
    if ranked:
        position = siblings.index(ranked[0][1])
        return siblings[position - 1] if position else None
    return siblings[-1] if siblings else None


def _layout_of(document: Document) -> Layout:
    data = document.data
    first = data.find(b"\n")
    newline = "\r\n" if first > 0 and data[first - 1 : first] == b"\r" else "\n"
    root = document.root
    own = _indent_of(data, root.start) or ""
    indents = (_indent_of(data, child.start) for child in root.children)
    child = next((indent for indent in indents if indent is not None), None)
    step = child[len(own) :] if child is not None and child.startswith(own) and len(child) > len(own) else "  "
    attribute = next((a for element in root.walk() for a in element.attributes), None)
    quote = "'" if attribute is None else chr(data[attribute.value_end])
    return Layout(newline, step, quote)


def _indent_of(data: bytes, position: int) -> str | None:
    """The white space before `position`, if nothing else stands before it on its line."""
    line_start = data.rfind(b"\n", 0, position) + 1
    if line_start == 0 and data.startswith(_BOM):
        line_start = len(_BOM)
    before = data[line_start:position]
    return before.decode() if not before.strip(b" \t") else None


def _name_end(element: Element) -> int:
    return element.start + 1 + len(element.tag.encode())


def _bare(data: bytes, run: Run) -> tuple[int, int]:
    """Where the run stands, the white space around it left out."""
    raw = data[run.start : run.end]
    if raw.startswith(_CDATA):
        return run.start, run.end
    start = run.start + len(raw) - len(raw.lstrip())
    return start, start + len(raw.strip())
