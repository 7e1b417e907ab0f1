"""Control groups that confine guests or the host's own services to CPUs and nodes.

Version 2: Documentation/admin-guide/cgroup-v2.rst, "Cpuset"; version 1: cpusets.rst in its cgroup-v1.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from numaplan.inventory.attribute import cpus_of, parse_cpu_bits, read_attribute
from numaplan.inventory.listed import read_listed
from numaplan.inventory.nodes import parse_node_list
from numaplan.model.host import NodeId
from numaplan.model.kernel import Cpuset
from numaplan.sources.tree import HostTree

_MOUNTS: Final = "proc/mounts"
_UNIFIED_PLACES: Final = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_LEGACY_PLACES: Final = ("sys/fs/cgroup/cpuset", "dev/cpuset")
_MOST_MOUNTS: Final = 16
# systemd's slices (systemd.special(7)); "machine" is libvirt's where there is no systemd (libvirt, "Control Groups").
_SLICES: Final = ("machine.slice", "machine", "system.slice", "user.slice")
_MACHINES: Final = frozenset({"machine.slice", "machine"})
_GUEST = re.compile(r"machine-.*\.scope|.*\.libvirt-(?:qemu|lxc)")
_PARTITION = re.compile(r".*\.(?:slice|partition)")
_MOST_GROUPS: Final = 4096
_DEEPEST: Final = 8
_OCTAL = re.compile(r"\\([0-7]{3})", re.ASCII)
_MEMBER: Final = "member"
_KINDS: Final = frozenset({_MEMBER, "root", "isolated"})
_LONGEST_SENTENCE: Final = 256

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: `path` within the tree, its type and its options."""

    path: str
    kind: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """What the files of a group are called; a legacy group may be mounted without the prefix."""

    cpus: str
    cpus_effective: str
    nodes: str
    nodes_effective: str
    partition: str = ""

    @property
    def every(self) -> frozenset[str]:
        """All of them."""
        return frozenset({self.cpus, self.cpus_effective, self.nodes, self.nodes_effective, self.partition})


_UNIFIED: Final = _Names(
    "cpuset.cpus", "cpuset.cpus.effective", "cpuset.mems", "cpuset.mems.effective", "cpuset.cpus.partition"
)
_LEGACY: Final = _Names("cpuset.cpus", "cpuset.effective_cpus", "cpuset.mems", "cpuset.effective_mems")
_UNPREFIXED: Final = _Names("cpus", "effective_cpus", "mems", "effective_mems")


