"""Host trees for tests: made of a few files, captured, or captured and then broken in one place."""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.store import Kind, Store, UnreadableError
from numaplan.sources.tree import HostTree, open_tree
from tests.corpus import corpus


@dataclass(frozen=True)
class To:
    """A symbolic link."""

    target: str


@dataclass
class MadeStore:
    """Files, links and empty folders (None) by path."""

    files: Mapping[str, str | To | None]
    folders: dict[str, set[str]] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folders[""] = set()
        for path, content in self.files.items():
            parent = path if content is None else path.rpartition("/")[0]
            if content is None:
                self.folders.setdefault(path, set())
            while parent:
                self.folders.setdefault(parent, set())
                parent = parent.rpartition("/")[0]
        for path in (*self.files, *self.folders):
            if path:
                self.folders[path.rpartition("/")[0]].add(path.rpartition("/")[2])

    def kind(self, path: str) -> Kind:
        if path in self.folders:
            return Kind.FOLDER
        content = self.files.get(path)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return Kind.LINK if isinstance(content, To) else Kind.FILE

    def target(self, path: str) -> str:
        content = self.files[path]
        assert isinstance(content, To)
        return content.target

    def names(self, path: str) -> Sequence[str]:
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return tuple(self.folders[path])

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        content = self.files.get(path)
        if isinstance(content, To):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if path in self.folders:
            raise UnreadableError("is a directory")
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return content.encode("utf-8", "surrogateescape")

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)


@dataclass
class BrokenStore:
    """Another store with one file replaced, or deleted where `data` is None."""

    base: Store
    path: str
    data: bytes | None

    def kind(self, path: str) -> Kind:
        if path == self.path and self.data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.base.kind(path)

    def target(self, path: str) -> str:
        return self.base.target(path)

    def names(self, path: str) -> Sequence[str]:
        gone = self.data is None
        return [
            name for name in self.base.names(path) if not (gone and f"{path}/{name}".removeprefix("/") == self.path)
        ]

    def read(self, path: str) -> bytes:
        if path != self.path:
            return self.base.read(path)
        if self.data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.data

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)


def tree(files: Mapping[str, str | To | None]) -> HostTree:
    return HostTree(MadeStore(files), Source.CAPTURE)


def gaps(read: HostTree) -> list[tuple[str, str]]:
    return [(gap.what, gap.why) for gap in read.gaps]


def flaws(read: HostTree) -> list[tuple[str, str]]:
    """Gaps, but for files that a tree of a few files simply lacks."""
    return [(what, why) for what, why in gaps(read) if why != "not there"]


def absent(read: HostTree) -> list[str]:
    """What a gap says is not there."""
    return [what for what, why in gaps(read) if why == "not there"]


def cpu_files(
    count: int, *, threads: int = 1, nodes: int = 1, offline: Sequence[int] = ()
) -> dict[str, str | To | None]:
    """A regular host: threads of a core are neighbours, as are the cores of a node; each node is a package."""
    root = "sys/devices/system"
    online = [cpu for cpu in range(count) if cpu not in offline]
    files: dict[str, str | To | None] = {
        f"{root}/cpu/present": f"0-{count - 1}\n",
        f"{root}/cpu/online": ",".join(map(str, online)) + "\n",
        f"{root}/node/online": ",".join(map(str, range(nodes))) + "\n",
    }
    per_node = count // nodes
    for cpu in range(count):
        files[f"{root}/cpu/cpu{cpu}"] = None
        if cpu in offline:
            continue
        siblings = [other for other in online if other // threads == cpu // threads]
        package = [other for other in online if other // per_node == cpu // per_node]
        topology = f"{root}/cpu/cpu{cpu}/topology"
        files[f"{topology}/thread_siblings_list"] = ",".join(map(str, siblings)) + "\n"
        files[f"{topology}/core_siblings_list"] = ",".join(map(str, package)) + "\n"
        files[f"{topology}/physical_package_id"] = f"{cpu // per_node}\n"
        files[f"{topology}/core_id"] = f"{cpu % per_node // threads}\n"
    for node in range(nodes):
        cpus = [cpu for cpu in online if cpu // per_node == node]
        files[f"{root}/node/node{node}/cpulist"] = ",".join(map(str, cpus)) + "\n"
        files[f"{root}/node/node{node}/distance"] = " ".join("10" if n == node else "21" for n in range(nodes)) + "\n"
    return files


def captures() -> list[Path]:
    """Every capture of the corpus."""
    folder = corpus()
    return sorted([*folder.glob("*/capture.*"), *folder.glob("lab/*.tar.gz")])


def capture_id(path: Path) -> str:
    return path.name.partition(".")[0] if path.parent.name == "lab" else path.parent.name


def capture(name: str) -> Path:
    """The archive of that name."""
    return next(path for path in captures() if capture_id(path) == name)


@cache
def opened(name: str) -> HostTree:
    """A capture's tree, opened once; its store may be read again and again."""
    return open_tree(capture(name))


@cache
def snapshot(name: str) -> Snapshot:
    """What is read of a capture."""
    return read_host(fresh(name))


def fresh(name: str) -> HostTree:
    """A tree of that capture from which nothing was read yet."""
    return HostTree(opened(name)._store, Source.CAPTURE)
