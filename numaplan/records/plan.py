"""Plans to and from plan JSON (schema ``numaplan/plan/1``)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.errors import InputError
from numaplan.model.guest import CellId, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import (
    Basis,
    CellPlacement,
    Conflict,
    ConflictMember,
    DevicePlacement,
    Fix,
    GuestFacts,
    InterfacePlacement,
    Level,
    Operation,
    Placement,
    Plan,
    RunnerUp,
    Status,
    Unplaced,
    Why,
)
from numaplan.records.document import doubles, load, refusal
from numaplan.records.guest_form import to_topology
from numaplan.records.guests import topology_document
from numaplan.records.places import wheres
from numaplan.records.plan_form import (
    PLAN_SCHEMA,
    BasisForm,
    CellPlacementForm,
    FixForm,
    PlacementForm,
    PlanForm,
    WhyForm,
)
from numaplan.records.request import request_document
from numaplan.records.request_form import to_request
from numaplan.records.text import dump

_AGAIN: Final = "place again with --out"


def plan_json(plan: Plan) -> str:
    """The plan document of a plan; the same plan gives the same bytes."""
    return dump(plan_document(plan))


def plan_document(plan: Plan) -> dict[str, object]:
    """The same as what JSON can hold, to stand in another document.

    `checksum` is over everything else in it, however that is laid out.
    """
    document = _unsigned_document(plan)
    return document | {"checksum": _checksum(document)}


def _unsigned_document(plan: Plan) -> dict[str, object]:
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
        "request": None if plan.request is None else request_document(plan.request),
        "basis": None if plan.basis is None else _basis_document(plan.basis),
        "change_guest_topology": plan.change_topology,
    }


def read_plan(text: str, file: str) -> Plan:
    """The plan in a plan document.

    Raises InputError for a document that is malformed or of another schema. Whether the plan makes sense (a guest
    placed twice, a CPU that the host lacks) is for ``verify`` to say.
    """
    return _to_plan(_load(text, file))


def read_carried_plan(text: str, file: str) -> Plan:
    """The plan in a plan document that is to be carried out: whole, and as it was written.

    Raises InputError for a document that is malformed, holds no placements, no request or no basis, or was changed.
    """
    form = _load(text, file)
    if form.status not in {Status.OPTIMAL, Status.FEASIBLE}:
        (where,) = wheres(text, file, [("status",)])
        raise InputError(f"this plan is {form.status.value}: there is nothing to carry out", where)
    for key, part in (("request", form.request), ("basis", form.basis), ("checksum", form.checksum)):
        if part is None:
            what = f"this plan holds no {key}: it was made by an older version, or by hand"
            raise InputError(what, file, _AGAIN)
    document = json.loads(text)
    if not _bears_its_checksum(document):
        raise InputError("the plan was changed since numaplan wrote it", file, _AGAIN)
    plan = _to_plan(form)
    ours = _unsigned_document(plan)
    for key in ("request", "basis", "placements"):
        if _canonical(ours[key]) != _canonical(document[key]):
            (where,) = wheres(text, file, [(key,)])
            raise InputError(f"{key}: says more than this version of numaplan understands", where, _AGAIN)
    return plan


def is_as_written(text: str) -> bool:
    """Whether a plan document that `read_plan` takes has its checksum still; one that has none was made by hand."""
    return _bears_its_checksum(json.loads(text))


def _bears_its_checksum(document: Mapping[str, object]) -> bool:
    checksum = document.get("checksum")
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return checksum is None or checksum == _checksum(rest)


def _load(text: str, file: str) -> PlanForm:
    form = load(text, file, form=PlanForm, schema=PLAN_SCHEMA)
    guests = () if form.request is None else form.request.guests
    # Everything that is asked of a guest is looked up by its name.
    if mistakes := list(doubles("request.guests", "name", (guest.name for guest in guests))):
        raise refusal(mistakes, text, file)
    return form


def _checksum(document: Mapping[str, object]) -> str:
    return f"sha256:{hashlib.sha256(_canonical(document)).hexdigest()}"


def _canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode("ascii")


def _to_plan(form: PlanForm) -> Plan:
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
        request=None if form.request is None else to_request(form.request),
        basis=None if form.basis is None else _to_basis(form.basis),
        change_topology=form.change_guest_topology,
    )


def _basis_document(basis: Basis) -> dict[str, object]:
    return {
        "host": dict(basis.host),
        "guests": [{"name": guest.name, "facts": dict(guest.facts), "xml": dict(guest.xml)} for guest in basis.guests],
    }


def _to_basis(form: BasisForm) -> Basis:
    guests = (GuestFacts(guest.name, tuple(guest.facts.items()), tuple(guest.xml.items())) for guest in form.guests)
    return Basis(tuple(form.host.items()), tuple(guests))


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
