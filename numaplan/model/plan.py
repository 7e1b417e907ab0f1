"""The answer: where each guest goes, how good that is, and why something has no place."""

from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, GuestTopology, IothreadId, VcpuId
from numaplan.model.host import NodeId
from numaplan.model.request import Request


class LevelName(StrEnum):
    """The levels of the objective in their order; the last breaks ties below them, and no plan tells it."""

    PRIORITY = "priority"
    CROSS_NODE_COST = "cross_node_cost"
    LLC_SPANS = "llc_spans"
    FREE_NODES = "free_nodes"
    FREE_LLCS = "free_llcs"
    FREE_CORES = "free_cores"
    MOVES = "moves"
    TIES = "ties"


LEVELS = tuple(name for name in LevelName if name is not LevelName.TIES)
MAXIMIZED = frozenset({LevelName.PRIORITY, LevelName.FREE_NODES, LevelName.FREE_LLCS, LevelName.FREE_CORES})


class Status(StrEnum):
    """``optimal`` and ``infeasible`` are proven."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


class Limit(StrEnum):
    """Which limit ended the search."""

    NONE = "none"
    WORK = "work"
    WALL = "wall"


@dataclass(frozen=True, slots=True)
class CellPlacement:
    """A guest cell on a host node.

    `vcpus` are (vCPU, CPUs) pairs in vCPU order: one CPU for a dedicated vCPU, the set it floats on for a shared one.
    """

    id: CellId
    numa_node: NodeId
    vcpus: tuple[tuple[VcpuId, CpuSet], ...]
    memory_node: NodeId
    memory_kib: int
    page_size_kib: int


@dataclass(frozen=True, slots=True)
class InterfacePlacement:
    """The VFs of one SR-IOV interface entry."""

    name: str
    vfs: tuple[PciAddress, ...]


@dataclass(frozen=True, slots=True)
class DevicePlacement:
    """The device that a device entry got."""

    name: str
    address: PciAddress


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one guest goes.

    `topology` mirrors the siblings that its vCPUs really got; None: nothing to say, as for shared vCPUs.
    """

    vm: str
    cells: tuple[CellPlacement, ...]
    emulator: CpuSet
    iothreads: tuple[tuple[IothreadId, CpuSet], ...] = ()
    interfaces: tuple[InterfacePlacement, ...] = ()
    devices: tuple[DevicePlacement, ...] = ()
    topology: GuestTopology | None = None

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """The host nodes of its cells, in numeric order."""
        return tuple(sorted({cell.numa_node for cell in self.cells}))

    @property
    def functions(self) -> tuple[tuple[PciAddress, ...], ...]:
        """The PCI functions of each SR-IOV interface, then of each device."""
        return (*(interface.vfs for interface in self.interfaces), *((device.address,) for device in self.devices))


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the objective: `proven` when no better `value` exists with the levels before it at their optimum.

    `name` is one of LEVELS, or whatever a plan of somebody else's says.
    """

    name: str
    value: int
    bound: int
    proven: bool


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A guest without a place and the reason."""

    vm: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConflictMember:
    """One constraint of a conflict; `vm` None: the host's own. `proven`: without it the others can all hold."""

    vm: str | None
    constraint: str
    sentence: str
    proven: bool = True


class Document(StrEnum):
    """Which input a change is made to: vnf.yaml, or the host's inventory JSON."""

    VNF = "vnf"
    INVENTORY = "inventory"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a JSON patch (RFC 6902) on the document as the site wrote it; `value` as JSON has it."""

    op: str
    path: str
    value: object = None


@dataclass(frozen=True, slots=True)
class Fix:
    """A change to one document that is proven to make the request feasible. `cost`: docs/why-not.md says in what."""

    sentence: str
    cost: int
    document: Document
    patch: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Constraints that cannot all hold on this host, while every proper subset of them can where all are proven.

    `fixes`: cheapest first.
    """

    members: tuple[ConflictMember, ...]
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best nodes of a guest with all others where they are, and what the plan would cost there instead."""

    nodes: tuple[NodeId, ...]
    extra_cost: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Why:
    """What binds a placed guest to its nodes: each reason with its numbers.

    `runner_up` None: it fits nowhere else, or a reason says that which place is the cheapest was not found out.
    """

    vm: str
    reasons: tuple[str, ...]
    runner_up: RunnerUp | None


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What a plan takes for granted of one guest: (what, value) pairs; `xml` (part of its XML, digest) pairs."""

    name: str
    facts: tuple[tuple[str, str], ...]
    xml: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """What a plan takes for granted, one fact a (what, value) pair; who carries it out looks whether it still holds.

    `host` has what the host said; a fact that it did not say is absent. `guests` are in the order of their names.
    """

    host: tuple[tuple[str, str], ...]
    guests: tuple[GuestFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer for the host. Without a plan (infeasible, unknown) `placements` and `levels` are empty.

    `fingerprint` is that of the host facts and guests which the plan rests on. `whys`
    is empty unless asked for, else in the order of `placements`.
    `request` is what was asked, as far as the plan answers it (guests' cells as their XML has them, unless
    `change_topology`), and `basis` what it was answered on: both None in a plan that cannot be carried out.
    """

    status: Status
    limit: Limit
    hostname: str | None
    fingerprint: str
    levels: tuple[Level, ...] = ()
    placements: tuple[Placement, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    notes: tuple[str, ...] = ()
    conflict: Conflict | None = None
    whys: tuple[Why, ...] = ()
    request: Request | None = None
    basis: Basis | None = None
    change_topology: bool = False

    def placement(self, name: str) -> Placement | None:
        """The placement of the guest of that name."""
        return next((placement for placement in self.placements if placement.vm == name), None)
