"""What a guest's memory is made of: huge pages, ``<memoryBacking>``'s other words, the limit in ``<memtune>``."""

from collections.abc import Iterator
from typing import Final, cast

from numaplan.domxml.numbers import MEMORY_LIMIT_KIB, memory_kib, scaled_kib, sorted_ids, whole
from numaplan.domxml.tree import Document, Element
from numaplan.model.guest import CellId, HugepageRequest, MemoryBacking

_THREADS_LIMIT: Final = 2**31 - 1


def read_hugepages(document: Document, *, has_cells: bool) -> tuple[HugepageRequest, ...]:
    """``<memoryBacking><hugepages>``; without a ``<page>`` it means the host's default size for every cell.

    A guest without cells may call itself cell 0: that is all of it (libvirt, virDomainDefPostParseMemory).
    """
    backing = document.root.child("memoryBacking")
    hugepages = None if backing is None else document.only(backing, "hugepages")
    if hugepages is None:
        return ()
    pages = hugepages.all("page")
    if not pages:
        return (HugepageRequest(None, None, hugepages.line),)
    return tuple(_pages(document, pages, has_cells=has_cells))


def read_backing(document: Document) -> MemoryBacking | None:
    """``<memoryBacking>``; None where it says nothing, or of huge pages alone. Its words are kept as they stand."""
    element = document.root.child("memoryBacking")
    if element is None:
        return None
    backing = MemoryBacking(
        element.line,
        nosharepages=element.child("nosharepages") is not None,
        locked=element.child("locked") is not None,
        discard=element.child("discard") is not None,
        source=_word(element, "source", "type"),
        access=_word(element, "access", "mode"),
        allocation=_word(element, "allocation", "mode"),
        allocation_threads=_allocation_threads(document, element),
    )
    return None if backing == MemoryBacking(element.line) else backing


def read_memory_limit(document: Document) -> int | None:
    """``<memtune><hard_limit>`` in KiB; None where there is none, and for more than any host has, "unlimited" too.

    libvirt writes 9007199254740991 for that (VIR_DOMAIN_MEMORY_PARAM_UNLIMITED).
    """
    limits = [limit for memtune in document.root.all("memtune") for limit in memtune.all("hard_limit")]
    limit = limits[0] if limits else None
    if limit is None or not limit.text:
        return None
    size_kib = scaled_kib(document, limit, limit.text, what="<hard_limit>")
    return size_kib if size_kib <= MEMORY_LIMIT_KIB else None


def _pages(document: Document, pages: tuple[Element, ...], *, has_cells: bool) -> Iterator[HugepageRequest]:
    for page in pages:
        cells = sorted_ids(document, page, "nodeset")
        if cells == (0,) and not has_cells:
            cells = None
        size_kib = memory_kib(document, page, page.get("size"), what="size of <page>")
        if not size_kib:
            raise document.error(page, "size of <page> is 0", "expected the size of a huge page")
        # No copy: thousands of pages may share one list.
        yield HugepageRequest(size_kib, cast("tuple[CellId, ...] | None", cells), page.line)


def _word(element: Element, child: str, name: str) -> str | None:
    inner = element.child(child)
    return None if inner is None else inner.get(name) or None


def _allocation_threads(document: Document, element: Element) -> int | None:
    """``<allocation threads>``; 0 is libvirt's word for "not said"."""
    allocation = element.child("allocation")
    text = None if allocation is None else allocation.get("threads")
    if allocation is None or not text:
        return None
    return whole(document, allocation, text, what="threads of <allocation>", least=0, most=_THREADS_LIMIT) or None
