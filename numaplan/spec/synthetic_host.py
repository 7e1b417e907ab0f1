"""A regular host, made from its numbers: packages, nodes, cores, caches, pools, PFs with their VFs."""

from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciAddress, PciDevice, Sriov
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
from numaplan.model.kernel import Kernel, Smt
from numaplan.model.snapshot import Snapshot

HOSTNAME: Final = "synthetic"

# Intel E810 and its VFs: what is there where nothing else is said (pci.ids).
_PF_IDS: Final = ("8086", "1592")
_VF_IDS: Final = ("8086", "1889")
_ETHERNET: Final = "020000"
_FIRST_BUS: Final = 0x10
_BUSES: Final = 0x100
_FUNCTIONS_OF_A_BUS: Final = 0x100


@dataclass(frozen=True, slots=True)
class NicShape:
    """A PF called `name` on `node` with `vfs` of `total` VFs configured; `ids` are vendor and device of these."""

    name: str
    node: int
    vfs: int
    total: int
    speed_mbps: int | None = None
    ids: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class HostShape:
    """Numbers of a host: `cores` and `llcs` of a node, `threads` of a core, `memory_kib` of a node with its huge pages.

    `adjacent`: siblings follow each other (0 and 1); else, as Linux numbers CPUs on Intel, the second threads come
    after the first ones of all cores. `pages` are (size in KiB, how many node by node), `distances` the SLIT.
    """

    packages: int
    nodes: int
    cores: int
    threads: int
    llcs: int
    llc_kib: int | None
    adjacent: bool
    pages: tuple[tuple[int, tuple[int, ...]], ...]
    distances: tuple[tuple[int, ...], ...]
    nics: tuple[NicShape, ...] = ()
    isolated: CpuSet = EMPTY
    memory_kib: int | None = None


def build_host(shape: HostShape) -> Snapshot:
    """The host; whatever its numbers do not say is not said by it either."""
    cores = [_core(shape, number) for number in range(shape.nodes * shape.cores)]
    nodes = [_node(shape, n, cores) for n in range(shape.nodes)]
    packages = []
    for package in range(shape.packages):
        inside = [node for node in nodes if node.packages == (package,)]
        cpus = CpuSet(cpu for node in inside for cpu in node.cpus)
        packages.append(Package(PackageId(package), cpus, tuple(node.id for node in inside)))
    online = CpuSet(cpu for core in cores for cpu in core.cpus)
    pci, groups, links = _devices(shape.nics)
    return Snapshot(
        host=HostIdentity(Source.CAPTURE, hostname=HOSTNAME),
        cpus=CpuStates(online, online, isolated=shape.isolated),
        packages=tuple(packages),
        nodes=tuple(nodes),
        llcs=tuple(sorted(_llcs(shape, cores), key=lambda llc: llc.cpus.lowest)),
        cores=tuple(sorted(cores, key=lambda core: core.name)),
        pci=tuple(sorted(pci, key=lambda device: device.address)),
        iommu_groups=tuple(groups),
        links=tuple(sorted(links, key=lambda link: link.name)),
        kernel=Kernel(smt=Smt("on" if shape.threads > 1 else None, active=shape.threads > 1)),
    )


def _core(shape: HostShape, number: int) -> Core:
    """Cores are numbered node by node."""
    node = number // shape.cores
    package = node // (shape.nodes // shape.packages)
    if shape.adjacent:
        cpus = range(number * shape.threads, (number + 1) * shape.threads)
    else:
        every = shape.nodes * shape.cores
        cpus = range(number, number + shape.threads * every, every)
    in_package = number - package * (shape.nodes // shape.packages) * shape.cores
    return Core(CpuSet(map(CpuId, cpus)), PackageId(package), NodeId(node), core_id=in_package, die_id=DieId(0))


def _node(shape: HostShape, number: int, cores: list[Core]) -> NumaNode:
    pools = tuple(HugepagePool(size, total=counts[number], free=counts[number]) for size, counts in shape.pages)
    huge = sum(pool.size_kib * pool.total for pool in pools)
    ordinary = None if shape.memory_kib is None else shape.memory_kib - huge
    mine = cores[number * shape.cores : (number + 1) * shape.cores]
    return NumaNode(
        NodeId(number),
        (PackageId(number // (shape.nodes // shape.packages)),),
        CpuSet(cpu for core in mine for cpu in core.cpus),
        memory_kib=shape.memory_kib,
        free_kib=ordinary,
        available_kib=ordinary,
        hugepages=pools,
        distances=tuple((NodeId(other), entry) for other, entry in enumerate(shape.distances[number])),
    )


def _llcs(shape: HostShape, cores: list[Core]) -> list[LlcDomain]:
    size = shape.cores // shape.llcs
    return [
        LlcDomain(
            3,
            CpuSet(cpu for core in cores[first : first + size] for cpu in core.cpus),
            shape.llc_kib,
            (NodeId(first // shape.cores),),
        )
        for first in range(0, len(cores), size)
    ]


def _devices(nics: tuple[NicShape, ...]) -> tuple[list[PciDevice], list[IommuGroup], list[Link]]:
    """Every PF on a bus of its own, its VFs on the next ones; each function in an IOMMU group of its own."""
    pci: list[PciDevice] = []
    groups: list[IommuGroup] = []
    links: list[Link] = []
    domain, bus = 0, _FIRST_BUS
    for nic in nics:
        buses = 1 + -(-nic.vfs // _FUNCTIONS_OF_A_BUS)
        if bus + buses > _BUSES:
            domain, bus = domain + 1, 0
        pf = PciAddress(domain, bus, 0, 0)
        vfs = tuple(
            PciAddress(domain, bus + 1 + (v >> 8), v >> 3 & 0x1F, v & 7)  # 8 functions a slot
            for v in range(nic.vfs)
        )
        bus += buses
        first = len(groups)
        groups += [IommuGroup(IommuGroupId(first + i), (address,)) for i, address in enumerate((pf, *vfs))]
        vendor, device = nic.ids or _VF_IDS
        # Which PF has VFs with other ids is not known.
        pf_ids = _PF_IDS if nic.ids in (None, _VF_IDS) else (vendor, "0000")
        sriov = Sriov(nic.total, nic.vfs, vfs) if nic.total else None
        node = NodeId(nic.node)
        pci.append(
            PciDevice(pf, *pf_ids, _ETHERNET, node, iommu_group=IommuGroupId(first), netdevs=(nic.name,), sriov=sriov)
        )
        pci += [
            PciDevice(address, vendor, device, _ETHERNET, node, iommu_group=IommuGroupId(first + 1 + i), physfn=pf)
            for i, address in enumerate(vfs)
        ]
        links.append(Link(nic.name, kind="physical", pci=pf, speed_mbps=nic.speed_mbps, addresses=False))
    return pci, groups, links
