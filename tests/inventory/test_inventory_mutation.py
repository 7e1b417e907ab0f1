"""A file of a captured host is broken: nothing may crash, no fact may change without a gap that names the file."""

import errno
import os
import random
from dataclasses import replace

import pytest

from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.model.snapshot import Snapshot
from numaplan.sources.tree import HostTree
from tests.inventory.trees import BrokenStore, fresh, opened, snapshot

NAMES = [
    "host-cxl",
    "host-snc",
    "qemu61-A",
    "nri-server",
    "hwloc-fakeheteromemtiers",
    "hwloc-48amd64-4pa2n6c-sparse",
    "hwloc-32intel64-2p8co2t+8ve",
    "ghw-linux-amd64-offlineCPUs",
    "lscpu-s390-lpar",
    "vircaps-resctrl",
]
TREES_PER_NAME = 60
SEED = 20

REPLACEMENTS = {
    "empty": b"",
    "garbage": b"\xff\xfegarbage\x1b[2J",
    "minus one": b"-1\n",
    "huge": b"99999999999999999999\n",
    "NUL": b"\0\0\0\0",
    "range": b"0-4294967295\n",
    "backwards": b"5,3-1,7\n",
    "deleted": None,
}
KINDS = ("truncated", *REPLACEMENTS)
# The kernel's own word for "not known", so it is a fact like any other.
MEANS_UNKNOWN = ("/numa_node", "/speed")


def mutate(kind: str, data: bytes) -> bytes | None:
    if kind == "truncated":
        return data[: len(data) // 2]
    return REPLACEMENTS[kind]


def files(name: str) -> list[tuple[str, str]]:
    """What a reader asks for, and where it really stands."""
    tree = fresh(name)
    read_host(tree)
    paths = [path for path in tree.opened if path != "proc/cmdline"]  # any text is a command line
    return [(path, real) for path in paths if (real := tree.resolve(path)) is not None]


def facts(read: Snapshot) -> Snapshot:
    return replace(read, gaps=())


def named(read: Snapshot, before: Snapshot, path: str) -> bool:
    new = set(read.gaps) - set(before.gaps)
    return any(path in (gap.what, gap.what.rstrip("/")) or path in gap.why for gap in new)


@pytest.mark.parametrize("name", NAMES)
def test_no_fact_changes_without_a_word(name: str) -> None:
    rng = random.Random(f"{SEED} {name}")  # noqa: S311 - the same trees every time
    whole = snapshot(name)
    candidates = files(name)
    silent = []
    for _ in range(TREES_PER_NAME):
        path, real = rng.choice(candidates)
        kind = rng.choice(KINDS)
        store = opened(name)._store
        tree = HostTree(BrokenStore(store, real, mutate(kind, store.read(real))), Source.CAPTURE)
        broken = read_host(tree)
        legitimate = kind == "deleted" or (kind == "minus one" and path.endswith(MEANS_UNKNOWN))
        if facts(broken) != facts(whole) and not legitimate and not named(broken, whole, path):
            silent.append((kind, path))
    assert not silent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["host-cxl", "lscpu-s390-kvm"])
def test_a_host_all_of_whose_files_are_broken_is_still_read(name: str, kind: str) -> None:
    class AllBroken(BrokenStore):
        def read(self, path: str) -> bytes:
            data = mutate(kind, self.base.read(path))
            if data is None:
                raise FileNotFoundError(path)
            return data

    read = read_host(HostTree(AllBroken(opened(name)._store, "", b""), Source.CAPTURE))
    assert len(read.cpus.online)
    assert read.gaps


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EBUSY, errno.EINVAL])
def test_a_file_that_cannot_be_read_is_a_gap_that_says_so(number: int) -> None:
    class Refusing(BrokenStore):
        def read(self, path: str) -> bytes:
            if path == self.path:
                raise OSError(number, os.strerror(number), path)
            return self.base.read(path)

    rng = random.Random(f"{SEED} {number}")  # noqa: S311 - the same files every time
    for path, real in rng.sample(files("host-cxl"), 20):
        read = read_host(HostTree(Refusing(opened("host-cxl")._store, real, b""), Source.CAPTURE))
        unsaid = number == errno.EINVAL and path.endswith("/speed")
        assert named(read, snapshot("host-cxl"), path) or unsaid
