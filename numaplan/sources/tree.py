"""`HostTree`, the one door to /sys and /proc: a live host, a captured directory and a tar look the same to a reader.

What is absent, what is forbidden and what is broken is decided here and nowhere else.
"""

import errno
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from numaplan.model.host import Source
from numaplan.model.snapshot import Gap
from numaplan.sources.opening import open_store
from numaplan.sources.store import Kind, Store, UnreadableError, join, rows_path

# The file is not there, or belongs to a device or process that has gone (ENODEV, ENXIO, ESRCH), or the driver has no
# such fact to tell (EOPNOTSUPP: phys_port_name and its kin in net/core/net-sysfs.c).
_ABSENT: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESRCH,
        errno.EOPNOTSUPP,
        errno.ENAMETOOLONG,
    }
)
_AGAIN: Final = frozenset({errno.EAGAIN, errno.EBUSY, errno.EINTR})
_RETRIES: Final = 3
_PAUSE_S: Final = 0.002
# As path_resolution(7): Linux gives up at the forty-first link.
_HOPS: Final = 40
_PATH_LIMIT: Final = 4096
_WORDS: Final = {
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EIO: "input/output error",
    errno.EINVAL: "the kernel refuses to read it",
    errno.EBUSY: "busy",
    errno.EAGAIN: "busy",
    errno.ELOOP: "symbolic links go in a circle",
}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Reading:
    """Text, or why there is none: both None where the file is absent. `unsaid`: the kernel answered EINVAL."""

    text: str | None
    why: str | None = None
    unsaid: bool = False


