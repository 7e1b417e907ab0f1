"""A guest that exists: what its domain XML says, as far as placement and audit care."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId

VcpuId = NewType("VcpuId", int)
CellId = NewType("CellId", int)
IothreadId = NewType("IothreadId", int)


class ThreadKind(StrEnum):
    """What a thread of a guest's process does; `OTHER` are helpers that come and go."""

    VCPU = "vcpu"
    EMULATOR = "emulator"
    IOTHREAD = "iothread"
    VHOST = "vhost"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class VcpuPin:
    """``<vcpupin>``: `line` is where it stands in the XML."""

    vcpu: VcpuId
    cpus: CpuSet
    line: int


@dataclass(frozen=True, slots=True)
class EmulatorPin:
    """``<emulatorpin>``."""

    cpus: CpuSet
    line: int


@dataclass(frozen=True, slots=True)
class IothreadPin:
    """``<iothreadpin>``."""

    iothread: IothreadId
    cpus: CpuSet
    line: int


@dataclass(frozen=True, slots=True)
class MemoryBinding:
    """``<numatune><memory>`` (`cell` None) or ``<memnode>``; `nodes` are host nodes, None: automatic placement."""

    cell: CellId | None
    mode: str
    nodes: tuple[NodeId, ...] | None
    line: int


@dataclass(frozen=True, slots=True)
class GuestCell:
    """``<cpu><numa><cell>``: a guest NUMA node. `vcpus` are in numeric order.

    `memory_access` is ``memAccess`` (shared, private). `distances` are (cell, SLIT entry) pairs as the guest sees them,
    one for each cell in order of ids; () where the XML gives no distance of any cell.
    """

    id: CellId
    vcpus: tuple[VcpuId, ...]
    memory_kib: int
    line: int
    memory_access: str | None = None
    distances: tuple[tuple[CellId, int], ...] = ()


@dataclass(frozen=True, slots=True)
class GuestTopology:
    """``<cpu><topology>``."""

    sockets: int
    dies: int
    cores: int
    threads: int

    @property
    def vcpus(self) -> int:
        """How many vCPUs it describes."""
        return self.sockets * self.dies * self.cores * self.threads


@dataclass(frozen=True, slots=True)
class HugepageRequest:
    """``<memoryBacking><hugepages><page>``; `size_kib` None: the host's default; `cells` None: every guest cell."""

    size_kib: int | None
    cells: tuple[CellId, ...] | None
    line: int


@dataclass(frozen=True, slots=True)
class GuestInterface:
    """``<interface>``: `type` as libvirt has it; `source` the bridge, network or device.

    `pci` is set for type hostdev alone; `alias` without its "ua-". `target` is the host's end (``<target dev>``: tap or
    macvtap, in the XML of a running guest), `socket` that of a vhost-user interface, `queues` ``<driver queues>``.
    `address` is where the guest sees it on its own PCI bus; `managed`: libvirt binds the device itself.
    """

    type: str
    line: int
    mac: str | None = None
    alias: str | None = None
    source: str | None = None
    pci: PciAddress | None = None
    vlan: int | None = None
    target: str | None = None
    socket: str | None = None
    model: str | None = None
    queues: int | None = None
    address: PciAddress | None = None
    managed: bool | None = None


@dataclass(frozen=True, slots=True)
class GuestHostdev:
    """``<hostdev mode='subsystem' type='pci'>``; `address` and `managed` as those of an interface."""

    pci: PciAddress
    line: int
    alias: str | None = None
    address: PciAddress | None = None
    managed: bool | None = None


@dataclass(frozen=True, slots=True)
class GuestController:
    """``<controller>``: `type` (pci, scsi, ...), `model` (pcie-root-port, pcie-expander-bus, ...).

    Of an expander bus, `cell` is the guest NUMA node that it belongs to, and `bus_number` the first of its buses.
    """

    type: str
    line: int
    index: int | None = None
    model: str | None = None
    cell: CellId | None = None
    bus_number: int | None = None
    address: PciAddress | None = None


