"""Every file that is no host file: read with a bound, written whole or not at all, never through a symbolic link."""

import codecs
import errno
import os
import re
import stat
import sys
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from numaplan.errors import BackendError, InputError, NumaplanError
from numaplan.sources.atomic import is_stream, replace_file, replace_files, write_all, write_plainly
from numaplan.units import format_size

_STANDARD_INPUT: Final = frozenset({"-", "/dev/stdin"})
_DESCRIPTORS: Final = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,6})", re.ASCII)
_NAMED_DESCRIPTORS: Final = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_HEAD: Final = 64
_NO_SUCH: Final = {
    errno.ENOENT: "no such file or directory",
    errno.EISDIR: "it is a directory",
    errno.ENOTDIR: "a part of the path is no directory",
    errno.ELOOP: "symbolic links go in a circle",
    errno.ENAMETOOLONG: "the name is too long",
}
_NAME_LIMIT: Final = 255
# Domain XML can hold passwords.
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


def read_bytes(path: Path, *, limit: int, what: str) -> bytes:
    """A file that a user named, "-" for standard input; `what` it is ("vnf.yaml") goes into the message.

    Raises InputError where there is none, for a directory and above `limit` bytes; BackendError where it may not be
    read.
    """
    where = _where(path)
    try:
        if is_standard_input(path):
            data = standard_input().read(limit + 1)
        else:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except ValueError as error:
        raise InputError(f"{what} cannot be read: a file name cannot hold a NUL", where) from error
    except OSError as error:
        raise read_refusal(error, where=where, what=what) from error
    if len(data) > limit:
        size = format_size(limit >> 10) if limit % 1024 == 0 else f"{limit} bytes"
        raise InputError(f"{what} is larger than {size}", where)
    return data


def read_text(path: Path, *, limit: int, what: str) -> str:
    """As `read_bytes`, and UTF-8; a byte-order mark is dropped. InputError names line and column of a wrong byte."""
    data = read_bytes(path, limit=limit, what=what).removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8")) + 1
        raise InputError(
            f"{what} is not UTF-8: byte 0x{data[error.start]:02x}",
            f"{_where(path)}:{line}:{column}",
            "save it as UTF-8",
        ) from error


def starts_with(path: Path, first: bytes) -> bool:
    """Whether a file's text begins so, white space and byte-order mark aside; False for a directory or nothing there.

    Standard input is looked at, not consumed. A fifo cannot be: False, as for a file that may not be read.
    """
    try:
        if is_standard_input(path):
            head = _peek(standard_input())
        elif path.is_file():
            with path.open("rb") as file:
                head = file.read(_HEAD)
        else:
            return False
    except (OSError, ValueError):
        return False
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(first)


def list_xml(directory: Path) -> tuple[Path, ...]:
    """The files *.xml of a directory, as `list_files` lists them."""
    return list_files(directory, suffix=".xml")


def list_files(directory: Path, *, suffix: str) -> tuple[Path, ...]:
    """The files of a directory that end so, sorted; no hidden ones, and nothing that is no file (a fifo would block).

    Raises InputError where there is no such directory, BackendError where it may not be read.
    """
    try:
        with os.scandir(directory) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.endswith(suffix) and not entry.name.startswith(".") and _is_file_or_dangles(entry)
            ]
    except ValueError as error:
        raise InputError("a directory's name cannot hold a NUL", str(directory)) from error
    except OSError as error:
        raise read_refusal(error, where=str(directory), what="directory") from error
    return tuple(directory / name for name in sorted(names))


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """As `write_bytes`; UTF-8, lone surrogates as backslash escapes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), mode=mode)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a file so that it is the old or the new one at any moment.

    A new file has `mode` less the umask, an existing one keeps mode, owner and extended attributes. "-", /dev/stdout,
    /dev/fd/N, character devices and fifos are written to plainly. Raises BackendError, for a symbolic link too;
    lets BrokenPipeError through.
    """
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            write_all(descriptor, data)
        elif is_stream(path):
            write_plainly(path, data)
        else:
            replace_file(path, data, mode=mode)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _write_refusal(error, path) from error


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Writes files into one directory, which is made if absent (its parent must be there): all of them, or none.

    None, as far as a file system lets us: every file stands complete beside its target before the first one is
    renamed, and a rename that fails undoes those before it. New files are the owner's alone (0600), old ones keep
    their mode. Raises InputError for a name that is no plain file name, BackendError for the rest.
    """
    for name in files:
        _demand_plain_name(name, directory)
    try:
        replace_files(directory, files, file_mode=_PRIVATE_FILE, folder_mode=_PRIVATE_FOLDER)
    except (OSError, ValueError) as error:
        path = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else directory
        raise _write_refusal(error, Path(path)) from error


def is_standard_input(path: Path) -> bool:
    """Whether a user means standard input by it."""
    return str(path) in _STANDARD_INPUT


def standard_input() -> BinaryIO:
    """The bytes of standard input; OSError where it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer


def read_refusal(error: OSError, *, where: str, what: str) -> NumaplanError:
    """Which failure to open or read a named file is the user's (InputError), and which the system's (BackendError)."""
    number = error.errno or 0
    if number in _NO_SUCH:
        return InputError(f"{what} cannot be read: {_NO_SUCH[number]}", where)
    if number in {errno.EACCES, errno.EPERM}:
        return BackendError(f"{what}: permission denied", where, "run as a user who may read it")
    return BackendError(f"{what} cannot be read: {_words(error)}", where)


def _peek(stream: BinaryIO) -> bytes:
    if isinstance(stream, BufferedReader):
        return stream.peek(_HEAD)
    if not stream.seekable():
        return b""
    start = stream.tell()
    head = stream.read(_HEAD)
    stream.seek(start)
    return head


def _is_file_or_dangles(entry: "os.DirEntry[str]") -> bool:
    """A dangling link is listed, so that reading it says what is wrong."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def _where(path: Path) -> str:
    return "standard input" if is_standard_input(path) else str(path)


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that a path means: opening it anew would write over what stands there already."""
    match = _DESCRIPTORS.fullmatch(str(path))
    return int(match[1]) if match else _NAMED_DESCRIPTORS.get(str(path))


def _demand_plain_name(name: str, directory: Path) -> None:
    try:
        long = len(name.encode("utf-8", "surrogateescape")) > _NAME_LIMIT
    except UnicodeEncodeError:
        long = True
    if long or name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise InputError(f"{name[:80]!a} is no plain file name", str(directory), "rename what it stands for")


def _write_refusal(error: OSError | ValueError, path: Path) -> BackendError:
    if not isinstance(error, OSError):
        return BackendError("cannot be written: a file name cannot hold a NUL", str(path))
    what, hint = _words(error), None
    match error.errno:
        case errno.ENOENT:
            what, hint = f"there is no directory {path.parent}", "make it first"
        case errno.ENOTDIR:
            what = f"{path.parent} is no directory"
        case errno.EEXIST:
            what, hint = "something else than a directory stands there", "name another one"
        case errno.ELOOP:
            what, hint = "it is a symbolic link", "name the file that it points to"
        case errno.EISDIR:
            what, hint = "it is a directory", "name a file in it"
    return BackendError(f"cannot be written: {what}", str(path), hint)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
