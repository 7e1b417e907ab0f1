"""Tars of every kind that tools write, and hostile ones that no tool would."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from numaplan.errors import BackendError
from numaplan.model.snapshot import Gap
from numaplan.sources.tree import HostTree, open_tree
from tests.sources.tars import HOST, Files, Link, member, pax, tar, tar_of, write_tar

ONLINE = "sys/devices/system/cpu/online"
GOOD = member(ONLINE.encode(), b"0-3\n")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}
MIB = 1 << 20


def open_bytes(folder: Path, data: bytes) -> HostTree:
    return open_tree(write_tar(folder, data))


@pytest.mark.parametrize("packer", PACKERS)
def test_each_packing_is_told_by_its_content(tmp_path: Path, packer: str) -> None:
    path = write_tar(tmp_path, PACKERS[packer](tar_of(HOST)), name="no-suffix-at-all")
    assert open_tree(path).text(ONLINE) == "0-3\n"


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zst"])
def test_streams_one_after_the_other_are_one_archive(tmp_path: Path, packer: str) -> None:
    data = tar_of(HOST)
    pack = PACKERS[packer]
    parts = [pack(data[:700]), pack(b""), pack(data[700:])]
    assert open_bytes(tmp_path, b"".join(parts)).text(ONLINE) == "0-3\n"


def test_padding_between_xz_streams_is_passed_over(tmp_path: Path) -> None:
    data = tar_of(HOST)
    packed = lzma.compress(data[:700]) + bytes(8) + lzma.compress(data[700:]) + bytes(4)
    assert open_bytes(tmp_path, packed).text(ONLINE) == "0-3\n"


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links_of_each_format_are_read(tmp_path: Path, format_: int) -> None:
    folder = "sys/devices/pci0000:00/" + "/".join(f"0000:{i:02x}:00.0" for i in range(9))
    target = "../" * 20 + "sys/bus/pci/drivers/vfio-pci"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as file:
        info = tarfile.TarInfo(f"./{folder}/class")
        info.size = 3
        info.mtime = 1.5 if format_ == tarfile.PAX_FORMAT else 1
        file.addfile(info, io.BytesIO(b"abc"))
        link = tarfile.TarInfo(f"./{folder}/driver")
        link.type = tarfile.SYMTYPE
        link.linkname = target
        file.addfile(link)
    assert len(folder) > 120
    tree = open_bytes(tmp_path, buffer.getvalue())
    assert tree.text(f"{folder}/class") == "abc"
    assert tree.link_name(f"{folder}/driver") == "vfio-pci"


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_very_long_names_and_targets_are_read(tmp_path: Path, format_: int) -> None:
    name = "sys/" + "/".join("n" * 200 for _ in range(5))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as file:
        link = tarfile.TarInfo(name)
        link.type = tarfile.SYMTYPE
        link.linkname = "t" * 150 + "/é"
        file.addfile(link)
    assert open_bytes(tmp_path, buffer.getvalue()).link_name(name) == "é"


def test_names_that_are_no_utf_8_are_kept(tmp_path: Path) -> None:
    tree = open_bytes(tmp_path, tar(GOOD, member(b"sys/\xae", b"x")))
    assert tree.names("sys") == ("devices", "\udcae")
    assert tree.text("sys/\udcae") == "x"


def test_an_old_tar_without_magic_is_read(tmp_path: Path) -> None:
    none = bytes(8)
    folder = member(b"sys/empty/", type_=b"\0", magic=none)
    file = member(b"sys/file", b"x", type_=b"\0", magic=none)
    tree = open_bytes(tmp_path, tar(folder, file))
    assert tree.names("sys") == ("empty", "file")
    assert tree.names("sys/empty") == ()


def test_gnu_times_are_no_part_of_a_name(tmp_path: Path) -> None:
    data = tar(member(b"sys/x", b"1", magic=b"ustar  \0", prefix=b"14742104302\0"))
    assert open_bytes(tmp_path, data).text("sys/x") == "1"


def test_labels_and_global_headers_are_passed_over(tmp_path: Path) -> None:
    label = member(b"backup", type_=b"V")
    comment = member(b"pax_global_header", b"12 path=/x/\n", type_=b"g")
    assert open_bytes(tmp_path, tar(label, comment, GOOD)).text(ONLINE) == "0-3\n"


def test_an_extended_header_holds_for_one_member(tmp_path: Path) -> None:
    data = tar(pax((b"path", b"sys/long"), (b"size", b"2")), member(b"short", b"ab", size=0), member(b"sys/next", b"c"))
    tree = open_bytes(tmp_path, data)
    assert tree.names("sys") == ("long", "next")
    assert tree.text("sys/long") == "ab"


def test_a_later_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    data = tar(
        *(member(b"sys/", type_=b"5"), member(b"sys/a", b"old"), member(b"sys/b", type_=b"5")),
        *(member(b"sys/", type_=b"5"), member(b"sys/a", b"new"), member(b"sys/b", b"file")),
    )
    tree = open_bytes(tmp_path, data)
    assert tree.text("sys/a") == "new"
    assert tree.text("sys/b") == "file"


def test_what_lies_behind_the_end_marker_does_not_count(tmp_path: Path) -> None:
    tree = open_bytes(tmp_path, tar(GOOD) + member(b"sys/late", b"x") + b"garbage")
    assert tree.names("sys") == ("devices",)


def test_a_pipe_and_standard_input_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(tar_of(HOST))
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    try:
        assert open_tree(Path(f"/proc/self/fd/{reader}")).text(ONLINE) == "0-3\n"
    finally:
        os.close(reader)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert open_tree(Path("-")).text(ONLINE) == "0-3\n"


def test_links_that_point_out_of_the_archive_reach_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("CANARY")
    links: Files = {
        f"sys/l{i}": Link(t) for i, t in enumerate([str(secret), "../../secret", "../" * 20 + "etc/passwd"])
    }
    tree = open_bytes(tmp_path, tar_of({**HOST, **links}))
    for path in links:
        assert tree.text(path) is None
        assert tree.resolve(path) is None


def test_the_link_chain_that_outgrows_path_max_reaches_nothing(tmp_path: Path) -> None:
    """As in CVE-2025-4517: links to folders of long names, the last of which climbs out."""
    files: dict[str, bytes | Link | None] = dict(HOST)
    place = "sys"
    for letter in "abcdefghijklmnop":
        files[f"{place}/{'d' * 247}"] = None
        files[f"{place}/{letter}"] = Link("d" * 247)
        place += f"/{'d' * 247}"
        if len(place) > 3500:
            break
    short = "sys/" + "/".join("abcdefghijklmnop"[: place.count("/")])
    files[f"{place}/escape"] = Link("../" * 40 + str(tmp_path).lstrip("/"))
    tree = open_bytes(tmp_path, long_tar(files))
    assert tree.resolve(short) == place
    assert tree.resolve(f"{short}/escape") is None
    assert tree.names(f"{short}/escape") == ()


def long_tar(files: dict[str, bytes | Link | None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            if isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
            elif content is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            file.addfile(info, None if content is None or isinstance(content, Link) else io.BytesIO(content))
    return buffer.getvalue()


def test_a_member_above_one_mib_is_a_gap_when_it_is_read(tmp_path: Path) -> None:
    data = tar(member(b"sys/large", bytes(MIB + 1)), member(b"sys/fits", bytes(MIB)), GOOD)
    tree = open_bytes(tmp_path, data)
    assert not tree.gaps
    assert tree.text(ONLINE) == "0-3\n"
    assert len(tree.text("sys/fits") or "") == MIB
    assert tree.text("sys/large") is None
    assert tree.gaps == (Gap("sys/large", "larger than 1 MiB"),)


@pytest.mark.parametrize("sparse", [member(b"sys/s", b"data", type_=b"S"), pax((b"GNU.sparse.major", b"1"))])
def test_a_sparse_member_is_a_gap_when_it_is_read(tmp_path: Path, sparse: bytes) -> None:
    follows = b"" if sparse[156:157] == b"S" else member(b"sys/s", b"data")
    tree = open_bytes(tmp_path, tar(sparse, follows, GOOD))
    assert tree.text(ONLINE) == "0-3\n"
    assert tree.text("sys/s") is None
    assert [gap.what for gap in tree.gaps] == ["sys/s"]


def test_a_tar_that_may_not_be_read_is_the_systems_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path, tar_of(HOST))

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(BackendError, match="permission denied"):
        open_tree(path)


def test_a_disk_that_fails_is_no_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path, gzip.compress(tar_of(HOST)))

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", lambda *_: Broken())
    with pytest.raises(BackendError, match="input/output error"):
        open_tree(path)
