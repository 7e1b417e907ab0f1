"""Faults at every call by which the kernel is asked to change or sync something, and a disk that loses power.

Replaces the functions in this process for good: it is for a child that dies right after.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Protocol

CRASHED: Final = 77
COUNTED: Final = (
    *((os, name) for name in ("open", "write", "pwrite", "fsync", "rename", "replace", "unlink", "mkdir", "rmdir")),
    *((os, name) for name in ("link", "fchmod", "fchown", "setxattr", "ftruncate")),
    (fcntl, "flock"),
)
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What takes room on a disk.
_TAKES_ROOM: Final = {"open", "write", "pwrite", "mkdir", "link", "setxattr"}
ERRORS: Final = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EINTR": errno.EINTR}
CRASHES: Final = ("crash before", "crash after")
KINDS: Final = (*CRASHES, *ERRORS, "EIO after", "short write", "disk full from here on")

# Of which directories the names in memory are lost.
_LOST: Final[tuple[set[str], ...]] = ({"domains", "state"}, {"domains"}, {"state"}, set())
COMBINATIONS: Final = len(_LOST)


class Call(Protocol):
    """Any function of the list."""

    def __call__(self, *args: object, **options: object) -> object: ...


class Faults:
    """What happens at which call, counted from 1, and the calls that were made, by name.

    `links`: whether hard links can be made.
    """

    def __init__(self, plan: dict[int, str], *, disk: "Disk | None" = None, links: bool = True) -> None:
        self.calls: list[str] = []
        self._plan = plan
        self._disk = disk
        self._links = links
        self._full_from = min((at for at, kind in plan.items() if kind == "disk full from here on"), default=1 << 30)

    def install(self) -> "Faults":
        for module, name in COUNTED:
            setattr(module, name, self._before(name, getattr(module, name)))
        return self

    def lose_power(self) -> None:
        """What is on disk is all that there is; never returns."""
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.cut()
        os._exit(CRASHED)

    def _before(self, name: str, real: Call) -> Call:
        def call(*args: object, **options: object) -> object:
            if name == "open" and not (isinstance(args[1], int) and args[1] & _WRITES):
                return real(*args, **options)
            self.calls.append(name)
            result = self._done(name, real, args, options)
            if self._disk is not None:
                self._disk.after(name, args, result)
                if self._plan.get(len(self.calls)) == "power cut":
                    self.lose_power()
            return result

        return call

    def _done(self, name: str, real: Call, args: tuple[object, ...], options: dict[str, object]) -> object:
        number = len(self.calls)
        kind = self._plan.get(number, "")
        if number >= self._full_from and name in _TAKES_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if name == "link" and not self._links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        if kind in ERRORS:
            raise OSError(ERRORS[kind], os.strerror(ERRORS[kind]))
        if kind == "crash before":
            os._exit(CRASHED)
        if kind == "short write" and name == "write":
            return real(args[0], _half(args[1]))
        result = real(*args, **options)
        if kind == "crash after":
            os._exit(CRASHED)
        if kind == "EIO after":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return result


class Disk:
    """What would be on disk after a power cut, in the worst case: of a file its bytes at its last fsync, of a directory
    its names at its last fsync. Whatever was there at the start is on disk.

    A kernel may well have written more: `cut` makes every combination of names on disk and names in memory, the bytes
    being those on disk, for the two directories that matter.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._data: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._folders: set[int] = set()
        self._remember(root)

    def after(self, name: str, args: tuple[object, ...], result: object) -> None:
        if name == "fsync" and isinstance(args[0], int):
            found = os.fstat(args[0])
            if stat.S_ISDIR(found.st_mode):
                self._names[found.st_ino] = self._listed(args[0])
            else:
                self._data[found.st_ino] = _bytes_of(args[0])
        elif name == "open" and isinstance(result, int) and os.fstat(result).st_size == 0:
            # A new file may have the number of one that is gone.
            self._data.pop(os.fstat(result).st_ino, None)
            self._folders.discard(os.fstat(result).st_ino)
        elif name == "mkdir":
            for folder, below, _ in os.walk(self._root):
                for each in below:
                    self._folders.add(Path(folder, each).stat().st_ino)

    def cut(self) -> None:
        for number, lost in enumerate(_LOST):
            self._write(self._root.stat().st_ino, Path(f"{self._root}.cut{number}"), lost=lost, inside=None, now={})

    def _remember(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        number = os.fstat(descriptor).st_ino
        self._names[number] = self._listed(descriptor)
        os.close(descriptor)
        self._folders.add(number)
        for path in folder.iterdir():
            if path.is_dir():
                self._remember(path)
            else:
                self._data[path.stat().st_ino] = path.read_bytes()

    def _listed(self, descriptor: int) -> dict[str, int]:
        names = os.listdir(descriptor)
        return {name: os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_ino for name in names}

    def _write(self, number: int, to: Path, *, lost: set[str], inside: str | None, now: dict[str, int]) -> None:
        """`inside`: which of the two directories this one is in; outside of them names on disk count."""
        to.mkdir(mode=0o700)
        names = self._names.get(number, {}) if inside is None or inside in lost else now
        for name, inode in names.items():
            if inode in self._folders:
                path = self._find(inode)
                entries = {} if path is None else {each.name: each.lstat().st_ino for each in path.iterdir()}
                below = inside or (name if name in {"domains", "state"} else None)
                self._write(inode, to / name, lost=lost, inside=below, now=entries)
            else:
                (to / name).write_bytes(self._data.get(inode, b""))
                (to / name).chmod(0o600)

    def _find(self, inode: int) -> Path | None:
        """Where a directory is now; None for one that is gone."""
        for folder, below, _ in os.walk(self._root):
            for each in below:
                path = Path(folder, each)
                if path.lstat().st_ino == inode:
                    return path
        return None


def _bytes_of(descriptor: int) -> bytes:
    with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
        return file.read()


def _half(data: object) -> bytes:
    if not isinstance(data, bytes | memoryview):
        raise TypeError("bytes are written")
    whole = bytes(data)
    return whole[: len(whole) // 2]
