"""What libvirt says of its guests (https://libvirt.org/html/libvirt-libvirt-domain.html), over a read-only connection.

XML is asked for without VIR_DOMAIN_XML_SECURE, so that no password of a display or disk is in it. What the rows mean is
not known here.
"""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.errors import InputError
from numaplan.sources.libvirt_calls import Connection, Domain, Library
from numaplan.sources.store import UnreadableError
from numaplan.sources.uri import check_uri, is_local, redact

Rows = dict[str, object]

DEFAULT_URI: Final = "qemu:///system"
# The sockets that a read-only connection to DEFAULT_URI tries: of the monolithic daemon, and of the modular one (5.6).
SOCKETS: Final = ("/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro")
# Either tells of a host of guests: KVM is loaded, or libvirt's QEMU driver was set up.
TRACES: Final = ("/dev/kvm", "/etc/libvirt/qemu")
# libvirt itself gives up on a guest that another call holds after 30 s (QEMU_JOB_WAIT_TIME in src/qemu/qemu_domain.h).
PATIENCE_S: Final = 40.0
# virDomainState, in the words of its names.
STATES: Final = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")
_INACTIVE: Final = 2  # VIR_DOMAIN_XML_INACTIVE
# Rows are JSON of at most 16 MiB (store.ROWS_LIMIT): escapes make XML about a tenth longer.
_XML_LIMIT: Final = 12 << 20
_DOMAINS: Final = 10_000
# Of base and huge pages on the architectures that libvirt runs on (Documentation/admin-guide/mm/hugetlbpage.rst).
PAGE_SIZES_KIB: Final = (4, 16, 64, 1024, 2048, 16384, 32768, 524288, 1048576, 16777216)
# Cells may have gaps between their numbers, as on POWER.
_CELL_TRIES: Final = 64
_CELL_COUNT: Final = 4  # virNodeInfo.nodes in what virConnect.getInfo() lists
_WHY_LIMIT: Final = 200

NO_BINDING: Final = (
    "the Python package libvirt is not installed: pip install 'numaplan[libvirt]' (which needs libvirt-dev, pkg-config"
    " and gcc), or apt-get install python3-libvirt for the system's own Python"
)


def read_hypervisor(uri: str | None = None) -> object | None:
    """The guests of the libvirt at `uri`; None: of this host's own, where there is one.

    None where this host has no guests by all that is to be seen. Raises UnreadableError, and InputError for a URI that
    is not let through.
    """
    chosen = own_uri() if uri is None else check_uri(uri)
    if chosen is None:
        return None
    try:
        import libvirt
    except ImportError as error:
        raise UnreadableError(NO_BINDING) from error
    return _patiently(libvirt, chosen)


def own_uri() -> str | None:
    """LIBVIRT_DEFAULT_URI, as virsh reads it, else the system's QEMU driver where a daemon's socket is there.

    The URI that libvirt would find out by itself is not asked for: without root it starts a daemon of the user's own.
    """
    named = os.environ.get("LIBVIRT_DEFAULT_URI")
    if named:
        try:
            check_uri(named)
        except InputError as error:
            raise UnreadableError(f"LIBVIRT_DEFAULT_URI: {error}") from error
        if not is_local(named):
            raise UnreadableError(
                f"LIBVIRT_DEFAULT_URI names another host ({redact(named)}): the guests there are not this host's"
            )
        return named
    if any(_is_there(path) for path in SOCKETS):
        return DEFAULT_URI
    if any(_is_there(path) for path in TRACES):
        raise UnreadableError(
            "no libvirtd answers on this KVM host: start libvirtd or virtqemud, or name the connection;"
            " until then the guests that libvirt defines are not known"
        )
    return None


def _is_there(path: str) -> bool:
    return os.path.lexists(Path(path))


