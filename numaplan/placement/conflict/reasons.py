"""Why one guest has no place even with the host to itself: one true sentence with the numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from numaplan.cpuset import format_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.request import Affinity, DeviceRequest, GuestRequest, InterfaceRequest, Request
from numaplan.placement.clock import UNLIMITED, Remaining, is_over
from numaplan.placement.conflict.entry import choice, group_bound, noun
from numaplan.placement.conflict.numbers import in_numbers
from numaplan.placement.conflict.ports import no_port_near
from numaplan.placement.cpsat import Outcome
from numaplan.placement.demands import fitting_nodes
from numaplan.placement.kinds import bound_to_groups, entries, matching_devices, obstacle
from numaplan.placement.lacks import cell_lack, node_by_node
from numaplan.placement.options import build_problem
from numaplan.placement.problem import DeviceDemand, GuestClass, Problem
from numaplan.placement.search import Budget, feasible
from numaplan.placement.ways import ways
from numaplan.units import format_few

# A proof that a few guests do not fit is easy or hopeless; a long search for a better sentence helps nobody.
PROBE: Final = Budget(scale=0.2)

# In this order: without "devices" no VF is given at all, so that nothing else about VFs can be to blame.
_BLAME: Final = {
    "dedicated_cpus": "its cells together need more free CPUs than their nodes have",
    "shared_pool": "its shared vCPUs together need more room than the shared pools of their nodes have",
    "memory": "it needs more memory in all than the nodes in its reach have",
    "bandwidth": "its VFs need more bandwidth than the links of the PFs near it carry",
    "iommu_groups": "a VF or device that it needs shares its IOMMU group with one that it did not ask for",
    "devices": "its interfaces and devices together find too few VFs and devices near it, or of PFs of their own",
    "floating_threads": (
        "no CPU of its nodes is left for its emulator or iothreads to float on: name shared_cpus or reserved_cpus,"
        " or give it a CPU with emulator: isolate"
    ),
    "affinity": "it must share nodes with {partners}, and has no place there",
    "anti_affinity": "it must keep away from {partners}, and has no place elsewhere",
}
_MOST_NAMED: Final = 3


# Whether a guest fits in one of its first so many ways is asked before all of them are tried.
_FIRST_WAYS: Final = 8


class Reason(NamedTuple):
    """Why a guest has no place; not `is_one` where several things together are to blame, and none is named."""

    sentence: str
    is_one: bool = True


def why_not_alone(
    request: Request, full: Problem, guests: GuestClass, remaining: Remaining = UNLIMITED
) -> Reason | None:
    """Why a guest of a class of the problem `full` has no place even without the others; None where it has one.

    Or where a search would have to tell and no time is `remaining`.
    """
    problem = full.alone(guests)
    if _plainly_fits(problem):
        return None
    # What single nodes lack is a proof that needs no search.
    if lack := what_nodes_lack(request, problem) or _no_memory(problem, problem.classes[0]):
        return Reason(lack)
    if is_over(remaining) or _fits(_first_ways(problem)) or _fits(problem) is not False:
        return None
    return why_impossible(problem)


def why_impossible(problem: Problem) -> Reason:
    """Why the only guest of `problem` has no place, where it is known that it has none, and single nodes do not say."""
    if blamed := _broken_constraint(problem):
        return Reason(blamed)
    nodes = _nodes_in_turn(problem, problem.classes[0])
    return Reason(f"no way to lie on the nodes gives it all that it asks for at once: {nodes}", is_one=False)


def what_nodes_lack(request: Request, problem: Problem) -> str | None:
    """What each node lacks for the only guest of `problem`, where that alone leaves it no place.

    Where it may stay beside an isolated one, it has what no other could.
    """
    guests = problem.classes[0]
    return (
        (None if guests.stays_beside else _no_node(problem, guests) or _no_nodes_apart(problem, guests))
        or no_port_near(problem, guests)
        or _no_devices(problem, guests)
        or _no_devices_near(request, problem, guests)
    )


def devices_there(problem: Problem, guests: GuestClass) -> frozenset[tuple[str, int]]:
    """How many devices there are for each entry, by its name, wherever they are."""
    return frozenset((demand.name, _there(problem, demand)) for demand in guests.devices)


def _plainly_fits(problem: Problem) -> bool:
    """Whether a guest fits for sure, as one that asks for nothing that a look at single nodes does not settle."""
    guests = problem.classes[0]
    names = (*guests.request.affinity, *guests.request.anti_affinity)
    kinds = {i for demand in guests.devices for i in demand.kinds}
    wanted = sum(demand.count for demand in guests.devices)
    mbps = max((demand.mbps for demand in guests.devices), default=0)
    return (
        not guests.floats
        and not any(name in problem.facts.guest_nodes for name in names)
        and all(cell.strict for cell in guests.cells)
        and not problem.uncounted
        and (len(guests.cells) == 1 or all(kind.scattered is None for kind in problem.core_kinds))
        and all(problem.device_kinds[i].bundle is None for i in kinds)
        and not any(demand.distinct for demand in guests.devices)
        and any(
            option.keep is None
            and len(set(option.nodes)) == len(option.nodes)
            and all(_devices_near(problem, demand, option.nodes, mbps=mbps) >= wanted for demand in guests.devices)
            for option in guests.options
        )
    )


def _devices_near(problem: Problem, demand: DeviceDemand, nodes: tuple[NodeId, ...], *, mbps: int) -> int:
    """How many devices near enough the links can serve, each with `mbps`."""
    by_pf: dict[PciAddress | None, int] = {}
    for i in demand.kinds:
        kind = problem.device_kinds[i]
        if problem.admits(demand, kind, nodes):
            by_pf[kind.pf] = by_pf.get(kind.pf, 0) + len(kind.members)
    if mbps == 0:
        return sum(by_pf.values())
    return sum(min(count, (problem.facts.link_speed(pf) or count * mbps) // mbps) for pf, count in by_pf.items())


def _first_ways(problem: Problem) -> Problem:
    """With few ways to lie on nodes: mostly one of them will do."""
    return replace(problem, classes=tuple(replace(c, options=c.options[:_FIRST_WAYS]) for c in problem.classes))


def _fits(problem: Problem) -> bool | None:
    match feasible(problem, PROBE):
        case Outcome.INFEASIBLE:
            return False
        case Outcome.UNKNOWN:
            return None
        case _:
            return True


def _no_node(problem: Problem, guests: GuestClass) -> str | None:
    facts = problem.facts
    for k, cell in enumerate(guests.cells):
        lacks = {
            node: lack
            for node in facts.nodes
            if (lack := cell_lack(facts, cell, node, cores=problem.core_kinds)) is not None
        }
        if len(lacks) == len(facts.nodes):
            subject = "it" if len(guests.cells) == 1 else f"its cell {k}"
            return f"no node can take {subject}: {node_by_node(lacks)}"
    return None


def _no_memory(problem: Problem, guests: GuestClass) -> str | None:
    """What each node has for a cell whose memory may lie on any of them, where none has enough."""
    facts = replace(problem.facts, policy=replace(problem.facts.policy, guest_overhead_kib=0))
    for k, cell in enumerate(guests.cells):
        only = replace(cell, isolated=0, whole=0, part=0, threads=0, shared=0, strict=True)
        lacks = {node: lack for node in facts.nodes if (lack := cell_lack(facts, only, node, cores=())) is not None}
        if len(lacks) == len(facts.nodes):
            whose = "it" if len(guests.cells) == 1 else f"its cell {k}"
            return f"no node has the memory for {whose}: {node_by_node(lacks)}"
    return None


def _no_nodes_apart(problem: Problem, guests: GuestClass) -> str | None:
    distinct = guests.request.distinct_nodes
    possible = [fitting_nodes(problem.facts, cell, cores=problem.core_kinds) for cell in guests.cells]
    if next(ways(problem.facts, guests.cells, possible, distinct=distinct), None) is not None:
        return None
    able = [node for node in problem.facts.nodes if any(node in nodes for nodes in possible)]
    return (
        f"its {len(guests.cells)} cells need nodes of their own, and only {len(able)} of {len(problem.facts.nodes)}"
        f" can take one: {_nodes_in_turn(problem, guests)}"
    )


def _no_devices(problem: Problem, guests: GuestClass) -> str | None:
    for entry, demand in zip(entries(guests.request), guests.devices, strict=True):
        have = _there(problem, demand)
        if have < demand.count:
            reasons = _missing_pfs(problem, entry) or _obstacles(problem, entry, demand)
            apart = " on as many PFs" if demand.distinct and demand.count > 1 else ""
            return f"{noun(entry)} needs {choice(entry, demand.count)}{apart}, the host has {have} free{reasons}"
    return None


def _no_devices_near(request: Request, problem: Problem, guests: GuestClass) -> str | None:
    """The one demand that no way to lie on the nodes satisfies, wherever all others find theirs."""
    guest = guests.request
    seen: set[DeviceDemand] = set()
    for number, (entry, demand) in enumerate(zip(entries(guest), guests.devices, strict=True)):
        # Entries that ask for the same need no second look.
        same = replace(demand, name="")
        if demand.affinity is Affinity.PREFERRED or same in seen:
            continue
        seen.add(same)
        alone = build_problem(replace(request, guests=(_near_for_one(guest, number),)), problem.facts)
        (asked,) = alone.classes
        # An IOMMU group that a guest does not ask for as a whole is near it in vain: that is another reason.
        is_whole = [_there(alone, d) for d in asked.devices] == [_there(problem, d) for d in guests.devices]
        if is_whole and not alone.truncated and not asked.options:
            where = node_by_node({node: _at_node(problem, guests, demand, node) for node in problem.facts.nodes})
            return (
                f"{noun(entry)} needs {choice(entry, demand.count)} with affinity {demand.affinity.value}:"
                f" {where}{_nowhere(problem, demand)}{_bound(problem, entry, demand)}"
            )
    return None


def _near_for_one(guest: GuestRequest, which: int) -> GuestRequest:
    """The guest with all that it asks for of devices, where only entry `which` has to be near.

    None is left out: it may be the rest of an IOMMU group that another one can only have with it.
    """
    interfaces: list[InterfaceRequest] = []
    devices: list[DeviceRequest] = []
    for number, entry in enumerate(entries(guest)):
        affinity = entry.affinity if number == which else Affinity.PREFERRED
        if isinstance(entry, DeviceRequest):
            devices.append(replace(entry, affinity=affinity))
        else:
            interfaces.append(replace(entry, affinity=affinity))
    return replace(guest, interfaces=tuple(interfaces), devices=tuple(devices))


def _there(problem: Problem, demand: DeviceDemand) -> int:
    """How many devices there are for a demand, wherever they are."""
    return sum(len(problem.device_kinds[i].members) for i in demand.kinds)


def _broken_constraint(problem: Problem) -> str | None:
    guest = problem.classes[0].request
    if torn := _staying(problem, [name for name in guest.affinity if name in guest.anti_affinity]):
        return f"it is linked to {torn} by affinity and by anti_affinity, which exclude each other"
    for constraint, sentence in _BLAME.items():
        if feasible(problem, PROBE, without=constraint) is Outcome.FEASIBLE:
            return sentence.format(partners=_partners(problem, constraint)) + in_numbers(problem, constraint)
    return None


def _partners(problem: Problem, key: str) -> str:
    """The guests that stay and that the only guest of `problem` names under `key`, and where they are."""
    return _staying(problem, getattr(problem.classes[0].request, key, ()))


def _staying(problem: Problem, names: Sequence[str]) -> str:
    """Those of `names` that stay, and where they are."""
    nodes = problem.facts.guest_nodes
    names = [name for name in names if nodes.get(name)]
    said = [f'"{name}" (on node{"s" * (len(nodes[name]) > 1)} {format_id_list(nodes[name])})' for name in names]
    return format_few(said, _MOST_NAMED)


def _missing_pfs(problem: Problem, entry: InterfaceRequest | DeviceRequest) -> str:
    """The PFs that an entry speaks of and that are not there."""
    facts = problem.facts
    if isinstance(entry, DeviceRequest):
        gone = entry.address is not None and entry.address not in facts.devices
        return f": it has no {entry.address}" if gone else ""
    wanted = (entry.pf,) if entry.pf else dict(facts.policy.physnets).get(entry.physnet or "", ())
    missing = facts.without_pf(wanted)
    return f": it has no PF {', '.join(missing)}" if missing else ""


def _obstacles(problem: Problem, entry: InterfaceRequest | DeviceRequest, demand: DeviceDemand) -> str:
    """What keeps the other devices that would do from being given."""
    free = {address for i in demand.kinds for address in problem.device_kinds[i].members}
    blocked = [device for device in matching_devices(problem.facts, entry) if device.address not in free]
    said = [f"{device.address} {obstacle(problem.facts, device)}" for device in blocked[:_MOST_NAMED]]
    if len(blocked) > _MOST_NAMED:
        said.append(f"and {len(blocked) - _MOST_NAMED} more")
    return f": {', '.join(said)}" if said else ""


def _at_node(problem: Problem, guests: GuestClass, demand: DeviceDemand, node: NodeId) -> str:
    have = sum(len(problem.device_kinds[i].members) for i in demand.kinds if problem.device_kinds[i].node == node)
    lacks = [cell_lack(problem.facts, cell, node, cores=problem.core_kinds) for cell in guests.cells]
    # Where one of the cells fits, the node is none of those that the guest cannot use.
    lack = None if None in lacks else lacks[0]
    return f"{have} free" + (f", but no room: {lack}" if lack else "")


def _nowhere(problem: Problem, demand: DeviceDemand) -> str:
    unknown = sum(len(problem.device_kinds[i].members) for i in demand.kinds if problem.device_kinds[i].node is None)
    return f"; {unknown} of which the host does not say the node" if unknown else ""


def _bound(problem: Problem, entry: InterfaceRequest | DeviceRequest, demand: DeviceDemand) -> str:
    bound = bound_to_groups(problem, entry, demand)
    return f"; {group_bound(problem.facts, bound)}" if bound else ""


def _nodes_in_turn(problem: Problem, guests: GuestClass) -> str:
    """What each node has for the guest: CPUs and memory by its cells, devices by its demands."""
    said = {}
    for node in problem.facts.nodes:
        lacks = [cell_lack(problem.facts, cell, node, cores=problem.core_kinds) for cell in guests.cells]
        words = ["room for a cell"] if None in lacks else [lack for lack in dict.fromkeys(lacks) if lack]
        words += [
            f"{sum(len(problem.device_kinds[i].members) for i in d.kinds if problem.device_kinds[i].node == node)}"
            f' free for "{d.name}", needs {d.count}'
            for d in guests.devices
        ]
        said[node] = ", ".join(words)
    return node_by_node(said)
