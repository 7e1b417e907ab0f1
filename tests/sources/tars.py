"""Tars byte by byte, so that a test can write what no tool would; and the same host as a directory or as a tar."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Link:
    target: str


# Path -> a file's bytes, a link, or None for an empty folder.
Files = Mapping[str, bytes | Link | None]

HOST: Files = {"sys/devices/system/cpu/online": b"0-3\n", "proc/version": b"Linux version 6.12\n"}


def member(
    name: bytes,
    data: bytes = b"",
    *,
    type_: bytes = b"0",
    size: int | bytes | None = None,
    link: bytes = b"",
    magic: bytes = b"ustar\0" + b"00",
    prefix: bytes = b"",
) -> bytes:
    """A header, its checksum right, and padded data. `size` may lie."""
    number = len(data) if size is None else size
    field = number if isinstance(number, bytes) else b"%011o\0" % number
    header = b"".join(
        [
            name.ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" * 2,
            field.ljust(12, b"\0"),
            b"00000000000\0",
            b" " * 8,
            type_,
            link.ljust(100, b"\0"),
            magic,
            bytes(80),
            prefix.ljust(155, b"\0"),
            bytes(12),
        ]
    )
    assert len(header) == BLOCK
    checksum = b"%06o\0 " % sum(header)
    return header[:148] + checksum + header[156:] + data + bytes(-len(data) % BLOCK)


def huge(size: int) -> bytes:
    """The size field in GNU's base-256."""
    return b"\x80" + size.to_bytes(11, "big")


def pax(*records: tuple[bytes, bytes]) -> bytes:
    """An extended header with these records."""
    data = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        while length != len(str(length)) + len(key) + len(value) + 3:
            length += 1
        data += b"%d %s=%s\n" % (length, key, value)
    return member(b"PaxHeaders/x", data, type_=b"x")


def tar(*members: bytes) -> bytes:
    return b"".join(members) + END


def tar_of(files: Files) -> bytes:
    members = []
    for path, content in files.items():
        name = path.encode("utf-8", "surrogateescape")
        if isinstance(content, Link):
            members.append(member(name, type_=b"2", link=content.target.encode()))
        elif content is None:
            members.append(member(name + b"/", type_=b"5"))
        else:
            members.append(member(name, content))
    return tar(*members)


def write_tar(folder: Path, data: bytes, name: str = "capture.tar") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def write_tree(folder: Path, files: Files) -> Path:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            place.symlink_to(content.target)
        elif content is None:
            place.mkdir()
        else:
            place.write_bytes(content)
    return folder
