"""What a reader takes of a host, recorded while it is taken: exactly what a capture must hold to replay the same."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from numaplan.sources.store import Kind, Store, UnreadableError, join

NUMBERS: Final[Mapping[str, int]] = {name: number for number, name in errno.errorcode.items()}
_ABSENT: Final = frozenset({"ENOENT", "ENOTDIR"})

_T = TypeVar("_T")


class Call(StrEnum):
    """The questions that a `Store` answers."""

    KIND = "kind"
    TARGET = "target"
    NAMES = "names"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call failed: the kernel's errno by name ("EACCES"), or our own refusal in words."""

    errno: str | None = None
    why: str | None = None

    def error(self, path: str) -> Exception:
        """The exception that the call raised."""
        if self.errno is None:
            return UnreadableError(self.why or "not readable")
        number = NUMBERS[self.errno]
        return OSError(number, os.strerror(number), path)


@dataclass(slots=True)
class Recording:
    """Files, links and folders by path, and the calls that failed, but for what was simply not there.

    `unread`: names of files that a folder was seen to hold and whose text nobody asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    faults: dict[tuple[Call, str], Fault] = field(default_factory=dict)
    unread: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def empty(self) -> frozenset[str]:
        """Folders in which nothing stands."""
        paths = (*self.files, *self.links, *self.folders)
        return frozenset(self.folders.difference({"", *(path.rpartition("/")[0] for path in paths)}))


class RecordingStore:
    """Another store whose answers are kept."""

    def __init__(self, base: Store) -> None:
        self._base = base
        self._kinds: dict[str, Kind] = {}
        self._listings: dict[str, Sequence[str]] = {}
        self._recording = Recording()

    def kind(self, path: str) -> Kind:
        """The base's."""
        kind = self._kinds[path] = self._asked(Call.KIND, path, lambda: self._base.kind(path))
        return kind

    def target(self, path: str) -> str:
        """The base's."""
        target = self._recording.links[path] = self._asked(Call.TARGET, path, lambda: self._base.target(path))
        return target

    def names(self, path: str) -> Sequence[str]:
        """The base's."""
        names = self._listings[path] = self._asked(Call.NAMES, path, lambda: self._base.names(path))
        return names

    def read(self, path: str) -> bytes:
        """The base's."""
        data = self._recording.files[path] = self._asked(Call.READ, path, lambda: self._base.read(path))
        return data

    def below(self, path: str) -> "RecordingStore":
        """A new recording, of the base's files further down."""
        return RecordingStore(self._base.below(path))

    def recording(self) -> Recording:
        """All that was asked so far, and what listed folders hold besides: empty folders, links, names of files."""
        known = self._recording
        unasked = self._unasked()
        kinds = dict.fromkeys(self._listings, Kind.FOLDER) | self._kinds | unasked
        unread: dict[str, set[str]] = {}
        for path in [path for path, kind in unasked.items() if kind is Kind.FILE and path not in known.files]:
            folder, _, name = path.rpartition("/")
            unread.setdefault(folder, set()).add(name)
            del kinds[path]
        known.unread = {folder: frozenset(names) for folder, names in unread.items()}
        for path, kind in kinds.items():
            match kind:
                case Kind.FOLDER:
                    known.folders.add(path)
                case Kind.LINK:
                    if path not in known.links:
                        known.links[path] = self._unasked_target(path)
                case Kind.FILE | Kind.OTHER:
                    # Looked at, perhaps refused: it must be there again.
                    known.files.setdefault(path, b"")
        for _, path in known.faults:
            if path not in kinds and self._is_listed(path):
                known.files.setdefault(path, b"")
        for (call, path), fault in list(known.faults.items()):
            if fault.errno in _ABSENT and path not in kinds and not self._is_listed(path):
                del known.faults[call, path]
        return known

    def _unasked(self) -> dict[str, Kind]:
        found: dict[str, Kind] = {}
        for path in (join(folder, name) for folder, names in self._listings.items() for name in names):
            if path not in self._kinds:
                with suppress(OSError, UnreadableError):
                    found[path] = self._base.kind(path)
        return found

    def _unasked_target(self, path: str) -> str:
        try:
            return self._base.target(path)
        except OSError:
            return "."

    def _is_listed(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._listings.get(folder, ())

    def _asked(self, call: Call, path: str, answer: Callable[[], _T]) -> _T:
        try:
            given = answer()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "EIO")
            self._recording.faults[call, path] = Fault(errno=name)
            raise
        except UnreadableError as error:
            self._recording.faults[call, path] = Fault(why=error.why)
            raise
        # The host may have been busy the first time.
        self._recording.faults.pop((call, path), None)
        return given


@dataclass(frozen=True, slots=True)
class Beside:
    """What a capture's files do not show: calls that failed, names of files not read, by folder, and empty folders.

    Empty folders stand in a tar, but not in a repository that one is unpacked into.
    """

    faults: Mapping[tuple[Call, str], Fault]
    unread: Mapping[str, frozenset[str]]
    empty: frozenset[str]


class ReplayingStore:
    """A capture's files, and what stands beside them."""

    def __init__(self, base: Store, beside: Beside) -> None:
        self._base = base
        self._faults = beside.faults
        self._unread = beside.unread
        self._folders: dict[str, set[str]] = {"": set()}
        for folder in beside.empty:
            self._add_folder(folder)

    def kind(self, path: str) -> Kind:
        """The base's; a file that was not read is one all the same, a folder that is empty too."""
        self._fail(Call.KIND, path)
        if path in self._folders:
            return Kind.FOLDER
        return Kind.FILE if self._is_unread(path) else self._base.kind(path)

    def target(self, path: str) -> str:
        """The base's."""
        self._fail(Call.TARGET, path)
        return self._base.target(path)

    def names(self, path: str) -> Sequence[str]:
        """The base's, the files that were not read, and folders that are empty."""
        self._fail(Call.NAMES, path)
        beside = self._unread.get(path, frozenset()) | self._folders.get(path, frozenset())
        if not beside and path not in self._folders:
            return self._base.names(path)
        try:
            names = self._base.names(path)
        except FileNotFoundError:
            names = ()
        return [*names, *beside.difference(names)]

    def read(self, path: str) -> bytes:
        """The base's; UnreadableError for a file that was not read then."""
        self._fail(Call.READ, path)
        if self._is_unread(path):
            raise UnreadableError("its text is not in the capture, which holds what an earlier version read")
        return self._base.read(path)

    def below(self, path: str) -> Store:
        """The base's: what stands beside is of the whole host."""
        return self._base.below(path)

    def _add_folder(self, path: str) -> None:
        """It, and those that it stands in."""
        self._folders.setdefault(path, set())
        while path:
            folder, _, name = path.rpartition("/")
            self._folders.setdefault(folder, set()).add(name)
            path = folder

    def _is_unread(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._unread.get(folder, ())

    def _fail(self, call: Call, path: str) -> None:
        fault = self._faults.get((call, path))
        if fault is not None:
            raise fault.error(path)
