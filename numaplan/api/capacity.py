"""How many copies of a vm of vnf.yaml a host takes."""

from dataclasses import replace

from numaplan.api.profiles import shipped_profiles
from numaplan.api.proof import UnprovenPlanError, demand_proof
from numaplan.api.question import Question
from numaplan.errors import ExitCode, NumaplanError
from numaplan.model.capacity import Capacity
from numaplan.model.plan import LEVELS, Level, Limit, Plan, Status, Unplaced
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.verify import objective
from numaplan.spec.copies import links_to_itself
from numaplan.spec.nodes import hint_for


class UnknownVmError(NumaplanError):
    """``--vm`` names no vm of vnf.yaml, or is missing where there are several."""

    exit_code = ExitCode.USAGE


def capacity(question: Question, vm: str | None) -> Capacity | Plan:
    """How many copies of `vm` fit; without a name, of the only one there is; raises UnknownVmError.

    A Plan without placements where the other required guests have no place even without a copy.
    """
    name = _chosen(question, vm)
    profiles = shipped_profiles()
    together, apart = links_to_itself(question.text, question.file, profiles=profiles, vm=name)
    kept, notes = keep_guest_topology(question.request, question.snapshot)
    # Guests that are there keep the cells that they know; copies are as vnf.yaml has them.
    guests = tuple(
        asked if asked.vm == name else other for asked, other in zip(question.request.guests, kept.guests, strict=True)
    )
    mine = {guest.name for guest in guests if guest.vm == name}
    counted = count_copies(
        replace(question.request, guests=guests), question.snapshot, name, together=together, apart=apart
    )
    if isinstance(counted, Plan):
        return counted
    _prove(counted, question.snapshot)
    said = tuple(note for note in notes if note.partition(":")[0] not in mine)
    return replace(counted.capacity, notes=(*said, *counted.capacity.notes))


def _chosen(question: Question, vm: str | None) -> str:
    names = tuple(dict.fromkeys(guest.vm for guest in question.request.guests))
    if vm is None:
        if len(names) == 1:
            return names[0]
        raise UnknownVmError(
            f"{question.file} has {len(names)} vms; choose the one to count copies of: {', '.join(names)}", "--vm"
        )
    if vm not in names:
        raise UnknownVmError(f"unknown vm {vm!r}", "--vm", hint_for(vm, label="vms", known=names))
    return vm


def _prove(counted: Counted, snapshot: Snapshot) -> None:
    """Raises UnprovenPlanError where the verifier refuses the placements behind the number, or they are not as many."""
    placements = counted.capacity.placements
    demand_proof(counted.request, snapshot, _plan(counted.request, snapshot, counted.capacity))
    if len({p.vm for p in placements} & set(counted.capacity.copies)) != counted.capacity.fit:
        raise UnprovenPlanError("the plan has another number of copies", "host", "please report this bug")


def _plan(request: Request, snapshot: Snapshot, found: Capacity) -> Plan:
    """The placements as a plan; how good it is was not asked."""
    placed = {placement.vm for placement in found.placements}
    values = objective(request, snapshot, found.placements)
    return Plan(
        Status.FEASIBLE,
        Limit.NONE,
        snapshot.host.hostname,
        "",
        levels=tuple(Level(name, value, value, proven=False) for name, value in zip(LEVELS, values, strict=True)),
        placements=found.placements,
        unplaced=tuple(Unplaced(guest.name, "not counted") for guest in request.guests if guest.name not in placed),
    )
