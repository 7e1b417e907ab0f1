"""The kernel's settings and interrupts as the inventory document has them, and the nouns that they make."""

from pydantic import Field

from numaplan.cpuset import EMPTY
from numaplan.model.host import NodeId
from numaplan.model.kernel import (
    Cpuset,
    FrequencyPolicy,
    Irq,
    Isolcpus,
    Kernel,
    Ksm,
    Parameter,
    Smt,
    TransparentHugepages,
    Vulnerability,
)
from numaplan.records.document import Form
from numaplan.records.fields import Address, CpuList, Id, Size, Text


class ParameterForm(Form):
    """An entry of ``kernel.parameters``."""

    name: Text
    value: Text | None = None


class IsolcpusForm(Form):
    """``kernel.isolcpus``."""

    flags: list[Text] = Field(default_factory=list)
    cpus: CpuList


class SmtForm(Form):
    """``kernel.smt``."""

    control: Text | None = None
    active: bool | None = None


class TransparentHugepagesForm(Form):
    """``kernel.transparent_hugepages``."""

    enabled: Text | None = None
    defrag: Text | None = None


class KsmForm(Form):
    """``kernel.ksm``."""

    run: Id | None = None
    merge_across_nodes: bool | None = None
    pages_sharing: Size | None = None


class VulnerabilityForm(Form):
    """An entry of ``kernel.vulnerabilities``."""

    name: Text
    status: Text
    smt_vulnerable: bool = False


class CpusetForm(Form):
    """An entry of ``kernel.cpusets``; null: the group has what its parent has."""

    path: Text
    cpus: CpuList | None = None
    nodes: list[Id] | None = None
    partition: Text | None = None


class FrequencyForm(Form):
    """An entry of ``kernel.frequencies``."""

    cpus: CpuList
    driver: Text | None = None
    governor: Text | None = None
    min_khz: Size | None = None
    max_khz: Size | None = None
    hardware_min_khz: Size | None = None
    hardware_max_khz: Size | None = None
    base_khz: Size | None = None
    energy_preference: Text | None = None


class KernelForm(Form):
    """``kernel``; a document of before it was filled has ``{}``."""

    parameters: list[ParameterForm] = Field(default_factory=list)
    isolcpus: IsolcpusForm | None = None
    rcu_nocbs: CpuList | None = None
    irq_affinity: CpuList | None = None
    default_hugepage_kib: Size | None = None
    iommu: Text | None = None
    iommu_passthrough: bool | None = None
    smt: SmtForm | None = None
    transparent_hugepages: TransparentHugepagesForm | None = None
    ksm: KsmForm | None = None
    numa_balancing: Id | None = None
    zone_reclaim_mode: Id | None = None
    overcommit_memory: Id | None = None
    vulnerabilities: list[VulnerabilityForm] = Field(default_factory=list)
    cpusets: list[CpusetForm] = Field(default_factory=list)
    frequencies: list[FrequencyForm] = Field(default_factory=list)


class IrqForm(Form):
    """An entry of ``irqs``."""

    number: Id
    affinity: CpuList | None = None
    effective: CpuList | None = None
    node: Id | None = None
    device: Address | None = None
    actions: list[Text] = Field(default_factory=list)


def to_kernel(form: KernelForm) -> Kernel:
    """The noun of ``kernel``."""
    smt = form.smt or SmtForm()
    pages = form.transparent_hugepages or TransparentHugepagesForm()
    ksm = form.ksm or KsmForm()
    return Kernel(
        parameters=tuple(Parameter(parameter.name, parameter.value) for parameter in form.parameters),
        isolcpus=None if form.isolcpus is None else Isolcpus(tuple(form.isolcpus.flags), form.isolcpus.cpus),
        rcu_nocbs=form.rcu_nocbs or EMPTY,
        irq_affinity=form.irq_affinity,
        default_hugepage_kib=form.default_hugepage_kib,
        iommu=form.iommu,
        iommu_passthrough=form.iommu_passthrough,
        smt=Smt(smt.control, smt.active),
        transparent_hugepages=TransparentHugepages(pages.enabled, pages.defrag),
        ksm=Ksm(ksm.run, ksm.merge_across_nodes, ksm.pages_sharing),
        numa_balancing=form.numa_balancing,
        zone_reclaim_mode=form.zone_reclaim_mode,
        overcommit_memory=form.overcommit_memory,
        vulnerabilities=tuple(
            Vulnerability(leak.name, leak.status, leak.smt_vulnerable) for leak in form.vulnerabilities
        ),
        cpusets=tuple(map(_to_cpuset, form.cpusets)),
        frequencies=tuple(map(_to_frequency, form.frequencies)),
    )


def to_irqs(forms: list[IrqForm]) -> tuple[Irq, ...]:
    """The nouns of ``irqs``, by number."""
    return tuple(sorted(map(_to_irq, forms), key=lambda irq: irq.number))


def _to_cpuset(form: CpusetForm) -> Cpuset:
    nodes = None if form.nodes is None else tuple(NodeId(node) for node in sorted(form.nodes))
    return Cpuset(form.path, form.cpus, nodes, form.partition)


def _to_frequency(form: FrequencyForm) -> FrequencyPolicy:
    return FrequencyPolicy(
        form.cpus,
        driver=form.driver,
        governor=form.governor,
        min_khz=form.min_khz,
        max_khz=form.max_khz,
        hardware_min_khz=form.hardware_min_khz,
        hardware_max_khz=form.hardware_max_khz,
        base_khz=form.base_khz,
        energy_preference=form.energy_preference,
    )


def _to_irq(form: IrqForm) -> Irq:
    return Irq(
        form.number,
        affinity=form.affinity,
        effective=form.effective,
        node=None if form.node is None else NodeId(form.node),
        device=form.device,
        actions=tuple(form.actions),
    )
