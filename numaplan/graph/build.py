"""A snapshot as an undirected graph: typed nodes with stable names, typed edges."""

from collections.abc import Iterable, Mapping

from networkx import Graph

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.graph.keys import (
    HOST,
    Edge,
    Vertex,
    core_key,
    cpu_key,
    guest_key,
    iommu_group_key,
    link_key,
    llc_key,
    node_key,
    package_key,
    pci_key,
    pool_key,
)
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.guest import Guest, IothreadId, VcpuId
from numaplan.model.host import Core, NodeId
from numaplan.model.snapshot import Snapshot


def build_graph(snapshot: Snapshot) -> "Graph[str]":
    """The host and its guests. Nodes and edges have a ``kind`` (see `keys`); what the host does not say is left out.

    Two nodes have one edge at most. A device, link or node that is only referred to becomes a node too,
    with nothing but its kind and id.
    """
    builder = _Builder()
    _add_host(builder, snapshot)
    _add_nodes(builder, snapshot)
    _add_cpus(builder, snapshot)
    for device in snapshot.pci:
        _add_pci(builder, device)
    for group in snapshot.iommu_groups:
        key = builder.vertex(iommu_group_key(group.id), Vertex.IOMMU_GROUP, id=group.id)
        for address in group.devices:
            builder.edge(key, builder.pci(address), Edge.MEMBER)
    _add_links(builder, snapshot)
    for guest in snapshot.guests:
        _add_guest(builder, guest)
    return builder.graph


class _Builder:
    """The graph while it grows; a second mention adds to the first.

    Attributes that are None or empty are left out: GraphML has neither.
    """

    def __init__(self) -> None:
        self.graph: Graph[str] = Graph()

    def vertex(self, key: str, kind: Vertex, **attributes: str | int | None) -> str:
        self.graph.add_node(key, kind=kind.value, **_said(attributes))
        return key

    def edge(self, one: str, other: str, kind: Edge, **attributes: str | int | None) -> None:
        self.graph.add_edge(one, other, kind=kind.value, **_said(attributes))

    def node(self, node: NodeId) -> str:
        return self.vertex(node_key(node), Vertex.NODE, id=node)

    def cpu(self, cpu: CpuId) -> str:
        return self.vertex(cpu_key(cpu), Vertex.CPU, id=cpu)

    def pci(self, address: PciAddress) -> str:
        return self.vertex(pci_key(address), Vertex.PCI, address=str(address))

    def link(self, name: str) -> str:
        return self.vertex(link_key(name), Vertex.LINK, name=name)


