"""Hostile and damaged tars: each is refused in words that name the member, and nothing is written anywhere."""

import bz2
import gzip
import lzma
import resource
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import zstandard

from numaplan.errors import InputError
from numaplan.sources import archive
from numaplan.sources import tar as tar_module
from numaplan.sources.tree import open_tree
from tests.sources.tars import END, HOST, huge, member, pax, tar, tar_of, write_tar

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


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[bytes], str]:
    """Opens hostile bytes as a capture and returns the refusal; nothing but the capture may be on disk after that."""

    def opener(data: bytes) -> str:
        inside = tmp_path / "a" / "b"
        inside.mkdir(parents=True, exist_ok=True)
        path = write_tar(inside, data)
        before = everything(tmp_path)
        with pytest.raises(InputError) as caught:
            open_tree(path)
        assert everything(tmp_path) == before
        (problem,) = caught.value.problems
        assert problem.where == str(path)
        assert problem.hint is not None
        return problem.what

    return opener


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"../../evil", "'../../evil' has \"..\" in its name"),
        (b"sys/../../evil", "'sys/../../evil' has \"..\" in its name"),
        (b"sys/..", "'sys/..' has \"..\" in its name"),
        (b"/etc/evil", "'/etc/evil' has an absolute name"),
        (b"//evil", "'//evil' has an absolute name"),
        (b"", "'' has no name"),
        (b"./", "'./' has no name"),
    ],
)
def test_a_name_that_leaves_the_archive_is_refused(refuse: Callable[[bytes], str], name: bytes, words: str) -> None:
    assert refuse(tar(GOOD, member(name, b"evil"), b"never parsed".ljust(512))) == f"member {words}"


@pytest.mark.parametrize("key", [b"path", b"GNU.sparse.name"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"../evil", 'has ".." in its name'),
        (b"/evil", "has an absolute name"),
        (b"sys/a\0b", "has a NUL in its name"),
        (b"sys/" + b"a/" * 2100, "has a name of more than 4096 bytes"),
        (b"sys/" + b"a" * 256, "has a component of more than 255 bytes"),
    ],
)
def test_a_name_in_an_extended_header_is_no_way_round(
    refuse: Callable[[bytes], str], *, key: bytes, value: bytes, words: str
) -> None:
    assert refuse(tar(GOOD, pax((key, value)), member(b"sys/a"))).endswith(words)


def test_a_long_name_with_a_nul_is_refused(refuse: Callable[[bytes], str]) -> None:
    assert "NUL" in refuse(tar(member(b"././@LongLink", b"sys/a\0/../b\0", type_=b"L"), member(b"sys/a")))


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        (b"1", "member 'sys/x' is a hard link"),
        (b"3", "member 'sys/x' is a device"),
        (b"4", "member 'sys/x' is a device"),
        (b"6", "member 'sys/x' is a fifo"),
        (b"M", "member 'sys/x' is of the unknown type 'M'"),
        (b"\xff", "member 'sys/x' is of the unknown type '\\\\xff'"),
    ],
)
def test_other_members_are_refused_by_name(refuse: Callable[[bytes], str], type_: bytes, words: str) -> None:
    assert refuse(tar(GOOD, member(b"sys/x", type_=type_, link=ONLINE.encode()))) == words


@pytest.mark.parametrize("target", [b"/etc", b"../../../..", b"devices"])
def test_a_member_below_a_link_is_refused(refuse: Callable[[bytes], str], target: bytes) -> None:
    data = tar(GOOD, member(b"sys/link", type_=b"2", link=target), member(b"sys/link/evil", b"x"))
    assert refuse(data) == "member 'sys/link/evil' lies below 'sys/link', which is a symbolic link"


def test_a_member_below_a_file_is_refused(refuse: Callable[[bytes], str]) -> None:
    assert refuse(tar(member(b"sys/a", b"x"), member(b"sys/a/b", b"x"))).endswith("below 'sys/a', which is a file")


