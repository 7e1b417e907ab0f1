"""What a host has, who holds it already and what is asked: worked out from the request and the snapshot alone."""

from collections import Counter
from collections.abc import Iterable

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.guest import CellId, Guest, VcpuId
from numaplan.model.host import NodeId, NumaNode, PackageId
from numaplan.model.request import GuestRequest, HostPolicy, Request, ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.pci import PciFacts
from numaplan.placement.verification.switch import switch_cpus
from numaplan.placement.verification.uplinks import Uplinks

# SLIT's local distance (ACPI, System Locality Information Table), and what two nodes count apart where none is given.
LOCAL_DISTANCE = 10
UNKNOWN_DISTANCE = 10


class Facts:
    """Looked up again and again by the checks; `pci` holds the device side, `uplinks` that of bridges.

    `online`, `reserved` and `shared` are CPU sets, the latter two of online CPUs; `allocatable` ones are neither.
    `taken` are the CPUs of threads of staying guests that may run on one CPU only, and those of Open vSwitch with DPDK.
    `threads` is the largest number of online threads of a core. `keeps_cells`: guests whose XML has cells or a topology
    keep these, whatever is asked for; None: that or what is asked for, as the plan has it.
    """

    def __init__(self, request: Request, snapshot: Snapshot, *, keeps_cells: bool | None = None) -> None:
        self.request = request
        self.snapshot = snapshot
        self.keeps_cells = keeps_cells
        self._asked = {guest.name: guest for guest in request.guests}
        self._existing = {guest.name: guest for guest in snapshot.guests}
        self.staying = tuple(guest for guest in snapshot.guests if guest.name not in self._asked)
        self.pci = PciFacts(snapshot, self.staying)
        self.uplinks = Uplinks(snapshot, self.pci.node)
        self.online = snapshot.cpus.online
        self.shared = (request.policy.shared_cpus or EMPTY) & self.online
        self.reserved = reserved_cpus(request.policy, snapshot) & self.online
        self.allocatable = self.online - self.reserved - self.shared
        self._nodes = {node.id: node for node in snapshot.nodes}
        self._node_of = {cpu: node.id for node in snapshot.nodes for cpu in node.cpus}
        self._core_of = {cpu: core.cpus for core in snapshot.cores for cpu in core.cpus}
        self.cores = (
            *(core.cpus for core in snapshot.cores),
            *(CpuSet([cpu]) for cpu in self.online if cpu not in self._core_of),
        )
        self.threads = max((len(core) for core in self.cores), default=1)
        self.llcs = _last_level_caches(snapshot)
        self._distances = {(node.id, other): value for node in snapshot.nodes for other, value in node.distances}
        self._holders = dict.fromkeys(switch_cpus(snapshot) & (self.online - self.reserved), "Open vSwitch")
        self._holders |= {cpu: f'guest "{guest.name}"' for guest in self.staying for cpu in _pinned(guest, self.online)}
        self.taken = CpuSet(self._holders)
        self._idle_beside = self._kept_idle()
        self._floating = self._count_floating()

    def asked(self, name: str) -> GuestRequest | None:
        """The guest of that name of the request."""
        return self._asked.get(name)

    def existing(self, name: str) -> Guest | None:
        """The guest of that name that is on the host already, to stay or to be placed."""
        return self._existing.get(name)

    def taker(self, cpu: CpuId) -> str | None:
        """Who has a thread there for good: a guest that stays, or Open vSwitch."""
        return self._holders.get(cpu)

    def _kept_idle(self) -> dict[CpuId, str]:
        """The CPUs of the cores of staying guests with policy isolate, whoever is on them now."""
        isolated = [guest for guest in self.staying if guest.thread_policy == ThreadPolicy.ISOLATE.value]
        return {
            sibling: guest.name
            for guest in isolated
            for cpu in (_pinned(guest, self.online) & self.allocatable) | (_vcpus(guest, self.online) - self.shared)
            for sibling in self.core(cpu)
        }

    def isolated_for(self, cpu: CpuId) -> str | None:
        """The guest that stays and has the core of that CPU to itself, by policy isolate."""
        return self._idle_beside.get(cpu)

    def node(self, node: NodeId) -> NumaNode | None:
        """The node of that id, if the host has it."""
        return self._nodes.get(node)

    def cpus(self, nodes: Iterable[NodeId]) -> CpuSet:
        """The online CPUs of those nodes; nodes that the host lacks have none."""
        return CpuSet(cpu for node in nodes if node in self._nodes for cpu in self._nodes[node].cpus) & self.online

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """The sizes of the host's huge pages, the smallest first."""
        return tuple(sorted({pool.size_kib for node in self.snapshot.nodes for pool in node.hugepages}))

    def core(self, cpu: CpuId) -> CpuSet:
        """The online threads of its core; itself alone where the host does not say."""
        return self._core_of.get(cpu, CpuSet([cpu]))

    def packages(self, nodes: Iterable[NodeId]) -> frozenset[PackageId]:
        """The packages of those nodes, as nodes and packages have it."""
        wanted = frozenset(nodes)
        named = {package for node in wanted if node in self._nodes for package in self._nodes[node].packages}
        found = {package.id for package in self.snapshot.packages if wanted & frozenset(package.numa_nodes)}
        return frozenset(package for package in named | found if package is not None)

    def distance(self, one: NodeId, other: NodeId) -> int:
        """The larger of the two SLIT entries less the local distance; 0 or 10 where the host does not say."""
        known = [self._distances[pair] for pair in ((one, other), (other, one)) if pair in self._distances]
        if known:
            return max(known) - LOCAL_DISTANCE
        return 0 if one == other else UNKNOWN_DISTANCE

    def floating_vcpus(self, node: NodeId) -> int:
        """The vCPUs of staying guests that may run on several CPUs, all of them of that node."""
        return self._floating[node]

    def staying_nodes(self, name: str) -> frozenset[NodeId] | None:
        """The nodes on which a staying guest's vCPUs may run; None where no such guest stays."""
        guest = next((guest for guest in self.staying if guest.name == name), None)
        if guest is None:
            return None
        return self._nodes_of(cpu for cpus in self._effective(guest) for cpu in cpus)

    def lies_on(self, guest: Guest) -> frozenset[NodeId]:
        """The nodes that some vCPU of a guest that exists may not leave."""
        places = [self._nodes_of(cpus) for cpus in self._effective(guest)]
        return frozenset(node for nodes in places if len(nodes) == 1 for node in nodes)

    def share_ladder(self, nodes: Iterable[NodeId]) -> CpuSet | None:
        """Where threads that share float for a guest on `nodes`; None where the host names no CPUs for them.

        On no CPU to which a guest that stays has pinned a vCPU, whatever the site says of it.
        """
        here = self.cpus(nodes)
        dedicated = CpuSet(cpu for guest in self.staying for cpu in _dedicated(guest, self.online))
        shared, reserved = self.shared - dedicated, self.reserved - dedicated
        rungs = (shared & here, reserved & here, shared, reserved)
        return next((rung for rung in rungs if rung), None)

    def _effective(self, guest: Guest) -> tuple[CpuSet, ...]:
        affinities = (guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus))
        return tuple(self.online if cpus is None else cpus for cpus in affinities)

    def _nodes_of(self, cpus: Iterable[CpuId]) -> frozenset[NodeId]:
        return frozenset(self._node_of[cpu] for cpu in cpus if cpu in self._node_of)

    def _count_floating(self) -> Counter[NodeId]:
        floating: Counter[NodeId] = Counter()
        for guest in self.staying:
            for cpus in self._effective(guest):
                nodes = self._nodes_of(cpus & self.online)
                if len(cpus & self.online) > 1 and len(nodes) == 1:
                    floating.update(nodes)
        return floating


