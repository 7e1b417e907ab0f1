"""A YAML document as nodes that know where they stand, and the mistakes found in them. Values stay source text."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from numaplan.errors import InputError, Problem

PROBLEM_LIMIT: Final = 100

_EXCERPT_WIDTH: Final = 120
_FOUND_WIDTH: Final = 60
# difflib needs some 15 us for each of them.
_CANDIDATE_LIMIT: Final = 1000

# YAML 1.2.2, 10.3.2: what a plain scalar of the core schema says null with.
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A YAML file: its name, its lines, and its `rank`: problems of a lower rank are told first.

    Each is equal to itself alone: a mistake's hash must not walk the lines.
    """

    file: str
    lines: tuple[str, ...]
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a document; `line` and `column` count from 1, and are 0 for the document as a whole."""

    document: Document
    line: int = 0
    column: int = 0

    @property
    def where(self) -> str:
        """``file:line:column``, or the file alone."""
        return f"{self.document.file}:{self.line}:{self.column}" if self.line else self.document.file

    @property
    def excerpt(self) -> str | None:
        """The source line with a caret below the column; long lines are cut. None where there is none."""
        if not 0 < self.line <= len(self.document.lines):
            return None
        line = self.document.lines[self.line - 1]
        column = min(self.column - 1, len(line))
        start = max(0, column - _EXCERPT_WIDTH + 20) if len(line) > _EXCERPT_WIDTH else 0
        shown = line[start : start + _EXCERPT_WIDTH]
        text = ("…" if start else "") + "".join(_visible(char) for char in shown)
        if start + _EXCERPT_WIDTH < len(line):
            text += "…"
        indent = (" " if start else "") + "".join(_blank(char) for char in line[start:column])
        return f"{text}\n{indent}^"


@dataclass(frozen=True, slots=True)
class YamlScalar:
    """A scalar as its source text; `path` is where it stands in its own file, as ``vms[2].vcpus``."""

    mark: Mark
    path: str
    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it says "nothing": empty, ``~`` or ``null``, without quotes."""
        return not self.quoted and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class YamlList:
    """A sequence."""

    mark: Mark
    path: str
    items: tuple["YamlNode", ...]


@dataclass(frozen=True, slots=True)
class YamlEntry:
    """A key and its value."""

    key: YamlScalar
    value: "YamlNode"


@dataclass(frozen=True, slots=True)
class YamlMap:
    """A mapping. Merged ones hold entries of several documents: each entry knows its own."""

    mark: Mark
    path: str
    entries: Mapping[str, YamlEntry]

    def get(self, key: str) -> "YamlNode | None":
        """The value of a key; None where it is absent or null, which mean the same."""
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry.value, YamlScalar) and entry.value.is_null):
            return None
        return entry.value

    def mark_of(self, key: str) -> Mark:
        """Where the value of a key stands; the map's own place where the key is absent."""
        entry = self.entries.get(key)
        return self.mark if entry is None else entry.value.mark

    def path_of(self, key: str) -> str:
        """The path of a key's value in the file that it stands in."""
        entry = self.entries.get(key)
        return child_path(self.path, key) if entry is None else entry.value.path


YamlNode = YamlScalar | YamlList | YamlMap


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong at `mark`; `path` names the value in the words of the file, "" for the file as a whole."""

    mark: Mark
    path: str
    what: str
    hint: str | None = None

    @property
    def problem(self) -> Problem:
        """As the user reads it."""
        what = f"{self.path}: {self.what}" if self.path else self.what
        return Problem(what, self.mark.where, self.hint, self.mark.excerpt)


def input_error(mistakes: Iterable[Mistake]) -> InputError:
    """One error for all mistakes, by their place, each once; past PROBLEM_LIMIT they are only counted."""
    found = sorted(
        set(mistakes),
        key=lambda m: (m.mark.document.rank, m.mark.document.file, m.mark.line, m.mark.column, m.path, m.what),
    )
    problems = [mistake.problem for mistake in found[:PROBLEM_LIMIT]]
    if left := len(found) - len(problems):
        problems.append(Problem(f"{left} more problems like these", found[0].mark.document.file))
    error = InputError.of(tuple(problems))
    assert isinstance(error, InputError)  # noqa: S101 - of() makes the class that it is called on
    return error


def count_values(node: YamlNode) -> int:
    """How many scalars a node holds, keys apart."""
    match node:
        case YamlMap(entries=entries):
            return sum(count_values(entry.value) for entry in entries.values())
        case YamlList(items=items):
            return sum(count_values(item) for item in items)
        case YamlScalar():
            return 1


def child_path(path: str, key: str) -> str:
    """The path of a key below `path`."""
    name = "".join(_visible(char) for char in key[:_FOUND_WIDTH])
    return f"{path}.{name}" if path else name


def found_text(node: object) -> str:
    """What stands there, for "expected ..., found ...": quoted and cut, with nothing that a terminal obeys."""
    match node:
        case YamlScalar(is_null=True):
            return "nothing"
        case YamlScalar(text=text, quoted=quoted):
            shown = repr(text) if len(text) <= _FOUND_WIDTH else repr(text[:_FOUND_WIDTH] + "…")
            return f"{shown} in quotes" if quoted and text else shown
        case YamlList() | list():
            return "a list"
        case _:
            return "a map"


def closest(word: str, known: Iterable[str]) -> str | None:
    """Asks for the nearest of the known words, in any case; None where none is near."""
    if len(word) > _FOUND_WIDTH:
        return None
    alike = (name for name in sorted(known) if abs(len(name) - len(word)) <= len(word))
    by_fold = {name.casefold(): name for name in islice(alike, _CANDIDATE_LIMIT)}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1)
    return f"did you mean '{by_fold[near[0]]}'?" if near else None


def known_words(label: str, known: Iterable[str]) -> str:
    """The known ones, at most twenty of them."""
    names = sorted(known)
    if not names:
        return f"there are no {label}"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""  # noqa: PLR2004 - a line's worth
    return f"known {label}: {', '.join(names[:20])}{more}"


def hint_for(word: str, *, label: str, known: Iterable[str]) -> str:
    """The nearest known word, and all of them."""
    names = sorted(known)
    near = closest(word, names)
    return f"{near} {known_words(label, names)}" if near else known_words(label, names)


def _visible(char: str) -> str:
    return char if char.isprintable() or char == "\t" else "·"


def _blank(char: str) -> str:
    if char == "\t":
        return "\t"
    if unicodedata.combining(char):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "
