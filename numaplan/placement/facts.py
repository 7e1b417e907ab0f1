"""What a host has left to give: the snapshot under a site's policy, less what guests that stay hold."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import IommuGroupId, Link, PciAddress, PciDevice
from numaplan.model.guest import CellId, Guest
from numaplan.model.host import NodeId, NumaNode, PackageId
from numaplan.model.request import HostPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.busy_devices import busy_devices
from numaplan.placement.switch import SwitchShare, switch_share
from numaplan.placement.taken import dedicated_to_vcpus, floating_on, kept_idle, taken_by, vcpu_affinities
from numaplan.placement.untold import untold
from numaplan.placement.uplinks import port_nodes, uplink_notes

SMALL_PAGE_KIB = 4

# Kernels with pages of 4 KiB have huge ones of 2 MiB, and not all have larger ones, whose memory these can be as well.
USUAL_PAGE_KIB = 2048

# A page larger than any host's memory: what a guest that asks for no memory is given where memory is no matter.
BOUNDLESS_KIB = 1 << 50

# Where memory is: a node and a page size in KiB.
Place = tuple[NodeId, int]

# SLIT: 10 is "local"; ACPI 6.5, section 5.2.17.
LOCAL_DISTANCE = 10
UNKNOWN_REMOTE = 10


@dataclass(frozen=True, slots=True, eq=False)
class HostFacts:
    """The host for one request, hashed as the one object that it is."""

    # In it every VF that a PF lists names that PF.
    snapshot: Snapshot
    policy: HostPolicy
    # The SMT width.
    threads: int
    nodes: tuple[NodeId, ...]
    node_of: Mapping[CpuId, NodeId]
    packages_of: Mapping[NodeId, frozenset[PackageId]]
    # A node itself and those that share a package with it.
    beside: Mapping[NodeId, frozenset[NodeId]]
    distances: Mapping[tuple[NodeId, NodeId], int]
    llcs: tuple[CpuSet, ...]
    # A CPU's LLC, as its place in `llcs`, and its core.
    llc_of: Mapping[CpuId, int]
    core_of: Mapping[CpuId, CpuId]

    # CPUs, all of them online.
    reserved: CpuSet
    shared: CpuSet
    # Those that are neither.
    allocatable: CpuSet
    # Those of staying guests and of Open vSwitch, and those among them that are dedicated to vCPUs.
    taken: CpuSet
    vcpus: CpuSet
    # A thread that floats on them is to keep them: they are not free, but nobody holds them or has their core alone.
    left: CpuSet
    # Others on a core that a staying guest has to itself.
    idle: CpuSet
    # Allocatable ones on a node that are neither taken nor idle nor left.
    free: CpuSet
    # How many more shared vCPUs a node's pool takes, and how many staying guests have there beyond what it takes.
    pool_left: Mapping[NodeId, int]
    pool_owed: Mapping[NodeId, int]
    # Free memory.
    capacity_kib: Mapping[Place, int]

    devices: Mapping[PciAddress, PciDevice]
    groups: Mapping[IommuGroupId, tuple[PciAddress, ...]]
    # Those of guests that stay, and those that the host itself uses, and why.
    held_devices: frozenset[PciAddress]
    busy_devices: Mapping[PciAddress, str]
    # The network interfaces of a function; their names, and those that the function gives.
    links: Mapping[PciAddress, tuple[Link, ...]]
    port_names: Mapping[PciAddress, frozenset[str]]
    # Of configured VFs.
    vf_indexes: Mapping[PciAddress, int]
    # The nodes of the physical ports of each bridge that is asked for, as far as they are known.
    port_nodes: Mapping[str, frozenset[NodeId]]
    # The nodes that the vCPUs of a staying guest run on.
    guest_nodes: Mapping[str, frozenset[NodeId]]
    notes: tuple[str, ...]

    @property
    def float_pools(self) -> tuple[CpuSet, CpuSet]:
        """The shared and the reserved CPUs on which threads may float: never those of a staying guest's vCPU."""
        return self.shared - self.vcpus, self.reserved - self.vcpus

    @property
    def has_pools(self) -> bool:
        """Whether there is one of these."""
        return any(self.float_pools)

    def online(self, node: NodeId) -> CpuSet:
        """The node's online CPUs."""
        return next(n.cpus for n in self.snapshot.nodes if n.id == node)

    def unheld(self, node: NodeId) -> CpuSet:
        """The node's online CPUs that are not taken, be they for guests or not."""
        return self.online(node) - self.taken

    def distance(self, a: NodeId | None, b: NodeId | None) -> int:
        """The larger of the two SLIT entries less 10; where the host does not say, 0 on one node, 10 between two.

        0 where a device's node is not known: nothing can be said for or against it.
        """
        if a is None or b is None:
            return 0
        return self.distances.get((a, b), 0 if a == b else UNKNOWN_REMOTE)

    def link_speed(self, pf: PciAddress | None) -> int | None:
        """What the fastest network interface of a function carries in Mbit/s; None where the host does not say."""
        links = () if pf is None else self.links.get(pf, ())
        return max((link.speed_mbps for link in links if link.speed_mbps and link.speed_mbps > 0), default=None)

    def uplink_node(self, bridge: str | None) -> NodeId | None:
        """The node of the physical ports below a bridge that is asked for; None where it is not known or not one."""
        nodes = () if bridge is None else self.port_nodes.get(bridge, ())
        return next(iter(nodes)) if len(nodes) == 1 else None

    def may_be_in_use(self, device: PciDevice) -> bool:
        """Whether the host does not say if an interface of a function, one that is up, bears an address."""
        return any(link.addresses is None and link.up for link in self.links.get(device.address, ()))

    def goes_by(self, pf: PciAddress, names: Collection[str]) -> bool:
        """Whether it is one of the PFs that are named so: by an interface, or by its address."""
        return str(pf) in names or not self.port_names.get(pf, frozenset()).isdisjoint(names)

    def without_pf(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` by which no PF goes."""
        pfs = [device.address for device in self.snapshot.pci if device.sriov is not None]
        return tuple(name for name in names if not any(self.goes_by(pf, (name,)) for pf in pfs))

    def device_node(self, device: PciDevice) -> NodeId | None:
        """Its node, a VF's being its PF's; None where the host does not say."""
        if device.physfn is not None and device.physfn in self.devices:
            return self.devices[device.physfn].numa_node
        return device.numa_node


def host_facts(request: Request, snapshot: Snapshot) -> HostFacts:
    """What `snapshot` has for the guests of `request`."""
    policy = request.policy
    snapshot = _as_pfs_list(snapshot)
    names = {guest.name for guest in request.guests}
    staying = [guest for guest in snapshot.guests if guest.name not in names]
    returning = [guest for guest in snapshot.guests if guest.name in names]
    node_of = {cpu: node.id for node in snapshot.nodes for cpu in node.cpus}
    online = snapshot.cpus.online
    packages_of = {node.id: _packages_of(snapshot, node) for node in snapshot.nodes}
    reserved, shared, notes = _reserved_and_shared(policy, snapshot, online)
    allocatable = online - reserved - shared
    pools = _pool_room(policy, snapshot, shared, staying=staying, online=online)
    switch = switch_share(snapshot, reserved)
    taken = (CpuSet(cpu for guest in staying for cpu in taken_by(guest, online))) | switch.cpus
    open_ = (allocatable & CpuSet(node_of)) - taken
    idle = open_ & kept_idle(staying, snapshot, allocatable=allocatable, shared=shared)
    devices = {device.address: device for device in snapshot.pci}
    links = _links_of(snapshot)
    bridges = [port.bridge for guest in request.guests for port in guest.interfaces if port.bridge is not None]
    below = port_nodes(snapshot, bridges, devices)
    llcs = tuple(llc.cpus & online for llc in snapshot.llcs) or tuple(n.cpus & online for n in snapshot.nodes if n.cpus)
    facts = HostFacts(
        snapshot=snapshot,
        policy=policy,
        threads=max((len(core.cpus) for core in snapshot.cores), default=1),
        nodes=tuple(node.id for node in snapshot.nodes),
        node_of=node_of,
        packages_of=packages_of,
        beside=_beside(packages_of),
        distances=_distances(snapshot),
        llcs=llcs,
        llc_of={cpu: i for i, cpus in enumerate(llcs) for cpu in cpus},
        core_of={cpu: core.name for core in snapshot.cores for cpu in core.cpus},
        reserved=reserved,
        shared=shared,
        allocatable=allocatable,
        taken=taken,
        vcpus=CpuSet(cpu for guest in staying for cpu in dedicated_to_vcpus(guest, online)),
        left=CpuSet(),
        idle=idle,
        free=open_ - idle,
        pool_left={node: max(0, room) for node, room in pools.items()},
        pool_owed={node: max(0, -room) for node, room in pools.items()},
        capacity_kib=_capacity(policy, snapshot, returning, switch),
        devices=devices,
        groups=_groups(snapshot),
        held_devices=frozenset(address for guest in staying for address in guest.pci_addresses),
        busy_devices=busy_devices(snapshot, links),
        links=links,
        port_names=_port_names(snapshot, links),
        vf_indexes=_vf_indexes(snapshot),
        port_nodes=below,
        guest_nodes={guest.name: _nodes_of(guest, node_of, online) for guest in staying},
        notes=(*notes, *switch.notes, *uplink_notes(request.guests, snapshot, below), *untold(snapshot)),
    )
    return replace(facts, notes=(*facts.notes, *_without_pfs(request, facts)))


def _without_pfs(request: Request, facts: HostFacts) -> Iterator[str]:
    """A note on each physnet that is asked for and names a PF that the host does not have."""
    asked = {port.physnet for guest in request.guests for port in guest.interfaces}
    for physnet, pfs in facts.policy.physnets:
        if physnet in asked and (missing := facts.without_pf(pfs)):
            yield f'physnet "{physnet}": the host has no PF {", ".join(missing)}'


def _as_pfs_list(snapshot: Snapshot) -> Snapshot:
    """The snapshot in which every VF that a PF lists is that PF's, also where the VF itself does not say so."""
    pf_of = {vf: pf.address for pf in snapshot.pci if pf.sriov is not None for vf in pf.sriov.vfs}
    if all(device.physfn == pf_of.get(device.address, device.physfn) for device in snapshot.pci):
        return snapshot
    pci = (replace(device, physfn=pf_of.get(device.address, device.physfn)) for device in snapshot.pci)
    return replace(snapshot, pci=tuple(pci))


def _packages_of(snapshot: Snapshot, node: NumaNode) -> frozenset[PackageId]:
    """The packages that the node names, and those that name the node: a node without CPUs may name none."""
    naming = (package.id for package in snapshot.packages if node.id in package.numa_nodes and package.id is not None)
    return frozenset((*node.packages, *naming))


def _beside(packages_of: Mapping[NodeId, frozenset[PackageId]]) -> dict[NodeId, frozenset[NodeId]]:
    """Each node and those that share a package with it."""
    return {
        node: frozenset(other for other, its in packages_of.items() if other == node or its & own)
        for node, own in packages_of.items()
    }


def _reserved_and_shared(policy: HostPolicy, snapshot: Snapshot, online: CpuSet) -> tuple[CpuSet, CpuSet, list[str]]:
    notes: list[str] = []
    shared = policy.shared_cpus or CpuSet()
    if policy.reserved_cpus is not None:
        reserved = policy.reserved_cpus
    elif snapshot.cpus.isolated:
        reserved = online - snapshot.cpus.isolated - shared
        said = f"are reserved ({reserved})" if reserved else "would be reserved, and there are none"
        notes.append(f"reserved_cpus is not set: the CPUs that the host does not isolate {said}")
    else:
        reserved = CpuSet()
        ticking = online - snapshot.cpus.nohz_full if snapshot.cpus.nohz_full else CpuSet()
        too = f", also {ticking.named}, which nohz_full leaves to the host" if ticking else ""
        notes.append(f"reserved_cpus is not set and the host isolates no CPUs: every CPU may go to a guest{too}")
    for key, cpus in (("reserved_cpus", reserved), ("shared_cpus", shared)):
        if missing := cpus - online:
            notes.append(f"{key} names CPUs that are not online here: {missing}")
    return reserved & online, shared & online, notes


def _distances(snapshot: Snapshot) -> dict[tuple[NodeId, NodeId], int]:
    table: dict[tuple[NodeId, NodeId], int] = {}
    for node in snapshot.nodes:
        for other, entry in node.distances:
            for pair in ((node.id, other), (other, node.id)):
                table[pair] = max(table.get(pair, entry - LOCAL_DISTANCE), entry - LOCAL_DISTANCE)
    return table


def _groups(snapshot: Snapshot) -> dict[IommuGroupId, tuple[PciAddress, ...]]:
    members: dict[IommuGroupId, set[PciAddress]] = {group.id: set(group.devices) for group in snapshot.iommu_groups}
    for device in snapshot.pci:
        if device.iommu_group is not None:
            members.setdefault(device.iommu_group, set()).add(device.address)
    return {group: tuple(sorted(addresses)) for group, addresses in members.items()}


def _links_of(snapshot: Snapshot) -> dict[PciAddress, tuple[Link, ...]]:
    """The network interfaces of each function, by name: those that say so, and those that it names itself."""
    named = {name: device.address for device in snapshot.pci for name in device.netdevs}
    found: dict[PciAddress, list[Link]] = defaultdict(list)
    for link in sorted(snapshot.links, key=lambda link: link.name):
        for address in {link.pci, named.get(link.name)} - {None}:
            if address is not None:
                found[address].append(link)
    return {address: tuple(links) for address, links in found.items()}


def _port_names(snapshot: Snapshot, links: Mapping[PciAddress, tuple[Link, ...]]) -> dict[PciAddress, frozenset[str]]:
    return {
        device.address: frozenset({*device.netdevs, *(link.name for link in links.get(device.address, ()))})
        for device in snapshot.pci
    }


def _vf_indexes(snapshot: Snapshot) -> dict[PciAddress, int]:
    return {vf: index for pf in snapshot.pci if pf.sriov is not None for index, vf in enumerate(pf.sriov.vfs)}


def _nodes_of(guest: Guest, node_of: Mapping[CpuId, NodeId], online: CpuSet) -> frozenset[NodeId]:
    """The nodes that its vCPUs run on."""
    return frozenset(node_of[cpu] for vcpu in vcpu_affinities(guest, online) for cpu in vcpu if cpu in node_of)


def _pool_room(
    policy: HostPolicy, snapshot: Snapshot, shared: CpuSet, *, staying: list[Guest], online: CpuSet
) -> dict[NodeId, int]:
    return {
        node.id: policy.shared_ratio * len(shared & node.cpus)
        - sum(floating_on(guest, node.cpus, online) for guest in staying)
        for node in snapshot.nodes
    }


def _capacity(policy: HostPolicy, snapshot: Snapshot, returning: list[Guest], switch: SwitchShare) -> dict[Place, int]:
    capacity: dict[Place, int] = {}
    to_come = dict(switch.pages)
    for node in snapshot.nodes:
        # Where the host does not say, there is nothing that a plan may rest on.
        if node.available_kib is not None:
            capacity[node.id, SMALL_PAGE_KIB] = node.available_kib - policy.reserved_memory_kib
        for pool in node.hugepages:
            if pool.size_kib != SMALL_PAGE_KIB:
                free = pool.free - to_come.get((node.id, pool.size_kib), 0)
                capacity[node.id, pool.size_kib] = free * pool.size_kib
    for guest in returning:
        if guest.running:
            back = list(held_memory(guest, snapshot))
            back += [((node, SMALL_PAGE_KIB), policy.guest_overhead_kib) for node in lies_on(guest, snapshot)]
            for key, size in back:
                if key in capacity:
                    capacity[key] += size
    return {key: max(0, size) for key, size in capacity.items()}


def lies_on(guest: Guest, snapshot: Snapshot) -> list[NodeId]:
    """The nodes that one of its vCPUs cannot leave."""
    affinities = vcpu_affinities(guest, snapshot.cpus.online)
    return [
        node.id
        for node in snapshot.nodes
        if any(cpus and cpus <= node.cpus for cpus in (one & snapshot.cpus.online for one in affinities))
    ]


def held_memory(guest: Guest, snapshot: Snapshot) -> tuple[tuple[Place, int], ...]:
    """((node, page size in KiB), KiB) of the memory of a guest that runs: as it was seen to lie, where it was.

    Else as its XML binds it to exactly one node; the rest is anywhere. Left out is memory in whole pages of a size that
    is not known.
    """
    if seen := seen_memory(guest, snapshot):
        return seen
    cells = [(cell.id, cell.memory_kib) for cell in guest.cells] or [(CellId(0), guest.memory_kib or 0)]
    held = []
    for cell, size in cells:
        node, page_kib = bound_node(guest, cell), cell_page_kib(guest, cell) or default_page_kib(snapshot)
        if node is not None and page_kib is not None:
            held.append(((node, page_kib), -(-size // page_kib) * page_kib))
    return tuple(held)


def seen_memory(guest: Guest, snapshot: Snapshot) -> tuple[tuple[Place, int], ...]:
    """((node, page size in KiB), KiB) of the memory of a guest as it was seen to lie; () where nobody looked.

    Pages of a size of which no node has a pool are ordinary ones, whatever the kernel's base page is.
    """
    huge = {pool.size_kib for node in snapshot.nodes for pool in node.hugepages}
    parts = () if guest.live is None else guest.live.memory
    pages = [(part, part.page_size_kib if part.page_size_kib in huge else SMALL_PAGE_KIB) for part in parts]
    return tuple(((part.node, page_kib), part.size_kib) for part, page_kib in pages)


def default_page_kib(snapshot: Snapshot) -> int | None:
    """The host's default huge page; where it does not say, the one size that it has of them."""
    sizes = {pool.size_kib for node in snapshot.nodes for pool in node.hugepages if pool.size_kib != SMALL_PAGE_KIB}
    return snapshot.kernel.default_hugepage_kib or (sizes.pop() if len(sizes) == 1 else None)


def bound_node(guest: Guest, cell: CellId) -> NodeId | None:
    """The one node to which its XML binds a cell's memory; None where it names no one."""
    binding = next((b for b in guest.memnodes if b.cell == cell), guest.memory)
    return binding.nodes[0] if binding is not None and binding.nodes is not None and len(binding.nodes) == 1 else None


def cell_page_kib(guest: Guest, cell: CellId) -> int | None:
    """The page size of a guest cell; None: the host's default huge page.

    A ``<page>`` with a nodeset speaks louder than one without (libvirt, formatdomain, "Memory Backing").
    """
    pages = sorted(guest.hugepages, key=lambda page: page.cells is None)
    page = next((page for page in pages if page.cells is None or cell in page.cells), None)
    return SMALL_PAGE_KIB if page is None else page.size_kib
