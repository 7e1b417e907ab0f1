"""What a site asks for: the guests to place and its policy for the host, every default filled in."""

from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import VcpuId


class CpuPolicy(StrEnum):
    """Whether vCPUs get CPUs of their own."""

    DEDICATED = "dedicated"
    SHARED = "shared"
    MIXED = "mixed"


class ThreadPolicy(StrEnum):
    """How dedicated CPUs use SMT siblings."""

    PREFER = "prefer"
    REQUIRE = "require"
    ISOLATE = "isolate"


class EmulatorPolicy(StrEnum):
    """Where QEMU's own threads run."""

    SHARE = "share"
    ISOLATE = "isolate"
    SET = "set"


class IothreadPolicy(StrEnum):
    """Where iothreads run."""

    SHARE = "share"
    DEDICATED = "dedicated"


class MemoryPolicy(StrEnum):
    """Whether a cell's memory must lie on its CPUs' node."""

    STRICT = "strict"
    PREFERRED = "preferred"


class PageSize(StrEnum):
    """The page sizes that can be asked for; ``large``: any huge size that divides the memory; ``any``: 4 KiB too."""

    SMALL = "4KiB"
    HUGE_2M = "2MiB"
    HUGE_1G = "1GiB"
    LARGE = "large"
    ANY = "any"

    @property
    def size_kib(self) -> int | None:
        """Its size; None for ``large`` and ``any``."""
        return {"4KiB": 4, "2MiB": 2048, "1GiB": 1048576}.get(self.value)


class MemoryAccess(StrEnum):
    """Who may map the guest's memory: others too (a vhost-user switch needs that), or QEMU alone."""

    SHARED = "shared"
    PRIVATE = "private"


class MemoryAllocation(StrEnum):
    """When the guest's memory is taken from the host: as it starts, or page by page as it is touched."""

    IMMEDIATE = "immediate"
    ONDEMAND = "ondemand"


class CpuCache(StrEnum):
    """What the guest sees of its CPUs' caches: the host's, those of the CPU model, or none."""

    PASSTHROUGH = "passthrough"
    EMULATE = "emulate"
    DISABLE = "disable"


class Memballoon(StrEnum):
    """Whether the guest has a balloon: none where its pages are huge (auto), none at all, or as its XML has it."""

    AUTO = "auto"
    NONE = "none"
    KEEP = "keep"


class DeviceLocality(StrEnum):
    """Whether a guest of several cells is shown to which of them its passed-through devices are near."""

    AUTO = "auto"
    NEVER = "never"


class Affinity(StrEnum):
    """How near a device must be to the guest's cells."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    SOCKET = "socket"


class InterfaceType(StrEnum):
    """How a guest's interface is backed; all but SR-IOV are ports of a bridge."""

    SRIOV = "sriov"
    VIRTIO = "virtio"
    VHOSTUSER = "vhostuser"

    @property
    def is_port(self) -> bool:
        """Whether it is a port of a bridge."""
        return self is not InterfaceType.SRIOV

    @property
    def default_affinity(self) -> Affinity:
        """What holds where an interface says nothing."""
        return Affinity.PREFERRED if self.is_port else Affinity.REQUIRED


@dataclass(frozen=True, slots=True)
class CellRequest:
    """A guest NUMA node: its vCPU numbers, in order, and its memory."""

    vcpus: tuple[VcpuId, ...]
    memory_kib: int
    page_size: PageSize
    memory_policy: MemoryPolicy


