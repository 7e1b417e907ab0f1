"""Memory sizes: whole KiB inside, "16GiB" outside; and how counts and many names are said."""

import re
from collections.abc import Sequence
from typing import Final

GIB_KIB: Final = 1 << 20

_UNITS: Final = {"KiB": 1, "MiB": 1 << 10, "GiB": GIB_KIB, "TiB": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15})\s*(KiB|MiB|GiB|TiB)", re.ASCII)


def parse_size_kib(text: str) -> int:
    """KiB of a size such as ``16GiB``: a whole number and one of KiB, MiB, GiB, TiB; raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected a whole number with KiB, MiB, GiB or TiB, found {text[:80]!r}")
    return int(match[1]) * _UNITS[match[2]]


def format_size(size_kib: int) -> str:
    """The largest unit that holds `size_kib` exactly: 2048 -> "2 MiB".

    Of an uneven size of 1 GiB or more two decimals, cut and not rounded: what is said to be there is there.
    """
    for unit in ("TiB", "GiB", "MiB"):
        if size_kib and size_kib % _UNITS[unit] == 0:
            return f"{size_kib // _UNITS[unit]} {unit}"
    if size_kib >= _UNITS["GiB"]:
        return f"{size_kib * 100 // _UNITS['GiB'] / 100:.2f} GiB"
    return f"{size_kib} KiB"


def format_count(count: int, noun: str) -> str:
    """A count with its noun, in the plural where it is not one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_few(names: Sequence[str], most: int) -> str:
    """The first few names, `most` of them, and how many more there are."""
    said = ", ".join(names[:most])
    return said if len(names) <= most else f"{said} and {len(names) - most} more"
