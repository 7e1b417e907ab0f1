"""The guest cells of a vm: split evenly, or as its list says."""

from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.request import CellRequest
from numaplan.spec.models import CellKeys, GuestKeys
from numaplan.spec.nodes import Mistake, YamlList, YamlMap, child_path
from numaplan.spec.scalars import VCPU_LIMIT
from numaplan.units import format_count, format_size

_MIB_IN_KIB: Final = 1 << 10
# Of the sizes of huge pages the one that goes into the most amounts of memory.
_HUGE_PAGE_KIB: Final = 2 << 10
# So many cells can still be read in one line.
_EXAMPLE_LIMIT: Final = 8


def cells_of(vm: GuestKeys, node: YamlMap, mistakes: list[Mistake]) -> tuple[CellRequest, ...]:
    """Its cells in order; () where they cannot be had, with the reasons added to `mistakes`."""
    if isinstance(vm.cells, int):
        return _split(vm, vm.cells, node, mistakes)
    return _listed(vm, vm.cells, node, mistakes)


def check_size(node: YamlMap, mistakes: list[Mistake]) -> None:
    """A merged vm needs vcpus and memory, unless its cells are a list."""
    if isinstance(node.get("cells"), YamlList):
        return
    for key in ("vcpus", "memory"):
        if node.get(key) is None:
            path = child_path(node.path, key)
            mistakes.append(
                Mistake(node.mark_of(key), path, "is missing", "give it here, in the profile or in defaults")
            )


def _split(vm: GuestKeys, count: int, node: YamlMap, mistakes: list[Mistake]) -> tuple[CellRequest, ...]:
    if vm.vcpus is None or vm.memory is None:
        return ()  # told by check_size
    uneven = [
        what
        for what, value in (
            (format_count(vm.vcpus, "vCPU"), vm.vcpus),
            (format_size(vm.memory) + " of memory", vm.memory),
        )
        if value % count
    ]
    if uneven:
        what = f"{' and '.join(uneven)} cannot be split evenly over {count} cells"
        hint = _list_hint(vm.vcpus, vm.memory, count, page_kib=vm.page_size.size_kib)
        mistakes.append(Mistake(node.mark_of("cells"), node.path_of("cells"), what, hint))
        return ()
    width = vm.vcpus // count
    return tuple(
        CellRequest(
            tuple(VcpuId(vcpu) for vcpu in range(index * width, (index + 1) * width)),
            vm.memory // count,
            vm.page_size,
            vm.memory_policy,
        )
        for index in range(count)
    )


def _list_hint(vcpus: int, memory_kib: int, count: int, *, page_kib: int | None) -> str:
    """A list of as many cells as can be, as even as can be in whole pages."""
    count = min(count, vcpus, memory_kib)
    if count > _EXAMPLE_LIMIT:
        return "give a list of {vcpus: ..., memory: ...}, one for each cell"
    page = page_kib or _HUGE_PAGE_KIB
    steps = (max(page, _MIB_IN_KIB), page, 1)
    step = next(step for step in steps if memory_kib % step == 0 and memory_kib // step >= count)
    cells = ", ".join(
        f"{{vcpus: {cpus}, memory: {_written(pages * step)}}}"
        for cpus, pages in zip(_shared_out(vcpus, count), _shared_out(memory_kib // step, count), strict=True)
    )
    return f"give a list, such as [{cells}]"


def _shared_out(amount: int, count: int) -> list[int]:
    least, more = divmod(amount, count)
    return [least + (index < more) for index in range(count)]


def _written(size_kib: int) -> str:
    """A size as vnf.yaml takes it."""
    return f"{size_kib}KiB" if size_kib % _MIB_IN_KIB else format_size(size_kib).replace(" ", "")


def _listed(vm: GuestKeys, cells: list[CellKeys], node: YamlMap, mistakes: list[Mistake]) -> tuple[CellRequest, ...]:
    before = len(mistakes)
    numbered = _numbered(cells, node, mistakes)
    if len(mistakes) > before:
        return ()
    total, memory = sum(len(vcpus) for vcpus in numbered), sum(cell.memory for cell in cells)
    if total > VCPU_LIMIT:
        _tell(node, "cells", f"{total} vCPUs are more than {VCPU_LIMIT}", mistakes)
    if vm.vcpus not in {None, total}:
        _tell(node, "vcpus", f"the cells have {format_count(total, 'vCPU')} together, this says {vm.vcpus}", mistakes)
    if vm.memory not in {None, memory}:
        here = f"this says {format_size(vm.memory or 0)}"
        _tell(node, "memory", f"the cells have {format_size(memory)} together, {here}", mistakes)
    if len(mistakes) > before:
        return ()
    return tuple(
        CellRequest(vcpus, cell.memory, cell.page_size or vm.page_size, cell.memory_policy or vm.memory_policy)
        for cell, vcpus in zip(cells, numbered, strict=True)
    )


def _numbered(cells: list[CellKeys], node: YamlMap, mistakes: list[Mistake]) -> list[tuple[VcpuId, ...]]:
    """Each cell's vCPU numbers: counted on where the cells say how many, else as they say."""
    lists = [cell.vcpus for cell in cells if isinstance(cell.vcpus, CpuSet)]
    if not lists:
        numbered: list[tuple[VcpuId, ...]] = []
        start = 0
        for cell in cells:
            assert isinstance(cell.vcpus, int)  # noqa: S101 - there are no lists
            numbered.append(tuple(VcpuId(vcpu) for vcpu in range(start, start + cell.vcpus)))
            start += cell.vcpus
        return numbered
    if len(lists) < len(cells):
        what = "some cells say how many vCPUs they have, others which"
        _tell(node, "cells", what, mistakes, hint='say the same for all; one vCPU by its number is "4", in quotes')
        return []
    seen: set[int] = set()
    for index, vcpus in enumerate(lists):
        if twice := CpuSet(vcpus) & CpuSet(seen):
            cell_node = _cell_node(node, index)
            _tell(cell_node, "vcpus", f"vCPU {twice} is in a cell before this one too", mistakes)
        seen.update(vcpus)
    if missing := CpuSet(range(max(seen) + 1)) - CpuSet(seen):
        _tell(node, "cells", f"vCPU {missing} is in no cell", mistakes, hint="number them from 0 without gaps")
    return [tuple(VcpuId(vcpu) for vcpu in vcpus) for vcpus in lists]


def _cell_node(node: YamlMap, index: int) -> YamlMap:
    cells = node.get("cells")
    cell = cells.items[index] if isinstance(cells, YamlList) else node
    return cell if isinstance(cell, YamlMap) else node


def _tell(node: YamlMap, key: str, what: str, mistakes: list[Mistake], *, hint: str | None = None) -> None:
    mistakes.append(Mistake(node.mark_of(key), node.path_of(key), what, hint))