def test_a_folder_with_entries_cannot_become_a_link(refuse: Callable[[bytes], str]) -> None:
    data = tar(GOOD, member(b"sys/devices", type_=b"2", link=b"/etc"))
    assert refuse(data) == "member 'sys/devices' is a folder and a link"


@pytest.mark.parametrize("link", [b"", b"a\0b"])
def test_a_link_without_a_usable_target_is_refused(refuse: Callable[[bytes], str], link: bytes) -> None:
    extra = pax((b"linkpath", link)) if link else b""
    assert "no usable target" in refuse(tar(extra + member(b"sys/l", type_=b"2")))


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("size", [1 << 40, 65 * MIB])
def test_a_size_beyond_the_limit_is_refused_before_it_is_read(
    refuse: Callable[[bytes], str], *, packer: str, size: int
) -> None:
    data = PACKERS[packer](tar(GOOD, member(b"sys/big", size=huge(size))))
    assert refuse(data) == "expands to more than 64 MiB at member 'sys/big'"


@pytest.mark.parametrize("size", [b"\xff" * 12, b"-1".ljust(12), b"9" * 11, b"0x10".ljust(12)])
def test_a_size_that_is_no_number_is_refused(refuse: Callable[[bytes], str], size: bytes) -> None:
    assert refuse(tar(GOOD, member(b"sys/x", size=size))) == "damaged: a header's number is wrong"


