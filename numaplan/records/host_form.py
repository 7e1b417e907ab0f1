"""CPUs, memory and identity of a host as the inventory document has them, and the nouns that they make."""

from typing import Annotated

from pydantic import Field

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.host import (
    Core,
    CoreKind,
    CpuStates,
    DieId,
    HostIdentity,
    HugepagePool,
    LlcDomain,
    MemoryAccess,
    NodeId,
    NumaNode,
    Package,
    PackageId,
    Source,
)
from numaplan.records.document import Form
from numaplan.records.fields import CpuList, CpuNumber, Id, NumberKey, Size, SlitEntry, Text


class VirtualizationForm(Form):
    """``host.virtualization``."""

    kvm: bool | None = None
    iommu: bool | None = None
    nested: bool | None = None


class HostForm(Form):
    """``host``. Without a `source` it is a capture: a document is no running machine."""

    hostname: Text | None = None
    kernel: Text | None = None
    architecture: Text | None = None
    source: Annotated[Source, Field(strict=False)] = Source.CAPTURE
    cpu_model: Text | None = None
    cpu_flags: list[Text] = Field(default_factory=list)
    virtualization: VirtualizationForm | None = None
    boot_id: Text | None = None


class PackageForm(Form):
    """An entry of ``packages``."""

    id: Id | None = None
    cpus: CpuList
    numa_nodes: list[Id] = Field(default_factory=list)


class PoolForm(Form):
    """An entry of ``numa_nodes[].hugepages``."""

    size_kib: Annotated[Size, Field(ge=1)]
    total: Size
    free: Size
    surplus: Size = 0


class AccessForm(Form):
    """An entry of ``numa_nodes[].access``."""

    access: Id
    initiators: list[Id] = Field(default_factory=list)
    read_bandwidth_mibps: Size | None = None
    write_bandwidth_mibps: Size | None = None
    read_latency_ns: Size | None = None
    write_latency_ns: Size | None = None


class NodeForm(Form):
    """An entry of ``numa_nodes``."""

    id: Id
    packages: list[Id] = Field(default_factory=list)
    cpus: CpuList
    memory_kib: Size | None = None
    free_kib: Size | None = None
    available_kib: Size | None = None
    hugepages: list[PoolForm] = Field(default_factory=list)
    distances: dict[NumberKey, SlitEntry] = Field(default_factory=dict)
    access: list[AccessForm] = Field(default_factory=list)


class LlcForm(Form):
    """An entry of ``llcs``."""

    level: Id
    cpus: CpuList
    size_kib: Size | None = None
    numa_nodes: list[Id] = Field(default_factory=list)


class CoreForm(Form):
    """An entry of ``cores``."""

    cpus: list[CpuNumber]
    package: Id | None = None
    numa_node: Id | None = None
    core_id: Id | None = None
    die_id: Id | None = None
    kind: Annotated[CoreKind, Field(strict=False)] | None = None
    capacity: Id | None = None


class CpusForm(Form):
    """``cpus``. Without `present` the online and offline ones are all there are."""

    online: CpuList
    present: CpuList | None = None
    offline: CpuList | None = None
    isolated: CpuList | None = None
    nohz_full: CpuList | None = None


def to_host(form: HostForm) -> HostIdentity:
    """The noun of ``host``."""
    virtualization = form.virtualization or VirtualizationForm()
    return HostIdentity(
        form.source,
        hostname=form.hostname,
        kernel=form.kernel,
        architecture=form.architecture,
        cpu_model=form.cpu_model,
        kvm=virtualization.kvm,
        iommu=virtualization.iommu,
        cpu_flags=tuple(form.cpu_flags),
        nested=virtualization.nested,
        boot_id=form.boot_id,
    )


def to_cpus(form: CpusForm) -> CpuStates:
    """The noun of ``cpus``."""
    present = form.online | (form.offline or EMPTY) if form.present is None else form.present
    return CpuStates(present, form.online, form.isolated or EMPTY, form.nohz_full or EMPTY)


def to_packages(forms: list[PackageForm]) -> tuple[Package, ...]:
    """The nouns of ``packages``, by id, those without one last."""
    packages = (
        Package(None if form.id is None else PackageId(form.id), form.cpus, _to_nodes(form.numa_nodes))
        for form in forms
    )
    return tuple(sorted(packages, key=_package_order))


def to_nodes(forms: list[NodeForm]) -> tuple[NumaNode, ...]:
    """The nouns of ``numa_nodes``, by id."""
    return tuple(sorted(map(_to_node, forms), key=lambda node: node.id))


def to_llcs(forms: list[LlcForm]) -> tuple[LlcDomain, ...]:
    """The nouns of ``llcs``, by their CPUs."""
    llcs = (LlcDomain(form.level, form.cpus, form.size_kib, _to_nodes(form.numa_nodes)) for form in forms)
    return tuple(sorted(llcs, key=_llc_order))


def to_cores(forms: list[CoreForm]) -> tuple[Core, ...]:
    """The nouns of ``cores``, by their lowest CPU."""
    return tuple(sorted(map(_to_core, forms), key=lambda core: core.name))


def _to_nodes(ids: list[int]) -> tuple[NodeId, ...]:
    return tuple(NodeId(id_) for id_ in sorted(ids))


def _package_order(package: Package) -> tuple[bool, int, list[CpuId]]:
    return (package.id is None, package.id or 0, list(package.cpus))


def _to_node(form: NodeForm) -> NumaNode:
    pools = (HugepagePool(pool.size_kib, pool.total, pool.free, pool.surplus) for pool in form.hugepages)
    return NumaNode(
        NodeId(form.id),
        tuple(PackageId(id_) for id_ in sorted(form.packages)),
        form.cpus,
        memory_kib=form.memory_kib,
        free_kib=form.free_kib,
        available_kib=form.available_kib,
        hugepages=tuple(sorted(pools, key=lambda pool: pool.size_kib)),
        distances=tuple((NodeId(other), distance) for other, distance in sorted(form.distances.items())),
        access=tuple(sorted(map(_to_access, form.access), key=lambda access: access.access)),
    )


def _to_access(form: AccessForm) -> MemoryAccess:
    return MemoryAccess(
        form.access,
        _to_nodes(form.initiators),
        read_bandwidth_mibps=form.read_bandwidth_mibps,
        write_bandwidth_mibps=form.write_bandwidth_mibps,
        read_latency_ns=form.read_latency_ns,
        write_latency_ns=form.write_latency_ns,
    )


def _llc_order(llc: LlcDomain) -> tuple[list[CpuId], int]:
    return (list(llc.cpus), llc.level)


def _to_core(form: CoreForm) -> Core:
    return Core(
        CpuSet(form.cpus),
        None if form.package is None else PackageId(form.package),
        None if form.numa_node is None else NodeId(form.numa_node),
        form.core_id,
        None if form.die_id is None else DieId(form.die_id),
        form.kind,
        form.capacity,
    )
