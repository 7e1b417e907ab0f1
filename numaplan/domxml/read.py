"""Reads a domain XML into the model's Guest: what placement and audit care for, each with its line.

What is not known here is passed over: libvirt's XML grows with every release.
"""

from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import CPU_LIMIT, CpuSet
from numaplan.domxml.devices import read_hostdevs, read_interfaces
from numaplan.domxml.metadata import read_metadata
from numaplan.domxml.numbers import NAMED_LIMIT, attribute, id_set, memory_kib, named_ids, required_id_set, whole
from numaplan.domxml.tree import Document, Element, parse
from numaplan.model.guest import (
    CellId,
    EmulatorPin,
    Guest,
    GuestCell,
    GuestTopology,
    HugepageRequest,
    IothreadId,
    IothreadPin,
    MemoryBinding,
    VcpuId,
    VcpuPin,
)
from numaplan.model.host import NodeId

IOTHREAD_LIMIT: Final = 1 << 16
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
    """The guest that a parsed domain describes; raises InputError."""
    root = document.root
    for name in _ONCE:
        document.only(root, name)
    if (named := named_ids(root)) > NAMED_LIMIT:
        raise document.error(root, f"its lists of CPUs and nodes name {named} ids, {NAMED_LIMIT} are the limit")
    name_element = root.child("name")
    if name_element is None or not name_element.text:
        raise document.error(name_element or root, "the domain has no name", "add <name>NAME</name>")
    uuid = root.child("uuid")
    vcpu = root.child("vcpu")
    auto = has_auto_placement(root)
    cpuset = None if vcpu is None else id_set(document, vcpu, "cpuset")
    vcpus = vcpu_count(document)
    cells = read_cells(document, vcpus)
    cputune = root.child("cputune")
    metadata = read_metadata(document)
    return Guest(
        name=name_element.text,
        file=document.file,
        vcpus=vcpus,
        memory_kib=total_memory_kib(document),
        uuid=uuid.text or None if uuid is not None else None,
        vcpu_line=0 if vcpu is None else vcpu.line,
        # With placement "auto" libvirt ignores cpuset (formatdomain, "CPU Allocation").
        vcpu_cpuset=None if cpuset is None or auto else CpuSet(cpuset),
        auto_placement=auto,
        topology=read_topology(document),
        cells=cells,
        vcpu_pins=_vcpu_pins(document, cputune, vcpus),
        emulator_pin=_emulator_pin(document, cputune),
        iothreads=len(iothread_ids(document)),
        iothread_pins=_iothread_pins(document, cputune),
        memory=_memory_binding(document),
        memnodes=_memnodes(document),
        hugepages=read_hugepages(document),
        interfaces=read_interfaces(document),
        hostdevs=read_hostdevs(document),
        thread_policy=metadata.thread_policy,
        shared_vcpus=metadata.shared_vcpus,
        loose_devices=metadata.loose_devices,
    )


def vcpu_count(document: Document) -> int:
    """``<vcpu>``: how many vCPUs at most; 1 where it does not say, as libvirt has it."""
    vcpu = document.root.child("vcpu")
    if vcpu is None or not vcpu.text:
        return 1
    return whole(document, vcpu, vcpu.text, what="<vcpu>", least=1, most=CPU_LIMIT)


def has_auto_placement(root: Element) -> bool:
    """Whether numad places the guest (formatdomain, "CPU Allocation": placement of ``<vcpu>``, else of numatune)."""
    vcpu = root.child("vcpu")
    placement = None if vcpu is None else vcpu.get("placement")
    if placement is not None or (vcpu is not None and vcpu.get("cpuset") is not None):
        return placement == "auto"
    numatune = root.child("numatune")
    memory = None if numatune is None else numatune.child("memory")
    return memory is not None and memory.get("placement") == "auto"


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
    for position, cell in enumerate(cells):
        if ids[position] in ids[:position]:
            raise document.error(cell, f"a second cell {ids[position]}", "each cell has an id of its own")
    return tuple(ids)


def cell_memory_kib(document: Document, cell: Element) -> int:
    """The memory of a ``<cell>``."""
    return memory_kib(document, cell, cell.get("memory"), what="memory of <cell>")


