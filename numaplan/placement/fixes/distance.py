"""What some vms add to the cross-node cost of the best plan of a case; and the least that it can be, before any search.

Others may have a place in it only because these vms lie as they do, so that it is compared with the best plan of the
very guests that it places beside them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations

from numaplan.model.host import NodeId
from numaplan.model.request import Affinity, DeviceRequest, GuestRequest, InterfaceRequest, InterfaceType, MemoryPolicy
from numaplan.placement.clock import Remaining
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import HostFacts
from numaplan.placement.fixes.lever import begun
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.kinds import matching_devices
from numaplan.placement.objective import cross_node_cost, priority
from numaplan.placement.problem import Problem, near_enough
from numaplan.units import GIB_KIB


@dataclass(frozen=True, slots=True)
class _Best:
    """A plan: its cost, and of each guest that it places the number of its option. `proven`: none is better."""

    cost: int
    ways: Mapping[str, int]
    proven: bool


def added_cost(problem: Problem, vms: Collection[str], *, work: float, seconds: Remaining) -> int:
    """What guests of `vms` add to the best plan that is found; the most that they could where none is.

    Each of a few searches may take `work`, CP-SAT's deterministic time, and `seconds`.
    """
    best = _best(problem, work, seconds)
    named = {guest.name for guests in problem.classes for guest in guests.members if guest.vm in vms}
    others = problem.only(best.ways.keys() - named)
    f = formulate(others, coarse_units(others), fine=False)
    cost = cross_node_cost(f)
    there = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), fixed=_fixed(f, best.ways))
    if not best.ways or not there.solution:
        alone = problem.only(named)
        f = formulate(alone, coarse_units(alone), fine=False)
        return f.model.upper(cross_node_cost(f))
    least = cost.value(there.solution)
    if best.proven:
        # Others may have made room. In a plan that is not the best they may also lie apart for no reason.
        hint = dict(enumerate(there.solution))
        found = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), hint=hint)
        least = min(least, cost.value(found.solution)) if found.solution else least
    return best.cost - least


def _best(problem: Problem, work: float, seconds: Remaining) -> _Best:
    """The plan of the highest priority that is found, and of those the one of the least cost."""
    f = formulate(problem, coarse_units(problem), fine=False)
    cost, worth = cross_node_cost(f), priority(f)
    hint, proven = {}, True
    if any(not guests.request.required for guests in problem.classes):
        most = f.model.solve(worth, maximize=True, work=work, seconds=seconds())
        proven = most.outcome is Outcome.OPTIMAL
        if most.solution:
            f.model.at_least(worth, worth.value(most.solution))
            hint = dict(enumerate(most.solution))
    found = f.model.solve(cost, maximize=False, work=work, seconds=seconds(), hint=hint)
    if not found.solution:
        return _Best(0, {}, proven=False)
    ways: dict[str, int] = {}
    for unit, choice in zip(f.units, f.choice, strict=True):
        taken = [o for o, count in choice.items() for _ in range(count.value(found.solution))]
        ways.update(zip(unit.names, taken, strict=False))
    return _Best(cost.value(found.solution), ways, proven=proven and found.outcome is Outcome.OPTIMAL)


def _fixed(f: Formulation, ways: Mapping[str, int]) -> dict[int, int]:
    """Everybody goes these ways."""
    fixed = {count.terms[0][0]: 0 for choice in f.choice for count in choice.values()}
    for unit, choice in zip(f.units, f.choice, strict=True):
        for name in unit.names:
            fixed[choice[ways[name]].terms[0][0]] += 1
    return fixed


def devices_apart(facts: HostFacts, entry: InterfaceRequest | DeviceRequest, affinity: Affinity) -> int:
    """The least that it costs a guest whose devices lie where its affinity forbids it, and this one does not."""
    nodes = _device_nodes(facts, entry)
    ways = [
        facts.distance(node, cell)
        for word in (affinity, Affinity.PREFERRED)
        for node in nodes
        for cell in facts.nodes
        if near_enough(facts, word, node, (cell,)) and not near_enough(facts, entry.affinity, node, (cell,))
    ]
    count = entry.count if isinstance(entry, InterfaceRequest) and len(nodes) == 1 else 1
    return facts.policy.costs.vf * count * min(ways, default=0)


def _device_nodes(facts: HostFacts, entry: InterfaceRequest | DeviceRequest) -> set[NodeId | None]:
    if isinstance(entry, InterfaceRequest) and entry.type is not InterfaceType.SRIOV:
        return {facts.uplink_node(entry.bridge)}
    return {facts.device_node(device) for device in matching_devices(facts, entry)}


def memory_apart(facts: HostFacts, guest: GuestRequest) -> int:
    """The least that it costs a guest a cell of which has its memory elsewhere, though its policy is strict."""
    strict = (cell.memory_kib for cell in guest.cells if cell.memory_policy is MemoryPolicy.STRICT)
    return facts.policy.costs.memory_gib * begun(min(strict, default=0), GIB_KIB) * _nearest(facts)


def cells_apart(facts: HostFacts) -> int:
    """The least that two cells on two nodes cost."""
    return facts.policy.costs.cell * _nearest(facts)


def _nearest(facts: HostFacts) -> int:
    nodes = [node.id for node in facts.snapshot.nodes]
    return min((facts.distance(a, b) for a, b in permutations(nodes, 2)), default=0)
