"""A plan as tables: how good it is, where every guest cell goes, and why something has no place."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, assert_never

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import VcpuId
from numaplan.model.plan import CellPlacement, Conflict, Level, Limit, Placement, Plan, Status
from numaplan.model.snapshot import Snapshot
from numaplan.report.text import NONE, UNKNOWN, clean, each_of, grid, known, page, wrap_list
from numaplan.report.unplaced import unplaced_lines
from numaplan.report.why import why_text
from numaplan.units import format_size

_LIST_WIDTH: Final = 28
_EMULATOR_WIDTH: Final = 20


def plan_table(plan: Plan, snapshot: Snapshot) -> str:
    """The plan for an engineer's eyes; `snapshot` says which node a device is near."""
    sections = [
        _status(plan),
        _levels(plan.levels),
        _placements(plan, snapshot),
        "" if plan.conflict is None else conflict_text(plan.conflict),
        "\n".join(f"not placed: {line}" for line in unplaced_lines(plan.unplaced)),
        why_text(plan),
        "\n".join(f"note: {clean(note)}" for note in plan.notes),
    ]
    return page(sections)


def _status(plan: Plan) -> str:
    host = f"plan for host {known(plan.hostname)}"
    match plan.limit:
        case Limit.NONE:
            ended = "the search ended by itself"
        case Limit.WORK:
            ended = "the search ended at its limit of work"
        case Limit.WALL:
            ended = "the search ended at its limit of time"
        case other:
            assert_never(other)
    match plan.status:
        case Status.OPTIMAL:
            return f"{host}: optimal (proven)"
        case Status.FEASIBLE:
            return f"{host}: feasible, not proven to be the best ({ended})"
        case Status.INFEASIBLE:
            return f"{host}: infeasible (proven)"
        case Status.UNKNOWN:
            return f"{host}: unknown, neither a plan nor a proof ({ended})"
        case status:
            assert_never(status)


def _levels(levels: tuple[Level, ...]) -> str:
    if not levels:
        return ""
    rows = [
        ["value", *(str(level.value) for level in levels)],
        ["bound", *(str(level.bound) for level in levels)],
        ["proven", *("yes" if level.proven else "no" for level in levels)],
    ]
    names = [clean(level.name) for level in levels]
    return grid(["level", *names], rows, right=names)


def _placements(plan: Plan, snapshot: Snapshot) -> str:
    if not plan.placements:
        return ""
    nodes = {device.address: device.numa_node for device in snapshot.pci}
    near = {address: UNKNOWN if node is None else str(node) for address, node in nodes.items()}
    asked = () if plan.request is None else plan.request.guests
    dedicated = {guest.name: guest.dedicated_vcpus for guest in asked}
    return grid(
        ["guest", "cell", "node", "vCPUs -> CPUs", "memory", "devices", "emulator"],
        [row for placement in plan.placements for row in _rows(placement, near, dedicated.get(placement.vm))],
        right=["cell", "node"],
    )


def _rows(
    placement: Placement, near: dict[PciAddress, str], dedicated: frozenset[VcpuId] | None
) -> Iterator[list[str]]:
    """One row a cell; what belongs to the whole guest stands in its first row."""
    devices = [
        *(f"{clean(i.name)} {vf} node {near.get(vf, UNKNOWN)}" for i in placement.interfaces for vf in i.vfs),
        *(f"{clean(d.name)} {d.address} node {near.get(d.address, UNKNOWN)}" for d in placement.devices),
    ]
    emulator = [
        wrap_list(str(placement.emulator) or NONE, _EMULATOR_WIDTH),
        *(wrap_list(f"iothread {number} {cpus or NONE}", _EMULATOR_WIDTH) for number, cpus in placement.iothreads),
    ]
    if not placement.cells:
        yield [clean(placement.vm), NONE, NONE, NONE, NONE, "\n".join(devices) or NONE, "\n".join(emulator)]
    for i, cell in enumerate(placement.cells):
        yield [
            clean(placement.vm),
            str(cell.id),
            str(cell.numa_node),
            _pins(cell, dedicated),
            f"{format_size(cell.memory_kib)} ({format_size(cell.page_size_kib)} pages)\non node {cell.memory_node}",
            ("\n".join(devices) or NONE) if i == 0 else "",
            "\n".join(emulator) if i == 0 else "",
        ]


def _pins(cell: CellPlacement, dedicated: frozenset[VcpuId] | None) -> str:
    """``0-3 -> 2,10,3,11``: vCPUs with a CPU each, in vCPU order; ``4-5 float on 2-3``: those that share a set.

    Where it is not known which are `dedicated`, those with one CPU are.
    """
    lines = []
    for run in _runs(cell.vcpus, dedicated):
        first, last = run[0][0], run[-1][0]
        vcpus = str(first) if first == last else f"{first}-{last}"
        if _is_pinned(*run[0], dedicated):
            cpus = ",".join(str(cpus) for _, cpus in run)
            lines.append(wrap_list(f"{vcpus} -> {cpus}", _LIST_WIDTH))
        else:
            lines.append(wrap_list(f"{vcpus} float on {run[0][1] or NONE}", _LIST_WIDTH))
    return "\n".join(lines) or NONE


def _is_pinned(vcpu: VcpuId, cpus: CpuSet, dedicated: frozenset[VcpuId] | None) -> bool:
    return len(cpus) == 1 and (dedicated is None or vcpu in dedicated)


def _runs(
    pairs: tuple[tuple[VcpuId, CpuSet], ...], dedicated: frozenset[VcpuId] | None
) -> Iterator[list[tuple[VcpuId, CpuSet]]]:
    """Neighbouring vCPUs whose numbers follow on each other and that are pinned, or float on one set."""

    def kind(item: tuple[int, tuple[VcpuId, CpuSet]]) -> tuple[int, CpuSet | None]:
        position, (vcpu, cpus) = item
        return (vcpu - position, None if _is_pinned(vcpu, cpus, dedicated) else cpus)

    for _, group in groupby(enumerate(pairs), key=kind):
        yield [pair for _, pair in group]


def conflict_text(conflict: Conflict) -> str:
    """The constraints that cannot all hold, and what would make them hold, in lines."""
    smallest = all(member.proven for member in conflict.members)
    claim = "drop any one and the rest can be met" if smallest else "not all of them are proven to take part"
    lines = [f"these requirements conflict on this host ({claim}):"]
    if len(conflict.members) == 1:
        lines = ["this requirement cannot be met on this host:"]
    guests = [(vm, [(m.constraint, m.sentence) for m in its]) for vm, its in groupby(conflict.members, lambda m: m.vm)]
    for said, alike in groupby(guests, lambda guest: guest[1]):
        who = each_of(["host" if vm is None else vm for vm, _ in alike])
        lines += [f"  - {who}: {clean(sentence)} [{clean(constraint)}]" for constraint, sentence in said]
    lines += [f"  fix: {clean(fix.sentence)}" for fix in conflict.fixes]
    return "\n".join(lines)
