"""How things are between two steps: who can be brought to its end, whom that could harm, and where guests can wait."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.host import NodeId
from numaplan.placement.facts import SMALL_PAGE_KIB, Place
from numaplan.placement.rebalance.changes import Change, Footprint, Held, World


class Phase(StrEnum):
    """How far a change is."""

    BEFORE = "before"
    DOWN = "down"
    PARKED = "parked"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class State:
    """How far each change is, and on which CPUs those wait that are parked."""

    phases: tuple[Phase, ...]
    parked: tuple[tuple[int, tuple[CpuSet, ...]], ...] = ()

    @classmethod
    def first(cls, changes: Sequence[Change]) -> "State":
        """Everybody where it is."""
        return cls((Phase.BEFORE,) * len(changes))

    def to(self, i: int, phase: Phase, parked: tuple[CpuSet, ...] = ()) -> "State":
        """The same with one change in another phase."""
        places = [place for place in self.parked if place[0] != i]
        if phase is Phase.PARKED:
            places.append((i, parked))
        return State((*self.phases[:i], phase, *self.phases[i + 1 :]), tuple(sorted(places)))

    @property
    def pending(self) -> list[int]:
        """The changes that are not at their end."""
        return [i for i, phase in enumerate(self.phases) if phase is not Phase.AFTER]


class Situation:
    """A state of all changes: `staying` is what others hold, `total` the memory that is free or theirs."""

    def __init__(
        self, changes: Sequence[Change], world: World, state: State, *, staying: Held, total: Mapping[Place, int]
    ) -> None:
        self.state = state
        self.pending = state.pending
        self._changes = changes
        self._world = world
        parked = dict(state.parked)
        self._now = [_footprint(change, state.phases[i], parked.get(i, ()), world) for i, change in enumerate(changes)]
        self._held = staying.copy()
        self._free = Counter(total)
        for footprint in self._now:
            self._held.add(footprint)
            self._free.subtract(dict(footprint.memory))
        self._open: dict[NodeId, list[CpuId]] | None = None
        self._wanted = Held(changes[i].after for i in self.pending)

    def fits(self, i: int) -> bool:
        """Whether the change can be carried through now."""
        self._held.add(self._now[i], -1)
        beside = self._held.admits(self._changes[i].after, self._world.pool_room)
        self._held.add(self._now[i])
        return beside and all(size <= self._free[place] for place, size in self._taken(i).items())

    def lets_go(self, i: int) -> bool:
        """Whether another change could be carried through if this one held nothing."""
        now, memory = self._now[i], dict(self._now[i].memory)
        self._held.add(now, -1)
        self._free.update(memory)
        found = any(self.fits(j) for j in self.pending if j != i)
        self._free.subtract(memory)
        self._held.add(now)
        return found

    def is_harmless(self, i: int) -> bool:
        """Whether nobody can come to lack the memory or the room in a pool that it takes, be it to wait there.

        Of its CPUs and devices nobody else is to get any; but others may wait on them.
        """
        taken, pooled = self._taken(i), self._pooled(i)
        wanted: Counter[Place] = Counter()
        floating: Counter[NodeId] = Counter()
        for j in self.pending if taken or pooled else ():
            wanted.update(self._taken(j))
            floating.update(self._pooled(j))
        waiting = [self._changes[j].parking for j in self.pending if j != i and self._may_wait(j)]
        for node in pooled:
            most = max((count for parking in waiting for home, count in parking if home == node), default=0)
            if floating[node] + most > self._world.pool_room.get(node, 0) - self._held.pool[node]:
                return False
        for node in self._world.cpus if taken and any(waiting) else ():
            wanted[node, SMALL_PAGE_KIB] += self._world.overhead_kib
        return all(wanted[place] <= self._free[place] for place in taken) and self._leaves_room(i, waiting)

    def parkings(self, i: int) -> list[tuple[CpuSet, ...]]:
        """CPUs for the moment, the best first: its own that nobody is to get and free ones of the nodes where it is,
        the pool there, free ones anywhere. Only the best where that is in nobody's way; none where nobody is to get any
        of its own.
        """
        change, now = self._changes[i], self._now[i]
        if not change.parking or not self._may_wait(i):
            return []
        if self._open is None:
            self._open = {
                node: [cpu for cpu in cpus if not self._held.has(cpu)] for node, cpus in self._world.cpus.items()
            }
        self._held.add(now, -1)
        self._wanted.add(change.after, -1)
        try:
            return self._places(change, self._open)
        finally:
            self._held.add(now)
            self._wanted.add(change.after)

    def _may_wait(self, i: int) -> bool:
        return self.state.phases[i] is Phase.BEFORE

    def _taken(self, i: int) -> Counter[Place]:
        """The memory that it needs where it has none; on another node that must be free before its old is."""
        return Counter(dict(self._changes[i].after.memory)) - Counter(dict(self._now[i].memory))

    def _pooled(self, i: int) -> Counter[NodeId]:
        """The room in pools that it needs beyond what it has."""
        return Counter(dict(self._changes[i].after.pool)) - Counter(dict(self._now[i].pool))

    def _leaves_room(self, i: int, waiting: Sequence[Sequence[tuple[NodeId, int]]]) -> bool:
        """Whether as many CPUs are free afterwards, or enough for each of those that may have to wait."""
        now, after = self._now[i], self._changes[i].after
        concerned = now.cpus | now.idle | after.cpus | after.idle
        before = sum(self._held.has(cpu) for cpu in concerned)
        self._held.add(now, -1)
        self._held.add(after)
        then = sum(self._held.has(cpu) for cpu in concerned)
        free = (
            sum(not self._held.has(cpu) for cpus in self._world.cpus.values() for cpu in cpus) if then > before else 0
        )
        self._held.add(after, -1)
        self._held.add(now)
        return then <= before or free >= max((sum(count for _, count in parking) for parking in waiting), default=0)

    def _places(self, change: Change, open_: Mapping[NodeId, Sequence[CpuId]]) -> list[tuple[CpuSet, ...]]:
        """Those of a guest that is not counted among those who hold and want something."""
        held, wanted, before = self._held, self._wanted, change.before
        own = EMPTY if before.idle else CpuSet(c for c in before.cpus if not held.has(c) and not wanted.has(c))
        if own == before.cpus:
            return []
        gone = (before.cpus - own) | before.idle
        # Whoever waits stays where it can, and out of the way of others.
        free: dict[NodeId, list[tuple[bool, bool, CpuId]]] = {
            node: sorted(
                (cpu not in own, wanted.has(cpu), cpu) for cpu in (*open_[node], *(own & cpus)) if cpu not in gone
            )
            for node, cpus in self._world.cpus.items()
        }
        found = [_chosen(change.parking, free, anywhere=False)]
        pools = tuple(self._world.shared[node] if count else EMPTY for node, count in change.parking)
        enough = all(pools[k] for k, (_, count) in enumerate(change.parking) if count)
        if enough and held.admits(_parked(change, pools, self._world), self._world.pool_room):
            found.append(pools)
        found.append(_chosen(change.parking, free, anywhere=True))
        unwanted = {node: [one for one in ranked if not one[1]] for node, ranked in free.items()}
        found.append(_chosen(change.parking, unwanted, anywhere=True))
        distinct = [place for place in dict.fromkeys(found) if place and self._has_memory(change, place)]
        return distinct[:1] if distinct and self._is_out_of_the_way(change, distinct[0]) else distinct

    def _has_memory(self, change: Change, cpus: tuple[CpuSet, ...]) -> bool:
        """Whether QEMU's own memory has room where a guest is to wait."""
        more = Counter(dict(_parked(change, cpus, self._world).memory)) - Counter(dict(change.before.memory))
        return all(size <= self._free[place] for place, size in more.items())

    def _is_out_of_the_way(self, change: Change, cpus: tuple[CpuSet, ...]) -> bool:
        waits = _parked(change, cpus, self._world)
        more = Counter(dict(waits.pool)) - Counter(dict(change.before.pool))
        return not any(self._wanted.has(cpu) for cpu in waits.cpus) and not any(self._wanted.pool[n] for n in more)


