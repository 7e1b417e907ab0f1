"""Last-level caches (/sys/devices/system/cpu/cpuN/cache/indexM, Documentation/ABI/testing/sysfs-devices-system-cpu).

Memory-side caches stand in the node folders and are none of a CPU's, so they never count.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from numaplan.cpuset import CpuId, CpuSet
from numaplan.inventory.attribute import (
    cpus_of,
    each_of,
    ids_of,
    note_absent,
    parse_cpu_bits,
    parse_integer,
    parse_mask_bits,
    read_attribute,
)
from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.siblings import WITNESSES, ask_witnesses, group_siblings, note_disputes, vote
from numaplan.model.host import Core, LlcDomain, NodeId
from numaplan.sources.tree import HostTree

_INDEX = re.compile(r"index(0|[1-9][0-9]?)", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,9})([KMG]?)", re.ASCII)
_SHARERS: Final[tuple[tuple[str, Callable[[str], int]], ...]] = (
    ("shared_cpu_list", parse_cpu_bits),
    ("shared_cpu_map", parse_mask_bits),
)
_SIZE_UNITS: Final = {"": 0, "K": 1, "M": 1024, "G": 1024 * 1024}
_HIGHEST_LEVEL: Final = 9
_CACHES: Final = f"{CPU_ROOT}/cpu{{}}/cache"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Cache:
    """One CPU's last-level cache, whose folder is called `name`; `source` is the file that names the CPUs of `mask`.

    `mask` 0: it does not say which CPUs share it.
    """

    name: str
    level: int
    mask: int
    source: str
    size_kib: int | None

    def pattern(self, file: str) -> str:
        """The path of one of its files, for any CPU."""
        return f"{_CACHES}/{self.name}/{file}"


def read_llcs(
    tree: HostTree, online: CpuSet, *, cores: Sequence[Core], node_of: Mapping[CpuId, NodeId]
) -> tuple[LlcDomain, ...]:
    """The last-level cache of each online CPU, by lowest CPU; none for CPUs that show no caches.

    Where a cache does not say who shares it, the threads of a core are taken to.
    """
    core_of = {int(cpu): core.name for core in cores for cpu in core.cpus}
    bits = sum(1 << cpu for cpu in online)
    caches = _read_last_caches(tree, bits)
    domains = []
    left = bits
    for level in sorted({cache.level for cache in caches.values()}, reverse=True):
        own = {cpu: cache for cpu, cache in caches.items() if cache.level == level and left >> cpu & 1}
        groups = _group(tree, bits, own=own, core_of=core_of)
        for group in groups:
            members = group & left
            left &= ~group
            if not members:
                continue
            _note_newcomers(tree, members, caches=caches, level=level)
            cpus = ids_of(members)
            domains.append(
                LlcDomain(
                    level=level,
                    cpus=cpus_of(members),
                    size_kib=_agreed_size(tree, {cpu: own[cpu] for cpu in map(int, cpus) if cpu in own}),
                    numa_nodes=tuple(sorted({node_of[cpu] for cpu in cpus if cpu in node_of})),
                )
            )
    if left and domains:
        tree.note(each_of(f"{CPU_ROOT}/cpu{{}}/cache", ids_of(left)), "shows no cache, unlike that of other CPUs")
    return tuple(sorted(domains, key=lambda domain: domain.cpus.lowest))


def parse_cache_size(text: str) -> int:
    """KiB of "32768K" or "33M"; raises ValueError on anything else, and on no size at all."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("no cache size")
    number, unit = int(match[1]), _SIZE_UNITS[match[2]]
    size = number * unit if unit else number // 1024
    if not size:
        raise ValueError("a cache without a size")
    return size


def parse_cache_type(text: str) -> bool:
    """Whether data may be in it: "Data" and "Unified", but not "Instruction"; raises ValueError on anything else."""
    match text.strip():
        case "Data" | "Unified":
            return True
        case "Instruction":
            return False
        case _:
            raise ValueError("no cache type")


def parse_level(text: str) -> int:
    """A cache level; raises ValueError."""
    return parse_integer(text, lowest=1, highest=_HIGHEST_LEVEL)


def _read_last_caches(tree: HostTree, online: int) -> dict[int, _Cache]:
    """The last-level cache of each CPU that has one; a file that every cache has is missed where it is absent."""
    search = _Search(tree)
    caches = ask_witnesses(online, search.last_cache, members=lambda cache: cache.mask)
    unsized = [cpu for cpu, cache in caches.items() if cache.size_kib is None]
    if unsized and (len(unsized) < len(caches) or _tell_sizes(tree, caches)):
        for cpu in unsized:
            search.absent[caches[cpu].pattern("size")].append(cpu)
    for pattern, cpus in search.absent.items():
        note_absent(tree, pattern, cpus)
    for pattern, cpus in search.stray.items():
        tree.note(each_of(pattern, cpus), "does not name its own CPU")
    for pattern, cpus in search.unshared.items():
        tree.note(each_of(pattern, cpus), "does not say who shares it: the threads of a core are taken to")
    return caches


