"""The kernel's settings and interrupts to their part of the inventory document."""

from numaplan.model.kernel import Cpuset, FrequencyPolicy, Irq, Kernel
from numaplan.records.text import cpu_list, optional_address, optional_cpu_list, optional_list


def kernel_document(kernel: Kernel) -> dict[str, object]:
    """The settings of the running kernel, every field of the noun under its own name."""
    isolcpus = kernel.isolcpus
    return {
        "parameters": [{"name": parameter.name, "value": parameter.value} for parameter in kernel.parameters],
        "isolcpus": None if isolcpus is None else {"flags": list(isolcpus.flags), "cpus": cpu_list(isolcpus.cpus)},
        "rcu_nocbs": cpu_list(kernel.rcu_nocbs),
        "irq_affinity": optional_cpu_list(kernel.irq_affinity),
        "default_hugepage_kib": kernel.default_hugepage_kib,
        "iommu": kernel.iommu,
        "iommu_passthrough": kernel.iommu_passthrough,
        "smt": {"control": kernel.smt.control, "active": kernel.smt.active},
        "transparent_hugepages": {
            "enabled": kernel.transparent_hugepages.enabled,
            "defrag": kernel.transparent_hugepages.defrag,
        },
        "ksm": {
            "run": kernel.ksm.run,
            "merge_across_nodes": kernel.ksm.merge_across_nodes,
            "pages_sharing": kernel.ksm.pages_sharing,
        },
        "numa_balancing": kernel.numa_balancing,
        "zone_reclaim_mode": kernel.zone_reclaim_mode,
        "overcommit_memory": kernel.overcommit_memory,
        "vulnerabilities": [
            {"name": leak.name, "status": leak.status, "smt_vulnerable": leak.smt_vulnerable}
            for leak in kernel.vulnerabilities
        ],
        "cpusets": [_cpuset_document(cpuset) for cpuset in kernel.cpusets],
        "frequencies": [_frequency_document(policy) for policy in kernel.frequencies],
    }


def irq_document(irq: Irq) -> dict[str, object]:
    """An interrupt."""
    return {
        "number": irq.number,
        "affinity": optional_cpu_list(irq.affinity),
        "effective": optional_cpu_list(irq.effective),
        "node": irq.node,
        "device": optional_address(irq.device),
        "actions": list(irq.actions),
    }


def _cpuset_document(cpuset: Cpuset) -> dict[str, object]:
    return {
        "path": cpuset.path,
        "cpus": optional_cpu_list(cpuset.cpus),
        "nodes": optional_list(cpuset.nodes),
        "partition": cpuset.partition,
    }


def _frequency_document(policy: FrequencyPolicy) -> dict[str, object]:
    return {
        "cpus": cpu_list(policy.cpus),
        "driver": policy.driver,
        "governor": policy.governor,
        "min_khz": policy.min_khz,
        "max_khz": policy.max_khz,
        "hardware_min_khz": policy.hardware_min_khz,
        "hardware_max_khz": policy.hardware_max_khz,
        "base_khz": policy.base_khz,
        "energy_preference": policy.energy_preference,
    }
