"""A guest that exists: what its domain XML says, as far as placement and audit care."""

from dataclasses import dataclass
from typing import NewType

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId

VcpuId = NewType("VcpuId", int)
CellId = NewType("CellId", int)
IothreadId = NewType("IothreadId", int)


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
    """``<cpu><numa><cell>``: a guest NUMA node. `vcpus` are in numeric order."""

    id: CellId
    vcpus: tuple[VcpuId, ...]
    memory_kib: int
    line: int


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

    `pci` is set for type hostdev alone; `alias` without its "ua-".
    """

    type: str
    line: int
    mac: str | None = None
    alias: str | None = None
    source: str | None = None
    pci: PciAddress | None = None
    vlan: int | None = None


@dataclass(frozen=True, slots=True)
class GuestHostdev:
    """``<hostdev mode='subsystem' type='pci'>``."""

    pci: PciAddress
    line: int
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """A libvirt domain. `vcpus` is its maximum; `vcpu_cpuset` is ``<vcpu cpuset>``; `running` None: not known.

    `thread_policy` is what its numaplan metadata says. `file` names the XML for messages.
    `shared_vcpus` share their CPUs with others, however narrow their pins, and `loose_devices` may be on another node
    than the guest, both as its numaplan metadata says.
    """

    name: str
    file: str
    vcpus: int
    memory_kib: int
    uuid: str | None = None
    vcpu_line: int = 0
    vcpu_cpuset: CpuSet | None = None
    auto_placement: bool = False
    topology: GuestTopology | None = None
    cells: tuple[GuestCell, ...] = ()
    vcpu_pins: tuple[VcpuPin, ...] = ()
    emulator_pin: EmulatorPin | None = None
    iothreads: int = 0
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

    @property
    def pci_addresses(self) -> tuple[PciAddress, ...]:
        """Every PCI function handed to it, interfaces first, in the order of the XML."""
        interfaces = (interface.pci for interface in self.interfaces if interface.pci is not None)
        return (*interfaces, *(hostdev.pci for hostdev in self.hostdevs))