@dataclass(frozen=True, slots=True)
class _Search:
    """CPUs by the pattern of a path: of files that are absent or lack their own CPU, of caches without sharers."""

    tree: HostTree
    absent: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    stray: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    unshared: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    # How often a cache of that level and name stood above one of a lower level.
    ends: Counter[tuple[int, str]] = field(default_factory=Counter)

    def last_cache(self, cpu: int) -> _Cache | None:
        """Of the highest level; of two such ones the first.

        The kernel numbers caches from the nearest on (drivers/base/cacheinfo.c), so the search goes down from the last
        one, and ends where the level falls: a few CPUs whose last one has the same name speak for all.
        """
        best: tuple[int, str] | None = None
        folder = _CACHES.format(cpu)
        names = filter(_INDEX.fullmatch, self.tree.names(folder))
        for name in sorted(names, key=_index, reverse=True):
            if best is not None and self.ends[best] >= WITNESSES:
                break
            level = self._attribute(f"{_CACHES}/{name}/level", cpu, parse=parse_level)
            if level is None:
                continue
            if best is not None and level < best[0]:
                self.ends[best] += 1
                break
            if not self._attribute(f"{_CACHES}/{name}/type", cpu, parse=parse_cache_type):
                continue
            if best is not None and best[0] == level and level > 1:
                self.tree.note(f"{folder}/{best[1]}", f"a second cache of level {level}; only {name} is taken")
            best = (level, name)
        if best is None:
            return None
        level, name = best
        mask, source = self._sharers(f"{_CACHES}/{name}", cpu)
        return _Cache(name, level, mask, source, read_attribute(self.tree, f"{folder}/{name}/size", parse_cache_size))

    def _sharers(self, pattern: str, cpu: int) -> tuple[int, str]:
        """The sharers, and the name of the file that lists them; the first one is missed where the second answers."""
        for name, parse in _SHARERS:
            mask = self._attribute(f"{pattern}/{name}", cpu, parse=parse)
            if mask is None:
                continue
            if mask >> cpu & 1:
                return mask, name
            self.stray[f"{pattern}/{name}"].append(cpu)
        self.unshared[pattern].append(cpu)
        return 0, ""

    def _attribute(self, pattern: str, cpu: int, *, parse: Callable[[str], _T]) -> _T | None:
        value = read_attribute(self.tree, pattern.format(cpu), parse)
        if value is None:
            self.absent[pattern].append(cpu)
        return value


def _index(name: str) -> int:
    return int(name.removeprefix("index"))


def _tell_sizes(tree: HostTree, caches: Mapping[int, _Cache]) -> bool:
    """Whether the machine tells the size of another cache of a CPU: many an ARM tells none. Equal caches are one."""
    seen: set[_Cache] = set()
    for cpu, cache in caches.items():
        if cache in seen:
            continue
        seen.add(cache)
        folder = _CACHES.format(cpu)
        if any("size" in tree.names(f"{folder}/{name}") for name in tree.names(folder) if name != cache.name):
            return True
    return False


def _group(tree: HostTree, online: int, *, own: Mapping[int, _Cache], core_of: Mapping[int, CpuId]) -> tuple[int, ...]:
    """Groups in which at least one CPU says that it has such a cache."""
    claims = {cpu: cache.mask & online for cpu, cache in own.items() if cache.mask}
    grouping = group_siblings(online, claims, {cpu: core_of[cpu] for cpu in own if cpu in core_of})
    note_disputes(tree, grouping, where={cpu: cache.pattern(cache.source).format(cpu) for cpu, cache in own.items()})
    owners = sum(1 << cpu for cpu in own)
    return tuple(group for group in grouping.groups if group & owners)


def _note_newcomers(tree: HostTree, members: int, *, caches: Mapping[int, _Cache], level: int) -> None:
    """CPUs that others name as sharers of a cache of which they have no folder themselves."""
    strangers = [cpu for cpu in ids_of(members) if cpu not in caches or caches[cpu].level != level]
    if strangers:
        why = f"shows no cache of level {level}, which other CPUs say it shares"
        tree.note(each_of(f"{CPU_ROOT}/cpu{{}}/cache", strangers), why)


def _agreed_size(tree: HostTree, own: Mapping[int, _Cache]) -> int | None:
    sizes = {cpu: cache.size_kib for cpu, cache in own.items() if cache.size_kib is not None}
    result = vote(sizes)
    for cpu in result.dissenters:
        why = f"{sizes[cpu]} KiB, on which the sharers do not agree; {result.value} KiB"
        tree.note(own[cpu].pattern("size").format(cpu), why)
    return result.value
