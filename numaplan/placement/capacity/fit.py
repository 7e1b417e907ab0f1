"""How many copies of a vm find a place at once, beside the guests that stay and the other required ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.capacity import Capacity, NextCopy
from numaplan.model.plan import Limit, Placement, Plan, Status, Unplaced
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.copies import copies_of, with_copies
from numaplan.placement.capacity.model import CopiesProblem, copies_problem, ways_taken
from numaplan.placement.capacity.most import WORK, most_copies
from numaplan.placement.capacity.one_more import next_copy
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Outcome
from numaplan.placement.expand import expand
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import Formulation, Unit
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.unseen import unseen
from numaplan.units import format_few

_MOST_NAMED: Final = 5
_NO_ANSWER: Final = "neither a place nor a proof that there is none was found within the limit of work"


@dataclass(frozen=True, slots=True)
class Counted:
    """`capacity`, and the request with that many copies that its placements answer."""

    request: Request
    capacity: Capacity


def count_copies(request: Request, snapshot: Snapshot, vm: str, *, together: bool, apart: bool) -> Counted | Plan:
    """How many copies of `vm` fit; a Plan without placements where the other guests alone have no place.

    `together` and `apart`: whether vnf.yaml has the vm among its own affinity and anti_affinity. Deterministic.
    """
    copies = copies_of(request, snapshot, vm, together=together, apart=apart)
    base = with_copies(request, copies, 1)
    asked = copies_problem(base, host_facts(base, snapshot), copies)
    most = asked.most
    f, placed, found = most_copies(asked, most)
    if not found.solution:
        return _without_copies(with_copies(request, copies, 0), snapshot, asked, found.outcome)
    fit = placed.value(found.solution)
    # Ways that were left out count for `most`, cores that were not looked at as whole ones do not.
    counted_out = fit == most and not asked.problem.scattered
    proven = counted_out or (found.outcome is Outcome.OPTIMAL and not asked.problem.truncated)
    staying = _staying(asked, f, found.solution)
    answered = with_copies(request, copies, fit, staying=staying)
    placements = _expanded(asked, f, found.solution, answered)
    if placements is None:
        return _without_copies(answered, snapshot, asked, Outcome.UNKNOWN)
    following = (
        next_copy(base, snapshot, asked, ways_taken(f, found.solution), fit + 1)
        if proven
        else NextCopy(f"whether one more {vm} has a place was not settled within the limit of work")
    )
    names = copies.called(fit, (guest.name for guest in answered.guests if guest.vm != vm), staying=staying)
    doubts = () if proven else unseen(asked.problem, "one copy more")
    notes = (*_about(copies.present, request, vm), *doubts, *asked.problem.facts.notes)
    return Counted(answered, Capacity(vm, fit, proven, following, names, placements, notes))


def _without_copies(request: Request, snapshot: Snapshot, asked: CopiesProblem, outcome: Outcome) -> Plan:
    """What there is to say where not even no copies have a place."""
    if outcome is Outcome.INFEASIBLE and not asked.with_copies(0).truncated:
        plan = solve(request, snapshot, budget=Budget())
        if plan.status is Status.INFEASIBLE:
            return plan
    reasons = tuple(Unplaced(guest.name, _NO_ANSWER) for guest in request.guests)
    notes = unseen(asked.problem, "a plan")
    return Plan(Status.UNKNOWN, Limit.WORK, snapshot.host.hostname, "", unplaced=reasons, notes=notes)


def _expanded(
    asked: CopiesProblem, coarse: Formulation, solution: Sequence[int], request: Request
) -> tuple[Placement, ...] | None:
    """The concrete placements of a coarse solution, in the order of the request, copies by their names there.

    None where these are not found within the limit of work.
    """
    # Their links hold already, as every copy's nodes are fixed; with hundreds of copies they would be many.
    members = [replace(guest, affinity=(), anti_affinity=()) for guest in request.guests if guest.vm == asked.copies.vm]
    staying = _staying(asked, coarse, solution)
    anew = [guest for guest in members if guest.name not in staying]
    units: list[Unit] = []
    for unit, choice in zip(coarse.units, coarse.choice, strict=True):
        ways = [o for o, count in sorted(choice.items()) for _ in range(count.value(solution))]
        guests = unit.guests
        if unit.number == asked.number:
            here = sum(earlier.number == asked.number for earlier in units)
            guests = replace(guests, members=tuple(anew[here : here + len(ways)]))
        elif unit.number in asked.staying:
            guests = replace(guests, members=tuple(guest for guest in members if guest.name == unit.guest.name))
        units += [Unit(unit.number, guests, i, 1, (o,)) for i, o in enumerate(ways)]
    fine = formulate(asked.problem, units, fine=True)
    found = fine.model.solve(ZERO, maximize=False, work=WORK)
    if not found.solution:
        return None
    placements, _ = expand(fine, found.solution)
    by_name = {placement.vm: placement for placement in placements}
    return tuple(by_name[guest.name] for guest in request.guests if guest.name in by_name)


def _staying(asked: CopiesProblem, coarse: Formulation, solution: Sequence[int]) -> tuple[str, ...]:
    """The copies that stay as they are in a solution, as none could be placed there."""
    units = [u for u, unit in enumerate(coarse.units) if unit.number in asked.staying]
    return tuple(coarse.units[u].guest.name for u in units if coarse.placed(u).value(solution))


def _about(present: Sequence[str], request: Request, vm: str) -> tuple[str, ...]:
    """What the number rests on."""
    notes = []
    if present:
        there = f"1 copy of {vm} is" if len(present) == 1 else f"{len(present)} copies of {vm} are"
        named = format_few(present, _MOST_NAMED)
        notes.append(f"{there} on the host already ({named}): counted as to be placed, not as more")
    if out := [guest.name for guest in request.guests if guest.vm != vm and not guest.required]:
        notes.append(f"left out, as they are not required: {format_few(out, _MOST_NAMED)}")
    return tuple(notes)