def _footprint(change: Change, phase: Phase, parked: tuple[CpuSet, ...], world: World) -> Footprint:
    match phase:
        case Phase.BEFORE:
            return change.before
        case Phase.DOWN:
            return Footprint()
        case Phase.AFTER:
            return change.after
        case Phase.PARKED:
            return _parked(change, parked, world)


def _chosen(
    parking: Sequence[tuple[NodeId, int]], free: Mapping[NodeId, Sequence[tuple[bool, bool, CpuId]]], *, anywhere: bool
) -> tuple[CpuSet, ...]:
    """Free CPUs for each cell, the best first; () where there are too few."""
    chosen: list[CpuSet] = []
    for home, count in parking:
        nodes = [home, *(node for node in free if node != home and anywhere)]
        ranked = [cpu for node in nodes for *_, cpu in free[node] if not any(cpu in cpus for cpus in chosen)]
        chosen.append(CpuSet(ranked[:count]))
    enough = all(len(cpus) == count for cpus, (_, count) in zip(chosen, parking, strict=True))
    return tuple(chosen) if enough else ()


def _parked(change: Change, cpus: tuple[CpuSet, ...], world: World) -> Footprint:
    """What a guest holds while it waits: its own CPUs are others, or it floats on the pool.

    QEMU's own memory goes with its vCPUs.
    """
    there = {node: world.cpus[node] | world.shared[node] for node in world.cpus}
    pool = Counter(dict(change.before.pool))
    own = EMPTY
    for (node, count), chosen in zip(change.parking, cpus, strict=True):
        if count and chosen == world.shared[node]:
            pool[node] += count
        else:
            own |= chosen
    nodes = change.stays_on.union(node for node, its in there.items() for one in cpus if its & one)
    memory = Counter(dict(change.resident if world.overhead_kib else change.before.memory))
    memory.update({(node, SMALL_PAGE_KIB): world.overhead_kib for node in nodes})
    held = tuple(sorted((place, size) for place, size in memory.items() if size))
    return replace(change.before, cpus=own, idle=EMPTY, pool=tuple(sorted(pool.items())), memory=held)
