"""The door: a request and a snapshot in, a Plan out, whatever the answer is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.model.plan import MAXIMIZED, Level, Limit, Placement, Plan, Status, Unplaced
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.clock import Remaining
from numaplan.placement.conflict.explain import conflict, why_unplaced
from numaplan.placement.cpsat import Outcome
from numaplan.placement.expand import expand
from numaplan.placement.facts import HostFacts, host_facts
from numaplan.placement.fingerprint import fingerprint
from numaplan.placement.kinds import group_companions
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem
from numaplan.placement.recount import recount
from numaplan.placement.resident import memory_elsewhere, ungiven_memory
from numaplan.placement.search import Bound, Budget, Searched, search
from numaplan.placement.unseen import unseen

# What members of a conflict are called that memory has a part in.
_OF_MEMORY: Final = frozenset({"memory", "memory_policy", "page_size", "guest_overhead"})


def solve(request: Request, snapshot: Snapshot, *, budget: Budget) -> Plan:
    """The best plan for all guests of `request` at once, or why there is none.

    Deterministic unless `budget` has a wall-clock limit and that limit is met.
    """
    facts = host_facts(request, snapshot)
    problem = build_problem(request, facts)
    result = search(problem, budget)
    empty = Plan(
        status=Status.UNKNOWN,
        limit=result.limit,
        hostname=snapshot.host.hostname,
        fingerprint=fingerprint(snapshot),
        notes=facts.notes,
    )
    match result.outcome:
        case Outcome.OPTIMAL | Outcome.FEASIBLE:
            return _planned(request, problem, result, empty=empty, remaining=budget.remaining)
        case Outcome.INFEASIBLE:
            found, reasons = conflict(request, facts, budget.remaining)
            is_of_memory = any(member.constraint in _OF_MEMORY for member in found.members)
            return replace(
                empty,
                status=Status.INFEASIBLE,
                # A proof is a proof, whatever limits the search for a smaller conflict met.
                limit=Limit.NONE,
                conflict=found,
                unplaced=reasons,
                notes=(*empty.notes, *(ungiven_memory(problem) if is_of_memory else ())),
            )
        case Outcome.UNKNOWN:
            reason = "neither a place nor a proof that there is none was found within the limit"
            unplaced = tuple(Unplaced(guest.name, reason) for guest in request.guests)
            return replace(empty, unplaced=unplaced, notes=(*empty.notes, *unseen(problem, "a plan")))


def _planned(request: Request, problem: Problem, result: Searched, *, empty: Plan, remaining: Remaining) -> Plan:
    facts = problem.facts
    assert result.formulation is not None  # noqa: S101  # search promises it with these outcomes
    unordered, notes = expand(result.formulation, result.solution)
    by_name = {placement.vm: placement for placement in unordered}
    placements = tuple(by_name[guest.name] for guest in request.guests if guest.name in by_name)
    counted = recount(request, facts, placements)
    levels = _levels(result.bounds, counted)
    optimal = all(level.proven for level in levels)
    # What is not proven was given up by some limit: where the clock was not it, the work that a proof may take was.
    limit = Limit.NONE if optimal else Limit.WORK if result.limit is Limit.NONE else result.limit
    doubts = () if optimal else unseen(problem, "a better plan")
    return replace(
        empty,
        status=Status.OPTIMAL if optimal else Status.FEASIBLE,
        limit=limit,
        levels=levels,
        placements=placements,
        unplaced=why_unplaced(request, facts, placements, remaining),
        notes=(*empty.notes, *doubts, *notes, *memory_elsewhere(facts, placements), *_device_notes(facts, placements)),
    )


def _levels(bounds: Sequence[Bound], counted: Mapping[str, int]) -> tuple[Level, ...]:
    """The levels of the finished plan; where that is better than the model knew, so is what is known of the best."""
    levels = []
    proven = True
    for bound in bounds:
        value = counted.get(bound.name, bound.value)
        best = (max if bound.name in MAXIMIZED else min)(bound.bound, value)
        proven = proven and bound.proven and best == value
        levels.append(Level(bound.name, value, best, proven))
    return tuple(levels)


def _device_notes(facts: HostFacts, placements: tuple[Placement, ...]) -> list[str]:
    """What the host does not say of the devices that are given."""
    notes = []
    for placement in placements:
        for address in (one for functions in placement.functions for one in functions):
            device = facts.devices[address]
            if device.iommu_group is None:
                notes.append(f"{placement.vm}: the host shows no IOMMU group for {address}")
            if facts.device_node(device) is None:
                notes.append(f"{placement.vm}: the host does not say on which node {address} is")
            if facts.may_be_in_use(device):
                notes.append(f"{placement.vm}: the host does not say whether {address} bears an address of its own")
            if group_companions(facts, device):
                notes.append(f"{placement.vm}: {address} goes with its whole IOMMU group {device.iommu_group}")
    return notes
