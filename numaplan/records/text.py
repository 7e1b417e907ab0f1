"""How our documents look: ASCII, two spaces an indent, an entry a line. Writes values, knows no nouns."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress

_STEP: Final = "  "
_BORDER: Final = "}, {"
_CONTAINERS: Final = (dict, list)
_flat: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def dump(document: Mapping[str, object]) -> str:
    r"""The text of a document: whatever holds a list of objects has a line for each of its items, all else is one line.

    A byte of the host that is no UTF-8 (a lone surrogate inside) is written as ``\udcXX`` and reads back the same.
    """
    parts: list[str] = []
    _open_object(document, "\n", parts)
    parts.append("\n")
    return "".join(parts)


@lru_cache(maxsize=4096)
def cpu_list(cpus: CpuSet) -> str:
    """The kernel's list form; thousands of interrupts share a few sets."""
    return str(cpus)


def optional_cpu_list(cpus: CpuSet | None) -> str | None:
    """The kernel's list form, or null."""
    return None if cpus is None else cpu_list(cpus)


def optional_address(address: PciAddress | None) -> str | None:
    """``dddd:bb:ss.f``, or null."""
    return None if address is None else str(address)


def optional_list(values: tuple[int, ...] | None) -> list[int] | None:
    """A list of ids, or null."""
    return None if values is None else list(values)


def _write(value: object, margin: str, parts: list[str]) -> None:
    """`margin` is a line end and the indent of the line on which the value stands."""
    if not _has_entries(value):
        parts.append(_flat(value))
    elif isinstance(value, dict):
        _open_object(value, margin, parts)
    elif isinstance(value, list):
        _open_list(value, margin, parts)


def _open_object(value: Mapping[str, object], margin: str, parts: list[str]) -> None:
    inner = margin + _STEP
    before = inner
    parts.append("{")
    for key, item in value.items():
        parts.append(f"{before}{_flat(key)}: ")
        _write(item, inner, parts)
        before = "," + inner
    parts.append(margin + "}")


def _open_list(value: list[object], margin: str, parts: list[str]) -> None:
    inner = margin + _STEP
    if all(isinstance(item, dict) and not _has_entries(item) for item in value):
        # One call for them all is three times as fast as one for each. Where no string of theirs looks like the border
        # between two of them, there are as many borders as it takes.
        flat = _flat(value)
        if flat.count(_BORDER) == len(value) - 1:
            parts.append(f"[{inner}{flat[1:-1].replace(_BORDER, f'}},{inner}{{')}{margin}]")
            return
    before = "[" + inner
    for item in value:
        parts.append(before)
        _write(item, inner, parts)
        before = "," + inner
    parts.append(margin + "]")


def _has_entries(value: object) -> bool:
    """Whether a list of objects stands in it; our lists hold items of one kind."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    if isinstance(value, dict):
        for item in value.values():
            # Most values are neither, and a call costs more than asking here.
            if isinstance(item, _CONTAINERS) and _has_entries(item):
                return True
    return False
