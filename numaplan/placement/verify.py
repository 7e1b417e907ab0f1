"""The proof that a plan is right: checked from the request and the snapshot alone, with no code of the search.

An open question of the contract is answered where it arises, in `verification/`; what a plan may leave out is said
in `verification/shape.py`.
"""

from collections.abc import Iterator, Sequence

from numaplan.model.plan import Placement, Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.cpus import cpu_violations
from numaplan.placement.verification.devices import device_violations
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.groups import group_violations
from numaplan.placement.verification.memory import memory_violations, tie_violations
from numaplan.placement.verification.objective import level_violations, objective
from numaplan.placement.verification.shape import cell_violations, plan_violations, shape_violations
from numaplan.placement.verification.topology import topology_violations
from numaplan.placement.verification.violation import Violation
from numaplan.placement.verification.why import why_violations

__all__ = ("Violation", "objective", "placement_violations", "ties_lost", "verify")


def verify(request: Request, snapshot: Snapshot, plan: Plan, *, same_host: bool = False) -> tuple[Violation, ...]:
    """Every hard meaning that the plan breaks, guests in the order of the request, the plan's own last; () is a proof.

    Of a plan that is infeasible or unknown only the form is checked: it places nothing. `same_host`: the host and its
    guests are known to be as they were when the plan was made, so it was not carried out since.
    """
    facts = _facts(request, snapshot, plan)
    found = list(plan_violations(facts, plan, same_host=same_host))
    if plan.status in (Status.OPTIMAL, Status.FEASIBLE):
        placements = _first_of_each(facts, plan.placements)
        misshapen, whole = _shapes(facts, placements)
        found += misshapen
        found += _further_violations(facts, whole)
        found += why_violations(facts, plan, whole)
        if not misshapen:
            found += level_violations(facts, plan, placements, same_host=same_host)
    order = {guest.name: place for place, guest in enumerate(request.guests)}
    last = len(order)
    return tuple(sorted(found, key=lambda violation: last if violation.vm is None else order.get(violation.vm, last)))


def ties_lost(request: Request, snapshot: Snapshot, plan: Plan) -> tuple[Violation, ...]:
    """Where a plan that is optimal, and in which nothing else is wrong, could have larger pages for nothing.

    To be asked on the host as it was when the plan was made: which pages are free changes by itself.
    """
    if plan.status is not Status.OPTIMAL:
        return ()
    return tuple(tie_violations(_facts(request, snapshot, plan), plan.placements))


def _facts(request: Request, snapshot: Snapshot, plan: Plan) -> Facts:
    """A plan that does not hold what it answers does not tell either whether guests were to keep their cells."""
    keeps = None if plan.request is None else True
    return Facts(request, snapshot, keeps_cells=False if plan.change_topology else keeps)


def placement_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    """What placements break among themselves, whoever else is still to be placed."""
    misshapen, whole = _shapes(facts, placements)
    yield from misshapen
    yield from _further_violations(facts, whole)


def _shapes(facts: Facts, placements: Sequence[Placement]) -> tuple[tuple[Violation, ...], tuple[Placement, ...]]:
    """What is not of the shape that was asked for, and the placements that are: of these alone more is asked."""
    found = [(placement, tuple(shape_violations(facts, placement))) for placement in placements]
    misshapen = tuple(violation for _, violations in found for violation in violations)
    return misshapen, tuple(placement for placement, violations in found if not violations)


def _further_violations(facts: Facts, placements: Sequence[Placement]) -> Iterator[Violation]:
    yield from cell_violations(facts, placements)
    yield from cpu_violations(facts, placements)
    yield from memory_violations(facts, placements)
    yield from device_violations(facts, placements)
    yield from topology_violations(facts, placements)
    yield from group_violations(facts, placements)


def _first_of_each(facts: Facts, placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """Placements of the request's guests, each once: what is wrong with the others is told elsewhere."""
    first: dict[str, Placement] = {}
    for placement in placements:
        if facts.asked(placement.vm) is not None:
            first.setdefault(placement.vm, placement)
    return tuple(first.values())
