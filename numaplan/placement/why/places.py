"""Why a placed guest lies where it does: what is missing on other nodes, and what they would cost, all others held."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement, RunnerUp, Why
from numaplan.model.request import Request
from numaplan.placement.current import is_moved
from numaplan.placement.facts import HostFacts
from numaplan.placement.problem import CellDemand, Problem
from numaplan.placement.why.beside import Beside, Host
from numaplan.placement.why.elsewhere import Cost, Way, cost_now, fewest_spans, other_ways
from numaplan.placement.why.lack import Nodes, listed
from numaplan.units import format_count

_MOST_TOLD: Final = 3
_NO_CHEAPEST: Final = "which other place is the cheapest was not found out"


def explain_places(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> tuple[Why, ...]:
    """For each placed guest, in the order of `placements`, what binds it to its nodes and where it would go next.

    Counted, not searched: a few milliseconds a guest, and up to some seconds where it can lie in thousands of ways.
    """
    host = Host(request, facts, placements)
    return tuple(_explain(host, placement) for placement in placements)


def _explain(host: Host, placement: Placement) -> Why:
    beside = host.beside(placement)
    seen = _Seen(host, beside, placement, cost_now(host, placement))
    ways = other_ways(host, beside, placement)
    fitting = sorted((way for way in ways if way.cost is not None), key=lambda way: (_extra(seen, way), way.nodes))
    reasons = [*missing(ways), *_fitting(seen, fitting)]
    is_partial = host.class_of[placement.vm].partial and len(placement.cells) > 1
    if is_partial:
        reasons.append("its cells can lie in very many ways: only the first were looked at")
    may_stay = _may_stay_beside(host, placement)
    if may_stay:
        reasons.append("it could stay beside a guest that has its core to itself: that was not looked at")
    if not (ways or is_partial or may_stay):
        reasons.append(_only_way(host, placement))
    # What a way can cost at the least of which it was not found out, or at which nobody looked.
    open_costs = [way.least for way in ways if way.least is not None] + [0] * (is_partial or may_stay)
    if fitting and any(least < seen.now.total + _extra(seen, fitting[0]) for least in open_costs):
        reasons.append(_NO_CHEAPEST)
        return Why(placement.vm, tuple(reasons), None)
    return Why(placement.vm, tuple(reasons), _runner_up(seen, fitting))


def _may_stay_beside(host: Host, placement: Placement) -> bool:
    """Whether a way that it has, and does not go, is to stay on a core that another guest has to itself."""
    held = CpuSet(cpu for cell in placement.cells for _, cpus in cell.vcpus for cpu in cpus)
    return host.class_of[placement.vm].stays_beside and host.problem.facts.idle.isdisjoint(held)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A placed guest, what is left beside the others, and what it costs now."""

    host: Host
    beside: Beside
    placement: Placement
    now: Cost


def _only_way(host: Host, placement: Placement) -> str:
    if len(host.problem.facts.nodes) == 1:
        return "the host has one node"
    cells = format_count(len(placement.cells), "cell")
    return f"its {cells} can lie on no other nodes, even with the host to itself"


def _extra(seen: _Seen, way: Way) -> int:
    """What it would cost more; only for ways that fit."""
    return 0 if way.cost is None else way.cost.total - seen.now.total


def _names(ways: Sequence[Nodes]) -> str:
    """The ways by name, not too many of them."""
    if all(len(nodes) == 1 for nodes in ways):
        return listed(sorted(nodes[0] for nodes in ways))
    told = [f"({', '.join(map(str, nodes))})" for nodes in ways[:_MOST_TOLD]]
    if more := len(ways) - _MOST_TOLD:
        told += [format_count(more, "more way")] if more > 0 else []
    return "its cells on nodes " + (told[0] if len(told) == 1 else f"{', '.join(told[:-1])} or {told[-1]}")


def missing(ways: Sequence[Way]) -> list[str]:
    """What is missing where it does not fit: nodes that lack the same in one sentence."""
    on_nodes: dict[str, set[NodeId]] = defaultdict(set)
    together: dict[str, list[Nodes]] = defaultdict(list)
    for way in ways:
        if way.lack is not None and way.lack.node is not None:
            on_nodes[way.lack.sentence].add(way.lack.node)
        elif way.lack is not None:
            together[way.lack.sentence].append(way.nodes)
    return [
        *(f"{listed(sorted(nodes))} {_have(said, nodes)}" for said, nodes in on_nodes.items()),
        *(f"{_names(lacking)}: {said}" for said, lacking in together.items()),
    ]


