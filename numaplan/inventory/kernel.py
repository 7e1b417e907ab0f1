"""How the kernel is set up: its command line, SMT, paging and merging of memory, and the parts of other readers."""

import re
from collections.abc import Sequence
from typing import Final

from numaplan.cpuset import EMPTY
from numaplan.inventory.attribute import parse_cpu_bits, parse_integer, read_attribute
from numaplan.inventory.cpus import CPU_ROOT, parse_switch
from numaplan.inventory.cpusets import read_cpusets
from numaplan.inventory.frequencies import read_frequencies
from numaplan.inventory.identity import parse_word
from numaplan.inventory.iommu_driver import read_iommu_driver, read_passthrough
from numaplan.inventory.listed import read_listed
from numaplan.inventory.parameters import (
    parse_page_size_kib,
    read_boot_cpus,
    read_isolcpus,
    read_parameters,
    values_of,
)
from numaplan.inventory.vulnerabilities import read_vulnerabilities
from numaplan.model.host import CpuStates
from numaplan.model.kernel import Kernel, Ksm, Parameter, Smt, TransparentHugepages
from numaplan.sources.tree import HostTree

_SMT: Final = f"{CPU_ROOT}/smt"
_THP: Final = "sys/kernel/mm/transparent_hugepage"
_KSM: Final = "sys/kernel/mm/ksm"
_MEMINFO: Final = "proc/meminfo"
_COMMAND_LINE: Final = "proc/cmdline"

_CPU_PARAMETERS: Final = ("isolcpus", "rcu_nocbs", "irqaffinity")
_SMT_WORDS: Final = frozenset({"on", "off", "forceoff", "notsupported", "notimplemented"})
_CHOICE = re.compile(r"[a-z_+]+|\[[a-z_+]+\]", re.ASCII)
_TOTAL = re.compile(r"^MemTotal:\s+[0-9]+ kB$", re.ASCII | re.MULTILINE)
_PAGE_SIZE = re.compile(r"^Hugepagesize:\s*(.*)$", re.ASCII | re.MULTILINE)
_PAGE_KIB = re.compile(r"([1-9][0-9]{0,9}) kB", re.ASCII)
_MOST_PAGES: Final = 10**15
# More bits than any kernel knows of, and fewer than a broken file is likely to have.
_HIGHEST_MODE: Final = 255


def read_kernel(tree: HostTree, *, cpus: CpuStates) -> Kernel:
    """Every setting that costs guests performance, or that placement must know of."""
    parameters = read_parameters(tree)
    last = _read_last_cpu(tree, cpus, parameters)
    driver = read_iommu_driver(tree, parameters)
    return Kernel(
        parameters=parameters,
        isolcpus=read_isolcpus(tree, parameters, last=last),
        rcu_nocbs=read_boot_cpus(tree, parameters, "rcu_nocbs", last=last) or EMPTY,
        irq_affinity=read_boot_cpus(tree, parameters, "irqaffinity", last=last),
        default_hugepage_kib=_read_default_page(tree, parameters),
        iommu=driver,
        iommu_passthrough=read_passthrough(tree, parameters, driver=driver),
        smt=_read_smt(tree),
        transparent_hugepages=_read_transparent_hugepages(tree),
        ksm=_read_ksm(tree),
        numa_balancing=read_listed(tree, "proc/sys/kernel", "numa_balancing", parse_mode),
        zone_reclaim_mode=read_listed(tree, "proc/sys/vm", "zone_reclaim_mode", parse_mode),
        overcommit_memory=read_listed(tree, "proc/sys/vm", "overcommit_memory", parse_mode),
        vulnerabilities=read_vulnerabilities(tree),
        cpusets=read_cpusets(tree),
        frequencies=read_frequencies(tree, cpus.online),
    )


def parse_smt_control(text: str) -> str:
    """Smt/control: a word, or the number of threads where a core can have some of them; raises ValueError.

    Documentation/ABI/testing/sysfs-devices-system-cpu.
    """
    word = parse_word(text)
    if word not in _SMT_WORDS:
        parse_integer(word, lowest=1, highest=_HIGHEST_MODE)
    return word


