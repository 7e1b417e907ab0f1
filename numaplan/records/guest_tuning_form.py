"""How a guest is tuned, as the inventory document has it: schedulers, caches, memory backing, controllers."""

from typing import Annotated

from pydantic import Field

from numaplan.model.guest import (
    CacheTune,
    CellId,
    GuestController,
    MemoryBacking,
    ThreadKind,
    ThreadScheduler,
    VcpuId,
)
from numaplan.records.document import Form
from numaplan.records.fields import Address, Count, Id, Integer, Size, Text


class SchedulerForm(Form):
    """``<vcpusched>``, ``<iothreadsched>`` or ``<emulatorsched>``; `threads` are vCPUs or iothreads by number."""

    kind: Annotated[ThreadKind, Field(strict=False)]
    threads: list[Count] = Field(default_factory=list)
    policy: Text
    priority: Integer | None = None
    line: Id = 0


class CacheForm(Form):
    """``<cache>`` of a ``<cachetune>``."""

    id: Id
    level: Id
    type: Text
    size_kib: Size


class CacheTuneForm(Form):
    """``<cachetune>``."""

    vcpus: list[Count]
    caches: list[CacheForm] = Field(default_factory=list)
    line: Id = 0


class BackingForm(Form):
    """``<memoryBacking>`` but for its huge pages."""

    nosharepages: bool = False
    locked: bool = False
    discard: bool = False
    source: Text | None = None
    access: Text | None = None
    allocation: Text | None = None
    allocation_threads: Id | None = None
    line: Id = 0


class ControllerForm(Form):
    """``<controller>``; of an expander bus, `cell` is the guest's node and `bus_number` its first bus."""

    type: Text
    index: Id | None = None
    model: Text | None = None
    cell: Id | None = None
    bus_number: Id | None = None
    address: Address | None = None
    line: Id = 0


def to_scheduler(form: SchedulerForm) -> ThreadScheduler:
    """The noun of a form."""
    return ThreadScheduler(form.kind, tuple(form.threads), form.policy, form.line, form.priority)


def to_cachetune(form: CacheTuneForm) -> CacheTune:
    """The noun of a form."""
    caches = tuple((cache.id, cache.level, cache.type, cache.size_kib) for cache in form.caches)
    return CacheTune(tuple(map(VcpuId, form.vcpus)), form.line, caches)


def to_backing(form: BackingForm) -> MemoryBacking:
    """The noun of a form."""
    return MemoryBacking(
        form.line,
        nosharepages=form.nosharepages,
        locked=form.locked,
        discard=form.discard,
        source=form.source,
        access=form.access,
        allocation=form.allocation,
        allocation_threads=form.allocation_threads,
    )


def to_controller(form: ControllerForm) -> GuestController:
    """The noun of a form."""
    return GuestController(
        form.type,
        form.line,
        index=form.index,
        model=form.model,
        cell=None if form.cell is None else CellId(form.cell),
        bus_number=form.bus_number,
        address=form.address,
    )
