"""The placement model in which a guest that is there may also stay exactly where it is, and what moving it costs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.request import GuestRequest
from numaplan.placement.constraints import CONSTRAINTS, kept_cpus, memory_uses
from numaplan.placement.cpsat import ONE, ZERO, Linear, total
from numaplan.placement.device_constraints import uses_by_kind
from numaplan.placement.facts import Place
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.problem import Problem
from numaplan.placement.rebalance.spare import Spare
from numaplan.placement.rebalance.standing import Standing, floating_vcpus


@dataclass(frozen=True, slots=True)
class Mend:
    """What must not stay as it is: guests in `leave`, and of each of `pairs` one at least."""

    leave: frozenset[str] = frozenset()
    pairs: tuple[tuple[str, str], ...] = ()


class StayOrMove(Formulation):
    """The coarse model of `problem`, in which each guest of `standing` is placed anew or stays.

    Units of one guest that is there are the requests that would place it anew, one of them at most. What a guest could
    do without (`spares`, by unit) it has still, or gives to others. Those that are `fixed` stay.
    """

    def __init__(
        self,
        problem: Problem,
        standing: Sequence[Standing],
        spares: Mapping[int, Spare],
        fixed: Sequence[Standing],
        held_pools: CpuSet,
    ) -> None:
        super().__init__(problem, coarse_units(problem), fine=False)
        self.held_pools = held_pools
        self.fixed = tuple(fixed)
        self.standing = {each.guest.name: each for each in standing}
        self.variants: dict[str, list[int]] = {name: [] for name in self.standing}
        for u, unit in enumerate(self.units):
            if unit.guests.exists:
                self.variants.setdefault(unit.guest.name, []).append(u)
        self.stays = {name: self.model.boolean() for name in self.standing}
        for name, units in self.variants.items():
            self.model.equal(total(self.placed(u) for u in units) + self.stays.get(name, ZERO), 1)
        self.spares = spares
        # Who is not asked for either stays, or has its threads float as every guest of a plan: on the pool, if any is.
        pools = problem.facts.has_pools
        keeping = {u for u in spares if not (pools and self.units[u].guest.name in self.standing)}
        self.keeps_cpus = {u: self.model.boolean() for u, spare in spares.items() if spare.cpus and u in keeping}
        self.spare_devices = {name: spares[units[0]].devices for name, units in self.variants.items()}
        self.keeps_devices = {name: self.model.boolean() for name, spare in self.spare_devices.items() if spare}
        self.letting_go = [
            name
            for name in self.standing
            if any(spares[u].floating or self.threads_let_go(u) for u in self.variants[name])
        ]
        for u, keeps in self.keeps_cpus.items():
            self.model.at_most(keeps - total(count for option, count in self.options(u) if option.keep is not None), 0)
        holders = self.stayers()
        vcpus = {name: CpuSet(each.alone) for name, each in self.standing.items()}
        for u, keeps in self.keeps_cpus.items():
            for cpu in spares[u].cpus:
                holders[cpu].append(keeps)
            for other, cpus in vcpus.items():
                # Emulators can be on one CPU, but not where a vCPU is.
                if not cpus.isdisjoint(spares[u].cpus):
                    self.model.at_most(keeps + self.stays[other], 1)
        self.holds: Mapping[CpuId, Linear] = {cpu: self.any_of(parts) for cpu, parts in sorted(holders.items())}
        self._kept_by_kind = self._staying_cores()
        for constraint in CONSTRAINTS:
            if constraint.id not in _REPLACED:
                constraint.add(self)
        for cpu, guests in kept_cpus(self).items():
            self.model.at_most(guests + self.holds.get(cpu, ZERO), 1)
        _isolated_cores(self)
        _floating_threads(self)
        _shared_pool(self)
        _memory(self)
        _devices(self)
        _links(self)

    def kept(self, kind: int) -> list[tuple[Linear, int, bool]]:
        """Guests that stay hold CPUs as guests of the request do that are kept."""
        return [*super().kept(kind), *self._kept_by_kind.get(kind, ())]

    def with_all(self, name: str) -> GuestRequest:
        """The first way to ask for a guest that is there: with all that it has."""
        return self.units[self.variants[name][0]].guest

    def threads_let_go(self, u: int) -> int:
        """How many of emulator and iothreads have CPUs of their own, and float as unit `u` asks for them."""
        guest, now = self.units[u].guest, self.with_all(self.units[u].guest.name)
        return (guest.emulator is not now.emulator) + (guest.iothread_policy is not now.iothread_policy)

    def demand(self, mend: Mend) -> None:
        """Demands that what `mend` names does not stay."""
        for name in sorted(mend.leave):
            if name in self.stays:
                self.model.equal(self.stays[name])
        for one, other in mend.pairs:
            self.model.at_most(self.stays.get(one, ONE) + self.stays.get(other, ONE), 1)

    def stayers(self) -> dict[CpuId, list[Linear]]:
        """For each CPU who stays of those that hold it."""
        found: dict[CpuId, list[Linear]] = defaultdict(list)
        for name, each in self.standing.items():
            for cpu in each.held:
                found[cpu].append(self.stays[name])
        return found

    def kept_spares(self, solution: Sequence[int]) -> list[Spare]:
        """What guests keep that they could do without."""
        found = [
            Spare(self.spares[u].cpus, idle=self.spares[u].idle)
            for u, keeps in self.keeps_cpus.items()
            if keeps.value(solution)
        ]
        found += [
            Spare(devices=self.spare_devices[name])
            for name, keeps in self.keeps_devices.items()
            if keeps.value(solution)
        ]
        return found

    def _staying_cores(self) -> dict[int, list[tuple[Linear, int, bool]]]:
        """What guests that stay hold and keep idle; who is on a sibling of theirs already leaves it to nobody."""
        kind_of = {cpu: i for i, kind in enumerate(self.problem.core_kinds) for core in kind.cores for cpu in core}
        kept: dict[int, list[tuple[Linear, int, bool]]] = defaultdict(list)
        for cpu, held in self.holds.items():
            if cpu in kind_of:
                kept[kind_of[cpu]].append((held, 1, False))
        idlers: dict[CpuId, list[Linear]] = defaultdict(list)
        for name, each in self.standing.items():
            for cpu in each.idle:
                units = (u for u in self.variants[name] if u in self.keeps_cpus and cpu in self.spares[u].idle)
                idlers[cpu].append(self.stays[name] + total(self.keeps_cpus[u] for u in units))
        # Several can keep the same siblings idle: these are nobody's once.
        for cpu, parts in sorted(idlers.items()):
            if cpu in kind_of:
                kept[kind_of[cpu]].append((self.any_of(parts), 1, False))
        there = kept_cpus(self)
        for each in (*self.standing.values(), *self.fixed):
            stays = self.stays.get(each.guest.name, ONE)
            for cpu in each.joined:
                if cpu in kind_of:
                    left = self.model.boolean()
                    self.model.at_most(stays - self.holds.get(cpu, ZERO) - there.get(cpu, ZERO) - left, 0)
                    kept[kind_of[cpu]].append((left, 1, False))
        return kept


_REPLACED: Final = frozenset({"floating_threads", "affinity", "anti_affinity"})


def _isolated_cores(f: StayOrMove) -> None:
    """Nobody has a core to itself while a guest stays that has a CPU there, be it one that is given to nobody."""
    facts = f.problem.facts
    for i, kind in enumerate(f.problem.core_kinds):
        for core in kind.cores:
            whole = next(one.cpus for one in facts.snapshot.cores if core <= one.cpus)
            for cpu in whole - core:
                if cpu in f.holds:
                    # The core is a kind of its own: build_problem keeps those of guests that are there apart.
                    f.model.zero_if(f.holds[cpu], f.kind_use[i].isolated)
                    for kept, _, alone in f.kept(i):
                        if alone:
                            f.model.at_most(kept + f.holds[cpu], 1)


def _floating_threads(f: StayOrMove) -> None:
    """Where the host names no pool, who floats needs a CPU of its nodes that nobody holds, and nobody who stays.

    One that is kept by threads that float there is such a CPU, for these and for others.
    """
    if not any(unit.guests.floats for unit in f.units):
        return
    facts = f.problem.facts
    stayers = f.stayers()
    rooms: dict[NodeId, Linear] = {}
    for node in facts.nodes:
        open_ = facts.unheld(node)
        width = facts.threads
        held = total(f.on(u, k, node) * cell.cpus(width) for u, k, cell in f.cells() if cell.cpus(width))
        held += total(f.any_of(stayers[cpu]) for cpu in open_ if cpu in stayers)
        rooms[node] = f.model.boolean() if open_ else ZERO
        if open_:
            f.model.at_most(held + rooms[node], len(open_))
    for u, unit in enumerate(f.units):
        if unit.guests.floats:
            for option, count in f.options(u):
                found = total(rooms[node] for node in sorted(set(option.nodes)))
                f.model.at_most(count - found * unit.count, 0)


def _shared_pool(f: StayOrMove) -> None:
    """Shared vCPUs that stay count against the pool of their node, though they alone may exceed it."""
    facts = f.problem.facts
    for node in facts.nodes:
        wanted = total(f.on(u, k, node) * cell.shared for u, k, cell in f.cells() if cell.shared)
        if not wanted.terms:
            continue
        room = facts.pool_left[node] - facts.pool_owed[node]
        there = [f.stays[name] * floating_vcpus(facts, each.guest, node) for name, each in f.standing.items()]
        _at_most_unless_zero(f, wanted, total(part for part in there if part.terms), room)


def _memory(f: StayOrMove) -> None:
    """Memory is free for others only where its guest moves."""
    facts = f.problem.facts
    there: dict[Place, list[Linear]] = defaultdict(list)
    for name, each in f.standing.items():
        for place, size in each.memory:
            there[place].append(f.stays[name] * size)
    for place, parts in memory_uses(f).items():
        if place in there:
            used = total(count * kib for count, kib in parts)
            # Where even all that they give back leaves nothing free, nothing can be given, whoever stays.
            _at_most_unless_zero(f, used, total(there[place]), facts.capacity_kib.get(place, 0))


def _at_most_unless_zero(f: StayOrMove, wanted: Linear, there: Linear, room: int) -> None:
    """Demands wanted + there <= room, or that wanted is 0: what is there may be too much already."""
    unit = reduce(gcd, (abs(coef) for _, coef in (*wanted.terms, *there.terms)), 0) or 1
    wanted, there, room = _over(wanted, unit), _over(there, unit), room // unit
    most = f.model.upper(there)
    if most <= room:
        f.model.at_most(wanted + there, room)
        return
    some = f.model.boolean()
    f.model.at_most(wanted - some * f.model.upper(wanted), 0)
    f.model.at_most(wanted + there + some * (most - room), most)


def _over(expression: Linear, unit: int) -> Linear:
    return Linear(tuple((var, coef // unit) for var, coef in expression.terms), expression.constant // unit)


def _devices(f: StayOrMove) -> None:
    """A device that a guest which stays has is nobody else's."""
    holders: dict[PciAddress, list[Linear]] = defaultdict(list)
    for name, each in f.standing.items():
        for address in dict.fromkeys(each.guest.pci_addresses):
            holders[address].append(f.stays[name])
    for name, keeps in f.keeps_devices.items():
        for address in f.spare_devices[name]:
            holders[address].append(keeps)
    uses = uses_by_kind(f)
    for i, kind in enumerate(f.problem.device_kinds):
        held = [f.any_of(holders[address]) for address in kind.members if address in holders]
        if held:
            f.model.at_most(total((*uses[i], *held)), len(kind.members))


