"""The members of a tar, in order, out of a stream: read into memory with bounds, never extracted.

Not by the standard library: its tarfile hangs on crafted headers (CVE-2024-6232, CVE-2025-8194) and reads an extended
header of any size in one piece. The format is pax(1)'s "ustar Interchange Format" and tar(5)'s GNU extensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from numaplan.sources.decompress import CHUNK, ArchiveError, Readable
from numaplan.sources.store import Kind, limit_of

DATA_LIMIT: Final = 64 << 20
MEMBER_LIMIT: Final = 200_000

_KEYS: Final = frozenset({b"path", b"linkpath", b"size", b"GNU.sparse.name"})
_SPARSE: Final = b"GNU.sparse."
_BLOCK: Final = 512
_BASE_256: Final = 0x80
_ZEROS: Final = bytes(_BLOCK)
_EXTENSION_LIMIT: Final = 1 << 20
_NAME_LIMIT: Final = 4096
_COMPONENT_LIMIT: Final = 255
_DIGITS: Final = 20
_SHOWN: Final = 160
_CUT_SHORT: Final = "cut short: the archive ends before its end marker"
_ANEW: Final = "copy or make the archive anew"
_KEEP_TO: Final = "keep to the files of sys/ and proc/"
_NO_TAR: Final = "is no tar"
_FORMS: Final = "a capture is a directory or a tar (plain, gz, bz2, xz or zst)"
_ONLY_FILES: Final = "a capture holds directories, regular files and symbolic links only"


@dataclass(frozen=True, slots=True)
class Member:
    """One member: `path` are its components, none of them "..".

    `data` is the content of a file, None where it is not kept, and then `why` says why not; `target` is a link's text.
    """

    path: tuple[str, ...]
    kind: Kind
    data: bytes | None = None
    why: str | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    type: bytes
    size: int
    target: bytes


def read_members(source: Readable) -> Iterator[Member]:
    """The directories, files and links of a tar; raises ArchiveError for all else, and beyond the limits."""
    stream = _Stream(source)
    count = 0
    first = True
    extension: dict[bytes, bytes] = {}
    while (block := stream.header_block()) is not None:
        header = _parse_header(block, first=first)
        first = False
        if header.type in {b"x", b"X", b"L", b"K", b"g", b"V"}:
            extension |= _read_extension(stream, header)
            continue
        count += 1
        if count > MEMBER_LIMIT:
            raise ArchiveError(f"holds more than {MEMBER_LIMIT} members", _KEEP_TO)
        member = _read_member(stream, header, extension)
        extension = {}
        if member is not None:
            yield member
    stream.drain()


class _Stream:
    """Blocks of the archive, and how much content it may still hold."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._left = DATA_LIMIT
        self._fresh = True

    def header_block(self) -> bytes | None:
        """The next block; None at the end marker, of which one block is enough."""
        block = self._take(_BLOCK, whole=not self._fresh)
        if self._fresh and len(block) < _BLOCK:
            raise ArchiveError(_NO_TAR if block else "is empty", _FORMS)
        self._fresh = False
        return None if block == _ZEROS else block

    def content(self, size: int) -> bytes:
        data = self._take(size)
        self._pad(size)
        return data

    def skip(self, size: int) -> None:
        left = size
        while left:
            left -= len(self._take(min(left, CHUNK)))
        self._pad(size)

    def spend(self, size: int, name: bytes) -> None:
        """Counts content before any of it is read: a size is only what the archive says."""
        self._left -= size
        if self._left < 0:
            raise ArchiveError(f"expands to more than {DATA_LIMIT >> 20} MiB at member {_quote(name)}", _KEEP_TO)

    def drain(self) -> None:
        """What follows the end marker: padding, whose last bytes let the unpacker check its sum."""
        while data := self._source.read(CHUNK):
            self._left -= len(data)
            if self._left < 0:
                raise ArchiveError(f"expands to more than {DATA_LIMIT >> 20} MiB after its end marker", _ANEW)

    def _pad(self, size: int) -> None:
        self._take(-size % _BLOCK)

    def _take(self, size: int, *, whole: bool = True) -> bytes:
        chunks: list[bytes] = []
        left = size
        while left and (data := self._source.read(left)):
            chunks.append(data)
            left -= len(data)
        if left and whole:
            raise ArchiveError(_CUT_SHORT, _ANEW)
        return b"".join(chunks)


def _read_member(stream: _Stream, header: _Header, extension: dict[bytes, bytes]) -> Member | None:
    """One member and its content, under the names and size that its extended headers gave; None for the root."""
    name = extension.get(b"GNU.sparse.name") or extension.get(b"path") or header.name
    path = _components(name)
    match header.type:
        case b"5" | b"D":
            if header.type == b"D":
                stream.spend(header.size, name)
                stream.skip(header.size)
            return Member(path, Kind.FOLDER) if path else None
        case b"2":
            target = extension.get(b"linkpath") or header.target
            if b"\0" in target or not 0 < len(target) <= _NAME_LIMIT:
                raise ArchiveError(f"symbolic link {_quote(name)} has no usable target", _ANEW)
            return Member(_named(path, name), Kind.LINK, target=_text(target))
        case b"0" | b"\0" | b"7" | b"S":
            if header.type == b"\0" and name.endswith(b"/"):
                return Member(path, Kind.FOLDER) if path else None
            size = _decimal(extension[b"size"]) if extension.get(b"size") else header.size
            sparse = header.type == b"S" or _SPARSE in extension
            return _read_file(stream, name, _named(path, name), size=size, sparse=sparse)
        case b"1":
            hint = "make the archive with tar --hard-dereference"
            raise ArchiveError(f"member {_quote(name)} is a hard link", hint)
        case b"3" | b"4" | b"6":
            kind = "a fifo" if header.type == b"6" else "a device"
            raise ArchiveError(f"member {_quote(name)} is {kind}", _ONLY_FILES)
        case _:
            raise ArchiveError(f"member {_quote(name)} is of the unknown type {_quote(header.type)}", _ONLY_FILES)


