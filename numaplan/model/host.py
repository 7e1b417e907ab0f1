"""The CPUs and memory of a host as the kernel shows them: packages, nodes, cores, caches."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NewType

from numaplan.cpuset import EMPTY, CpuId, CpuSet

PackageId = NewType("PackageId", int)
NodeId = NewType("NodeId", int)
DieId = NewType("DieId", int)


class CoreKind(StrEnum):
    """What a hybrid CPU calls a core (/sys/devices/cpu_core, cpu_atom, cpu_lowpower)."""

    PERFORMANCE = "performance"
    EFFICIENCY = "efficiency"
    LOW_POWER = "low_power"


class Source(StrEnum):
    """Whether a snapshot was taken of the running machine or read from a capture."""

    LIVE = "live"
    CAPTURE = "capture"


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Who the host is; every field that the host does not say is None, or empty.

    `cpu_flags` are those that matter to guests: vmx or svm, constant_tsc and nonstop_tsc, pdpe1gb and their kin.
    `nested`: KVM offers its guests to be hosts themselves. `boot_id` is another one after each boot.
    """

    source: Source
    hostname: str | None = None
    kernel: str | None = None
    architecture: str | None = None
    cpu_model: str | None = None
    kvm: bool | None = None
    iommu: bool | None = None
    cpu_flags: tuple[str, ...] = ()
    nested: bool | None = None
    boot_id: str | None = None


@dataclass(frozen=True, slots=True)
class CpuStates:
    """Which CPUs exist and which may run what (/sys/devices/system/cpu/{present,online,isolated,nohz_full})."""

    present: CpuSet
    online: CpuSet
    isolated: CpuSet = EMPTY
    nohz_full: CpuSet = EMPTY

    @property
    def offline(self) -> CpuSet:
        """Present CPUs that are not online."""
        return self.present - self.online


@dataclass(frozen=True, slots=True)
class Package:
    """A physical CPU package (elsewhere: socket). `cpus` are online ones; `id` None: the host does not say."""

    id: PackageId | None
    cpus: CpuSet
    numa_nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Core:
    """A physical core, named by its lowest online CPU; `cpus` are its online threads.

    `core_id` is unique only within its die, and on some machines not even there: sibling masks decide, not ids.
    `kind` is set on hybrid CPUs alone; `capacity` is the scheduler's measure, 1024 for the fastest core of the host.
    """

    cpus: CpuSet
    package: PackageId | None
    numa_node: NodeId | None
    core_id: int | None
    die_id: DieId | None
    kind: CoreKind | None = None
    capacity: int | None = None

    @property
    def name(self) -> CpuId:
        """The lowest of its CPUs."""
        return self.cpus.lowest


@dataclass(frozen=True, slots=True)
class LlcDomain:
    """Online CPUs that share a last-level cache; it may span nodes, and a node may have several."""

    level: int
    cpus: CpuSet
    size_kib: int | None
    numa_nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class HugepagePool:
    """One page size on one node, in pages."""

    size_kib: int
    total: int
    free: int
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class MemoryAccess:
    """How fast the nearest initiators reach a node's memory, from ACPI's HMAT
    (/sys/devices/system/node/nodeN/accessM, Documentation/admin-guide/mm/numaperf.rst).

    `access` 0: nearest initiators of any kind, 1: nearest CPUs. MiB/s and ns; None where the firmware does not say.
    """

    access: int
    initiators: tuple[NodeId, ...]
    read_bandwidth_mibps: int | None = None
    write_bandwidth_mibps: int | None = None
    read_latency_ns: int | None = None
    write_latency_ns: int | None = None


@dataclass(frozen=True, slots=True)
class NumaNode:
    """Host memory and the online CPUs near it; may have no CPUs, or no memory.

    `distances` are (other node, SLIT entry) pairs in numeric order, empty where the host does not say.
    `available_kib` is MemFree + Active(file) + Inactive(file) + SReclaimable of the node.
    """

    id: NodeId
    packages: tuple[PackageId, ...]
    cpus: CpuSet
    memory_kib: int | None = None
    free_kib: int | None = None
    available_kib: int | None = None
    hugepages: tuple[HugepagePool, ...] = ()
    distances: tuple[tuple[NodeId, int], ...] = ()
    access: tuple[MemoryAccess, ...] = ()

    def pool(self, size_kib: int) -> HugepagePool | None:
        """Its pool of that page size, if it has one."""
        return next((pool for pool in self.hugepages if pool.size_kib == size_kib), None)

    def with_pages(self, size_kib: int, more: int) -> "NumaNode":
        """The node with so many more free pages of a size."""
        old = self.pool(size_kib) or HugepagePool(size_kib, total=0, free=0)
        pool = replace(old, total=old.total + more, free=old.free + more)
        others = (one for one in self.hugepages if one.size_kib != size_kib)
        return replace(self, hugepages=tuple(sorted((*others, pool), key=lambda one: one.size_kib)))
