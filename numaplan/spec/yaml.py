"""YAML text to nodes, by ruamel.yaml's events: everything that YAML has and vnf.yaml has no use for is refused here."""

import re
from collections.abc import Iterator
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from numaplan.spec.nodes import (
    Document,
    Mark,
    Mistake,
    YamlEntry,
    YamlList,
    YamlMap,
    YamlNode,
    YamlScalar,
    child_path,
)

SIZE_LIMIT: Final = 1 << 20
DEPTH_LIMIT: Final = 32
# A vnf.yaml has 8 bytes a node or more, so what the size allows passes; "[1,1,1..." would take many seconds.
NODE_LIMIT: Final = 150_000

# C0 and C1 controls but for tab and line feed, lone surrogates, non-characters, and the line ends of Unicode,
# which YAML 1.1 counts as lines and editors do not.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

# ruamel.yaml reads a tag in quadratic time.
_LONG_TAG: Final = re.compile(r"!\S{1024}")

# ruamel.yaml lets these out on text such as "\UFFFFFFFF" or a %YAML version of 5,000 digits.
_LEAKS: Final = (ValueError, OverflowError, IndexError, AttributeError, AssertionError, NotImplementedError)

# (what ruamel.yaml says, what an operator reads, what to do)
_SYNTAX: Final = (
    (r"found character '\\t'", "a tab where YAML allows only spaces", "indent with spaces"),
    (r"found character '[@`]'", "a value may not start with this character", "put the value in quotes"),
    (r"expected <block end>", "this line does not fit the lines above it", "check its indentation, '- ' and ':'"),
    (r"mapping values are not allowed", "a ': ' where no key can stand", "quote the value, or check the indentation"),
    (r"could not find expected ':'", "a key without ':'", "write 'key: value'"),
    (r"found unexpected end of stream", "a quote that is opened and never closed", None),
    (r"found unexpected document (separator|indicator)", "a quote that is opened and never closed", None),
    (r"expected ',' or '[\]}]'", "a list or map in brackets that is not closed, or lacks a comma", None),
    (r"did not find expected ',' or '[\]}]'", "a list or map in brackets that is not closed, or lacks a comma", None),
    (r"found unknown escape character", "an unknown escape in a text in double quotes", "use single quotes"),
)


def read_yaml(text: str, file: str, mistakes: list[Mistake], *, rank: int = 0) -> YamlMap | None:
    """The root map of a document; None where the YAML cannot be used, with every reason added to `mistakes`.

    Refused: aliases, anchors, tags, merge keys, duplicate and complex keys, several documents, control characters,
    a root that is no map, and whatever is larger than SIZE_LIMIT, NODE_LIMIT or deeper than DEPTH_LIMIT.
    """
    body = text.removeprefix("\ufeff").replace("\r\n", "\n")
    document = Document(file, tuple(body.split("\n")), rank)
    if len(text.encode("utf-8", "surrogatepass")) > SIZE_LIMIT:
        mistakes.append(Mistake(Mark(document), "", "larger than 1 MiB"))
        return None
    if refused := _refused_characters(body, document):
        mistakes.append(refused)
        return None
    composer = _Composer(document)
    root: YamlNode | None = None
    try:
        root = composer.compose(body)
    except _StopError:
        pass
    except (YAMLError, *_LEAKS) as error:
        composer.mistakes.append(_syntax(error, document))
    if not composer.mistakes and not isinstance(root, YamlMap):
        mark = Mark(document) if root is None else root.mark
        composer.mistakes.append(Mistake(mark, "", "expected a map of keys and values at the top of the file"))
    mistakes += composer.mistakes
    return root if not composer.mistakes and isinstance(root, YamlMap) else None


def _refused_characters(text: str, document: Document) -> Mistake | None:
    if match := _CONTROL.search(text):
        what = f"control character U+{ord(match[0]):04X}"
        return Mistake(_mark_at(text, match.start(), document), "", what, "take it out")
    if match := _LONG_TAG.search(text):
        return Mistake(_mark_at(text, match.start(), document), "", "a word of more than 1,024 characters")
    return None


