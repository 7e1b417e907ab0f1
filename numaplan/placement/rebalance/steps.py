"""What each guest's change is: its kind and price, what it holds before and after, and the steps in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.moves import Move, MoveKind
from numaplan.model.request import GuestRequest, ThreadPolicy
from numaplan.placement.current import is_moved
from numaplan.placement.expand import exclusive_cpus
from numaplan.placement.facts import HostFacts, Place, lies_on
from numaplan.placement.floating import idle_siblings
from numaplan.placement.kinds import current_devices
from numaplan.placement.rebalance.changes import Action, Change, Footprint, Step, World
from numaplan.placement.rebalance.kind import can_stop, kind_of_move, moves_memory, price, same_shape
from numaplan.placement.rebalance.order import order
from numaplan.placement.rebalance.standing import Standing, floating_vcpus, overhead
from numaplan.placement.rebalance.words import Target, Whole, Words, given_devices
from numaplan.placement.taken import only_cpu, vcpu_affinities


def steps_of(
    facts: HostFacts, targets: Sequence[Target], *, staying: Sequence[Standing], returning: Sequence[Standing]
) -> tuple[Move, ...] | None:
    """The moves in an order that is possible step by step: guests that are shut off first, new ones last.

    None: no such order was found.
    `facts` are those of the host to which `returning` guests have given back everything; `staying` do not move.
    """
    by_name = {target.request.name: target for target in targets}
    claims = _Claims.of(facts, targets, staying)
    changed = {name: change for name, target in by_name.items() if (change := _whole(facts, target, claims))}
    words = Words(facts, by_name, changed)
    off = [name for name, change in changed.items() if change.kind is MoveKind.CONFIGURE]
    new = [name for name, target in by_name.items() if target.standing is None]
    running = [name for name in changed if name not in off]
    quiet = [target for name, target in by_name.items() if target.standing is not None and name not in changed]
    still = [
        *(footprint_before(facts, each, asked=False) for each in staying),
        *(_footprint_of_quiet(facts, each) for each in quiet),
    ]
    joined = CpuSet(cpu for each in staying for cpu in each.joined)
    world = _world(facts, still, returning, joined=joined)
    changes = [_change(facts, by_name[name], changed[name]) for name in running]
    steps = [Step(name, Action.DO, 0) for name in off]
    ordered = order(changes, world)
    if ordered is None:
        return None
    steps += ordered
    steps += [Step(name, Action.START, 0) for name in new]
    return tuple(words.move(number, step) for number, step in enumerate(steps, 1))


@dataclass(frozen=True, slots=True)
class _Claims:
    """What is somebody's own when all steps are done: CPUs of those who are asked for or move, vCPUs' of who stays.

    `idle` are the siblings that a guest keeps to nobody, by its name.
    """

    cpus: CpuSet
    idle: Mapping[str, CpuSet]
    devices: frozenset[PciAddress]

    @classmethod
    def of(cls, facts: HostFacts, targets: Sequence[Target], staying: Sequence[Standing]) -> "_Claims":
        """Those of all guests."""
        held = {target.request.name: exclusive_cpus(target.request, target.placement) for target in targets}
        idle = {target.request.name: _idle(facts, target.request, held[target.request.name]) for target in targets}
        cpus = [cpu for own in held.values() for cpu in own]
        devices = [given_devices(target.placement) for target in targets]
        devices += [frozenset(each.guest.pci_addresses) for each in staying]
        return cls(
            CpuSet([*cpus, *(cpu for each in staying for cpu in each.alone)]),
            {name: cpus for name, cpus in idle.items() if cpus},
            frozenset().union(*devices),
        )

    def are_on(self, cpus: CpuSet, name: str) -> bool:
        """Whether some of `cpus` are for others than the guest of that name, or for nobody beside another."""
        return not cpus.isdisjoint(self.cpus) or any(
            not cpus.isdisjoint(idle) for other, idle in self.idle.items() if other != name
        )


def _whole(facts: HostFacts, target: Target, claims: _Claims) -> Whole | None:
    """What becomes of a guest; None for a new one, and for one that does not change."""
    standing, placement = target.standing, target.placement
    if standing is None:
        return None
    there = frozenset(standing.guest.pci_addresses)
    # What the request does not name stays where nobody else gets it.
    named = {one for functions in current_devices(facts, target.request, standing.guest) for one in functions}
    devices = given_devices(placement) | (there - named - claims.devices)
    pages = [cell.page_size_kib for cell in placement.cells] == [cell.page_kib for cell in standing.cells]
    shape = same_shape(standing, target.request) and pages
    nodes = tuple(cell.memory_node for cell in placement.cells)
    moves = is_moved(facts, target.request, standing.guest, placement) or _gives_way(facts, target, standing, claims)
    # Memory that no XML binds stays where it is found, but for what is known to lie elsewhere than it is to be.
    moves = moves or moves_memory(standing, nodes)
    if shape and devices == there and not moves:
        return None
    kind = kind_of_move(standing, nodes, devices_change=devices != there)
    return Whole(kind if shape or kind is MoveKind.CONFIGURE else MoveKind.RESTART, devices, reshaped=not shape)


def _gives_way(facts: HostFacts, target: Target, standing: Standing, claims: _Claims) -> bool:
    """Whether a thread that floats from now on leaves the CPU that it had alone.

    It does where that is another's; one of a guest that is not asked for also where the host names a pool for it, and
    where somebody comes to a sibling that is to nobody because of it.
    """
    lost = standing.held - exclusive_cpus(target.request, target.placement)
    if claims.are_on(lost & facts.allocatable, target.request.name):
        return True
    if target.asked:
        return False
    if facts.has_pools:
        floating = (target.placement.emulator, *(cpus for _, cpus in target.placement.iothreads))
        return not lost <= CpuSet(cpu for cpus in floating if len(cpus) == 1 for cpu in cpus)
    return not (idle_siblings(facts, lost) & standing.idle).isdisjoint(claims.cpus)


def _change(facts: HostFacts, target: Target, whole: Whole) -> Change:
    standing, kind = target.standing, whole.kind
    assert standing is not None  # noqa: S101  # only guests that are there change
    before = footprint_before(facts, standing, asked=target.asked)
    after = _footprint_after(facts, target, whole)
    parking: tuple[tuple[NodeId, int], ...] = ()
    own = _own_cpus(facts, standing)
    if kind is not MoveKind.RESTART and standing.nodes is not None:
        parking = tuple((node, len(cpus)) for node, cpus in zip(standing.nodes, own, strict=True))
    return Change(
        target.request.name,
        kind,
        price(standing, kind),
        before,
        after,
        parking,
        _stays_on(facts, standing, CpuSet(cpu for cpus in own for cpu in cpus)),
        _resident(facts, standing),
        can_stop(standing),
    )


def _stays_on(facts: HostFacts, standing: Standing, own: CpuSet) -> frozenset[NodeId]:
    """The nodes where it has vCPUs still when those on its `own` CPUs are elsewhere."""
    online = facts.snapshot.cpus.online
    affinities = vcpu_affinities(standing.guest, online)
    nodes = [{facts.node_of.get(c) for c in cpus & online} for cpus in affinities if not only_cpu(cpus, online) & own]
    return frozenset(node for found in nodes if len(found) == 1 for node in found if node is not None)


def _resident(facts: HostFacts, standing: Standing) -> tuple[tuple[Place, int], ...]:
    """Its memory without QEMU's own."""
    memory = Counter(dict(standing.memory)) - overhead(facts, lies_on(standing.guest, facts.snapshot))
    return tuple(sorted(memory.items()))


