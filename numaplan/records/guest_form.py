"""A guest in the inventory document. A ``line`` is where the part stands in the guest's domain XML, 0: not known."""

from typing import Annotated

from pydantic import Field

from numaplan.records.document import Form
from numaplan.records.fields import Address, Count, CpuList, Id, Size, Text


class TopologyForm(Form):
    """``<cpu><topology>``."""

    sockets: Annotated[Count, Field(ge=1)]
    dies: Annotated[Count, Field(ge=1)] = 1
    cores: Annotated[Count, Field(ge=1)]
    threads: Annotated[Count, Field(ge=1)]


class GuestCellForm(Form):
    """A guest NUMA node."""

    id: Id
    vcpus: list[Count]
    memory_kib: Size
    line: Id = 0


class VcpuPinForm(Form):
    """``<vcpupin>``."""

    vcpu: Count
    cpus: CpuList
    line: Id = 0


class EmulatorPinForm(Form):
    """``<emulatorpin>``."""

    cpus: CpuList
    line: Id = 0


class IothreadPinForm(Form):
    """``<iothreadpin>``."""

    iothread: Count
    cpus: CpuList
    line: Id = 0


class MemoryBindingForm(Form):
    """``<numatune><memory>``, and with a `cell` ``<memnode>``; `nodes` null: automatic placement."""

    cell: Id | None = None
    mode: Text
    nodes: list[Id] | None = None
    line: Id = 0


class HugepageForm(Form):
    """``<memoryBacking><hugepages><page>``; null means the default size, and every cell."""

    size_kib: Size | None = None
    cells: list[Id] | None = None
    line: Id = 0


class GuestInterfaceForm(Form):
    """``<interface>``."""

    type: Text
    mac: Text | None = None
    alias: Text | None = None
    source: Text | None = None
    pci: Address | None = None
    vlan: Id | None = None
    line: Id = 0


class HostdevForm(Form):
    """``<hostdev>``."""

    pci: Address
    alias: Text | None = None
    line: Id = 0


class GuestForm(Form):
    """An entry of ``guests``."""

    name: Text
    uuid: Text | None = None
    file: Text | None = None
    running: bool | None = None
    vcpus: Count
    vcpu_cpuset: CpuList | None = None
    vcpu_line: Id = 0
    auto_placement: bool = False
    memory_kib: Size
    topology: TopologyForm | None = None
    cells: list[GuestCellForm] = Field(default_factory=list)
    vcpu_pins: list[VcpuPinForm] = Field(default_factory=list)
    emulator_pin: EmulatorPinForm | None = None
    iothreads: Count = 0
    iothread_pins: list[IothreadPinForm] = Field(default_factory=list)
    memory: MemoryBindingForm | None = None
    memnodes: list[MemoryBindingForm] = Field(default_factory=list)
    hugepages: list[HugepageForm] = Field(default_factory=list)
    interfaces: list[GuestInterfaceForm] = Field(default_factory=list)
    hostdevs: list[HostdevForm] = Field(default_factory=list)
    thread_policy: Text | None = None
    shared_vcpus: list[Count] = Field(default_factory=list)
    loose_devices: list[Address] = Field(default_factory=list)