def _read_file(stream: _Stream, name: bytes, path: tuple[str, ...], *, size: int, sparse: bool) -> Member:
    stream.spend(size, name)
    if sparse:
        stream.skip(size)
        return Member(path, Kind.FILE, why="kept as a sparse file, which is not read: make the tar without --sparse")
    limit = limit_of("/".join(path))
    if size > limit:
        stream.skip(size)
        return Member(path, Kind.FILE, why=f"larger than {limit >> 20} MiB")
    return Member(path, Kind.FILE, data=stream.content(size))


def _read_extension(stream: _Stream, header: _Header) -> dict[bytes, bytes]:
    """What an extended header says of the member that follows it."""
    if header.size > _EXTENSION_LIMIT:
        raise ArchiveError(f"extended header of {header.size} bytes", _ANEW)
    stream.spend(header.size + _BLOCK, b"(extended header)")
    data = stream.content(header.size)
    match header.type:
        case b"L":
            return {b"path": data.rstrip(b"\0")}
        case b"K":
            return {b"linkpath": data.rstrip(b"\0")}
        case b"x" | b"X":
            return _parse_pax(data)
        case _:
            return {}


def _parse_pax(data: bytes) -> dict[bytes, bytes]:
    r"""Records of "<length> <key>=<value>\n", the length counting all of it; an empty value takes a key back.

    Only what is used is kept: a crafted header can hold any number of keys.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + _DIGITS)
        length = _decimal(data[at:space]) if space > at else 0
        end = at + length
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not length or end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n" or not equals:
            raise ArchiveError("extended header is damaged", _ANEW)
        if key in _KEYS:
            records[key] = value
        elif key.startswith(_SPARSE):
            records[_SPARSE] = b""
        at = end
    return records


def _parse_header(block: bytes, *, first: bool) -> _Header:
    """One header block: tar(5), "POSIX ustar Archives" and "GNU Tar Archives"."""
    try:
        return _header(block)
    except ValueError as error:
        what, hint = (_NO_TAR, _FORMS) if first else (f"damaged: {error}", _ANEW)
        raise ArchiveError(what, hint) from error


def _header(block: bytes) -> _Header:
    if _number(block[148:156]) != sum(block[:148]) + sum(block[156:]) + 8 * ord(" "):
        raise ValueError("a header's checksum is wrong")
    name = _string(block[:100])
    prefix = _string(block[345:500])
    # GNU's own format ("ustar  ") has times where ustar has the prefix.
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return _Header(name, block[156:157], _number(block[124:136]), _string(block[157:257]))


def _string(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base-256 where the first bit is set; ValueError for others, negative ones too."""
    if field[0] == _BASE_256:
        return int.from_bytes(field[1:], "big")
    digits = _string(field.lstrip(b" \0")).strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError("a header's number is wrong")
    return int(digits, 8) if digits else 0


def _decimal(digits: bytes) -> int:
    if not (0 < len(digits) <= _DIGITS and digits.isdigit()):
        raise ArchiveError("extended header is damaged", _ANEW)
    return int(digits)


def _components(name: bytes) -> tuple[str, ...]:
    """A name's components, "." and empty ones dropped; ArchiveError for a name that leaves the archive."""
    hint = "make the archive anew, with names below sys/ and proc/"
    if b"\0" in name:
        raise ArchiveError(f"member {_quote(name)} has a NUL in its name", hint)
    if len(name) > _NAME_LIMIT:
        raise ArchiveError(f"member {_quote(name)} has a name of more than {_NAME_LIMIT} bytes", hint)
    if name.startswith(b"/"):
        raise ArchiveError(f"member {_quote(name)} has an absolute name", hint)
    parts = name.split(b"/")
    if b".." in parts:
        raise ArchiveError(f'member {_quote(name)} has ".." in its name', hint)
    if max(map(len, parts)) > _COMPONENT_LIMIT:
        raise ArchiveError(f"member {_quote(name)} has a component of more than {_COMPONENT_LIMIT} bytes", hint)
    return tuple(part for part in _text(name).split("/") if part not in {"", "."})


def _named(path: tuple[str, ...], name: bytes) -> tuple[str, ...]:
    if not path:
        raise ArchiveError(f"member {_quote(name)} has no name", _ANEW)
    return path


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _quote(name: bytes) -> str:
    """A name for a message: printable, and not too long."""
    text = name[:_SHOWN].decode("utf-8", "backslashreplace")
    return ascii(text if len(name) <= _SHOWN else f"{text}...")