def _links(f: StayOrMove) -> None:
    """Affinity and anti-affinity, also to guests that are there, wherever these end up."""
    for u, unit in enumerate(f.units):
        for partner in unit.guest.anti_affinity:
            for node, theirs in _nodes_of(f, partner).items():
                f.model.at_most(f.uses(u, node) + theirs, 1)
        for partner in unit.guest.affinity:
            inside = f.model.boolean()
            for node, theirs in _nodes_of(f, partner).items():
                mine = f.uses(u, node)
                f.model.at_most(mine - theirs + inside, 1)
                f.model.at_most(theirs - mine - inside, 0)


def _nodes_of(f: StayOrMove, name: str) -> dict[NodeId, Linear]:
    """For each node whether a partner is on it; nothing where there is no such guest, or it is on no node."""
    facts = f.problem.facts
    units = [u for u, unit in enumerate(f.units) if name in unit.names]
    fixed = facts.guest_nodes.get(name, frozenset())
    if name in f.standing:
        cpus = [cpu for cell in f.standing[name].cells for cpu in cell.cpus]
        fixed = frozenset(facts.node_of[cpu] for cpu in cpus if cpu in facts.node_of)
    there = f.stays.get(name, ONE)
    if not units and not fixed:
        return {}
    return {node: total(f.uses(u, node) for u in units) + (there if node in fixed else ZERO) for node in facts.nodes}
