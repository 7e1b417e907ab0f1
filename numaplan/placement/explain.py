"""Why something has no place: which guests cannot all be placed, and for each guest a sentence with its numbers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.model.plan import Conflict, ConflictMember, Placement, Unplaced
from numaplan.model.request import DeviceRequest, GuestRequest, InterfaceRequest, Request
from numaplan.placement.constraints import CONSTRAINTS
from numaplan.placement.cpsat import Outcome
from numaplan.placement.expand import dedicated_cpus
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import entries
from numaplan.placement.lacks import cell_lack
from numaplan.placement.options import build_problem
from numaplan.placement.problem import DeviceDemand, GuestClass, Problem
from numaplan.placement.search import Budget, feasible
from numaplan.units import format_size

# A proof that a few guests do not fit is easy or hopeless; a long search for a smaller conflict helps nobody.
_PROBE = Budget(scale=0.2)

_BLAME = {
    "dedicated_cpus": "its cells together need more free CPUs than their nodes have",
    "shared_pool": "its shared vCPUs together need more room than the shared pools of their nodes have",
    "memory": "its cells together need more memory than their nodes have",
    "devices": "its interfaces and devices together need more VFs and devices than are free",
    "bandwidth": "its VFs need more bandwidth than the links of the PFs near it carry",
    "iommu_groups": "a VF or device that it needs shares its IOMMU group with one that it did not ask for",
    "floating_threads": (
        "no CPU of its nodes is left for its emulator or iothreads to float on: name shared_cpus or reserved_cpus,"
        " or give it a CPU with emulator: isolate"
    ),
    "affinity": "a guest that stays, and that it must share nodes with, runs on nodes where it does not fit",
    "anti_affinity": "a guest that stays, and that it must keep away from, runs on the nodes where it would fit",
}


def conflict(request: Request, facts: HostFacts) -> tuple[Conflict, tuple[Unplaced, ...]]:
    """A smallest set of required guests that cannot all be placed, and the reason for each guest of the request."""
    required = [guest for guest in request.guests if guest.required]
    alone = {guest.name: why_not_alone(request, facts, guest) for guest in request.guests}
    impossible = [guest for guest in required if alone[guest.name] is not None]
    core = impossible[:1] or _smallest(required, lambda guests: _impossible(request, facts, guests))
    names = [guest.name for guest in core]
    members = tuple(
        ConflictMember(guest.name, "placed", alone[guest.name] or _needs(request, facts, guest)) for guest in core
    )
    together = _together(request, facts, core)
    reasons = []
    for guest in request.guests:
        others = ", ".join(f'"{name}"' for name in names if name != guest.name)
        if (reason := alone[guest.name]) is None:
            if guest.name in names:
                reason = f"fits alone, but not together with {others}: {together}"
            elif len(names) > 1:
                reason = f"is not in the way: the conflict is between {others}"
            else:
                reason = f"is not in the way: {others} has no place even alone"
        reasons.append(Unplaced(guest.name, reason))
    return Conflict(members), tuple(reasons)


def why_unplaced(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> tuple[Unplaced, ...]:
    """The reason for each guest that a plan leaves out, beside the guests that it places."""
    placed = {placement.vm for placement in placements}
    left = _left_over(request, facts, placements)
    reasons = []
    for guest in request.guests:
        if guest.name not in placed:
            lack = why_not_alone(request, left, guest)
            reasons.append(Unplaced(guest.name, f"beside the guests that are placed, {lack}" if lack else _NO_WAY))
    return tuple(reasons)


_NO_WAY = "no way was found to place it beside guests of the same or higher priority"


def why_not_alone(request: Request, facts: HostFacts, guest: GuestRequest) -> str | None:
    """Why a guest has no place even without the others; None where it has one."""
    needed = replace(guest, required=True, affinity=_staying(facts, guest.affinity))
    problem = build_problem(replace(request, guests=(needed,)), facts)
    if feasible(problem, _PROBE) is not Outcome.INFEASIBLE:
        return None
    guests = problem.classes[0]
    for k, cell in enumerate(guests.cells):
        lacks = {node: cell_lack(facts, cell, node, cores=problem.core_kinds) for node in facts.nodes}
        if all(lacks.values()):
            subject = "it" if len(guests.cells) == 1 else f"its cell {k}"
            return f"no node can take {subject}: " + "; ".join(f"node {n}: {lack}" for n, lack in lacks.items())
    if short := _short_devices(problem, guests, guest):
        return short
    for constraint in CONSTRAINTS:
        if constraint.id in _BLAME and feasible(problem, _PROBE, without=constraint.id) is Outcome.FEASIBLE:
            return _BLAME[constraint.id]
    return "no way to lie on the nodes satisfies all that it asks for at once: " + _nodes_in_turn(problem, guests)


def _staying(facts: HostFacts, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in facts.guest_nodes)


def _short_devices(problem: Problem, guests: GuestClass, guest: GuestRequest) -> str | None:
    """The demand for which the whole host, or the guest's own nodes, have too few devices."""
    for entry, demand in zip(entries(guest), guests.devices, strict=True):
        noun = f'device "{entry.name}"' if isinstance(entry, DeviceRequest) else f'interface "{entry.name}"'
        have = sum(len(problem.device_kinds[i].members) for i in demand.kinds)
        if have < demand.count:
            missing = _missing_pfs(problem, entry)
            return f"{noun} needs {demand.count} of {_choice(entry)}, the host has {have} free{missing}"
        if not guests.options:
            return (
                f"{noun} needs {demand.count} of {_choice(entry)} with affinity {demand.affinity.value} to its cells: "
                + _nodes_in_turn(problem, guests)
            )
    return None