def parse_choice(text: str) -> str:
    """The word in brackets among all that there are ("always [madvise] never"); raises ValueError."""
    words = text.split()
    chosen = [word for word in words if word.startswith("[")]
    if len(chosen) != 1 or any(_CHOICE.fullmatch(word) is None for word in words):
        raise ValueError("no choice of words, one of them in brackets")
    return chosen[0][1:-1]


def parse_mode(text: str) -> int:
    """A small number, or a mask of few bits (Documentation/admin-guide/sysctl); raises ValueError."""
    return parse_integer(text, highest=_HIGHEST_MODE)


def parse_page_count(text: str) -> int:
    """A number of pages; raises ValueError."""
    return parse_integer(text, highest=_MOST_PAGES)


def parse_default_page_kib(text: str) -> int | None:
    """Hugepagesize of /proc/meminfo in KiB; None on a kernel without hugepages. Raises ValueError."""
    if _TOTAL.search(text) is None:
        raise ValueError("no MemTotal")
    match = _PAGE_SIZE.search(text)
    if match is None:
        return None
    size = _PAGE_KIB.fullmatch(match[1].strip())
    if size is None:
        raise ValueError("Hugepagesize is no number of kB")
    return int(size[1])


def _read_last_cpu(tree: HostTree, cpus: CpuStates, parameters: Sequence[Parameter]) -> int:
    """What "N" means on the command line, where that lists CPUs at all: the last one that is possible."""
    possible = 0
    if any(values_of(parameters, name) for name in _CPU_PARAMETERS):
        possible = read_attribute(tree, f"{CPU_ROOT}/possible", parse_cpu_bits, expected=True) or 0
    return max(possible.bit_length() - 1, max(cpus.present, default=0))


def _read_default_page(tree: HostTree, parameters: Sequence[Parameter]) -> int | None:
    """Where /proc/meminfo does not tell, what was asked for at boot."""
    size_kib = read_attribute(tree, _MEMINFO, parse_default_page_kib, expected=True)
    asked = values_of(parameters, "default_hugepagesz")
    if size_kib is not None or not asked:
        return size_kib
    try:
        return parse_page_size_kib(asked[-1])
    except ValueError as error:
        tree.note(_COMMAND_LINE, f"default_hugepagesz={asked[-1]}: {error}")
        return None


def _read_smt(tree: HostTree) -> Smt:
    """/sys/devices/system/cpu/smt (Documentation/ABI/testing/sysfs-devices-system-cpu): both files or none."""
    there = tree.exists(_SMT)
    return Smt(
        control=read_listed(tree, _SMT, "control", parse_smt_control, expected=there),
        active=read_listed(tree, _SMT, "active", parse_switch, expected=there),
    )


def _read_transparent_hugepages(tree: HostTree) -> TransparentHugepages:
    """/sys/kernel/mm/transparent_hugepage (Documentation/admin-guide/mm/transhuge.rst).

    Many captures hold the one file `enabled` alone.
    """
    others = frozenset(tree.names(_THP)) - {"enabled"}
    return TransparentHugepages(
        enabled=read_listed(tree, _THP, "enabled", parse_choice, expected=tree.exists(_THP)),
        defrag=read_listed(tree, _THP, "defrag", parse_choice, expected=bool(others)),
    )


def _read_ksm(tree: HostTree) -> Ksm:
    """/sys/kernel/mm/ksm (Documentation/admin-guide/mm/ksm.rst); a kernel without NUMA cannot merge across nodes."""
    there = tree.exists(_KSM)
    return Ksm(
        run=read_listed(tree, _KSM, "run", parse_mode, expected=there),
        merge_across_nodes=read_listed(tree, _KSM, "merge_across_nodes", parse_switch),
        pages_sharing=read_listed(tree, _KSM, "pages_sharing", parse_page_count, expected=there),
    )
