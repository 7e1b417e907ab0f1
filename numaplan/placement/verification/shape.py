"""Whether a plan answers what was asked: every guest once, with the cells, CPUs, interfaces and devices it named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from numaplan.model.guest import CellId, VcpuId
from numaplan.model.plan import CellPlacement, Placement, Plan, Status
from numaplan.model.request import (
    EmulatorPolicy,
    GuestRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
)
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import is_dedicated
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count, format_few

# As many as a large guest cell has, so that what is not as asked can be seen.
_MOST_IDS: Final = 64


@dataclass(frozen=True, slots=True)
class ExpectedCell:
    """A guest cell as it must be. `strict` binds its memory to its node."""

    id: CellId
    vcpus: tuple[VcpuId, ...]
    memory_kib: int
    page_size: PageSize
    strict: bool


def expected_cells(facts: Facts, guest: GuestRequest, placement: Placement) -> tuple[ExpectedCell, ...]:
    """The cells asked for; those of the guest's XML where it has others and is to keep them, or may and does."""
    asked = tuple(
        ExpectedCell(
            CellId(i), cell.vcpus, cell.memory_kib, cell.page_size, strict=cell.memory_policy is MemoryPolicy.STRICT
        )
        for i, cell in enumerate(guest.cells)
    )
    kept = _kept_cells(facts, guest)
    planned = [(cell.id, _vcpus(cell), cell.memory_kib) for cell in placement.cells]
    keeps = facts.keeps_cells or planned == [(cell.id, cell.vcpus, cell.memory_kib) for cell in kept]
    return kept if kept and keeps else asked


def plan_violations(facts: Facts, plan: Plan, *, same_host: bool) -> Iterator[Violation]:
    """Another host's plan; guests that are missing, unknown, doubled, out of order or both placed and not."""
    yield from _host_violations(facts, plan, same_host=same_host)
    places_nothing = plan.status in (Status.INFEASIBLE, Status.UNKNOWN)
    if places_nothing and (plan.placements or plan.levels):
        yield Violation(
            None,
            "status",
            f"a plan that is {plan.status} has {format_count(len(plan.placements), 'placement')} and "
            f"{format_count(len(plan.levels), 'level')}; it can have none",
        )
        return
    if not places_nothing and plan.conflict is not None:
        yield Violation(None, "status", f"a plan that is {plan.status} has a conflict; only one that is infeasible has")
    if plan.status is Status.INFEASIBLE and facts.request.guests and not any(g.required for g in facts.request.guests):
        said = "the plan is infeasible, and the request has 0 guests that are required: all of them may be left out"
        yield Violation(None, "status", said)
    placed = Counter(placement.vm for placement in plan.placements)
    left_out = Counter(unplaced.vm for unplaced in plan.unplaced)
    for name in sorted((placed | left_out).keys()):
        if facts.asked(name) is None:
            yield Violation(name, "unknown_guest", f'guest "{name}" is in the plan, but the request does not name it')
        elif placed[name] > 1:
            yield Violation(name, "placed_twice", f'guest "{name}" has {placed[name]} placements; it can have 1')
    yield from _order_violations(facts, plan)
    for guest in facts.request.guests:
        missing = guest.required and not places_nothing
        yield from _account(guest.name, missing=missing, placed=placed[guest.name], left_out=left_out[guest.name])


def shape_violations(facts: Facts, placement: Placement) -> Iterator[Violation]:
    """Cells, vCPUs, CPUs of its own, iothreads, interfaces and devices that a guest has too many or too few of.

    Where there are any, nothing else is asked of that placement: a small plan file can name millions of CPUs, and what
    each of them breaks fills the memory. What has this shape is no larger than what was asked for.
    """
    guest = facts.asked(placement.vm)
    if guest is not None:
        cells = tuple(_cell_violations(facts, guest, placement))
        yield from cells or _vcpu_violations(guest, placement)
        yield from _own_thread_violations(guest, placement)
        yield from _interface_violations(guest, placement)
        yield from _device_violations(guest, placement)


