"""``<numatune>``: which host nodes a guest's memory comes from, and whether numad decides that."""

from typing import Final, cast

from numaplan.cpuset import CPU_LIMIT
from numaplan.domxml.numbers import attribute, required_id_set, sorted_ids
from numaplan.domxml.tree import Document, Element
from numaplan.model.guest import CellId, MemoryBinding
from numaplan.model.host import NodeId

# libvirt's mode where it says none (formatdomain, "NUMA Node Tuning").
_DEFAULT_MODE: Final = "strict"
_PINS: Final = ("vcpupin", "emulatorpin", "iothreadpin")


def has_auto_vcpus(root: Element) -> bool:
    """Whether placement of ``<vcpu>`` is "auto": libvirt passes over its cpuset then, whatever it says."""
    vcpu = root.child("vcpu")
    return vcpu is not None and vcpu.get("placement") == "auto"


def has_auto_placement(root: Element) -> bool:
    """Whether numad chooses the CPUs of the guest's threads: placement "auto" of ``<vcpu>``.

    That of numatune's memory means the same where the XML names no CPU at all, in ``<vcpu cpuset>`` or a pin; an
    explicit placement "static" of ``<vcpu>`` makes no difference then (libvirt, virDomainDefParseXML).
    """
    vcpu = root.child("vcpu")
    if has_auto_vcpus(root):
        return True
    numatune = root.child("numatune")
    memory = None if numatune is None else numatune.child("memory")
    if memory is None or memory.get("placement") != "auto":
        return False
    cputune = root.child("cputune")
    pinned = cputune is not None and any(cputune.child(name) is not None for name in _PINS)
    return not pinned and (vcpu is None or vcpu.get("cpuset") is None)


def read_memory_binding(document: Document) -> MemoryBinding | None:
    """``<numatune><memory>``; with placement "auto" of ``<vcpu>``, one that libvirt adds, on the line of ``<vcpu>``.

    Modes are kept as they stand. Raises InputError for static placement without a nodeset, as libvirt does.
    """
    numatune, vcpu = document.root.child("numatune"), document.root.child("vcpu")
    memory = None if numatune is None else document.only(numatune, "memory")
    auto_vcpus = has_auto_vcpus(document.root)
    if memory is None or not any(memory.get(name) is not None for name in ("mode", "placement", "nodeset")):
        return MemoryBinding(None, _DEFAULT_MODE, None, vcpu.line) if auto_vcpus and vcpu is not None else None
    nodes = _nodes(document, memory)
    mode, placement = memory.get("mode"), memory.get("placement")
    automatic = placement == "auto" or (placement is None and nodes is None and auto_vcpus)
    if nodes is None and not automatic:
        raise document.error(memory, "nodeset of <memory> is missing", "expected ids such as 0-3,^2,8")
    return MemoryBinding(None, mode or _DEFAULT_MODE, None if automatic else nodes, memory.line)


def read_memnodes(document: Document) -> tuple[MemoryBinding, ...]:
    """``<memnode>``, by cell."""
    numatune = document.root.child("numatune")
    bindings: dict[int, MemoryBinding] = {}
    for memnode in () if numatune is None else numatune.all("memnode"):
        cell = attribute(document, memnode, "cellid", least=0, most=CPU_LIMIT)
        required_id_set(document, memnode, "nodeset")
        if cell in bindings:
            first = bindings[cell].line
            raise document.error(memnode, f"a second <memnode> of cell {cell}, the first is on line {first}")
        mode = memnode.get("mode") or _DEFAULT_MODE
        bindings[cell] = MemoryBinding(CellId(cell), mode, _nodes(document, memnode), memnode.line)
    return tuple(bindings[cell] for cell in sorted(bindings))


def _nodes(document: Document, element: Element) -> tuple[NodeId, ...] | None:
    # No copy: thousands of cells may share one list.
    return cast("tuple[NodeId, ...] | None", sorted_ids(document, element, "nodeset"))
