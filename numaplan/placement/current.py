"""Where a guest of the request lies already, as one more way to lie: untouched."""

from collections import Counter
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.guest import CellId, Guest, IothreadId
from numaplan.model.host import NodeId
from numaplan.model.plan import CellPlacement, Placement
from numaplan.model.request import EmulatorPolicy, GuestRequest, IothreadPolicy, MemoryPolicy, ThreadPolicy
from numaplan.placement.facts import HostFacts, bound_node, cell_page_kib
from numaplan.placement.kept_devices import ExistingGuest, kept_devices
from numaplan.placement.problem import CoreKind, Keep, KeptCore
from numaplan.placement.taken import taken_by


@dataclass(frozen=True, slots=True)
class Keeps:
    """The ways in which a guest stays. `complete`: there are no more."""

    ways: tuple[Keep, ...] = ()
    complete: bool = True


def pinned_cpus(guest: Guest, request: GuestRequest | None, *, online: CpuSet) -> CpuSet:
    """Every CPU that is all that one of its threads can run on, or that its emulator could keep as `request` has it."""
    emulator = guest.effective_emulator_affinity() or EMPTY
    own = emulator & online if request is not None and len(emulator) == request.own_emulator_cpus else EMPTY
    return own | CpuSet(taken_by(guest, online))


def current_keeps(there: ExistingGuest, cores: tuple[CoreKind, ...], *, loose: bool) -> Keeps:
    """The guest as its XML has it, where that satisfies the request by itself, in each way to use its functions.

    Its cells need not be those of the XML: who gets others is not moved by that. `loose`: but for its devices that can
    be no VFs.
    """
    facts, request, guest = there.facts, there.request, there.guest
    placed = [_place_cell(facts, request, guest, i) for i in range(len(request.cells))]
    extra = _own_threads(request, guest)
    if extra is None or not all(placed):
        return Keeps()
    cell_placements = tuple(cell for cell in placed if cell is not None)
    nodes = tuple(cell.numa_node for cell in cell_placements)
    if request.distinct_nodes and len(set(nodes)) < len(nodes):
        return Keeps()
    used: list[KeptCore] = []
    sets: list[tuple[CpuId, ...]] = []
    spans = 0
    for i, cell in enumerate(cell_placements):
        vcpus = [cpus.lowest for vcpu, cpus in cell.vcpus if vcpu in request.dedicated_vcpus]
        own = list(extra) if i == 0 else []
        kept = _kept_cores(facts, request.thread_policy, vcpus, own=own, node=cell.numa_node, cores=cores)
        if kept is None or not _memory_allowed(request, i, cell):
            return Keeps()
        used.extend(kept)
        sets.append((*vcpus, *own))
        if vcpus:
            spans += len({facts.llc_of[cpu] for cpu in (*vcpus, *own) if cpu in facts.llc_of})
    held = [cpu for cpus in sets for cpu in cpus]
    if len(set(held)) < len(held) or not CpuSet(held) <= facts.free | facts.idle:
        return Keeps()
    as_it_is = Placement(
        request.name,
        cell_placements,
        CpuSet(extra[: request.own_emulator_cpus]),
        iothreads=tuple((IothreadId(i + 1), CpuSet([cpu])) for i, cpu in enumerate(extra[request.own_emulator_cpus :])),
    )
    memory = tuple(bound_node(guest, cell.id) for cell in cell_placements)
    found = kept_devices(there, nodes, loose=loose)
    keeps = []
    for way in found.ways:
        placement = replace(as_it_is, interfaces=way.interfaces, devices=way.devices)
        exact = not (loose or way.exchanged)
        keeps.append(Keep(placement, tuple(used), way.counts, memory, tuple(sets), spans, exact))
    return Keeps(tuple(keeps), found.complete)


def is_moved(facts: HostFacts, request: GuestRequest, guest: Guest, placement: Placement) -> bool:
    """Whether a plan changes a CPU, a node or a VF of a guest that is there already.

    Where its emulator and iothreads float follows from the host's pools, and memory that no XML binds lies where it
    lies: neither counts.
    """
    vcpus = any(guest.effective_vcpu_affinity(vcpu) != cpus for cell in placement.cells for vcpu, cpus in cell.vcpus)
    emulator = (
        request.emulator is not EmulatorPolicy.SHARE and guest.effective_emulator_affinity() != placement.emulator
    )
    iothreads = request.iothread_policy is IothreadPolicy.DEDICATED and any(
        guest.planned_iothread_affinity(thread) != cpus for thread, cpus in placement.iothreads
    )
    memory = any(_memory_node(guest, cell.id, cell.memory_node) != cell.memory_node for cell in placement.cells)
    vfs = {one for functions in placement.functions for one in functions if facts.devices[one].physfn is not None}
    return vcpus or emulator or iothreads or memory or not vfs <= set(guest.pci_addresses)


