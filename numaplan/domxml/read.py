"""Reads a domain XML into the model's Guest: what placement and audit care for, each with its line.

What is not known here is passed over: libvirt's XML grows with every release.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.domxml.devices import read_controllers, read_hostdevs, read_interfaces, read_memballoon
from numaplan.domxml.metadata import read_metadata, read_owner
from numaplan.domxml.numbers import NAMED_LIMIT, attribute, id_set, memory_kib, named_ids, required_id_set, whole
from numaplan.domxml.read_backing import read_backing, read_hugepages, read_memory_limit
from numaplan.domxml.read_cells import read_distances
from numaplan.domxml.read_cputune import read_cachetunes, read_emulator_pin, read_schedulers, read_vcpu_pins
from numaplan.domxml.read_machine import read_machine
from numaplan.domxml.read_numatune import has_auto_placement, has_auto_vcpus, read_memnodes, read_memory_binding
from numaplan.domxml.tree import Document, Element, parse
from numaplan.errors import InputError, Problem
from numaplan.model.guest import CellId, Guest, GuestCell, GuestTopology, IothreadId, IothreadPin, VcpuId

IOTHREAD_LIMIT: Final = 1 << 16
_UUID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ONCE: Final = (
    "name",
    "uuid",
    "metadata",
    "memory",
    "currentMemory",
    "vcpu",
    "vcpus",
    "iothreads",
    "iothreadids",
    "cputune",
    "numatune",
    "memoryBacking",
    "cpu",
)


def read_guest(data: bytes, file: str) -> Guest:
    """The guest that a domain XML describes, `file` for messages; raises InputError with file:line:column."""
    return guest_of(parse(data, file))


def guest_of(document: Document) -> Guest:
    """The guest that a parsed domain describes; raises InputError with a mistake of each of its parts."""
    root = document.root
    if (named := named_ids(root)) > NAMED_LIMIT:
        raise document.error(root, f"its lists of CPUs and nodes name {named} ids, {NAMED_LIMIT} are the limit")
    try:
        return _guest(document)
    except InputError as error:
        raise InputError.of(_mistakes(document, error)) from error


def _guest(document: Document) -> Guest:
    root = document.root
    for name in _ONCE:
        document.only(root, name)
    uuid = root.child("uuid")
    vcpu = root.child("vcpu")
    cpuset = _vcpu_cpuset(document)
    vcpus = vcpu_count(document)
    cells = read_cells(document, vcpus)
    metadata = read_metadata(document)
    machine = read_machine(document)
    iothreads = tuple(map(IothreadId, iothread_ids(document)))
    return Guest(
        name=_name(document),
        file=document.file,
        vcpus=vcpus,
        memory_kib=total_memory_kib(document),
        uuid=None if uuid is None else canonical_uuid(uuid.text),
        vcpu_line=0 if vcpu is None else vcpu.line,
        vcpu_cpuset=None if cpuset is None else CpuSet(cpuset),
        auto_placement=has_auto_placement(root),
        topology=read_topology(document),
        cells=cells,
        vcpu_pins=read_vcpu_pins(document, vcpus),
        emulator_pin=read_emulator_pin(document),
        iothreads=len(iothreads),
        listed_iothreads=() if list(iothreads) == list(range(1, len(iothreads) + 1)) else iothreads,
        iothread_pins=_iothread_pins(document),
        memory=read_memory_binding(document),
        memnodes=read_memnodes(document),
        hugepages=read_hugepages(document, has_cells=bool(cells)),
        interfaces=read_interfaces(document),
        hostdevs=read_hostdevs(document),
        thread_policy=metadata.thread_policy,
        shared_vcpus=metadata.shared_vcpus,
        loose_devices=metadata.loose_devices,
        current_vcpus=current_vcpus(document, vcpus),
        schedulers=read_schedulers(document),
        cachetunes=read_cachetunes(document, vcpus),
        backing=read_backing(document),
        memory_limit_kib=read_memory_limit(document),
        controllers=read_controllers(document),
        memballoon=read_memballoon(document),
        machine=machine.machine,
        architecture=machine.architecture,
        cpu_mode=machine.cpu_mode,
        cpu_cache=machine.cpu_cache,
        emulator=machine.emulator,
        owner=read_owner(document),
    )


def _mistakes(document: Document, first: InputError) -> tuple[Problem, ...]:
    """`first`, and what the other parts of the domain would have been refused for, in the order of the file."""
    found = dict.fromkeys(first.problems)
    try:
        vcpus = vcpu_count(document)
    except InputError:
        # How many there are is not known, so that none is one too many.
        vcpus = CPU_LIMIT
    parts: tuple[Callable[[], object], ...] = (
        *(partial(document.only, document.root, name) for name in _ONCE),
        *(partial(read, document) for read in _PARTS),
        *(partial(read, document, vcpus) for read in _PARTS_OF_VCPUS),
        partial(read_hugepages, document, has_cells=True),
    )
    for part in parts:
        try:
            part()
        except InputError as error:
            found |= dict.fromkeys(error.problems)
    return tuple(sorted(found, key=_place))


def _place(problem: Problem) -> tuple[int, int, str]:
    _, line, column = problem.where.rsplit(":", 2)
    return int(line), int(column), problem.what


def _name(document: Document) -> str:
    name = document.root.child("name")
    if name is None or not name.text:
        raise document.error(name or document.root, "the domain has no name", "add <name>NAME</name>")
    return name.text


def _vcpu_cpuset(document: Document) -> frozenset[int] | None:
    vcpu = document.root.child("vcpu")
    return None if vcpu is None or has_auto_vcpus(document.root) else id_set(document, vcpu, "cpuset")


def canonical_uuid(text: str) -> str | None:
    """A UUID as libvirt writes it, however it was written; None for no text, and what is none as it stands."""
    digits = text.replace("-", "").lower()
    if _UUID.fullmatch(digits) is None:
        return text or None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def vcpu_count(document: Document) -> int:
    """``<vcpu>``: how many vCPUs at most; 1 where it does not say, as libvirt has it."""
    vcpu = document.root.child("vcpu")
    if vcpu is None or not vcpu.text:
        return 1
    return whole(document, vcpu, vcpu.text, what="<vcpu>", least=1, most=CPU_LIMIT)


def current_vcpus(document: Document, vcpus: int) -> int | None:
    """How many of its `vcpus` are plugged in at the start: those enabled in ``<vcpus>``, else ``<vcpu current>``.

    None for all of them, and where neither is there. Raises InputError for more than it has, as libvirt does.
    """
    vcpu, states = document.root.child("vcpu"), document.root.child("vcpus")
    listed = () if states is None else states.all("vcpu")
    if listed:
        count = sum(dict(_vcpu_state(document, state, vcpus) for state in listed).values())
    elif vcpu is not None and vcpu.get("current") is not None:
        count = attribute(document, vcpu, "current", least=0, most=vcpus)
    else:
        count = vcpus
    return count if count < vcpus else None


def _vcpu_state(document: Document, state: Element, vcpus: int) -> tuple[int, bool]:
    enabled = state.get("enabled")
    if enabled not in {"yes", "no"}:
        raise document.error(state, f"enabled of <vcpu> is {(enabled or '')[:80]!r}", "expected yes or no")
    return attribute(document, state, "id", least=0, most=vcpus - 1), enabled == "yes"


def total_memory_kib(document: Document) -> int:
    """``<memory>``, else what cells and memory devices sum up to, as libvirt infers it; 0 where nothing says."""
    memory = document.root.child("memory")
    stated = 0 if memory is None or not memory.text else memory_kib(document, memory, memory.text, what="<memory>")
    if stated:
        return stated
    cells = sum(cell_memory_kib(document, cell) for cell in cell_elements(document))
    return cells + memory_devices_kib(document) if cells else 0


def memory_devices_kib(document: Document) -> int:
    """The DIMMs and their like in ``<devices>``: ``<memory>`` includes them."""
    total = 0
    for devices in document.root.all("devices"):
        for device in devices.all("memory"):
            target = device.child("target")
            size = None if target is None else target.child("size")
            if size is not None:
                total += memory_kib(document, size, size.text, what="the size of a memory device")
    return total


def cell_elements(document: Document) -> tuple[Element, ...]:
    """The ``<cell>`` elements of ``<cpu><numa>``, in the order of the file."""
    cpu = document.root.child("cpu")
    numa = None if cpu is None else document.only(cpu, "numa")
    return () if numa is None else numa.all("cell")


def cell_ids(document: Document) -> tuple[int, ...]:
    """The id of each ``<cell>`` in the order of the file: its position where it names none."""
    cells = cell_elements(document)
    ids = [
        position if cell.get("id") is None else attribute(document, cell, "id", least=0, most=len(cells) - 1)
        for position, cell in enumerate(cells)
    ]
    seen: set[int] = set()
    for number, cell in zip(ids, cells, strict=True):
        if number in seen:
            raise document.error(cell, f"a second cell {number}", "each cell has an id of its own")
        seen.add(number)
    return tuple(ids)


def cell_memory_kib(document: Document, cell: Element) -> int:
    """The memory of a ``<cell>``."""
    return memory_kib(document, cell, cell.get("memory"), what="memory of <cell>")


def read_cells(document: Document, vcpus: int) -> tuple[GuestCell, ...]:
    """``<cpu><numa>`` by id. vCPUs that no cell names are in cell 0, where QEMU puts them.

    What it says of access is kept as it stands.
    """
    elements = cell_elements(document)
    ids = cell_ids(document)
    named = [id_set(document, cell, "cpus") or frozenset() for cell in elements]
    seen: set[int] = set()
    for cell, cpus in zip(elements, named, strict=True):
        if twice := sorted(seen & cpus):
            raise document.error(cell, f"vCPU {twice[0]} is in two cells")
        if max(cpus, default=0) >= vcpus:
            raise document.error(
                cell, f"cpus of <cell> names vCPU {max(cpus)}, <vcpu> says {vcpus}", "vCPUs count from 0"
            )
        seen |= cpus
    rest = frozenset(range(vcpus)) - seen
    distances = read_distances(elements, ids)
    cells = [
        GuestCell(
            CellId(cell_id),
            tuple(VcpuId(v) for v in sorted(cpus | rest if cell_id == 0 else cpus)),
            cell_memory_kib(document, cell),
            cell.line,
            cell.get("memAccess") or None,
            distances[cell_id],
        )
        for cell_id, cell, cpus in zip(ids, elements, named, strict=True)
    ]
    return tuple(sorted(cells, key=lambda cell: cell.id))


def read_topology(document: Document) -> GuestTopology | None:
    """``<cpu><topology>``; clusters are counted as cores."""
    cpu = document.root.child("cpu")
    topology = None if cpu is None else document.only(cpu, "topology")
    if topology is None:
        return None
    sockets, cores, threads = (
        attribute(document, topology, name, least=1, most=CPU_LIMIT) for name in ("sockets", "cores", "threads")
    )
    dies, clusters = (
        1 if topology.get(name) is None else attribute(document, topology, name, least=1, most=CPU_LIMIT)
        for name in ("dies", "clusters")
    )
    return GuestTopology(sockets, dies, clusters * cores, threads)


def iothread_ids(document: Document) -> tuple[int, ...]:
    """The ids of the guest's iothreads: those listed, then the lowest free ones up to ``<iothreads>``."""
    root = document.root
    count = root.child("iothreads")
    wanted = 0
    if count is not None and count.text:
        wanted = whole(document, count, count.text, what="<iothreads>", least=0, most=CPU_LIMIT)
    listed = root.child("iothreadids")
    ids: list[int] = []
    for thread in () if listed is None else listed.all("iothread"):
        number = attribute(document, thread, "id", least=1, most=IOTHREAD_LIMIT)
        if number in ids:
            raise document.error(thread, f"a second iothread {number}")
        ids.append(number)
    free = (number for number in range(1, wanted + len(ids) + 1) if number not in ids)
    return tuple(sorted([*ids, *(next(free) for _ in range(wanted - len(ids)))]))


