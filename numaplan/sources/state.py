"""The directory in which numaplan keeps what must outlast it: where it is, and that nobody else can write there."""

import os
import secrets
import shlex
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from numaplan.errors import BackendError
from numaplan.sources.folder import Folder, open_folder

VARIABLE: Final = "NUMAPLAN_STATE"
TRANSACTIONS: Final = "transactions"
OPEN: Final = ".open"
_OF_ROOT: Final = Path("/var/lib/numaplan")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_HINT: Final = f"set {VARIABLE} to a directory of your own"


def state_path() -> Path:
    """$NUMAPLAN_STATE, else root's /var/lib/numaplan, else below the user's $XDG_STATE_HOME; raises BackendError."""
    if named := os.environ.get(VARIABLE):
        return _absolute(named, VARIABLE)
    if os.geteuid() == 0:
        return _OF_ROOT
    xdg = os.environ.get("XDG_STATE_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification, "Basics").
    if Path(xdg).is_absolute():
        return _absolute(xdg, "XDG_STATE_HOME") / "numaplan"
    if home := os.environ.get("HOME"):
        return _absolute(home, "HOME") / ".local" / "state" / "numaplan"
    raise BackendError("there is no place for the journal: neither it nor HOME is set", VARIABLE, _HINT)


def open_state() -> Folder:
    """The state directory, made where it is absent, private to us; raises BackendError where it is not safe."""
    path = state_path()
    _make(path)
    return _checked(path)


def find_state() -> Folder | None:
    """The state directory where there is one; raises BackendError where it is not safe."""
    path = state_path()
    return _checked(path) if os.path.lexists(path) else None


def open_transactions() -> tuple[str, ...]:
    """The ids of transactions that a crash left open, for a word on any verb; () where nobody can tell."""
    try:
        names = [path.name for path in (state_path() / TRANSACTIONS).iterdir()]
    except (OSError, BackendError):
        return ()
    return tuple(sorted(name.removesuffix(OPEN) for name in names if name.endswith(OPEN)))


def new_id() -> str:
    """A name for a transaction: UTC time, by which it sorts, and 32 random bits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"


def command(*words: str) -> str:
    """A numaplan command as it is to be typed, so that it finds this state directory."""
    named = os.environ.get(VARIABLE)
    return (f"{VARIABLE}={shlex.quote(named)} " if named else "") + shlex.join(["numaplan", *words])


def _absolute(text: str, variable: str) -> Path:
    if not Path(text).is_absolute() or "\0" in text:
        raise BackendError(f"{text[:80]!a} is no absolute path", variable, "give one that begins with /")
    return Path(text)


def _make(path: Path) -> None:
    """Makes what is missing of the path, each part durably; a part that is no directory is refused later."""
    missing = []
    part = path
    while not os.path.lexists(part):
        missing.append(part)
        part = part.parent
    for part in reversed(missing):
        try:
            os.mkdir(part, 0o700)  # noqa: PTH102  # as every other change here
        except FileExistsError:
            continue
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise BackendError(f"the state directory cannot be made: {words}", str(part), _HINT) from error
        _follow(part.parent).sync()


def _follow(path: Path) -> Folder:
    """A directory on the way there, links followed: /var may be one."""
    try:
        return Folder(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise BackendError(f"cannot be opened: {words}", str(path), _HINT) from error


def _checked(path: Path) -> Folder:
    """Neither a link nor somebody else's, writable by nobody else, nor in a directory where it could be exchanged."""
    if path.is_symlink():
        raise BackendError("the state directory is a symbolic link", str(path), _HINT)
    folder = open_folder(path)
    found = folder.status()
    if found.st_uid != os.geteuid():
        raise BackendError(f"the state directory belongs to user {found.st_uid}", str(path), _HINT)
    if found.st_mode & _OTHERS_WRITE:
        raise BackendError("others may write to the state directory", str(path), "look what is in it, then chmod 700")
    above = _follow(path.parent).status()
    if above.st_uid not in {0, os.geteuid()}:
        raise BackendError(f"it belongs to user {above.st_uid}, who could exchange it", str(path.parent), _HINT)
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise BackendError("everybody may exchange what is in it", str(path.parent), _HINT)
    return folder
