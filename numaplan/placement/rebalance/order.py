"""An order of changes in which every step is possible: nothing is held twice and no pool is exceeded in between.

Guests that wait for each other in a circle are parted by a stop that is paid for anyway, a place for the moment, or a
stop that costs a restart, in this order.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind
from numaplan.placement.rebalance.standing import Place

# What a step costs, by its kind; a live move of pages costs 1 more for each GiB. docs/rebalancing.md says why.
PRICES: Final[Mapping[MoveKind, int]] = {
    MoveKind.CONFIGURE: 0,
    MoveKind.START: 0,
    MoveKind.REPIN: 1,
    MoveKind.MOVE_PAGES: 10,
    MoveKind.REPLUG: 10_000,
    MoveKind.RESTART: 1_000_000,
}

# Beyond so many states the guests that still wait are stopped together and started together.
MAX_STATES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a guest holds in one place: CPUs, siblings that stay idle, shared vCPUs, KiB of memory, PCI functions."""

    cpus: CpuSet = EMPTY
    idle: CpuSet = EMPTY
    pool: tuple[tuple[NodeId, int], ...] = ()
    memory: tuple[tuple[Place, int], ...] = ()
    devices: frozenset[PciAddress] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """One guest that runs, from where it is to where it goes.

    `parking` is what it needs to wait somewhere else: (node, dedicated CPUs) for each cell; () where it cannot.
    """

    vm: str
    kind: MoveKind
    price: int
    before: Footprint
    after: Footprint
    parking: tuple[tuple[NodeId, int], ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything around the changes: guests that stay, memory that is free now, room in the pools, CPUs by node."""

    staying: tuple[Footprint, ...]
    free_kib: Mapping[Place, int]
    pool_room: Mapping[NodeId, int]
    cpus: Mapping[NodeId, CpuSet]
    shared: Mapping[NodeId, CpuSet]


class Action(StrEnum):
    """What a step does with a change: all of it, its two halves, or a place for the moment."""

    DO = "do"
    STOP = "stop"
    START = "start"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class Step:
    """`cost` is what the step adds; `parked` are the CPUs for the moment, cell by cell."""

    vm: str
    action: Action
    cost: int
    parked: tuple[CpuSet, ...] = ()


class Phase(StrEnum):
    """How far a change is."""

    BEFORE = "before"
    DOWN = "down"
    PARKED = "parked"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class _State:
    phases: tuple[Phase, ...]
    parked: tuple[tuple[CpuSet, ...], ...]

    @classmethod
    def first(cls, changes: Sequence[Change]) -> "_State":
        return cls((Phase.BEFORE,) * len(changes), ((),) * len(changes))

    def to(self, i: int, phase: Phase, parked: tuple[CpuSet, ...] = ()) -> "_State":
        phases, places = list(self.phases), list(self.parked)
        phases[i], places[i] = phase, parked
        return _State(tuple(phases), tuple(places))

    @property
    def pending(self) -> list[int]:
        return [i for i, phase in enumerate(self.phases) if phase is not Phase.AFTER]


def order(changes: Sequence[Change], world: World) -> tuple[Step, ...]:
    """The steps, cheapest first; every one of them possible after those before it, where the whole outcome is."""
    run = _Order(changes, world)
    queue: list[tuple[_Rank, _State, tuple[Step, ...]]] = [(_Rank(0, 0, 0, 0), _State.first(changes), ())]
    seen: set[_State] = set()
    number = 0
    while queue and len(seen) < MAX_STATES:
        rank, state, steps = heapq.heappop(queue)
        if not state.pending:
            return steps
        if state in seen:
            continue
        seen.add(state)
        for extra, step, following in run.successors(state):
            number += 1
            stops = rank.stops + (step.action is Action.STOP)
            place = _Rank(rank.extra + extra, stops, rank.left - 1, number)
            heapq.heappush(queue, (place, following, (*steps, step)))
    return run.all_at_once()


class _Rank(NamedTuple):
    """What is looked at first: what costs least beyond the price of the changes, stops little, and is furthest on."""

    extra: int
    stops: int
    left: int
    number: int


class _Order:
    """The changes and their world, asked what can follow a state."""

    def __init__(self, changes: Sequence[Change], world: World) -> None:
        self.changes = tuple(changes)
        self.world = world
        self.memory = Counter(world.free_kib)
        for change in changes:
            self.memory.update(dict(change.before.memory))

    def successors(self, state: _State) -> Iterator[tuple[int, Step, _State]]:
        """What can be done next, and its cost beyond the change's price; what harms nobody is done before all else."""
        able = [i for i in state.pending if self._fits(state, i)]
        harmless = next((i for i in able if self._is_harmless(state, i)), None)
        for i in able if harmless is None else [harmless]:
            yield 0, self._done(state, i), state.to(i, Phase.AFTER)
        if harmless is not None:
            return
        restart = PRICES[MoveKind.RESTART]
        for i in state.pending:
            change = self.changes[i]
            if state.phases[i] is not Phase.BEFORE:
                continue
            yield restart - change.price, Step(change.vm, Action.STOP, restart), state.to(i, Phase.DOWN)
            if parked := self._parking(state, i):
                cost = PRICES[MoveKind.REPIN]
                yield cost, Step(change.vm, Action.PARK, cost, parked), state.to(i, Phase.PARKED, parked)

    def all_at_once(self) -> tuple[Step, ...]:
        """Every guest stopped, then every guest started: possible whenever the outcome is."""
        stops = tuple(Step(change.vm, Action.STOP, PRICES[MoveKind.RESTART]) for change in self.changes)
        return stops + tuple(Step(change.vm, Action.START, 0) for change in self.changes)

    def _done(self, state: _State, i: int) -> Step:
        change = self.changes[i]
        if state.phases[i] is Phase.DOWN:
            return Step(change.vm, Action.START, 0)
        return Step(change.vm, Action.DO, change.price)

    def _footprint(self, state: _State, i: int) -> Footprint:
        change = self.changes[i]
        match state.phases[i]:
            case Phase.BEFORE:
                return change.before
            case Phase.DOWN:
                return Footprint()
            case Phase.AFTER:
                return change.after
            case Phase.PARKED:
                return _parked(change, state.parked[i], self.world)

    def _others(self, state: _State, i: int) -> list[Footprint]:
        return [*self.world.staying, *(self._footprint(state, j) for j in range(len(self.changes)) if j != i)]

    def _free(self, state: _State) -> Counter[Place]:
        free = Counter(self.memory)
        for i in range(len(self.changes)):
            free.subtract(dict(self._footprint(state, i).memory))
        return free

    def _fits(self, state: _State, i: int) -> bool:
        """Whether the change can be carried through now."""
        free = self._free(state)
        return _beside(self.changes[i].after, self._others(state, i), self.world) and all(
            size <= free[place] for place, size in self._taken(state, i)
        )

    def _taken(self, state: _State, i: int) -> list[tuple[Place, int]]:
        """The memory that it needs where it has none; on another node that must be free before its old is."""
        now = self._footprint(state, i).memory
        return list((Counter(dict(self.changes[i].after.memory)) - Counter(dict(now))).items())

    def _is_harmless(self, state: _State, i: int) -> bool:
        """Whether nobody can come to lack the memory that it takes; its CPUs and devices are in nobody else's way."""
        wanted: Counter[Place] = Counter()
        for j in state.pending:
            wanted.update(dict(self._taken(state, j)))
        free = self._free(state)
        return all(wanted[place] <= free[place] for place, _ in self._taken(state, i))

    def _parking(self, state: _State, i: int) -> tuple[CpuSet, ...]:
        """CPUs for the moment: its own that nobody is to get and free ones of the nodes where it is, else the pool
        there, else free ones anywhere; () where it has none that another one waits for.
        """
        change = self.changes[i]
        others = self._others(state, i)
        held = CpuSet(cpu for one in others for cpu in one.cpus | one.idle)
        pending = [self.changes[j].after for j in state.pending if j != i]
        wanted = CpuSet(cpu for after in pending for cpu in after.cpus | after.idle)
        before = change.before
        own = EMPTY if before.idle else before.cpus - held - wanted
        if not change.parking or own == before.cpus:
            return ()
        gone = held | (before.cpus - own) | before.idle
        # Whoever waits stays where it can, and out of the way of others.
        free = {
            node: sorted(cpus - gone, key=lambda cpu: (cpu not in own, cpu in wanted, cpu))
            for node, cpus in self.world.cpus.items()
        }
        if near := _chosen(change.parking, free, anywhere=False):
            return near
        pools = tuple(self.world.shared[node] if count else EMPTY for node, count in change.parking)
        floating = _parked(change, pools, self.world)
        enough = all(pools[k] for k, (_, count) in enumerate(change.parking) if count)
        if enough and _beside(floating, others, self.world):
            return pools
        return _chosen(change.parking, free, anywhere=True)


def _chosen(
    parking: Sequence[tuple[NodeId, int]], free: Mapping[NodeId, Sequence[CpuId]], *, anywhere: bool
) -> tuple[CpuSet, ...]:
    """Free CPUs for each cell, the best first; () where there are too few."""
    chosen: list[CpuSet] = []
    for home, count in parking:
        nodes = [home, *(node for node in free if node != home and anywhere)]
        ranked = [cpu for node in nodes for cpu in free[node] if not any(cpu in cpus for cpus in chosen)]
        chosen.append(CpuSet(ranked[:count]))
    enough = all(len(cpus) == count for cpus, (_, count) in zip(chosen, parking, strict=True))
    return tuple(chosen) if enough else ()


def _parked(change: Change, cpus: tuple[CpuSet, ...], world: World) -> Footprint:
    """What a guest holds while it waits: its own CPUs are others, or it floats on the pool."""
    pool = Counter(dict(change.before.pool))
    own = EMPTY
    for (node, count), chosen in zip(change.parking, cpus, strict=True):
        if count and chosen == world.shared[node]:
            pool[node] += count
        else:
            own |= chosen
    return Footprint(own, EMPTY, tuple(sorted(pool.items())), change.before.memory, change.before.devices)


def _beside(footprint: Footprint, others: Sequence[Footprint], world: World) -> bool:
    """Whether a place can be taken beside the others; memory apart."""
    pool: Counter[NodeId] = Counter(dict(footprint.pool))
    for other in others:
        if not footprint.cpus.isdisjoint(other.cpus | other.idle) or not footprint.idle.isdisjoint(other.cpus):
            return False
        if not footprint.devices.isdisjoint(other.devices):
            return False
        pool.update(dict(other.pool))
    return all(pool[node] <= world.pool_room.get(node, 0) for node, count in footprint.pool if count)
