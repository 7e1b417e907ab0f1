"""A directory held open, and durable changes in it: whatever comes to stand at its path, they go into this one.

Raises BackendError. Nothing is written through a symbolic link, and an fsync that fails is a failure.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from numaplan.errors import BackendError
from numaplan.sources.atomic import write_all

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A fifo would block without O_NONBLOCK.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = 0o600
_FOLDER: Final = 0o700
_CHUNK: Final = 1 << 20
# Signatures of the old content; a new one has its own.
_OF_CONTENT: Final = frozenset({"security.ima", "security.evm"})
_NO_ATTRIBUTES: Final = (errno.ENOTSUP, errno.ENOSYS)
# A file system without hard links, or a file that has as many as it can or may have.
_NO_LINK: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_HINTS: Final = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EACCES: "run as a user who may",
    errno.EPERM: "run as a user who may",
}


class Folder:
    """One directory, open until it is closed or nobody has it any more; names in it are plain ones."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self._descriptor = descriptor

    def __del__(self) -> None:
        """Gives the descriptor back, and with it the lock that it may have."""
        self.close()

    @property
    def descriptor(self) -> int:
        """For locks."""
        return self._descriptor

    def close(self) -> None:
        """For good; harmless the second time."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def status(self) -> os.stat_result:
        """Whose it is, and who may write there."""
        with _told(self.path, "looked at"):
            return os.fstat(self._descriptor)

    def is_in_place(self) -> bool:
        """Whether its path still leads to it."""
        try:
            there = self.path.lstat()
        except OSError:
            return False
        return os.path.samestat(there, self.status())

    def make_private(self) -> None:
        """Takes everybody else's rights away."""
        with _told(self.path, "made private"):
            if stat.S_IMODE(os.fstat(self._descriptor).st_mode) != _FOLDER:
                os.fchmod(self._descriptor, _FOLDER)

    def names(self) -> tuple[str, ...]:
        """Everything in it, sorted."""
        with _told(self.path, "listed"):
            return tuple(sorted(os.listdir(self._descriptor)))  # noqa: PTH208  # by descriptor, not by path

    def has(self, name: str) -> bool:
        """Whether anything of that name stands in it; a dangling link too."""
        with _told(self.path / name, "looked at"):
            return self._look(name) is not None

    def folder(self, name: str) -> "Folder":
        """A directory in it."""
        path = self.path / name
        with _told(path, "opened"):
            return Folder(path, os.open(name, _OPEN, dir_fd=self._descriptor))

    def make_folder(self, name: str) -> "Folder":
        """A new directory in it, its owner's alone whatever the umask; its name outlasts a power cut after `sync`."""
        with _told(self.path / name, "made"):
            os.mkdir(name, _FOLDER, dir_fd=self._descriptor)
        made = self.folder(name)
        made.make_private()
        return made

    def read(self, name: str, *, limit: int) -> bytes | None:
        """A regular file of at most `limit` bytes; None where there is none of that name."""
        path = self.path / name
        with _told(path, "read"):
            try:
                descriptor = os.open(name, _READ, dir_fd=self._descriptor)
            except FileNotFoundError:
                return None
            try:
                _demand_regular(os.fstat(descriptor), path)
                return _read_all(descriptor, path, limit)
            finally:
                os.close(descriptor)

    def create(self, name: str, data: bytes) -> None:
        """A new file, its owner's alone whatever the umask: its bytes outlast a power cut, its name after `sync`.

        Where it fails there is none of that name, as far as it can still be removed.
        """
        self._create(name, data, like=None)

    def replace(self, name: str, data: bytes) -> None:
        """As `create`, over what stands there: a crash or power cut leaves the old file or the new one, durably new
        on return, and perhaps `name`.tmp, which the next `replace` removes.
        """
        temporary = temporary_name(name)
        self.discard(temporary)
        self.create(temporary, data)
        self._rename_made(temporary, name)
        self.sync()

    def exchange(self, name: str, data: bytes, *, temporary: str, spare: str) -> None:
        """Gives a regular file that is there other bytes; mode, owner and extended attributes stay, or it fails.

        A crash or power cut leaves the old file or the new one, durably new on return, and perhaps `temporary`. On
        return `spare` is another name of the old file, where there are hard links: `bring_back` needs no room on disk.
        """
        path = self.path / name
        with _told(path, "replaced"):
            old = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
            _demand_regular(old, path)
        self.discard(temporary)
        self.discard(spare)
        self._create(temporary, data, like=(name, old))
        self._link(name, spare, temporary=temporary)
        self._rename_made(temporary, name)
        self.sync()

    def bring_back(self, spare: str, name: str) -> None:
        """Puts the file that is called `spare` in the place of `name`; the one or the other is there at any moment."""
        self.rename(spare, name)
        self.sync()

    def rename(self, old: str, new: str) -> None:
        """Gives a file or directory another name, over a file that has it; outlasts a power cut after `sync`."""
        with _told(self.path / old, f"renamed to {new}"):
            os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def discard(self, name: str) -> bool:
        """Removes a file; False where there is none of that name."""
        with _told(self.path / name, "removed"):
            if self._look(name) is None:
                return False
            os.unlink(name, dir_fd=self._descriptor)
            return True

    def discard_folder(self, name: str) -> None:
        """Removes a directory with the files in it."""
        inside = self.folder(name)
        for each in inside.names():
            inside.discard(each)
        with _told(inside.path, "removed"):
            os.rmdir(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """On return every name in it is on disk as it is now."""
        with _told(self.path, "written to disk"):
            os.fsync(self._descriptor)

    def _look(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _create(self, name: str, data: bytes, *, like: tuple[str, os.stat_result] | None) -> None:
        with _told(self.path / name, "written"):
            descriptor = os.open(name, _CREATE, _FILE, dir_fd=self._descriptor)
            try:
                try:
                    if stat.S_IMODE(os.fstat(descriptor).st_mode) != _FILE:
                        os.fchmod(descriptor, _FILE)
                    write_all(descriptor, data)
                    if like is not None:
                        self._resemble(descriptor, *like)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except BaseException:
                self._forget(name)
                raise

    def _resemble(self, descriptor: int, name: str, old: os.stat_result) -> None:
        """Owner first: a change of owner takes capabilities away; the mode last: it is the mask of an ACL."""
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        source = os.open(name, _READ, dir_fd=self._descriptor)
        try:
            has = _attributes(descriptor)
            for attribute, value in _attributes(source).items():
                if attribute not in _OF_CONTENT and has.get(attribute) != value:
                    os.setxattr(descriptor, attribute, value)
        finally:
            os.close(source)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)

    def _link(self, name: str, spare: str, *, temporary: str) -> None:
        try:
            with _told(self.path / spare, "made"):
                try:
                    os.link(
                        name, spare, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False
                    )
                except OSError as error:
                    if error.errno not in _NO_LINK:
                        raise
        except BaseException:
            self._forget(temporary)
            raise

    def _rename_made(self, temporary: str, name: str) -> None:
        try:
            self.rename(temporary, name)
        except BaseException:
            self._forget(temporary)
            raise

    def _forget(self, name: str) -> None:
        with suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)


