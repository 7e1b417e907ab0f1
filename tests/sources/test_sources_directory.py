"""Captured directories that reach for other files, and a kernel that answers with faults."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.errors import BackendError, InputError
from numaplan.model.host import Source
from numaplan.model.snapshot import Gap
from numaplan.sources import store, tree
from numaplan.sources.directory import DirectoryStore
from numaplan.sources.opening import open_store
from numaplan.sources.tree import HostTree, open_tree
from tests.sources.tars import HOST, write_tree

ONLINE = "sys/devices/system/cpu/online"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file beside the capture that no read may reach."""
    path = tmp_path / "outside" / "secret"
    path.parent.mkdir()
    path.write_text("CANARY")
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "capture", HOST)


def test_no_link_leaves_the_capture(capture: Path, canary: Path) -> None:
    links = {
        "absolute": str(canary),
        "relative": "../../outside/secret",
        "folder": str(canary.parent),
        "far": "../" * 30 + str(canary).lstrip("/"),
        "through": "folder/secret",
        "live": "/proc/self/root" + str(canary),
    }
    for name, target in links.items():
        (capture / "sys" / name).symlink_to(target)
    (capture / "proc" / "self").symlink_to("/proc/self")
    host = open_tree(capture)
    for name in (*links, "folder/secret", "../proc/self/environ", "../../outside/secret", "../../../etc/passwd"):
        path = f"sys/{name}"
        assert host.text(path) is None, path
        assert host.resolve(path) is None, path
        assert host.names(path) == (), path
    assert host.opened == ()


def test_a_link_that_appears_after_the_look_is_not_followed(
    capture: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = HostTree(DirectoryStore(capture), Source.CAPTURE)
    real_open = os.open

    def swap_first(path: str, flags: int) -> int:
        Path(path).unlink()
        Path(path).symlink_to(canary)
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", swap_first)
    assert host.text(ONLINE) is None
    assert host.gaps == (Gap(ONLINE, "symbolic links go in a circle (ELOOP)"),)


def test_fifos_sockets_and_devices_are_never_opened(capture: Path) -> None:
    os.mkfifo(capture / "sys/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(capture / "sys/socket"))
        host = open_tree(capture)
        for path in ("sys/fifo", "sys/socket"):
            assert host.text(path) is None
            assert Gap(path, "is no regular file") in host.gaps
            assert host.exists(path)


def test_a_file_that_became_a_fifo_does_not_block(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    real_open = os.open

    def swap_first(path: str, flags: int) -> int:
        Path(path).unlink()
        os.mkfifo(path)
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", swap_first)
    assert host.text(ONLINE) is None
    assert host.gaps == (Gap(ONLINE, "is no regular file"),)


def attributes(capture: Path) -> str:
    """A folder that holds an attribute, and whatever is none."""
    folder = capture / "sys/folder"
    (folder / "inner").mkdir(parents=True)
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("plain")
    for name, text in {"plain": "1\n", "other": "\udcff\n", "empty": "", "page": "x" * 4096, "beside": "2\n"}.items():
        (folder / name).write_text(text, errors="surrogateescape")
    return "sys/folder"


def test_attributes_alone_are_read_ahead(capture: Path) -> None:
    folder = attributes(capture)
    files = DirectoryStore(capture)
    assert files.read_ahead(folder, ["plain"]) == {}, "it was not listed"
    names = sorted(files.names(folder))
    assert files.read_ahead(folder, {*names, "absent"} - {"beside"}) == {
        f"{folder}/plain": b"1\n",
        f"{folder}/other": b"\xff\n",
    }


def test_what_was_read_ahead_is_not_read_again(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = attributes(capture)
    (capture / "sys/way").symlink_to("folder")
    host, plain = open_tree(capture), open_tree(capture)
    texts = {name: plain.text(f"{folder}/{name}") for name in plain.names(folder)}
    ahead = texts.keys() - {"beside"}
    assert host.names("sys/way") == host.names(folder) == plain.names(folder)
    host.read_ahead("sys/way", ahead)
    host.read_ahead(folder, ahead)
    kernel = Kernel(os.open, errno.EIO, 1)
    monkeypatch.setattr(os, "open", kernel)
    assert host.text(f"{folder}/plain") == "1\n"
    assert host.text(f"{folder}/other") == "\udcff\n"
    assert kernel.calls == 0
    assert host.text(f"{folder}/beside") is None
    assert kernel.calls == 1
    monkeypatch.undo()
    assert {name: host.text(f"{folder}/{name}") for name in texts} == texts | {"beside": None}


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EBUSY])
def test_a_fault_of_reading_ahead_is_met_by_who_asks(
    capture: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folder = attributes(capture)
    host = open_tree(capture)
    host.names(folder)
    kernel = Kernel(os.open, number, 2)
    monkeypatch.setattr(os, "open", kernel)
    host.read_ahead(folder, ["plain"])
    assert kernel.calls == 1
    assert host.text(f"{folder}/plain") == ("1\n" if number == errno.EBUSY else None)
    assert [gap.what for gap in host.gaps] == ([] if number == errno.EBUSY else [f"{folder}/plain"])


class Kernel:
    """Answers the next calls of one function with an errno, then lets it work; counts the calls."""

    def __init__(self, real: Callable[..., object], number: int, times: int) -> None:
        self.real = real
        self.number = number
        self.times = times
        self.calls = 0

    def __call__(self, *args: object, **options: object) -> object:
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, os.strerror(self.number))
        return self.real(*args, **options)


FOREVER = 1 << 30


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_PAUSE_S", 0)


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENOENT, None),
        (errno.ENOTDIR, None),
        (errno.ENODEV, None),
        (errno.ENXIO, None),
        (errno.ESRCH, None),
        (errno.EOPNOTSUPP, None),
        (errno.EACCES, "permission denied (EACCES)"),
        (errno.EPERM, "operation not permitted (EPERM)"),
        (errno.EIO, "input/output error (EIO)"),
        (errno.EINVAL, "the kernel refuses to read it (EINVAL)"),
        (errno.EBUSY, "busy (EBUSY)"),
        (errno.EAGAIN, "busy (EAGAIN)"),
        (errno.EINTR, "interrupted system call (EINTR)"),
        (errno.ENOMEM, "cannot allocate memory (ENOMEM)"),
        (errno.EMFILE, "too many open files (EMFILE)"),
    ],
)
def test_each_errno_means_one_thing(
    capture: Path, monkeypatch: pytest.MonkeyPatch, *, call: str, number: int, why: str | None
) -> None:
    host = open_tree(capture)
    monkeypatch.setattr(os, call, Kernel(getattr(os, call), number, FOREVER))
    assert host.text(ONLINE) is None
    assert host.gaps == (() if why is None else (Gap(ONLINE, why),))
    assert host.opened == ()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EAGAIN, errno.EINTR])
