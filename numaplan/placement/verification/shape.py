"""Whether a plan answers what was asked: every guest once, with the cells, vCPUs, interfaces and devices it named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from numaplan.model.guest import CellId, VcpuId
from numaplan.model.plan import CellPlacement, Placement, Plan, Status
from numaplan.model.request import GuestRequest, InterfaceType, MemoryPolicy, PageSize
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.violation import Violation


@dataclass(frozen=True, slots=True)
class ExpectedCell:
    """A guest cell as it must be. `page_sizes` are the wishes any of which may be met; `strict` binds its memory."""

    id: CellId
    vcpus: tuple[VcpuId, ...]
    memory_kib: int
    page_sizes: tuple[PageSize, ...]
    strict: bool


def expected_cells(facts: Facts, guest: GuestRequest, placement: Placement) -> tuple[ExpectedCell, ...]:
    """The cells asked for; those of the guest's XML where it has others, the plan keeps to them and may do so."""
    asked = tuple(
        ExpectedCell(
            CellId(i), cell.vcpus, cell.memory_kib, (cell.page_size,), strict=cell.memory_policy is MemoryPolicy.STRICT
        )
        for i, cell in enumerate(guest.cells)
    )
    kept = _kept_cells(facts, guest)
    planned = tuple((cell.id, _vcpus(cell), cell.memory_kib) for cell in placement.cells)
    return kept if kept and planned == tuple((cell.id, cell.vcpus, cell.memory_kib) for cell in kept) else asked


def plan_violations(facts: Facts, plan: Plan) -> Iterator[Violation]:
    """Guests that are missing, unknown, doubled or both placed and not."""
    places_nothing = plan.status in (Status.INFEASIBLE, Status.UNKNOWN)
    if places_nothing and (plan.placements or plan.levels):
        yield Violation(
            None,
            "status",
            f"a plan that is {plan.status} has {len(plan.placements)} placements and "
            f"{len(plan.levels)} levels; it can have none",
        )
        return
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
    for guest in facts.request.guests:
        missing = guest.required and not places_nothing
        yield from _account(guest.name, missing=missing, placed=placed[guest.name], left_out=left_out[guest.name])


def shape_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Cells, vCPUs, memory amounts, interfaces and devices that are not as asked."""
    for placement in placements:
        guest = facts.asked(placement.vm)
        if guest is not None:
            yield from _cell_violations(facts, guest, placement)
            yield from _interface_violations(guest, placement)
            yield from _device_violations(guest, placement)


def _account(name: str, *, missing: bool, placed: int, left_out: int) -> Iterator[Violation]:
    """What is wrong with how often a guest stands in the plan; `missing`: it may not be left out."""
    if missing and not placed:
        yield Violation(name, "required_placed", f'guest "{name}" is required and has 0 placements; it needs 1')
    elif bool(placed) == bool(left_out) or left_out > 1:
        yield Violation(
            name,
            "unplaced",
            f'guest "{name}" has {placed} placements and {left_out} entries among the unplaced; it needs one of either',
        )


def _kept_cells(facts: Facts, guest: GuestRequest) -> tuple[ExpectedCell, ...]:
    existing = facts.existing(guest.name)
    if existing is None or facts.change_topology:
        return ()
    everything = tuple(dict.fromkeys(cell.page_size for cell in guest.cells))
    all_strict = all(cell.memory_policy is MemoryPolicy.STRICT for cell in guest.cells)
    same_number = len(existing.cells) == len(guest.cells)
    return tuple(
        ExpectedCell(
            cell.id,
            cell.vcpus,
            cell.memory_kib,
            (guest.cells[i].page_size,) if same_number else everything,
            strict=guest.cells[i].memory_policy is MemoryPolicy.STRICT if same_number else all_strict,
        )
        for i, cell in enumerate(sorted(existing.cells, key=lambda cell: cell.id))
    )


def _vcpus(cell: CellPlacement) -> tuple[VcpuId, ...]:
    return tuple(vcpu for vcpu, _ in cell.vcpus)


def _cell_violations(facts: Facts, guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    expected = expected_cells(facts, guest, placement)
    found_ids = [cell.id for cell in placement.cells]
    if found_ids != [cell.id for cell in expected]:
        yield Violation(
            guest.name, "cells", f'guest "{guest.name}" has {len(found_ids)} cells, {found_ids}; needs {len(expected)}'
        )
        return
    for cell, wanted in zip(placement.cells, expected, strict=True):
        where = f'guest "{guest.name}" cell {cell.id}'
        if _vcpus(cell) != wanted.vcpus:
            yield Violation(
                guest.name, "cells", f"{where} has vCPUs {list(_vcpus(cell))}; it needs {list(wanted.vcpus)}"
            )
        if cell.memory_kib != wanted.memory_kib:
            yield Violation(
                guest.name, "memory_amount", f"{where} has {cell.memory_kib} KiB; it needs {wanted.memory_kib} KiB"
            )
        if facts.node(cell.numa_node) is None:
            yield Violation(guest.name, "node", f"{where} is on node {cell.numa_node}, which the host does not have")


def _interface_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    planned = Counter(interface.name for interface in placement.interfaces)
    wanted = {interface.name: interface for interface in guest.interfaces}
    for name, times in sorted(planned.items()):
        if name not in wanted or times > 1:
            yield Violation(
                guest.name,
                "interfaces",
                f'guest "{guest.name}" interface "{name}" is planned {times} times; it was asked for '
                f"{int(name in wanted)} times",
            )
    counts = {interface.name: len(interface.vfs) for interface in placement.interfaces}
    for name, interface in wanted.items():
        needed = interface.count if interface.type is InterfaceType.SRIOV else 0
        if counts.get(name, 0) != needed:
            yield Violation(
                guest.name,
                "interfaces",
                f'guest "{guest.name}" interface "{name}" has {counts.get(name, 0)} VFs; it needs {needed}',
            )


def _device_violations(guest: GuestRequest, placement: Placement) -> Iterator[Violation]:
    planned = Counter(device.name for device in placement.devices)
    asked = Counter(device.name for device in guest.devices)
    for name in sorted((planned | asked).keys()):
        if planned[name] != asked[name]:
            yield Violation(
                guest.name,
                "device",
                f'guest "{guest.name}" has {planned[name]} devices "{name}"; it needs {asked[name]}',
            )
