"""The guests of a host as they are: what libvirt says of them, and what their processes do in fact.

Both are rows of live sources (`numaplan/libvirt.json`, `numaplan/processes.json` in a capture); the memory of a process
is read from its files in /proc.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.inventory.attribute import excerpt
from numaplan.inventory.guest_threads import Affinities, join_threads, observed_thread, told_threads
from numaplan.inventory.numa_maps import read_allowed_nodes, read_resident
from numaplan.inventory.rows import Row, read_rows
from numaplan.model.guest import (
    EmulatorPin,
    Guest,
    GuestThread,
    IothreadId,
    IothreadPin,
    RunningGuest,
    ThreadKind,
    VcpuId,
    VcpuPin,
)
from numaplan.model.snapshot import LIBVIRT
from numaplan.sources.tree import HostTree

PROCESSES: Final = "processes"
# More than any host runs; rows may come from a capture, and the inventory has a limit of its own.
_PROCESS_LIMIT: Final = 4096
_THREAD_LIMIT: Final = 1 << 15
_PID_LIMIT: Final = 1 << 22  # PID_MAX_LIMIT in include/linux/threads.h


@dataclass(frozen=True, slots=True)
class DomainXml:
    """The XML that a guest starts from next time (that it runs as, where it is gone then), and what it describes.

    `file` is a name for it, fit to be a file's in any folder.
    """

    file: str
    data: bytes
    guest: Guest


@dataclass(frozen=True, slots=True)
class _Process:
    """A QEMU process; `guest` and `uuid` as its command line has them."""

    pid: int
    guest: str | None
    uuid: str | None
    threads: tuple[GuestThread, ...]


def read_guests(tree: HostTree, connected: object | None = None) -> tuple[Guest, ...]:
    """Every guest of the host, sorted by name: libvirt's, read from the XML they run as, and other QEMU processes.

    `connected`: what a connection that was asked for said, in place of the tree's own rows of libvirt.
    A process that libvirt does not tell of becomes a guest of which only threads and memory are known, with a gap: its
    CPUs are taken all the same.
    """
    affinities = Affinities()
    processes = _read_processes(tree, affinities)
    guests: dict[str, Guest] = {}
    for row, guest in _running_as(tree, connected):
        own = _processes_of(guest, processes)
        process = own[0] if len(own) == 1 else None
        if len(own) > 1:
            tree.note(PROCESSES, f"{_named(guest.name)}: {len(own)} QEMU processes claim to be it")
        if own and not guest.running:
            tree.note(PROCESSES, f"{_named(guest.name)}: process {own[0].pid} runs, libvirt says {guest.state}")
        processes = [process for process in processes if process not in own]
        live = _live(tree, row, process, affinities) if guest.running else None
        guests[guest.name] = replace(guest, live=live)
    for process in processes:
        stranger = _stranger(tree, process, guests)
        if stranger is not None:
            guests[stranger.name] = stranger
    return tuple(guests[name] for name in sorted(guests))


def read_domain_xml(tree: HostTree, connected: object | None = None) -> tuple[DomainXml, ...]:
    """The XML of each of libvirt's guests that a plan would change, sorted by the guest's name."""
    found = {}
    for row, name in _domains(tree, connected):
        try:
            text = row.text("inactive_xml") or row.text("xml")
            if text is not None and name not in found:
                data = text.encode()
                found[name] = DomainXml(file_name(name), data, _described(row, data))
        except (ValueError, InputError) as error:
            tree.note(LIBVIRT, f"{_named(name)}: {error}")
    return tuple(found[name] for name in sorted(found))


def file_name(guest: str) -> str:
    """A file name for a guest's XML; what a guest's name may hold and a file's name should not is written as %XX."""
    plain = "".join(_escaped(c) if c in '/\\%:"' or not c.isprintable() else c for c in guest)
    if plain.startswith("."):
        plain = _escaped(".") + plain[1:]
    return f"{plain}.xml"


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _named(guest: str) -> str:
    return f"guest {excerpt(guest)}"


