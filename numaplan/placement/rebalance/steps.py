"""What each guest's change is: its kind and price, what it holds before and after, and the steps in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.moves import Move, MoveKind
from numaplan.model.request import GuestRequest, PageSize, ThreadPolicy
from numaplan.placement.current import is_moved, only_cpu
from numaplan.placement.expand import dedicated_cpus
from numaplan.placement.facts import SMALL_PAGE_KIB, HostFacts, lies_on
from numaplan.placement.floating import idle_siblings
from numaplan.placement.kinds import current_devices
from numaplan.placement.rebalance.changes import PRICES, Action, Change, Footprint, Step, World
from numaplan.placement.rebalance.order import order
from numaplan.placement.rebalance.standing import Place, Standing, floating_vcpus, overhead
from numaplan.placement.rebalance.words import Target, Whole, Words, given_devices

_KIB_PER_GIB: Final = 1 << 20
_MOVABLE_MODES: Final = frozenset({"strict", "restrictive"})


def kind_of_move(standing: Standing, nodes: Sequence[NodeId], *, devices_change: bool) -> MoveKind:
    """What it takes to bring a guest, cells and memory, to `nodes`."""
    if standing.guest.running is False:
        return MoveKind.CONFIGURE
    if memory_nodes(standing) == tuple(nodes):
        return MoveKind.REPLUG if devices_change else MoveKind.REPIN
    return MoveKind.MOVE_PAGES if not devices_change and pages_can_move(standing) else MoveKind.RESTART


def memory_nodes(standing: Standing) -> tuple[NodeId, ...] | None:
    """The node of each cell's memory, taken to be where the vCPUs are where nobody knows; None: not that either."""
    nodes = [cell.node if cell.memory_node is None else cell.memory_node for cell in standing.cells]
    known = tuple(node for node in nodes if node is not None)
    return known if len(known) == len(nodes) else None


def pages_can_move(standing: Standing) -> bool:
    """Whether libvirt and the kernel can move its memory while it runs.

    ``virsh numatune --live`` knows one node set for the whole guest and refuses modes but strict and restrictive
    (libvirt, qemuDomainSetNumaParamsLive); pages that VFIO has pinned, and huge ones, stay where they are.
    """
    guest = standing.guest
    bound = guest.memory
    device = bool(guest.pci_addresses) or any(interface.type == "vhostuser" for interface in guest.interfaces)
    free = bound is None or (bound.mode in _MOVABLE_MODES and bound.nodes is not None)
    small = all(cell.page_kib == SMALL_PAGE_KIB for cell in standing.cells)
    return not device and not guest.memnodes and len(standing.cells) == 1 and small and free


def price(standing: Standing, kind: MoveKind) -> int:
    """What a change of that kind costs for that guest."""
    gib = -(-sum(cell.memory_kib for cell in standing.cells) // _KIB_PER_GIB)
    return PRICES[kind] + (gib if kind is MoveKind.MOVE_PAGES else 0)


def same_shape(standing: Standing, request: GuestRequest) -> bool:
    """Whether a request asks for the cells, vCPUs, memory and iothreads that the guest has."""
    asked = [(cell.vcpus, cell.memory_kib) for cell in request.cells]
    there = [(cell.vcpus, cell.memory_kib) for cell in standing.cells]
    pages = zip(request.cells, standing.cells, strict=False)
    return (
        asked == there
        and all(_accepts(cell.page_size, has.page_kib) for cell, has in pages)
        and request.iothreads == standing.guest.iothreads
    )


def _accepts(wanted: PageSize, page_kib: int | None) -> bool:
    """Whether a cell may keep its pages; None: those of the host's default huge size."""
    if wanted.size_kib is not None:
        return wanted.size_kib == page_kib
    return wanted is PageSize.ANY or page_kib != SMALL_PAGE_KIB


def steps_of(
    facts: HostFacts, targets: Sequence[Target], *, staying: Sequence[Standing], returning: Sequence[Standing]
) -> tuple[Move, ...]:
    """The moves in an order that is possible step by step: guests that are shut off first, new ones last.

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
    steps += order(changes, world)
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
        held = {target.request.name: dedicated_cpus(target.request, target.placement) for target in targets}
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
    # A plan leaves memory that no XML binds where it is found; a guest that is not asked for has been told to move.
    moves = moves or not (target.asked or nodes == memory_nodes(standing))
    if shape and devices == there and not moves:
        return None
    kind = kind_of_move(standing, nodes, devices_change=devices != there)
    return Whole(kind if shape or kind is MoveKind.CONFIGURE else MoveKind.RESTART, devices, reshaped=not shape)


def _gives_way(facts: HostFacts, target: Target, standing: Standing, claims: _Claims) -> bool:
    """Whether a thread that floats from now on leaves the CPU that it had alone.

    It does where that is another's; one of a guest that is not asked for also where the host names a pool for it, and
    where somebody comes to a sibling that is to nobody because of it.
    """
    lost = standing.held - dedicated_cpus(target.request, target.placement)
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
    if kind is not MoveKind.RESTART and standing.nodes is not None:
        parking = tuple(
            (node, len(cpus)) for node, cpus in zip(standing.nodes, _own_cpus(facts, standing), strict=True)
        )
    return Change(target.request.name, kind, price(standing, kind), before, after, parking)


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
    cpus = dedicated_cpus(target.request, target.placement)
    before = footprint_before(facts, target.standing, asked=True)
    return replace(before, idle=_idle(facts, target.request, cpus))


def _idle(facts: HostFacts, request: GuestRequest, cpus: CpuSet) -> CpuSet:
    return idle_siblings(facts, cpus) if request.thread_policy is ThreadPolicy.ISOLATE else EMPTY


def _footprint_after(facts: HostFacts, target: Target, whole: Whole) -> Footprint:
    request, placement = target.request, target.placement
    cpus = dedicated_cpus(request, placement)
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
        memory = Counter(dict(standing.memory)) - overhead(facts, lies_on(standing.guest, facts.snapshot))
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
    )
