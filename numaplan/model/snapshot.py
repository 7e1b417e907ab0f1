"""A host at one moment: everything that the core decides on."""

from dataclasses import dataclass
from typing import Final

from numaplan.model.devices import IommuGroup, Link, PciDevice
from numaplan.model.guest import Guest
from numaplan.model.host import Core, CpuStates, HostIdentity, LlcDomain, NumaNode, Package
from numaplan.model.kernel import UNKNOWN_KERNEL, Irq, Kernel
from numaplan.model.switch import OpenVswitch

# What gaps in libvirt's word on its guests name, a file's place in others.
LIBVIRT: Final = "libvirt"


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Something that could not be read or made sense of: `what` names the file, `why` the reason."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Lists by id or address are in numeric order; `guests` in that of their names."""

    host: HostIdentity
    cpus: CpuStates
    packages: tuple[Package, ...]
    nodes: tuple[NumaNode, ...]
    llcs: tuple[LlcDomain, ...]
    cores: tuple[Core, ...]
    pci: tuple[PciDevice, ...] = ()
    iommu_groups: tuple[IommuGroup, ...] = ()
    links: tuple[Link, ...] = ()
    guests: tuple[Guest, ...] = ()
    kernel: Kernel = UNKNOWN_KERNEL
    irqs: tuple[Irq, ...] = ()
    openvswitch: OpenVswitch | None = None
    gaps: tuple[Gap, ...] = ()
