"""What a guest that is there has beyond its request: it keeps it where nobody else needs it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.placement.facts import HostFacts
from numaplan.placement.floating import idle_siblings
from numaplan.placement.kinds import current_devices
from numaplan.placement.problem import Problem
from numaplan.placement.rebalance.standing import Standing


@dataclass(frozen=True, slots=True)
class Spare:
    """CPUs of threads that are to float, as long as it stays where it is, and PCI functions that it does not name.

    `floating` are those of `cpus` and others that go to no guest, where it helps somebody that these are left; `idle`
    are siblings that are to nobody because of `cpus`.
    """

    cpus: CpuSet = EMPTY
    floating: CpuSet = EMPTY
    idle: CpuSet = EMPTY
    devices: frozenset[PciAddress] = frozenset()


def spares_of(problem: Problem, movable: Collection[Standing], returning: Collection[Standing]) -> Mapping[int, Spare]:
    """What guests that are there could do without, by the number of the class that is one way to ask for one of them.

    Who is asked for keeps no sibling idle beside it.
    """
    facts = problem.facts
    there = {each.guest.name: each for each in (*movable, *returning)}
    again = {each.guest.name for each in movable}
    halves = CpuSet(cpu for core in facts.snapshot.cores if core.cpus & facts.allocatable for cpu in core.cpus)
    found: dict[int, Spare] = {}
    for number, guests in enumerate(problem.classes):
        request = guests.request
        if request.name in there:
            standing = there[request.name]
            kept = [option.keep for option in guests.options if option.keep is not None]
            named = CpuSet(cpu for keep in kept for cpus in keep.cell_sets for cpu in cpus)
            served = {one for functions in current_devices(facts, request, standing.guest) for one in functions}
            floating = standing.held - named if kept else EMPTY
            cpus = floating & facts.free
            others = floating - facts.allocatable
            found[number] = Spare(
                cpus,
                cpus | others if cpus or others & halves else EMPTY,
                idle_siblings(facts, cpus) & standing.idle if request.name in again else EMPTY,
                frozenset(standing.guest.pci_addresses) - served,
            )
    return found


def facts_without(facts: HostFacts, spares: Collection[Spare]) -> HostFacts:
    """The host on which guests keep what they could do without."""
    cpus = CpuSet(cpu for spare in spares for cpu in spare.cpus)
    return replace(
        facts,
        free=facts.free - cpus - CpuSet(cpu for spare in spares for cpu in spare.idle),
        left=facts.left | cpus,
        held_devices=facts.held_devices.union(*(spare.devices for spare in spares)),
    )