def read_cells(document: Document, vcpus: int) -> tuple[GuestCell, ...]:
    """``<cpu><numa>`` by id. vCPUs that no cell names are in cell 0, where QEMU puts them."""
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
    cells = [
        GuestCell(
            CellId(cell_id),
            tuple(VcpuId(v) for v in sorted(cpus | rest if cell_id == 0 else cpus)),
            cell_memory_kib(document, cell),
            cell.line,
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


def _vcpu_pins(document: Document, cputune: Element | None, vcpus: int) -> tuple[VcpuPin, ...]:
    """``<vcpupin>``; those of vCPUs that the guest does not have are ignored, as libvirt does."""
    pins: dict[int, VcpuPin] = {}
    for pin in () if cputune is None else cputune.all("vcpupin"):
        vcpu = attribute(document, pin, "vcpu", least=0, most=CPU_LIMIT)
        cpus = CpuSet(required_id_set(document, pin, "cpuset"))
        if vcpu in pins:
            raise document.error(pin, f"a second <vcpupin> of vCPU {vcpu}, the first is on line {pins[vcpu].line}")
        pins[vcpu] = VcpuPin(VcpuId(vcpu), cpus, pin.line)
    return tuple(pins[vcpu] for vcpu in sorted(pins) if vcpu < vcpus)


def _emulator_pin(document: Document, cputune: Element | None) -> EmulatorPin | None:
    pin = None if cputune is None else document.only(cputune, "emulatorpin")
    return None if pin is None else EmulatorPin(CpuSet(required_id_set(document, pin, "cpuset")), pin.line)


def _iothread_pins(document: Document, cputune: Element | None) -> tuple[IothreadPin, ...]:
    pins: dict[int, IothreadPin] = {}
    for pin in () if cputune is None else cputune.all("iothreadpin"):
        number = attribute(document, pin, "iothread", least=1, most=IOTHREAD_LIMIT)
        cpus = CpuSet(required_id_set(document, pin, "cpuset"))
        if number in pins:
            first = pins[number].line
            raise document.error(pin, f"a second <iothreadpin> of iothread {number}, the first is on line {first}")
        pins[number] = IothreadPin(IothreadId(number), cpus, pin.line)
    return tuple(pins[number] for number in sorted(pins))


def _memory_binding(document: Document) -> MemoryBinding | None:
    numatune = document.root.child("numatune")
    memory = None if numatune is None else document.only(numatune, "memory")
    if memory is None:
        return None
    nodes = None if memory.get("placement") == "auto" else _nodes(document, memory)
    return MemoryBinding(None, memory.get("mode") or "strict", nodes, memory.line)


def _memnodes(document: Document) -> tuple[MemoryBinding, ...]:
    numatune = document.root.child("numatune")
    bindings: dict[int, MemoryBinding] = {}
    for memnode in () if numatune is None else numatune.all("memnode"):
        cell = attribute(document, memnode, "cellid", least=0, most=CPU_LIMIT)
        required_id_set(document, memnode, "nodeset")
        if cell in bindings:
            raise document.error(memnode, f"a second <memnode> of cell {cell}, the first is on line"
                                 f" {bindings[cell].line}")  # fmt: skip
        mode = memnode.get("mode") or "strict"
        bindings[cell] = MemoryBinding(CellId(cell), mode, _nodes(document, memnode), memnode.line)
    return tuple(bindings[cell] for cell in sorted(bindings))


def _nodes(document: Document, element: Element) -> tuple[NodeId, ...] | None:
    ids = id_set(document, element, "nodeset")
    return None if ids is None else tuple(NodeId(node) for node in sorted(ids))


def read_hugepages(document: Document) -> tuple[HugepageRequest, ...]:
    """``<memoryBacking><hugepages>``; without a ``<page>`` it means the host's default size for every cell."""
    backing = document.root.child("memoryBacking")
    hugepages = None if backing is None else document.only(backing, "hugepages")
    if hugepages is None:
        return ()
    pages = hugepages.all("page")
    if not pages:
        return (HugepageRequest(None, None, hugepages.line),)
    return tuple(_pages(document, pages))


def _pages(document: Document, pages: tuple[Element, ...]) -> Iterator[HugepageRequest]:
    for page in pages:
        cells = id_set(document, page, "nodeset")
        yield HugepageRequest(
            memory_kib(document, page, page.get("size"), what="size of <page>"),
            None if cells is None else tuple(CellId(cell) for cell in sorted(cells)),
            page.line,
        )
