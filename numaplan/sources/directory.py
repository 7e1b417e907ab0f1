"""Host files in a directory: the live host's "/", or a capture that was unpacked."""

import errno
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

from numaplan.sources.store import NAMES_LIMIT, Kind, UnreadableError, limit_of

# Sysfs gives at most one page a read, and every attribute that a reader wants fits in one.
_CHUNK: Final = 1 << 14
_PAGE: Final = 4096
# An attribute here is given whole, or a page of it (for the latter single_open() in kernel/irq/proc.c); other files in
# /proc may give a line at a time.
_WHOLE: Final = ("sys/", "proc/irq/")
_REMEMBERED: Final = 1024
_NOTHING: Final[Mapping[str, os.DirEntry[str]]] = MappingProxyType({})
# O_NONBLOCK: a file may have become a fifo since it was looked at, and /proc/kmsg would wait for the next message.
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class DirectoryStore:
    """Files below a directory. No call follows a symbolic link in the last component of its path.

    What the listing of a folder has told of a file's kind is not asked for again: a file that changes its kind between
    the listing and the reading is read no further than its limit, and nothing waits for it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = str(root).rstrip("/")
        # The entries of the folders listed last: what is read of a folder is mostly read right after it was listed.
        self._entries: dict[str, dict[str, os.DirEntry[str]]] = {}

    def kind(self, path: str) -> Kind:
        """By what the folder's listing said, else by lstat(2)."""
        entry = self._entry(path)
        if entry is None:
            return _kind(os.lstat(self._at(path)).st_mode)
        return Kind.FILE if entry.is_file(follow_symlinks=False) else _other_kind(entry)

    def target(self, path: str) -> str:
        """By readlink(2)."""
        return os.readlink(self._at(path))  # noqa: PTH115  (a Path would normalise the target)

    def names(self, path: str) -> Sequence[str]:
        """By getdents(2), which tells the kinds too, but on a few file systems that need a look at each entry."""
        with os.scandir(self._at(path)) as entries:
            listed = {entry.name: entry for entry in islice(entries, NAMES_LIMIT + 1)}
        if len(listed) > NAMES_LIMIT:
            raise UnreadableError(f"more than {NAMES_LIMIT} entries")
        if len(self._entries) >= _REMEMBERED:
            self._entries.clear()
        self._entries[path] = listed
        return list(listed)

    def read(self, path: str) -> bytes:
        """Regular files only: opening a device can have effects, opening a fifo can wait for ever."""
        where = f"{self._prefix}/{path}"
        folder, _, name = path.rpartition("/")
        listed = self._entries.get(folder)
        entry = None if listed is None else listed.get(name)
        if entry is None or not entry.is_file(follow_symlinks=False):
            _demand_file(os.lstat(where).st_mode, path)
        descriptor = os.open(where, _FLAGS)
        try:
            data = os.read(descriptor, _CHUNK)
            if not data:  # the one thing that a fifo says which nobody writes to
                _demand_file(os.fstat(descriptor).st_mode, path)
            if not data or (len(data) < _PAGE and path.startswith(_WHOLE)) or not (more := os.read(descriptor, _CHUNK)):
                return data
            return _read_on(descriptor, [data, more], limit=limit_of(path))
        except IsADirectoryError:
            raise UnreadableError("is a directory") from None
        finally:
            os.close(descriptor)

    def read_ahead(self, folder: str, names: Iterable[str]) -> Mapping[str, bytes]:
        """Files of less than a page, which is what an attribute has."""
        listed = self._entries.get(folder, _NOTHING)
        found: dict[str, bytes] = {}
        for name in names:
            entry = listed.get(name)
            if entry is None or not entry.is_file(follow_symlinks=False):
                continue
            try:
                descriptor = os.open(entry.path, _FLAGS)
                try:
                    data = os.read(descriptor, _PAGE)
                finally:
                    os.close(descriptor)
            except OSError:
                continue
            if 0 < len(data) < _PAGE:
                found[f"{folder}/{name}"] = data
        return found

    def below(self, path: str) -> "DirectoryStore":
        """The same directory, opened further down."""
        return DirectoryStore(self._root / path)

    def _entry(self, path: str) -> os.DirEntry[str] | None:
        folder, _, name = path.rpartition("/")
        listed = self._entries.get(folder)
        return None if listed is None else listed.get(name)

    def _at(self, path: str) -> str:
        return f"{self._prefix}/{path}"


def _read_on(descriptor: int, chunks: list[bytes], *, limit: int) -> bytes:
    size = sum(map(len, chunks))
    while chunk := os.read(descriptor, _CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise UnreadableError(f"larger than {limit >> 20} MiB")
    return b"".join(chunks)


def _demand_file(mode: int, path: str) -> None:
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if not stat.S_ISREG(mode):
        raise UnreadableError("is a directory" if stat.S_ISDIR(mode) else "is no regular file")


def _other_kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    return Kind.FOLDER if entry.is_dir(follow_symlinks=False) else Kind.OTHER


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    if stat.S_ISLNK(mode):
        return Kind.LINK
    return Kind.OTHER
