"""A snapshot as an undirected graph: typed nodes with stable names, typed edges."""

from collections.abc import Mapping, Sequence

from networkx import Graph

from numaplan.cpuset import CpuId, CpuSet
from numaplan.graph.builder import GraphBuilder
from numaplan.graph.guests import add_guests
from numaplan.graph.keys import (
    HOST,
    Edge,
    Vertex,
    core_key,
    cpu_key,
    die_key,
    iommu_group_key,
    link_key,
    llc_key,
    node_key,
    package_key,
    pci_key,
    pool_key,
)
from numaplan.graph.slit import slit_entries
from numaplan.graph.switch import add_switch
from numaplan.model.devices import PciAddress, PciDevice
from numaplan.model.host import Core, Package
from numaplan.model.snapshot import Snapshot


def build_graph(snapshot: Snapshot) -> "Graph[str]":
    """The host and its guests. Nodes and edges have a ``kind`` (see `keys`); what the host does not say is left out.

    Two nodes have one edge at most. A device, link or node that is only referred to becomes a node too,
    with nothing but its kind and id. Interrupts are no nodes: a large host has thousands, each allowed on most CPUs;
    a device says how many it has, and on which CPUs they are served.
    """
    builder = GraphBuilder()
    _add_host(builder, snapshot)
    _add_nodes(builder, snapshot)
    _add_cpus(builder, snapshot)
    interrupts = _interrupts(snapshot)
    for device in snapshot.pci:
        _add_pci(builder, device, served=interrupts.get(device.address, ()))
    for group in snapshot.iommu_groups:
        key = builder.vertex(iommu_group_key(group.id), Vertex.IOMMU_GROUP, id=group.id)
        for address in group.devices:
            builder.member(key, builder.pci(address))
    _add_links(builder, snapshot)
    if snapshot.openvswitch is not None:
        add_switch(builder, snapshot.openvswitch, links=frozenset(link.name for link in snapshot.links))
    add_guests(builder, snapshot)
    return builder.graph


def _add_host(builder: GraphBuilder, snapshot: Snapshot) -> None:
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


def _add_nodes(builder: GraphBuilder, snapshot: Snapshot) -> None:
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
    for (one, other), weight in sorted(slit_entries(snapshot.nodes).items()):
        if one != other:
            builder.edge(builder.node(one), builder.node(other), Edge.DISTANCE, weight=weight)


def _add_cpus(builder: GraphBuilder, snapshot: Snapshot) -> None:
    cpus = snapshot.cpus
    for cpu in cpus.present | cpus.online:
        builder.vertex(
            cpu_key(cpu), Vertex.CPU, id=cpu, online=int(cpu in cpus.online), isolated=int(cpu in cpus.isolated)
        )
    for core in snapshot.cores:
        key = builder.vertex(
            core_key(core),
            Vertex.CORE,
            core_id=core.core_id,
            die_id=core.die_id,
            core_kind=None if core.kind is None else core.kind.value,
            capacity=core.capacity,
        )
        for cpu in core.cpus:
            builder.edge(key, builder.cpu(cpu), Edge.CONTAINS)
        if core.numa_node is not None:
            builder.edge(builder.node(core.numa_node), key, Edge.CONTAINS)
    cores = {core.name: core for core in snapshot.cores}
    for position, package in enumerate(snapshot.packages):
        _add_package_cores(builder, package, package_key(package, position), cores=cores)
    for llc in snapshot.llcs:
        key = builder.vertex(llc_key(llc), Vertex.LLC, level=llc.level, size_kib=llc.size_kib, cpus=str(llc.cpus))
        for node in llc.numa_nodes:
            builder.edge(builder.node(node), key, Edge.CONTAINS)
        for core in _within(cores, llc.cpus):
            builder.edge(key, core_key(core), Edge.CONTAINS)


def _add_package_cores(builder: GraphBuilder, package: Package, key: str, *, cores: Mapping[CpuId, Core]) -> None:
    """Dies are nodes where the package has several; one alone would only repeat it."""
    own = _within(cores, package.cpus)
    dies = sorted({core.die_id for core in own if core.die_id is not None})
    for core in own:
        builder.edge(key, core_key(core), Edge.CONTAINS)
    if len(dies) < 2:  # noqa: PLR2004 - "several"
        return
    for die in dies:
        builder.edge(key, builder.vertex(die_key(key, die), Vertex.DIE, id=die), Edge.CONTAINS)
    for core in own:
        if core.die_id is not None:
            builder.edge(die_key(key, core.die_id), core_key(core), Edge.CONTAINS)


def _within(cores: Mapping[CpuId, Core], cpus: CpuSet) -> list[Core]:
    return [cores[cpu] for cpu in cpus if cpu in cores and cores[cpu].cpus <= cpus]


def _interrupts(snapshot: Snapshot) -> dict[PciAddress, list[CpuSet]]:
    """Where each interrupt of a device is served, or may be where that is not known."""
    found: dict[PciAddress, list[CpuSet]] = {}
    for irq in snapshot.irqs:
        if irq.device is not None:
            found.setdefault(irq.device, []).append(irq.effective or irq.affinity or CpuSet())
    return found


def _add_pci(builder: GraphBuilder, device: PciDevice, *, served: Sequence[CpuSet]) -> None:
    sriov = device.sriov
    key = builder.vertex(
        pci_key(device.address),
        Vertex.PCI,
        address=str(device.address),
        vendor=device.vendor,
        device=device.device,
        pci_class=device.pci_class,
        name=device.name,
        driver=device.driver,
        physfn=None if device.physfn is None else str(device.physfn),
        vfs_total=None if sriov is None else sriov.total,
        vfs_configured=None if sriov is None else sriov.configured,
        interrupts=len(served) or None,
        interrupt_cpus=str(CpuSet(cpu for cpus in served for cpu in cpus)),
    )
    if device.numa_node is not None:
        builder.edge(builder.node(device.numa_node), key, Edge.NEAR)
    if device.iommu_group is not None:
        group = builder.vertex(iommu_group_key(device.iommu_group), Vertex.IOMMU_GROUP, id=device.iommu_group)
        builder.member(group, key)
    if device.physfn is not None:
        builder.edge(builder.pci(device.physfn), key, Edge.BACKS)
    for vf in () if sriov is None else sriov.vfs:
        builder.edge(key, builder.pci(vf), Edge.BACKS)
    for name in device.netdevs:
        builder.edge(key, builder.link(name), Edge.LINK)


def _add_links(builder: GraphBuilder, snapshot: Snapshot) -> None:
    for link in snapshot.links:
        key = builder.vertex(
            link_key(link.name),
            Vertex.LINK,
            name=link.name,
            link_kind=link.kind,
            speed_mbps=link.speed_mbps,
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            vlan=link.vlan,
        )
        if link.pci is not None:
            builder.edge(builder.pci(link.pci), key, Edge.LINK)
        if link.peer is not None:
            builder.edge(key, builder.link(link.peer), Edge.LINK)
        if link.master is not None:
            builder.member(builder.link(link.master), key)
        for lower in link.lowers:
            builder.member(key, builder.link(lower))
