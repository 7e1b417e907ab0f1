"""The threads of a guest: what a thread does by its name, and what libvirt says of those that nobody could look at."""

import re
from collections.abc import Sequence
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.inventory.rows import Row
from numaplan.model.guest import Guest, GuestThread, ThreadKind

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
# 200 guests that float on sets of their own on a host of 8192 CPUs name 1.6 million.
NAMED_LIMIT: Final = 1_900_000


class Affinities:
    """CPU lists of a host's threads: each text is parsed once, and all together are no longer than memory can hold."""

    def __init__(self) -> None:
        self._known: dict[str, CpuSet] = {}
        self._counted: set[CpuSet] = set()
        self._named = 0

    def parse(self, text: str) -> CpuSet:
        """The CPUs of a kernel list; raises ValueError, also where all lists so far name too many."""
        known = self._known.get(text)
        if known is None:
            if self._named > NAMED_LIMIT:
                raise ValueError("the threads of this host name more CPUs than are kept")
            known = self._known[text] = CpuSet.parse(text)
            self._named += len(known)
        return known

    def count(self, guest: Guest) -> None:
        """Takes the lists of a guest's XML into account; raises ValueError where they and those so far are too many."""
        pins = (*guest.vcpu_pins, *guest.iothread_pins, *(() if guest.emulator_pin is None else (guest.emulator_pin,)))
        lists = {pin.cpus for pin in pins} | ({guest.vcpu_cpuset} if guest.vcpu_cpuset is not None else set())
        new = lists - self._counted
        if self._named + sum(map(len, new)) > NAMED_LIMIT:
            raise ValueError("the guests of this host name more CPUs than are kept")
        self._counted |= new
        self._named += sum(map(len, new))


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


def observed_thread(row: Row, pid: int, affinities: Affinities) -> GuestThread:
    """A thread of a process as the rows "processes" have it; raises ValueError."""
    tid = row.integer("tid", lowest=1, highest=_TID_LIMIT)
    name = row.text("name")
    if tid is None or name is None:
        raise ValueError(f"{row.where}: a thread without tid or name")
    kind, index = thread_kind(name, leader=tid == pid)
    return GuestThread(kind, _cpus(row, row.text("affinity"), affinities), index, tid, name)


def told_threads(row: Row, affinities: Affinities) -> tuple[GuestThread, ...]:
    """The threads of a running guest as the rows "libvirt" have it; raises ValueError."""
    threads = [_told(vcpu, ThreadKind.VCPU, affinities) for vcpu in row.rows("vcpus")]
    emulator = row.text("emulator_pin")
    threads += [] if emulator is None else [GuestThread(ThreadKind.EMULATOR, _cpus(row, emulator, affinities))]
    threads += [_told(iothread, ThreadKind.IOTHREAD, affinities) for iothread in row.rows("iothreads")]
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


def _order(thread: GuestThread) -> tuple[int, int, int]:
    return _KINDS.index(thread.kind), -1 if thread.index is None else thread.index, thread.tid or 0


def _told(row: Row, kind: ThreadKind, affinities: Affinities) -> GuestThread:
    index = row.integer("id", lowest=0, highest=2**16)
    if index is None:
        raise ValueError(f"{row.where}: a {kind} without an id")
    return GuestThread(kind, _cpus(row, row.text("cpus"), affinities), index)


def _cpus(row: Row, text: str | None, affinities: Affinities) -> CpuSet:
    cpus = affinities.parse(text or "")
    if not cpus:
        raise ValueError(f"{row.where}: a thread without a CPU")
    return cpus
