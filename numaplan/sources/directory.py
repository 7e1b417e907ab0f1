"""Host files in a directory: the live host's "/", or a capture that was unpacked."""

import os
import stat
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from numaplan.sources.store import NAMES_LIMIT, Kind, UnreadableError, limit_of

# Sysfs gives at most one page a read, and every attribute that a reader wants fits in one.
_CHUNK: Final = 1 << 14
# O_NONBLOCK: a file may have become a fifo since it was looked at, and /proc/kmsg would wait for the next message.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class DirectoryStore:
    """Files below a directory. No call follows a symbolic link in the last component of its path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = str(root).rstrip("/")

    def kind(self, path: str) -> Kind:
        """By lstat(2)."""
        return _kind(os.lstat(self._at(path)).st_mode)

    def target(self, path: str) -> str:
        """By readlink(2)."""
        return os.readlink(self._at(path))  # noqa: PTH115  (a Path would normalise the target)

    def names(self, path: str) -> Sequence[str]:
        """By getdents(2)."""
        with os.scandir(self._at(path)) as entries:
            names = [entry.name for entry in islice(entries, NAMES_LIMIT + 1)]
        if len(names) > NAMES_LIMIT:
            raise UnreadableError(f"more than {NAMES_LIMIT} entries")
        return names

    def read(self, path: str) -> bytes:
        """Regular files only: opening a device can have effects, opening a fifo can wait for ever."""
        where = self._at(path)
        _demand_file(os.lstat(where).st_mode)
        descriptor = os.open(where, _FLAGS)
        try:
            _demand_file(os.fstat(descriptor).st_mode)
            return _read_all(descriptor, limit_of(path))
        finally:
            os.close(descriptor)

    def below(self, path: str) -> "DirectoryStore":
        """The same directory, opened further down."""
        return DirectoryStore(self._root / path)

    def _at(self, path: str) -> str:
        return f"{self._prefix}/{path}"


def _read_all(descriptor: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, _CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise UnreadableError(f"larger than {limit >> 20} MiB")
    return b"".join(chunks)


def _demand_file(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise UnreadableError("is a directory" if stat.S_ISDIR(mode) else "is no regular file")


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    if stat.S_ISLNK(mode):
        return Kind.LINK
    return Kind.OTHER
