"""Text that is safe to print and fits its column: the one gate for every string that a host or a file supplied."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from tabulate import tabulate

from numaplan.units import GIB_KIB, format_few

UNKNOWN: Final = "?"
NONE: Final = "-"

# Controls (C0, C1, ESC), formats (bidi, zero width), surrogates (bytes that are no UTF-8), line separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_UNKNOWN_CELL: Final = re.compile(r"(?<![^\s/:])\?(?![^\s/,;:])")
_SPACES: Final = frozenset("\t\n\v\f\r\x85\u2028\u2029")

# No name that libvirt or the kernel takes is as long: a file's has 255 bytes at most, an interface's 127. What stands
# between commas or slashes is a part of a list or path; of those each is looked at by itself.
_LONGEST_NAME: Final = 512
_TOO_LONG: Final = re.compile(rf"""[^\s,/"']{{{_LONGEST_NAME + 1},}}""")
# Of so many things that are alike the names are told.
_MOST_NAMES: Final = 4
_HEAD: Final = 80
_TAIL: Final = 20
ELLIPSIS: Final = "\u2026"


def clean(text: str) -> str:
    """`text` on one line: what a terminal would obey, hide or reorder becomes "?", line breaks and tabs a space.

    A name that is absurdly long is shortened.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(_safe(character) for character in text)
    return text if len(text) <= _LONGEST_NAME else _TOO_LONG.sub(_shortened, text)


def each_of(names: Sequence[str]) -> str:
    """Of whom something is said: one name, or "each of" the first few."""
    few = format_few([clean(name) for name in names], _MOST_NAMES)
    return few if len(names) == 1 else f"each of {few}"


def _shortened(name: re.Match[str]) -> str:
    return f"{name[0][:_HEAD]}{ELLIPSIS}{name[0][-_TAIL:]}"


def _safe(character: str) -> str:
    if character in _SPACES:
        return " "
    return "?" if unicodedata.category(character) in _UNSAFE else character


def page(sections: Iterable[str]) -> str:
    """Sections with a blank line between them, empty ones left out; what "?" means is told where it stands."""
    text = "\n\n".join(section for section in sections if section)
    if _UNKNOWN_CELL.search(text):
        text += f"\n\n{UNKNOWN} = the host does not say"
    return text + "\n"


def known(text: str | None) -> str:
    """`text` made safe; "?" where the host does not say."""
    return UNKNOWN if text is None else clean(text)


def yes(value: bool | None) -> str:  # noqa: FBT001  # the value to print, no option
    """``yes`` or ``no``; "?" where the host does not say."""
    if value is None:
        return UNKNOWN
    return "yes" if value else "no"


def number(value: int | None) -> str:
    """A number, or "?" where the host does not say."""
    return UNKNOWN if value is None else str(value)


def gib(size_kib: int | None) -> str:
    """GiB with one decimal, or "?"."""
    return UNKNOWN if size_kib is None else f"{size_kib / GIB_KIB:.1f}"


def wrap_list(text: str, width: int) -> str:
    """A comma-separated list on as many lines as it takes, broken after commas only, none lost."""
    lines: list[str] = []
    for part in text.split(","):
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f",{part}"
        else:
            if lines:
                lines[-1] += ","
            lines.append(part)
    return "\n".join(lines)


def count(amount: int, noun: str) -> str:
    """``1 guest``, ``2 guests``."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def grid(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> str:
    """A table whose cells may have several lines; the columns named in `right` are flush right."""
    body = [list(row) for row in rows]
    flush = frozenset(right)
    # tabulate pads the columns of a header row of its own by two more spaces than fit 80 columns.
    columns = zip(headers, *body, strict=True)
    rules = ["-" * max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    table = tabulate(
        [list(headers), rules, *body],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if header in flush else "left" for header in headers],
    )
    return "\n".join(line.rstrip() for line in table.splitlines())


def facts(rows: Iterable[Sequence[str]], *, indent: str) -> str:
    """Columns without a heading, indented."""
    table = tabulate([list(row) for row in rows], tablefmt="plain", disable_numparse=True, colglobalalign="left")
    return "\n".join(f"{indent}{line}".rstrip() for line in table.splitlines())
