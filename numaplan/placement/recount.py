"""The levels as a finished plan has them: a search that met its limit can have found more than its model counted."""

from collections.abc import Mapping, Sequence

from numaplan.cpuset import CpuSet
from numaplan.model.plan import LevelName, Placement
from numaplan.model.request import GuestRequest, Request
from numaplan.placement.current import is_moved
from numaplan.placement.expand import exclusive_cpus
from numaplan.placement.facts import HostFacts


def recount(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> Mapping[str, int]:
    """The values of the levels below cost, counted on the CPUs themselves."""
    by_name = {guest.name: guest for guest in request.guests}
    held = facts.taken
    for placement in placements:
        held |= exclusive_cpus(by_name[placement.vm], placement)
    memory = {cell.memory_node for placement in placements for cell in placement.cells}
    return {
        LevelName.LLC_SPANS: sum(_spans(facts, by_name[placement.vm], placement) for placement in placements),
        LevelName.FREE_NODES: sum(node not in memory and facts.online(node).isdisjoint(held) for node in facts.nodes),
        LevelName.FREE_LLCS: sum(not llc.isdisjoint(facts.allocatable) and llc.isdisjoint(held) for llc in facts.llcs),
        LevelName.FREE_CORES: sum(
            c.cpus <= facts.allocatable and c.cpus.isdisjoint(held) for c in facts.snapshot.cores
        ),
        LevelName.MOVES: _moves(request, facts, placements),
    }


def _spans(facts: HostFacts, request: GuestRequest, placement: Placement) -> int:
    spans = 0
    own = exclusive_cpus(request, placement)
    for i, cell in enumerate(placement.cells):
        cpus = CpuSet(cpu for v, one in cell.vcpus if v in request.dedicated_vcpus for cpu in one)
        if cpus:
            others = CpuSet(cpu for c in placement.cells for _, one in c.vcpus for cpu in one)
            touched = cpus | (own - others) if i == 0 else cpus
            spans += sum(not llc.isdisjoint(touched) for llc in facts.llcs)
    return spans


def _moves(request: Request, facts: HostFacts, placements: Sequence[Placement]) -> int:
    placed = {placement.vm: placement for placement in placements}
    existing = {guest.name: guest for guest in facts.snapshot.guests}
    return sum(
        guest.name not in placed or is_moved(facts, guest, existing[guest.name], placed[guest.name])
        for guest in request.guests
        if guest.name in existing
    )
