"""Packages and cores (/sys/devices/system/cpu/cpuN/topology, Documentation/admin-guide/cputopology.rst).

Sibling masks decide who belongs together; ids only name what was found, and group CPUs that have no masks.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.inventory.attribute import (
    bits_of,
    cpus_of,
    each_of,
    ids_of,
    note_absent,
    parse_cpu_bits,
    parse_id,
    parse_mask_bits,
    read_attribute,
    read_each,
    unpad,
)
from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.siblings import Grouping, ask_witnesses, group_siblings, note_disputes, vote, witnesses
from numaplan.model.host import Core, DieId, NodeId, Package, PackageId
from numaplan.sources.tree import HostTree

Parser = Callable[[str], int]

# The names of Linux 5.4 and those before it, in the order of trust.
_THREADS: Final[tuple[tuple[str, Parser], ...]] = (
    ("core_cpus_list", parse_cpu_bits),
    ("thread_siblings_list", parse_cpu_bits),
    ("core_cpus", parse_mask_bits),
    ("thread_siblings", parse_mask_bits),
)
_PACKAGE: Final[tuple[tuple[str, Parser], ...]] = (
    ("package_cpus_list", parse_cpu_bits),
    ("core_siblings_list", parse_cpu_bits),
    ("package_cpus", parse_mask_bits),
    ("core_siblings", parse_mask_bits),
)
# Above this, CPUs of a kind share one gap.
_MOST_STRAYS: Final = 4
# Where no CPU has any of them, the list of Linux before 5.4 is the one that is missed.
_OLD_LIST: Final = 1
_CPUINFO_CORES = re.compile(r"^cpu cores\s*:\s*([0-9]+)$", re.ASCII | re.MULTILINE)
_CPUINFO_SIBLINGS = re.compile(r"^siblings\s*:\s*([0-9]+)$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Topology:
    """Packages by id, those without one last; cores by their lowest CPU."""

    packages: tuple[Package, ...]
    cores: tuple[Core, ...]


@dataclass(frozen=True, slots=True)
class _Ids:
    """What each online CPU says of itself; a CPU that says nothing or -1 is not in it."""

    package: Mapping[int, int]
    die: Mapping[int, int]
    core: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Claims:
    """Whom each CPU names as its siblings, and the file that does."""

    masks: Mapping[int, int]
    where: Mapping[int, str]


def read_topology(tree: HostTree, online: CpuSet, node_of: Mapping[CpuId, NodeId]) -> Topology:
    """Packages and cores of the online CPUs; `node_of` says on which node each CPU is, where that is known."""
    bits = bits_of(online)
    shown = _with_folder(tree, bits)
    threads = _read_claims(tree, shown, files=_THREADS)
    claims = _read_claims(tree, shown, files=_PACKAGE)
    ids = _Ids(
        package=_read_ids(tree, shown, name="physical_package_id", always=True, groups=_unanimous(claims)),
        die=_read_ids(tree, shown, name="die_id", always=False),
        core=_read_ids(tree, shown, name="core_id", always=True),
    )
    cores = _group(tree, bits, claims=threads, keys=_core_keys(tree, ids, node_of=node_of, masked=threads.masks))
    if cores.alone:
        which = format_id_list(ids_of(cores.alone))
        tree.note(CPU_ROOT, f"CPUs {which} have neither sibling masks nor a core id: each counts as a core")
    packages = _group(tree, bits, claims=claims, keys=_package_keys(ids, cores.groups))
    if lost := _unplaced(packages.groups, known=claims.masks.keys() | ids.package.keys()):
        which = format_id_list(lost)
        tree.note(CPU_ROOT, f"CPUs {which} have neither sibling masks nor a package id: each core counts as a package")
    package_ids = _agreed(tree, packages.groups, values=ids.package, name="physical_package_id")
    _note_doubles(tree, packages.groups, package_ids)
    package_of = {cpu: id_ for group, id_ in zip(packages.groups, package_ids, strict=True) for cpu in ids_of(group)}
    return Topology(
        packages=_packages(packages.groups, package_ids, node_of=node_of),
        cores=_cores(tree, cores.groups, ids=ids, package_of=package_of, node_of=node_of),
    )


def has_single_threads(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo of an x86 says that its package has as many cores as CPUs."""
    cores = _CPUINFO_CORES.search(cpuinfo)
    siblings = _CPUINFO_SIBLINGS.search(cpuinfo)
    return cores is not None and siblings is not None and cores[1] == siblings[1]


