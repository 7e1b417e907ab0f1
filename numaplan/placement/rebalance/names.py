"""Which of equal cores is which: guests that move keep the CPUs that they can keep, and get in nobody's way."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.placement.facts import HostFacts
from numaplan.placement.rebalance.standing import Standing

Core = tuple[CpuId, ...]
Thread = tuple[str, VcpuId]


def rename_cores(
    facts: HostFacts, placements: Sequence[Placement], *, movers: Collection[Standing], unmoved: Collection[str]
) -> tuple[Placement, ...]:
    """The placements with equal cores exchanged; guests in `unmoved` keep theirs.

    Cores are equal that are on one node and under one cache, and all of which may go to the guests of the plan. So the
    outcome is as good as before, whichever of them stands for which.
    """
    kept = CpuSet(cpu for placement in placements if placement.vm in unmoved for cpu in _named(placement))
    groups: dict[tuple[NodeId, int | None], list[Core]] = defaultdict(list)
    for core in facts.snapshot.cores:
        places = {(facts.node_of.get(cpu), facts.llc_of.get(cpu)) for cpu in core.cpus}
        node, llc = min(places, key=str)
        if len(places) == 1 and node is not None and core.cpus <= facts.free - kept and len(core.cpus) == facts.threads:
            groups[node, llc].append(tuple(core.cpus))
    now: dict[CpuId, set[str]] = defaultdict(set)
    for each in movers:
        for cpu in each.held:
            now[cpu].add(each.guest.name)
    before = {(each.guest.name, vcpu): cpu for each in movers for vcpu, cpu in _pins(each)}
    after = {
        cpus.lowest: (placement.vm, vcpu)
        for placement in placements
        for cell in placement.cells
        for vcpu, cpus in cell.vcpus
        if len(cpus) == 1
    }
    renamed: dict[CpuId, CpuId] = {}
    for cores in groups.values():
        renamed |= _matched(cores, before, after, now)
    return tuple(_renamed(placement, renamed) for placement in placements)


def _matched(
    cores: Sequence[Core], before: Mapping[Thread, CpuId], after: Mapping[CpuId, Thread], now: Mapping[CpuId, set[str]]
) -> dict[CpuId, CpuId]:
    """A new name for each CPU of equal cores: the best pairs of a core and its new name first, empty cores last."""
    ranked = sorted(
        (not any(cpu in after for cpu in old), -_worth(old, new, before, after, now), i != j, i, j)
        for i, old in enumerate(cores)
        for j, new in enumerate(cores)
    )
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for *_, i, j in ranked:
        if i not in chosen and j not in taken:
            chosen[i] = j
            taken.add(j)
    return {old: new for i, j in chosen.items() for old, new in zip(cores[i], cores[j], strict=True)}


def _worth(
    old: Core, new: Core, before: Mapping[Thread, CpuId], after: Mapping[CpuId, Thread], now: Mapping[CpuId, set[str]]
) -> int:
    """One for each vCPU that stays where it is, less three for each that comes to where another guest still is."""
    worth = 0
    for was, becomes in zip(old, new, strict=True):
        thread = after.get(was)
        if thread is not None:
            worth += (before.get(thread) == becomes) - 3 * bool(now.get(becomes, set()) - {thread[0]})
    return worth


def _pins(standing: Standing) -> list[tuple[VcpuId, CpuId]]:
    vcpus = [(vcpu, standing.guest.effective_vcpu_affinity(vcpu)) for cell in standing.cells for vcpu in cell.vcpus]
    return [(vcpu, cpus.lowest) for vcpu, cpus in vcpus if cpus is not None and len(cpus) == 1]


def _named(placement: Placement) -> list[CpuId]:
    """The CPUs that its threads have, where they do not float on several."""
    sets = [cpus for cell in placement.cells for _, cpus in cell.vcpus]
    sets += [placement.emulator, *(cpus for _, cpus in placement.iothreads)]
    return [cpu for cpus in sets for cpu in cpus]


def _renamed(placement: Placement, names: Mapping[CpuId, CpuId]) -> Placement:
    def of(cpus: CpuSet) -> CpuSet:
        return CpuSet(names.get(cpu, cpu) for cpu in cpus)

    cells = tuple(replace(cell, vcpus=tuple((vcpu, of(cpus)) for vcpu, cpus in cell.vcpus)) for cell in placement.cells)
    iothreads = tuple((iothread, of(cpus)) for iothread, cpus in placement.iothreads)
    return replace(placement, cells=cells, emulator=of(placement.emulator), iothreads=iothreads)
