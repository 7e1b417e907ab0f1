"""The host itself in an inventory: who it is, which CPUs may run what, and how its kernel is set up."""

from collections import Counter
from typing import Final

from numaplan.model.kernel import UNKNOWN_KERNEL, Kernel, Parameter
from numaplan.model.snapshot import Snapshot
from numaplan.report.text import NONE, UNKNOWN, clean, count, facts, grid, known, wrap_list, yes
from numaplan.units import format_size

_HOST_WIDTH: Final = 72
_KSM: Final = {0: "off", 1: "on", 2: "off, all unmerged"}
# Documentation/admin-guide/sysctl/kernel.rst, "numa_balancing".
_BALANCING: Final = {0: "off", 1: "on", 2: "memory tiering", 3: "on, memory tiering"}


def host(snapshot: Snapshot) -> str:
    """Name, kernel, what costs performance, and the sets of CPUs."""
    who, cpus, kernel = snapshot.host, snapshot.cpus, snapshot.kernel
    lines = [
        f"host {known(who.hostname)} ({who.source.value}), Linux {known(who.kernel)}, {known(who.architecture)}",
        f"KVM {yes(who.kvm)}, IOMMU {_iommu(snapshot)}, CPU model {known(who.cpu_model)}",
    ]
    if kernel != UNKNOWN_KERNEL:
        lines.append(_settings(kernel))
    sets = {
        "online CPUs": cpus.online,
        "offline CPUs": cpus.offline,
        "isolated CPUs": cpus.isolated,
        "nohz_full CPUs": cpus.nohz_full,
        "rcu_nocbs CPUs": kernel.rcu_nocbs,
    }
    # What was asked for at boot is only worth a line where it is not what came of it.
    if kernel.isolcpus is not None and kernel.isolcpus.cpus != cpus.isolated:
        sets["isolcpus asks for"] = kernel.isolcpus.cpus
    if snapshot.openvswitch is not None:
        sets["PMD CPUs (OVS)"] = snapshot.openvswitch.polling_cpus
    rows = [
        [name, str(len(members)), wrap_list(str(members), _HOST_WIDTH)] for name, members in sets.items() if members
    ]
    return "\n".join([*lines, facts(rows, indent="")]).rstrip()


def _iommu(snapshot: Snapshot) -> str:
    kernel = snapshot.kernel
    said = [] if kernel.iommu is None else [clean(kernel.iommu)]
    said += ["passthrough"] if kernel.iommu_passthrough else []
    return f"{yes(snapshot.host.iommu)} ({', '.join(said)})" if said else yes(snapshot.host.iommu)


def _settings(kernel: Kernel) -> str:
    """What costs performance, on one line."""
    return ", ".join(
        [
            f"SMT {_smt(kernel)}",
            f"governor {_governor(kernel)}",
            f"THP {known(kernel.transparent_hugepages.enabled)}",
            f"KSM {_word(kernel.ksm.run, _KSM)}",
            f"NUMA balancing {_word(kernel.numa_balancing, _BALANCING)}",
        ]
    )


def _smt(kernel: Kernel) -> str:
    if kernel.smt.active is None:
        return known(kernel.smt.control)
    return "on" if kernel.smt.active else "off"


def _governor(kernel: Kernel) -> str:
    """One word, or how many CPUs have which."""
    amounts = Counter[str]()
    for policy in kernel.frequencies:
        amounts[known(policy.governor)] += len(policy.cpus)
    if len(amounts) > 1:
        return " and ".join(f"{name} ({count(amount, 'CPU')})" for name, amount in sorted(amounts.items()))
    return next(iter(amounts), UNKNOWN)


def _word(value: int | None, words: dict[int, str]) -> str:
    return UNKNOWN if value is None else words.get(value, str(value))


def kernel_settings(snapshot: Snapshot) -> str:
    """Every setting of the kernel, and its command line; nothing where the kernel said nothing."""
    kernel = snapshot.kernel
    who = snapshot.host
    said = {
        "nested KVM": None if who.nested is None else yes(who.nested),
        "CPU flags": " ".join(map(clean, who.cpu_flags)) or None,
        "SMT control": kernel.smt.control,
        "isolcpus flags": None if kernel.isolcpus is None else ",".join(kernel.isolcpus.flags),
        "irqaffinity": None if kernel.irq_affinity is None else str(kernel.irq_affinity) or NONE,
        "default huge page": None if kernel.default_hugepage_kib is None else format_size(kernel.default_hugepage_kib),
        "THP defrag": kernel.transparent_hugepages.defrag,
        "KSM merges across nodes": _optional(kernel.ksm.merge_across_nodes),
        "KSM pages sharing": _amount(kernel.ksm.pages_sharing),
        "zone_reclaim_mode": _amount(kernel.zone_reclaim_mode),
        "overcommit_memory": _amount(kernel.overcommit_memory),
        "IOMMU passthrough": _optional(kernel.iommu_passthrough),
    }
    rows = [[name, clean(value)] for name, value in said.items() if value is not None]
    if kernel.parameters:
        rows.append(["command line", " ".join(_parameter(parameter) for parameter in kernel.parameters)])
    return facts(rows, indent="")


def _optional(value: bool | None) -> str | None:  # noqa: FBT001  # the value to print, no option
    return None if value is None else yes(value)


def _amount(value: int | None) -> str | None:
    return None if value is None else str(value)


def _parameter(parameter: Parameter) -> str:
    name = clean(parameter.name)
    return name if parameter.value is None else f"{name}={clean(parameter.value)}"


def vulnerabilities(snapshot: Snapshot) -> str:
    """What the kernel says of its CPUs' flaws."""
    found = snapshot.kernel.vulnerabilities
    if not found:
        return ""
    rows = [[clean(flaw.name), "yes" if flaw.smt_vulnerable else NONE, clean(flaw.status)] for flaw in found]
    return grid(["vulnerability", "SMT leaks", "status"], rows)


def control_groups(snapshot: Snapshot) -> str:
    """Control groups that confine processes to CPUs and nodes; "parent": they have what their parent has."""
    if not snapshot.kernel.cpusets:
        return ""
    rows = [
        [
            clean(group.path),
            "parent" if group.cpus is None else wrap_list(str(group.cpus) or NONE, _HOST_WIDTH),
            "parent" if group.nodes is None else ",".join(map(str, group.nodes)) or NONE,
            NONE if group.partition is None else clean(group.partition),
        ]
        for group in snapshot.kernel.cpusets
    ]
    return grid(["cpuset", "CPUs", "nodes", "partition"], rows)
