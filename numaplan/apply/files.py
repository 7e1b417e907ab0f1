"""A directory of domain XML files as the place where guests are defined."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from numaplan.apply.step import Kind
from numaplan.errors import BackendError, InputError
from numaplan.records.journal_form import is_plain_name
from numaplan.sources.folder import Folder, open_real_folder
from numaplan.sources.lock import lock_folder

SCHEME: Final = "file://"
_LIMIT: Final = 16 << 20


class FilesTarget:
    """The files of one directory, held open; see `Target`. Nothing outside of it is ever written."""

    def __init__(self, directory: Path, files: Mapping[str, Path]) -> None:
        """`files`: where each guest stands, as it was read from `directory`; others are no guests of this target.

        Raises BackendError where the directory cannot be opened.
        """
        self._folder: Final[Folder] = open_real_folder(directory)
        self._files: dict[str, str] = {}
        self.locate({guest: path.name for guest, path in files.items() if path.parent == directory})

    @classmethod
    def at(cls, address: str) -> "FilesTarget":
        """The directory that `address` names; its guests are told by `locate`. Raises InputError, BackendError."""
        path = os.fsdecode(unquote_to_bytes(address.removeprefix(SCHEME)))
        if not address.startswith(f"{SCHEME}/") or "\0" in path:
            raise InputError("no address of a directory", address[:200])
        return cls(Path(path), {})

    @property
    def address(self) -> str:
        """The URI of the directory by its real name."""
        return self._folder.path.as_uri()

    def locked(self, *, timeout_s: float) -> AbstractContextManager[None]:
        """Locks the directory itself; raises BackendError where another run has it."""
        return lock_folder(self._folder, timeout_s=timeout_s)

    def file_of(self, guest: str) -> str | None:
        """The plain name of its file."""
        return self._files.get(guest)

    def locate(self, files: Mapping[str, str]) -> None:
        """Adds to the files that are known; raises InputError for a name that is no plain one, or of two guests."""
        for guest, name in sorted(files.items()):
            if not is_plain_name(name):
                raise InputError(f"{name[:80]!a} is no plain file name", str(self._folder.path))
            if self._files.get(guest, name) != name:
                raise InputError(f'guest "{guest}" stands in {self._files[guest]} and {name}', str(self._folder.path))
            self._files[guest] = name
        if len(set(self._files.values())) != len(self._files):
            raise InputError("two guests stand in one file", str(self._folder.path), "give each a file of its own")

    def read(self, guest: str, kind: Kind) -> bytes | None:
        """The bytes of its file; None where there is none."""
        _refuse_pins(kind, self.address)
        name = self._files.get(guest)
        return None if name is None else self._folder.read(name, limit=_LIMIT)

    def write(self, guest: str, kind: Kind, data: bytes) -> None:
        """Exchanges the file: a crash or power cut leaves the old or the new one whole, and on return it is durable.

        Bytes that the file had before, in this transaction, are put back as the very file that had them: that takes
        no room, so that a disk that is full keeps nobody from rolling back.
        """
        _refuse_pins(kind, self.address)
        name = self._files.get(guest)
        if name is None:
            raise BackendError(f'no file of guest "{guest}" is known', str(self._folder.path))
        temporary, spare = _beside(name)
        if self._folder.has(spare) and self._folder.has(name) and self._folder.read(spare, limit=_LIMIT) == data:
            self._folder.bring_back(spare, name)
        else:
            self._folder.exchange(name, data, temporary=temporary, spare=spare)

    def same(self, kind: Kind, one: bytes, other: bytes) -> bool:
        """Byte for byte."""
        _refuse_pins(kind, self.address)
        return one == other

    def may_be(self, kind: Kind, now: bytes, *, old: bytes, written: bytes) -> bool:
        """A write is whole or not at all, and a file is what was written."""
        _refuse_pins(kind, self.address)
        return now in {old, written}

    def reopen(self) -> None:
        """There is nothing to connect to."""

    def settle(self) -> None:
        """Removes the temporary files and spares of the guests that are known, durably; raises BackendError."""
        removed = [self._folder.discard(each) for name in sorted(self._files.values()) for each in _beside(name)]
        if any(removed):
            self._folder.sync()


def _beside(name: str) -> tuple[str, str]:
    """The names of a file's temporary and spare: hidden, short enough, and the same in the run after a crash."""
    stem = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f".numaplan-{stem}.new", f".numaplan-{stem}.old"


def _refuse_pins(kind: Kind, address: str) -> None:
    if kind is not Kind.DEFINITION:
        raise BackendError("a file has no threads to pin", address, "give --connect for guests that run")