def cell_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Memory amounts that are not as asked, and nodes that are not there."""
    for placement in placements:
        guest = facts.asked(placement.vm)
        if guest is None:
            continue
        for cell, wanted in zip(placement.cells, expected_cells(facts, guest, placement), strict=True):
            where = f'guest "{guest.name}" cell {cell.id}'
            if cell.memory_kib != wanted.memory_kib:
                yield Violation(
                    guest.name, "memory_amount", f"{where} has {cell.memory_kib} KiB; it needs {wanted.memory_kib} KiB"
                )
            if facts.node(cell.numa_node) is None:
                yield Violation(
                    guest.name, "node", f"{where} is on node {cell.numa_node}, which the host does not have"
                )


def _host_violations(facts: Facts, plan: Plan, *, same_host: bool) -> Iterator[Violation]:
    """`same_host`: the host says what it said then. Else it may have no name now, or one without its domain."""
    planned, found = plan.hostname, facts.snapshot.host.hostname
    if planned == found or (not same_host and (planned is None or found is None or _short(planned) == _short(found))):
        return
    said = f"the plan is for {_host_named(planned)}; it is checked on {_host_named(found)}"
    yield Violation(None, "host", said)


def _short(hostname: str) -> str:
    return hostname.partition(".")[0].lower()


def _host_named(name: str | None) -> str:
    return "a host without a name" if name is None else f'host "{name}"'


def _order_violations(facts: Facts, plan: Plan) -> Iterator[Violation]:
    """Placements keep the order of the request; those that it does not name or that stand twice are told elsewhere."""
    order = {guest.name: place for place, guest in enumerate(facts.request.guests)}
    known = [p.vm for p in plan.placements if p.vm in order]
    for before, name in pairwise(dict.fromkeys(known)):
        if order[name] < order[before]:
            said = f'guest "{name}" is placed after guest "{before}"; the request names it before that one'
            yield Violation(name, "order", said)


def _account(name: str, *, missing: bool, placed: int, left_out: int) -> Iterator[Violation]:
    """What is wrong with how often a guest stands in the plan; `missing`: it may not be left out."""
    if missing and not placed:
        yield Violation(name, "required_placed", f'guest "{name}" is required and has 0 placements; it needs 1')
    elif bool(placed) == bool(left_out) or left_out > 1:
        said = f"has {format_count(placed, 'placement')} and stands {format_count(left_out, 'time')} among the unplaced"
        yield Violation(name, "unplaced", f'guest "{name}" {said}; it needs one of either')


def _kept_cells(facts: Facts, guest: GuestRequest) -> tuple[ExpectedCell, ...]:
    existing = facts.existing(guest.name)
    if existing is None or facts.keeps_cells is False:
        return ()
    kept = [(cell.id, cell.vcpus, cell.memory_kib) for cell in sorted(existing.cells, key=lambda cell: cell.id)]
    if not kept and existing.topology is not None and existing.topology.vcpus != guest.vcpus:
        kept = [(CellId(0), tuple(VcpuId(vcpu) for vcpu in range(existing.topology.vcpus)), guest.memory_kib)]
    # Cell by cell where there are as many; else what is asked for the first holds for all.
    wishes = guest.cells if len(guest.cells) == len(kept) else guest.cells[:1] * len(kept)
    return tuple(
        ExpectedCell(*cell, wish.page_size, strict=wish.memory_policy is MemoryPolicy.STRICT)
        for cell, wish in zip(kept, wishes, strict=True)
    )


def _vcpus(cell: CellPlacement) -> tuple[VcpuId, ...]:
    return tuple(vcpu for vcpu, _ in cell.vcpus)


def _cell_violations(facts: Facts, guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    expected = expected_cells(facts, guest, placement)
    found_ids = [cell.id for cell in placement.cells]
    if found_ids != [cell.id for cell in expected]:
        said = f"has {format_count(len(found_ids), 'cell')}, {_few(found_ids)}; needs {len(expected)}"
        yield Violation(guest.name, "cells", f'guest "{guest.name}" {said}')
        return
    for cell, wanted in zip(placement.cells, expected, strict=True):
        if _vcpus(cell) != wanted.vcpus:
            said = f"has vCPUs {_few(_vcpus(cell))}; it needs {_few(wanted.vcpus)}"
            yield Violation(guest.name, "cells", f'guest "{guest.name}" cell {cell.id} {said}')


def _few(ids: Sequence[int]) -> str:
    return f"[{format_few([str(each) for each in ids], _MOST_IDS)}]"


def _few_names(names: Sequence[str]) -> str:
    return format_few([f'"{name}"' for name in names], _MOST_IDS)


def _vcpu_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    for cell in placement.cells:
        for vcpu, cpus in cell.vcpus:
            if is_dedicated(guest, vcpu) and len(cpus) != 1:
                said = f"is dedicated and has {format_count(len(cpus), 'CPU')}; it needs 1"
                yield Violation(guest.name, "cpu_count", f'guest "{guest.name}" vCPU {vcpu} {said}')


def _own_thread_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    """An emulator and iothreads that do not have as many CPUs of their own as asked."""
    if guest.emulator is not EmulatorPolicy.SHARE:
        needed = 1 if guest.emulator is EmulatorPolicy.ISOLATE else guest.emulator_cpus
        if len(placement.emulator) != needed:
            said = f"has {format_count(len(placement.emulator), 'CPU')} of its own; it needs {needed}"
            yield Violation(guest.name, "emulator", f'guest "{guest.name}" emulator {said}')
    ids = [iothread for iothread, _ in placement.iothreads]
    if ids != list(range(1, guest.iothreads + 1)):
        said = f"has iothreads {_few(ids)}; it needs {f'1 to {guest.iothreads}' if guest.iothreads else 'none'}"
        yield Violation(guest.name, "iothreads", f'guest "{guest.name}" {said}')
    elif guest.iothread_policy is IothreadPolicy.DEDICATED:
        for iothread, cpus in placement.iothreads:
            if len(cpus) != 1:
                said = f"has {format_count(len(cpus), 'CPU')} of its own; it needs 1"
                yield Violation(guest.name, "iothreads", f'guest "{guest.name}" iothread {iothread} {said}')


def _interface_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    planned = Counter(interface.name for interface in placement.interfaces)
    wanted = {interface.name: interface for interface in guest.interfaces}
    for name, times in sorted(planned.items()):
        if name not in wanted or times > 1:
            yield Violation(
                guest.name,
                "interfaces",
                f'guest "{guest.name}" interface "{name}" is planned {format_count(times, "time")}; it was asked for '
                f"{format_count(int(name in wanted), 'time')}",
            )
    names = [interface.name for interface in guest.interfaces]
    found = [name for name in planned if name in wanted]
    if found != sorted(found, key=names.index):
        said = f"has interfaces {_few_names(found)}, in another order than asked for"
        yield Violation(guest.name, "interfaces", f'guest "{guest.name}" {said}')
    counts = {interface.name: len(interface.vfs) for interface in placement.interfaces}
    for name, interface in wanted.items():
        needed = interface.count if interface.type is InterfaceType.SRIOV else 0
        if counts.get(name, 0) != needed:
            said = f"has {format_count(counts.get(name, 0), 'VF')}; it needs {needed}"
            yield Violation(guest.name, "interfaces", f'guest "{guest.name}" interface "{name}" {said}')


def _device_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    planned = Counter(device.name for device in placement.devices)
    asked = Counter(device.name for device in guest.devices)
    for name in sorted((planned | asked).keys()):
        if planned[name] != asked[name]:
            yield Violation(
                guest.name,
                "device",
                f'guest "{guest.name}" has {format_count(planned[name], "device")} "{name}"; it needs {asked[name]}',
            )
