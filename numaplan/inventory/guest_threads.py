"""The threads of a guest: what a thread does by its name, and what libvirt says of those that nobody could look at."""

import re
from collections.abc import Sequence
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.inventory.rows import Row
from numaplan.model.guest import GuestThread, ThreadKind

# QEMU names its threads where it is started with debug-threads=on, as libvirt does; "ALL CPUs/TCG" runs every vCPU.
_VCPU = re.compile(r"CPU ([0-9]{1,5})/[A-Za-z]+", re.ASCII)
_ALL_VCPUS: Final = "ALL CPUs/TCG"
_IOTHREAD = re.compile(r"IO (\S.*)")
_LIBVIRT_IOTHREAD = re.compile(r"iothread([0-9]{1,5})", re.ASCII)
# QEMU's own: it runs the monitor (monitor/monitor.c), which libvirt counts to the emulator.
_MONITOR: Final = "mon_iothread"
_VHOST = re.compile(r"vhost-[0-9]+", re.ASCII)
# TASK_COMM_LEN without its end: a name of this length may have been longer.
_NAME_LIMIT: Final = 15
_TID_LIMIT: Final = 1 << 22  # PID_MAX_LIMIT in include/linux/threads.h
_KINDS: Final = tuple(ThreadKind)


def thread_kind(name: str, *, leader: bool) -> tuple[ThreadKind, int | None]:
    """What the thread of that name does, and which vCPU or iothread it is; `leader`: the process's first thread.

    Who has no known name is a helper: a worker of the thread pool, of a display, of a migration.
    """
    if leader:
        return ThreadKind.EMULATOR, None
    vcpu = _VCPU.fullmatch(name)
    if vcpu is not None and int(vcpu[1]) < CPU_LIMIT:
        return ThreadKind.VCPU, int(vcpu[1])
    if name == _ALL_VCPUS:
        return ThreadKind.VCPU, None
    if _VHOST.fullmatch(name):
        return ThreadKind.VHOST, None
    iothread = _IOTHREAD.fullmatch(name)
    if iothread is None or iothread[1] == _MONITOR:
        return ThreadKind.OTHER, None
    numbered = _LIBVIRT_IOTHREAD.fullmatch(iothread[1])
    whole = numbered is not None and len(name) < _NAME_LIMIT
    return ThreadKind.IOTHREAD, int(numbered[1]) if numbered is not None and whole else None


def observed_thread(row: Row, pid: int) -> GuestThread:
    """A thread of a process as the rows "processes" have it; raises ValueError."""
    tid = row.integer("tid", lowest=1, highest=_TID_LIMIT)
    name = row.text("name")
    if tid is None or name is None:
        raise ValueError(f"{row.where}: a thread without tid or name")
    kind, index = thread_kind(name, leader=tid == pid)
    return GuestThread(kind, _cpus(row, row.text("affinity")), index, tid, name)


def told_threads(row: Row) -> tuple[GuestThread, ...]:
    """The threads of a running guest as the rows "libvirt" have it; raises ValueError."""
    threads = [_told(vcpu, ThreadKind.VCPU) for vcpu in row.rows("vcpus")]
    emulator = row.text("emulator_pin")
    threads += [] if emulator is None else [GuestThread(ThreadKind.EMULATOR, _cpus(row, emulator))]
    threads += [_told(iothread, ThreadKind.IOTHREAD) for iothread in row.rows("iothreads")]
    if len({(thread.kind, thread.index) for thread in threads}) < len(threads):
        raise ValueError(f"{row.where}: a thread stands twice")
    return tuple(threads)


def join_threads(observed: Sequence[GuestThread], told: Sequence[GuestThread]) -> tuple[GuestThread, ...]:
    """What was seen, and what libvirt tells of threads that were not, by kind and number.

    Where one of a kind was seen whose number is not known, none is added to that kind: it could be the same.
    """
    seen = {(thread.kind, thread.index) for thread in observed}
    added = [t for t in told if (t.kind, t.index) not in seen and (t.kind, None) not in seen]
    return tuple(sorted([*observed, *added], key=_order))


def _order(thread: GuestThread) -> tuple[int, int, int, str]:
    return (
        _KINDS.index(thread.kind),
        -1 if thread.index is None else thread.index,
        thread.tid or 0,
        str(thread.affinity),
    )


def _told(row: Row, kind: ThreadKind) -> GuestThread:
    index = row.integer("id", lowest=0, highest=2**16)
    if index is None:
        raise ValueError(f"{row.where}: a {kind} without an id")
    return GuestThread(kind, _cpus(row, row.text("cpus")), index)


def _cpus(row: Row, text: str | None) -> CpuSet:
    cpus = CpuSet.parse(text or "")
    if not cpus:
        raise ValueError(f"{row.where}: a thread without a CPU")
    return cpus
