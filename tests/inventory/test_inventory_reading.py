"""Files opened are counted: none twice, none that nothing needs."""

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.inventory import unpack
from benchmarks.synthetic import Shape, make_host
from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.sources.capture import MANIFEST
from numaplan.sources.opening import open_store
from numaplan.sources.store import Kind, Store
from numaplan.sources.tree import HostTree, open_tree
from tests.inventory.trees import BrokenStore, capture, opened, snapshot


@dataclass
class CountingStore:
    """Another store, with what was asked of it; it is asked for real paths, links resolved."""

    base: Store
    read_: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)

    def kind(self, path: str) -> Kind:
        return self.base.kind(path)

    def target(self, path: str) -> str:
        return self.base.target(path)

    def names(self, path: str) -> Sequence[str]:
        self.listed[path] += 1
        return self.base.names(path)

    def read(self, path: str) -> bytes:
        self.read_[path] += 1
        return self.base.read(path)

    def below(self, path: str) -> Store:
        raise NotImplementedError(path)


def counted(name: str) -> CountingStore:
    store = CountingStore(opened(name)._store)
    read_host(HostTree(store, Source.CAPTURE))
    return store


@pytest.mark.parametrize(
    "name",
    [
        "host-cxl",
        "host-snc",
        "qemu61-A",
        "procfs-fixtures",
        "ocp-sno_sno",
        "hwloc-32intel64-2p8co2t+8ve",
        "hwloc-256ppc-8n8s4t",
        "lscpu-s390-lpar",
    ],
)
def test_no_file_is_read_and_no_folder_is_listed_twice(name: str) -> None:
    store = counted(name)
    assert {path: count for path, count in store.read_.items() if count > 1} == {}
    assert {path: count for path, count in store.listed.items() if count > 1} == {}


@pytest.mark.parametrize(
    "name",
    [
        "host-cxl",
        "host-flat",
        "procfs-fixtures",
        "ocp-sno_sno",
        "ocp-bare-metal_worker1.internal",
        "hwloc-256ppc-8n8s4t",
    ],
)
def test_a_capture_reads_the_same_unpacked_and_no_file_is_opened_twice_or_in_vain(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(open_store(capture(name))[0], tmp_path)
    opens: Counter[object] = Counter()
    real = os.open

    def count(path: str, *rest: int) -> int:
        opens[path] += 1
        return real(path, *rest)

    monkeypatch.setattr(os, "open", count)
    assert read_host(open_tree(tmp_path)) == snapshot(name)
    assert len(opens) > 1
    assert {path: times for path, times in opens.items() if times > 1} == {}
    asked = [*counted(name).read_, MANIFEST]
    assert [path for path in opens if not str(path).endswith(tuple(f"/{each}" for each in asked))] == []


def test_of_many_vfs_no_file_is_opened_that_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_host(tmp_path, Shape(16, 2, 256))
    store = CountingStore(open_store(tmp_path)[0])
    whole = read_host(HostTree(store, Source.CAPTURE))
    assert max(len(device.sriov.vfs) for device in whole.pci if device.sriov is not None) > 8
    opens: set[str] = set()
    real = os.open

    def note(path: str, *rest: int) -> int:
        opens.add(path)
        return real(path, *rest)

    monkeypatch.setattr(os, "open", note)
    assert read_host(open_tree(tmp_path)) == whole
    assert opens == {f"{tmp_path}/{path}" for path in store.read_ if (tmp_path / path).is_file()}


def idle(name: str, paths: Collection[str]) -> list[str]:
    """Files without which, and with garbage in which, the host reads the same, gaps included."""
    whole, base = snapshot(name), opened(name)._store

    def changed(path: str, data: bytes | None) -> bool:
        return read_host(HostTree(BrokenStore(base, path, data), Source.CAPTURE)) != whole

    return [path for path in paths if not (changed(path, b"\xff\xfegarbage") or changed(path, None))]


def test_every_file_that_is_read_matters() -> None:
    assert not idle("qemu61-A", counted("qemu61-A").read_)


def test_every_kind_of_file_that_is_read_matters_on_a_host_with_interrupts() -> None:
    kinds = {re.sub(r"[0-9a-f]*[0-9][0-9a-f:.]*", "N", path): path for path in counted("host-snc").read_}
    assert len(kinds) > 50
    assert not idle("host-snc", kinds.values())