def _mark_at(text: str, index: int, document: Document) -> Mark:
    return Mark(document, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _syntax(error: Exception, document: Document) -> Mistake:
    if not isinstance(error, MarkedYAMLError):
        return Mistake(Mark(document), "", "not valid YAML")
    problem = str(error.problem or "unreadable")
    at = error.problem_mark or error.context_mark
    what, hint = f"not valid YAML: {problem}", None
    for pattern, sentence, advice in _SYNTAX:
        if re.search(pattern, problem):
            what, hint = f"not valid YAML: {sentence}", advice
            break
    if error.context_mark is not None and "never closed" in what:
        at = error.context_mark
    mark = Mark(document) if at is None else Mark(document, at.line + 1, at.column + 1)
    return Mistake(mark, "", what, hint)


class _StopError(Exception):
    """Going on makes no sense; the reason stands among the mistakes."""


class _Composer:
    """Nodes out of events; collects what is refused, and raises only where going on makes no sense."""

    def __init__(self, document: Document) -> None:
        self.mistakes: list[Mistake] = []
        self._document = document
        self._nodes = 0

    def compose(self, text: str) -> YamlNode | None:
        root: YamlNode | None = None
        events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "", "a second document in one file", "keep one, and take out the '---'")
                    break
            elif isinstance(event, NodeEvent):
                root = self._node(event, events, "", depth=1)
        return root

    def _node(self, event: Event, events: Iterator[Event], path: str, *, depth: int) -> YamlNode:
        mark = self._mark(event)
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            raise self._stop(mark, f"more than {NODE_LIMIT:,} values in one file")
        if depth > DEPTH_LIMIT and isinstance(event, MappingStartEvent | SequenceStartEvent):
            raise self._stop(mark, f"nested more than {DEPTH_LIMIT} levels deep")
        if not isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
            hint = "write the value out, or use defaults or a profile"
            self._refuse(event, path, "aliases (*name) are not allowed", hint)
            return YamlScalar(mark, path, "", quoted=True)
        if event.anchor is not None:
            self._refuse(event, path, "anchors (&name) are not allowed", "use defaults or a profile for what is shared")
        if event.ctag is not None:
            self._refuse(event, path, "tags (!name) are not allowed", "put the value in quotes if it starts with '!'")
        if isinstance(event, MappingStartEvent):
            return self._map(mark, events, path, depth=depth)
        if isinstance(event, SequenceStartEvent):
            return self._list(mark, events, path, depth=depth)
        return self._scalar(event, path)

    def _scalar(self, event: ScalarEvent, path: str) -> YamlScalar:
        text = str(event.value)
        if match := _CONTROL.search(text):
            self._refuse(event, path, f"control character U+{ord(match[0]):04X}", "take it out")
        return YamlScalar(self._mark(event), path, text, quoted=event.style is not None)

    def _list(self, mark: Mark, events: Iterator[Event], path: str, *, depth: int) -> YamlList:
        items: list[YamlNode] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._node(event, events, f"{path}[{len(items)}]", depth=depth + 1))
        return YamlList(mark, path, tuple(items))

    def _map(self, mark: Mark, events: Iterator[Event], path: str, *, depth: int) -> YamlMap:
        entries: dict[str, YamlEntry] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            name = child_path(path, event.value) if isinstance(event, ScalarEvent) and event.value else path
            key = self._node(event, events, name, depth=depth + 1)
            value = self._node(next(events), events, name, depth=depth + 1)
            if self._usable_key(key, entries):
                assert isinstance(key, YamlScalar)  # noqa: S101 - _usable_key says so
                entries[key.text] = YamlEntry(key, value)
        return YamlMap(mark, path, entries)

    def _usable_key(self, key: YamlNode, entries: dict[str, YamlEntry]) -> bool:
        if not isinstance(key, YamlScalar):
            self.mistakes.append(Mistake(key.mark, key.path, "a list or map where a key must stand", None))
        elif key.text == "<<" and not key.quoted:
            hint = "use defaults or a profile for what is shared"
            self.mistakes.append(Mistake(key.mark, key.path, "merge keys (<<) are not allowed", hint))
        elif not key.text:
            self.mistakes.append(Mistake(key.mark, key.path, "a value without a key"))
        elif key.text in entries:
            first = entries[key.text].key.mark.line
            lines = f", on lines {first} and {key.mark.line}" if first != key.mark.line else f" on line {first}"
            self.mistakes.append(Mistake(key.mark, key.path, f"this key is given twice{lines}", "keep one"))
        else:
            return True
        return False

    def _stop(self, mark: Mark, what: str) -> _StopError:
        self.mistakes.append(Mistake(mark, "", what))
        return _StopError()

    def _refuse(self, event: Event, path: str, what: str, hint: str) -> None:
        self.mistakes.append(Mistake(self._mark(event), path, what, hint))

    def _mark(self, event: Event) -> Mark:
        return Mark(self._document, event.start_mark.line + 1, event.start_mark.column + 1)
