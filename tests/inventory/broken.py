"""Hosts of which files, folders and links are broken, and whether a gap says so."""

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from numaplan.cpuset import parse_id_list
from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.model.snapshot import Gap, Snapshot
from numaplan.sources.store import ROWS_FOLDER, Kind, Store
from numaplan.sources.tree import HostTree


class Fault(StrEnum):
    """What may happen to a file between its author and its reader."""

    ENOENT = "ENOENT"
    EACCES = "EACCES"
    EIO = "EIO"
    EBUSY = "EBUSY"
    EINVAL = "EINVAL"
    SHORT = "short"
    EMPTY = "empty"
    GARBAGE = "garbage"
    MINUS_ONE = "minus one"
    HUGE = "huge"
    NUL = "NUL"
    RANGE = "range"
    BACKWARDS = "backwards"
    DELETED = "deleted"
    FOLDER = "folder"


_TEXTS = {
    Fault.EMPTY: b"",
    Fault.GARBAGE: b"\xff\xfegarbage\x1b[2J",
    Fault.MINUS_ONE: b"-1\n",
    Fault.HUGE: b"99999999999999999999\n",
    Fault.NUL: b"\0\0\0\0",
    Fault.RANGE: b"0-4294967295\n",
    Fault.BACKWARDS: b"5,3-1,7\n",
}
# A read that fails, of a file that stands in its folder.
_ERRNOS = {fault: getattr(errno, fault) for fault in Fault if fault.startswith("E") and fault.isupper()}
READ_FAULTS = (*_ERRNOS, Fault.SHORT, Fault.EMPTY, Fault.GARBAGE)
MUTATIONS = (Fault.SHORT, *_TEXTS, Fault.DELETED, Fault.FOLDER)


@dataclass
class FaultyStore:
    """Another store with faults in it, by real path; `folders` and `links` cannot be listed and read."""

    base: Store
    faults: Mapping[str, Fault] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    links: Mapping[str, int] = field(default_factory=dict)

    def kind(self, path: str) -> Kind:
        match self.faults.get(path):
            case Fault.DELETED:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            case Fault.FOLDER:
                return Kind.FOLDER
            case _:
                return self.base.kind(path)

    def target(self, path: str) -> str:
        if path in self.links:
            raise OSError(self.links[path], os.strerror(self.links[path]), path)
        return self.base.target(path)

    def names(self, path: str) -> Sequence[str]:
        if path in self.folders:
            raise OSError(self.folders[path], os.strerror(self.folders[path]), path)
        if self.faults.get(path) is Fault.FOLDER:
            return ()
        gone = {path_.rpartition("/")[2] for path_ in self._deleted() if path_.rpartition("/")[0] == path}
        return [name for name in self.base.names(path) if name not in gone]

    def read(self, path: str) -> bytes:
        fault = self.faults.get(path)
        number = {Fault.DELETED: errno.ENOENT, Fault.FOLDER: errno.EISDIR, **_ERRNOS}.get(fault) if fault else None
        if number is not None:
            raise OSError(number, os.strerror(number), path)
        if fault is Fault.SHORT:
            data = self.base.read(path)
            return data[: len(data) // 2]
        return self.base.read(path) if fault is None else _TEXTS[fault]

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)

    def _deleted(self) -> Iterator[str]:
        return (path for path, fault in self.faults.items() if fault is Fault.DELETED)


class Watched(HostTree):
    """A tree that knows what it was asked for."""

    def __init__(self, store: Store, source: Source) -> None:
        super().__init__(store, source)
        self.listed: set[str] = set()
        self.linked: set[str] = set()

    def names(self, path: str) -> tuple[str, ...]:
        self.listed.add(path)
        return super().names(path)

    def link_name(self, path: str) -> str | None:
        self.linked.add(path)
        return super().link_name(path)


@dataclass(frozen=True)
class Host:
    """A whole host: what is read of it, and which files it is read from, by real path as they were asked for."""

    store: Store
    whole: Snapshot
    files: Mapping[str, str]
    folders: Mapping[str, str]
    links: tuple[str, ...]

    @classmethod
    def of(cls, store: Store) -> "Host":
        tree = Watched(store, Source.CAPTURE)
        whole = read_host(tree)
        files = {real: path for path in tree.opened if (real := tree.resolve(path)) is not None}
        folders = {real: path for path in sorted(tree.listed) if tree.names(path) and (real := tree.resolve(path))}
        links = tuple(path for path in sorted(tree.linked) if tree.link_name(path) is not None)
        return cls(store, whole, files, folders, links)

    def read(self, faults: Mapping[str, Fault]) -> Snapshot:
        """What is read of it with faults in files, by real path."""
        return read_host(HostTree(FaultyStore(self.store, faults), Source.CAPTURE))

    def silent(self, faults: Mapping[str, Fault]) -> list[str]:
        """Files whose fault changed a fact without a gap that names them."""
        broken = self.read(faults)
        found = []
        for real, fault in faults.items():
            path = self.files[real]
            if may_pass(path, fault) or names(new_gaps(broken, self.whole), path):
                continue
            others = {other: each for other, each in faults.items() if other != real}
            without = self.read(others) if others else self.whole
            if facts(broken) != facts(without):
                found.append(f"{path}: {fault}")
        return found


