"""How CPUs scale their frequency (/sys/devices/system/cpu/cpufreq, Documentation/admin-guide/pm/cpufreq.rst)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from numaplan.cpuset import CPU_LIMIT, EMPTY, CpuSet, format_id_list
from numaplan.inventory.attribute import bits_of, cpus_of, ids_of, parse_integer
from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.listed import read_listed
from numaplan.model.kernel import FrequencyPolicy
from numaplan.sources.tree import HostTree

_ROOT: Final = f"{CPU_ROOT}/cpufreq"
_POLICY = re.compile(r"policy(0|[1-9][0-9]{0,4})", re.ASCII)
# CPUFREQ_NAME_LEN is 16; none of the names opens with a digit.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}", re.ASCII)
# A terahertz; what broken files say is far beyond.
_HIGHEST_KHZ: Final = 10**9
_HIGHEST_PREFERENCE: Final = 255


def read_frequencies(tree: HostTree, online: CpuSet) -> tuple[FrequencyPolicy, ...]:
    """Policies of the online CPUs, those that agree in everything joined to one, by their lowest CPU.

    A kernel has one driver for all policies, so it is read once. scaling_cur_freq and cpuinfo_cur_freq are not read:
    they disturb the CPU that they ask.
    """
    owned = _read_owners(tree, online)
    drivers = (read_listed(tree, folder, "scaling_driver", parse_name, expected=True) for folder, _ in owned)
    driver = next((name for name in drivers if name is not None), None)
    # What a driver adds to its policies, it adds to all of them.
    offered = frozenset(name for folder, _ in owned for name in tree.names(folder))
    joined: dict[FrequencyPolicy, int] = {}
    for folder, cpus in owned:
        policy = _read_policy(tree, folder, driver=driver, offered=offered)
        joined[policy] = joined.get(policy, 0) | cpus
    policies = [replace(policy, cpus=cpus_of(bits)) for policy, bits in joined.items()]
    return tuple(sorted(policies, key=lambda policy: policy.cpus.lowest))


def parse_cpu_words(text: str) -> int:
    """CPUs of affected_cpus or related_cpus, numbers between blanks, as bits; raises ValueError."""
    if not text:
        raise ValueError("empty file")
    bits = 0
    for word in text.split():
        bits |= 1 << parse_integer(word, highest=CPU_LIMIT - 1)
    return bits


def parse_khz(text: str) -> int:
    """A frequency in kHz; raises ValueError."""
    return parse_integer(text, highest=_HIGHEST_KHZ)


def parse_name(text: str) -> str:
    """The name of a driver, a governor or a preference; raises ValueError."""
    word = text.strip()
    if _NAME.fullmatch(word) is None:
        raise ValueError("no name")
    return word


def parse_preference(text: str) -> str:
    """A word such as "balance_performance", or the hardware's own number, 0 to 255; raises ValueError.

    Documentation/admin-guide/pm/intel_pstate.rst, "energy_performance_preference".
    """
    word = text.strip()
    return str(parse_integer(word, highest=_HIGHEST_PREFERENCE)) if word[:1].isdigit() else parse_name(word)


def _read_owners(tree: HostTree, online: CpuSet) -> Sequence[tuple[str, int]]:
    """Folders of policies, with the online CPUs of each.

    A policy whose CPUs are all offline answers EBUSY to everything (show() in drivers/cpufreq/cpufreq.c), and with SMT
    switched off half of them are such. So one that is named after an offline CPU is only read if an online CPU's
    cpuN/cpufreq leads there. Before Linux 4.3 that is the only way to any policy.
    """
    whole = left = bits_of(online)
    owned: list[tuple[str, int]] = []
    named = sorted(int(match[1]) for name in tree.names(_ROOT) if (match := _POLICY.fullmatch(name)))
    folders = {f"{_ROOT}/policy{cpu}": cpu for cpu in named if cpu < CPU_LIMIT and whole >> cpu & 1}
    for folder, cpu in folders.items():
        cpus = _read_members(tree, folder, cpu=cpu, whole=whole, left=left)
        owned += [(folder, cpus)] if cpus else []
        left &= ~cpus
    seen = {tree.resolve(folder) for folder in folders}
    for cpu in ids_of(left):
        found = tree.resolve(f"{CPU_ROOT}/cpu{cpu}/cpufreq") if left >> cpu & 1 else None
        if found is not None and found not in seen:
            seen.add(found)
            cpus = _read_members(tree, found, cpu=cpu, whole=whole, left=left)
            owned += [(found, cpus)] if cpus else []
            left &= ~cpus
    if owned and left:
        tree.note(_ROOT, f"CPUs {format_id_list(ids_of(left))} are in no policy")
    return owned


def _read_members(tree: HostTree, folder: str, *, cpu: int, whole: int, left: int) -> int:
    """CPUs of a policy that are `left`; `cpu` alone where no file tells."""
    if not tree.names(folder):
        return 0
    cpus = read_listed(tree, folder, "affected_cpus", parse_cpu_words, expected=True)
    if cpus is None:
        cpus = read_listed(tree, folder, "related_cpus", parse_cpu_words)
    if cpus is None:
        return left & 1 << cpu
    if not cpus >> cpu & 1:
        tree.note(f"{folder}/affected_cpus", f"does not name CPU {cpu}, which belongs to it")
    if twice := cpus & whole & ~left:
        tree.note(f"{folder}/affected_cpus", f"CPUs {format_id_list(ids_of(twice))} are in another policy too")
    return cpus & left


def _read_policy(tree: HostTree, folder: str, *, driver: str | None, offered: frozenset[str]) -> FrequencyPolicy:
    """The five that are always there are those of cpufreq_attrs[] in drivers/cpufreq/cpufreq.c."""
    base, preference = "base_frequency", "energy_performance_preference"

    def khz(name: str) -> int | None:
        return read_listed(tree, folder, name, parse_khz, expected=True)

    return FrequencyPolicy(
        cpus=EMPTY,
        driver=driver,
        governor=read_listed(tree, folder, "scaling_governor", parse_name, expected=True),
        min_khz=khz("scaling_min_freq"),
        max_khz=khz("scaling_max_freq"),
        hardware_min_khz=khz("cpuinfo_min_freq"),
        hardware_max_khz=khz("cpuinfo_max_freq"),
        base_khz=read_listed(tree, folder, base, parse_khz, expected=base in offered),
        energy_preference=read_listed(tree, folder, preference, parse_preference, expected=preference in offered),
    )