@dataclass(frozen=True, slots=True)
class InterfaceRequest:
    """One entry of ``interfaces``: `count` VFs (sriov) or one port of `bridge` (virtio, vhostuser).

    VFs are chosen by `physnet`, or by `pf` (and `vf_indexes` for a range), narrowed by `vendor` and `device`.
    `mbps` is what each of its VFs needs of its PF's link; 0: nothing. `affinity` is that of its VFs, or of the physical
    port that its bridge leads to; where none is given, that of its type.
    """

    name: str
    type: InterfaceType
    physnet: str | None = None
    pf: str | None = None
    vf_indexes: frozenset[int] | None = None
    vendor: str | None = None
    device: str | None = None
    count: int = 1
    affinity: Affinity = None  # type: ignore[assignment]  # never None: __post_init__ fills it in by the type
    mbps: int = 0
    distinct_pfs: bool = False
    mac: str | None = None
    vlan: int | None = None
    trust: bool | None = None
    bridge: str | None = None
    queues: int | None = None

    def __post_init__(self) -> None:
        """A port that says nothing of its affinity must not be tied to a node."""
        if self.affinity is None:
            object.__setattr__(self, "affinity", self.type.default_affinity)


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A passed-through device other than a VF: by `address`, or by `vendor` and `device`."""

    name: str
    vendor: str | None = None
    device: str | None = None
    address: PciAddress | None = None
    affinity: Affinity = Affinity.REQUIRED


@dataclass(frozen=True, slots=True)
class Realtime:
    """Dedicated vCPUs that the kernel runs first in, first out, at a `priority` of 1 to 99."""

    vcpus: frozenset[VcpuId]
    priority: int = 1


@dataclass(frozen=True, slots=True)
class MemoryBackingRequest:
    """How the host holds the guest's memory; False and None: as the guest's XML has it.

    `nosharepages`: never merged with equal pages of other guests; `locked`: never swapped out, within `hard_limit_kib`.
    """

    nosharepages: bool = False
    locked: bool = False
    hard_limit_kib: int | None = None
    allocation: MemoryAllocation | None = None
    access: MemoryAccess | None = None


@dataclass(frozen=True, slots=True)
class GuestRequest:
    """One guest to place: a copy of a vm of vnf.yaml. `vm` is the name there, `name` the domain's.

    `dedicated_vcpus` are all of them (dedicated), none (shared) or some (mixed).
    `affinity` and `anti_affinity` name guests, copies one by one. `cpu_cache` None: as the guest's XML has it.
    """

    name: str
    vm: str
    cells: tuple[CellRequest, ...]
    required: bool = True
    priority: int = 1
    distinct_nodes: bool = True
    cpu_policy: CpuPolicy = CpuPolicy.DEDICATED
    dedicated_vcpus: frozenset[VcpuId] = frozenset()
    thread_policy: ThreadPolicy = ThreadPolicy.PREFER
    emulator: EmulatorPolicy = EmulatorPolicy.SHARE
    emulator_cpus: int = 0
    iothreads: int = 0
    iothread_policy: IothreadPolicy = IothreadPolicy.SHARE
    interfaces: tuple[InterfaceRequest, ...] = ()
    devices: tuple[DeviceRequest, ...] = ()
    affinity: tuple[str, ...] = ()
    anti_affinity: tuple[str, ...] = ()
    realtime: Realtime | None = None
    memory_backing: MemoryBackingRequest = MemoryBackingRequest()
    cpu_cache: CpuCache | None = None
    memballoon: Memballoon = Memballoon.AUTO
    device_locality: DeviceLocality = DeviceLocality.AUTO

    @property
    def has_floating_threads(self) -> bool:
        """Whether its emulator or iothreads have no CPU of their own."""
        iothreads = self.iothreads > 0 and self.iothread_policy is IothreadPolicy.SHARE
        return self.emulator is EmulatorPolicy.SHARE or iothreads

    @property
    def own_emulator_cpus(self) -> int:
        """How many CPUs its emulator has for itself; `emulator_cpus` counts with policy set alone."""
        match self.emulator:
            case EmulatorPolicy.SHARE:
                return 0
            case EmulatorPolicy.ISOLATE:
                return 1
            case EmulatorPolicy.SET:
                return self.emulator_cpus

    @property
    def vcpus(self) -> int:
        """How many vCPUs it has."""
        return sum(len(cell.vcpus) for cell in self.cells)

    @property
    def memory_kib(self) -> int:
        """The memory of all its cells."""
        return sum(cell.memory_kib for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Costs:
    """Weights of the cross-node cost, per unit of distance: a VF or device, a pair of cells, a GiB of memory."""

    vf: int = 10
    cell: int = 10
    memory_gib: int = 1


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The site's policy for the host. CPU sets are None where the site names none, and the defaults then apply.

    `physnets` are (name, interface names of PFs) pairs. `guest_overhead_kib` is what QEMU itself takes of ordinary
    pages, for each guest, on each node that its cells lie on.
    """

    reserved_cpus: CpuSet | None = None
    shared_cpus: CpuSet | None = None
    shared_ratio: int = 4
    reserved_memory_kib: int = 2 * 1024 * 1024
    physnets: tuple[tuple[str, tuple[str, ...]], ...] = ()
    costs: Costs = Costs()
    guest_overhead_kib: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """All of one vnf.yaml: `guests` in its order, copies one after the other."""

    policy: HostPolicy
    guests: tuple[GuestRequest, ...]
