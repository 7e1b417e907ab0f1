"""The best plan found by trying them all, on hosts small enough: what the search is compared with.

Nodes, memory and VFs of all guests come first, the cheapest first; for each of these every choice of concrete CPUs.
Left out is only what is surely no better: a plan with a core in the place of another that looks the same, and what
cannot beat the best even if all guests that are still to come cost nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest, IothreadId, VcpuId
from numaplan.model.plan import LEVELS, MAXIMIZED, Placement, Plan, Status
from numaplan.model.request import EmulatorPolicy, GuestRequest, IothreadPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.verification.cpus import pool_violations
from numaplan.placement.verification.devices import device_violations
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verification.grants import grants
from numaplan.placement.verification.groups import group_violations
from numaplan.placement.verification.memory import memory_violations
from numaplan.placement.verification.objective import cross_node_cost, free_counts, level_values, memory_or_vf_moved
from numaplan.placement.verify import placement_violations, verify
from tests.placement.bruteforce_options import (
    CpuOption,
    VfKind,
    cell_choices,
    cpu_options,
    device_choices,
    skeleton,
    vf_kinds,
    vf_wishes,
)

Values = tuple[int, ...]
Best = tuple[Values, tuple[Placement, ...]]
_SIGNS = tuple(-1 if name in MAXIMIZED else 1 for name in LEVELS)


def optimum(request: Request, snapshot: Snapshot) -> Best | None:
    """The values of the levels and a plan that has them; None where required guests cannot all be placed."""
    facts = Facts(request, snapshot)
    best: Best | None = None
    options: dict[object, list[CpuOption]] = {}
    for start in sorted(_coarse_plans(facts), key=lambda coarse: coarse.rank):
        if best is not None and start.rank > rank(best[0])[:2]:
            break
        best = _CpuSearch(facts, start, options, best).run()
    return best


def rank(values: Values) -> Values:
    """Less is better, level by level."""
    return tuple(sign * value for sign, value in zip(_SIGNS, values, strict=True))


def differences(request: Request, snapshot: Snapshot, plan: Plan) -> tuple[str, ...]:
    """What a plan that claims a proof gets wrong; () where trying everything comes to the same."""
    best = optimum(request, snapshot)
    if best is None:
        return () if plan.status is Status.INFEASIBLE else (f"is {plan.status}, but nothing is feasible",)
    values, placements = best
    if plan.status is not Status.OPTIMAL:
        return (f"is {plan.status}, but {dict(zip(LEVELS, values, strict=True))} can be had: {placements}",)
    found = [violation.sentence for violation in verify(request, snapshot, plan)]
    for level, value in zip(plan.levels, values, strict=True):
        if level.value != value:
            found.append(f"level {level.name} is {level.value}, but {value} can be had: {placements}")
            break
    return tuple(found)


@dataclass(frozen=True)
class _Coarse:
    """Guests on nodes, with memory, VFs and devices, as yet without CPUs; `rank` is that of priority and cost."""

    rank: Values = (0, 0)
    placements: tuple[Placement, ...] = ()
    used: frozenset[PciAddress] = frozenset()
    unmoved: frozenset[str] = frozenset()

    @property
    def for_cpus(self) -> object:
        """All of it that the choice of CPUs, and what depends on it, can see."""
        where = tuple(
            (placement.vm, tuple(cell.numa_node for cell in placement.cells)) for placement in self.placements
        )
        memory = frozenset(cell.memory_node for placement in self.placements for cell in placement.cells)
        return where, memory, self.unmoved


def _coarse_plans(facts: Facts) -> list[_Coarse]:
    """Every way to give all guests nodes, memory, VFs and devices; of those that look alike to CPUs the cheapest."""
    kinds = vf_kinds(facts)
    plans = [_Coarse()]
    for guest in facts.request.guests:
        alone = [way for way in _ways(facts, guest, kinds) if _fits(facts, way, kinds, _Coarse(), guest) is not None]
        found: dict[object, _Coarse] = {}
        for plan in plans:
            grown = [_fits(facts, way, kinds, plan, guest) for way in alone]
            for more in (*grown, *([] if guest.required else [plan])):
                if more is not None:
                    key = (more.for_cpus, _consumption(facts, more))
                    found[key] = min(found.get(key, more), more, key=lambda coarse: coarse.rank)
        plans = list(found.values())
    last: dict[object, _Coarse] = {}
    for plan in plans:
        last[plan.for_cpus] = min(last.get(plan.for_cpus, plan), plan, key=lambda coarse: coarse.rank)
    return list(last.values())


_Way = tuple[Placement, tuple[tuple[VfKind, ...], ...]]


def _ways(facts: Facts, guest: GuestRequest, kinds: dict[VfKind, tuple[PciAddress, ...]]) -> Iterator[_Way]:
    """Every combination for one guest, with its VFs by kind; cells that can never be are left out at once."""
    no_vfs = [() for _ in guest.interfaces]
    for cells in cell_choices(facts, guest):
        bare = skeleton(guest, cells, no_vfs, ())
        if any(memory_violations(facts, [bare])) or any(pool_violations(facts, [bare])):
            continue
        for wish in vf_wishes(facts, guest, kinds):
            for devices in device_choices(facts, guest):
                yield skeleton(guest, cells, no_vfs, devices), wish


def _fits(
    facts: Facts, way: _Way, kinds: dict[VfKind, tuple[PciAddress, ...]], plan: _Coarse, guest: GuestRequest
) -> _Coarse | None:
    """The plan with this guest added, on the first free VFs of each kind; None where that breaks something."""
    base, wish = way
    used = set(plan.used)
    vfs: list[tuple[PciAddress, ...]] = []
    for interface_kinds in wish:
        mine: list[PciAddress] = []
        for kind in interface_kinds:
            vf = next((vf for vf in kinds[kind] if vf not in used), None)
            if vf is None:
                return None
            used.add(vf)
            mine.append(vf)
        vfs.append(tuple(mine))
    addresses = {device.address for device in base.devices}
    if addresses & used or len(addresses) < len(base.devices):
        return None
    placement = skeleton(guest, base.cells, vfs, base.devices)
    placements = (*plan.placements, placement)
    if (
        any(memory_violations(facts, placements))
        or any(device_violations(facts, placements))
        or any(group_violations(facts, placements))
        or any(pool_violations(facts, placements))
    ):
        return None
    priority, cost = plan.rank
    existing = facts.existing(guest.name)
    stays = existing is not None and not memory_or_vf_moved(facts, existing, placement)
    return _Coarse(
        (priority - guest.priority, cost + cross_node_cost(facts, guest, placement)),
        placements,
        frozenset(used | addresses),
        plan.unmoved | {guest.name} if stays else plan.unmoved,
    )


def _consumption(facts: Facts, plan: _Coarse) -> object:
    """What is left of memory, VFs, devices and links for the guests still to come."""
    taken: Counter[object] = Counter()
    for placement in plan.placements:
        guest = facts.asked(placement.vm)
        mbps = {} if guest is None else {interface.name: interface.mbps for interface in guest.interfaces}
        for cell in placement.cells:
            taken[cell.memory_node, cell.page_size_kib] += cell.memory_kib
        for interface in placement.interfaces:
            for vf in interface.vfs:
                pf = facts.pci.pf(vf)
                taken[None if pf is None else pf.address] += mbps[interface.name]
    return plan.used, frozenset(taken.items())


def _named_cpus(guest: Guest | None) -> CpuSet:
    """Every CPU that one of its threads is confined to."""
    if guest is None:
        return EMPTY
    pins = [guest.effective_vcpu_affinity(VcpuId(vcpu)) for vcpu in range(guest.vcpus)]
    pins += [guest.effective_iothread_affinity(iothread) for iothread in guest.iothread_ids]
    pins.append(guest.effective_emulator_affinity())
    return CpuSet(cpu for cpus in pins if cpus is not None for cpu in cpus)


class _CpuSearch:
    """Every choice of CPUs for one coarse plan."""

    def __init__(self, facts: Facts, start: _Coarse, options: dict[object, list[CpuOption]], best: Best | None) -> None:
        self.facts = facts
        self.start = start
        self.best = best
        self.guests = [guest for placement in start.placements if (guest := facts.asked(placement.vm)) is not None]
        self.options = [
            self._options(guest, base, options) for guest, base in zip(self.guests, start.placements, strict=True)
        ]
        self.least_spans = [min((option.spans for option in some), default=0) for some in self.options]
        self.memory = frozenset(cell.memory_node for placement in start.placements for cell in placement.cells)
        there = [guest.name for guest in facts.request.guests if facts.existing(guest.name) is not None]
        self.least_moves = len(there) - len(start.unmoved)
        self.seen: set[object] = set()
        self.owned = CpuSet(cpu for name in there for cpu in _named_cpus(facts.existing(name)))
        self.looks = [(core, self._look(core)) for core in facts.cores]

    def run(self) -> Best | None:
        """The better of the best so far and the best here."""
        self._place(())
        return self.best

    def _options(self, guest: GuestRequest, base: Placement, known: dict[object, list[CpuOption]]) -> list[CpuOption]:
        key = (guest.name, tuple(cell.numa_node for cell in base.cells))
        if key not in known:
            known[key] = cpu_options(self.facts, guest, base)
        return known[key]

    def _place(self, chosen: tuple[CpuOption, ...]) -> None:
        if len(chosen) == len(self.guests):
            self._judge(chosen)
            return
        held = CpuSet(cpu for option in chosen for cpu in option.cpus)
        idle = CpuSet(cpu for option in chosen for cpu in option.alone)
        for option in self.options[len(chosen)]:
            if not option.cpus.isdisjoint(held | idle) or not option.alone.isdisjoint(held):
                continue
            more = (*chosen, option)
            if not self._can_win(more, held | option.cpus):
                continue
            key = self._signature(more)
            if key not in self.seen:
                self.seen.add(key)
                self._place(more)

    def _can_win(self, chosen: tuple[CpuOption, ...], held: CpuSet) -> bool:
        """Whether the rest for nothing would beat the best: more guests never free a CPU, nor undo a cost."""
        if self.best is None:
            return True
        spans = sum(option.spans for option in chosen) + sum(self.least_spans[len(chosen) :])
        free = tuple(-count for count in free_counts(self.facts, held, self.memory))
        return (*self.start.rank, spans, *free, self.least_moves) < rank(self.best[0])

    def _judge(self, chosen: tuple[CpuOption, ...]) -> None:
        placements = self._whole(chosen)
        if any(placement_violations(self.facts, placements)):
            return
        values = level_values(self.facts, placements)
        if self.best is None or rank(values) < rank(self.best[0]):
            self.best = (values, placements)

    def _look(self, core: CpuSet) -> object:
        """Two cores that look the same can take each other's place; one that an XML names looks like no other."""
        if not core.isdisjoint(self.owned):
            return core.lowest
        states = sorted((cpu in self.facts.reserved, cpu in self.facts.shared, cpu in self.facts.taken) for cpu in core)
        nodes = [node.id for node in self.facts.snapshot.nodes if not node.cpus.isdisjoint(core)]
        llcs = [[index for index, llc in enumerate(self.facts.llcs) if cpu in llc] for cpu in core]
        return repr((states, nodes, llcs))

    def _signature(self, chosen: tuple[CpuOption, ...]) -> object:
        """What the guests have so far, but for the names of cores that look the same."""
        marks: dict[int, tuple[int, int]] = {}
        for place, option in enumerate(chosen):
            for grant in grants(self.guests[place], option.placement):
                marks[grant.cpu] = (place, grant.cell)
        cores = sorted(
            (str(look), sorted((marks.get(cpu, (-1, cpu if isinstance(look, int) else -1))) for cpu in core))
            for core, look in self.looks
        )
        return repr(cores), len(chosen), tuple(option.mirrors_xml for option in chosen)

    def _whole(self, chosen: tuple[CpuOption, ...]) -> tuple[Placement, ...]:
        """Placements with all that the coarse plan has, with CPUs, and with threads that share afloat."""
        held = self.facts.taken | CpuSet(cpu for option in chosen for cpu in option.cpus)
        return tuple(
            self._afloat(
                guest,
                replace(
                    base,
                    cells=tuple(
                        replace(cell, vcpus=with_cpus.vcpus)
                        for cell, with_cpus in zip(base.cells, option.placement.cells, strict=True)
                    ),
                    emulator=option.placement.emulator,
                    iothreads=option.placement.iothreads,
                ),
                held,
            )
            for guest, base, option in zip(self.guests, self.start.placements, chosen, strict=True)
        )

    def _afloat(self, guest: GuestRequest, placement: Placement, held: CpuSet) -> Placement:
        rung = self.facts.share_ladder(placement.nodes)
        free = self.facts.cpus(placement.nodes) - held
        existing = self.facts.existing(guest.name)

        def where(now: CpuSet | None) -> CpuSet:
            if rung is not None:
                return rung
            return now if now and now <= free else free

        emulator, iothreads = placement.emulator, placement.iothreads
        if guest.emulator is EmulatorPolicy.SHARE:
            emulator = where(existing.effective_emulator_affinity() if existing else None)
        if guest.iothread_policy is IothreadPolicy.SHARE:
            iothreads = tuple(
                (id_, where(existing.effective_iothread_affinity(id_) if existing else None))
                for id_ in map(IothreadId, range(1, guest.iothreads + 1))
            )
        return replace(placement, emulator=emulator, iothreads=iothreads)
