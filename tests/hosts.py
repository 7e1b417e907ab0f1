"""Hosts built in a test: `host("2n:4c:2t")` is a Snapshot of two nodes with four cores of two threads each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciAddress, PciDevice, Sriov
from numaplan.model.guest import Guest
from numaplan.model.host import (
    Core,
    CpuStates,
    DieId,
    HostIdentity,
    HugepagePool,
    LlcDomain,
    NodeId,
    NumaNode,
    Package,
    PackageId,
    Source,
)
from numaplan.model.snapshot import Snapshot

GIB = 1 << 20
SIZES = {"2MiB": 2048, "1GiB": GIB}


@dataclass(frozen=True)
class Nic:
    """A PF called `name` at `node` with `vfs` configured VFs."""

    name: str
    node: int | None
    vfs: int
    speed_mbps: int | None = 25000
    # VFs of one IOMMU group: 1 is the usual case, a group of its own for each.
    per_group: int = 1


def host(
    shape: str,
    *,
    llcs_per_node: int = 1,
    nodes_per_package: int = 1,
    pages: Mapping[str, int | Sequence[int]] | None = None,
    memory_gib: int = 64,
    distances: Sequence[Sequence[int]] | None = None,
    nics: Sequence[Nic] = (),
    guests: Sequence[Guest] = (),
    isolated: str = "",
    offline: str = "",
) -> Snapshot:
    """A regular host. `shape`: nodes, cores of a node, threads of a core.

    CPUs are numbered as Linux does on Intel: first the first thread of every core, node by node, then the second ones.
    `pages` are the free pages of each size, of every node or node by node. No caches at all where `llcs_per_node` is 0.
    """
    node_count, core_count, thread_count = (int(part[:-1]) for part in shape.split(":"))
    all_cores = node_count * core_count
    off = CpuSet.parse(offline)
    slit = distances or [[10 if a == b else 21 for b in range(node_count)] for a in range(node_count)]
    cores: list[Core] = []
    nodes: list[NumaNode] = []
    llcs: list[LlcDomain] = []
    for n in range(node_count):
        package = PackageId(n // nodes_per_package)
        node_cores = [
            CpuSet(CpuId(n * core_count + c + t * all_cores) for t in range(thread_count)) - off
            for c in range(core_count)
        ]
        cores += [
            Core(cpus, package, NodeId(n), core_id=c, die_id=DieId(0)) for c, cpus in enumerate(node_cores) if cpus
        ]
        online = CpuSet(cpu for core in node_cores for cpu in core)
        pools = [
            HugepagePool(SIZES[size], total=count, free=count)
            for size, value in sorted((pages or {}).items(), reverse=True)
            for count in [value if isinstance(value, int) else value[n]]
        ]
        nodes.append(
            NumaNode(
                NodeId(n),
                (package,),
                online,
                memory_kib=memory_gib * GIB,
                free_kib=memory_gib * GIB,
                available_kib=memory_gib * GIB,
                hugepages=tuple(sorted(pools, key=lambda pool: pool.size_kib)),
                distances=tuple((NodeId(other), value) for other, value in enumerate(slit[n])),
            )
        )
        for i in range(llcs_per_node):
            part = node_cores[i * core_count // llcs_per_node : (i + 1) * core_count // llcs_per_node]
            if cpus := CpuSet(cpu for core in part for cpu in core):
                llcs.append(LlcDomain(3, cpus, 32768, (NodeId(n),)))
    package_ids = sorted({node.packages[0] for node in nodes})
    packages = [
        Package(
            id_,
            CpuSet(cpu for node in nodes if node.packages == (id_,) for cpu in node.cpus),
            tuple(node.id for node in nodes if node.packages == (id_,)),
        )
        for id_ in package_ids
    ]
    present = CpuSet(range(all_cores * thread_count))
    pci, groups, links = _devices(nics)
    return Snapshot(
        host=HostIdentity(Source.CAPTURE, hostname="built", kernel="6.12.0", architecture="x86_64"),
        cpus=CpuStates(present, present - off, isolated=CpuSet.parse(isolated)),
        packages=tuple(packages),
        nodes=tuple(nodes),
        llcs=tuple(llcs),
        cores=tuple(sorted(cores, key=lambda core: core.name)),
        pci=tuple(sorted(pci, key=lambda device: device.address)),
        iommu_groups=tuple(groups),
        links=tuple(sorted(links, key=lambda link: link.name)),
        guests=tuple(guests),
    )


def _devices(nics: Sequence[Nic]) -> tuple[list[PciDevice], list[IommuGroup], list[Link]]:
    pci: list[PciDevice] = []
    links: list[Link] = []
    groups: list[IommuGroup] = []
    for i, nic in enumerate(nics):
        bus = 0x10 + 0x10 * i
        pf = PciAddress(0, bus, 0, 0)
        vfs = tuple(PciAddress(0, bus + 1, v // 8, v % 8) for v in range(nic.vfs))
        node = None if nic.node is None else NodeId(nic.node)
        pf_group = IommuGroupId(1000 * (i + 1))
        groups.append(IommuGroup(pf_group, (pf,)))
        pci.append(
            PciDevice(pf, "8086", "1572", "020000", node, "i40e", pf_group, (nic.name,), Sriov(64, nic.vfs, vfs))
        )
        links.append(Link(nic.name, pci=pf, speed_mbps=nic.speed_mbps, addresses=False))
        for v, address in enumerate(vfs):
            group = IommuGroupId(1000 * (i + 1) + 1 + v // nic.per_group)
            pci.append(PciDevice(address, "8086", "154c", "020000", node, "iavf", group, (), None, pf))
        groups += [
            IommuGroup(IommuGroupId(1000 * (i + 1) + 1 + g), vfs[g * nic.per_group : (g + 1) * nic.per_group])
            for g in range(-(-nic.vfs // nic.per_group))
        ]
    return pci, groups, links
