"""Small hosts with guests on them drawn at random, the cheapest moves found by trying them all, and steps replayed.

Nothing here comes from the search: places are judged by the verifier, prices are those of docs/rebalancing.md.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from hypothesis import strategies as st

from numaplan.audit.audit import audit
from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.finding import Severity
from numaplan.model.guest import CellId, EmulatorPin, Guest, ResidentMemory, RunningGuest, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, InterfacePlacement, Placement
from numaplan.model.request import Affinity, EmulatorPolicy, GuestRequest, MemoryPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations
from tests.audit.audited import guest as there
from tests.hosts import GIB, Nic, host
from tests.requests import ask, guest, vfs

SHAPES = ("2n:4c:1t", "2n:3c:1t", "2n:2c:2t", "1n:4c:1t")
RESTART, REPLUG, PAGES, REPIN = 1_000_000, 10_000, 10, 1


@dataclass(frozen=True)
class Standing:
    """A guest that is there, and the request that it would be placed anew with."""

    guest: Guest
    request: GuestRequest


@dataclass(frozen=True)
class Case:
    request: Request
    snapshot: Snapshot
    standing: tuple[Standing, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One or two new guests, and up to three that are there: pinned, perhaps badly, perhaps with a VF."""
    shape = draw(st.sampled_from(SHAPES))
    nodes = int(shape[0])
    nic = Nic("ens1", draw(st.integers(0, nodes - 1)), 2)
    pages = [draw(st.sampled_from([3, 2, 1])) for _ in range(nodes)]
    empty = host(shape, pages={"1GiB": pages}, memory_gib=draw(st.sampled_from([4, 3, 2, 1])), nics=[nic])
    # The lowest CPU is the host's own, and perhaps another: emulators float there, or are on the lowest alone.
    more = draw(st.sampled_from([None, None, CpuId(1), max(empty.cpus.online)]))
    own = CpuSet([CpuId(0)]) | (CpuSet() if more is None else CpuSet([more]))
    cpus = list(empty.cpus.online - own)
    standing = tuple(
        draw(_standing(empty, name, cpus, nic.node or 0)) for name in ("a", "b", "c")[: draw(st.integers(1, 3))]
    )
    standing = draw(_with_emulators(standing, cpus))
    # Mostly one more guest that takes all CPUs of some node but what is left over when others have moved away.
    free = CpuSet(cpus) - CpuSet(cpu for each in standing for cpu in pinned(each.guest))
    room = max(len(free & node.cpus) for node in empty.nodes)
    new = tuple(draw(_new(name, room)) for name in ("n", "o")[: draw(st.sampled_from([1, 1, 1, 2]))])
    snapshot = replace(empty, guests=tuple(each.guest for each in standing))
    return Case(ask(*new, reserved=str(own)), snapshot, standing)


@st.composite
def _new(draw: st.DrawFn, name: str, room: int) -> GuestRequest:
    policy = draw(st.sampled_from(["prefer", "prefer", "isolate"]))
    entries = [vfs("x", "ens1")] if draw(st.sampled_from([False, False, False, True])) else []
    size = draw(st.sampled_from(["4KiB", "1GiB"]))
    return guest(
        name,
        draw(st.sampled_from([room + 1, room + 1, max(1, room), 1])),
        page_size=size,
        thread_policy=policy,
        interfaces=entries,
    )