@dataclass(frozen=True, slots=True)
class ThreadScheduler:
    """``<vcpusched>``, ``<iothreadsched>`` or ``<emulatorsched>``: how the kernel schedules those threads.

    `kind` is vcpu, iothread or emulator; `threads` their numbers, () for the emulator; `policy` batch, idle, fifo, rr.
    """

    kind: ThreadKind
    threads: tuple[int, ...]
    policy: str
    line: int
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class CacheTune:
    """``<cachetune>``: a share of the host's caches for some vCPUs (resctrl).

    `caches` are (cache's id, level, type as libvirt has it, KiB) for each ``<cache>``.
    """

    vcpus: tuple[VcpuId, ...]
    line: int
    caches: tuple[tuple[int, int, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryBacking:
    """``<memoryBacking>`` but for its huge pages; None and False where it does not say.

    `source` is file, anonymous or memfd; `access` shared or private; `allocation` immediate or ondemand.
    """

    line: int
    nosharepages: bool = False
    locked: bool = False
    discard: bool = False
    source: str | None = None
    access: str | None = None
    allocation: str | None = None
    allocation_threads: int | None = None


class Owner(StrEnum):
    """A manager that made the domain, as its metadata tells, and that writes its XML anew at will."""

    NOVA = "nova"
    OVIRT = "ovirt"
    KUBEVIRT = "kubevirt"


@dataclass(frozen=True, slots=True)
class GuestThread:
    """A thread of a running guest and where it may run now; `index`: which vCPU or iothread it is.

    `tid` None: libvirt told, not the process.
    """

    kind: ThreadKind
    affinity: CpuSet
    index: int | None = None
    tid: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResidentMemory:
    """Guest memory that lies on a host node now, in pages of one size (/proc/PID/numa_maps)."""

    node: NodeId
    page_size_kib: int
    size_kib: int


@dataclass(frozen=True, slots=True)
class RunningGuest:
    """What a guest that runs does in fact: its threads, and where its memory lies. None and () where nobody could look.

    `allowed_nodes` are those that its process may take memory from.
    """

    pid: int | None = None
    threads: tuple[GuestThread, ...] = ()
    memory: tuple[ResidentMemory, ...] = ()
    allowed_nodes: tuple[NodeId, ...] | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """A libvirt domain. `vcpus` is its maximum; `vcpu_cpuset` is ``<vcpu cpuset>``; `running` and
    `memory_kib` None: not known.

    `thread_policy` is what its numaplan metadata says. `file` names the XML for messages.
    `shared_vcpus` share their CPUs with others, however narrow their pins, and `loose_devices` may be on another node
    than the guest, both as its numaplan metadata says. `state` is libvirt's word; a guest that is not `persistent` is
    gone when it stops; `managed_save`: its next start resumes a saved image, whatever its XML says by then.
    `live` is what it does while it runs. `listed_iothreads` are the ids of its iothreads, () where these are
    numbered from 1.

    `current_vcpus` are plugged in at the start, None: all; `memory_limit_kib` is ``<memtune><hard_limit>``;
    `memballoon` the balloon's model ("none": it has none; None: the XML has no word on it, and libvirt adds one);
    `machine` and `architecture` those of ``<os><type>``; `cpu_mode` ``<cpu mode>``, `cpu_cache` ``<cpu><cache mode>``.
    `owner` made the guest.
    """

    name: str
    file: str
    vcpus: int
    memory_kib: int | None
    uuid: str | None = None
    vcpu_line: int = 0
    vcpu_cpuset: CpuSet | None = None
    auto_placement: bool = False
    topology: GuestTopology | None = None
    cells: tuple[GuestCell, ...] = ()
    vcpu_pins: tuple[VcpuPin, ...] = ()
    emulator_pin: EmulatorPin | None = None
    iothreads: int = 0
    listed_iothreads: tuple[IothreadId, ...] = ()
    iothread_pins: tuple[IothreadPin, ...] = ()
    memory: MemoryBinding | None = None
    memnodes: tuple[MemoryBinding, ...] = ()
    hugepages: tuple[HugepageRequest, ...] = ()
    interfaces: tuple[GuestInterface, ...] = ()
    hostdevs: tuple[GuestHostdev, ...] = ()
    thread_policy: str | None = None
    running: bool | None = None
    shared_vcpus: tuple[VcpuId, ...] = ()
    loose_devices: tuple[PciAddress, ...] = ()
    state: str | None = None
    persistent: bool | None = None
    managed_save: bool | None = None
    live: RunningGuest | None = None
    current_vcpus: int | None = None
    schedulers: tuple[ThreadScheduler, ...] = ()
    cachetunes: tuple[CacheTune, ...] = ()
    backing: MemoryBacking | None = None
    memory_limit_kib: int | None = None
    controllers: tuple[GuestController, ...] = ()
    memballoon: str | None = None
    machine: str | None = None
    architecture: str | None = None
    cpu_mode: str | None = None
    cpu_cache: str | None = None
    emulator: str | None = None
    owner: Owner | None = None

    def vcpu_affinity(self, vcpu: VcpuId) -> CpuSet | None:
        """Its pin, else ``<vcpu cpuset>``; None where it may run anywhere."""
        pin = next((pin for pin in self.vcpu_pins if pin.vcpu == vcpu), None)
        return self.vcpu_cpuset if pin is None else pin.cpus

    def emulator_affinity(self) -> CpuSet | None:
        """Its pin, else ``<vcpu cpuset>`` (libvirt, formatdomain: emulatorpin); None where it may run anywhere."""
        return self.vcpu_cpuset if self.emulator_pin is None else self.emulator_pin.cpus

    def iothread_affinity(self, iothread: IothreadId) -> CpuSet | None:
        """Its pin, else ``<vcpu cpuset>`` (libvirt, formatdomain: iothreadpin); None where it may run anywhere."""
        pin = next((pin for pin in self.iothread_pins if pin.iothread == iothread), None)
        return self.vcpu_cpuset if pin is None else pin.cpus

    def effective_vcpu_affinity(self, vcpu: VcpuId) -> CpuSet | None:
        """Where it may run now where that is known, else as the XML has it; None where it may run anywhere."""
        return self._live_affinity(ThreadKind.VCPU, vcpu) or self.vcpu_affinity(vcpu)

    def effective_emulator_affinity(self) -> CpuSet | None:
        """As `effective_vcpu_affinity`, of QEMU's main thread."""
        return self._live_affinity(ThreadKind.EMULATOR, None) or self.emulator_affinity()

    def effective_iothread_affinity(self, iothread: IothreadId) -> CpuSet | None:
        """As `effective_vcpu_affinity`, of an iothread."""
        return self._live_affinity(ThreadKind.IOTHREAD, iothread) or self.iothread_affinity(iothread)

    def planned_iothread_affinity(self, number: IothreadId) -> CpuSet | None:
        """As `effective_iothread_affinity`, of the one that plans call so: they number them in their order, from 1."""
        ids = self.iothread_ids
        return self.effective_iothread_affinity(ids[number - 1]) if number <= len(ids) else self.vcpu_cpuset

    @property
    def iothread_ids(self) -> tuple[IothreadId, ...]:
        """The numbers of its iothreads, also of those that only a pin or a running thread names."""
        running = () if self.live is None else self.live.threads
        named = {pin.iothread for pin in self.iothread_pins}
        named |= {
            IothreadId(thread.index)
            for thread in running
            if thread.kind is ThreadKind.IOTHREAD and thread.index is not None
        }
        own = self.listed_iothreads or tuple(IothreadId(i) for i in range(1, self.iothreads + 1))
        return tuple(sorted({*own, *named}))

    @property
    def pci_addresses(self) -> tuple[PciAddress, ...]:
        """Every PCI function handed to it, interfaces first, in the order of the XML."""
        interfaces = (interface.pci for interface in self.interfaces if interface.pci is not None)
        return (*interfaces, *(hostdev.pci for hostdev in self.hostdevs))

    def _live_affinity(self, kind: ThreadKind, index: int | None) -> CpuSet | None:
        """The CPUs of its running threads of that kind and number; None where no such thread is known."""
        running = () if self.live is None else self.live.threads
        found = [thread.affinity for thread in running if thread.kind is kind and thread.index == index]
        return CpuSet(cpu for affinity in found for cpu in affinity) if found else None
