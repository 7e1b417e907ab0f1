"""A guest that is there, as a request that would bring it back: what it needs, told from its XML and live facts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, Guest, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.request import (
    Affinity,
    CellRequest,
    CpuPolicy,
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    MemoryPolicy,
    PageSize,
    ThreadPolicy,
)
from numaplan.placement.current import pinned_cpus
from numaplan.placement.facts import (
    SMALL_PAGE_KIB,
    HostFacts,
    Place,
    cell_page_kib,
    default_page_kib,
    held_memory,
    lies_on,
    seen_memory,
)
from numaplan.placement.resident import resident_nodes
from numaplan.placement.taken import floating_on, only_cpu

RESUMES: Final = "its next start resumes a saved image, whatever its XML says (virsh managedsave-remove)"


@dataclass(frozen=True, slots=True)
class StandingCell:
    """A cell as it is. `node` None: its vCPUs are on several nodes, or anywhere.

    `memory_nodes` are those that its memory lies on; () where nobody knows.
    `may_be_far`: its memory is said to be preferred where it is (``<numatune>`` mode preferred), and not required.
    """

    vcpus: tuple[VcpuId, ...]
    cpus: CpuSet
    node: NodeId | None
    memory_kib: int
    memory_nodes: tuple[NodeId, ...]
    page_kib: int | None
    may_be_far: bool = False

    @property
    def memory_node(self) -> NodeId | None:
        """Where all of its memory lies; None where that is not known to be one node."""
        return self.memory_nodes[0] if len(self.memory_nodes) == 1 else None

    @property
    def page_size(self) -> PageSize | None:
        """Its pages as a request asks for them; None where none can."""
        return next((page for page in PageSize if self.page_kib is not None and page.size_kib == self.page_kib), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """A guest that is there.

    `requests` would place it anew: with the VFs that it has, then with any alike; each time with its emulator and
    iothreads on CPUs of their own, where they have such, and with these threads floating, last all of them. () where
    `reason` says why it can only stay. `held` are the CPUs that one of its threads has alone, or its emulator as it is
    asked for, `alone` those of vCPUs, one each; `idle` those that it keeps idle beside them, `joined` those that others
    are on, who alone may stay there; `memory` is what it would give back, in KiB by node and page size: nothing where
    nobody knows that it runs.
    """

    guest: Guest
    cells: tuple[StandingCell, ...]
    held: CpuSet
    alone: tuple[CpuId, ...]
    idle: CpuSet
    joined: CpuSet
    memory: tuple[tuple[Place, int], ...]
    requests: tuple[GuestRequest, ...]
    reason: str | None

    @property
    def nodes(self) -> tuple[NodeId, ...] | None:
        """The node of each cell; None where one has no single node."""
        known = tuple(cell.node for cell in self.cells if cell.node is not None)
        return known if len(known) == len(self.cells) else None


class _InexpressibleError(ValueError):
    """Why no request says what a guest is, or would bring it elsewhere."""


def standing_guests(facts: HostFacts, asked: Sequence[GuestRequest]) -> tuple[Standing, ...]:
    """What each guest holds, and how it could be asked for; `facts` are those of the host with nobody moved.

    With nobody `asked` for, a move must bring a guest near its devices, also where it is not now.
    """
    by_name = {request.name: request for request in asked}
    online = facts.snapshot.cpus.online
    pairs = [(guest, by_name.get(guest.name)) for guest in facts.snapshot.guests]
    held = [pinned_cpus(guest, request, online=online) for guest, request in pairs]
    holders = Counter(cpu for cpus in held for cpu in cpus)
    several = CpuSet(cpu for cpu, count in holders.items() if count > 1)
    everything = CpuSet(holders)
    return tuple(
        _standing(
            facts,
            guest,
            cpus,
            others=(everything - cpus) | (cpus & several),
            policy=guest.thread_policy if request is None else request.thread_policy,
            near=not asked,
        )
        for (guest, request), cpus in zip(pairs, held, strict=True)
    )


def _standing(
    facts: HostFacts, guest: Guest, held: CpuSet, *, others: CpuSet, policy: str | None, near: bool
) -> Standing:
    """`others` are the CPUs that some other guest holds; `policy` is its thread policy, or the one asked for."""
    cells = standing_cells(facts, guest)
    alone = tuple(cpus.lowest for cpus in _vcpus_alone(facts, guest).values())
    siblings = _siblings(facts, held, alone) if policy == ThreadPolicy.ISOLATE else EMPTY
    known = Standing(guest, cells, held, alone, siblings - others, siblings & others, _memory(facts, guest), (), None)
    try:
        return replace(known, requests=_requests(facts, guest, cells, others=others, near=near))
    except _InexpressibleError as error:
        return replace(known, reason=str(error))


def resumes_an_image(guest: Guest) -> bool:
    """Whether what is written into its XML is not what it starts as."""
    return guest.managed_save is True and not guest.running


def _vcpus_alone(facts: HostFacts, guest: Guest) -> dict[VcpuId, CpuSet]:
    """The CPU of each vCPU that has one to itself."""
    own = (VcpuId(vcpu) for vcpu in range(guest.vcpus) if vcpu not in guest.shared_vcpus)
    found = {vcpu: only_cpu(guest.effective_vcpu_affinity(vcpu), facts.snapshot.cpus.online) for vcpu in own}
    return {vcpu: cpus for vcpu, cpus in found.items() if cpus}


def floating_vcpus(facts: HostFacts, guest: Guest, node: NodeId) -> int:
    """How many of its vCPUs float on CPUs of `node` alone: they count against the shared pool there."""
    return floating_on(guest, facts.online(node), facts.snapshot.cpus.online)


def is_near(facts: HostFacts, address: PciAddress, nodes: Iterable[NodeId | None]) -> bool:
    """Whether a device is on one of `nodes`, or the host does not say where it is."""
    device = facts.devices.get(address)
    node = None if device is None else facts.device_node(device)
    return node is None or node in set(nodes)


def standing_cells(facts: HostFacts, guest: Guest) -> tuple[StandingCell, ...]:
    """Its cells; a guest without ``<numa>`` is one."""
    shapes = [(cell.id, cell.vcpus, cell.memory_kib) for cell in guest.cells]
    if not shapes:
        shapes = [(CellId(0), tuple(VcpuId(vcpu) for vcpu in range(guest.vcpus)), guest.memory_kib or 0)]
    cpus = [_cpus(facts, guest, vcpus) for _, vcpus, _ in shapes]
    homes = [_only_node(facts, each) for each in cpus]
    lies = resident_nodes(guest, [(number, size, home) for (number, _, size), home in zip(shapes, homes, strict=True)])
    return tuple(
        StandingCell(
            vcpus, cpus[k], homes[k], size, lies[k], _page_kib(facts, guest, number), _may_be_far(guest, number)
        )
        for k, (number, vcpus, size) in enumerate(shapes)
    )


def _memory(facts: HostFacts, guest: Guest) -> tuple[tuple[Place, int], ...]:
    """What is known of its memory, and QEMU's own, by node and page size."""
    if not guest.running:
        return ()
    held: Counter[Place] = Counter()
    for place, size in held_memory(guest, facts.snapshot):
        held[place] += size
    held.update(overhead(facts, lies_on(guest, facts.snapshot)))
    return tuple(sorted((place, size) for place, size in held.items() if place in facts.capacity_kib))


