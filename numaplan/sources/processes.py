"""QEMU's processes on this host and where each of their threads may run, by psutil.

A command line may hold secrets: only the guest's name and UUID are taken from it. What a thread does is not known here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Protocol, TypeVar

from numaplan.cpuset import format_id_list
from numaplan.sources.store import UnreadableError

Rows = dict[str, object]

# "qemu-kvm" is Red Hat's and "kvm" Debian's name; the kernel keeps 15 characters of any.
_QEMU = re.compile(r"qemu-system-\w*|qemu-kvm|kvm")
_VHOST = re.compile(r"vhost-([0-9]{1,10})", re.ASCII)
_PROCESSES: Final = 10_000
_THREADS: Final = 10_000
_TEXT_LIMIT: Final = 256

_T = TypeVar("_T")


class _Thread(Protocol):
    """Of a psutil.Process.threads()."""

    id: int


class _Process(Protocol):
    """What is asked of a psutil.Process, which may be a thread too."""

    pid: int

    def name(self) -> str: ...
    def cmdline(self) -> list[str]: ...
    def threads(self) -> Sequence[_Thread]: ...
    def cpu_affinity(self) -> list[int] | None: ...


class _Library(Protocol):
    """What is asked of the module psutil."""

    Error: type[Exception]
    NoSuchProcess: type[Exception]

    def process_iter(self) -> Iterator[_Process]: ...
    def Process(self, pid: int) -> _Process: ...  # noqa: N802 - psutil's name


def read_processes() -> object | None:
    """Every QEMU process that runs a guest, with its threads; None where there is none."""
    try:
        import psutil
    except ImportError as error:
        raise UnreadableError("the Python package psutil is not installed: pip install psutil") from error
    rows = _read(psutil)
    return rows if rows["processes"] or rows["failed"] else None


def _read(library: _Library) -> Rows:
    found: dict[int, Rows] = {}
    vhosts: dict[int, list[int]] = {}
    failed: list[Rows] = []
    for process in library.process_iter():
        name = _asked(library, process.name)
        vhost = _VHOST.fullmatch(name or "")
        if vhost is not None:
            # Before Linux 6.4 a vhost worker is a thread of the kernel's, of which only the name tells whose it is.
            vhosts.setdefault(int(vhost[1]), []).append(process.pid)
            continue
        try:
            words = process.cmdline()
        except library.NoSuchProcess:
            # It has ended, or is a zombie: either runs no guest.
            continue
        except (library.Error, OSError) as error:
            if _is_qemu(name):
                failed.append({"pid": process.pid, "why": _why(error)})
            continue
        if words and (_is_qemu(name) or _is_qemu(words[0].rpartition("/")[2])) and _runs_a_guest(words):
            if len(found) >= _PROCESSES:
                failed.append({"pid": process.pid, "why": f"more than {_PROCESSES} processes"})
                break
            found[process.pid] = {"pid": process.pid, "name": guest_name(words), "uuid": _option(words, "uuid")}
    processes = []
    for pid, row in sorted(found.items()):
        try:
            ids = [thread.id for thread in library.Process(pid).threads()]
        except library.NoSuchProcess:
            continue
        except (library.Error, OSError) as error:
            failed.append({"pid": pid, "why": _why(error)})
            continue
        processes.append({**row, "threads": _threads(library, [*ids, *sorted(vhosts.get(pid, []))])})
    return {"processes": processes, "failed": failed}


def guest_name(words: Sequence[str]) -> str | None:
    """The guest's name in ``-name guest=NAME,debug-threads=on`` or ``-name NAME``; a comma in it is written twice."""
    option = _option(words, "name")
    for part in (option or "").replace(",,", "\0").split(","):
        key, equals, value = part.replace("\0", ",").partition("=")
        if not equals:
            return key or None
        if key == "guest":
            return value or None
    return None


def _option(words: Sequence[str], name: str) -> str | None:
    """What follows ``-name`` (or ``--name``, which QEMU takes too); the last one counts."""
    values = [value for word, value in pairwise(words) if word in {f"-{name}", f"--{name}"}]
    return values[-1][:_TEXT_LIMIT] if values else None


def _is_qemu(name: str | None) -> bool:
    return name is not None and _QEMU.fullmatch(name) is not None


def _runs_a_guest(words: Sequence[str]) -> bool:
    """Without a machine QEMU is started by libvirt, to ask what it can do."""
    machine = _option(words, "machine") or _option(words, "M") or ""
    return machine.split(",")[0].removeprefix("type=") != "none"


def _threads(library: _Library, ids: Sequence[int]) -> list[Rows]:
    """Those that are still there, or let themselves be asked: a thread may end at any moment."""
    rows: list[Rows] = []
    for tid in ids[:_THREADS]:
        try:
            thread = library.Process(tid)
            name, cpus = thread.name(), thread.cpu_affinity()
        except (library.Error, OSError):
            continue
        rows.append({"tid": tid, "name": name[:_TEXT_LIMIT], "affinity": format_id_list(cpus or ())})
    return rows


def _asked(library: _Library, ask: Callable[[], _T]) -> _T | None:
    try:
        return ask()
    except (library.Error, OSError):
        return None


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:_TEXT_LIMIT]
