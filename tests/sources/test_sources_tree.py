"""What a reader sees is the same whether a host stands in a directory or in a tar."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from numaplan.errors import InputError
from numaplan.model.host import Source
from numaplan.model.snapshot import Gap
from numaplan.sources.directory import DirectoryStore
from numaplan.sources.tree import HostTree, open_tree
from tests.sources.tars import Files, Link, tar_of, write_tar, write_tree

Opener = Callable[[Files], HostTree]


@pytest.fixture(params=["directory", "tar"])
def open_files(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the given files as a host, once from a directory and once from a tar."""
    capture = tmp_path / "capture"
    capture.mkdir()

    def opener(files: Files) -> HostTree:
        if request.param == "tar":
            return open_tree(write_tar(capture, tar_of(files)))
        return open_tree(write_tree(capture, files))

    return opener


def test_text_comes_as_it_stands(open_files: Opener) -> None:
    tree = open_files({"sys/a": b" 0-3\n", "sys/empty": b"", "sys/nul": b"0-3\n\0\0"})
    assert tree.text("sys/a") == " 0-3\n"
    assert tree.text("sys/empty") == ""
    assert tree.text("sys/nul") == "0-3\n\0\0"
    assert tree.source is Source.CAPTURE


def test_bytes_that_are_no_utf_8_survive(open_files: Opener) -> None:
    tree = open_files({"sys/label": b"ConnectX\xae\n"})
    text = tree.text("sys/label")
    assert text is not None
    assert text.encode("utf-8", "surrogateescape") == b"ConnectX\xae\n"


def test_what_is_absent_is_silent(open_files: Opener) -> None:
    tree = open_files({"sys/a": b"", "sys/dangling": Link("nowhere/at/all")})
    for path in ("sys/none", "none/at/all", "sys/a/below", "sys/dangling", "sys/with\0nul", "sys/" + "x/" * 3000):
        assert tree.text(path) is None
        assert not tree.exists(path)
        assert tree.names(path) == ()
        assert tree.resolve(path) is None
    assert tree.gaps == ()
    assert tree.opened == ()


def test_names_are_sorted(open_files: Opener) -> None:
    tree = open_files({"sys/n/node10": b"", "sys/n/node2": None, "sys/n/has_cpu": b"", "sys/n/link": Link("node2")})
    assert tree.names("sys/n") == ("has_cpu", "link", "node10", "node2")
    assert tree.names("sys/n/has_cpu") == ()
    assert tree.names("") == ("sys",)


def test_a_directory_read_as_a_file_leaves_a_gap(open_files: Opener) -> None:
    tree = open_files({"sys/online/x": b""})
    assert tree.text("sys/online") is None
    assert tree.gaps == (Gap("sys/online", "is a directory"),)


def test_relative_and_absolute_links_resolve_inside_the_root(open_files: Opener) -> None:
    tree = open_files(
        {
            "sys/devices/pci0/0000:00:01.0/class": b"0x020000\n",
            "sys/bus/pci/devices/0000:00:01.0": Link("../../../devices/pci0/0000:00:01.0"),
            "sys/class/net/eth0": Link("/sys/devices/pci0/0000:00:01.0"),
            "sys/up": Link("../../../../../../sys/devices"),
        }
    )
    device = "sys/devices/pci0/0000:00:01.0"
    for path in ("sys/bus/pci/devices/0000:00:01.0", "sys/class/net/eth0", "sys/up/pci0/0000:00:01.0"):
        assert tree.resolve(path) == device
        assert tree.text(f"{path}/class") == "0x020000\n"
        assert tree.names(path) == ("class",)
    assert tree.resolve("sys/class/net/eth0/../0000:00:01.0/./class") == f"{device}/class"
    assert tree.resolve("../../sys") == "sys"
    assert tree.resolve("") == ""


def test_link_name_needs_no_target(open_files: Opener) -> None:
    tree = open_files(
        {
            "sys/d/driver": Link("../../bus/pci/drivers/ixgbe"),
            "sys/d/iommu_group": Link("/sys/kernel/iommu_groups/12/"),
            "sys/d/up": Link("../.."),
            "sys/d/file": b"",
            "sys/alias": Link("d"),
        }
    )
    assert tree.link_name("sys/d/driver") == "ixgbe"
    assert tree.link_name("sys/alias/driver") == "ixgbe"
    assert tree.link_name("sys/d/iommu_group") == "12"
    assert tree.link_name("sys/d/up") is None
    assert tree.link_name("sys/d/file") is None
    assert tree.link_name("sys/d") is None
    assert tree.link_name("sys/d/none") is None
    assert tree.gaps == ()


def chain(length: int) -> dict[str, bytes | Link | None]:
    return {f"sys/l{i}": Link(f"l{i + 1}") for i in range(length)} | {f"sys/l{length}": b"end\n"}


def test_forty_links_are_followed_and_forty_one_are_not(open_files: Opener) -> None:
    tree = open_files(chain(41))
    assert tree.text("sys/l1") == "end\n"
    assert tree.text("sys/l0") is None
    assert tree.gaps == (Gap("sys/l0", "symbolic links go in a circle (ELOOP)"),)


def test_links_in_the_folders_of_a_path_count_too(open_files: Opener) -> None:
    files = chain(30) | {"sys/l30": Link("end"), "sys/end/m0": Link("m1")}
    files |= {f"sys/end/m{i}": Link(f"m{i + 1}") for i in range(1, 10)} | {"sys/end/m10": b"x"}
    tree = open_files(files)
    assert tree.text("sys/l1/m0") == "x"
    assert tree.text("sys/l0/m0") is None