def reserved_cpus(policy: HostPolicy, snapshot: Snapshot) -> CpuSet:
    """CPUs that no guest gets: the site's; else those that are not isolated, where any is, less the shared ones."""
    if policy.reserved_cpus is not None:
        return policy.reserved_cpus
    if not snapshot.cpus.isolated:
        return EMPTY
    return snapshot.cpus.online - snapshot.cpus.isolated - (policy.shared_cpus or EMPTY)


def bound_node(guest: Guest, cell: CellId) -> NodeId | None:
    """The one host node to which the XML binds a guest cell's memory, by whatever mode; None where it names no one."""
    binding = next((memnode for memnode in guest.memnodes if memnode.cell == cell), guest.memory)
    if binding is None or binding.nodes is None or len(binding.nodes) != 1:
        return None
    return binding.nodes[0]


def _pinned(guest: Guest, online: CpuSet) -> CpuSet:
    """The CPUs of its threads whose effective affinity is one CPU that is online."""
    threads = [guest.effective_iothread_affinity(iothread) for iothread in guest.iothread_ids]
    threads.append(guest.effective_emulator_affinity())
    return _vcpus(guest, online) | _single(threads, online)


def _vcpus(guest: Guest, online: CpuSet) -> CpuSet:
    return _single([guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus)], online)


def _dedicated(guest: Guest, online: CpuSet) -> CpuSet:
    """The CPUs of vCPUs that its metadata does not call shared: these float, be it on a pool of one CPU."""
    own = (VcpuId(vcpu) for vcpu in range(guest.vcpus) if vcpu not in guest.shared_vcpus)
    return _single([guest.effective_vcpu_affinity(vcpu) for vcpu in own], online)


def _single(threads: Iterable[CpuSet | None], online: CpuSet) -> CpuSet:
    return CpuSet(cpu for cpus in threads if cpus is not None and len(cpus & online) == 1 for cpu in cpus & online)


def _last_level_caches(snapshot: Snapshot) -> tuple[CpuSet, ...]:
    """The CPUs of each; where the host shows no caches, a node counts as one."""
    shown = tuple(llc.cpus for llc in snapshot.llcs)
    return shown or tuple(node.cpus for node in snapshot.nodes if node.cpus)