def _patiently(library: Library, uri: str) -> Rows:
    """Rows of that connection, read in a thread of its own: a daemon that hangs may cost them, and not the run.

    libvirt's keepalive would need an event loop, and would notice no daemon that hangs in a call; silence does.
    """
    answers: queue.SimpleQueue[Rows | Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(_read(library, uri, progress=lambda: answers.put(None)))
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            answers.put(error)

    threading.Thread(target=work, name="libvirt", daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise UnreadableError(f"libvirt at {redact(uri)} has not answered for {PATIENCE_S:g} s") from None
        if isinstance(answer, library.libvirtError):
            raise UnreadableError(f"libvirt at {redact(uri)}: {_why(answer)}") from answer
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer


def _read(library: Library, uri: str, *, progress: Callable[[], None]) -> Rows:
    # Without a handler the C library prints every error to stderr by itself.
    library.registerErrorHandler(lambda _context, _error: None, None)
    connection = library.openReadOnly(uri)
    try:
        progress()
        rows: Rows = {
            "uri": redact(connection.getURI()),
            "hostname": connection.getHostname(),
            "version": connection.getLibVersion(),
            "free_pages": _free_pages(library, connection),
        }
        found = connection.listAllDomains()
        domains: list[Rows] = []
        failed: list[Rows] = []
        room = _XML_LIMIT
        for position, domain in enumerate(found):
            progress()
            name = domain.name()
            if position >= _DOMAINS:
                failed.append({"name": name, "why": f"more than {_DOMAINS} guests"})
                break
            try:
                row = _domain(library, domain)
            except library.libvirtError as error:
                failed.append({"name": name, "why": _why(error)})
                continue
            size = sum(len(xml) for xml in (row["xml"], row["inactive_xml"]) if isinstance(xml, str))
            if size > room:
                failed.append({"name": name, "why": f"its XML of {size} bytes is more than these rows can hold"})
                continue
            room -= size
            domains.append(row)
    finally:
        connection.close()
    return {**rows, "domains": domains, "failed": failed}


def _domain(library: Library, domain: Domain) -> Rows:
    """One guest; raises libvirtError where it has gone, or keeps its XML to itself."""
    active = bool(domain.isActive())
    persistent = bool(domain.isPersistent())
    state = domain.state()[0]
    xml = domain.XMLDesc(0) if active else None
    row: Rows = {
        "name": domain.name(),
        "uuid": domain.UUIDString(),
        "state": STATES[state] if 0 <= state < len(STATES) else None,
        "active": active,
        "persistent": persistent,
        "autostart": _asked(library, lambda: bool(domain.autostart())),
        "managed_save": _asked(library, lambda: bool(domain.hasManagedSaveImage())),
        "xml": xml,
        "inactive_xml": domain.XMLDesc(_INACTIVE) if persistent else None,
    }
    if xml is not None:
        row["vcpus"] = _asked(library, lambda: _vcpus(domain))
        row["emulator_pin"] = _asked(library, lambda: _cpus(domain.emulatorPinInfo()))
        # Asked of QEMU, which may keep libvirt waiting: only where there are any.
        if "<iothreads>" in xml or "<iothreadids>" in xml:
            row["iothreads"] = _asked(library, lambda: _iothreads(domain))
    return row


def _vcpus(domain: Domain) -> list[Rows]:
    """The online vCPUs, each with the affinity that its thread has in fact (virDomainGetVcpus)."""
    states, maps = domain.vcpus()
    return [{"id": state[0], "cpus": _cpus(cpus)} for state, cpus in zip(states, maps, strict=False)]


def _iothreads(domain: Domain) -> list[Rows]:
    """The iothreads, each with the affinity that it has in fact (virDomainGetIOThreadInfo)."""
    return [{"id": number, "cpus": _cpus(cpus)} for number, cpus in domain.ioThreadInfo()]


def _cpus(flags: Sequence[bool]) -> str:
    return format_id_list(cpu for cpu, flag in enumerate(flags) if flag)


def _asked(library: Library, ask: Callable[[], object]) -> object | None:
    """The answer; None where this driver, or a daemon older than the question, has none."""
    try:
        return ask()
    except library.libvirtError:
        return None


def _free_pages(library: Library, connection: Connection) -> list[Rows]:
    """Free pages of each size on each cell (virNodeGetFreePages).

    The capabilities would tell cells and sizes, but for them the daemon starts every QEMU that is installed: seconds.
    """
    rows: list[Rows] = []
    cells = connection.getInfo()[_CELL_COUNT]
    sizes: Sequence[int] = PAGE_SIZES_KIB
    for cell in range(_CELL_TRIES):
        here = [row for size in sizes if (row := _free(library, connection, cell=cell, size_kib=size)) is not None]
        if here:
            rows += here
            sizes = [size for size in PAGE_SIZES_KIB if any(row["size_kib"] == size for row in rows)]
            cells -= 1
        if cells <= 0:
            break
    return rows


def _free(library: Library, connection: Connection, *, cell: int, size_kib: int) -> Rows | None:
    """None where there is no such cell, or no page of this size on it."""
    try:
        free = connection.getFreePages([size_kib], cell, 1)[cell][size_kib]
    except (library.libvirtError, KeyError):
        return None
    return {"cell": cell, "size_kib": size_kib, "free": free}


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:_WHY_LIMIT]