def _have(said: str, nodes: set[NodeId]) -> str:
    return said if len(nodes) == 1 else said.replace("has ", "have ", 1).replace(", needs ", " each, needs ", 1)


def _fitting(seen: _Seen, ways: Sequence[Way]) -> list[str]:
    """What the ways that fit would cost, and what sets those apart that cost the same; the cheapest few."""
    groups: dict[str, list[Nodes]] = defaultdict(list)
    for way in ways:
        groups[_verdict(seen, way)].append(way.nodes)
    said = [f"{_names(alike)} {verdict}" for verdict, alike in groups.items()]
    rest = sum(len(alike) for alike in list(groups.values())[_MOST_TOLD:])
    return said[:_MOST_TOLD] + ([f"{format_count(rest, 'more way')} would cost as much or more"] if rest else [])


def _verdict(seen: _Seen, way: Way) -> str:
    extra = _extra(seen, way)
    if extra == 0:
        return f"would cost the same{_below_cost(seen, way)}"
    if extra > 0:
        return f"would cost {extra} more: {_for_what(seen, way)}"
    return f"would cost {-extra} less, which the search did not find within its limit"


def _for_what(seen: _Seen, way: Way) -> str:
    there = seen.now if way.cost is None else way.cost
    parts = [
        (there.devices - seen.now.devices, _whereabouts(seen)),
        (there.cells - seen.now.cells, "the distance between its cells"),
        (there.memory - seen.now.memory, "the distance to its memory"),
    ]
    parts = [(more, what) for more, what in parts if more]
    return parts[0][1] if len(parts) == 1 else ", ".join(f"{what} ({more:+d})" for more, what in parts)


def _whereabouts(seen: _Seen) -> str:
    """Where its VFs and devices are, as far as the host says it."""
    facts, placement = seen.host.problem.facts, seen.placement
    names = [*(i.name for i in placement.interfaces), *(d.name for d in placement.devices)]
    said = []
    for name, addresses in zip(names, placement.functions, strict=True):
        nodes = {facts.device_node(facts.devices[address]) for address in addresses}
        known = sorted(node for node in nodes if node is not None)
        if known:
            said.append(f'"{name}" is on {listed(known)}')
    return ", ".join(said) or "the distance to the ports of its bridges"


def _below_cost(seen: _Seen, way: Way) -> str:
    """What sets it apart from a way that costs the same, by the levels that can be told in counts."""
    host, beside, placement = seen.host, seen.beside, seen.placement
    facts = host.problem.facts
    spans, least = host.spans(placement), fewest_spans(host, beside, placement.vm, nodes=way.nodes)
    if least > spans:
        return f", but touch {least} last-level caches at least instead of {spans}"
    used, is_all = _used_there(seen, way)
    free, there = len(beside.free_nodes - host.used(placement)), len(beside.free_nodes - used)
    if there < free:
        most = "" if is_all or there == 0 else "at most "
        return f", but leave {most}{format_count(there, 'node')} free instead of {free}"
    existing = next((guest for guest in facts.snapshot.guests if guest.name == placement.vm), None)
    if existing is not None and not is_moved(facts, host.asked[placement.vm], existing, placement):
        return ": it stays where it is, or a level above moves decided"
    return ": a lower level decided, or nothing did and the first of equals was taken"


def _used_there(seen: _Seen, way: Way) -> tuple[frozenset[NodeId], bool]:
    """The nodes of whose CPUs or memory it holds some on a way that fits, and whether these are all of them."""
    problem = seen.host.problem
    pairs = list(zip(seen.host.class_of[seen.placement.vm].cells, way.nodes, strict=True))
    has_near = [cell.strict or _has_memory_near(problem, way, cell, node) for cell, node in pairs]
    held = (
        node for (cell, node), near in zip(pairs, has_near, strict=True) if near or cell.cpus(problem.facts.threads)
    )
    return frozenset(held), all(has_near)


def _has_memory_near(problem: Problem, way: Way, cell: CellDemand, node: NodeId) -> bool:
    """Whether the memory of a cell on `node` lies there though it may lie elsewhere, for that would cost more."""
    others = (other for other in problem.facts.nodes if other != node)
    nothing_is_far = way.cost is not None and way.cost.memory == 0
    return nothing_is_far and all(problem.memory_cost(cell, node, other) > 0 for other in others)


def _runner_up(seen: _Seen, ways: Sequence[Way]) -> RunnerUp | None:
    if not ways:
        return None
    first = ways[0]
    return RunnerUp(first.nodes, _extra(seen, first), f"{_names([first.nodes])} {_verdict(seen, first)}")
