"""Packages and cores (/sys/devices/system/cpu/cpuN/topology, Documentation/admin-guide/cputopology.rst).

Sibling masks decide who belongs together; ids only name what was found, and group CPUs that have no masks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.inventory.attribute import cpus_of, ids_of, parse_cpu_bits, parse_id, parse_mask_bits, read_attribute
from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.siblings import Grouping, group_siblings, note_disputes, vote
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


def read_topology(tree: HostTree, online: CpuSet, node_of: Mapping[CpuId, NodeId]) -> Topology:
    """Packages and cores of the online CPUs; `node_of` says on which node each CPU is, where that is known."""
    ids = _Ids(
        package=_read_ids(tree, online, name="physical_package_id"),
        die=_read_ids(tree, online, name="die_id"),
        core=_read_ids(tree, online, name="core_id"),
    )
    bits = sum(1 << cpu for cpu in online)
    packages = _group(tree, bits, files=_PACKAGE, keys=ids.package)
    # A core id may repeat even within a package (Magny-Cours: once in each of its two nodes).
    # Where it does within a node, as on the same machine with its nodes interleaved, /proc/cpuinfo can still tell.
    single = has_single_threads(tree.text("proc/cpuinfo") or "")
    core_keys = {
        cpu: (ids.package.get(cpu), ids.die.get(cpu), node_of.get(CpuId(cpu)), core, cpu if single else None)
        for cpu, core in ids.core.items()
    }
    cores = _group(tree, bits, files=_THREADS, keys=core_keys)
    if cores.alone:
        which = format_id_list(ids_of(cores.alone))
        tree.note(CPU_ROOT, f"CPUs {which} have neither sibling masks nor a core id: each counts as a core")
    if packages.alone:
        which = format_id_list(ids_of(packages.alone))
        tree.note(CPU_ROOT, f"CPUs {which} have neither sibling masks nor a package id: each counts as a package")
    package_ids = [_agreed(tree, group, values=ids.package, name="physical_package_id") for group in packages.groups]
    _note_doubles(tree, packages.groups, package_ids)
    package_of = {cpu: id_ for group, id_ in zip(packages.groups, package_ids, strict=True) for cpu in ids_of(group)}
    return Topology(
        packages=_packages(packages.groups, package_ids, node_of=node_of),
        cores=tuple(_core(tree, group, ids=ids, package_of=package_of, node_of=node_of) for group in cores.groups),
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


def _core(
    tree: HostTree,
    group: int,
    *,
    ids: _Ids,
    package_of: Mapping[CpuId, int | None],
    node_of: Mapping[CpuId, NodeId],
) -> Core:
    cpus = ids_of(group)
    nodes = {node_of[cpu] for cpu in cpus if cpu in node_of}
    packages = {package_of[cpu] for cpu in cpus}
    if len(nodes) > 1:
        tree.note(f"{CPU_ROOT}/cpu{cpus[0]}/topology", f"the core of CPUs {format_id_list(cpus)} spans several nodes")
    if len(packages) > 1:
        tree.note(f"{CPU_ROOT}/cpu{cpus[0]}/topology", f"the core of CPUs {format_id_list(cpus)} spans packages")
    package = packages.pop() if len(packages) == 1 else None
    die = _agreed(tree, group, values=ids.die, name="die_id")
    return Core(
        cpus=cpus_of(group),
        package=None if package is None else PackageId(package),
        numa_node=nodes.pop() if len(nodes) == 1 else None,
        core_id=_agreed(tree, group, values=ids.core, name="core_id"),
        die_id=None if die is None else DieId(die),
    )


def _read_ids(tree: HostTree, online: CpuSet, *, name: str) -> dict[int, int]:
    values: dict[int, int] = {}
    for cpu in map(int, online):
        value = read_attribute(tree, f"{CPU_ROOT}/cpu{cpu}/topology/{name}", parse_id)
        if value is not None:
            values[cpu] = value
    unknown = [cpu for cpu, value in values.items() if value < 0]
    if len(unknown) < len(values):
        for cpu in unknown:
            tree.note(f"{CPU_ROOT}/cpu{cpu}/topology/{name}", "-1, unlike the file of other CPUs")
    return {cpu: value for cpu, value in values.items() if value >= 0}


def _agreed(tree: HostTree, group: int, *, values: Mapping[int, int], name: str) -> int | None:
    voices = {cpu: values[cpu] for cpu in map(int, ids_of(group)) if cpu in values}
    result = vote(voices)
    for cpu in result.dissenters:
        tree.note(
            f"{CPU_ROOT}/cpu{cpu}/topology/{name}",
            f"{voices[cpu]}, which its siblings do not agree on; {result.value} is taken",
        )
    return result.value


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


_K = TypeVar("_K")


def _group(tree: HostTree, online: int, *, files: Sequence[tuple[str, Parser]], keys: Mapping[int, _K]) -> Grouping:
    claims: dict[int, int] = {}
    where: dict[int, str] = {}
    for cpu in map(int, ids_of(online)):
        for name, parse in files:
            path = f"{CPU_ROOT}/cpu{cpu}/topology/{name}"
            mask = read_attribute(tree, path, parse)
            if mask is None:
                continue
            if not mask >> cpu & 1:
                tree.note(path, f"does not name CPU {cpu} itself")
                continue
            claims[cpu], where[cpu] = mask & online, path
            break
    grouping = group_siblings(online, claims, keys)
    note_disputes(tree, grouping, where=where)
    return grouping