def facts(read: Snapshot) -> Snapshot:
    """All that is said but for the gaps."""
    return replace(read, gaps=())


def new_gaps(broken: Snapshot, whole: Snapshot) -> set[Gap]:
    """What the fault made known."""
    return set(broken.gaps) - set(whole.gaps)


def names(gaps: set[Gap], path: str) -> bool:
    """Whether a gap names that file; "cpu{0-3}/online" names four, "netlink" the rows of that source."""
    source = path.removeprefix(f"{ROWS_FOLDER}/").removesuffix(".json")
    return any(_covers(gap.what, path) or path in gap.why or gap.what == source for gap in gaps)


def kind_of(path: str) -> str:
    """What a file is, whichever CPU, node or device it is of: numbers are folded, and chains of PCI bridges."""
    folded = re.sub(r"(/[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])+", "/PCI", path)
    return re.sub(r"[0-9]+", "N", re.sub(r"pci[0-9a-f]{4,}:[0-9a-f]{2}", "pciN", folded))


def _covers(what: str, path: str) -> bool:
    lists = re.findall(r"\{([0-9,-]+)\}", what)
    if not lists:
        return what == path
    pattern = "([0-9]+)".join(re.escape(part) for part in re.split(r"\{[0-9,-]+\}", what))
    match = re.fullmatch(pattern, path)
    return match is not None and all(
        int(id_) in parse_id_list(list_) for id_, list_ in zip(match.groups(), lists, strict=True)
    )


@dataclass(frozen=True)
class Passable:
    """A fault that cannot be told from a fact."""

    files: str
    faults: tuple[Fault, ...]
    why: str


_TEXT_FAULTS = tuple(_TEXTS)
PASSABLE = (
    Passable(r".*/numa_node", (Fault.MINUS_ONE,), "the kernel's own word for a node that it does not know"),
    Passable(r".*/(physical_package|core|die)_id", (Fault.MINUS_ONE,), "likewise, where no other CPU knows it"),
    Passable(
        r".*/net/[^/]+/speed",
        (Fault.EINVAL, Fault.EMPTY, Fault.MINUS_ONE, Fault.DELETED),
        "so a link that is down answers, and one whose driver knows no speed; a capture of it is empty or has none",
    ),
    Passable(r"proc/irq/[0-9]+/node", (Fault.MINUS_ONE,), "the kernel's own word for an interrupt of no node"),
    Passable(r".*/reset_method", (Fault.DELETED,), "a function that cannot be reset has none"),
    Passable(r".*/vulnerabilities/[a-z0-9_]+", (Fault.DELETED,), "the newest one that a kernel has heard of"),
    Passable(r"proc/sys/kernel/numa_balancing", (Fault.DELETED,), "a kernel without CONFIG_NUMA_BALANCING has none"),
    Passable(r"proc/hwloc-nofile-info", (Fault.DELETED,), "only captures of hwloc have it"),
    Passable(r"sys/devices/system/cpu/nohz_full", (Fault.DELETED,), "a kernel without CONFIG_NO_HZ_FULL has none"),
    Passable(
        r"proc/sys/vm/(zone_reclaim_mode|overcommit_memory)",
        (Fault.DELETED,),
        "the first needs CONFIG_NUMA; captures take what they like of proc/sys",
    ),
    Passable(r"proc/sys/kernel/hostname", (Fault.DELETED,), "most captures of other tools are without a name"),
    Passable(
        r"proc/sys/kernel/osrelease", (Fault.DELETED,), "proc/version is asked in its place, and the gap is about that"
    ),
    Passable(r"sys/kernel/mm/ksm/merge_across_nodes", (Fault.DELETED,), "a kernel without CONFIG_NUMA has none"),
    Passable(
        r"numaplan/[a-z]+\.json",
        (Fault.ENOENT, Fault.DELETED),
        "a source that the host does not have, and captures of other tools have none",
    ),
    Passable(r"proc/cmdline", _TEXT_FAULTS, "any text is a command line"),
)


def may_pass(path: str, fault: Fault) -> bool:
    """Whether nobody could know."""
    return any(fault in each.faults and re.fullmatch(each.files, path) for each in PASSABLE)
