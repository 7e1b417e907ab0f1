"""Sets of CPU numbers, and the notation of lists in which the kernel and libvirt write them ("0-3,8")."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NewType, cast, final

CpuId = NewType("CpuId", int)

# CONFIG_NR_CPUS is at most 8192 on every architecture; a larger id is a broken or hostile file.
CPU_LIMIT: Final = 8192

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6})(?::([0-9]{1,6})/([0-9]{1,6}))?)?", re.ASCII)


def parse_id_list(text: str, *, limit: int = CPU_LIMIT) -> frozenset[int]:
    """Ids from the kernel's list form (Documentation/core-api/printk-formats.rst, "%*pbl").

    The ``a-b:used/group`` of Documentation/admin-guide/kernel-parameters.rst, "cpu lists", too.

    Raises ValueError on anything else, and on ids of `limit` or more.
    """
    stripped = text.strip()
    if not stripped:
        return frozenset()
    ids: set[int] = set()
    for part in stripped.split(","):
        ids.update(_parse_range(part.strip(), limit))
    return frozenset(ids)


def parse_libvirt_list(text: str, *, limit: int = CPU_LIMIT) -> frozenset[int]:
    """Ids from libvirt's form: a list in which ``^n`` takes n out again (formatdomain, "CPU Allocation", ``cpuset``).

    Raises ValueError on anything else, and on ids of `limit` or more.
    """
    ids: set[int] = set()
    for part in text.strip().split(","):
        word = part.strip()
        if word.startswith("^"):
            ids -= _parse_range(word[1:].strip(), limit)
        else:
            ids |= _parse_range(word, limit)
    return frozenset(ids)


def format_id_list(ids: Iterable[int]) -> str:
    """The kernel's list form: sorted, runs folded ("0-3,8"), "" for none."""
    runs: list[list[int]] = []
    for i in sorted(set(ids)):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _parse_range(text: str, limit: int) -> frozenset[int]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"no CPU list: {text[:80]!r}")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise ValueError(f"range runs backwards: {text!r}")
    if last >= limit:
        raise ValueError(f"id {last} is {limit} or more")
    if match[3] is None:
        return frozenset(range(first, last + 1))
    used, group = int(match[3]), int(match[4])
    if not 0 < used <= group:
        raise ValueError(f"no used/group pair: {text!r}")
    return frozenset(i for i in range(first, last + 1) if (i - first) % group < used)


@final
class CpuSet:
    """An immutable set of logical CPUs; iterates in numeric order, prints in the kernel's list form."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids: frozenset[CpuId] = frozenset(cast("Iterable[CpuId]", ids))

    @classmethod
    def parse(cls, text: str) -> "CpuSet":
        """From the kernel's list form; raises ValueError."""
        return cls(parse_id_list(text))

    @property
    def named(self) -> str:
        """As in a sentence: ``CPU 3``, ``CPUs 3-5``."""
        return f"CPU {self}" if len(self) == 1 else f"CPUs {self}"

    @property
    def lowest(self) -> CpuId:
        """The smallest id; raises ValueError when the set is empty."""
        return min(self._ids)

    def isdisjoint(self, other: "CpuSet") -> bool:
        """Whether no CPU is in both."""
        return self._ids.isdisjoint(other._ids)  # noqa: SLF001  (of its own class)

    def __iter__(self) -> Iterator[CpuId]:
        return iter(sorted(self._ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, cpu: object) -> bool:
        return cpu in self._ids

    def __or__(self, other: "CpuSet") -> "CpuSet":
        return CpuSet(self._ids | other._ids)

    def __and__(self, other: "CpuSet") -> "CpuSet":
        return CpuSet(self._ids & other._ids)

    def __sub__(self, other: "CpuSet") -> "CpuSet":
        return CpuSet(self._ids - other._ids)

    def __le__(self, other: "CpuSet") -> bool:
        return self._ids <= other._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CpuSet) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids)

    def __str__(self) -> str:
        return format_id_list(self._ids)

    def __repr__(self) -> str:
        return f"CpuSet.parse({str(self)!r})"


EMPTY: Final = CpuSet()