def test_a_circle_ends(open_files: Opener) -> None:
    tree = open_files({"sys/a": Link("b"), "sys/b": Link("a"), "sys/me": Link("me/me")})
    for path in ("sys/a", "sys/me", "sys/me/x"):
        assert tree.text(path) is None
        assert tree.resolve(path) is None
        assert tree.names(path) == ()
    assert {gap.what for gap in tree.gaps} == {"sys/a", "sys/me", "sys/me/x"}


def test_a_file_of_one_mib_is_read_and_a_larger_one_is_a_gap(open_files: Opener) -> None:
    tree = open_files({"sys/fits": b"x" * (1 << 20), "sys/large": b"x" * ((1 << 20) + 1)})
    assert len(tree.text("sys/fits") or "") == 1 << 20
    assert tree.text("sys/large") is None
    assert tree.gaps == (Gap("sys/large", "larger than 1 MiB"),)
    assert tree.exists("sys/large")


def test_gaps_are_sorted_and_told_once(open_files: Opener) -> None:
    tree = open_files({"sys/a": b""})
    for path, why in (("sys/b", "odd"), ("sys/a", "odd"), ("sys/b", "odd"), ("sys/b", "even")):
        tree.note(path, why)
    assert tree.gaps == (Gap("sys/a", "odd"), Gap("sys/b", "even"), Gap("sys/b", "odd"))


def test_opened_lists_what_was_read(open_files: Opener) -> None:
    tree = open_files({"sys/b": b"1", "sys/a": b"1", "sys/c": b"1"})
    for path in ("sys/b", "/sys/a", "sys/none", "sys/b"):
        tree.text(path)
    assert tree.opened == ("sys/a", "sys/b")


@pytest.mark.parametrize(
    ("files", "marker"),
    [
        ({"sys/m": b"top", "a/sys/m": b"deep"}, "top"),
        ({"a/sys/m": b"a", "b/sys/m": b"b", "b/sys/devices/system/cpu/x": b""}, "b"),
        ({"a/x/sys/m": b"deep", "b/sys/m": b"shallow"}, "shallow"),
        ({"must-gather/quay-io/nodes/worker-1/sys/m": b"nested", "must-gather/quay-io/proc/x": b""}, "nested"),
        ({"a/proc/sys/m": b"sysctl", "a/b/sys/m": b"real"}, "real"),
        ({"proc/sys/m": b"sysctl", "z/sys/m": b"real"}, "real"),
        ({"a/sys": b"a file", "b/sys/m": b"folder"}, "folder"),
        ({"a/sys": Link("/sys"), "b/sys/m": b"folder"}, "folder"),
    ],
)
def test_the_root_is_the_shallowest_folder_that_holds_the_sys_of_a_host(
    open_files: Opener, files: Files, marker: str
) -> None:
    assert open_files(files).text("sys/m") == marker


def test_links_of_a_nested_root_stay_below_it(open_files: Opener) -> None:
    tree = open_files({"host/sys/a": Link("/sys/b"), "host/sys/b": b"in", "host/sys/c": Link("../../b"), "b": b"out"})
    assert tree.text("sys/a") == "in"
    assert tree.text("sys/c") is None


@pytest.mark.parametrize("files", [{"proc/version": b"x"}, {"a/b/c": b"x"}, {"sys": b"a file"}, {"sys": Link("/sys")}])
def test_no_sys_is_bad_input(open_files: Opener, files: Files) -> None:
    with pytest.raises(InputError) as caught:
        open_files(files)
    (problem,) = caught.value.problems
    assert problem.what == "there is no folder sys/ in it"
    assert problem.hint is not None


def test_the_inside_of_sys_is_named_as_such(open_files: Opener) -> None:
    with pytest.raises(InputError, match="name the folder that holds it"):
        open_files({"devices/system/cpu/online": b"0\n"})


def test_a_folder_that_holds_a_tar_names_it(open_files: Opener) -> None:
    with pytest.raises(InputError, match=r"'host\.tgz' in it looks like a capture"):
        open_files({"host.tgz": b"x", "README.md": b"x", "truth.json": b"{}"})


def test_a_capture_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for path in (tmp_path / "none", loop, file / "below", tmp_path / ("n" * 300), tmp_path / "nul\0nul"):
        with pytest.raises(InputError):
            open_tree(path)


def test_the_live_host_is_read_by_the_same_code() -> None:
    tree = open_tree(None)
    assert tree.source is Source.LIVE
    assert "devices" in tree.names("sys")
    version = tree.text("proc/version")
    assert version is not None
    assert version.startswith("Linux version")
    assert tree.text("proc/self/status") == tree.text(f"proc/{os.getpid()}/status")


def test_a_directory_is_found_again_after_a_change_of_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "host", {"sys/a": b"1"})
    monkeypatch.chdir(tmp_path)
    tree = open_tree(Path("host"))
    monkeypatch.chdir("/")
    assert tree.text("sys/a") == "1"


def test_every_file_and_directory_is_read_once(tmp_path: Path) -> None:
    write_tree(tmp_path, {"sys/a": b"old"})
    tree = HostTree(DirectoryStore(tmp_path), Source.CAPTURE)
    assert tree.text("sys/a") == "old"
    assert tree.names("sys") == ("a",)
    write_tree(tmp_path, {"sys/a": b"new", "sys/b": b""})
    assert tree.text("sys/a") == "old"
    assert tree.names("sys") == ("a",)
