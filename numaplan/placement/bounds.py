"""The lower levels at the coarse grain: a relaxation, so what it proves holds for any nodes and any caches."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from numaplan.model.host import NodeId
from numaplan.model.plan import LEVELS, MAXIMIZED, LevelName
from numaplan.placement import objective
from numaplan.placement.cpsat import Linear, total
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation
from numaplan.placement.levels import Bound
from numaplan.placement.problem import CellDemand, CoreKind, Problem


class Relaxation:
    """What the coarse model knows of the lower levels, and where that holds."""

    def __init__(self, problem: Problem, bounds: Sequence[Bound]) -> None:
        self._problem = problem
        self._bounds = {bound.name: bound for bound in bounds}

    def best(self, name: LevelName, above: Sequence[Bound]) -> int | None:
        """What no plan beats at a level of which those `above` it keep the values they have.

        The relaxed level was bounded with the relaxed ones above it at what they reached. Plans that are no worse
        there are among what it looked at; of others it says nothing, and only the simplest holds. So it does where
        there was nothing to bound, or no time for it.
        """
        if name not in LEVELS:
            return None
        if name in self._bounds and all(self._covers(bound) for bound in above):
            return self._bounds[name].bound
        return best_anyway(self._problem.facts, name)

    def _covers(self, bound: Bound) -> bool:
        relaxed = self._bounds[bound.name].value
        return bound.value >= relaxed if bound.name in MAXIMIZED else bound.value <= relaxed


def best_anyway(facts: HostFacts, name: LevelName) -> int:
    """What no plan beats at a level below priority, whatever lies where: all that the host has, or none of it."""
    most = {
        LevelName.FREE_NODES: len(facts.nodes),
        LevelName.FREE_LLCS: len(facts.llcs),
        LevelName.FREE_CORES: len(facts.snapshot.cores),
    }
    return most.get(name, 0)


def relaxed_levels(f: Formulation) -> tuple[tuple[LevelName, Linear], ...]:
    """The levels below cost on coarse `f`: no plan has a better value than the optimum of each, in their order."""
    return (
        (LevelName.LLC_SPANS, _spans(f)),
        (LevelName.FREE_NODES, objective.free_nodes(f)),
        (LevelName.FREE_LLCS, _free_llcs(f)),
        (LevelName.FREE_CORES, objective.free_cores(f)),
        (LevelName.MOVES, objective.moves(f)),
    )


def _spans(f: Formulation) -> Linear:
    """Every cell in as few LLCs as it would need alone on its node."""
    least: dict[tuple[CellDemand, NodeId], int] = {}
    parts = []
    for u, unit in enumerate(f.units):
        cells = [(k, cell) for k, cell in enumerate(unit.guests.cells) if objective.spans_count(unit, k)]
        for option, count in f.options(u):
            if option.keep is not None:
                parts.append(count * option.keep.llc_spans)
                continue
            spans = 0
            for k, cell in cells:
                key = (cell, option.nodes[k])
                if key not in least:
                    least[key] = objective.least_spans(f, *key)
                spans += least[key]
            parts.append(count * spans)
    return total(parts)


def _free_llcs(f: Formulation) -> Linear:
    """LLCs that can be free if what is given on a node fills the others to the brim."""
    facts = f.problem.facts
    by_node: dict[NodeId, list[int]] = defaultdict(list)
    outside: dict[NodeId, int] = defaultdict(int)
    kinds: dict[int | None, list[CoreKind]] = defaultdict(list)
    for kind in f.problem.core_kinds:
        kinds[kind.llc].append(kind)
    constant = 0
    for number, cpus in enumerate(facts.llcs):
        room = sum(kind.cpus for kind in kinds[number])
        nodes = {kind.node for kind in kinds[number]}
        if not cpus & facts.allocatable or not cpus.isdisjoint(facts.taken):
            for node in nodes:
                outside[node] += sum(kind.cpus for kind in kinds[number] if kind.node == node)
        elif len(nodes) == 1:
            by_node[nodes.pop()].append(room)
        else:
            # A cache of two nodes, or of no node that gives anything: it may be free whatever happens.
            constant += 1
            for kind in kinds[number]:
                outside[kind.node] += kind.cpus
    for kind in kinds[None]:
        outside[kind.node] += kind.cpus
    count = [_free_of(f, node, sorted(rooms), outside[node]) for node, rooms in sorted(by_node.items())]
    return total(count) + constant


def _free_of(f: Formulation, node: NodeId, rooms: list[int], outside: int) -> Linear:
    """How many of the caches with `rooms` threads on `node` can be free, the smallest first."""
    width = f.problem.facts.threads
    held = total(f.on(u, k, node) * cell.cpus(width) for u, k, cell in f.cells() if cell.cpus(width))
    free = [f.model.boolean() for _ in rooms]
    for one, following in pairwise(free):
        f.model.at_most(following - one, 0)
    most = sum(rooms) + outside + f.problem.cpus_beside([node])
    f.model.at_most(held + total(one * room for one, room in zip(free, rooms, strict=True)), most)
    return total(free)