def _running_as(tree: HostTree, connected: object | None) -> Iterator[tuple[Row, Guest]]:
    """Each guest of libvirt's, read from the XML that it runs as, else from that which it would start from."""
    seen: set[str] = set()
    kept = Affinities()
    for row, name in _domains(tree, connected):
        try:
            text = row.text("xml") or row.text("inactive_xml")
            if text is None:
                raise ValueError(f"{row.where}: no XML")  # noqa: TRY301 - one way out for every fault of this row
            guest = _described(row, text.encode())
            kept.count(guest)
        except (ValueError, InputError) as error:
            tree.note(LIBVIRT, f"{_named(name)}: {error}")
            continue
        if name in seen:
            tree.note(LIBVIRT, f"{_named(name)} stands twice")
            continue
        seen.add(name)
        yield row, guest


def _domains(tree: HostTree, connected: object | None) -> Iterator[tuple[Row, str]]:
    """The rows of guests with their names; what libvirt could not tell becomes a gap."""
    if connected is None:
        document = read_rows(tree, LIBVIRT)
    elif isinstance(connected, dict):
        document = Row(connected, LIBVIRT)
    else:
        tree.note(LIBVIRT, "expected an object")
        return
    if document is None:
        return
    for key in ("failed", "domains"):
        try:
            rows = document.rows(key, required=key == "domains")
        except ValueError as error:
            tree.note(LIBVIRT, str(error))
            continue
        for row in rows:
            try:
                name, why = row.text("name"), row.text("why")
            except ValueError as error:
                tree.note(LIBVIRT, str(error))
                continue
            if key == "failed":
                tree.note(LIBVIRT, f"{_named(name or '?')}: {why or 'could not be read'}")
            elif name:
                yield row, name
            else:
                tree.note(LIBVIRT, f"{row.where}: a guest without a name")


def _described(row: Row, data: bytes) -> Guest:
    """The guest of an XML with what libvirt says beside it; raises ValueError, InputError."""
    name = row.text("name") or ""
    guest = read_guest(data, f"{LIBVIRT}/{file_name(name)}")
    if guest.name != name:
        raise ValueError(f"its XML is that of {_named(guest.name)}")
    return replace(
        guest,
        running=row.flag("active"),
        state=row.text("state"),
        persistent=row.flag("persistent"),
        managed_save=row.flag("managed_save"),
    )


def _live(tree: HostTree, row: Row, process: _Process | None, affinities: Affinities) -> RunningGuest:
    try:
        told = told_threads(row, affinities)
    except ValueError as error:
        tree.note(LIBVIRT, str(error))
        told = ()
    if process is None:
        return RunningGuest(threads=join_threads((), told))
    return _observed(tree, process, told)


def _observed(tree: HostTree, process: _Process, told: Sequence[GuestThread] = ()) -> RunningGuest:
    return RunningGuest(
        pid=process.pid,
        threads=join_threads(process.threads, told),
        memory=read_resident(tree, process.pid),
        allowed_nodes=read_allowed_nodes(tree, process.pid),
    )


def _read_processes(tree: HostTree, affinities: Affinities) -> list[_Process]:
    document = read_rows(tree, PROCESSES)
    if document is None:
        return []
    found: dict[int, _Process] = {}
    try:
        for row in document.rows("failed"):
            tree.note(PROCESSES, f"QEMU process {row.integer('pid')}: {row.text('why')}")
        rows = document.rows("processes", required=True)
    except ValueError as error:
        tree.note(PROCESSES, str(error))
        return []
    if len(rows) > _PROCESS_LIMIT:
        tree.note(PROCESSES, f"{len(rows)} QEMU processes: only {_PROCESS_LIMIT} are read")
    room = _THREAD_LIMIT
    for row in rows[:_PROCESS_LIMIT]:
        try:
            process = _process(tree, row, affinities, room=room)
        except ValueError as error:
            tree.note(PROCESSES, str(error))
            continue
        if process.pid in found:
            tree.note(PROCESSES, f"process {process.pid} stands twice")
        room -= len(found.setdefault(process.pid, process).threads)
    return [found[pid] for pid in sorted(found)]