def read_cpusets(tree: HostTree) -> tuple[Cpuset, ...]:
    """The root, the slices of machines, the system and users, and every guest, by path.

    What a group has is its effective set; one that asks for nothing has its parent's and is left out.
    """
    found = _find(tree)
    if found is None:
        return ()
    place, names = found
    if names is _UNIFIED and _UNIFIED.cpus in tree.names(place):
        # The root of the hierarchy has no such file, so this is the root of a container's namespace.
        tree.note(place, "not the host's root group: it is seen from within a container")
    groups = []
    for count, path in enumerate(_walk(tree, place)):
        if count == _MOST_GROUPS:
            tree.note(place, f"more than {_MOST_GROUPS} groups: the others are left out")
            break
        group = _read_group(tree, place, path, names=names)
        groups += [] if group is None else [group]
    return tuple(sorted(groups, key=lambda group: group.path))


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The lines of /proc/mounts (proc(5)); raises ValueError where there is none."""
    mounts = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= 4 and words[1].startswith("/"):  # noqa: PLR2004 - device, mount point, type, options
            path = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[1]).strip("/")
            mounts.append(Mount(path, words[2], tuple(words[3].split(","))))
    if not mounts:
        raise ValueError("no mounts")
    return tuple(mounts)


def parse_partition(text: str) -> str:
    """cpuset.cpus.partition: "member", "root" or "isolated", and why it is invalid; raises ValueError."""
    sentence = text.strip()
    if sentence.partition(" ")[0] not in _KINDS or not sentence.isprintable() or len(sentence) > _LONGEST_SENTENCE:
        raise ValueError("no kind of partition")
    return sentence


def _find(tree: HostTree) -> tuple[str, _Names] | None:
    """Where the one hierarchy is mounted that has the cpuset controller: a usual place, else one that mounts name.

    All the mounts of a host say much that is nobody's business: they are read only where they are needed.
    """
    found = _look(tree, _UNIFIED_PLACES, _LEGACY_PLACES)
    if found is not None:
        return found
    mounts = read_attribute(tree, _MOUNTS, parse_mounts) or ()
    unified = [mount.path for mount in mounts if mount.kind == "cgroup2"]
    legacy = [
        mount.path
        for mount in mounts
        if mount.kind == "cpuset" or (mount.kind == "cgroup" and "cpuset" in mount.options)
    ]
    return _look(tree, unified[:_MOST_MOUNTS], legacy[:_MOST_MOUNTS])


def _look(tree: HostTree, unified: Sequence[str], legacy: Sequence[str]) -> tuple[str, _Names] | None:
    for place in unified:
        controllers = read_listed(tree, place, "cgroup.controllers", str.split) or ()
        if _UNIFIED.cpus_effective in tree.names(place) or "cpuset" in controllers:
            return place, _UNIFIED
    for place in legacy:
        for names in (_LEGACY, _UNPREFIXED):
            if names.cpus in tree.names(place):
                return place, names
    return None


def _walk(tree: HostTree, place: str) -> Iterator[str]:
    """Groups by path from the root of the hierarchy: the slices, and below those of machines every guest.

    libvirt keeps a guest's limits in a group of its own below systemd's scope, where systemd leaves them alone.
    """
    yield "/"
    for name in _SLICES:
        if name not in tree.names(place):
            continue
        yield f"/{name}"
        todo = [(f"/{name}", 1)] if name in _MACHINES else []
        while todo:
            path, depth = todo.pop()
            for child in tree.names(f"{place}{path}"):
                if not child.isprintable():
                    tree.note(f"{place}{path}", f"a group whose name is no text is left out: {child!a}")
                elif _GUEST.fullmatch(child):
                    yield f"{path}/{child}"
                    if "libvirt" in tree.names(f"{place}{path}/{child}"):
                        yield f"{path}/{child}/libvirt"
                elif _PARTITION.fullmatch(child) and depth < _DEEPEST:
                    yield f"{path}/{child}"
                    todo.append((f"{path}/{child}", depth + 1))


def _read_group(tree: HostTree, place: str, path: str, *, names: _Names) -> Cpuset | None:
    """None for a group that says nothing.

    All its files are there where the controller is enabled. The root of version 2 has the effective ones alone, and
    version 1 has none of those before Linux 3.17.
    """
    folder = f"{place}{path}".rstrip("/")
    enabled = path == "/" or not names.every.isdisjoint(tree.names(folder))
    below = names is _UNIFIED and path != "/"
    asks, grants = enabled and (names is not _UNIFIED or below), enabled and names is _UNIFIED
    partition = read_listed(tree, folder, names.partition, parse_partition, expected=asks) if below else None
    cpus = _chosen(
        read_listed(tree, folder, names.cpus, parse_cpu_bits, expected=asks),
        read_listed(tree, folder, names.cpus_effective, parse_cpu_bits, expected=grants),
        # A partition may have CPUs of its own without asking for any.
        inherits=below and partition in {None, _MEMBER},
    )
    nodes = _chosen(
        read_listed(tree, folder, names.nodes, parse_node_list, expected=asks),
        read_listed(tree, folder, names.nodes_effective, parse_node_list, expected=grants),
        inherits=below,
    )
    if cpus is None and nodes is None and partition in {None, _MEMBER}:
        return None
    return Cpuset(
        path,
        None if cpus is None else cpus_of(cpus),
        None if nodes is None else tuple(NodeId(id_) for id_ in nodes),
        partition,
    )


def _chosen(wish: _T | None, granted: _T | None, *, inherits: bool) -> _T | None:
    """What is granted, else what is asked for; an empty wish is none in version 2, and in version 1 it is a set."""
    if inherits and wish is not None and not wish:
        return None
    return wish if granted is None else granted
