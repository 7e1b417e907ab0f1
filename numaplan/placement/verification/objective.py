"""The seven levels of the objective, counted anew from a plan's placements."""

from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import combinations

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.plan import LEVELS, MAXIMIZED, Placement, Plan, Status
from numaplan.model.request import EmulatorPolicy, GuestRequest, InterfaceType, IothreadPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.devices import functions
from numaplan.placement.verification.facts import Facts, bound_node
from numaplan.placement.verification.grants import cell_grants, cpus_of, grants, is_dedicated
from numaplan.placement.verification.violation import Violation
from numaplan.units import format_few

KIB_PER_GIB = 1 << 20
# As many as it needs and some more, so that what is doubled or misplaced can be seen.
_MOST_LEVELS = 2 * len(LEVELS)


class Unpinned(Enum):
    """Whether a thread that may run on every CPU is moved where it is given just these: a fingerprint does not tell.

    While its guest is shut off it has no pin, and once it runs it has every CPU.
    """

    AS_IT_IS = "moved where it has no pin, not where it has every CPU"
    KEPT = "not moved"
    MOVED = "moved"


def objective(request: Request, snapshot: Snapshot, placements: Sequence[Placement]) -> tuple[int, ...]:
    """The value of each of LEVELS, in their order."""
    return level_values(Facts(request, snapshot), placements)


def level_values(facts: Facts, placements: Sequence[Placement]) -> tuple[int, ...]:
    """As `objective`, on facts that are known."""
    asked = [(guest, placement) for placement in placements if (guest := facts.asked(placement.vm)) is not None]
    given = CpuSet(cpu for guest, placement in asked for cpu in cpus_of(grants(guest, placement)))
    with_memory = frozenset(cell.memory_node for _, placement in asked for cell in placement.cells)
    return (
        sum(guest.priority for guest, _ in asked),
        sum(cross_node_cost(facts, guest, placement) for guest, placement in asked),
        sum(llc_spans(facts, guest, placement) for guest, placement in asked),
        *free_counts(facts, given, with_memory),
        _moves(facts, placements),
    )