def _packages(
    groups: Sequence[int], ids: Sequence[int | None], *, node_of: Mapping[CpuId, NodeId]
) -> tuple[Package, ...]:
    found = [
        Package(
            id=None if id_ is None else PackageId(id_),
            cpus=cpus_of(group),
            numa_nodes=tuple(sorted({node_of[cpu] for cpu in ids_of(group) if cpu in node_of})),
        )
        for group, id_ in zip(groups, ids, strict=True)
    ]
    return tuple(sorted(found, key=lambda package: (package.id is None, package.id or 0, package.cpus.lowest)))


def _cores(
    tree: HostTree,
    groups: Sequence[int],
    *,
    ids: _Ids,
    package_of: Mapping[CpuId, int | None],
    node_of: Mapping[CpuId, NodeId],
) -> tuple[Core, ...]:
    core_ids = _agreed(tree, groups, values=ids.core, name="core_id")
    die_ids = _agreed(tree, groups, values=ids.die, name="die_id")
    cores = []
    for group, core_id, die_id in zip(groups, core_ids, die_ids, strict=True):
        cpus = ids_of(group)
        where = f"{CPU_ROOT}/cpu{cpus[0]}/topology"
        nodes = {node_of[cpu] for cpu in cpus if cpu in node_of}
        packages = {package_of[cpu] for cpu in cpus}
        if len(nodes) > 1:
            tree.note(where, f"the core of CPUs {format_id_list(cpus)} spans several nodes")
        if len(packages) > 1:
            tree.note(where, f"the core of CPUs {format_id_list(cpus)} spans packages")
        package = packages.pop() if len(packages) == 1 else None
        cores.append(
            Core(
                cpus=cpus_of(group),
                package=None if package is None else PackageId(package),
                numa_node=nodes.pop() if len(nodes) == 1 else None,
                core_id=core_id,
                die_id=None if die_id is None else DieId(die_id),
            )
        )
    return tuple(cores)


def _with_folder(tree: HostTree, online: int) -> Sequence[int]:
    """CPUs that show a topology at all; the kernel takes the folder of a CPU away when it takes the CPU offline."""
    cpus = ids_of(online)
    bare = [cpu for cpu in cpus if not tree.exists(f"{CPU_ROOT}/cpu{cpu}/topology")]
    if not bare:
        return cpus
    tree.note(each_of(f"{CPU_ROOT}/cpu{{}}/topology", bare), "not there")
    return [cpu for cpu in cpus if cpu not in bare]


def _read_ids(
    tree: HostTree, cpus: Sequence[int], *, name: str, always: bool, groups: Collection[int] = ()
) -> dict[int, int]:
    """`always`: every kernel has that file; any other is missed only where further CPUs have it.

    Of a group whose witnesses have the same text, the others are not asked.
    """
    pattern = f"{CPU_ROOT}/cpu{{}}/topology/{name}"
    if not always and name not in _offered(tree, cpus):
        return {}
    spared = 0
    for group in groups:
        asked = witnesses(ids_of(group))
        texts = {tree.text(pattern.format(cpu)) for cpu in asked}
        if len(texts) == 1 and _is_id(texts.pop()):
            spared |= group & ~sum(1 << cpu for cpu in asked)
    values = read_each(tree, pattern, [cpu for cpu in cpus if not spared >> cpu & 1], parse_id)
    for group in groups:
        if unasked := ids_of(group & spared):
            values.update(dict.fromkeys(map(int, unasked), values[(group & -group).bit_length() - 1]))
    note_absent(tree, pattern, [cpu for cpu in cpus if cpu not in values])
    unknown = [cpu for cpu, value in values.items() if value < 0]
    if len(unknown) < len(values):
        for cpu in unknown:
            tree.note(f"{CPU_ROOT}/cpu{cpu}/topology/{name}", "-1, unlike the file of other CPUs")
    return {cpu: value for cpu, value in values.items() if value >= 0}


def _read_claims(tree: HostTree, cpus: Sequence[int], *, files: Sequence[tuple[str, Parser]]) -> _Claims:
    """The first of `files` that makes sense; one that is absent is missed where it is the first of other CPUs."""
    patterns = [f"{CPU_ROOT}/cpu{{}}/topology/{name}" for name, _ in files]
    offered = _offered(tree, cpus)
    ranks = [rank for rank, (name, _) in enumerate(files) if name in offered] or range(len(files))

    def ask(cpu: int) -> tuple[int, int] | None:
        for rank in ranks:
            path = patterns[rank].format(cpu)
            mask = read_attribute(tree, path, files[rank][1])
            if mask is None:
                continue
            if mask >> cpu & 1:
                return mask, rank
            tree.note(path, f"does not name CPU {cpu} itself")
        return None

    claims = ask_witnesses(sum(1 << cpu for cpu in cpus), ask, members=itemgetter(0))
    first = min((rank for _, rank in claims.values()), default=_OLD_LIST)
    note_absent(tree, patterns[first], [cpu for cpu in cpus if cpu not in claims or claims[cpu][1] != first])
    return _Claims(
        {cpu: mask for cpu, (mask, _) in claims.items()},
        {cpu: patterns[rank].format(cpu) for cpu, (_, rank) in claims.items()},
    )


