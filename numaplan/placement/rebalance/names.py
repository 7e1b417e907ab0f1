"""Which of equal cores is which: guests that move keep the CPUs that they can keep, and get in nobody's way."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.guest import VcpuId
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.placement.facts import HostFacts
from numaplan.placement.rebalance.standing import Standing

# Whatever cores have of threads, one that stays counts for more than all that come to where another of the guest is.
_STAYS, _WAITS = 100, 300

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
        renamed |= matched(cores, before, after, now)
    return tuple(_renamed(placement, renamed) for placement in placements)


def matched(
    cores: Sequence[Core], before: Mapping[Thread, CpuId], after: Mapping[CpuId, Thread], now: Mapping[CpuId, set[str]]
) -> dict[CpuId, CpuId]:
    """A new name for each CPU of equal cores: the best pairs of a core and its new name first, empty cores last."""
    free = _Free(cores, now)

    def best(i: int) -> tuple[int, bool, int, int]:
        """The best new name that is left for a core: what it is worth, then its own, then the lowest."""
        threads = [after[cpu] for cpu in cores[i] if cpu in after]
        names = {i, *free.of(before[thread] for thread in threads if thread in before)}
        names |= free.lowest({name for name, _ in threads})
        left = (j for j in names if j not in free.taken)
        return min((-worth(cores[i], cores[j], before, after, now), i != j, i, j) for j in left)

    chosen: dict[int, int] = {}
    queue = [best(i) for i, core in enumerate(cores) if any(cpu in after for cpu in core)]
    heapify(queue)
    while queue:
        *_, i, j = heappop(queue)
        if j in free.taken:
            heappush(queue, best(i))
        else:
            chosen[i] = j
            free.taken.add(j)
    empty = [i for i in range(len(cores)) if i not in chosen]
    chosen |= {i: i for i in empty if i not in free.taken}
    taken = {*free.taken, *chosen.values()}
    chosen |= zip((i for i in empty if i in free.taken), (j for j in range(len(cores)) if j not in taken), strict=True)
    return {old: new for i, j in chosen.items() for old, new in zip(cores[i], cores[j], strict=True)}


class _Free:
    """Names of cores that are left, found by who is on them; all alike but for their numbers are looked at as one."""

    def __init__(self, cores: Sequence[Core], now: Mapping[CpuId, set[str]]) -> None:
        self.taken: set[int] = set()
        self._number = {cpu: j for j, core in enumerate(cores) for cpu in core}
        holders = [tuple(frozenset(now.get(cpu, ())) for cpu in core) for core in cores]
        self._by_threads: dict[tuple[bool, ...], deque[int]] = defaultdict(deque)
        alike: dict[tuple[frozenset[str], ...], deque[int]] = defaultdict(deque)
        for j, names in enumerate(holders):
            self._by_threads[tuple(map(bool, names))].append(j)
            alike[names].append(j)
        self._by_guest: dict[str, list[deque[int]]] = defaultdict(list)
        for names, numbers in alike.items():
            for guest in sorted({guest for held in names if len(held) == 1 for guest in held}):
                self._by_guest[guest].append(numbers)

    def of(self, cpus: Iterable[CpuId]) -> set[int]:
        """The cores of some CPUs, those that are among these."""
        return {self._number[cpu] for cpu in cpus if cpu in self._number}

    def lowest(self, guests: Collection[str]) -> set[int]:
        """The lowest that is left of each kind that can differ for these guests."""
        groups = [*self._by_threads.values(), *(group for guest in guests for group in self._by_guest.get(guest, ()))]
        for group in groups:
            while group and group[0] in self.taken:
                group.popleft()
        return {group[0] for group in groups if group}


def worth(
    old: Core, new: Core, before: Mapping[Thread, CpuId], after: Mapping[CpuId, Thread], now: Mapping[CpuId, set[str]]
) -> int:
    """What each vCPU gains that stays where it is, or comes to where another of its guest is, and so in nobody's way;
    less what each loses that comes to where another guest still is.
    """
    gain = 0
    for was, becomes in zip(old, new, strict=True):
        thread = after.get(was)
        if thread is not None:
            there = now.get(becomes, set())
            gain += _STAYS * (before.get(thread) == becomes) + (there == {thread[0]})
            gain -= _WAITS * bool(there - {thread[0]})
    return gain


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
