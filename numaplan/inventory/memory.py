"""Memory and hugepage pools, of one node or of the host where it shows no nodes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from numaplan.inventory.attribute import each_of, note_absent, parse_integer, parse_or_note, read_attribute
from numaplan.model.host import HugepagePool
from numaplan.sources.tree import HostTree

GLOBAL_POOLS: Final = "sys/kernel/mm/hugepages"

_LINE = re.compile(r"(?:Node\s+[0-9]+\s+)?([A-Za-z_()]+):\s*(.*)", re.ASCII)
_VALUE = re.compile(r"([0-9]{1,15}) kB", re.ASCII)
_POOL_NAME = re.compile(r"hugepages-([1-9][0-9]{0,11})kB", re.ASCII)
_KEYS: Final = ("MemTotal", "MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
_MOST_PAGES: Final = 10**12


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """A meminfo file in KiB. `missing` are the lines that it lacks of those that `available_kib` is made of."""

    total_kib: int | None = None
    free_kib: int | None = None
    available_kib: int | None = None
    missing: tuple[str, ...] = ()


def read_memory(tree: HostTree, path: str) -> MemoryInfo:
    """/proc/meminfo (Documentation/filesystems/proc.rst)."""
    return _read_memories(tree, {0: path}, pattern=path)[0]


def read_node_memories(tree: HostTree, pattern: str, ids: Iterable[int]) -> Mapping[int, MemoryInfo]:
    """/sys/devices/system/node/nodeN/meminfo by N, for which `pattern` has "{}"."""
    return _read_memories(tree, {id_: pattern.format(id_) for id_ in ids}, pattern=pattern)


def parse_memory(text: str) -> MemoryInfo:
    """A meminfo file; raises ValueError where a line that counts is broken or stands twice, and for contradictions."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None or match[1] not in _KEYS:
            continue
        value = _VALUE.fullmatch(match[2].strip())
        if value is None:
            raise ValueError(f"{match[1]} is no number of kB")
        if match[1] in values:
            raise ValueError(f"{match[1]} stands twice")
        values[match[1]] = int(value[1])
    if "MemTotal" not in values:
        raise ValueError("no MemTotal")
    missing = tuple(key for key in _KEYS if key not in values)
    total, free = values["MemTotal"], values.get("MemFree")
    available = None if missing else sum(values[key] for key in _KEYS[1:])
    if free is not None and free > total:
        raise ValueError(f"MemFree {free} kB is more than MemTotal {total} kB")
    if available is not None and available > total:
        raise ValueError(f"{available} kB available are more than MemTotal {total} kB")
    return MemoryInfo(total, free, available, missing)


def read_pools(tree: HostTree, folder: str) -> tuple[HugepagePool, ...]:
    """Pools below `folder`, by page size (Documentation/admin-guide/mm/hugetlbpage.rst).

    A pool of which a number is missing or makes no sense is left out, with a gap: it cannot be planned on.
    """
    pools = []
    for name in tree.names(folder):
        match = _POOL_NAME.fullmatch(name)
        if match is not None:
            pool = _read_pool(tree, f"{folder}/{name}", size_kib=int(match[1]))
            pools += [] if pool is None else [pool]
        elif name.startswith("hugepages-"):
            tree.note(f"{folder}/{name}", "no page size")
    return tuple(sorted(pools, key=lambda pool: pool.size_kib))


def is_pool(name: str) -> bool:
    """Whether a folder's name is that of a pool."""
    return _POOL_NAME.fullmatch(name) is not None


def parse_pages(text: str) -> int:
    """A number of pages; raises ValueError."""
    return parse_integer(text, highest=_MOST_PAGES)


def _read_memories(tree: HostTree, paths: Mapping[int, str], *, pattern: str) -> dict[int, MemoryInfo]:
    """A kernel older than 2.6.28 does not tell file pages from anonymous ones, and then nothing says how much is
    available: it stays None.
    """
    infos = {id_: read_attribute(tree, path, parse_memory) or MemoryInfo() for id_, path in paths.items()}
    note_absent(tree, pattern, [id_ for id_, info in infos.items() if info.total_kib is None])
    for missing in sorted({info.missing for info in infos.values() if info.missing}):
        which = [id_ for id_, info in infos.items() if info.missing == missing]
        tree.note(each_of(pattern, which), f"has no {', '.join(missing)}: the memory available is not known")
    return infos


def _read_pool(tree: HostTree, folder: str, *, size_kib: int) -> HugepagePool | None:
    counts: list[int] = []
    for name in ("nr_hugepages", "free_hugepages", "surplus_hugepages"):
        path = f"{folder}/{name}"
        text = tree.text(path)
        if text is None:
            tree.note(path, "not there: the pool is left out")
            return None
        count = parse_or_note(tree, path, text=text, parse=parse_pages)
        if count is None:
            return None
        counts.append(count)
    total, free, surplus = counts
    if free > total or surplus > total:
        for name in ("nr_hugepages", "free_hugepages", "surplus_hugepages"):
            tree.note(f"{folder}/{name}", f"{total} pages, {free} free and {surplus} surplus: the pool is left out")
        return None
    return HugepagePool(size_kib, total=total, free=free, surplus=surplus)
