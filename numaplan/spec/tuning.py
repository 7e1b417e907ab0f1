"""The keys ``realtime`` and ``memory_backing`` of a vm, and what they must agree on with the rest of it."""

from typing import Annotated, Final

from pydantic import Field

from numaplan.cpuset import CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.request import (
    CellRequest,
    InterfaceType,
    MemoryAccess,
    MemoryAllocation,
    MemoryBackingRequest,
    PageSize,
    Realtime,
)
from numaplan.spec.devices import InterfaceKeys
from numaplan.spec.forms import Keys
from numaplan.spec.nodes import Mistake, YamlMap
from numaplan.spec.scalars import Choice, CpuList, Size, Truth, Whole
from numaplan.units import format_size

# sched(7): the priorities of SCHED_FIFO.
_PRIORITY_LIMIT: Final = 99
_HUGE: Final = frozenset({PageSize.HUGE_2M, PageSize.HUGE_1G, PageSize.LARGE})


class RealtimeKeys(Keys):
    """vCPUs that the kernel runs first in, first out."""

    vcpus: Annotated[CpuSet, CpuList(empty=False), Field(description='Which vCPUs, dedicated ones, such as "1-3".')]
    priority: Annotated[int, Whole(1, _PRIORITY_LIMIT), Field(description="Their priority.")] = 1


class MemoryBackingKeys(Keys):
    """How the host holds the guest's memory; what is not said stays as the guest's XML has it."""

    nosharepages: Annotated[bool, Truth(), Field(description="Its pages are merged with no other guest's.")] = False
    locked: Annotated[bool, Truth(), Field(description="Its pages are never swapped out; needs a hard limit.")] = False
    hard_limit: Annotated[
        int | None, Size(), Field(description="The most that the guest and QEMU itself may take, more than its memory.")
    ] = None
    allocation: Annotated[
        MemoryAllocation | None,
        Choice(MemoryAllocation),
        Field(description="immediate: taken from the host at the start; ondemand: as it is touched."),
    ] = None
    access: Annotated[
        MemoryAccess | None,
        Choice(MemoryAccess),
        Field(description="shared: other processes may map it; a vhost-user interface needs that, and gets it anyway."),
    ] = None


def realtime_of(
    keys: RealtimeKeys | None, node: YamlMap, dedicated: frozenset[VcpuId], vcpus: int, mistakes: list[Mistake]
) -> Realtime | None:
    """The realtime vCPUs of a vm that has `vcpus`, `dedicated` of them with CPUs of their own."""
    if keys is None:
        return None
    chosen = frozenset(VcpuId(vcpu) for vcpu in keys.vcpus)
    at = _below(node, "realtime")
    if (highest := max(chosen)) >= vcpus:
        _tell(at, "vcpus", f"vCPU {highest} does not exist, the vm has vCPUs 0-{vcpus - 1}", mistakes)
    elif shared := CpuSet(chosen - dedicated):
        what = f"vCPU {shared} has no CPU of its own: a realtime vCPU keeps others off the CPU that it runs on"
        _tell(at, "vcpus", what, mistakes, hint="name dedicated vCPUs")
    return Realtime(chosen, keys.priority)


def memory_backing_of(
    keys: MemoryBackingKeys,
    node: YamlMap,
    cells: tuple[CellRequest, ...],
    interfaces: list[InterfaceKeys],
    mistakes: list[Mistake],
) -> MemoryBackingRequest:
    """How the memory of a vm with these cells and interfaces is held."""
    at = _below(node, "memory_backing")
    memory = sum(cell.memory_kib for cell in cells)
    if keys.hard_limit is not None and keys.hard_limit <= memory:
        what = f"{format_size(keys.hard_limit)} must be more than the vm's memory, {format_size(memory)}"
        _tell(at, "hard_limit", what, mistakes, hint="QEMU itself needs some too")
    if keys.allocation is MemoryAllocation.ONDEMAND and any(cell.page_size in _HUGE for cell in cells):
        _tell(at, "allocation", "libvirt takes ondemand for ordinary pages alone, this vm has huge ones", mistakes)
    switched = next((i for i in interfaces if i.type is InterfaceType.VHOSTUSER), None)
    if keys.access is MemoryAccess.PRIVATE and switched is not None:
        _tell(at, "access", f"interface {switched.name!r} is of type vhostuser, which needs shared memory", mistakes)
    return MemoryBackingRequest(keys.nosharepages, keys.locked, keys.hard_limit, keys.allocation, keys.access)


def _below(node: YamlMap, key: str) -> YamlMap:
    found = node.get(key)
    return found if isinstance(found, YamlMap) else node


def _tell(node: YamlMap, key: str, what: str, mistakes: list[Mistake], *, hint: str | None = None) -> None:
    mistakes.append(Mistake(node.mark_of(key), node.path_of(key), what, hint))
