"""`HostTree`, the one door to /sys and /proc: a live host, a captured directory and a tar look the same to a reader.

What is absent, what is forbidden and what is broken is decided here and nowhere else.
"""

import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from numaplan.model.host import Source
from numaplan.model.snapshot import Gap
from numaplan.sources.opening import open_store
from numaplan.sources.store import AheadStore, Kind, Store, UnreadableError, join, rows_path

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
_DOTS: Final = frozenset({"", ".", ".."})
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
class _Failure:
    """Why there is no text, None where the file is absent. `unsaid`: the kernel answered EINVAL."""

    why: str | None
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
        self._ahead = store if isinstance(store, AheadStore) else None
        self._texts: dict[str, str] = {}
        self._failures: dict[str, _Failure] = {}
        self._listings: dict[str, tuple[str, ...]] = {}
        # What was read by another path, by the one that it really has.
        self._real_texts: dict[str, str] = {}
        self._real_listings: dict[str, tuple[str, ...]] = {}
        # Where paths really lead, and how many links were met on the way; and which paths are folders without any.
        self._ways: dict[str, tuple[str, int]] = {"": ("", 0)}
        self._folders: set[str] = {""}
        self._gaps: set[Gap] = set()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be read or made sense of so far, sorted, without doubles."""
        return tuple(sorted(self._gaps))

    @property
    def opened(self) -> tuple[str, ...]:
        """Every path whose text was read so far, sorted, as it was asked for (a link in it is not resolved)."""
        return tuple(sorted(self._texts))

    @property
    def texts(self) -> Mapping[str, str]:
        """What was read so far, by path."""
        return MappingProxyType(self._texts)

    def text(self, path: str, *, optional: bool = False, expected: bool = False, spare: bool = False) -> str | None:
        """A file's text, nothing stripped; None where it is absent, and with a `Gap` where it is forbidden or broken.

        `expected`: every kernel of today has it on such a host, so its absence leaves a `Gap` too.
        `optional`: EINVAL is the kernel's way of saying nothing, as for the speed of a link that is down
        (Documentation/ABI/testing/sysfs-class-net), and leaves no `Gap`.
        `spare`: other files say the same, and are asked where this one fails, which leaves no `Gap`.
        Bytes that are no UTF-8 become surrogates (errors="surrogateescape").
        """
        text = self._texts.get(path)
        if text is None:
            path = path.strip("/")
            text = self._text(path)
        if text is None:
            failure = self._failures[path]
            if spare:
                return None
            if failure.why is not None and not (optional and failure.unsaid):
                self.note(path, failure.why)
            elif expected:
                self.note(path, "not there")
        return text

    def is_absent(self, path: str) -> bool:
        """Whether a file is simply not there: it can neither be read nor does its failure leave a `Gap`."""
        return self.text(path) is None and self._failures[path.strip("/")].why is None

    def rows(self, name: str) -> object | None:
        """What another source than files said ("netlink"), as decoded JSON; None where it said nothing.

        The live host's doors are opened here; a capture holds what they said then. A `Gap` for one that failed or
        whose rows are not JSON bears the name of the source.
        """
        path = rows_path(name)
        text = self._text(path)
        if text is None:
            why = self._failures[path].why
            if why is not None:
                self.note(name, why)
            return None
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.note(name, f"not JSON: {error}")
            return None
        return document

    def names(self, path: str) -> tuple[str, ...]:
        """The entries of a directory, sorted; () where it is absent or no directory."""
        names = self._listings.get(path)
        if names is None:
            path = path.strip("/")
            names = self._listings.get(path)
        if names is None:
            names = self._listings[path] = self._list(path)
        return names

    def read_ahead(self, folder: str, names: Iterable[str]) -> None:
        """Tells that these files of a listed directory are going to be asked for: the store may read them at once.

        A fault there is found again, and told, by who asks for the file.
        """
        if self._ahead is None or folder not in self._folders:
            return
        untold = [name for name in names if f"{folder}/{name}" not in self._texts]
        for path, data in self._ahead.read_ahead(folder, untold).items():
            self._texts[path] = data.decode("utf-8", "surrogateescape")

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
            folder, last, _ = self._last(path)
            there = join(folder, last)
            if last in _DOTS or self._kind(there) is not Kind.LINK:
                return None
            name = self._store.target(there).rstrip("/").rpartition("/")[2]
        except OSError as error:
            self._refused(path, error)
            return None
        return None if name in {"", ".", ".."} else name

    def note(self, path: str, why: str) -> None:
        """Records something that could not be read or made sense of."""
        self._gaps.add(Gap(what=path, why=why))

    def _list(self, path: str) -> tuple[str, ...]:
        try:
            try:
                return self._names(path)
            except OSError as error:
                return _again(self._names, path, error)
        except OSError as error:
            self._refused(path, error)
        except UnreadableError as error:
            self.note(path, error.why)
        return ()

    def _names(self, path: str) -> tuple[str, ...]:
        real = self._real(path)
        names = self._listings.get(real)
        if names is None:
            names = self._real_listings.get(real)
        if names is None:
            names = tuple(sorted(self._store.names(real)))
        if real != path:
            self._real_listings[real] = names
        return names

    def _text(self, path: str) -> str | None:
        text = self._texts.get(path)
        if text is not None or path in self._failures:
            return text
        try:
            try:
                text = self._read(path)
            except OSError as error:
                text = _again(self._read, path, error)
        except OSError as error:
            self._failures[path] = _Failure(_why(error) or self._gone(path, error), unsaid=error.errno == errno.EINVAL)
        except UnreadableError as error:
            self._failures[path] = _Failure(error.why)
        else:
            self._texts[path] = text
            return text
        return None

    def _read(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        # The everyday case, without a link: what `_real` would find, in fewer steps.
        if folder in self._folders and name not in _DOTS and "\0" not in name and path not in self._real_texts:
            try:
                return self._store.read(path).decode("utf-8", "surrogateescape")
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
        real = self._real(path)
        text = self._texts.get(real)
        if text is None:
            text = self._real_texts.get(real)
        if text is None:
            text = self._store.read(real).decode("utf-8", "surrogateescape")
        if real != path:
            self._real_texts[real] = text
        return text

    def _gone(self, path: str, error: OSError) -> str | None:
        """A file that its folder lists, but that is not there: the host changed in between, or a link dangles."""
        folder, _, name = path.rpartition("/")
        listed = error.errno == errno.ENOENT and name in self._listings.get(folder, ())
        return "listed, but not there (ENOENT)" if listed else None

    def _refused(self, path: str, error: OSError) -> None:
        why = _why(error)
        if why is not None:
            self.note(path, why)

    def _real(self, path: str) -> str:
        if path in self._folders:
            return path
        way = self._ways.get(path)
        if way is not None:
            return way[0]
        folder, name, hops = self._last(path)
        if name not in _DOTS:
            there = f"{folder}/{name}" if folder else name
            if there in self._folders:
                return there
            kind = self._store.kind(there)
            if kind is Kind.FOLDER:
                self._folders.add(there)
            if kind is not Kind.LINK:
                return there
        way = self._ways[path] = self._walk(folder, name, hops=hops)
        return way[0]

    def _last(self, path: str) -> tuple[str, str, int]:
        """The real folder of a path's last component, that component, and how many links were met so far."""
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, "no path holds a NUL", path)
        if len(path) > _PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        parent, _, name = path.rpartition("/")
        folder, hops = (parent, 0) if parent in self._folders else self._ways.get(parent) or self._way(parent)
        return folder, name, hops

    def _way(self, folder: str) -> tuple[str, int]:
        """Where a folder really is, one component after the other from the nearest that is known."""
        missing = []
        while folder not in self._folders and folder not in self._ways:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        way = (folder, 0) if folder in self._folders else self._ways[folder]
        for whole in reversed(missing):
            way = self._walk(way[0], whole.rpartition("/")[2], hops=way[1])
            if way[0] not in self._folders:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), whole)
            if way[0] != whole:
                self._ways[whole] = way
        return way

    def _walk(self, start: str, path: str, *, hops: int) -> tuple[str, int]:
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
            kind = self._kind(there)
            if kind is Kind.LINK:
                hops += 1
                target = self._store.target(there)
                if hops > _HOPS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                here, rest = self._leap(here, target)
                todo.extend(rest.split("/")[::-1])
            elif todo and kind is not Kind.FOLDER:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                here = there
        return here, hops

    def _leap(self, here: str, target: str) -> tuple[str, str]:
        """Where a link in the real folder `here` starts, and what is left to walk: a folder known to be real is not
        walked again. Nothing above a real folder is a link, so ".." needs no look either.
        """
        if target.startswith("/"):
            here = ""
        while target.startswith("../"):
            here = here.rpartition("/")[0]
            target = target[3:]
        head, _, last = target.rpartition("/")
        folder = join(here, head)
        return (folder, last) if head and folder in self._folders else (here, target)

    def _kind(self, path: str) -> Kind:
        if path in self._folders:
            return Kind.FOLDER
        kind = self._store.kind(path)
        if kind is Kind.FOLDER:
            self._folders.add(path)
        return kind


def open_tree(path: Path | None) -> HostTree:
    """The host of `open_store`; raises InputError, BackendError."""
    return HostTree(*open_store(path))


def _again(action: Callable[[str], _T], path: str, error: OSError) -> _T:
    """Once more, and again, where the kernel was only busy; raises what the last try met."""
    for _ in range(_RETRIES):
        if error.errno not in _AGAIN:
            break
        time.sleep(_PAUSE_S)
        try:
            return action(path)
        except OSError as met:
            error = met
    raise error


def _why(error: OSError) -> str | None:
    """Plain words for a fault; None where the file is simply not there."""
    if error.errno in _ABSENT:
        return None
    number = error.errno or 0
    words = _WORDS.get(number) or os.strerror(number).lower()
    return f"{words} ({errno.errorcode.get(number, number)})"