def _missing_pfs(problem: Problem, entry: InterfaceRequest | DeviceRequest) -> str:
    """The PFs that an entry speaks of and that are not there."""
    if isinstance(entry, DeviceRequest):
        return ""
    facts = problem.facts
    wanted = (entry.pf,) if entry.pf else dict(facts.policy.physnets).get(entry.physnet or "", ())
    present = {name for device in facts.snapshot.pci if device.sriov is not None for name in device.netdevs}
    missing = [name for name in wanted if name not in present]
    return f": it has no PF {', '.join(missing)}" if missing else ""


def _choice(entry: object) -> str:
    words = [
        f"{key} {value}"
        for key in ("physnet", "pf", "vendor", "device", "address")
        if (value := getattr(entry, key, None)) is not None
    ]
    return ("devices with " if isinstance(entry, DeviceRequest) else "VFs with ") + ", ".join(words)


def _nodes_in_turn(problem: Problem, guests: GuestClass) -> str:
    """What each node has for the guest: CPUs by its cells, devices by its demands."""
    facts = problem.facts
    parts = []
    for node in facts.nodes:
        lacks = [lack for cell in guests.cells if (lack := cell_lack(facts, cell, node, cores=problem.core_kinds))]
        lacks += [_devices_at(problem, demand, node) for demand in guests.devices]
        parts.append(f"node {node}: " + (", ".join(dict.fromkeys(lacks)) or "room for a cell"))
    return "; ".join(parts)


def _devices_at(problem: Problem, demand: DeviceDemand, node: int) -> str:
    have = sum(len(problem.device_kinds[i].members) for i in demand.kinds if problem.device_kinds[i].node == node)
    return f'{have} free for "{demand.name}", needs {demand.count}'


def _impossible(request: Request, facts: HostFacts, guests: Sequence[GuestRequest]) -> bool:
    problem = build_problem(replace(request, guests=tuple(guests)), facts)
    return feasible(problem, _PROBE) is Outcome.INFEASIBLE


def _smallest(
    guests: Sequence[GuestRequest], impossible: Callable[[Sequence[GuestRequest]], bool]
) -> list[GuestRequest]:
    """A subset that is impossible while each smaller one is not (QuickXplain, Junker 2004)."""

    def shrink(kept: list[GuestRequest], open_: list[GuestRequest], *, changed: bool) -> list[GuestRequest]:
        if changed and impossible(kept):
            return []
        if len(open_) == 1:
            return open_
        half = len(open_) // 2
        second = shrink(kept + open_[:half], open_[half:], changed=True)
        first = shrink(kept + second, open_[:half], changed=bool(second))
        return first + second

    return shrink([], list(guests), changed=False)


def _needs(request: Request, facts: HostFacts, guest: GuestRequest) -> str:
    """What one guest asks of the host, in numbers."""
    problem = build_problem(replace(request, guests=(guest,)), facts)
    parts = []
    for k, cell in enumerate(problem.classes[0].cells):
        subject = "" if len(guest.cells) == 1 else f"cell {k}: "
        words = [f"{cell.cpus(facts.threads)} CPUs" if cell.cpus(facts.threads) else ""]
        words += [f"{cell.isolated} free cores" if cell.isolated else ""]
        words += [f"{cell.whole} whole cores" if cell.whole else ""]
        words += [f"{cell.shared} shared vCPUs" if cell.shared else ""]
        words += [f"{format_size(cell.memory_kib)} in {guest.cells[k].page_size.value} pages"]
        parts.append(subject + ", ".join(word for word in words if word))
    parts += [
        f"{demand.count} of {_choice(e)}" for e, demand in zip(entries(guest), problem.classes[0].devices, strict=True)
    ]
    return "needs " + "; ".join(parts)


def _together(request: Request, facts: HostFacts, guests: Sequence[GuestRequest]) -> str:
    """The total that the guests of a conflict exceed, or that none is exceeded and the split over nodes fails."""
    problem = build_problem(replace(request, guests=tuple(guests)), facts)
    cells = [(cell, len(c.members)) for c in problem.classes for cell in c.cells]
    kinds = problem.core_kinds
    totals = [
        ("CPUs", sum(c.cpus(facts.threads) * n for c, n in cells), len(facts.free)),
        ("whole cores", sum(c.whole * n for c, n in cells), sum(len(k.cores) for k in kinds if k.whole)),
        ("cores of their own", sum(c.isolated * n for c, n in cells), sum(len(k.cores) for k in kinds if k.isolable)),
        ("shared vCPUs", sum(c.shared * n for c, n in cells), sum(facts.pool_left.values())),
    ]
    for size in sorted({size for _, size in facts.capacity_kib}, reverse=True):
        need = sum(c.memory_kib // size * n for c, n in cells if c.page_sizes_kib == (size,))
        totals.append(
            (
                f"{format_size(size)} pages",
                need,
                sum(v // size for (_, s), v in facts.capacity_kib.items() if s == size),
            )
        )
    totals.append(
        (
            "VFs and devices",
            sum(d.count * len(c.members) for c in problem.classes for d in c.devices),
            sum(len(k.members) for k in problem.device_kinds),
        )
    )
    for what, need, have in totals:
        if need > have:
            return f"they need {need} {what}, the host has {have} free"
    return "the host has enough in all, but no split over its nodes gives each what it needs on its own"


def _left_over(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> HostFacts:
    """The host as it is beside `placements`."""
    by_name = {guest.name: guest for guest in request.guests}
    held = CpuSet(cpu for p in placements for cpu in dedicated_cpus(by_name[p.vm], p))
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
        free=facts.free - held,
        pool_left=pool,
        capacity_kib=capacity,
        held_devices=frozenset(devices),
        guest_nodes=nodes,
    )