def _said(attributes: dict[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _add_host(builder: _Builder, snapshot: Snapshot) -> None:
    host = snapshot.host
    builder.vertex(
        HOST,
        Vertex.HOST,
        hostname=host.hostname,
        kernel=host.kernel,
        architecture=host.architecture,
        cpu_model=host.cpu_model,
        source=host.source.value,
    )
    for position, package in enumerate(snapshot.packages):
        key = builder.vertex(package_key(package, position), Vertex.PACKAGE, id=package.id, cpus=str(package.cpus))
        builder.edge(HOST, key, Edge.CONTAINS)
        for node in package.numa_nodes:
            builder.edge(key, builder.node(node), Edge.CONTAINS)


def _add_nodes(builder: _Builder, snapshot: Snapshot) -> None:
    for node in snapshot.nodes:
        key = builder.vertex(
            node_key(node.id),
            Vertex.NODE,
            id=node.id,
            cpus=str(node.cpus),
            memory_kib=node.memory_kib,
            free_kib=node.free_kib,
            available_kib=node.available_kib,
            distance=dict(node.distances).get(node.id),
        )
        builder.edge(HOST, key, Edge.CONTAINS)
        for pool in node.hugepages:
            page = builder.vertex(
                pool_key(node.id, pool.size_kib),
                Vertex.POOL,
                size_kib=pool.size_kib,
                total=pool.total,
                free=pool.free,
                surplus=pool.surplus,
            )
            builder.edge(key, page, Edge.CONTAINS)
    weights: dict[tuple[NodeId, NodeId], int] = {}
    for node in snapshot.nodes:
        for other, distance in node.distances:
            pair = (min(node.id, other), max(node.id, other))
            weights[pair] = max(distance, weights.get(pair, 0))
    for (one, other), weight in sorted(weights.items()):
        if one != other:
            builder.edge(builder.node(one), builder.node(other), Edge.DISTANCE, weight=weight)


def _add_cpus(builder: _Builder, snapshot: Snapshot) -> None:
    cpus = snapshot.cpus
    for cpu in cpus.present | cpus.online:
        builder.vertex(
            cpu_key(cpu), Vertex.CPU, id=cpu, online=int(cpu in cpus.online), isolated=int(cpu in cpus.isolated)
        )
    for core in snapshot.cores:
        key = builder.vertex(core_key(core), Vertex.CORE, core_id=core.core_id, die_id=core.die_id)
        for cpu in core.cpus:
            builder.edge(key, builder.cpu(cpu), Edge.CONTAINS)
        if core.numa_node is not None:
            builder.edge(builder.node(core.numa_node), key, Edge.CONTAINS)
    cores = {core.name: core for core in snapshot.cores}
    for position, package in enumerate(snapshot.packages):
        for core in _within(cores, package.cpus):
            builder.edge(package_key(package, position), core_key(core), Edge.CONTAINS)
    for llc in snapshot.llcs:
        key = builder.vertex(llc_key(llc), Vertex.LLC, level=llc.level, size_kib=llc.size_kib, cpus=str(llc.cpus))
        for node in llc.numa_nodes:
            builder.edge(builder.node(node), key, Edge.CONTAINS)
        for core in _within(cores, llc.cpus):
            builder.edge(key, core_key(core), Edge.CONTAINS)


def _within(cores: Mapping[CpuId, Core], cpus: CpuSet) -> list[Core]:
    return [cores[cpu] for cpu in cpus if cpu in cores and cores[cpu].cpus <= cpus]


def _add_pci(builder: _Builder, device: PciDevice) -> None:
    sriov = device.sriov
    key = builder.vertex(
        pci_key(device.address),
        Vertex.PCI,
        address=str(device.address),
        vendor=device.vendor,
        device=device.device,
        pci_class=device.pci_class,
        driver=device.driver,
        physfn=None if device.physfn is None else str(device.physfn),
        vfs_total=None if sriov is None else sriov.total,
        vfs_configured=None if sriov is None else sriov.configured,
    )
    if device.numa_node is not None:
        builder.edge(builder.node(device.numa_node), key, Edge.NEAR)
    if device.iommu_group is not None:
        group = builder.vertex(iommu_group_key(device.iommu_group), Vertex.IOMMU_GROUP, id=device.iommu_group)
        builder.edge(group, key, Edge.MEMBER)
    if device.physfn is not None:
        builder.edge(builder.pci(device.physfn), key, Edge.BACKS)
    for vf in () if sriov is None else sriov.vfs:
        builder.edge(key, builder.pci(vf), Edge.BACKS)
    for name in device.netdevs:
        builder.edge(key, builder.link(name), Edge.LINK)


def _add_links(builder: _Builder, snapshot: Snapshot) -> None:
    for link in snapshot.links:
        key = builder.vertex(
            link_key(link.name), Vertex.LINK, name=link.name, link_kind=link.kind, speed_mbps=link.speed_mbps
        )
        if link.pci is not None:
            builder.edge(builder.pci(link.pci), key, Edge.LINK)
        for other in (*link.lowers, *(() if link.master is None else (link.master,))):
            if other != link.name:
                builder.edge(key, builder.link(other), Edge.MEMBER)


def _add_guest(builder: _Builder, guest: Guest) -> None:
    key = builder.vertex(
        guest_key(guest.name),
        Vertex.GUEST,
        name=guest.name,
        uuid=guest.uuid,
        vcpus=guest.vcpus,
        memory_kib=guest.memory_kib,
    )
    pins = {pin.vcpu: pin.cpus for pin in reversed(guest.vcpu_pins)}
    vcpus: dict[CpuId, set[int]] = {}
    for vcpu in range(guest.vcpus):
        for cpu in pins.get(VcpuId(vcpu), guest.vcpu_cpuset) or ():
            vcpus.setdefault(cpu, set()).add(vcpu)
    emulator = guest.emulator_affinity() or CpuSet()
    iothreads: dict[CpuId, set[int]] = {}
    for iothread in range(1, guest.iothreads + 1):
        for cpu in guest.iothread_affinity(IothreadId(iothread)) or ():
            iothreads.setdefault(cpu, set()).add(iothread)
    for cpu in CpuSet([*vcpus, *emulator, *iothreads]):
        builder.edge(
            key,
            builder.cpu(cpu),
            Edge.PINS,
            vcpus=_listed(vcpus.get(cpu)),
            emulator=1 if cpu in emulator else None,
            iothreads=_listed(iothreads.get(cpu)),
        )
    for binding in (*(() if guest.memory is None else (guest.memory,)), *guest.memnodes):
        for node in binding.nodes or ():
            builder.edge(key, builder.node(node), Edge.BINDS, mode=binding.mode)
    for address in guest.pci_addresses:
        builder.edge(key, builder.pci(address), Edge.USES)


def _listed(ids: Iterable[int] | None) -> str | None:
    return None if ids is None else format_id_list(ids)
