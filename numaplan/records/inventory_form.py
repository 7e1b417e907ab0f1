"""The inventory document (schema ``numaplan/inventory/1``) as it is read: what it must hold and what it may."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.model.host import Source
from numaplan.records.document import Form
from numaplan.records.fields import LIST_LIMIT, Address, CpuList, CpuNumber, Id, NumberKey, Size, SlitEntry, Text
from numaplan.records.guest_form import GuestForm

INVENTORY_SCHEMA: Literal["numaplan/inventory/1"] = "numaplan/inventory/1"


class VirtualizationForm(Form):
    """``host.virtualization``."""

    kvm: bool | None = None
    iommu: bool | None = None


class HostForm(Form):
    """``host``. Without a `source` it is a capture: a document is no running machine."""

    hostname: Text | None = None
    kernel: Text | None = None
    architecture: Text | None = None
    source: Annotated[Source, Field(strict=False)] = Source.CAPTURE
    cpu_model: Text | None = None
    virtualization: VirtualizationForm | None = None


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


class CpusForm(Form):
    """``cpus``. Without `present` the online and offline ones are all there are."""

    online: CpuList
    present: CpuList | None = None
    offline: CpuList | None = None
    isolated: CpuList | None = None
    nohz_full: CpuList | None = None


class SriovForm(Form):
    """``pci[].sriov``."""

    total: Id
    configured: Id
    vfs: list[Address] = Field(default_factory=list)


class PciForm(Form):
    """An entry of ``pci``."""

    address: Address
    vendor: Text
    device: Text
    pci_class: Annotated[Text, Field(alias="class")]
    numa_node: Id | None = None
    driver: Text | None = None
    iommu_group: Id | None = None
    netdevs: list[Text] = Field(default_factory=list)
    sriov: SriovForm | None = None
    physfn: Address | None = None


class IommuGroupForm(Form):
    """An entry of ``iommu_groups``."""

    id: Id
    devices: list[Address] = Field(default_factory=list)


class LinkForm(Form):
    """An entry of ``links``."""

    name: Text
    kind: Text | None = None
    pci: Address | None = None
    speed_mbps: Id | None = None
    master: Text | None = None
    lowers: list[Text] = Field(default_factory=list)
    addresses: bool | None = None


class GapForm(Form):
    """An entry of ``gaps``."""

    what: Text
    why: Text


class InventoryForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/inventory/1"], Field(alias="schema")]
    host: HostForm
    packages: Annotated[list[PackageForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    numa_nodes: Annotated[list[NodeForm], Field(max_length=LIST_LIMIT)]
    llcs: Annotated[list[LlcForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    cores: Annotated[list[CoreForm], Field(max_length=LIST_LIMIT)]
    cpus: CpusForm
    pci: Annotated[list[PciForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    iommu_groups: Annotated[list[IommuGroupForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    links: Annotated[list[LinkForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    guests: Annotated[list[GuestForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    gaps: Annotated[list[GapForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
