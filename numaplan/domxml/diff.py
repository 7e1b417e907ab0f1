"""Unified diffs of domain XML that ``git apply`` and ``patch`` take, and that show no secrets.

A line that holds a secret never serves as context: the context ends before it. Where that leaves none behind a change,
`patch` takes the hunk, and ``git apply`` with ``--unidiff-zero``. In a line that changes itself, as in a document of
one line, the secret's value is masked; such a diff is for reading only.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from numaplan.domxml.lines import Change, changes
from numaplan.domxml.secrets import MASK, Secrets, find_secrets, is_secret_word
from numaplan.domxml.tree import Element, parse
from numaplan.errors import InputError

CONTEXT: Final = 3
# How many lines of context `patch` is ready to do without.
_FUZZ: Final = 2

# Elements whose own tags are no context either; and those whose tags tell nothing, unlike what is inside.
_HIDDEN: Final = frozenset({"secret", "auth", "encryption", "cookies"})
_HIDDEN_INSIDE: Final = frozenset({"sysinfo", "commandline", "launchSecurity"})
_PLAIN_NAME: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e ]+")


@dataclass(frozen=True, slots=True)
class _Side:
    """A document in lines: which of them are no context, and how each may be shown."""

    lines: tuple[bytes, ...]
    secret: frozenset[int]
    shown: tuple[bytes, ...]


def unified_diff(old: bytes, new: bytes, name: str) -> str:
    """The diff from `old` to `new`, "" where they are equal; `name` stands behind a/ and b/."""
    if old == new:
        return ""
    before, after = _side(old), _side(new)
    found = changes(before.lines, after.lines)
    # One equal line at least stays between two changes.
    floors = [0, *(change.b + 1 for change in found)]
    moved = [_slid(change, old=before, new=after, floor=floor) for change, floor in zip(found, floors, strict=False)]
    hunks = (_hunk(group, before, after) for group in _groups(moved, before))
    return "".join((f"--- {_header('a', name)}\n", f"+++ {_header('b', name)}\n", *hunks))


def _side(data: bytes) -> _Side:
    lines = tuple(line + b"\n" for line in data.split(b"\n"))
    lines = lines[:-1] if data.endswith(b"\n") else (*lines[:-1], lines[-1][:-1])
    if not data:
        lines = ()
    secret = {number for number, line in enumerate(lines) if is_secret_word(line)}
    try:
        root = parse(data, "").root
    except InputError:
        shown = (_blank(line) if number in secret else line for number, line in enumerate(lines))
        return _Side(lines, frozenset(secret), tuple(shown))
    secrets = find_secrets(data, root)
    ends = list(accumulate(len(line) for line in lines))
    for start, end in (*_hidden(root), *secrets.spans):
        secret.update(range(bisect_right(ends, start), bisect_left(ends, end) + 1))
    return _Side(lines, frozenset(secret), _shown(data, lines, ends=ends, secrets=secrets))


def _shown(data: bytes, lines: tuple[bytes, ...], *, ends: list[int], secrets: Secrets) -> tuple[bytes, ...]:
    """The lines with what is secret masked, their ends kept."""
    found = []
    for line, end in zip(lines, ends, strict=True):
        start, stop = end - len(line), end - len(line) + len(line.rstrip(b"\r\n"))
        found.append(secrets.masked(data, start, stop) + data[stop:end])
    return tuple(found)


def _blank(line: bytes) -> bytes:
    """A line of which nobody knows where its secret begins."""
    return MASK + line[len(line.rstrip(b"\r\n")) :]


def _hidden(root: Element) -> Iterator[tuple[int, int]]:
    for element in root.walk():
        name = element.name.rpartition("}")[2]
        if name in _HIDDEN:
            yield element.start, element.end
        elif name in _HIDDEN_INSIDE and element.children:
            yield element.children[0].start, element.children[-1].end


def _slid(change: Change, *, old: _Side, new: _Side, floor: int) -> Change:
    """The change further up, but not above old line `floor`, where that is the same and gives it context behind it.

    ``git apply`` takes a hunk without any for one at the end of the file.
    """
    while (
        change.b in old.secret
        and change.a > floor
        and (change.a == change.b or change.c == change.d)
        and change.a - 1 not in old.secret
        and (old.lines[change.b - 1], new.lines[change.c - 1]) == (old.lines[change.a - 1], new.lines[change.d - 1])
    ):
        change = Change(change.a - 1, change.b - 1, change.c - 1, change.d - 1)
    return change


def _groups(found: list[Change], old: _Side) -> Iterator[list[Change]]:
    """Changes near each other share a hunk, unless a secret stands between them."""
    group: list[Change] = []
    for change in found:
        if group:
            between = range(group[-1].b, change.a)
            if len(between) > 2 * CONTEXT or any(line in old.secret for line in between):
                yield group
                group = []
        group.append(change)
    if group:
        yield group


def _hunk(group: list[Change], old: _Side, new: _Side) -> str:
    first, last = group[0], group[-1]
    start, end = _context(first.a, last.b, old)
    old_range = _range(start, end)
    new_range = _range(first.c - (first.a - start), last.d + (end - last.b))
    body = []
    position = start
    for change in group:
        body += [_line(" ", old.lines[k]) for k in range(position, change.a)]
        body += [_line("-", old.shown[k]) for k in range(change.a, change.b)]
        body += [_line("+", new.shown[k]) for k in range(change.c, change.d)]
        position = change.b
    body += [_line(" ", old.lines[k]) for k in range(position, end)]
    return f"@@ -{old_range} +{new_range} @@\n" + "".join(body)


def _context(first: int, last: int, old: _Side) -> tuple[int, int]:
    """Where a hunk starts and ends. `patch` takes much less context on one side for an end of the file."""
    start = first
    while start > 0 and first - start < CONTEXT and start - 1 not in old.secret:
        start -= 1
    end = last
    while end < len(old.lines) and end - last < CONTEXT and end not in old.secret:
        end += 1
    before, after = first - start, end - last
    least_before, least_after = before, after
    if end < len(old.lines):
        least_before = min(before, after + _FUZZ if after else 0)
    if start > 0:
        least_after = min(after, before + _FUZZ)
    return first - least_before, last + least_after


def _range(start: int, end: int) -> str:
    count = end - start
    first = start if count == 0 else start + 1
    return str(first) if count == 1 else f"{first},{count}"


def _line(mark: str, line: bytes) -> str:
    text = mark + line.decode("utf-8", "surrogateescape")
    return text if text.endswith("\n") else text + "\n\\ No newline at end of file\n"


def _header(side: str, name: str) -> str:
    """The name as git writes it: quoted where it holds what a header cannot, a tab behind one with spaces."""
    path = f"{side}/{name.lstrip('/')}"
    if _PLAIN_NAME.fullmatch(path):
        return path + ("\t" if " " in path else "")
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    quoted = "".join(
        escapes.get(c)
        or (c if " " <= c <= "~" else "".join(f"\\{b:03o}" for b in c.encode("utf-8", "surrogateescape")))
        for c in path
    )
    return f'"{quoted}"'