def overhead(facts: HostFacts, nodes: Iterable[NodeId]) -> Counter[Place]:
    """The ordinary memory that QEMU itself takes for a guest on `nodes`."""
    return Counter({(node, SMALL_PAGE_KIB): facts.policy.guest_overhead_kib for node in nodes})


def _cpus(facts: HostFacts, guest: Guest, vcpus: Iterable[VcpuId]) -> CpuSet:
    online = facts.snapshot.cpus.online
    return CpuSet(cpu for vcpu in vcpus for cpu in (guest.effective_vcpu_affinity(vcpu) or online) & online)


def _only_node(facts: HostFacts, cpus: CpuSet) -> NodeId | None:
    nodes = {facts.node_of.get(cpu) for cpu in cpus}
    return nodes.pop() if len(nodes) == 1 else None


def _page_kib(facts: HostFacts, guest: Guest, cell: CellId) -> int | None:
    """As all of its pages were seen to be, whatever its XML says by now; else as that has it."""
    seen = {page_kib for (_, page_kib), _ in seen_memory(guest, facts.snapshot)}
    return seen.pop() if len(seen) == 1 else cell_page_kib(guest, cell) or default_page_kib(facts.snapshot)


def _may_be_far(guest: Guest, cell: CellId) -> bool:
    binding = next((memnode for memnode in guest.memnodes if memnode.cell == cell), guest.memory)
    return binding is not None and binding.mode == "preferred"


