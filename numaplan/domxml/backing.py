"""``<memoryBacking>`` beside its pages, and ``<memtune><hard_limit>``: how the host holds the guest's memory."""

from typing import Final

from numaplan.domxml.devices import device_elements
from numaplan.domxml.element import New
from numaplan.domxml.numbers import scaled_kib
from numaplan.domxml.read import cell_elements, memory_devices_kib
from numaplan.domxml.sizes import set_size
from numaplan.domxml.task import Task, by_name
from numaplan.domxml.tree import Element
from numaplan.errors import InputError
from numaplan.model.request import InterfaceType, MemoryAccess, MemoryAllocation
from numaplan.units import format_size

# The order in which libvirt prints the children of <memoryBacking> (virDomainMemorybackingFormat).
_ORDER: Final = ["hugepages", "nosharepages", "locked", "source", "access", "allocation", "discard"]
# Likewise of <memtune> (virDomainMemtuneFormat).
_LIMITS: Final = ["hard_limit", "soft_limit", "min_guarantee", "swap_hard_limit"]
_SHARED: Final = MemoryAccess.SHARED.value
# What gives the file that others map a name, or needs none.
_SHAREABLE: Final = frozenset({"file", "memfd"})


def wanted_access(task: Task) -> str | None:
    """How every cell's memory is to be mapped: shared for vhost-user, else as vnf.yaml says; None: as it is.

    Raises InputError where vnf.yaml says private, and the XML has a vhost-user interface.
    """
    asked = task.request.memory_backing.access
    element = next((e for e in device_elements(task.document, "interface") if e.get("type") == "vhostuser"), None)
    if element is not None and asked is MemoryAccess.PRIVATE:
        raise task.document.error(
            element,
            "this interface is of type vhostuser, which needs shared memory, and vnf.yaml asks for access private",
            "take one of them out",
        )
    if element is not None or any(i.type is InterfaceType.VHOSTUSER for i in task.request.interfaces):
        return _SHARED
    return None if asked is None else asked.value


def general_access(task: Task) -> str | None:
    """``<access mode>``, which holds for cells that say nothing themselves."""
    return _said(_backing_child(task, "access"), "mode")


def patch_backing(task: Task, hugepages: New | None, *, has_cells: bool) -> None:
    """The children of ``<memoryBacking>``; `hugepages` is the one of pages where that is to be added."""
    asked = task.request.memory_backing
    news = [] if hugepages is None else [hugepages]
    if asked.nosharepages and _backing_child(task, "nosharepages") is None:
        news.append(New("nosharepages"))
    if asked.locked and _backing_child(task, "locked") is None:
        news.append(New("locked"))
    access = wanted_access(task)
    news += _source(task, is_shared=access == _SHARED)
    if access is not None:
        news += _access(task, access, has_cells=has_cells)
    news += _allocation(task)
    backing = task.root.child("memoryBacking")
    if backing is None:
        if news:
            task.add_to_domain(New("memoryBacking", children=tuple(news)))
        return
    if not news and task.edits.leaves_nothing(backing):
        task.edits.remove(backing)
    for new in news:
        task.edits.insert_ranked(backing, new, rank=(_ORDER.index(new.name),), rank_of=by_name(_ORDER))


def patch_limit(task: Task, memory: int) -> None:
    """``<memtune><hard_limit>`` of a guest that will have `memory` KiB; raises InputError for one too low to lock."""
    asked = task.request.memory_backing
    memtune = task.document.only(task.root, "memtune")
    element = None if memtune is None else task.document.only(memtune, "hard_limit")
    there = 0 if element is None else scaled_kib(task.document, element, element.text, what="<hard_limit>")
    limit = asked.hard_limit_kib or there
    if asked.hard_limit_kib is not None:
        _write_limit(task, memtune, element, there_kib=there)
    if asked.locked and limit <= memory:
        raise _no_limit(task, element, limit, memory)
    if 0 < limit <= memory:
        where = "" if element is None else f" on line {element.line}"
        task.notes.append(
            f"<hard_limit>{where} is {format_size(limit)}, the guest alone has {format_size(memory)}:"
            " the kernel kills it there, raise it"
        )
    swap = None if memtune is None else memtune.child("swap_hard_limit")
    if asked.hard_limit_kib is not None and swap is not None:
        swap_kib = scaled_kib(task.document, swap, swap.text, what="<swap_hard_limit>")
        if swap_kib < limit:
            task.notes.append(f"<swap_hard_limit> on line {swap.line} is less than {format_size(limit)}: raise it")


