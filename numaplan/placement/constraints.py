"""The hard constraints, one unit each: what a plan must not break. verification/ has their twins, written apart."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, combinations_with_replacement
from math import gcd
from typing import Final

from numaplan.cpuset import CpuId
from numaplan.model.host import NodeId
from numaplan.placement.cpsat import ZERO, Linear, total
from numaplan.placement.device_constraints import bandwidth, devices, iommu_groups
from numaplan.placement.facts import SMALL_PAGE_KIB, Place
from numaplan.placement.formulation import (
    TAKES,
    Formulation,
    KindUse,
    MemoryKey,
    Region,
    Unit,
    memory_key,
)
from numaplan.placement.problem import Problem
from numaplan.placement.ties import affinity, anti_affinity


@dataclass(frozen=True, slots=True)
class Constraint:
    """`id` names it in plans; `add` demands it of a formulation."""

    id: str
    add: Callable[[Formulation], None]


def required(f: Formulation) -> None:
    """Guests that must be placed are; of interchangeable optional ones the first are placed first."""
    for u, unit in enumerate(f.units):
        low = unit.count if unit.guests.request.required else 0
        f.model.between(low, f.placed(u), unit.count)


def dedicated_cpus(f: Formulation) -> None:
    """Every CPU goes to one thread, and thread policies hold: see KindUse for how cores are handed out."""
    _add_takes(f)
    for region in f.regions():
        kinds = [i for i, kind in enumerate(f.problem.core_kinds) if f.region(kind) == region]
        wanted = {take: demand(f, region, take) for take in TAKES}
        parts = _part_demands(f, region)
        for i in kinds:
            f.kind_use[i] = _kind_use(f, i, wanted, parts=tuple(parts))
        f.model.equal(total(f.kind_use[i].isolated for i in kinds) - wanted["isolated"])
        f.model.equal(total(f.kind_use[i].whole for i in kinds) - wanted["whole"])
        for size, count in parts.items():
            slots = total(cores * pattern.count(size) for i in kinds for pattern, cores in f.kind_use[i].patterns)
            f.model.at_least(slots - count, 0)
        supply = total(f.kind_use[i].opened * f.problem.core_kinds[i].free for i in kinds)
        kept = total(_kept_threads(f, i) for i in kinds)
        in_parts = total(count * size for size, count in parts.items())
        f.model.at_least(supply - kept - in_parts - wanted["threads"], 0)
    for guests in kept_cpus(f).values():
        if len(guests.terms) > 1:
            f.model.at_most(guests, 1)
    _idle_scattered(f)


def kept_cpus(f: Formulation) -> dict[CpuId, Linear]:
    """How many guests are kept as they are on each CPU: the XML of several can name the same one."""
    found: dict[CpuId, list[Linear]] = defaultdict(list)
    for u in range(len(f.units)):
        for option, kept in f.options(u):
            for cpu in () if option.keep is None else chain.from_iterable(option.keep.cell_sets):
                found[cpu].append(kept)
    return {cpu: total(guests) for cpu, guests in found.items()}


def _idle_scattered(f: Formulation) -> None:
    """Where the threads of a core lie apart, isolating one of them leaves the others to nobody."""
    parts: dict[CpuId, list[int]] = defaultdict(list)
    for i, kind in enumerate(f.problem.core_kinds):
        if kind.scattered is not None:
            parts[kind.scattered].append(i)
    for i, j in ((i, j) for group in parts.values() for i in group for j in group if i != j):
        here, there = f.kind_use[i], f.kind_use[j]
        f.model.at_most(here.isolated + there.isolated + there.opened, 1)
        for kept, _, alone in f.kept(i):
            if alone:
                f.model.at_most(kept + there.isolated + there.opened, 1)


def demand(f: Formulation, region: Region, take: str) -> Linear:
    """How much of one kind of thing the cells take in a region, kept guests apart; parts in cores."""
    if f.fine:
        return total(x for (_, _, r, t), x in f.takes.items() if r == region and t == take)
    return total(
        f.on(u, k, region[0], kept=False) * _amount(getattr(cell, take), take)
        for u, k, cell in f.cells()
        if getattr(cell, take)
    )


def _amount(value: int, take: str) -> int:
    return min(value, 1) if take == "part" else value


def _add_takes(f: Formulation) -> None:
    """At the fine grain: how much each cell takes in each region of its node."""
    if not f.fine:
        return
    regions = f.regions()
    for u, k, cell in f.cells():
        nodes = {f.units[u].guests.options[o].nodes[k] for o in f.choice[u]}
        for take in TAKES:
            amount = _amount(getattr(cell, take), take)
            for node in sorted(nodes) if amount else ():
                here = [region for region in regions if region[0] == node]
                for region in here:
                    f.takes[u, k, region, take] = f.model.integer(0, amount)
                placed = f.on(u, k, node, kept=False) * amount
                f.model.equal(total(f.takes[u, k, region, take] for region in here) - placed)


def _part_demands(f: Formulation, region: Region) -> dict[int, Linear]:
    """Parts of a core wanted in a region, by their number of threads."""
    sizes: dict[int, list[Linear]] = defaultdict(list)
    for u, k, cell in f.cells():
        if cell.part:
            key = (u, k, region, "part")
            x = f.takes.get(key, ZERO) if f.fine else f.on(u, k, region[0], kept=False)
            sizes[cell.part].append(x)
    return {size: total(parts) for size, parts in sorted(sizes.items())}


def _kind_use(f: Formulation, i: int, wanted: dict[str, Linear], *, parts: tuple[int, ...]) -> KindUse:
    kind = f.problem.core_kinds[i]
    cores = len(kind.cores)
    isolated = f.model.integer(0, cores) if kind.isolable and wanted["isolated"].terms else ZERO
    whole = f.model.integer(0, cores) if kind.whole and wanted["whole"].terms else ZERO
    patterns = [(p, f.model.integer(0, cores)) for p in _patterns(parts, kind.free)]
    use = KindUse(isolated, whole, tuple(patterns))
    f.model.at_most(isolated + whole + use.opened, cores)
    kept = _kept_threads(f, i)
    if kept.terms:
        in_parts = total(count * sum(pattern) for pattern, count in patterns)
        f.model.at_least(use.opened * kind.free - kept - in_parts, 0)
    return use


def _kept_threads(f: Formulation, i: int) -> Linear:
    """Threads of a kind's only core that kept guests hold or keep idle."""
    free = f.problem.core_kinds[i].free
    return total(kept * (free if alone else cpus) for kept, cpus, alone in f.kept(i))