@pytest.mark.parametrize("call", ["open", "read"])
def test_a_busy_file_is_tried_three_times_more(
    capture: Path, monkeypatch: pytest.MonkeyPatch, *, call: str, number: int
) -> None:
    host = open_tree(capture)
    kernel = Kernel(getattr(os, call), number, 3)
    monkeypatch.setattr(os, call, kernel)
    assert host.text(ONLINE) == "0-3\n"
    assert host.gaps == ()
    broken = Kernel(kernel.real, number, FOREVER)
    monkeypatch.setattr(os, call, broken)
    assert host.text("proc/version") is None
    assert broken.calls == 4


def test_a_fault_is_not_asked_for_again(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    kernel = Kernel(os.open, errno.EIO, FOREVER)
    monkeypatch.setattr(os, "open", kernel)
    for _ in range(3):
        assert host.text(ONLINE) is None
    assert kernel.calls == 1


def test_einval_is_silent_where_the_kernel_may_say_nothing(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    monkeypatch.setattr(os, "read", Kernel(os.read, errno.EINVAL, FOREVER))
    assert host.text(ONLINE, optional=True) is None
    assert not host.gaps
    assert host.text(ONLINE) is None
    assert host.gaps == (Gap(ONLINE, "the kernel refuses to read it (EINVAL)"),)


def test_optional_hides_no_other_fault(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    monkeypatch.setattr(os, "read", Kernel(os.read, errno.EIO, FOREVER))
    assert host.text(ONLINE, optional=True) is None
    assert host.gaps == (Gap(ONLINE, "input/output error (EIO)"),)


def test_a_forbidden_directory_leaves_a_gap(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    monkeypatch.setattr(os, "scandir", Kernel(os.scandir, errno.EACCES, FOREVER))
    assert host.names("sys/devices") == ()
    assert host.gaps == (Gap("sys/devices", "permission denied (EACCES)"),)


@pytest.mark.parametrize("ask", [HostTree.exists, HostTree.resolve, HostTree.link_name])
def test_a_forbidden_look_leaves_a_gap(
    capture: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[HostTree, str], object]
) -> None:
    host = open_tree(capture)
    monkeypatch.setattr(os, "lstat", Kernel(os.lstat, errno.EACCES, FOREVER))
    assert not ask(host, "sys/devices")
    assert host.gaps == (Gap("sys/devices", "permission denied (EACCES)"),)


def test_a_capture_that_may_not_be_read_is_the_systems_refusal(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", Kernel(os.scandir, errno.EACCES, FOREVER))
    with pytest.raises(BackendError, match="permission denied"):
        open_tree(capture)


def test_a_directory_of_too_many_entries_is_a_gap(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_tree(capture)
    monkeypatch.setattr("numaplan.sources.directory.NAMES_LIMIT", 3)
    for name in "abc":
        (capture / "sys" / "devices" / name).touch()
    assert host.names("sys/devices") == ()
    assert host.gaps == (Gap("sys/devices", "more than 3 entries"),)
    for name in "abcd":
        (capture / name).touch()
    with pytest.raises(InputError, match="more than 3 entries"):
        open_tree(capture)


def test_the_search_for_a_root_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ROOT_FOLDERS", 5)
    for i in range(5):
        (tmp_path / f"d{i}" / "e" / "sys").mkdir(parents=True)
    assert store.find_roots(DirectoryStore(tmp_path)) == []
    monkeypatch.setattr(store, "_ROOT_FOLDERS", 6)
    assert store.find_roots(DirectoryStore(tmp_path)) == ["d0/e"]


def test_of_several_hosts_one_is_to_be_named(tmp_path: Path) -> None:
    for name in ("usr/include", "usr/share", "b/rootfs"):
        (tmp_path / name / "sys/devices/system").mkdir(parents=True)
    assert store.find_roots(DirectoryStore(tmp_path)) == ["b/rootfs"]
    (tmp_path / "b/x/deep/sys/devices/system/cpu").mkdir(parents=True)
    assert store.find_roots(DirectoryStore(tmp_path)) == ["b/x/deep"]
    for name in "ab":
        (tmp_path / name / "sys/devices/system/cpu").mkdir(parents=True)
    with pytest.raises(InputError, match="it holds 2 hosts: a, b; name the folder of one of them"):
        open_store(tmp_path)
