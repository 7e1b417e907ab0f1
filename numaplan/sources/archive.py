"""Host files in a tar, held in memory: what `HostTree` reads a captured archive from."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from numaplan.errors import InputError
from numaplan.sources.decompress import ArchiveError, Expanded, Readable
from numaplan.sources.files import is_standard_input, read_refusal, standard_input
from numaplan.sources.store import Kind, UnreadableError
from numaplan.sources.tar import Member, read_members

FOLDER_LIMIT: Final = 200_000


@dataclass(frozen=True, slots=True)
class _Link:
    target: str


@dataclass(frozen=True, slots=True)
class _Withheld:
    """A file whose content was not kept."""

    why: str


@dataclass(slots=True, eq=False)
class _Folder:
    entries: dict[str, "_Folder | bytes | _Link | _Withheld"] = field(default_factory=dict)


_Node = _Folder | bytes | _Link | _Withheld


class ArchiveStore:
    """The files of a tar below one of its folders."""

    def __init__(self, root: _Folder) -> None:
        self._root = root

    def kind(self, path: str) -> Kind:
        """What the archive holds at a path."""
        match self._node(path):
            case _Folder():
                return Kind.FOLDER
            case _Link():
                return Kind.LINK
            case _:
                return Kind.FILE

    def target(self, path: str) -> str:
        """A link's text."""
        node = self._node(path)
        if not isinstance(node, _Link):
            raise _fault(errno.EINVAL, path)
        return node.target

    def names(self, path: str) -> Sequence[str]:
        """The entries of a folder."""
        return list(self._folder(path).entries)

    def read(self, path: str) -> bytes:
        """A file's bytes, if they were kept."""
        match self._node(path):
            case bytes() as data:
                return data
            case _Withheld(why):
                raise UnreadableError(why)
            case _Folder():
                raise UnreadableError("is a directory")
            case _:
                raise _fault(errno.ELOOP, path)

    def below(self, path: str) -> "ArchiveStore":
        """The same files, seen from further down."""
        return ArchiveStore(self._folder(path))

    def _folder(self, path: str) -> _Folder:
        node = self._node(path)
        if not isinstance(node, _Folder):
            raise _fault(errno.ENOTDIR, path)
        return node

    def _node(self, path: str) -> _Node:
        node: _Node = self._root
        for name in path.split("/") if path else ():
            if not isinstance(node, _Folder):
                raise _fault(errno.ENOTDIR, path)
            child = node.entries.get(name)
            if child is None:
                raise _fault(errno.ENOENT, path)
            node = child
        return node


def open_archive(path: Path) -> ArchiveStore:
    """A tar (plain, gz, bz2, xz or zst, told by its content; "-" for standard input), read to its end.

    Raises InputError where there is none or it is damaged, hostile or too large; BackendError where it may not be read.
    """
    try:
        if is_standard_input(path):
            return read_archive(standard_input())
        with path.open("rb") as file:
            return read_archive(file)
    except ArchiveError as error:
        raise InputError(error.what, str(path), error.hint) from error
    except OSError as error:
        raise read_refusal(error, where=str(path), what="capture") from error


def read_archive(source: Readable) -> ArchiveStore:
    """A tar from a stream; raises ArchiveError."""
    root = _Folder()
    folders = 0
    for member in read_members(Expanded(source)):
        folders += _place(root, member)
        if folders > FOLDER_LIMIT:
            raise ArchiveError(f"holds more than {FOLDER_LIMIT} folders", "keep to the files of sys/ and proc/")
    return ArchiveStore(root)


def _place(root: _Folder, member: Member) -> int:
    """Puts a member where its name says, as extraction would: a later one replaces an earlier. Counts new folders."""
    made = 0
    folder = root
    for depth, name in enumerate(member.path[:-1]):
        child = folder.entries.get(name)
        if child is None:
            child = folder.entries[name] = _Folder()
            made += 1
        elif not isinstance(child, _Folder):
            below = "/".join(member.path[: depth + 1])
            what = "a symbolic link" if isinstance(child, _Link) else "a file"
            raise ArchiveError(
                f"member {'/'.join(member.path)!a} lies below {below!a}, which is {what}",
                "make the archive anew",
            )
        folder = child
    last = member.path[-1]
    present = folder.entries.get(last)
    if isinstance(present, _Folder):
        if member.kind is Kind.FOLDER:
            return made
        if present.entries:
            raise ArchiveError(
                f"member {'/'.join(member.path)!a} is a folder and a {member.kind}", "make the archive anew"
            )
    folder.entries[last] = _node(member)
    return made + (member.kind is Kind.FOLDER)


def _node(member: Member) -> _Node:
    if member.kind is Kind.FOLDER:
        return _Folder()
    if member.kind is Kind.LINK:
        return _Link(member.target)
    return member.data if member.data is not None else _Withheld(member.why or "not kept")


def _fault(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