def _patterns(sizes: tuple[int, ...], free: int) -> list[tuple[int, ...]]:
    """The sets of parts that one core of `free` threads can serve; the empty one first."""
    most = free // min(sizes) if sizes else 0
    found = (p for n in range(most + 1) for p in combinations_with_replacement(sizes, n))
    return [pattern for pattern in found if sum(pattern) <= free]


def shared_pool(f: Formulation) -> None:
    """The shared vCPUs on a node are at most shared_ratio for each CPU of its pool."""
    for node in f.problem.facts.nodes:
        wanted = total(f.on(u, k, node) * cell.shared for u, k, cell in f.cells() if cell.shared)
        if wanted.terms:
            f.model.at_most(wanted, f.problem.facts.pool_left[node])


def memory(f: Formulation) -> None:
    """Every cell's memory lies on one node, in pages of one size, and no pool gives more than it has.

    QEMU itself takes ordinary pages of each node that a guest has a cell on.
    """
    demands: dict[MemoryKey, list[Linear]] = defaultdict(list)
    for u, k, cell in f.cells():
        # Of thousands of ways most have the cell on one of a few nodes.
        keys: dict[tuple[NodeId, NodeId | None], MemoryKey] = {}
        for option, count in f.options(u):
            lies = option.nodes[k], option.memory_node(k)
            if lies not in keys:
                keys[lies] = memory_key(f.problem, cell, option, k)
            demands[keys[lies]].append(count)
    capacity = f.problem.facts.capacity_kib
    for key, counts in demands.items():
        wanted = total(counts)
        costs = {(node, size): cost for node, cost in key.places for size in key.page_sizes_kib}
        most = f.model.upper(wanted)
        # A guest cell may have no memory: libvirt has such, and any place will do for it.
        room = {place: capacity.get(place, 0) // key.memory_kib if key.memory_kib else most for place in costs}
        flows = {place: f.model.integer(0, min(most, room[place])) for place in costs}
        f.model.equal(total(flows.values()) - wanted)
        f.memory_flows[key] = flows
        f.memory_cost += total(flow * costs[place] for place, flow in flows.items())
    for place, parts in memory_uses(f).items():
        # In units of what divides every amount, the numbers stay small and nothing is rounded.
        unit = reduce(gcd, (size for _, size in parts))
        if unit:
            used = total(flow * (size // unit) for flow, size in parts)
            f.model.at_most(used, capacity.get(place, 0) // unit)


def use_at_most(f: Formulation, used: Linear, there: int, more: Linear) -> None:
    """Demands used <= there + more where anything is used; what is promised already may leave `there` below zero."""
    if there >= 0:
        f.model.at_most(used - more, there)
        return
    touched = f.model.boolean()
    f.model.at_most(used - touched * f.model.upper(used), 0)
    f.model.at_most(used - more - touched * there, 0)


def memory_uses(f: Formulation) -> dict[Place, list[tuple[Linear, int]]]:
    """(how many, KiB of each) of all that takes pages of a size on a node, by the two."""
    uses: dict[Place, list[tuple[Linear, int]]] = defaultdict(list)
    for key, flows in f.memory_flows.items():
        for place, flow in flows.items():
            uses[place].append((flow, key.memory_kib))
    overhead_kib = f.problem.facts.policy.guest_overhead_kib
    for node in f.problem.facts.nodes if overhead_kib else ():
        guests = total(f.uses(u, node) * unit.guests.stands_for for u, unit in enumerate(f.units))
        uses[node, SMALL_PAGE_KIB].append((guests, overhead_kib))
    return uses


def floating_threads(f: Formulation) -> None:
    """Where the host names no pool, an emulator or iothread that floats needs a CPU that nobody holds."""
    if not any(unit.guests.floats for unit in f.units):
        return
    facts = f.problem.facts
    room: dict[NodeId, Linear] = {}
    for node in facts.nodes:
        online = len(facts.unheld(node))
        parts = [(u, f.on(u, k, node) * cpus) for u, k, cell in f.cells() if (cpus := cell.cpus(facts.threads))]
        room[node] = f.model.boolean() if online else ZERO
        if online:
            # In steps of what divides all that may be held, less of the room is left to fractions.
            held = total(held for _, held in parts)
            step = reduce(gcd, (cpus for _, cpus in held.terms), 0) or 1
            most, beside = (cpus // step * step for cpus in (online, online - 1))
            f.model.at_most(held + room[node] * (most - beside), most)
            # Follows from what is below, but without it the relaxation sees no use in keeping a CPU.
            theirs = total(held for u, held in parts if _floats_there(f.units[u]))
            f.model.at_most(theirs - room[node] * beside, 0)
    for u, unit in enumerate(f.units):
        if unit.guests.floats:
            for option, count in f.options(u):
                rooms = total(room[node] for node in sorted(set(option.nodes)))
                f.model.at_most(count - rooms * unit.count, 0)


def _floats_there(unit: Unit) -> bool:
    """Whether guests have threads that float, and all of them on one node, whichever that is."""
    return unit.guests.floats and all(len(set(option.nodes)) == 1 for option in unit.guests.options)


CONSTRAINTS: Final = (
    Constraint("required", required),
    Constraint("dedicated_cpus", dedicated_cpus),
    Constraint("shared_pool", shared_pool),
    Constraint("memory", memory),
    Constraint("devices", devices),
    Constraint("bandwidth", bandwidth),
    Constraint("iommu_groups", iommu_groups),
    Constraint("floating_threads", floating_threads),
    Constraint("affinity", affinity),
    Constraint("anti_affinity", anti_affinity),
)


def formulate(problem: Problem, units: Sequence[Unit], *, fine: bool, without: str | None = None) -> Formulation:
    """The model of a problem, every hard constraint in it but the one named `without`."""
    f = Formulation(problem, units, fine=fine)
    for constraint in CONSTRAINTS:
        if constraint.id != without:
            constraint.add(f)
    return f
