"""What can be told without a search of the next best place that `place --why` names: its nodes and, at times, its cost.

That the guest has room there, that no other place is cheaper, and every sentence are taken on trust.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from numaplan.model.plan import Placement, Plan, RunnerUp
from numaplan.model.request import Affinity, InterfaceType
from numaplan.placement.verification.devices import functions, near_enough, vf_filter_problem
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.groups import group_violations
from numaplan.placement.verification.objective import cross_node_cost
from numaplan.placement.verification.shape import expected_cells
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_count


def why_violations(facts: Facts, plan: Plan, placements: Sequence[Placement]) -> Iterator[Violation]:
    """Next best places that are none: on nodes that the guest may not have or lies on already, or of another cost.

    `placements` are of the shape that was asked for.
    """
    placed = {placement.vm: placement for placement in placements}
    is_proven = any(level.name == "cross_node_cost" and level.proven for level in plan.levels)
    for why in plan.whys:
        if why.runner_up is not None and why.vm in placed:
            problem = _problem(facts, placed, placed[why.vm], why.runner_up, is_proven=is_proven)
            if problem is not None:
                yield Violation(why.vm, "why", f'guest "{why.vm}" runner_up {problem}')


def _problem(
    facts: Facts, placed: Mapping[str, Placement], placement: Placement, other: RunnerUp, *, is_proven: bool
) -> str | None:
    if len(other.nodes) != len(placement.cells):
        needed = format_count(len(placement.cells), "cell")
        return f"has {format_count(len(other.nodes), 'node')}; the guest has {needed}"
    wrong = _wrong_nodes(facts, placed, placement, other)
    if wrong is not None:
        return wrong
    extra = _extra_cost(facts, placement, other)
    if extra is not None and other.extra_cost != extra:
        return f"says extra_cost {other.extra_cost}; the distances make it {extra}"
    if other.extra_cost < 0 and is_proven:
        return f"says extra_cost {other.extra_cost}; cross_node_cost is proven, so that nothing can be cheaper"
    return None


def _wrong_nodes(facts: Facts, placed: Mapping[str, Placement], placement: Placement, other: RunnerUp) -> str | None:
    """Nodes that the host has not, that the guest has anyway, or that links and affinities forbid."""
    missing = next((node for node in other.nodes if facts.node(node) is None), None)
    if missing is not None:
        return f"has node {missing}, which the host does not have"
    if other.nodes == tuple(cell.numa_node for cell in placement.cells):
        return "has the nodes on which the guest lies"
    there = _moved(placement, other)
    broken = next(group_violations(facts, tuple({**placed, placement.vm: there}.values())), None)
    if broken is not None:
        return f"has nodes that break {broken.constraint}: {broken.sentence}"
    far = _far_from(facts, there)
    return None if far is None else f"has nodes that are not near {far}"


def _extra_cost(facts: Facts, placement: Placement, other: RunnerUp) -> int | None:
    """What its nodes cost more; None for a guest that could have other devices there, or its memory elsewhere."""
    guest = facts.asked(placement.vm)
    if guest is None or functions(placement):
        return None
    if not all(cell.strict for cell in expected_cells(facts, guest, placement)):
        return None
    return cross_node_cost(facts, guest, _moved(placement, other)) - cross_node_cost(facts, guest, placement)


def _moved(placement: Placement, other: RunnerUp) -> Placement:
    """With its cells and their memory on the nodes of the next best place."""
    pairs = zip(placement.cells, other.nodes, strict=True)
    return replace(placement, cells=tuple(replace(cell, numa_node=n, memory_node=n) for cell, n in pairs))


def _far_from(facts: Facts, there: Placement) -> str | None:
    """What affinity demands to be near its nodes and none of what would do is, whoever has it."""
    guest = facts.asked(there.vm)
    if guest is None:
        return None
    for port in guest.interfaces:
        if port.affinity is Affinity.PREFERRED:
            continue
        if port.type is not InterfaceType.SRIOV:
            nodes = [facts.uplinks.node(port.bridge)]
        else:
            vfs = (each.address for each in facts.snapshot.pci if facts.pci.is_vf(each.address))
            nodes = [facts.pci.node(vf) for vf in vfs if vf_filter_problem(facts, vf, port) is None]
        if not any(near_enough(facts, node, port.affinity, nodes=there.nodes) for node in nodes):
            return f'what interface "{port.name}" needs with affinity {port.affinity}'
    return None