@st.composite
def _standing(draw: st.DrawFn, empty: Snapshot, name: str, cpus: Sequence[CpuId], nic_node: int) -> Standing:
    chosen = draw(st.lists(st.sampled_from(cpus), min_size=1, max_size=2, unique=True))
    node_of = {cpu: node.id for node in empty.nodes for cpu in node.cpus}
    memory = draw(
        st.sampled_from([int(node_of[cpu]) for node in [0] for cpu in chosen] + list(range(len(empty.nodes))))
    )
    huge = draw(st.booleans())
    passed = draw(st.sampled_from([None, None, None, 0, 1]))
    isolate = draw(st.sampled_from([False, False, False, True]))
    found = there(
        name,
        [str(cpu) for cpu in chosen],
        memory=("strict", [memory]),
        memory_gib=1,
        page_kib=GIB if huge else 4,
        vfs=[] if passed is None else [f"0000:11:00.{passed}"],
        emulator="0",
        running=draw(st.sampled_from([True, True, True, False, None])),
        thread_policy="isolate" if isolate else None,
    )
    seen = draw(st.sampled_from([(), (), (), *((node,) for node in range(len(empty.nodes))), range(len(empty.nodes))]))
    if found.running and (len(seen) == 1 or (seen and not huge)):
        page_kib = GIB if huge else 4
        parts = tuple(ResidentMemory(NodeId(node), page_kib, GIB // len(seen)) for node in seen)
        found = replace(found, live=RunningGuest(memory=parts))
    near = nic_node in {node_of[cpu] for cpu in chosen}
    entries = [] if passed is None else [vfs("function-0", "ens1", affinity="required" if near else "preferred")]
    request = guest(
        name,
        len(chosen),
        page_size="1GiB" if huge else "4KiB",
        thread_policy="isolate" if isolate else "prefer",
        interfaces=entries,
    )
    return Standing(found, request)


@st.composite
def _with_emulators(draw: st.DrawFn, standing: tuple[Standing, ...], cpus: Sequence[CpuId]) -> tuple[Standing, ...]:
    """Some emulators on one CPU, which is their own where nobody else is on it."""
    chosen = {each.guest.name: draw(st.sampled_from([None, None, None, *cpus])) for each in standing}
    found = []
    for each in standing:
        cpu = chosen[each.guest.name]
        if cpu is None:
            found.append(each)
            continue
        others = [other for other in standing if other is not each]
        held = CpuSet(c for other in others for c in exclusive_cpus(other.guest)) | exclusive_cpus(each.guest)
        alone = cpu not in held and all(chosen[other.guest.name] != cpu for other in others)
        policy = EmulatorPolicy.ISOLATE if alone else EmulatorPolicy.SHARE
        pinned_there = replace(each.guest, emulator_pin=EmulatorPin(CpuSet([cpu]), 50))
        found.append(Standing(pinned_there, replace(each.request, emulator=policy)))
    return tuple(found)


def mending(case: Case) -> Case:
    """The same guests with nobody new: now whoever moves must come near its VF."""
    standing = tuple(
        replace(
            each,
            request=replace(
                each.request,
                interfaces=tuple(replace(entry, affinity=Affinity.REQUIRED) for entry in each.request.interfaces),
            ),
        )
        for each in case.standing
    )
    return Case(replace(case.request, guests=()), case.snapshot, standing)


@st.composite
def returning(draw: st.DrawFn) -> Case:
    """Some guests that are there are asked for, perhaps without their VF or the CPU of their emulator, or with memory
    that may be anywhere.
    """
    case = draw(cases())
    vfs_there = Counter(vf for each in case.standing for vf in each.guest.pci_addresses)
    asked = []
    for each in case.standing:
        others = CpuSet(c for other in case.standing if other is not each for c in pinned(other.guest))
        emulator = _emulator(each.guest)
        clear = emulator == CpuSet([0]) or emulator.isdisjoint(others | exclusive_cpus(each.guest))
        if clear and all(vfs_there[vf] == 1 for vf in each.guest.pci_addresses) and draw(st.booleans()):
            request = each.request
            if draw(st.booleans()):
                request = replace(request, interfaces=())
            if draw(st.booleans()):
                request = replace(request, emulator=EmulatorPolicy.SHARE)
            if draw(st.booleans()):
                cells = (replace(cell, memory_policy=MemoryPolicy.PREFERRED) for cell in request.cells)
                request = replace(request, cells=tuple(cells))
            asked.append(request)
    return replace(case, request=replace(case.request, guests=(*asked, *case.request.guests)))


def lies_on(of: Guest) -> tuple[NodeId, ...]:
    """The nodes of its memory: where it was seen, else where its XML binds it."""
    if of.live is not None and of.live.memory:
        return tuple(part.node for part in of.live.memory)
    return () if of.memory is None or of.memory.nodes is None else of.memory.nodes


def _each_node_of_memory(of: Guest) -> list[Guest]:
    """Bound to each of the nodes that its memory lies on."""
    memory = of.memory
    return [of] if memory is None else [replace(of, memory=replace(memory, nodes=(node,))) for node in lies_on(of)]


def costly(snapshot: Snapshot) -> list[str]:
    """What the audit finds of cost on a host where memory is bound to where it lies."""
    rules = {"NP101", "NP102", "NP103", "NP201"}
    found = []
    for guests in product(*(_each_node_of_memory(one) for one in snapshot.guests)):
        found += [f for f in audit(replace(snapshot, guests=guests)).findings if f.rule in rules]
    return [finding.message for finding in found if finding.severity is not Severity.INFO]


def cheapest(case: Case) -> int | None:
    """The least cost at which all new guests have a place, whoever moves where, be it with an emulator that floats.

    None: none of all ways works. With nobody new: at which those who stay have no finding of cost.
    """
    best: int | None = None
    asked = {each.name for each in case.request.guests}
    back = {each.guest.name: each.guest for each in case.standing if each.guest.name in asked}
    others = tuple(each for each in case.standing if each.guest.name not in asked)
    for moved in (ways for some in _subsets(others) for ways in product(*map(_with_or_without_emulator, some))):
        names = {each.guest.name for each in moved}
        guests = (*case.request.guests, *(each.request for each in moved))
        request = replace(case.request, guests=guests)
        facts = Facts(request, case.snapshot)
        free = facts.allocatable - facts.taken
        stayers = tuple(guest for guest in case.snapshot.guests if guest.name not in {*names, *back})
        beside = CpuSet(c for guest in stayers for c in siblings(case, guest))
        there = CpuSet(c for guest in case.snapshot.guests for c in pinned(guest))
        free -= beside - there
        if not case.request.guests and costly(replace(case.snapshot, guests=stayers)):
            continue
        leaving = {each.guest.name: each.guest for each in moved}
        found = _search(facts, guests, leaving, back, free=free, beside=beside, best=best)
        best = found if best is None or (found is not None and found < best) else best
    return best


def siblings(case: Case, of: Guest) -> CpuSet:
    """The siblings that a guest with policy isolate keeps idle, but for who is there and does not move."""
    if of.thread_policy != "isolate":
        return CpuSet()
    policy = case.request.policy
    own = pinned(of) - (policy.reserved_cpus or CpuSet()) - (policy.shared_cpus or CpuSet())
    own |= CpuSet(pin.cpus.lowest for pin in of.vcpu_pins) - (policy.shared_cpus or CpuSet())
    return CpuSet(cpu for core in case.snapshot.cores if core.cpus & own for cpu in core.cpus - own)


def pinned(of: Guest) -> CpuSet:
    return CpuSet(pin.cpus.lowest for pin in of.vcpu_pins) | (
        CpuSet() if of.emulator_pin is None else of.emulator_pin.cpus
    )


def _with_or_without_emulator(each: Standing) -> tuple[Standing, ...]:
    """With a CPU for its emulator, if it has one, and with an emulator that floats."""
    if not each.request.own_emulator_cpus:
        return (each,)
    return (each, replace(each, request=replace(each.request, emulator=EmulatorPolicy.SHARE)))


def _subsets(standing: tuple[Standing, ...]) -> Iterator[tuple[Standing, ...]]:
    for size in range(len(standing) + 1):
        yield from combinations(standing, size)


def _search(
    facts: Facts,
    guests: Sequence[GuestRequest],
    moved: dict[str, Guest],
    back: dict[str, Guest],
    *,
    free: CpuSet,
    beside: CpuSet,
    best: int | None,
) -> int | None:
    """Guest by guest every set of CPUs, VF and node; judged as soon as it is placed.

    Whose vCPUs move is `beside` nobody.
    """

    def extend(placements: tuple[Placement, ...], cost: int) -> None:
        nonlocal best
        if best is not None and cost >= best:
            return
        if len(placements) == len(guests):
            cost += sum(
                price_of_return(facts, back[p.vm], placements, guests, i)
                for i, p in enumerate(placements)
                if p.vm in back
            )
            best = cost if best is None else min(best, cost)
            return
        asked = guests[len(placements)]
        held = CpuSet(c for p, g in zip(placements, guests, strict=False) for c in _given(p, g))
        for placement in _places(facts, asked, free - held):
            own = _given(placement, asked)
            if asked.name in moved and not own.isdisjoint(beside):
                there = moved[asked.name]
                if own != exclusive_cpus(there) | (_emulator(there) if asked.own_emulator_cpus else CpuSet()):
                    continue
            price = 0 if asked.name not in moved else price_of(moved[asked.name], placement)
            if best is not None and cost + price >= best:
                continue
            if not any(placement_violations(facts, (*placements, placement))):
                extend((*placements, placement), cost + price)

    extend((), 0)
    return best


def _places(facts: Facts, asked: GuestRequest, free: CpuSet) -> Iterator[Placement]:
    cell = asked.cells[0]
    vf_choices = (
        [(address,) for d in facts.snapshot.pci if d.sriov for address in d.sriov.vfs] if asked.interfaces else [()]
    )
    for node in facts.snapshot.nodes:
        for cpus in combinations(free & node.cpus, len(cell.vcpus)):
            vcpus = tuple((vcpu, CpuSet([cpu])) for vcpu, cpu in zip(cell.vcpus, cpus, strict=True))
            size = cell.page_size.size_kib or 0
            own = [CpuSet([cpu]) for cpu in (free & node.cpus) - CpuSet(cpus)]
            emulators = own if asked.own_emulator_cpus else [_floats(facts, node.id)]
            strict = cell.memory_policy is MemoryPolicy.STRICT
            memory = [node.id] if strict else [other.id for other in facts.snapshot.nodes]
            for at, emulator, given in product(memory, emulators, vf_choices):
                placed = CellPlacement(CellId(0), node.id, vcpus, at, cell.memory_kib, size)
                interfaces = tuple(InterfacePlacement(entry.name, given) for entry in asked.interfaces)
                yield Placement(asked.name, (placed,), emulator, interfaces=interfaces)


def _floats(facts: Facts, node: NodeId) -> CpuSet:
    return facts.share_ladder([node]) or CpuSet()


def price_of(of: Guest, placement: Placement) -> int:
    """What bringing a guest there costs, by the list of docs/rebalancing.md."""
    if of.running is False:
        return 0
    given = {vf for interface in placement.interfaces for vf in interface.vfs}
    replug = given != set(of.pci_addresses)
    if lies_on(of) == (placement.cells[0].memory_node,):
        vcpus = CpuSet(cpu for _, cpus in placement.cells[0].vcpus for cpu in cpus)
        same = _is_bound(of, placement) and (vcpus, placement.emulator) == (exclusive_cpus(of), _emulator(of))
        if not replug and same:
            return 0
        return REPLUG if replug else REPIN
    if replug or of.pci_addresses or of.hugepages:
        return RESTART
    return PAGES + 1


def price_of_return(
    facts: Facts, of: Guest, placements: Sequence[Placement], guests: Sequence[GuestRequest], i: int
) -> int:
    """What a guest that was there and is asked for pays, also for what others get of what it is not asked for with."""
    if of.running is False:
        return 0
    others = [(p, g) for k, (p, g) in enumerate(zip(placements, guests, strict=True)) if k != i]
    taken = CpuSet(c for p, g in others for c in _given(p, g))
    alone = CpuSet(c for p, g in others if g.thread_policy == "isolate" for c in _given(p, g))
    taken |= CpuSet(c for cpu in alone for c in facts.core(cpu)) & facts.allocatable
    given, now = set(_vfs(placements[i])), set(of.pci_addresses)
    replug = bool(given - now or now & {vf for p, _ in others for vf in _vfs(p)})
    vcpus = CpuSet(c for _, cpus in placements[i].cells[0].vcpus for c in cpus)
    own = guests[i].own_emulator_cpus
    emulator = placements[i].emulator != _emulator(of) if own else not _emulator(of).isdisjoint(taken)
    if lies_on(of) == (placements[i].cells[0].memory_node,):
        moved = emulator or vcpus != exclusive_cpus(of) or not _is_bound(of, placements[i])
        return REPLUG if replug else REPIN if moved else 0
    return RESTART if replug or of.pci_addresses or of.hugepages else PAGES + 1


def _is_bound(of: Guest, placement: Placement) -> bool:
    """Whether its XML has its memory where it is to be."""
    return of.memory is None or of.memory.nodes == (placement.cells[0].memory_node,)


def _given(placement: Placement, request: GuestRequest) -> CpuSet:
    emulator = placement.emulator if request.own_emulator_cpus else CpuSet()
    return CpuSet(c for cell in placement.cells for _, cpus in cell.vcpus for c in cpus) | emulator


def _vfs(placement: Placement) -> list[PciAddress]:
    return [vf for interface in placement.interfaces for vf in interface.vfs]


def _emulator(of: Guest) -> CpuSet:
    return CpuSet() if of.emulator_pin is None else of.emulator_pin.cpus


def exclusive_cpus(of: Guest) -> CpuSet:
    affinities = [of.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(of.vcpus)]
    return CpuSet(cpus.lowest for cpus in affinities if cpus is not None and len(cpus) == 1)
