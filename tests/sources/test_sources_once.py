"""What was looked at once is not looked at again, and a look that is out of date harms nobody."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.model.host import Source
from numaplan.model.snapshot import Gap
from numaplan.sources import directory
from numaplan.sources.directory import DirectoryStore
from numaplan.sources.store import Kind
from numaplan.sources.tree import HostTree
from tests.sources.tars import Files, Link, write_tree

DEVICE = "sys/devices/pci0000:00/0000:00:01.0"
FILES: Files = {
    f"{DEVICE}/class": b"0x020000\n",
    f"{DEVICE}/net/eth0/mtu": b"1500\n",
    f"{DEVICE}/driver": Link("../../../bus/pci/drivers/ixgbe"),
    "sys/bus/pci/drivers/ixgbe/new_id": b"",
    "sys/bus/pci/devices/0000:00:01.0": Link("../../../devices/pci0000:00/0000:00:01.0"),
    "sys/class/net/eth0": Link("../../devices/pci0000:00/0000:00:01.0/net/eth0"),
    "sys/class/net/alias": Link("eth0"),
}


class Calls:
    """Another function, and how often it was called with each path."""

    def __init__(self, real: Callable[..., object]) -> None:
        self.real = real
        self.paths: Counter[str] = Counter()

    def __call__(self, path: str, *rest: object) -> object:
        self.paths[path] += 1
        return self.real(path, *rest)


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(DirectoryStore(write_tree(tmp_path, FILES)), Source.CAPTURE)


def test_a_file_is_read_once_by_whatever_path_it_is_asked_for(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Calls(os.open)
    monkeypatch.setattr(os, "open", opens)
    paths = ["sys/class/net/alias/mtu", f"{DEVICE}/net/eth0/mtu", "sys/class/net/eth0/mtu", "sys/class/net/./eth0/mtu"]
    assert [host.text(path) for path in paths] == ["1500\n"] * 4
    assert list(opens.paths.values()) == [1]
    assert host.opened == tuple(sorted(paths))
    assert dict(host.texts) == dict.fromkeys(paths, "1500\n")


def test_a_folder_is_listed_once_by_whatever_path_it_is_asked_for(
    host: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = Calls(os.scandir)
    monkeypatch.setattr(os, "scandir", listings)
    names = [host.names(path) for path in ("sys/class/net/eth0", f"{DEVICE}/net/eth0", "sys/class/net/alias")]
    assert names == [("mtu",)] * 3
    assert list(listings.paths.values()) == [1]


def test_a_listed_folder_needs_no_further_look_at_its_entries(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.names(DEVICE) == ("class", "driver", "net")
    looks = Calls(os.lstat)
    monkeypatch.setattr(os, "lstat", looks)
    assert host.text(f"{DEVICE}/class") == "0x020000\n"
    assert host.link_name(f"{DEVICE}/driver") == "ixgbe"
    assert host.names(f"{DEVICE}/net") == ("eth0",)
    assert not looks.paths


def test_the_way_to_a_folder_is_walked_once(host: HostTree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.resolve("sys/bus/pci/devices/0000:00:01.0") == DEVICE
    looks = Calls(os.lstat)
    monkeypatch.setattr(os, "lstat", looks)
    assert host.resolve("sys/bus/pci/devices/0000:00:01.0") == DEVICE
    assert host.resolve(DEVICE) == DEVICE
    assert not looks.paths
    # The link's own look and its target's, but none at the folders that lead to it.
    assert host.resolve("sys/class/net/eth0") == f"{DEVICE}/net/eth0"
    assert [path.rpartition("/")[2] for path in looks.paths] == ["class", "net", "eth0", "net", "eth0"]


def test_what_was_listed_is_forgotten_and_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_REMEMBERED", 1)
    store = DirectoryStore(write_tree(tmp_path, FILES))
    store.names(DEVICE)
    store.names("sys")
    (tmp_path / DEVICE / "class").unlink()
    with pytest.raises(FileNotFoundError):
        store.kind(f"{DEVICE}/class")
    assert store.kind(f"{DEVICE}/driver") is Kind.LINK


def test_a_listed_file_that_became_something_else_is_a_gap(host: HostTree, tmp_path: Path) -> None:
    secret = tmp_path.parent / "secret"
    secret.write_text("CANARY")
    folder = tmp_path / "sys" / "later"
    folder.mkdir()
    changes: dict[str, tuple[Callable[[Path], object], str]] = {
        "fifo": (os.mkfifo, "is no regular file"),
        "folder": (os.mkdir, "is a directory"),
        "gone": (lambda path: path, "listed, but not there (ENOENT)"),
        "link": (lambda path: path.symlink_to(secret), "symbolic links go in a circle (ELOOP)"),
    }
    for name in changes:
        (folder / name).touch()
    assert host.names("sys/later") == tuple(sorted(changes))
    for name, (change, why) in changes.items():
        (folder / name).unlink()
        change(folder / name)
        assert host.text(f"sys/later/{name}") is None
        assert Gap(f"sys/later/{name}", why) in host.gaps


def test_an_entry_that_came_after_the_listing_is_found(host: HostTree, tmp_path: Path) -> None:
    assert host.names(DEVICE)
    (tmp_path / DEVICE / "irq").write_text("5\n")
    assert host.text(f"{DEVICE}/irq") == "5\n"


def test_a_file_is_no_folder_on_the_way_to_another(host: HostTree) -> None:
    for path in (f"{DEVICE}/class/../class", f"{DEVICE}/class/.", f"{DEVICE}/class/x/y"):
        assert host.resolve(path) is None
    assert host.resolve(f"{DEVICE}/driver/../ixgbe/new_id") == "sys/bus/pci/drivers/ixgbe/new_id"
    assert not host.gaps


def test_a_folder_of_nothing_is_listed_once(host: HostTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sys" / "empty").mkdir()
    listings = Calls(os.scandir)
    monkeypatch.setattr(os, "scandir", listings)
    assert [host.names("sys/empty"), host.names("sys/./empty"), host.names("sys/empty")] == [(), (), ()]
    assert list(listings.paths.values()) == [1]


def test_an_attribute_is_read_in_one_call(host: HostTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "x" * (1 << 14) * 2 + "\n"
    (tmp_path / DEVICE / "long").write_text(long)
    reads: list[int] = []
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        reads.append(len(data))
        return data

    monkeypatch.setattr(os, "read", read)
    assert host.text(f"{DEVICE}/class") == "0x020000\n"
    assert reads == [9]
    assert host.text(f"{DEVICE}/long") == long
    # A file of /proc may be given a line at a time.
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc" / "cmdline").write_text("ro\n")
    reads.clear()
    assert host.text("proc/cmdline") == "ro\n"
    assert reads == [3, 0]


def test_what_is_absent_is_told_from_what_is_broken(host: HostTree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / DEVICE / "fifo")
    assert host.is_absent(f"{DEVICE}/irq")
    assert not host.is_absent(f"/{DEVICE}/class")
    assert not host.gaps
    assert not host.is_absent(f"{DEVICE}/fifo")
    assert host.gaps == (Gap(f"{DEVICE}/fifo", "is no regular file"),)