class HostTree:
    """The files of one host, by paths such as "sys/devices/system/cpu/online".

    Symbolic links are followed as in a chroot: an absolute target starts at the root of the tree, and ".." stays in
    it. Nothing here raises for a file that is absent, forbidden or broken; the last two leave a `Gap`.
    Each file and directory is read at most once.
    """

    def __init__(self, store: Store, source: Source) -> None:
        self.source = source
        self._store = store
        self._readings: dict[str, _Reading] = {}
        self._listings: dict[str, tuple[str, ...]] = {}
        self._parents: dict[str, tuple[str, int]] = {"": ("", 0)}
        self._gaps: set[Gap] = set()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be read or made sense of so far, sorted, without doubles."""
        return tuple(sorted(self._gaps))

    @property
    def opened(self) -> tuple[str, ...]:
        """Every path whose text was read so far, sorted, as it was asked for (a link in it is not resolved)."""
        return tuple(sorted(path for path, reading in self._readings.items() if reading.text is not None))

    def text(self, path: str, *, optional: bool = False, expected: bool = False) -> str | None:
        """A file's text, nothing stripped; None where it is absent, and with a `Gap` where it is forbidden or broken.

        `expected`: every kernel of today has it on such a host, so its absence leaves a `Gap` too.
        `optional`: EINVAL is the kernel's way of saying nothing, as for the speed of a link that is down
        (Documentation/ABI/testing/sysfs-class-net), and leaves no `Gap`.
        Bytes that are no UTF-8 become surrogates (errors="surrogateescape").
        """
        path = path.strip("/")
        reading = self._readings.get(path)
        if reading is None:
            reading = self._readings[path] = self._read(path)
        if reading.why is not None and not (optional and reading.unsaid):
            self.note(path, reading.why)
        elif expected and reading.text is None:
            self.note(path, "not there")
        return reading.text

    def rows(self, name: str) -> object | None:
        """What another source than files said ("netlink"), as decoded JSON; None where it said nothing.

        The live host's doors are opened here; a capture holds what they said then. A `Gap` for one that failed or
        whose rows are no JSON bears the name of the source.
        """
        path = rows_path(name)
        reading = self._readings.get(path)
        if reading is None:
            reading = self._readings[path] = self._read(path)
        if reading.text is None:
            if reading.why is not None:
                self.note(name, reading.why)
            return None
        try:
            document: object = json.loads(reading.text)
        except (ValueError, RecursionError) as error:
            self.note(name, f"no JSON: {error}")
            return None
        return document

    def names(self, path: str) -> tuple[str, ...]:
        """The entries of a directory, sorted; () where it is absent or no directory."""
        path = path.strip("/")
        names = self._listings.get(path)
        if names is None:
            names = self._listings[path] = self._list(path)
        return names

    def exists(self, path: str) -> bool:
        """Whether something stands there once links are followed."""
        return self.resolve(path) is not None

    def resolve(self, path: str) -> str | None:
        """The path inside the tree once links are followed; None where it dangles."""
        path = path.strip("/")
        try:
            return self._real(path)
        except OSError as error:
            self._refused(path, error)
            return None

    def link_name(self, path: str) -> str | None:
        """The last component of a symbolic link's text, even if its target is not in the tree; None for no link."""
        path = path.strip("/")
        try:
            real = self._real(path, follow=False)
            if self._store.kind(real) is not Kind.LINK:
                return None
            name = self._store.target(real).rstrip("/").rpartition("/")[2]
        except OSError as error:
            self._refused(path, error)
            return None
        return None if name in {"", ".", ".."} else name

    def note(self, path: str, why: str) -> None:
        """Records something that could not be read or made sense of."""
        self._gaps.add(Gap(what=path, why=why))

    def _list(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(_patiently(lambda: self._store.names(self._real(path)))))
        except OSError as error:
            self._refused(path, error)
        except UnreadableError as error:
            self.note(path, error.why)
        return ()

    def _read(self, path: str) -> _Reading:
        try:
            data = _patiently(lambda: self._store.read(self._real(path)))
        except OSError as error:
            return _Reading(None, _why(error) or self._gone(path, error), unsaid=error.errno == errno.EINVAL)
        except UnreadableError as error:
            return _Reading(None, error.why)
        return _Reading(data.decode("utf-8", "surrogateescape"))

    def _gone(self, path: str, error: OSError) -> str | None:
        """A file that its folder lists, but that is not there: the host changed in between, or a link dangles."""
        folder, _, name = path.rpartition("/")
        listed = error.errno == errno.ENOENT and name in self._listings.get(folder, ())
        return "listed, but not there (ENOENT)" if listed else None

    def _refused(self, path: str, error: OSError) -> None:
        why = _why(error)
        if why is not None:
            self.note(path, why)

    def _real(self, path: str, *, follow: bool = True) -> str:
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, "no path holds a NUL", path)
        if len(path) > _PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        parent, _, name = path.rpartition("/")
        start = self._parents.get(parent)
        if start is None:
            start = self._parents[parent] = self._walk("", parent, follow=True, hops=0)
        return self._walk(start[0], name, follow=follow, hops=start[1])[0]

    def _walk(self, start: str, path: str, *, follow: bool, hops: int) -> tuple[str, int]:
        """`path` from the real folder `start`, and the number of links met; the kernel's path_resolution(7)."""
        here = start
        todo = path.split("/")[::-1]
        while todo:
            name = todo.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                here = here.rpartition("/")[0]
                continue
            there = join(here, name)
            kind = self._store.kind(there)
            if kind is Kind.LINK and (follow or todo):
                hops += 1
                target = self._store.target(there)
                if hops > _HOPS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target.startswith("/"):
                    here = ""
                todo.extend(target.split("/")[::-1])
            elif todo and kind is not Kind.FOLDER:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                here = there
        return here, hops


def open_tree(path: Path | None) -> HostTree:
    """The host of `open_store`; raises InputError, BackendError."""
    return HostTree(*open_store(path))


def _patiently(action: Callable[[], _T]) -> _T:
    for _ in range(_RETRIES):
        try:
            return action()
        except OSError as error:
            if error.errno not in _AGAIN:
                raise
            time.sleep(_PAUSE_S)
    return action()


def _why(error: OSError) -> str | None:
    """Plain words for a fault; None where the file is simply not there."""
    if error.errno in _ABSENT:
        return None
    number = error.errno or 0
    words = _WORDS.get(number) or os.strerror(number).lower()
    return f"{words} ({errno.errorcode.get(number, number)})"
