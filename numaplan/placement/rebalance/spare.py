"""What a guest that is asked for has beyond that: it keeps it where nobody else needs it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.placement.facts import HostFacts
from numaplan.placement.kinds import current_devices
from numaplan.placement.problem import Problem
from numaplan.placement.rebalance.standing import Standing


@dataclass(frozen=True, slots=True)
class Spare:
    """CPUs of threads that are to float, as long as it stays where it is, and PCI functions that it does not name."""

    cpus: CpuSet = EMPTY
    devices: frozenset[PciAddress] = frozenset()


def spares_of(problem: Problem, returning: Collection[Standing]) -> Mapping[str, Spare]:
    """What each guest that is there could do without, by name."""
    facts = problem.facts
    there = {each.guest.name: each for each in returning}
    found: dict[str, Spare] = {}
    for guests in problem.classes:
        request = guests.request
        if request.name in there and request.name not in found:
            standing = there[request.name]
            kept = [option.keep for option in guests.options if option.keep is not None]
            named = CpuSet(cpu for keep in kept for cpus in keep.cell_sets for cpu in cpus)
            served = {one for functions in current_devices(facts, request, standing.guest) for one in functions}
            found[request.name] = Spare(
                (standing.held & facts.free) - named if kept else EMPTY,
                frozenset(standing.guest.pci_addresses) - served,
            )
    return found


def facts_without(facts: HostFacts, spares: Collection[Spare]) -> HostFacts:
    """The host on which guests keep what they could do without."""
    cpus = CpuSet(cpu for spare in spares for cpu in spare.cpus)
    return replace(
        facts,
        free=facts.free - cpus,
        left=facts.left | cpus,
        held_devices=facts.held_devices.union(*(spare.devices for spare in spares)),
    )