def _siblings(facts: HostFacts, held: CpuSet, alone: Sequence[CpuId]) -> CpuSet:
    """The siblings of the CPUs that it has to itself."""
    own = (held & facts.allocatable) | (CpuSet(alone) & held - facts.shared)
    cores = [core.cpus for core in facts.snapshot.cores if core.cpus & own] if own else []
    return CpuSet(cpu for core in cores for cpu in core - held)


def _requests(
    facts: HostFacts, guest: Guest, cells: tuple[StandingCell, ...], *, others: CpuSet, near: bool
) -> tuple[GuestRequest, ...]:
    if resumes_an_image(guest):
        raise _InexpressibleError(RESUMES)
    wanted = tuple(_cell_request(cell) for cell in cells)
    if len(guest.iothread_ids) != guest.iothreads:
        raise _InexpressibleError("it has other iothreads than its XML says")
    if [cell.id for cell in guest.cells] != list(range(len(guest.cells))):
        raise _InexpressibleError("its guest cells are not numbered from 0")
    if {vcpu for cell in cells for vcpu in cell.vcpus} != set(range(guest.vcpus)):
        raise _InexpressibleError("its guest cells do not have all of its vCPUs")
    alone = _vcpus_alone(facts, guest)
    nodes = [cell.node for cell in cells]
    policy = CpuPolicy.DEDICATED if len(alone) == guest.vcpus else CpuPolicy.MIXED if alone else CpuPolicy.SHARED
    own = CpuSet(cpu for cpus in alone.values() for cpu in cpus)
    threads = CpuSet(
        cpu for iothread in guest.iothread_ids for cpu in guest.effective_iothread_affinity(iothread) or EMPTY
    )
    emulator_ways = _emulator_policies(facts, guest, taken=own | others | threads)
    iothread_ways = _iothread_policies(facts, guest, taken=own | others)
    base = GuestRequest(
        guest.name,
        guest.name,
        wanted,
        required=False,
        distinct_nodes=len(set(nodes)) == len(nodes),
        cpu_policy=policy,
        dedicated_vcpus=frozenset(alone),
        thread_policy=ThreadPolicy(guest.thread_policy or ThreadPolicy.PREFER),
        iothreads=guest.iothreads,
    )
    interfaces, devices = _functions(facts, guest, cells, near=near)
    same = replace(base, interfaces=interfaces, devices=devices)
    alike = replace(same, interfaces=tuple(_any_alike(facts, interface) for interface in interfaces))
    return tuple(
        replace(functions, emulator=emulator, iothread_policy=iothreads)
        for functions in ((same, alike) if interfaces else (same,))
        for iothreads in iothread_ways
        for emulator in emulator_ways
    )


def _cell_request(cell: StandingCell) -> CellRequest:
    """What is moved is moved properly: memory goes where its vCPUs go."""
    if cell.page_size is None:
        size = "the default size of the host" if cell.page_kib is None else f"{cell.page_kib} KiB"
        raise _InexpressibleError(f"it has pages of {size}, which no request can ask for")
    if not cell.vcpus or cell.memory_kib <= 0:
        raise _InexpressibleError("a guest cell of it has no vCPUs or no memory")
    return CellRequest(cell.vcpus, cell.memory_kib, cell.page_size, MemoryPolicy.STRICT)