def _own_cpus(facts: HostFacts, standing: Standing) -> list[CpuSet]:
    """The CPUs that threads of each cell have alone; those of emulator and iothreads count in the first.

    What runs on CPUs that are nobody's stays there.
    """
    own, online = standing.held & facts.allocatable, facts.snapshot.cpus.online
    found = []
    for cell in standing.cells:
        affinities = [standing.guest.effective_vcpu_affinity(vcpu) for vcpu in cell.vcpus]
        found.append(CpuSet(cpu for cpus in affinities for cpu in only_cpu(cpus, online)) & own)
    found[0] |= own - CpuSet(cpu for cpus in found for cpu in cpus)
    return found


def footprint_before(facts: HostFacts, standing: Standing, *, asked: bool) -> Footprint:
    """What a guest holds where it is; of its memory, what is known to lie on one node.

    Of CPUs that go to no guest it can have none to itself, be they its emulator's; where it is `asked` for, that floats
    there.
    """
    alone = CpuSet(standing.alone) if asked else standing.held
    pool = [(node, floating_vcpus(facts, standing.guest, node)) for node in facts.nodes]
    return Footprint(
        standing.held & facts.allocatable,
        standing.idle,
        tuple((node, count) for node, count in pool if count),
        standing.memory,
        frozenset(standing.guest.pci_addresses),
        beside=alone - facts.allocatable,
    )


