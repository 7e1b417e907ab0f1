"""Why ports of bridges keep a guest from every way to lie on nodes: virtio and vhost-user ones with an affinity."""

from collections.abc import Sequence
from itertools import islice

from numaplan.cpuset import format_id_list
from numaplan.model.host import NodeId
from numaplan.model.request import Affinity, InterfaceRequest
from numaplan.placement.demands import MAX_OPTIONS, fitting_nodes, ports_in_reach
from numaplan.placement.lacks import cell_lack
from numaplan.placement.problem import GuestClass, Problem, near_enough
from numaplan.placement.ways import ways


def no_port_near(problem: Problem, guests: GuestClass) -> str | None:
    """Which ports no way is near enough to, and where they are; None where some way is near enough to all.

    A guest that has no way to lie on nodes for other reasons is not to be asked for.
    """
    facts = problem.facts
    bound = [p for p in guests.request.interfaces if p.type.is_port and p.affinity is not Affinity.PREFERRED]
    if not bound:
        return None
    possible = [fitting_nodes(facts, cell, cores=problem.core_kinds) for cell in guests.cells]
    found = ways(facts, guests.cells, possible, distinct=guests.request.distinct_nodes)
    open_ways = list(islice(found, MAX_OPTIONS))
    if any(ports_in_reach(facts, guests.request, nodes) for nodes in open_ways):
        return None
    for port in bound:
        if not any(_is_near(problem, port, nodes) for nodes in open_ways):
            return f'interface "{port.name}" needs {_wish(port)}: {_where(problem, guests, port)}'
    said = ", ".join(f'interface "{p.name}" {_wish(p)} (node {facts.uplink_node(p.bridge)})' for p in bound)
    return f"its ports are not near each other: {said}, and no way to lie on nodes is near all of them"


def _is_near(problem: Problem, port: InterfaceRequest, nodes: Sequence[NodeId]) -> bool:
    return near_enough(problem.facts, port.affinity, problem.facts.uplink_node(port.bridge), tuple(nodes))


def _wish(port: InterfaceRequest) -> str:
    return f'the physical port of bridge "{port.bridge}" with affinity {port.affinity.value}'


def _where(problem: Problem, guests: GuestClass, port: InterfaceRequest) -> str:
    facts = problem.facts
    uplink = facts.uplink_node(port.bridge)
    if several := facts.port_nodes.get(port.bridge or "") if uplink is None else None:
        return f"its ports lie on several nodes ({format_id_list(several)})"
    if uplink is None:
        return "the host does not say that it has one, on one node"
    near = [node for node in facts.nodes if _is_near(problem, port, (node,))]
    rooms = []
    for node in near:
        lacks = [cell_lack(facts, cell, node, cores=problem.core_kinds) for cell in guests.cells]
        rooms.append(f"node {node}: {'room for a cell' if None in lacks else lacks[0]}")
    return "; ".join([f"it is on node {uplink}", *rooms])