def memory_after(task: Task, *, keeps_memory: bool) -> int:
    """KiB that the guest will have, memory devices among them."""
    if keeps_memory:
        return task.guest.memory_kib or 0
    return sum(cell.memory_kib for cell in task.placement.cells) + memory_devices_kib(task.document)


def _backing_child(task: Task, name: str) -> Element | None:
    backing = task.root.child("memoryBacking")
    return None if backing is None else task.document.only(backing, name)


def _said(element: Element | None, name: str) -> str | None:
    return None if element is None else element.get(name) or None


def _source(task: Task, *, is_shared: bool) -> list[New]:
    """``<source>``: without one, ordinary pages that are shared lie in a file on a disk of the host.

    libvirt refuses an anonymous one beside huge pages (qemuValidateDomainDefMemory).
    """
    element = _backing_child(task, "source")
    kind = _said(element, "type")
    if is_shared and task.has_small_pages and kind not in _SHAREABLE:
        if element is None:
            return [New("source", (("type", "memfd"),))]
        task.edits.set_attribute(element, "type", "memfd")
    elif element is not None and kind == "anonymous" and task.has_huge_pages:
        task.edits.remove(element)
        task.notes.append(_goes(element, "type"))
    return []


def _access(task: Task, access: str, *, has_cells: bool) -> list[New]:
    """``memAccess`` of every cell that is there (those that are added bring it), or ``<access>`` where there is none.

    What nobody says is private.
    """
    element = _backing_child(task, "access")
    general = _said(element, "mode")
    if has_cells:
        for cell in cell_elements(task.document):
            if (cell.get("memAccess") or general or MemoryAccess.PRIVATE.value) != access:
                task.edits.set_attribute(cell, "memAccess", access)
        return []
    if (general or MemoryAccess.PRIVATE.value) == access:
        return []
    if element is None:
        return [New("access", (("mode", access),))]
    task.edits.set_attribute(element, "mode", access)
    return []


def _allocation(task: Task) -> list[New]:
    """``<allocation>``; libvirt refuses ondemand beside huge pages (qemuValidateDomainDefMemory)."""
    element = _backing_child(task, "allocation")
    asked = task.request.memory_backing.allocation
    is_refused = task.has_huge_pages and asked is MemoryAllocation.ONDEMAND
    if is_refused:
        task.notes.append("allocation ondemand of vnf.yaml is left out: libvirt refuses it beside huge pages")
    if asked is not None and not is_refused:
        if element is None:
            return [New("allocation", (("mode", asked.value),))]
        task.edits.set_attribute(element, "mode", asked.value)
    elif element is not None and task.has_huge_pages and element.get("mode") == MemoryAllocation.ONDEMAND:
        if len(element.attributes) == 1:
            task.edits.remove(element)
        else:
            task.edits.drop_attribute(element, "mode")
        task.notes.append(_goes(element, "mode"))
    return []


def _goes(element: Element, name: str) -> str:
    said = f"<{element.tag} {name}='{element.get(name)}'>"
    return f"{said} on line {element.line} goes: libvirt refuses it beside huge pages"


def _write_limit(task: Task, memtune: Element | None, element: Element | None, *, there_kib: int) -> None:
    wanted = task.request.memory_backing.hard_limit_kib or 0
    new = New("hard_limit", (("unit", "KiB"),), text=str(wanted))
    if memtune is None:
        task.add_to_domain(New("memtune", children=(new,)))
    elif element is None:
        task.edits.insert_ranked(memtune, new, rank=(0,), rank_of=by_name(_LIMITS))
    else:
        set_size(task, element, wanted, current_kib=there_kib)


def _no_limit(task: Task, element: Element | None, limit: int, memory: int) -> InputError:
    if limit:
        what = f"locked memory needs a hard limit above the guest's {format_size(memory)}, here it is"
        what += f" {format_size(limit)}"
    else:
        what = "locked memory needs a hard limit, and neither vnf.yaml nor the XML has one"
    hint = f"give memory_backing.hard_limit in vnf.yaml: {format_size(memory)} and what QEMU itself takes"
    return task.document.error(element or task.root, what, hint)