def cross_node_cost(facts: Facts, guest: GuestRequest, placement: Placement) -> int:
    """What one guest pays for distance: its VFs, devices and known uplinks, its pairs of cells, its memory."""
    costs = facts.request.policy.costs
    nodes = placement.nodes
    ends = [facts.pci.node(address) for address in functions(placement)]
    ends += [facts.uplinks.node(port.bridge) for port in guest.interfaces if port.type is not InterfaceType.SRIOV]
    ports = sum(min((facts.distance(end, node) for node in nodes), default=0) for end in ends if end is not None)
    pairs = sum(facts.distance(one.numa_node, other.numa_node) for one, other in combinations(placement.cells, 2))
    memory = sum(
        facts.distance(cell.numa_node, cell.memory_node) * -(-cell.memory_kib // KIB_PER_GIB)
        for cell in placement.cells
    )
    return costs.vf * ports + costs.cell * pairs + costs.memory_gib * memory


def llc_spans(facts: Facts, guest: GuestRequest, placement: Placement) -> int:
    """The last-level caches that the cell sets touch, over the guest's cells with dedicated vCPUs."""
    given = grants(guest, placement)
    return sum(
        sum(not llc.isdisjoint(cpus_of(cell_grants(given, cell))) for llc in facts.llcs)
        for cell in placement.cells
        if any(is_dedicated(guest, vcpu) for vcpu, _ in cell.vcpus)
    )


def free_counts(facts: Facts, given: CpuSet, with_memory: frozenset[NodeId]) -> tuple[int, int, int]:
    """Free nodes, free last-level caches and free cores where `given` CPUs and memory of those nodes are given away."""
    held = given | facts.taken
    nodes = sum(node.id not in with_memory and node.cpus.isdisjoint(held) for node in facts.snapshot.nodes)
    llcs = sum(not llc.isdisjoint(facts.allocatable) and llc.isdisjoint(held) for llc in facts.llcs)
    cores = sum(core <= facts.allocatable and core.isdisjoint(held) for core in facts.cores)
    return nodes, llcs, cores


def is_moved(
    facts: Facts,
    guest: GuestRequest,
    existing: Guest,
    *,
    placement: Placement,
    unpinned: Unpinned = Unpinned.AS_IT_IS,
) -> bool:
    """Whether the plan gives a guest a CPU that it does not run on, or a memory node or VF that its XML does not have.

    A vCPU that nothing pins is moved by being pinned; memory that it binds to no one node is not moved, and
    where threads float that have no CPU of their own follows from the host's pools.
    """
    threads = [(existing.effective_vcpu_affinity(vcpu), cpus) for cell in placement.cells for vcpu, cpus in cell.vcpus]
    if guest.emulator is not EmulatorPolicy.SHARE:
        threads.append((existing.effective_emulator_affinity(), placement.emulator))
    if guest.iothread_policy is IothreadPolicy.DEDICATED:
        threads += [(existing.planned_iothread_affinity(i), cpus) for i, cpus in placement.iothreads]
    return any(_other_cpus(facts, has, gets, unpinned) for has, gets in threads) or memory_or_vf_moved(
        facts, existing, placement
    )


def _other_cpus(facts: Facts, has: CpuSet | None, gets: CpuSet, unpinned: Unpinned) -> bool:
    if unpinned is Unpinned.AS_IT_IS or not (has is None or facts.online <= has):
        return has != gets
    return unpinned is Unpinned.MOVED or gets != facts.online


def memory_or_vf_moved(facts: Facts, existing: Guest, placement: Placement) -> bool:
    """As `is_moved`, whatever the CPUs."""
    have_vfs = {interface.pci for interface in existing.interfaces if interface.pci is not None}
    have_vfs |= {hostdev.pci for hostdev in existing.hostdevs if facts.pci.is_vf(hostdev.pci)}
    return any(bound_node(existing, cell.id) not in (None, cell.memory_node) for cell in placement.cells) or any(
        one not in have_vfs for one in functions(placement) if facts.pci.is_vf(one)
    )


def level_violations(
    facts: Facts, plan: Plan, placements: Sequence[Placement], *, same_host: bool
) -> Iterator[Violation]:
    """Levels that are missing, misnamed, miscounted, or claim more than the plan's status and their bound allow.

    `placements` are those of the plan that count; `same_host`: nothing changed since it was made.
    """
    found = tuple(level.name for level in plan.levels)
    if found != LEVELS:
        said = f"the plan has levels {format_few(found, _MOST_LEVELS) or 'none'}; it needs {', '.join(LEVELS)}"
        yield Violation(None, "levels", said)
        return
    there = {guest.name for guest in facts.request.guests if facts.existing(guest.name) is not None}
    left_out = len(there - {placement.vm for placement in placements})
    least, most = (_moves(facts, placements, unpinned) for unpinned in (Unpinned.KEPT, Unpinned.MOVED))
    above = True
    for level, counted in zip(plan.levels, level_values(facts, placements), strict=True):
        # Once it is carried out, a plan moves nobody any more but those that it leaves out, and who runs as before.
        is_done = not same_host and left_out <= counted <= level.value <= len(there)
        is_known = level.name != "moves" or not (is_done or least <= level.value <= most)
        value = counted if is_known else level.value
        if level.value != value:
            yield Violation(None, "levels", f"level {level.name} says {level.value}; the placements make it {value}")
        elif (level.bound < value) if level.name in MAXIMIZED else (level.bound > value):
            yield Violation(None, "levels", f"level {level.name} is {value}, better than its bound {level.bound}")
        elif level.proven and level.bound != level.value:
            said = f"level {level.name} is said to be proven at {level.value}, with the bound {level.bound}"
            yield Violation(None, "levels", said)
        elif level.proven and not above:
            said = f"level {level.name} is said to be proven, and one before it is not: then none can be"
            yield Violation(None, "levels", said)
        elif plan.status is Status.OPTIMAL and not level.proven:
            yield Violation(None, "levels", f"level {level.name} is not proven; an optimal plan needs it to be")
        above = above and level.proven
    if plan.status is Status.FEASIBLE and above:
        yield Violation(None, "status", "the plan is feasible, and every level is proven; it needs to be optimal")


def _moves(facts: Facts, placements: Sequence[Placement], unpinned: Unpinned = Unpinned.AS_IT_IS) -> int:
    placed = {placement.vm: placement for placement in placements}
    existing = [(guest, found) for guest in facts.request.guests if (found := facts.existing(guest.name)) is not None]
    return sum(
        guest.name not in placed or is_moved(facts, guest, found, placement=placed[guest.name], unpinned=unpinned)
        for guest, found in existing
    )