def _footprint_of_quiet(facts: HostFacts, target: Target) -> Footprint:
    """What a guest holds that is asked for, or need not change: siblings are idle as the request has it."""
    assert target.standing is not None  # noqa: S101  # only guests that are there are quiet
    cpus = exclusive_cpus(target.request, target.placement)
    before = footprint_before(facts, target.standing, asked=True)
    return replace(before, idle=_idle(facts, target.request, cpus))


def _idle(facts: HostFacts, request: GuestRequest, cpus: CpuSet) -> CpuSet:
    return idle_siblings(facts, cpus) if request.thread_policy is ThreadPolicy.ISOLATE else EMPTY


def _footprint_after(facts: HostFacts, target: Target, whole: Whole) -> Footprint:
    request, placement = target.request, target.placement
    cpus = exclusive_cpus(request, placement)
    pool: Counter[NodeId] = Counter()
    for cell in placement.cells:
        pool[cell.numa_node] += sum(vcpu not in request.dedicated_vcpus for vcpu, _ in cell.vcpus)
    return Footprint(
        cpus,
        _idle(facts, request, cpus),
        tuple((node, count) for node, count in sorted(pool.items()) if count),
        _memory_after(facts, target, whole.kind),
        whole.devices,
    )


def _memory_after(facts: HostFacts, target: Target, kind: MoveKind) -> tuple[tuple[Place, int], ...]:
    """QEMU's own memory counts on the nodes of its vCPUs, be it that these alone move."""
    standing, placement = target.standing, target.placement
    assert standing is not None  # noqa: S101  # only guests that are there change
    memory: Counter[Place] = Counter()
    if kind in (MoveKind.MOVE_PAGES, MoveKind.RESTART):
        for cell in placement.cells:
            memory[cell.memory_node, cell.page_size_kib] += cell.memory_kib
    else:
        memory.update(dict(_resident(facts, standing)))
    memory.update(overhead(facts, placement.nodes))
    return tuple(sorted((place, size) for place, size in memory.items() if size))


def _world(facts: HostFacts, still: Sequence[Footprint], returning: Sequence[Standing], *, joined: CpuSet) -> World:
    """`joined` are siblings that are to be idle but for who is there: nobody waits on them."""
    ratio = facts.policy.shared_ratio
    free = Counter(facts.capacity_kib)
    for each in returning:
        free.subtract(dict(each.memory))
    return World(
        tuple(still),
        free,
        {node: ratio * len(facts.shared & facts.online(node)) for node in facts.nodes},
        {node: (facts.free - joined) & facts.online(node) for node in facts.nodes},
        {node: facts.shared & facts.online(node) for node in facts.nodes},
        facts.policy.guest_overhead_kib,
    )
