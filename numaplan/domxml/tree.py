"""Domain XML as a tree that knows where in the file each of its pieces stands, built on expat.

What is refused is refused here: other encodings than UTF-8, DOCTYPE, processing instructions, sizes beyond reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from numaplan.errors import InputError

SIZE_LIMIT: Final = 4 << 20
DEPTH_LIMIT: Final = 256
ATTRIBUTE_LIMIT: Final = 512
ELEMENT_LIMIT: Final = 50_000

_ATTRIBUTE = re.compile(rb"""[ \t\r\n]+([^\s=/>]+)[ \t\r\n]*=[ \t\r\n]*(?:"([^"]*)"|'([^']*)')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_TAG_END = re.compile(rb"[ \t\r\n]*(/?)>")
_END_TAG = re.compile(rb"</[^\s>]+[ \t\r\n]*>")
# A start tag so long that expat would take long over its attributes.
_LONG_TAG = re.compile(rb"<[A-Za-z_:][^<]{8192}")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as written. `start` is where the white space before it begins; the value stands between quotes."""

    name: str
    value: str
    start: int
    value_start: int
    value_end: int

    @property
    def end(self) -> int:
        """Just behind its closing quote."""
        return self.value_end + 1


@dataclass(frozen=True, slots=True)
class Run:
    """Character data from `start` to `end`, a CDATA section with its brackets, and the text that it means."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element: `name` is "{namespace}local" where it has a namespace, `tag` the name as written.

    Its start tag is from `start` to `open_end`, its end tag from `close_start` to `end`; all four but `start` are equal
    where it is written as one empty tag. Line and column count from 1.
    """

    name: str
    tag: str
    attributes: tuple[Attribute, ...]
    runs: tuple[Run, ...]
    children: tuple["Element", ...]
    line: int
    column: int
    start: int
    open_end: int
    close_start: int
    end: int

    @property
    def is_empty_tag(self) -> bool:
        """Whether it is written ``<name/>``."""
        return self.open_end == self.end

    @property
    def text(self) -> str:
        """Its own character data, that of its children left out, without the white space around it."""
        return "".join(run.text for run in self.runs).strip()

    def get(self, name: str) -> str | None:
        """The value of an attribute."""
        found = self.attribute(name)
        return None if found is None else found.value

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name as written."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def child(self, name: str) -> "Element | None":
        """The first child of that name."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> tuple["Element", ...]:
        """The children of that name."""
        return tuple(child for child in self.children if child.name == name)

    def walk(self) -> Iterator["Element"]:
        """It and everything below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Document:
    """A domain XML file: its bytes, what messages call it, and its ``<domain>``."""

    data: bytes
    file: str
    root: Element

    def error(self, element: Element, what: str, hint: str | None = None) -> InputError:
        """An error that names the place of `element`."""
        return InputError(what, f"{self.file}:{element.line}:{element.column}", hint)

    def only(self, parent: Element, name: str) -> Element | None:
        """The child of that name; a second one raises InputError, as it would be a guess which of them counts."""
        first, *others = parent.all(name) or (None,)
        if first is not None and others:
            raise self.error(
                others[0],
                f"a second <{name}>, the first is on line {first.line}",
                "libvirt knows one: put what both say into one element",
            )
        return first


def parse(data: bytes, file: str) -> Document:
    """The domain in `data`; raises InputError with file:line:column on whatever is no plain UTF-8 domain XML."""
    _check_bytes(data, file)
    builder = _Builder(data, file)
    root = builder.run()
    if root.name != "domain":
        hint = "give the domain's own XML, as `virsh dumpxml --inactive NAME` prints it"
        raise InputError(f"expected <domain>, found <{_shown(root.tag)}>", f"{file}:{root.line}:{root.column}", hint)
    return Document(data, file, root)


def scan_attributes(data: bytes, start: int, *, limit: int) -> tuple[list[tuple[int, int, int]], int]:
    """Where the attributes of the start tag at `start` stand: (start, value start, value end); and where they end."""
    name = _TAG_NAME.match(data, start)
    position = start if name is None else name.end()
    found: list[tuple[int, int, int]] = []
    while len(found) <= limit and (match := _ATTRIBUTE.match(data, position)):
        group = 2 if match[2] is not None else 3
        found.append((match.start(), match.start(group), match.end(group)))
        position = match.end()
    return found, position


def _check_bytes(data: bytes, file: str) -> None:
    if len(data) > SIZE_LIMIT:
        raise InputError(f"{len(data)} bytes of XML, {SIZE_LIMIT} are the limit", file)
    if not data.strip():
        raise InputError("the file is empty", f"{file}:1:1", "give the domain XML, as `virsh dumpxml` prints it")
    if data.startswith(_UTF_16):
        raise InputError("the file is UTF-16", f"{file}:1:1", "save it as UTF-8")
    if (at := data.find(b"\0")) >= 0:
        raise InputError("a NUL byte", _where(data, at, file=file), "this is no text file")
    for match in _LONG_TAG.finditer(data):
        if len(scan_attributes(data, match.start(), limit=ATTRIBUTE_LIMIT)[0]) > ATTRIBUTE_LIMIT:
            what = f"an element of more than {ATTRIBUTE_LIMIT} attributes"
            raise InputError(what, _where(data, match.start(), file=file))


def _where(data: bytes, at: int, *, file: str) -> str:
    line_start = data.rfind(b"\n", 0, at) + 1
    line = data.count(b"\n", 0, at) + 1
    return f"{file}:{line}:{at - line_start + 1}"


def _shown(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."  # noqa: PLR2004 - as much as fits in a line


@dataclass(slots=True)
class _Open:
    """An element whose end has not come."""

    name: str
    tag: str
    attributes: tuple[Attribute, ...]
    line: int
    column: int
    start: int
    open_end: int
    empty: bool
    namespaces: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)


class _Builder:
    """Collects what expat reports."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file
        self._stack: list[_Open] = []
        self._root: Element | None = None
        self._count = 0
        self._text: list[str] | None = None
        self._text_start = 0
        self._parser = parser = expat.ParserCreate()
        parser.ordered_attributes = True
        parser.buffer_text = False
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartCdataSectionHandler = self._start_cdata
        parser.EndCdataSectionHandler = self._end_cdata
        parser.CommentHandler = self._comment

    def run(self) -> Element:
        try:
            self._parser.Parse(self._data, True)  # noqa: FBT003 - expat's own signature
        except expat.ExpatError as error:
            where = f"{self._file}:{error.lineno}:{error.offset + 1}"
            raise InputError(f"no well-formed XML: {expat.ErrorString(error.code)}", where, self._hint()) from error
        except (LookupError, ValueError) as error:
            raise InputError("the file is in an encoding that is not supported", f"{self._file}:1:1") from error
        if self._root is None:
            raise InputError("no well-formed XML: no element", f"{self._file}:1:1")
        return self._root

    def _hint(self) -> str | None:
        return f"<{_shown(self._stack[-1].tag)}> of line {self._stack[-1].line} is still open" if self._stack else None

    def _here(self) -> str:
        return f"{self._file}:{self._parser.CurrentLineNumber}:{self._parser.CurrentColumnNumber + 1}"

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise InputError(f"the file declares the encoding {_shown(encoding)}", self._here(), "save it as UTF-8")

    def _doctype(self, *_: object) -> None:
        # It is reported where it ends.
        start = max(self._data.rfind(b"<!DOCTYPE", 0, self._parser.CurrentByteIndex), 0)
        where = _where(self._data, start, file=self._file)
        raise InputError("a DOCTYPE, which is refused", where, "domain XML needs none: remove it")

    def _instruction(self, target: str, _data: str) -> None:
        what = f"a processing instruction <?{_shown(target)} ...?>, which is refused"
        raise InputError(what, self._here(), "domain XML needs none: remove it")

    def _start(self, tag: str, flat: list[str]) -> None:
        self._close_text()
        self._count += 1
        if len(self._stack) >= DEPTH_LIMIT:
            raise InputError(f"elements nested deeper than {DEPTH_LIMIT}", self._here())
        if len(flat) // 2 > ATTRIBUTE_LIMIT:
            raise InputError(f"an element of more than {ATTRIBUTE_LIMIT} attributes", self._here())
        if self._count > ELEMENT_LIMIT:
            raise InputError(f"more than {ELEMENT_LIMIT} elements", self._here())
        start = self._parser.CurrentByteIndex
        spans, position = scan_attributes(self._data, start, limit=len(flat))
        end = _TAG_END.match(self._data, position)
        if end is None or 2 * len(spans) != len(flat):
            raise InputError(f"a start tag of <{_shown(tag)}> that is not understood", self._here())
        names = zip(flat[::2], flat[1::2], spans, strict=True)
        attributes = tuple(Attribute(name, value, *span) for name, value, span in names)
        namespaces = self._stack[-1].namespaces if self._stack else {"xml": _XML_NAMESPACE}
        declared = {a.name[6:]: a.value for a in attributes if a.name == "xmlns" or a.name.startswith("xmlns:")}
        if declared:
            namespaces = namespaces | declared
        self._stack.append(
            _Open(
                name=_qualified(tag, namespaces),
                tag=tag,
                attributes=attributes,
                line=self._parser.CurrentLineNumber,
                column=self._parser.CurrentColumnNumber + 1,
                start=start,
                open_end=end.end(),
                empty=bool(end[1]),
                namespaces=namespaces,
            )
        )

    def _end(self, _tag: str) -> None:
        self._close_text()
        opened = self._stack.pop()
        close_start = close_end = opened.open_end
        if not opened.empty:
            # For an empty tag expat's index is past the tag, for an end tag at its "</".
            close_start = self._parser.CurrentByteIndex
            match = _END_TAG.match(self._data, close_start)
            if match is None:
                raise InputError(f"an end tag of <{_shown(opened.tag)}> that is not understood", self._here())
            close_end = match.end()
        element = Element(
            opened.name,
            opened.tag,
            opened.attributes,
            tuple(opened.runs),
            tuple(opened.children),
            opened.line,
            opened.column,
            opened.start,
            opened.open_end,
            close_start,
            close_end,
        )
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self._root = element

    def _characters(self, text: str) -> None:
        if self._text is None:
            self._text = []
            self._text_start = self._parser.CurrentByteIndex
        self._text.append(text)

    def _start_cdata(self) -> None:
        self._close_text()
        self._text = []
        self._text_start = self._parser.CurrentByteIndex

    def _end_cdata(self) -> None:
        # The index is that of the "]]>" here.
        self._close_text(self._parser.CurrentByteIndex + len(b"]]>"))

    def _comment(self, _text: str) -> None:
        self._close_text()

    def _close_text(self, end: int | None = None) -> None:
        if self._text is not None and self._stack:
            stop = self._parser.CurrentByteIndex if end is None else end
            self._stack[-1].runs.append(Run("".join(self._text), self._text_start, stop))
        self._text = None


def _qualified(tag: str, namespaces: dict[str, str]) -> str:
    prefix, _, local = tag.rpartition(":")
    uri = namespaces.get(prefix, "")
    if uri:
        return f"{{{uri}}}{local}"
    return tag
