"""How the kernel of a host is set up, as far as it costs performance: isolation, paging, clocks, interrupts."""

from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId


@dataclass(frozen=True, slots=True)
class Parameter:
    """A word of the kernel's command line; `value` None for a word without "="."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Isolcpus:
    """``isolcpus=`` as it was asked for at boot: flags ("domain" where none are given) and CPUs."""

    flags: tuple[str, ...]
    cpus: CpuSet


@dataclass(frozen=True, slots=True)
class Smt:
    """/sys/devices/system/cpu/smt: `control` is "on", "off", "forceoff", "notsupported" or "notimplemented"."""

    control: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class TransparentHugepages:
    """/sys/kernel/mm/transparent_hugepage: the chosen words, such as "madvise"."""

    enabled: str | None = None
    defrag: str | None = None


@dataclass(frozen=True, slots=True)
class Ksm:
    """/sys/kernel/mm/ksm. `run`: 0 stopped, 1 merging, 2 stopped and unmerged; `pages_sharing`: how many are saved."""

    run: int | None = None
    merge_across_nodes: bool | None = None
    pages_sharing: int | None = None


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """/sys/devices/system/cpu/vulnerabilities: the kernel's own sentence; `smt_vulnerable`: it says SMT is a leak."""

    name: str
    status: str
    smt_vulnerable: bool = False


@dataclass(frozen=True, slots=True)
class Cpuset:
    """A control group that confines processes to CPUs and nodes; `path` "/" is the root's.

    None where the group does not say: it has what its parent has.
    """

    path: str
    cpus: CpuSet | None = None
    nodes: tuple[NodeId, ...] | None = None
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class FrequencyPolicy:
    """CPUs that scale alike (/sys/devices/system/cpu/cpufreq, Documentation/admin-guide/pm/cpufreq.rst)."""

    cpus: CpuSet
    driver: str | None = None
    governor: str | None = None
    min_khz: int | None = None
    max_khz: int | None = None
    hardware_min_khz: int | None = None
    hardware_max_khz: int | None = None
    base_khz: int | None = None
    energy_preference: str | None = None


@dataclass(frozen=True, slots=True)
class Irq:
    """An interrupt (/proc/irq/N). `device` is the PCI function that raises it; `actions` what its handlers are called.

    `affinity` is where it may be served, `effective` where it is served now; `node` the one that its memory is near.
    """

    number: int
    affinity: CpuSet | None = None
    effective: CpuSet | None = None
    node: NodeId | None = None
    device: PciAddress | None = None
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """Settings of the running kernel; None, or empty, where the host does not say.

    `parameters` are all words of /proc/cmdline in their order. `rcu_nocbs` and `irq_affinity` are what the command line
    asks for. `iommu` is the driver that is at work: "intel", "amd", "arm-smmu-v3", "iommu" for another one.
    `iommu_passthrough`: the host's own devices are not translated. `zone_reclaim_mode` is a mask of bits.
    """

    parameters: tuple[Parameter, ...] = ()
    isolcpus: Isolcpus | None = None
    rcu_nocbs: CpuSet = EMPTY
    irq_affinity: CpuSet | None = None
    default_hugepage_kib: int | None = None
    iommu: str | None = None
    iommu_passthrough: bool | None = None
    smt: Smt = Smt()
    transparent_hugepages: TransparentHugepages = TransparentHugepages()
    ksm: Ksm = Ksm()
    numa_balancing: int | None = None
    zone_reclaim_mode: int | None = None
    overcommit_memory: int | None = None
    vulnerabilities: tuple[Vulnerability, ...] = ()
    cpusets: tuple[Cpuset, ...] = ()
    frequencies: tuple[FrequencyPolicy, ...] = ()

    def values(self, name: str) -> tuple[str | None, ...]:
        """Every value that the command line gives a parameter, in its order."""
        return tuple(parameter.value for parameter in self.parameters if parameter.name == name)


UNKNOWN_KERNEL: Final = Kernel()
