"""One attribute file: its text fetched, handed to a pure parser, and a `Gap` left where that parser refuses it."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeVar

from numaplan.cpuset import CPU_LIMIT, CpuId, CpuSet, format_id_list
from numaplan.sources.tree import HostTree

# The kernel's ids are C ints; the largest one is what "-1" turns into on its way through broken tools.
INT_LIMIT: Final = 2**31 - 1
# A list of 8192 ids, no two of them neighbours, is 24 KiB; a longer one is a broken or hostile file.
_LONGEST_LIST: Final = 65536
_EXCERPT: Final = 40
# Up to here it is faster to take bits off one by one than to look at all of them.
_FEW: Final = 64

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_LIST = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*", re.ASCII)
_MASK = re.compile(r"[0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})*", re.ASCII)

_T = TypeVar("_T")


def read_attribute(tree: HostTree, path: str, parse: Callable[[str], _T], *, expected: bool = False) -> _T | None:
    """What `parse` makes of the file at `path`; None where there is no file, and with a gap where it is refused.

    `expected` as for `HostTree.text`.
    """
    text = tree.text(path, expected=expected)
    if text is None:
        return None
    try:
        return parse(text.rstrip("\0"))
    except ValueError as error:
        tree.note(path, f"{error}: {excerpt(text)}")
        return None


def read_each(tree: HostTree, pattern: str, ids: Iterable[int], parse: Callable[[str], _T]) -> dict[int, _T]:
    """What `parse` makes of files of one kind, by id; those that it refuses for one reason share a gap.

    `pattern` has "{}" where the id stands, as for `each_of`.
    """
    values: dict[int, _T] = {}
    refused: dict[str, list[int]] = {}
    for id_ in ids:
        text = tree.text(pattern.format(id_))
        if text is None:
            continue
        try:
            values[id_] = parse(unpad(text))
        except ValueError as error:
            refused.setdefault(f"{error}: {excerpt(text)}", []).append(id_)
    for why, which in refused.items():
        tree.note(each_of(pattern, which), why)
    return values


def parse_or_note(tree: HostTree, path: str, *, text: str, parse: Callable[[str], _T]) -> _T | None:
    """What `parse` makes of `text`; None and a gap that names `path` where it raises ValueError."""
    try:
        return parse(unpad(text))
    except ValueError as error:
        tree.note(path, f"{error}: {excerpt(text)}")
        return None


def note_absent(tree: HostTree, pattern: str, ids: Iterable[int]) -> None:
    """One gap for those of several files of one kind that are absent, as `each_of` names them.

    Files that were refused or make no sense have gaps of their own.
    """
    if absent := [id_ for id_ in ids if tree.is_absent(pattern.format(id_))]:
        tree.note(each_of(pattern, absent), "not there")


def each_of(pattern: str, ids: Iterable[int]) -> str:
    """Several paths in one: "cpu{0-3,7}/topology" for CPUs 0 to 3 and 7; `pattern` has "{}" where the id stands."""
    listed = format_id_list(ids)
    return pattern.format(listed if listed.isdigit() else f"{{{listed}}}")


def unpad(text: str) -> str:
    """`text` without the NULs behind it: sysfs states a size of one page, and plain tar pads a file to it."""
    return text.rstrip("\0")


def excerpt(text: str) -> str:
    """The beginning of an offending text, printable on one line."""
    head = repr(text[:_EXCERPT])
    return head if len(text) <= _EXCERPT else f"{head}..."


def is_cut_short(text: str) -> bool:
    """Whether a file that should end in a newline, as all attributes do, does not."""
    kept = unpad(text)
    return bool(kept) and not kept.endswith("\n")


def parse_integer(text: str, *, lowest: int = 0, highest: int = INT_LIMIT - 1) -> int:
    """One decimal number between `lowest` and `highest`; raises ValueError."""
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped) is None:
        raise ValueError("no number")
    number = int(stripped)
    if not lowest <= number <= highest:
        raise ValueError(f"not within {lowest} to {highest}")
    return number


@lru_cache(maxsize=4096)  # the same few texts come thousands of times
def parse_id(text: str) -> int:
    """An id, -1 where the kernel does not know it; raises ValueError."""
    return parse_integer(text, lowest=-1)


@lru_cache(maxsize=4096)
def parse_cpu_bits(text: str) -> int:
    """CPUs of a kernel list ("%*pbl", Documentation/core-api/printk-formats.rst) as the bits of a number.

    The kernel ends even an empty list with a newline, and prints ids in ascending order. Raises ValueError otherwise.
    """
    stripped = text.strip(" \t\n")
    if not stripped:
        if text:
            return 0
        raise ValueError("empty file")
    if len(stripped) > _LONGEST_LIST or _LIST.fullmatch(stripped) is None:
        raise ValueError("no list of ids")
    bits = 0
    for part in stripped.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if last < first or first < bits.bit_length():
            raise ValueError("ids do not ascend")
        if last >= CPU_LIMIT:
            raise ValueError(f"an id of {CPU_LIMIT} or more")
        bits |= (1 << last + 1) - (1 << first)
    return bits


@lru_cache(maxsize=4096)
def parse_mask_bits(text: str) -> int:
    """CPUs of a kernel mask ("%*pb": words of 32 bits, the highest first) as the bits of a number.

    Raises ValueError on anything else, an empty file, and ids of 8192 or more.
    """
    stripped = text.strip(" \t\n")
    if len(stripped) > _LONGEST_LIST or _MASK.fullmatch(stripped) is None:
        raise ValueError("no mask of ids")
    bits = int(stripped.replace(",", ""), 16)
    if bits.bit_length() > CPU_LIMIT:
        raise ValueError(f"an id of {CPU_LIMIT} or more")
    return bits


def cpus_of(bits: int) -> CpuSet:
    """The CPUs whose bits are set."""
    return CpuSet(ids_of(bits))


def ids_of(bits: int) -> tuple[CpuId, ...]:
    """The numbers of the bits that are set, ascending."""
    if bits.bit_count() > _FEW:
        return tuple(CpuId(i) for i, bit in enumerate(f"{bits:b}"[::-1]) if bit == "1")
    ids = []
    while bits:
        lowest = bits & -bits
        ids.append(CpuId(lowest.bit_length() - 1))
        bits ^= lowest
    return tuple(ids)


def bits_of(cpus: CpuSet) -> int:
    """The number whose bits are those CPUs."""
    bits = 0
    for cpu in cpus:
        bits |= 1 << cpu
    return bits