def open_folder(path: Path) -> Folder:
    """The directory at a path, whose last part is no symbolic link; absolute, so that its path stays true."""
    with _told(path, "opened"):
        return Folder(path.absolute(), os.open(path, _OPEN))


def open_real_folder(path: Path) -> Folder:
    """The directory that a path leads to, by its real name."""
    with _told(path, "opened"):
        real = Path(os.path.realpath(path, strict=True))
        return Folder(real, os.open(real, _OPEN))


def temporary_name(name: str) -> str:
    """Under which `Folder.replace` writes a file first."""
    return f"{name}.tmp"


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        if error.errno == errno.ELOOP:
            words = "it is a symbolic link"
        hint = _HINTS.get(error.errno or 0)
        raise BackendError(f"cannot be {done}: {words}", str(path), hint) from error


def _demand_regular(found: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise BackendError("it is a symbolic link", str(path), "name the directory of the file that it points to")
    if not stat.S_ISREG(found.st_mode):
        raise BackendError("it is no regular file", str(path))


def _read_all(descriptor: int, path: Path, limit: int) -> bytes:
    parts = []
    size = 0
    while part := os.read(descriptor, _CHUNK):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BackendError(f"it is larger than {limit} bytes", str(path))
    return b"".join(parts)


def _attributes(descriptor: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return {}
        raise
