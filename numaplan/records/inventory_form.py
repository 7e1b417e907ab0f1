"""The inventory document (schema ``numaplan/inventory/1``) as it is read: what it must hold and what it may."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.records.devices_form import IommuGroupForm, LinkForm, PciForm
from numaplan.records.document import Form
from numaplan.records.fields import LIST_LIMIT, Text
from numaplan.records.guest_form import GuestForm
from numaplan.records.host_form import CoreForm, CpusForm, HostForm, LlcForm, NodeForm, PackageForm
from numaplan.records.kernel_form import IrqForm, KernelForm
from numaplan.records.switch_form import SwitchForm


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
    kernel: KernelForm | None = None
    irqs: Annotated[list[IrqForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
    openvswitch: SwitchForm | None = None
    gaps: Annotated[list[GapForm], Field(max_length=LIST_LIMIT)] = Field(default_factory=list)
