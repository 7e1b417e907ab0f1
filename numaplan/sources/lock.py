"""Locks that the kernel takes back when their holder dies (flock), and who holds one."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from numaplan.errors import BackendError
from numaplan.sources.folder import Folder

_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PAUSE_S: Final = 0.05
_CLIP: Final = 200
_LIMIT: Final = 4096
_HINT: Final = "wait for it, or give --lock-timeout"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock: what it was called with, and since when (UTC)."""

    pid: int
    command: str
    since: str


@contextmanager
def lock_file(folder: Folder, name: str, *, timeout_s: float) -> Iterator[None]:
    """Holds a lock file, which says by whom; raises BackendError with its holder where another process has it."""
    where = str(folder.path / name)
    try:
        descriptor = os.open(name, _OPEN, 0o600, dir_fd=folder.descriptor)
    except OSError as error:
        raise _refused(error, where) from error
    try:
        if not _take(descriptor, timeout_s=timeout_s, where=where):
            raise BackendError(_held_by(_holder(descriptor)), where, _HINT)
        _sign(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        # Closing gives the lock back. The file stays: who waits for it has it open.
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Folder, *, timeout_s: float) -> Iterator[None]:
    """Holds a directory itself, so that runs with other state directories stay out; raises BackendError."""
    where = str(folder.path)
    if not _take(folder.descriptor, timeout_s=timeout_s, where=where):
        raise BackendError("another numaplan is at work in this directory", where, _HINT)
    try:
        if not folder.is_in_place():
            raise BackendError("another directory was put in its place meanwhile", where, "try again")
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(folder.descriptor, fcntl.LOCK_UN)


def _take(descriptor: int, *, timeout_s: float, where: str) -> bool:
    end = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            rest = end - time.monotonic()
            if rest <= 0:
                return False
            time.sleep(min(_PAUSE_S, rest))
        except OSError as error:
            raise _refused(error, where) from error
        else:
            return True


def _sign(descriptor: int) -> None:
    """Says who holds it; a disk that is full takes nothing from the lock."""
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = " ".join(sys.argv)[:_CLIP]
    data = json.dumps({"pid": os.getpid(), "command": command, "since": since}).encode()
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)


def _holder(descriptor: int) -> Holder | None:
    """What its holder wrote; None where that is not there yet."""
    try:
        said = json.loads(os.pread(descriptor, _LIMIT, 0))
        return Holder(int(said["pid"]), str(said["command"]), str(said["since"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _held_by(holder: Holder | None) -> str:
    if holder is None:
        return "another numaplan is at work"
    return f"another numaplan is at work: process {holder.pid}, {holder.command!a}, since {holder.since}"


def _refused(error: OSError, where: str) -> BackendError:
    return BackendError(f"cannot be locked: {(error.strerror or str(error)).lower()}", where)