def test_content_of_64_mib_is_read_and_a_byte_more_is_refused(
    tmp_path: Path, refuse: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [member(b"sys/%d" % i, bytes(MIB)) for i in range(8)]
    # The end marker is counted too, past its first block.
    monkeypatch.setattr(tar_module, "DATA_LIMIT", 8 * MIB + 512)
    assert len(open_tree(write_tar(tmp_path, tar(*members))).names("sys")) == 8
    assert "expands to more than 8 MiB" in refuse(tar(*members, member(b"sys/more", b"x" * 513)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("packer", ["plain", "gz", "bz2", "xz", "zst"])
def test_a_bomb_of_zeros_is_refused(refuse: Callable[[bytes], str], packer: str) -> None:
    zeros = PACKERS[packer](bytes(66 * MIB))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refuse(zeros).startswith("expands to more than ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib < 100 * 1024


def test_a_bomb_behind_a_good_capture_is_refused(refuse: Callable[[bytes], str]) -> None:
    assert refuse(bz2.compress(tar(GOOD) + bytes(65 * MIB))).startswith("expands to more than ")
    assert refuse(tar(GOOD) + bytes(65 * MIB)) == "expands to more than 64 MiB after its end marker"


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zst"])
def test_packing_without_content_is_refused(refuse: Callable[[bytes], str], packer: str) -> None:
    nothing = PACKERS[packer](b"")
    assert "unpacks to nothing" in refuse(nothing * (3 * MIB // len(nothing)))


def test_as_many_members_as_the_limit_are_read_and_one_more_is_refused(
    tmp_path: Path, refuse: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tar_module.MEMBER_LIMIT == 200_000
    monkeypatch.setattr(tar_module, "MEMBER_LIMIT", 50)
    members = [member(b"sys/%d" % i) for i in range(51)]
    assert len(open_tree(write_tar(tmp_path, tar(*members[:50]))).names("sys")) == 50
    assert refuse(tar(*members)) == "holds more than 50 members"


def test_folders_that_only_names_imply_are_counted(
    refuse: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FOLDER_LIMIT", 100)
    deep = [pax((b"path", b"sys/%d/" % i + b"a/" * 60 + b"f")) + member(b"x") for i in range(2)]
    assert refuse(tar(*deep)) == "holds more than 100 folders"


def test_an_extended_header_cannot_use_up_memory_or_time(refuse: Callable[[bytes], str]) -> None:
    digits = member(b"x", b"1" * MIB, type_=b"x")
    assert refuse(tar(digits, GOOD)) == "extended header is damaged"
    assert refuse(tar(member(b"x", size=MIB + 1, type_=b"x"), GOOD)) == f"extended header of {MIB + 1} bytes"
    assert refuse(tar(member(b"x", size=huge(1 << 60), type_=b"L"))).startswith("extended header of ")


@pytest.mark.parametrize(
    "record",
    [b"0 a=b\n", b"6 a=b", b"99 a=b\n", b"a=b\n", b"4 ab\n", b"5 a=b\n", b"-6 a=b\n", b" 6 a=b\n", b"3 \n", b"2 \n"],
)
def test_a_damaged_extended_header_is_refused(refuse: Callable[[bytes], str], record: bytes) -> None:
    assert refuse(tar(member(b"x", record, type_=b"x"), GOOD)) == "extended header is damaged"


@pytest.mark.parametrize("packer", PACKERS)
def test_a_capture_cut_short_anywhere_is_refused(tmp_path: Path, refuse: Callable[[bytes], str], packer: str) -> None:
    content = tar_of(HOST)
    data = PACKERS[packer](content)
    # A plain tar and a zstd frame say nothing of their padding; every other cut is noticed.
    last = content.rindex(END) if packer == "plain" else len(data) - (9 if packer == "zst" else 0)
    for length in [*range(0, last, 13), last - 1]:
        assert refuse(data[:length])
    assert open_tree(write_tar(tmp_path, data)).text(ONLINE) == "0-3\n"


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_a_flipped_byte_is_noticed(refuse: Callable[[bytes], str], packer: str) -> None:
    data = bytearray(PACKERS[packer](tar_of(HOST)))
    data[len(data) // 2] ^= 0x55
    assert refuse(bytes(data))


def test_a_flipped_byte_in_a_header_is_noticed(refuse: Callable[[bytes], str]) -> None:
    data = bytearray(tar(GOOD, GOOD))
    data[len(GOOD) + 3] ^= 1
    assert refuse(bytes(data)) == "damaged: a header's checksum is wrong"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello\n", "is no tar"),
        (b"hello\n" * 1000, "is no tar"),
        (b'{"schema": "numaplan/inventory/1"}'.ljust(600), "is no tar"),
        (b"PK\x03\x04".ljust(2000, b"x"), "is no tar"),
        (gzip.compress(b"hello", mtime=0), "is no tar"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (END, "there is no folder sys/ in it"),
        (tar(member(b"proc/version", b"x")), "there is no folder sys/ in it"),
    ],
)
def test_what_is_no_capture_is_refused(refuse: Callable[[bytes], str], data: bytes, words: str) -> None:
    assert refuse(data) == words


def test_a_refusal_shows_no_control_characters(refuse: Callable[[bytes], str]) -> None:
    words = refuse(tar(member(b"/\x1b]0;evil\x07\x1b[2J\n\xff")))
    assert words.isprintable()
    assert len(refuse(tar(pax((b"path", b"/" + b"x" * 3000)), member(b"x")))) < 250


@pytest.mark.parametrize("packer", PACKERS)
def test_any_damage_is_a_refusal_or_another_capture(tmp_path: Path, packer: str) -> None:
    random = Random(7)  # noqa: S311  (damage, and the same one each time)
    long_name = member(b"././@LongLink", b"sys/" + b"n" * 150 + b"\0", type_=b"L") + member(b"x", b"1")
    link = member(b"sys/l", type_=b"2", link=b"../q")
    good = PACKERS[packer](
        tar(pax((b"path", b"sys/long"), (b"size", b"3")), member(b"x", b"abc"), long_name, link, GOOD)
    )
    refused = 0
    for _ in range(600):
        data = bytearray(good)
        for _ in range(random.choice([1, 1, 2, 8])):
            at = random.randrange(len(data))
            match random.randrange(4):
                case 0:
                    del data[at : at + random.randrange(1, 600)]
                    data = data or bytearray(1)
                case 1:
                    data[at:at] = data[at : at + 512]
                case _:
                    data[at] = random.randrange(256)
        try:
            tree = open_tree(write_tar(tmp_path, bytes(data)))
        except InputError:
            refused += 1
            continue
        for name in tree.names("sys"):
            tree.text(f"sys/{name}")
            tree.link_name(f"sys/{name}")
    assert refused > 300
