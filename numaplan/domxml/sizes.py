"""The guest's memory: ``<memory>``, ``<currentMemory>``, and the page sizes in ``<memoryBacking>``."""

from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.domxml.element import New
from numaplan.domxml.numbers import memory_kib, unit_bytes
from numaplan.domxml.read import memory_devices_kib
from numaplan.domxml.task import SMALL_PAGE_KIB, Task
from numaplan.domxml.tree import Element
from numaplan.model.guest import Guest
from numaplan.units import format_size

_UNIT: Final = "KiB"


def patch_memory(task: Task, *, has_cells: bool) -> None:
    """``<memory>`` becomes the sum of the planned cells and of the memory devices, which it includes."""
    document, root = task.document, task.root
    wanted = sum(cell.memory_kib for cell in task.placement.cells) + memory_devices_kib(document)
    memory = root.child("memory")
    if memory is not None:
        size = memory_kib(document, memory, memory.text, what="<memory>") if memory.text else 0
        set_size(task, memory, wanted, current_kib=size)
    elif not has_cells:
        # libvirt adds up the cells where there are any.
        task.add_to_domain(New("memory", (("unit", _UNIT),), text=str(wanted)))
    current = root.child("currentMemory")
    if current is not None:
        size = memory_kib(document, current, current.text, what="<currentMemory>") if current.text else 0
        if not size or size >= (task.guest.memory_kib or 0) or size > wanted:
            set_size(task, current, wanted, current_kib=size)
    most = root.child("maxMemory")
    if most is not None and most.text and memory_kib(document, most, most.text, what="<maxMemory>") < wanted:
        task.notes.append(
            f"<maxMemory> on line {most.line} is less than {format_size(wanted)}: libvirt refuses that, raise it"
        )


def set_size(task: Task, element: Element, wanted_kib: int, *, current_kib: int) -> None:
    """Makes the text of `element` mean `wanted_kib`, in its own unit where that divides it."""
    if current_kib != wanted_kib:
        value, unit = _in_unit(element, wanted_kib)
        task.edits.set_text(element, value)
        if unit is not None:
            task.edits.set_attribute(element, "unit", unit)


def set_size_attribute(task: Task, element: Element, name: str, wanted_kib: int) -> None:
    """Makes an attribute of `element` mean `wanted_kib`, likewise."""
    if memory_kib(task.document, element, element.get(name), what=name) != wanted_kib:
        value, unit = _in_unit(element, wanted_kib)
        task.edits.set_attribute(element, name, value)
        if unit is not None:
            task.edits.set_attribute(element, "unit", unit)


def _in_unit(element: Element, wanted_kib: int) -> tuple[str, str | None]:
    """The number in the element's own unit; in KiB, and that unit to be written, where it does not divide it."""
    factor = unit_bytes(element.get("unit")) or 1
    if wanted_kib * 1024 % factor == 0:
        return str(wanted_kib * 1024 // factor), None
    return str(wanted_kib), _UNIT


def patch_pages(task: Task, cells: tuple[int, ...]) -> New | None:
    """The ``<hugepages>`` that is to be added: the page size of every planned cell.

    One that is there is changed here; it goes where all have ordinary pages.

    `cells` are the guest NUMA cells that the XML will have: libvirt refuses pages for others.
    """
    planned = {int(cell.id): cell.page_size_kib for cell in task.placement.cells}
    wanted = {cell: size for cell, size in planned.items() if not cells or cell in cells}
    named = {cell for page in task.guest.hugepages for cell in page.cells or ()}
    if named <= wanted.keys() and all(page_size_of(task.guest, cell) == size for cell, size in wanted.items()):
        return None
    backing = task.root.child("memoryBacking")
    hugepages = None if backing is None else backing.child("hugepages")
    pages = _pages(wanted)
    if not pages:
        if hugepages is not None:
            task.edits.remove(hugepages)
            task.notes.append(f"<hugepages> on line {hugepages.line} goes: the plan has pages of 4 KiB")
        return None
    if hugepages is None:
        return New("hugepages", children=tuple(New("page", page) for page in pages))
    _rewrite_pages(task, hugepages, pages)
    return None


def page_size_of(guest: Guest, cell: int) -> int | None:
    """KiB of the pages of a cell as the XML has it; None: the host's default huge size."""
    if not guest.hugepages:
        return SMALL_PAGE_KIB
    named = (page for page in guest.hugepages if page.cells is not None and cell in page.cells)
    general = (page for page in guest.hugepages if page.cells is None)
    page = next(iter((*named, *general)), None)
    return SMALL_PAGE_KIB if page is None else page.size_kib


def _pages(wanted: dict[int, int]) -> list[tuple[tuple[str, str], ...]]:
    """The attributes of each ``<page>``. Cells that are named by none have ordinary pages."""
    sizes = sorted({size for size in wanted.values() if size != SMALL_PAGE_KIB}, reverse=True)
    pages = []
    for size in sizes:
        cells = [cell for cell, own in wanted.items() if own == size]
        nodeset = () if len(cells) == len(wanted) else (("nodeset", format_id_list(cells)),)
        pages.append((("size", str(size)), ("unit", _UNIT), *nodeset))
    return pages


def _rewrite_pages(task: Task, hugepages: Element, pages: list[tuple[tuple[str, str], ...]]) -> None:
    existing = hugepages.all("page")
    for element, page in zip(existing, pages, strict=False):
        attributes = dict(page)
        for name in ("size", "unit", "nodeset"):
            if name in attributes:
                task.edits.set_attribute(element, name, attributes[name])
            else:
                task.edits.drop_attribute(element, name)
    for surplus in existing[len(pages) :]:
        task.edits.remove(surplus)
    last = existing[-1] if existing else None
    for page in pages[len(existing) :]:
        task.edits.insert(hugepages, New("page", page), after=last)
