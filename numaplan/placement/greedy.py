"""A first plan in counts, one guest after the other: a start for the search, and no more than that.

It looks at CPUs, pools, memory, devices, bandwidth and (anti-)affinity; the model refuses or repairs whatever else
there is.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.placement.clock import Remaining, is_over
from numaplan.placement.facts import Place
from numaplan.placement.formulation import Formulation, Unit
from numaplan.placement.prices import PARTS, prices
from numaplan.placement.problem import CellDemand, Option, Problem
from numaplan.placement.ties import nested

# How to rank units, by their numbers, of which the first come first; ties keep the order of the request.
Order = Callable[[int], tuple[float, ...]]

# So many ways are tried whatever the clock says: some tenths of a second, enough for hundreds of guests.
SOON: Final = 10_000


def greedy_plans(f: Formulation, remaining: Remaining) -> list[dict[int, int]]:
    """Hints for coarse `f`, best first: how many guests of each unit go each way.

    Where time is over there is one at least, in which guests that are not required may not have been tried.
    """
    worth, sizes = [unit.guest.priority for unit in f.units], [size(unit) for unit in f.units]
    orders: list[Order] = []
    if (priced := prices(f)) is not None:
        # They mostly are the best, and time may be over after the first.
        weights = priced.weights
        orders += [
            lambda u: (-worth[u] / max(1, weights[u]),),
            lambda u: (weights[u] - worth[u] * PARTS,),
        ]
    orders += [
        lambda u: (-worth[u], -sizes[u]),
        lambda u: (-worth[u] / sizes[u],),
        lambda u: (-sizes[u], -worth[u]),
    ]
    # Often several of them rank the guests alike.
    rankings = dict.fromkeys(_ranking(f, order) for order in orders)
    found: list[dict[int, int]] = []
    tries = _Tries(remaining)
    for ranking in rankings:
        if found and tries.are_over:
            break
        found.append(_greedy(f, ranking, tries))
    return sorted(found, key=lambda hint: -_worth(f, hint))


def _ranking(f: Formulation, order: Order) -> tuple[int, ...]:
    """The numbers of the units, those with required guests first."""
    return tuple(sorted(range(len(f.units)), key=lambda u: (not f.units[u].guest.required, order(u))))


def size(unit: Unit) -> int:
    """How many CPUs of its own a guest asks for, at least 1."""
    request = unit.guests.request
    return max(1, request.vcpus + request.own_emulator_cpus)


def _worth(f: Formulation, hint: Mapping[int, int]) -> int:
    required = 1 + sum(unit.count * unit.guests.request.priority for unit in f.units)
    worth = 0
    for u, unit in enumerate(f.units):
        placed = sum(hint[count.terms[0][0]] for count in f.choice[u].values())
        worth += placed * (unit.guests.request.priority + (required if unit.guests.request.required else 0))
    return worth


@dataclass
class _Tries:
    """How many ways were tried so far, and whether it is time to end."""

    remaining: Remaining
    count: int = 0

    @property
    def are_over(self) -> bool:
        """Whether guests that are not required are not tried any more."""
        return self.count > SOON and is_over(self.remaining)


@dataclass
class _Left:
    """What is left: threads and cores by node, shared vCPUs, memory by place, devices by kind, bandwidth by PF."""

    problem: Problem
    threads: Counter[NodeId] = field(default_factory=Counter)
    cores: Counter[NodeId] = field(default_factory=Counter)
    pool: Counter[NodeId] = field(default_factory=Counter)
    memory: Counter[Place] = field(default_factory=Counter)
    devices: Counter[int] = field(default_factory=Counter)
    mbps: Counter[PciAddress | None] = field(default_factory=Counter)

    @classmethod
    def of(cls, problem: Problem) -> "_Left":
        """Everything there is."""
        left = cls(problem)
        for kind in problem.core_kinds:
            left.threads[kind.node] += kind.cpus
            left.cores[kind.node] += len(kind.cores) if kind.full else 0
        left.pool.update(problem.facts.pool_left)
        left.memory.update(problem.facts.capacity_kib)
        left.devices.update({i: len(kind.members) for i, kind in enumerate(problem.device_kinds)})
        for pf in dict.fromkeys(kind.pf for kind in problem.device_kinds):
            if pf is not None and (speed := problem.facts.link_speed(pf)) is not None:
                left.mbps[pf] = speed
        return left


def _greedy(f: Formulation, ranking: Sequence[int], tries: _Tries) -> dict[int, int]:
    """Each guest goes the cheapest way that is left, the emptiest nodes first."""
    left = _Left.of(f.problem)
    ties = _ties(f)
    nodes_of: dict[str, frozenset[NodeId]] = dict(f.problem.facts.guest_nodes)
    if any(unit.guests.floats for unit in f.units):
        # Threads that float where no pool is named need a CPU of their nodes that nobody holds.
        width = f.problem.facts.threads
        left.threads -= Counter(left.threads.keys())
        left.cores = Counter({node: min(count, left.threads[node] // width) for node, count in left.cores.items()})
    hint = {count.terms[0][0]: 0 for u in range(len(f.units)) for count in f.choice[u].values()}
    for u in ranking:
        unit = f.units[u]
        tied = [(nodes_of[name], together) for name, together in ties.get(unit.guest.name, ()) if name in nodes_of]
        open_ways = [way for way in f.options(u) if way[0].keep is None and _tied_right(way[0], tied)]
        for _ in range(unit.count):
            if not unit.guests.request.required and tries.are_over:
                return hint
            ways = sorted(open_ways, key=lambda way: (way[0].cost, -min(left.threads[n] for n in way[0].nodes)))
            at = next((i for i, (option, _) in enumerate(ways) if _take(left, unit, option)), None)
            tries.count += len(ways) if at is None else at + 1
            if at is None:
                break
            chosen = ways[at]
            if at:
                # What is left only shrinks.
                full = set(map(id, ways[:at]))
                open_ways = [way for way in open_ways if id(way) not in full]
            hint[chosen[1].terms[0][0]] += 1
            nodes_of[unit.guest.name] = frozenset(chosen[0].nodes)
    return hint


def _ties(f: Formulation) -> dict[str, list[tuple[str, bool]]]:
    """For each guest those that it is tied to, by the wish of either, and whether they lie together or apart."""
    ties: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for unit in f.units:
        request = unit.guests.request
        for others, together in ((request.affinity, True), (request.anti_affinity, False)):
            for other in others:
                ties[request.name].append((other, together))
                ties[other].append((request.name, together))
    return ties


def _tied_right(option: Option, tied: list[tuple[frozenset[NodeId], bool]]) -> bool:
    """Whether a way suits the guests that have their nodes already."""
    mine = frozenset(option.nodes)
    return all(nested(mine, theirs) if together else not mine & theirs for theirs, together in tied)


def _take(left: _Left, unit: Unit, option: Option) -> bool:
    """Takes what a guest needs if all of it is there, else nothing."""
    cells = list(zip(unit.guests.cells, option.nodes, strict=True))
    width = left.problem.facts.threads
    threads: Counter[NodeId] = Counter()
    cores: Counter[NodeId] = Counter()
    pool: Counter[NodeId] = Counter()
    for cell, node in cells:
        threads[node] += cell.isolated * width + cell.whole * width + cell.part + cell.threads
        cores[node] += cell.isolated + cell.whole + -(-(cell.part + cell.threads) // width)
        pool[node] += cell.shared
    alone = any(cell.isolated or cell.whole for cell, _ in cells)
    if any(left.threads[n] < threads[n] or left.pool[n] < pool[n] for n in threads):
        return False
    if alone and any(left.cores[n] < cores[n] for n in threads):
        return False
    memory = _memory(left, cells)
    devices = _devices(left, unit, option.nodes)
    if memory is None or devices is None:
        return False
    left.threads -= threads
    left.pool -= pool
    for node in threads:
        # Threads of odd guests fill opened cores up: only what no longer fits shuts whole ones.
        left.cores[node] = min(left.cores[node] - (cores[node] if alone else 0), left.threads[node] // width)
    left.memory -= memory
    left.devices -= devices
    for i, count in devices.items():
        pf = left.problem.device_kinds[i].pf
        if pf in left.mbps:  # else its speed is not known, and it carries anything
            left.mbps[pf] -= count * max(d.mbps for d in unit.guests.devices)
    return True


def _memory(left: _Left, cells: list[tuple[CellDemand, NodeId]]) -> Counter[Place] | None:
    taken: Counter[Place] = Counter()
    for cell, node in cells:
        nodes = (node,) if cell.strict else (node, *left.problem.facts.nodes)
        places = [(at, size) for at in nodes for size in sorted(cell.page_sizes_kib, reverse=True)]
        place = next((p for p in places if left.memory[p] - taken[p] >= cell.memory_kib), None)
        if place is None:
            return None
        taken[place] += cell.memory_kib
    return taken


def _devices(left: _Left, unit: Unit, nodes: tuple[NodeId, ...]) -> Counter[int] | None:
    taken: Counter[int] = Counter()
    load: Counter[PciAddress | None] = Counter()
    kinds = left.problem.device_kinds
    for demand in unit.guests.devices:
        near = sorted(
            (i for i in demand.kinds if left.problem.admits(demand, kinds[i], nodes)),
            key=lambda i: (left.problem.device_cost(kinds[i], nodes), i),
        )
        missing = demand.count
        for i in near:
            pf = kinds[i].pf
            room = left.devices[i] - taken[i]
            if demand.mbps and pf in left.mbps:
                room = min(room, (left.mbps[pf] - load[pf]) // demand.mbps)
            take = min(missing, room, 1 if demand.distinct else room)
            bundle = kinds[i].bundle
            if bundle is not None and take != left.problem.bundles[bundle]:
                # A whole IOMMU group or nothing; one that several interfaces or devices would share is left out.
                continue
            if take > 0:
                taken[i] += take
                load[pf] += take * demand.mbps
                missing -= take
        if missing:
            return None
    return taken
