"""Hands out CPUs core by core: whole cores first, then parts of cores, then single threads, siblings together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from numaplan.cpuset import CpuId, CpuSet
from numaplan.placement.facts import HostFacts
from numaplan.placement.formulation import Formulation, Region
from numaplan.placement.problem import Option


def name_cpus(
    f: Formulation, solution: Sequence[int], *, chosen: Mapping[int, Option]
) -> dict[int, list[tuple[CpuSet, ...]]]:
    """For each unit and cell, the CPUs of its cell set, one to a thread: vCPUs, then emulator, then iothreads."""
    given: dict[tuple[int, int], list[CpuId]] = defaultdict(list)
    kept = CpuSet(cpu for option in chosen.values() for cpu in _kept_from_others(f, option))
    for region in f.regions():
        _hand_out(f, solution, region, kept=kept, given=given)
    named: dict[int, list[tuple[CpuSet, ...]]] = {}
    for u, option in chosen.items():
        cells = range(len(option.nodes))
        sets = _kept_sets(option) or [_in_order(f.problem.facts, given[u, k]) for k in cells]
        named[u] = [tuple(CpuSet([cpu]) for cpu in cpus) for cpus in sets]
    return named


def _kept_sets(option: Option) -> list[list[CpuId]]:
    """The cell sets of a guest that is kept, in the order that name_cpus promises."""
    if option.keep is None:
        return []
    return [list(cpus) for cpus in option.keep.cell_sets]


def _kept_from_others(f: Formulation, option: Option) -> list[CpuId]:
    """The CPUs that a kept guest holds, and the siblings that it keeps idle."""
    if option.keep is None:
        return []
    idle = [cpu for core in option.keep.cores if core.alone for cpu in f.problem.core_kinds[core.kind].cores[0]]
    return [cpu for cpus in option.keep.cell_sets for cpu in cpus] + idle


def _in_order(facts: HostFacts, cpus: list[CpuId]) -> list[CpuId]:
    """Siblings next to each other, cores of which the most is held first: so vCPUs get whole cores before others do."""
    together = Counter(facts.core_of[cpu] for cpu in cpus)
    return sorted(cpus, key=lambda cpu: (-together[facts.core_of[cpu]], facts.core_of[cpu], cpu))


def _hand_out(
    f: Formulation,
    solution: Sequence[int],
    region: Region,
    *,
    kept: CpuSet,
    given: dict[tuple[int, int], list[CpuId]],
) -> None:
    """Adds to `given` what every cell takes in one region."""
    isolated: list[CpuSet] = []
    whole: list[CpuSet] = []
    opened: list[list[CpuId]] = []
    slots: dict[int, list[list[CpuId]]] = defaultdict(list)
    for i, kind in enumerate(f.problem.core_kinds):
        if f.region(kind) != region:
            continue
        use = f.kind_use[i]
        cores = list(kind.cores)
        whole += [cores.pop(0) for _ in range(use.whole.value(solution))]
        for pattern, cores_of_it in use.patterns:
            for _ in range(cores_of_it.value(solution)):
                threads = list(cores.pop(0) - kept)
                opened.append(threads)
                for size in pattern:
                    slots[size].append(threads)
        isolated += [cores.pop(0) for _ in range(use.isolated.value(solution))]
    singles: list[tuple[int, int, int]] = []
    for (u, k, where, take), amount in f.takes.items():
        count = amount.value(solution)
        if where != region or not count:
            continue
        if take == "isolated":
            given[u, k] += [isolated.pop(0).lowest for _ in range(count)]
        elif take == "whole":
            given[u, k] += [cpu for _ in range(count) for cpu in whole.pop(0)]
        elif take == "part":
            threads = slots[f.units[u].guests.cells[k].part].pop(0)
            given[u, k] += [threads.pop(0) for _ in range(f.units[u].guests.cells[k].part)]
        else:
            singles.append((count, u, k))
    for count, u, k in sorted(singles, key=lambda item: (-item[0], item[1], item[2])):
        given[u, k] += _take_threads(opened, count)


def _take_threads(opened: list[list[CpuId]], count: int) -> list[CpuId]:
    """`count` threads: as many whole remainders of cores as fit, the largest first, then out of the smallest left."""
    taken: list[CpuId] = []
    while len(taken) < count:
        missing = count - len(taken)
        left = [threads for threads in opened if threads]
        fitting = [threads for threads in left if len(threads) <= missing]
        source = max(fitting, key=len) if fitting else min(left, key=len)
        taken += [source.pop(0) for _ in range(min(missing, len(source)))]
    return taken
