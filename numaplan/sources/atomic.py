"""Writing so that a reader, or a crash, meets the old file or the new one and nothing between.

Raises OSError, with the target as its file name; `files` makes sentences of it.
"""

import errno
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Pending:
    """A file that stands complete under a temporary name; `second` is another name of the old file, if it has one."""

    target: Path
    temporary: Path
    existed: bool
    second: Path | None


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Writes beside `path` and renames over it. A new file has `mode` less the umask, an old one keeps its own."""
    try:
        temporary = _write_temporary(path, data, mode=mode, old=_old_file(path))
        try:
            temporary.replace(path)
        except BaseException:
            _remove(temporary)
            raise
    except OSError as error:
        raise _about(path, error) from error
    _sync_folder(path.parent)


def replace_files(directory: Path, files: Mapping[str, bytes], *, file_mode: int, folder_mode: int) -> None:
    """Writes each file of `directory`, made if absent, beside its target; then renames them all, or undoes it all."""
    made = _make_folder(directory, folder_mode)
    pending: list[_Pending] = []
    renamed: list[_Pending] = []
    try:
        # One by one, so that those before a failure are known here.
        pending.extend(_prepare(directory / name, files[name], mode=file_mode) for name in sorted(files))
        for file in pending:
            # Before the rename: an interrupt between the two must find it here. Undoing what was not done is harmless.
            renamed.append(file)
            _rename(file)
    except BaseException:
        for file in reversed(renamed):
            _undo(file)
        for file in pending:
            _remove(file.temporary)
        if made:
            with suppress(OSError):
                directory.rmdir()
        raise
    finally:
        for file in pending:
            if file.second is not None:
                _remove(file.second)
    _sync_folder(directory)


def is_stream(path: Path) -> bool:
    """Whether something stands there that is written to as it is: a character device or a fifo, through links too."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def write_plainly(path: Path, data: bytes) -> None:
    """Writes to a device or fifo; waits for a fifo's reader, as a shell does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """All of it: write(2) may take less than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _prepare(target: Path, data: bytes, *, mode: int) -> _Pending:
    try:
        old = _old_file(target)
        temporary = _write_temporary(target, data, mode=mode, old=old)
        return _Pending(target, temporary, old is not None, _second_name(target) if old is not None else None)
    except OSError as error:
        raise _about(target, error) from error


def _rename(file: _Pending) -> None:
    try:
        file.temporary.replace(file.target)
    except OSError as error:
        raise _about(file.target, error) from error


def _undo(file: _Pending) -> None:
    if file.temporary.exists():
        return
    with suppress(OSError):
        if file.second is not None:
            file.second.replace(file.target)
        elif not file.existed:
            file.target.unlink()


def _old_file(path: Path) -> os.stat_result | None:
    """The regular file that stands there, None for nothing; OSError for what must not be replaced."""
    try:
        old = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(old.st_mode):
        return old
    number = {stat.S_IFLNK: errno.ELOOP, stat.S_IFDIR: errno.EISDIR}.get(stat.S_IFMT(old.st_mode))
    if number is None:
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    raise OSError(number, os.strerror(number), str(path))


def _write_temporary(target: Path, data: bytes, *, mode: int, old: os.stat_result | None) -> Path:
    """The whole file on disk beside its target; nothing is left behind on failure."""
    temporary = target.with_name(f".numaplan-{secrets.token_hex(8)}.tmp")
    # An old file's mode comes with its owner, once that is set; until then nobody else may read the new one.
    descriptor = os.open(temporary, _CREATE, 0o600 if old else mode)
    try:
        try:
            write_all(descriptor, data)
            if old is not None:
                _keep_attributes(descriptor, target, old)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _remove(temporary)
        raise
    return temporary


def _keep_attributes(descriptor: int, target: Path, old: os.stat_result) -> None:
    """Owner and extended attributes (SELinux labels, ACLs) as far as we are let; the mode in any case."""
    with suppress(OSError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    with suppress(OSError):
        for name in os.listxattr(target, follow_symlinks=False):
            os.setxattr(descriptor, name, os.getxattr(target, name, follow_symlinks=False))
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)


def _second_name(target: Path) -> Path | None:
    """Another name for the old file, to bring it back by; None on a file system without hard links."""
    second = target.with_name(f".numaplan-{secrets.token_hex(8)}.old")
    try:
        os.link(target, second, follow_symlinks=False)
    except OSError:
        return None
    return second


def _make_folder(directory: Path, mode: int) -> bool:
    try:
        directory.mkdir(mode=mode)
    except FileExistsError:
        if not directory.is_dir():
            raise
        return False
    return True


def _sync_folder(directory: Path) -> None:
    """Makes a rename outlast a power cut, where the file system can; the file is in place either way."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _about(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, str(path))