def _place_cell(facts: HostFacts, request: GuestRequest, guest: Guest, index: int) -> CellPlacement | None:
    """The cell as the XML has it; None unless its vCPUs have one CPU each, or float on the pool, on one node."""
    cell = request.cells[index]
    affinities = [(vcpu, guest.effective_vcpu_affinity(vcpu)) for vcpu in cell.vcpus]
    nodes: set[NodeId | None] = set()
    vcpus = []
    for vcpu, cpus in affinities:
        if cpus is None or not cpus:
            return None
        if vcpu in request.dedicated_vcpus and len(cpus) != 1:
            return None
        nodes |= {facts.node_of.get(cpu) for cpu in cpus}
        vcpus.append((vcpu, cpus))
    node = nodes.pop() if len(nodes) == 1 else None
    if node is None:
        return None
    pool = facts.shared & facts.online(node)
    if any(vcpu not in request.dedicated_vcpus and cpus != pool for vcpu, cpus in vcpus):
        return None
    memory_node = _memory_node(guest, CellId(index), node)
    page = cell_page_kib(guest, CellId(index))
    return CellPlacement(CellId(index), node, tuple(vcpus), memory_node, cell.memory_kib, page or 0)


def _memory_node(guest: Guest, cell: CellId, node: NodeId) -> NodeId:
    bound = bound_node(guest, cell)
    return node if bound is None else bound


def _memory_allowed(request: GuestRequest, index: int, cell: CellPlacement) -> bool:
    return request.cells[index].memory_policy is not MemoryPolicy.STRICT or cell.memory_node == cell.numa_node


def _own_threads(request: GuestRequest, guest: Guest) -> tuple[CpuId, ...] | None:
    """The CPUs dedicated to its emulator, then to its iothreads; None where the XML has them otherwise."""
    cpus: list[CpuId] = []
    if request.own_emulator_cpus:
        emulator = guest.effective_emulator_affinity() or EMPTY
        if len(emulator) != request.own_emulator_cpus:
            return None
        cpus.extend(emulator)
    if request.iothread_policy is IothreadPolicy.DEDICATED:
        for i in range(request.iothreads):
            affinity = guest.planned_iothread_affinity(IothreadId(i + 1)) or EMPTY
            if len(affinity) != 1:
                return None
            cpus.extend(affinity)
    return tuple(cpus)


def _kept_cores(
    facts: HostFacts,
    policy: ThreadPolicy,
    vcpus: list[CpuId],
    *,
    own: list[CpuId],
    node: NodeId,
    cores: tuple[CoreKind, ...],
) -> list[KeptCore] | None:
    """How a cell set uses cores; None where it leaves the node or breaks the thread policy.

    Who is on a core that a guest which stays has to itself may stay there: of such cores nobody else gets anything.
    """
    index = {cpu: i for i, kind in enumerate(cores) for core in kind.cores for cpu in core}
    cell_set = [*vcpus, *own]
    beside = CpuSet(cell_set) & facts.idle
    counted = [cpu for cpu in cell_set if cpu not in beside]
    if not beside <= facts.online(node) or any(cpu not in index or cores[index[cpu]].node != node for cpu in counted):
        return None
    used = Counter(index[cpu] for cpu in counted)
    match policy:
        case ThreadPolicy.PREFER:
            pass
        case ThreadPolicy.ISOLATE:
            if beside or any(count > 1 or not cores[kind].isolable for kind, count in used.items()):
                return None
        case ThreadPolicy.REQUIRE:
            whole = {kind for kind, count in used.items() if cores[kind].whole and count == facts.threads}
            on_whole = sum(cpu in index and index[cpu] in whole for cpu in vcpus)
            parts = len(used) - len(whole) + len({facts.core_of[cpu] for cpu in beside})
            if (
                len(whole) != len(cell_set) // facts.threads
                or parts > 1
                or on_whole != min(len(vcpus), len(whole) * facts.threads)
            ):
                return None
    alone = policy is ThreadPolicy.ISOLATE
    return [KeptCore(kind, count, alone) for kind, count in sorted(used.items())]
