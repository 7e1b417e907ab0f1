"""What becomes of guests that are there, one by one, and what they hold together while the steps are taken."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.moves import MoveKind
from numaplan.placement.facts import Place

# What a step costs, by its kind; a live move of pages costs 1 more for each GiB. docs/rebalancing.md says why.
PRICES: Final[Mapping[MoveKind, int]] = {
    MoveKind.CONFIGURE: 0,
    MoveKind.START: 0,
    MoveKind.REPIN: 1,
    MoveKind.MOVE_PAGES: 10,
    MoveKind.REPLUG: 10_000,
    MoveKind.RESTART: 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a guest holds in one place: CPUs, siblings that stay idle, shared vCPUs, KiB of memory, PCI functions.

    `beside` are CPUs that go to no guest, but on which it has a thread alone: nobody else has their core to itself.
    """

    cpus: CpuSet = EMPTY
    idle: CpuSet = EMPTY
    pool: tuple[tuple[NodeId, int], ...] = ()
    memory: tuple[tuple[Place, int], ...] = ()
    devices: frozenset[PciAddress] = frozenset()
    beside: CpuSet = EMPTY


@dataclass(frozen=True, slots=True)
class Change:
    """One guest that runs, from where it is to where it goes.

    `parking` is what it needs to wait somewhere else: (node, dedicated CPUs) for each cell; () where it cannot. Then it
    has vCPUs on the nodes of `stays_on` still, and its memory, QEMU's own apart, is `resident` where it was.
    `may_stop`: it is there again when it was stopped.
    """

    vm: str
    kind: MoveKind
    price: int
    before: Footprint
    after: Footprint
    parking: tuple[tuple[NodeId, int], ...] = ()
    stays_on: frozenset[NodeId] = frozenset()
    resident: tuple[tuple[Place, int], ...] = ()
    may_stop: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """Everything around the changes: guests that stay, memory that is free now, room in the pools, CPUs by node.

    `overhead_kib` of ordinary memory QEMU itself takes on each node where a guest has vCPUs.
    """

    staying: tuple[Footprint, ...]
    free_kib: Mapping[Place, int]
    pool_room: Mapping[NodeId, int]
    cpus: Mapping[NodeId, CpuSet]
    shared: Mapping[NodeId, CpuSet]
    overhead_kib: int = 0


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


class Held:
    """What guests hold together, counted, so that one of them can be looked at beside the others."""

    def __init__(self, footprints: Iterable[Footprint] = ()) -> None:
        self.cpus: Counter[CpuId] = Counter()
        self.idle: Counter[CpuId] = Counter()
        self.beside: Counter[CpuId] = Counter()
        self.pool: Counter[NodeId] = Counter()
        self.memory: Counter[Place] = Counter()
        self.devices: Counter[PciAddress] = Counter()
        for footprint in footprints:
            self.add(footprint)

    def copy(self) -> "Held":
        """The same, to be changed apart."""
        other = Held()
        other.cpus, other.idle, other.devices = self.cpus.copy(), self.idle.copy(), self.devices.copy()
        other.pool, other.memory, other.beside = self.pool.copy(), self.memory.copy(), self.beside.copy()
        return other

    def add(self, footprint: Footprint, sign: int = 1) -> None:
        """Counts one more; with sign -1 one less."""
        for cpu in footprint.cpus:
            self.cpus[cpu] += sign
        for cpu in footprint.idle:
            self.idle[cpu] += sign
        for cpu in footprint.beside:
            self.beside[cpu] += sign
        for address in footprint.devices:
            self.devices[address] += sign
        for node, count in footprint.pool:
            self.pool[node] += sign * count
        for place, size in footprint.memory:
            self.memory[place] += sign * size

    def has(self, cpu: CpuId) -> bool:
        """Whether somebody has it or keeps it idle."""
        return bool(self.cpus[cpu] or self.idle[cpu])

    def admits(self, footprint: Footprint, pool_room: Mapping[NodeId, int]) -> bool:
        """Whether a place can be taken beside them; memory apart."""
        return (
            not any(self.has(cpu) for cpu in footprint.cpus)
            and not any(self.cpus[cpu] or self.beside[cpu] for cpu in footprint.idle)
            and not any(self.devices[address] for address in footprint.devices)
            and all(self.pool[node] + count <= pool_room.get(node, 0) for node, count in footprint.pool if count)
        )