def _offered(tree: HostTree, cpus: Sequence[int]) -> frozenset[str]:
    """Files that a topology has on this kernel: what none of a few CPUs shows need not be looked for at the others."""
    some = witnesses(cpus)
    return frozenset(name for cpu in some for name in tree.names(f"{CPU_ROOT}/cpu{cpu}/topology"))


def _is_id(text: str | None) -> bool:
    try:
        return text is not None and parse_id(unpad(text)) >= -1
    except ValueError:
        return False


def _unanimous(claims: _Claims) -> tuple[int, ...]:
    """Groups all of whose CPUs claim just that group."""
    voters = sum(1 << cpu for cpu in claims.masks)
    support = Counter(claims.masks.values())
    return tuple(mask & voters for mask, count in support.items() if count == (mask & voters).bit_count())


def _core_keys(
    tree: HostTree, ids: _Ids, *, node_of: Mapping[CpuId, NodeId], masked: Mapping[int, int]
) -> Mapping[int, tuple[int | None, ...]]:
    """What tells the cores of CPUs without masks apart.

    A core id may repeat even within a package (Magny-Cours: once in each of its two nodes).
    Where it does within a node, as on the same machine with its nodes interleaved, /proc/cpuinfo can still tell.
    """
    unmasked = not ids.core.keys() <= masked.keys()
    single = unmasked and has_single_threads(tree.text("proc/cpuinfo", expected=True) or "")
    return {
        cpu: (ids.package.get(cpu), ids.die.get(cpu), node_of.get(CpuId(cpu)), core, cpu if single else None)
        for cpu, core in ids.core.items()
    }


def _agreed(tree: HostTree, groups: Sequence[int], *, values: Mapping[int, int], name: str) -> list[int | None]:
    """One id a group: that of most of its CPUs, of equals that of the lowest one, with a gap for the others.

    The halves of an AMD module are threads of one core to the kernel, yet have core ids of their own.
    """
    agreed: list[int | None] = []
    strays: dict[int, str] = {}
    for group in groups:
        voices = {cpu: values[cpu] for cpu in map(int, ids_of(group)) if cpu in values}
        result = vote(voices)
        agreed.append(result.value)
        for cpu in result.dissenters:
            strays[cpu] = f"{voices[cpu]}, which its siblings do not agree on; {result.value} is taken"
    pattern = f"{CPU_ROOT}/cpu{{}}/topology/{name}"
    if len(strays) > _MOST_STRAYS:
        tree.note(each_of(pattern, strays), "siblings do not agree; what most of them say is taken, or the lowest CPU")
    else:
        for cpu, why in strays.items():
            tree.note(pattern.format(cpu), why)
    return agreed


def _note_doubles(tree: HostTree, groups: Sequence[int], ids: Sequence[int | None]) -> None:
    seen: dict[int, int] = {}
    for group, id_ in zip(groups, ids, strict=True):
        if id_ is None:
            continue
        if id_ in seen:
            first, second = (format_id_list(ids_of(each)) for each in (seen[id_], group))
            tree.note(
                f"{CPU_ROOT}/cpu{ids_of(group)[0]}/topology/physical_package_id",
                f"{id_} names two packages: CPUs {first} and CPUs {second}",
            )
        seen.setdefault(id_, group)


def _package_keys(ids: _Ids, cores: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
    """A CPU's package id, else that of a sibling thread, else its core: no core spans packages."""
    keys: dict[int, tuple[bool, int]] = {}
    for core in cores:
        cpus = ids_of(core)
        own = [ids.package[cpu] for cpu in cpus if cpu in ids.package]
        for cpu in cpus:
            keys[cpu] = (True, ids.package.get(cpu, own[0])) if own else (False, cpus[0])
    return keys


def _unplaced(groups: Sequence[int], *, known: AbstractSet[int]) -> tuple[int, ...]:
    """CPUs of groups of which nobody said anything."""
    return tuple(cpu for group in groups if known.isdisjoint(ids_of(group)) for cpu in ids_of(group))


def _group(tree: HostTree, online: int, *, claims: _Claims, keys: Mapping[int, Hashable]) -> Grouping:
    grouping = group_siblings(online, {cpu: mask & online for cpu, mask in claims.masks.items()}, keys)
    note_disputes(tree, grouping, where=claims.where)
    return grouping