def _process(tree: HostTree, row: Row, affinities: Affinities, *, room: int) -> _Process:
    pid = row.integer("pid", lowest=1, highest=_PID_LIMIT)
    if pid is None:
        raise ValueError(f"{row.where}: a process without a pid")
    threads = row.rows("threads")
    if len(threads) > room:
        raise ValueError(f"process {pid} is left out: this host's have more than {_THREAD_LIMIT} threads")
    return _Process(
        pid,
        row.text("name") or None,
        (row.text("uuid") or "").lower() or None,
        _threads(tree, threads, pid, affinities),
    )


def _threads(tree: HostTree, rows: Sequence[Row], pid: int, affinities: Affinities) -> tuple[GuestThread, ...]:
    """Of two threads that claim to be the same vCPU or iothread, the second is one whose number is not known."""
    found: dict[int | None, GuestThread] = {}
    numbered: set[tuple[ThreadKind, int]] = set()
    for row in rows:
        try:
            thread = observed_thread(row, pid, affinities)
        except ValueError as error:
            tree.note(PROCESSES, str(error))
            continue
        if thread.tid in found:
            tree.note(PROCESSES, f"{row.where}: thread {thread.tid} of process {pid} stands twice")
            continue
        if thread.index is not None and (thread.kind, thread.index) in numbered:
            tree.note(PROCESSES, f"{row.where}: a second {thread.kind} {thread.index} in process {pid}")
            thread = replace(thread, index=None)
        elif thread.index is not None:
            numbered.add((thread.kind, thread.index))
        found[thread.tid] = thread
    return tuple(found.values())


def _processes_of(guest: Guest, processes: Sequence[_Process]) -> list[_Process]:
    """Those with its UUID; its name counts only for a process that was given none."""
    uuid = guest.uuid.lower() if guest.uuid else None
    return [
        process
        for process in processes
        if (process.uuid == uuid if process.uuid is not None and uuid is not None else process.guest == guest.name)
    ]


def _stranger(tree: HostTree, process: _Process, guests: Mapping[str, Guest]) -> Guest | None:
    """A guest of which only the process is known; None where even its vCPUs cannot be told from other threads."""
    known = process.guest if process.guest is not None and process.guest not in guests else None
    name = known or f"qemu-{process.pid}"
    shown = f"QEMU process {process.pid}" + (f" ({excerpt(process.guest)})" if process.guest else "")
    vcpus = _affinities(process, ThreadKind.VCPU)
    if not vcpus or name in guests:
        tree.note(PROCESSES, f"{shown}: libvirt tells nothing of it, nor do its threads' names: it is not counted")
        return None
    tree.note(PROCESSES, f"{shown}: libvirt tells nothing of it: its memory, devices and topology are not known")
    emulator = next((thread for thread in process.threads if thread.kind is ThreadKind.EMULATOR), None)
    iothreads = _affinities(process, ThreadKind.IOTHREAD)
    return Guest(
        name,
        f"proc/{process.pid}",
        vcpus=max(vcpus) + 1,
        memory_kib=None,
        uuid=process.uuid,
        vcpu_pins=tuple(VcpuPin(VcpuId(vcpu), cpus, 0) for vcpu, cpus in vcpus.items()),
        emulator_pin=None if emulator is None else EmulatorPin(emulator.affinity, 0),
        iothreads=len(iothreads),
        iothread_pins=tuple(IothreadPin(IothreadId(number), cpus, 0) for number, cpus in iothreads.items()),
        running=True,
        live=_observed(tree, process),
    )


def _affinities(process: _Process, kind: ThreadKind) -> dict[int, CpuSet]:
    """Where the numbered threads of that kind may run, by number."""
    found = {
        thread.index: thread.affinity
        for thread in process.threads
        if thread.kind is kind and thread.index is not None and thread.index < CPU_LIMIT
    }
    return dict(sorted(found.items()))
