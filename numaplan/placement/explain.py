"""Why something has no place: which guests cannot all be placed, and for each guest a sentence with its numbers."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.plan import Conflict, ConflictMember, Placement, Unplaced
from numaplan.model.request import Request, ThreadPolicy
from numaplan.placement.cpsat import Outcome
from numaplan.placement.expand import dedicated_cpus
from numaplan.placement.facts import HostFacts
from numaplan.placement.floating import idle_siblings
from numaplan.placement.kinds import entries
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem
from numaplan.placement.reasons import PROBE, choice, why_not_alone
from numaplan.placement.search import feasible
from numaplan.units import format_count, format_size

# How often a conflict is tried to be made smaller by a search; counting is tried first and costs nothing.
MAX_PROBES: Final = 24

_MOST_NAMED: Final = 5

# What a conflict between several guests is about, where no total is exceeded.
_BLAME: Final = {
    "anti_affinity": "their anti_affinity keeps them on different nodes, and there are too few that can take them",
    "affinity": "their affinity keeps them on the same nodes, and these cannot take all of them",
    "bandwidth": "their VFs need more bandwidth than the links of the PFs near them carry",
    "iommu_groups": "they need devices that only go together with their whole IOMMU group",
    "devices": "too few of the VFs and devices that each of them could use are near nodes that can take it",
    "floating_threads": "the CPUs that they leave are not enough for their emulators and iothreads to float on",
    "memory": "the nodes that have CPUs for them do not have the memory too",
    "shared_pool": "the nodes that have room for the rest of them have too small a shared pool",
    "dedicated_cpus": "the free CPUs of each node cannot be shared out among them as they need it",
}
_NO_PRIORITY: Final = "its priority is 0, so nothing is won by placing it: give it 1 or more"
_NO_WAY: Final = "no way was found to place it beside guests of the same or higher priority"


def conflict(request: Request, facts: HostFacts) -> tuple[Conflict, tuple[Unplaced, ...]]:
    """A smallest set of required guests that cannot all be placed, and the reason for each guest of the request.

    With very many guests the set may not be the smallest: see MAX_PROBES.
    """
    problem = build_problem(request, facts)
    alone = _alone(request, problem)
    required = [guest.name for guest in request.guests if guest.required]
    impossible = [name for name in required if alone[name] is not None]
    names = impossible[:1] or _smallest(required, _prober(problem))
    members = tuple(ConflictMember(name, "placed", alone[name] or _needs(problem, name)) for name in names)
    together = "" if impossible else _together(problem, names)
    reasons = []
    for guest in request.guests:
        others = _listed([name for name in names if name != guest.name])
        if (reason := alone[guest.name]) is None:
            if guest.name in names:
                reason = f"fits alone, but not together with {others}: {together}"
            elif impossible:
                reason = f"fits alone; {others} has no place even alone"
            else:
                reason = f"fits alone; the conflict that was found is between {others}, and there may be others"
        reasons.append(Unplaced(guest.name, reason))
    return Conflict(members), tuple(reasons)


def _alone(request: Request, problem: Problem) -> dict[str, str | None]:
    """For every guest why it has no place even alone; guests with the same needs share the answer."""
    return {
        guest.name: reason
        for guests in problem.classes
        for reason in [why_not_alone(request, problem, guests.request.name)]
        for guest in guests.members
    }


def why_unplaced(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> tuple[Unplaced, ...]:
    """The reason for each guest that a plan leaves out, beside the guests that it places."""
    placed = {placement.vm for placement in placements}
    missing = tuple(guest for guest in request.guests if guest.name not in placed)
    if not missing:
        return ()
    left = replace(request, guests=missing)
    alone = _alone(left, build_problem(left, _left_over(request, facts, placements)))
    reasons = []
    for guest in missing:
        if (lack := alone[guest.name]) is not None:
            reasons.append(Unplaced(guest.name, f"beside the guests that are placed, {lack}"))
        else:
            reasons.append(Unplaced(guest.name, _NO_WAY if guest.priority else _NO_PRIORITY))
    return tuple(reasons)


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(f'"{name}"' for name in names[:_MOST_NAMED])
    return said + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


def _prober(problem: Problem) -> Callable[[Collection[str]], bool]:
    """Whether guests are surely impossible together; after MAX_PROBES searches only counting tells."""
    searched = 0

    def impossible(names: Collection[str]) -> bool:
        nonlocal searched
        part = problem.only(names)
        if _exceeded(_totals(part)) is not None:
            return True
        if searched >= MAX_PROBES:
            return False
        searched += 1
        return feasible(part, PROBE) is Outcome.INFEASIBLE

    return impossible


def _smallest(names: Sequence[str], impossible: Callable[[Collection[str]], bool]) -> list[str]:
    """A subset that is impossible while each smaller one is not (QuickXplain, Junker 2004)."""

    def shrink(kept: list[str], open_: list[str], *, changed: bool) -> list[str]:
        if changed and impossible(frozenset(kept)):
            return []
        if len(open_) == 1:
            return open_
        half = len(open_) // 2
        second = shrink(kept + open_[:half], open_[half:], changed=True)
        first = shrink(kept + second, open_[:half], changed=bool(second))
        return first + second

    return shrink([], list(names), changed=False)


def _needs(problem: Problem, name: str) -> str:
    """What one guest asks of the host, in numbers."""
    (guests,) = problem.only({name}).classes
    guest = guests.request
    width = problem.facts.threads
    parts = []
    for k, cell in enumerate(guests.cells):
        subject = "" if len(guest.cells) == 1 else f"cell {k}: "
        cpus = cell.cpus(width) - cell.isolated
        words = [format_count(cpus, "CPU") if cpus else ""]
        words += [f"{cell.isolated} cores of their own" if cell.isolated else ""]
        words += [f"of these {format_count(cell.whole, 'whole core')}" if cell.whole else ""]
        words += [format_count(cell.shared, "shared vCPU") if cell.shared else ""]
        words += [f"{format_size(cell.memory_kib)} in pages of {guest.cells[k].page_size.value}"]
        parts.append(subject + ", ".join(word for word in words if word))
    if len(guest.cells) > 1 and guest.distinct_nodes:
        parts.append("each cell on a node of its own")
    for entry, demand in zip(entries(guest), guests.devices, strict=True):
        parts.append(f"{choice(entry, demand.count)}, affinity {demand.affinity.value}")
    for word, partners in (("on the nodes of", guest.affinity), ("on no node of", guest.anti_affinity)):
        if partners:
            parts.append(f"{word} {_listed(partners)}")
    return "needs " + "; ".join(parts)


def _totals(problem: Problem) -> Mapping[str, tuple[int, int]]:
    """What guests need in all and what the host has free, by resource."""
    facts = problem.facts
    cells = [(cell, len(guests.members)) for guests in problem.classes for cell in guests.cells]
    free_cores = [core.cpus & facts.free for core in facts.snapshot.cores]
    whole = sum(len(cpus) == facts.threads > 1 for cpus in free_cores)
    single = sum(bool(cpus) for cpus in free_cores)
    totals = {
        "CPUs": (sum(cell.cpus(facts.threads) * n for cell, n in cells), len(facts.free)),
        "whole cores": (sum(cell.whole * n for cell, n in cells), whole),
        "cores of their own": (sum(cell.isolated * n for cell, n in cells), single),
        "shared vCPUs": (sum(cell.shared * n for cell, n in cells), sum(facts.pool_left.values())),
    }
    for size in sorted({size for _, size in facts.capacity_kib}, reverse=True):
        need = sum(cell.memory_kib // size * n for cell, n in cells if cell.page_sizes_kib == (size,))
        have = sum(free // size for (_, pages), free in facts.capacity_kib.items() if pages == size)
        totals[f"{format_size(size)} pages"] = (need, have)
    return totals


def _exceeded(totals: Mapping[str, tuple[int, int]]) -> str | None:
    return next((what for what, (need, have) in totals.items() if need > have), None)


def _together(full: Problem, names: Collection[str]) -> str:
    """What the guests of a conflict exceed in all, or else what their conflict is about."""
    problem = full.only(names)
    totals = _totals(problem)
    if (what := _exceeded(totals)) is not None:
        need, have = totals[what]
        return f"they need {need} {what}, the host has {have} free"
    for constraint, sentence in _BLAME.items():
        if feasible(problem, PROBE, without=constraint) is Outcome.FEASIBLE:
            return sentence
    if len(problem.facts.nodes) == 1:
        return "its one node cannot give each what it needs at once"
    return "the host has enough in all, but no split over its nodes gives each what it needs on its own"


def _left_over(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> HostFacts:
    """The host as it is beside `placements`."""
    by_name = {guest.name: guest for guest in request.guests}
    sets = {p.vm: dedicated_cpus(by_name[p.vm], p) for p in placements}
    held = CpuSet(cpu for cpus in sets.values() for cpu in cpus)
    alone = [name for name in sets if by_name[name].thread_policy is ThreadPolicy.ISOLATE]
    idle = idle_siblings(facts, CpuSet(cpu for name in alone for cpu in sets[name]))
    pool = dict(facts.pool_left)
    capacity = dict(facts.capacity_kib)
    devices = set(facts.held_devices)
    nodes = dict(facts.guest_nodes)
    for placement in placements:
        request_of = by_name[placement.vm]
        nodes[placement.vm] = frozenset(placement.nodes)
        devices.update(vf for interface in placement.interfaces for vf in interface.vfs)
        devices.update(device.address for device in placement.devices)
        for cell in placement.cells:
            pool[cell.numa_node] -= sum(vcpu not in request_of.dedicated_vcpus for vcpu, _ in cell.vcpus)
            capacity[cell.memory_node, cell.page_size_kib] -= cell.memory_kib
    return replace(
        facts,
        taken=facts.taken | held,
        free=facts.free - held - idle,
        pool_left=pool,
        capacity_kib=capacity,
        held_devices=frozenset(devices),
        guest_nodes=nodes,
    )
