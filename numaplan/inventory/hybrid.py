"""Cores that are not alike: kinds on hybrid x86 CPUs, capacities on big.LITTLE and its kin."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.inventory.attribute import bits_of, parse_cpu_bits, parse_integer, read_attribute
from numaplan.inventory.cpus import CPU_ROOT
from numaplan.inventory.listed import read_listed
from numaplan.model.host import Core, CoreKind
from numaplan.sources.tree import HostTree

# The performance counters of each kind of core (arch/x86/events/intel/core.c) list the CPUs that have them.
_COUNTERS: Final[Mapping[str, CoreKind]] = {
    "sys/devices/cpu_core": CoreKind.PERFORMANCE,
    "sys/devices/cpu_atom": CoreKind.EFFICIENCY,
    "sys/devices/cpu_lowpower": CoreKind.LOW_POWER,
}
_CAPACITY: Final = "cpu_capacity"
# SCHED_CAPACITY_SCALE is 1024; the fastest core of a host has it.
_HIGHEST_CAPACITY: Final = 1024


def with_kinds(tree: HostTree, cores: Sequence[Core]) -> tuple[Core, ...]:
    """The cores with their kind (/sys/devices/cpu_core/cpus and its kin) and capacity (cpuN/cpu_capacity)."""
    kinds = _read_kinds(tree, cores)
    capacities = _read_capacities(tree, cores)
    return tuple(
        replace(core, kind=kind, capacity=capacity)
        for core, kind, capacity in zip(cores, kinds, capacities, strict=True)
    )


def parse_capacity(text: str) -> int:
    """What the scheduler thinks of a CPU, up to 1024; raises ValueError."""
    return parse_integer(text, lowest=1, highest=_HIGHEST_CAPACITY)


def _read_kinds(tree: HostTree, cores: Sequence[Core]) -> tuple[CoreKind | None, ...]:
    members = {
        kind: bits
        for folder, kind in _COUNTERS.items()
        if (bits := read_listed(tree, folder, "cpus", parse_cpu_bits, expected=tree.exists(folder))) is not None
    }
    if not members:
        return (None,) * len(cores)
    kinds: list[CoreKind | None] = []
    unclear = 0
    for core in cores:
        bits = bits_of(core.cpus)
        found = [kind for kind, cpus in members.items() if bits & cpus]
        sure = len(found) == 1 and not bits & ~members[found[0]]
        kinds.append(found[0] if sure else None)
        unclear |= 0 if sure else bits
    if unclear:
        which = format_id_list(i for i in range(unclear.bit_length()) if unclear >> i & 1)
        for folder in _COUNTERS:
            if tree.exists(folder):
                tree.note(f"{folder}/cpus", f"of CPUs {which} the kinds do not tell which one they are")
    return tuple(kinds)


def _read_capacities(tree: HostTree, cores: Sequence[Core]) -> tuple[int | None, ...]:
    """One file a core: its threads share what it can do. Where the first and the last core have none, none has."""
    folders = [f"{CPU_ROOT}/cpu{core.name}" for core in cores]
    if not any(_CAPACITY in tree.names(folder) for folder in {*folders[:1], *folders[-1:]}):
        return (None,) * len(cores)
    return tuple(read_attribute(tree, f"{folder}/{_CAPACITY}", parse_capacity, expected=True) for folder in folders)
