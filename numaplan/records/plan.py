"""Plans to and from plan JSON (schema ``numaplan/plan/1``)."""

from collections.abc import Iterable

from numaplan.cpuset import CpuSet
from numaplan.model.guest import CellId, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import (
    CellPlacement,
    Conflict,
    ConflictMember,
    DevicePlacement,
    Fix,
    InterfacePlacement,
    Level,
    Operation,
    Placement,
    Plan,
    RunnerUp,
    Unplaced,
    Why,
)
from numaplan.records.document import load
from numaplan.records.guest_form import to_topology
from numaplan.records.guests import topology_document
from numaplan.records.plan_form import PLAN_SCHEMA, CellPlacementForm, FixForm, PlacementForm, PlanForm, WhyForm
from numaplan.records.text import dump


def plan_json(plan: Plan) -> str:
    """The plan document of a plan; the same plan gives the same bytes."""
    return dump(plan_document(plan))


def plan_document(plan: Plan) -> dict[str, object]:
    """The same as what JSON can hold, to stand in another document."""
    whys = {why.vm: why for why in plan.whys}
    return {
        "schema": PLAN_SCHEMA,
        "status": plan.status.value,
        "limit": plan.limit.value,
        "host": {"hostname": plan.hostname, "fingerprint": plan.fingerprint},
        "levels": [
            {"name": level.name, "value": level.value, "bound": level.bound, "proven": level.proven}
            for level in plan.levels
        ],
        "placements": [
            _placement_document(placement) | ({"why": _why_document(whys[placement.vm])} if whys else {})
            for placement in plan.placements
        ],
        "unplaced": [{"vm": unplaced.vm, "reason": unplaced.reason} for unplaced in plan.unplaced],
        "notes": list(plan.notes),
        "conflict": None if plan.conflict is None else _conflict_document(plan.conflict),
    }


def read_plan(text: str, file: str) -> Plan:
    """The plan in a plan document.

    Raises InputError for a document that is malformed or of another schema. Whether the plan makes sense (a guest
    placed twice, a CPU that the host lacks) is for ``verify`` to say.
    """
    form = load(text, file, form=PlanForm, schema=PLAN_SCHEMA)
    return Plan(
        status=form.status,
        limit=form.limit,
        hostname=form.host.hostname,
        fingerprint=form.host.fingerprint,
        levels=tuple(Level(level.name, level.value, level.bound, level.proven) for level in form.levels),
        placements=tuple(_to_placement(placement) for placement in form.placements),
        unplaced=tuple(Unplaced(unplaced.vm, unplaced.reason) for unplaced in form.unplaced),
        notes=tuple(form.notes),
        conflict=None
        if form.conflict is None
        else Conflict(
            tuple(
                ConflictMember(member.vm, member.constraint, member.sentence, member.proven)
                for member in form.conflict.constraints
            ),
            tuple(_to_fix(fix) for fix in form.conflict.fixes),
        ),
        whys=tuple(_to_why(placement.vm, placement.why) for placement in form.placements if placement.why is not None),
    )


def _placement_document(placement: Placement) -> dict[str, object]:
    return {
        "vm": placement.vm,
        "cells": [
            {
                "id": cell.id,
                "numa_node": cell.numa_node,
                "vcpus": _numbered(cell.vcpus),
                "memory_node": cell.memory_node,
                "memory_kib": cell.memory_kib,
                "page_size_kib": cell.page_size_kib,
            }
            for cell in placement.cells
        ],
        "emulator": str(placement.emulator),
        "iothreads": _numbered(placement.iothreads),
        "interfaces": [
            {"name": interface.name, "vfs": [str(vf) for vf in interface.vfs]} for interface in placement.interfaces
        ],
        "devices": [{"name": device.name, "address": str(device.address)} for device in placement.devices],
        "topology": topology_document(placement.topology),
    }


def _numbered(pairs: Iterable[tuple[int, CpuSet]]) -> dict[str, str]:
    return {str(number): str(cpus) for number, cpus in sorted(pairs, key=lambda pair: pair[0])}


def _conflict_document(conflict: Conflict) -> dict[str, object]:
    return {
        "constraints": [
            {
                "vm": member.vm,
                "constraint": member.constraint,
                "sentence": member.sentence,
                "proven": member.proven,
            }
            for member in conflict.members
        ],
        "fixes": [
            {
                "sentence": fix.sentence,
                "cost": fix.cost,
                "change": {"document": fix.document.value, "patch": [_operation(each) for each in fix.patch]},
            }
            for fix in conflict.fixes
        ],
    }


def _operation(operation: Operation) -> dict[str, object]:
    said: dict[str, object] = {"op": operation.op, "path": operation.path}
    return said if operation.op == "remove" else said | {"value": operation.value}


def _why_document(why: Why) -> dict[str, object]:
    other = why.runner_up
    return {
        "reasons": list(why.reasons),
        "runner_up": None
        if other is None
        else {"numa_nodes": list(other.nodes), "extra_cost": other.extra_cost, "sentence": other.sentence},
    }


def _to_fix(form: FixForm) -> Fix:
    patch = tuple(Operation(each.op, each.path, each.value) for each in form.change.patch)
    return Fix(form.sentence, form.cost, form.change.document, patch)


def _to_why(vm: str, form: WhyForm) -> Why:
    other = form.runner_up
    nodes = () if other is None else tuple(NodeId(node) for node in other.numa_nodes)
    runner_up = None if other is None else RunnerUp(nodes, other.extra_cost, other.sentence)
    return Why(vm, tuple(form.reasons), runner_up)


def _to_placement(form: PlacementForm) -> Placement:
    return Placement(
        vm=form.vm,
        cells=tuple(_to_cell(cell) for cell in form.cells),
        emulator=form.emulator,
        iothreads=tuple(
            (IothreadId(number), cpus) for number, cpus in sorted(form.iothreads.items(), key=lambda pair: pair[0])
        ),
        interfaces=tuple(InterfacePlacement(interface.name, tuple(interface.vfs)) for interface in form.interfaces),
        devices=tuple(DevicePlacement(device.name, device.address) for device in form.devices),
        topology=to_topology(form.topology),
    )


def _to_cell(form: CellPlacementForm) -> CellPlacement:
    return CellPlacement(
        CellId(form.id),
        NodeId(form.numa_node),
        tuple((VcpuId(number), cpus) for number, cpus in sorted(form.vcpus.items(), key=lambda pair: pair[0])),
        NodeId(form.memory_node),
        form.memory_kib,
        form.page_size_kib,
    )