def _iothread_pins(document: Document) -> tuple[IothreadPin, ...]:
    cputune = document.root.child("cputune")
    pins: dict[int, IothreadPin] = {}
    for pin in () if cputune is None else cputune.all("iothreadpin"):
        number = attribute(document, pin, "iothread", least=1, most=IOTHREAD_LIMIT)
        cpus = CpuSet(required_id_set(document, pin, "cpuset"))
        if number in pins:
            first = pins[number].line
            raise document.error(pin, f"a second <iothreadpin> of iothread {number}, the first is on line {first}")
        pins[number] = IothreadPin(IothreadId(number), cpus, pin.line)
    return tuple(pins[number] for number in sorted(pins))


# What is read one by one where something of a domain is wrong.
_PARTS: Final[tuple[Callable[[Document], object], ...]] = (
    _name,
    _vcpu_cpuset,
    vcpu_count,
    total_memory_kib,
    read_topology,
    read_emulator_pin,
    iothread_ids,
    _iothread_pins,
    read_memory_binding,
    read_memnodes,
    read_interfaces,
    read_hostdevs,
    read_metadata,
    read_owner,
    read_schedulers,
    read_backing,
    read_memory_limit,
    read_controllers,
    read_memballoon,
    read_machine,
)
_PARTS_OF_VCPUS: Final[tuple[Callable[[Document, int], object], ...]] = (
    read_cells,
    read_vcpu_pins,
    current_vcpus,
    read_cachetunes,
)