def _emulator_policies(facts: HostFacts, guest: Guest, *, taken: CpuSet) -> tuple[EmulatorPolicy, ...]:
    """A CPU that may go to guests and that nobody else has is its own, or is let go; anything else is shared."""
    cpus = only_cpu(guest.effective_emulator_affinity(), facts.snapshot.cpus.online)
    own = bool(cpus) and cpus <= facts.allocatable and cpus.isdisjoint(taken)
    return (EmulatorPolicy.ISOLATE, EmulatorPolicy.SHARE) if own else (EmulatorPolicy.SHARE,)


def _iothread_policies(facts: HostFacts, guest: Guest, *, taken: CpuSet) -> tuple[IothreadPolicy, ...]:
    """As the emulator's, where each iothread has such a CPU."""
    online = facts.snapshot.cpus.online
    found = [only_cpu(guest.effective_iothread_affinity(iothread), online) for iothread in guest.iothread_ids]
    cpus = CpuSet(cpu for affinity in found for cpu in affinity)
    own = all(found) and len(cpus) == len(found)
    dedicated = bool(found) and own and cpus <= facts.allocatable and cpus.isdisjoint(taken)
    return (IothreadPolicy.DEDICATED, IothreadPolicy.SHARE) if dedicated else (IothreadPolicy.SHARE,)


def _functions(
    facts: HostFacts, guest: Guest, cells: tuple[StandingCell, ...], *, near: bool
) -> tuple[tuple[InterfaceRequest, ...], tuple[DeviceRequest, ...]]:
    """Its VFs by PF and index, and what cannot be named so by address."""
    reached = {facts.node_of.get(cpu) for cell in cells for cpu in cell.cpus}
    interfaces: list[InterfaceRequest] = []
    devices: list[DeviceRequest] = []
    passed = [(i.pci, i.alias, i.mac) for i in guest.interfaces if i.pci is not None]
    for n, (address, alias, mac) in enumerate([*passed, *((h.pci, h.alias, None) for h in guest.hostdevs)]):
        device = facts.devices.get(address)
        if device is None:
            raise _InexpressibleError(f"it has {address}, which this host does not have")
        taken = {*(entry.name for entry in interfaces), *(entry.name for entry in devices)}
        name = alias if alias is not None and alias not in taken else f"function-{n}"
        parent = None if device.physfn is None else facts.devices.get(device.physfn)
        loose = address in guest.loose_devices or facts.device_node(device) is None
        required = not loose and (near or is_near(facts, address, reached))
        affinity = Affinity.REQUIRED if required else Affinity.PREFERRED
        vfs = () if parent is None or parent.sriov is None else parent.sriov.vfs
        pf = None if parent is None else min(facts.port_names.get(parent.address, ()), default=None)
        # An interface is found in a <hostdev> by what it has, where no element of its own is left for it.
        named = n < len(passed) or len(interfaces) >= len(passed)
        if named and pf is not None and address in vfs:
            index = frozenset({vfs.index(address)})
            interfaces.append(
                InterfaceRequest(name, InterfaceType.SRIOV, pf=pf, vf_indexes=index, affinity=affinity, mac=mac)
            )
        else:
            devices.append(DeviceRequest(name, address=address, affinity=affinity))
    return tuple(interfaces), tuple(devices)


def _any_alike(facts: HostFacts, interface: InterfaceRequest) -> InterfaceRequest:
    """Any VF of the same PF, or of its physnet where the site names one."""
    named = () if interface.pf is None else (interface.pf,)
    pfs = [pf.address for pf in facts.snapshot.pci if pf.sriov is not None and facts.goes_by(pf.address, named)]
    physnets = [name for name, names in facts.policy.physnets if any(facts.goes_by(pf, names) for pf in pfs)]
    if len(physnets) == 1:
        return replace(interface, pf=None, vf_indexes=None, physnet=physnets[0])
    return replace(interface, vf_indexes=None)
