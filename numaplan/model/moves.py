"""What is to be done with guests that are there, step by step, so that others find room or nobody lies badly."""

from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId
from numaplan.model.host import NodeId
from numaplan.model.plan import Plan
from numaplan.model.request import Request


class MoveKind(StrEnum):
    """What a step does to its guest.

    ``repin``: CPUs alone, while it runs. ``move-pages``: CPUs and ordinary memory, while it runs. ``replug``: VFs are
    detached and attached, and CPUs change. ``restart``: it stops, and starts in its new place. ``configure``: only
    the XML of a guest that is shut off. ``stop`` and ``start``: a restart with other steps between, or a new guest.
    """

    REPIN = "repin"
    MOVE_PAGES = "move-pages"
    REPLUG = "replug"
    RESTART = "restart"
    CONFIGURE = "configure"
    STOP = "stop"
    START = "start"


class MovesStatus(StrEnum):
    """``optimal``, ``infeasible`` and ``nothing-to-do`` are proven; ``feasible``: cheaper moves may exist."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"
    NOTHING_TO_DO = "nothing-to-do"


@dataclass(frozen=True, slots=True)
class CellSpot:
    """Where a guest cell is: the CPUs of its vCPUs, their nodes, and those of its memory (() where nobody knows)."""

    id: CellId
    numa_nodes: tuple[NodeId, ...]
    cpus: CpuSet
    memory_nodes: tuple[NodeId, ...]

    @property
    def memory_node(self) -> NodeId | None:
        """The node of all of its memory; None where that is not known, or it lies on several."""
        return self.memory_nodes[0] if len(self.memory_nodes) == 1 else None


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a guest is at one moment; `devices` are its PCI functions in numeric order."""

    cells: tuple[CellSpot, ...]
    devices: tuple[PciAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """One step. `before` is None for a guest that did not run or was not there, `after` for one that is stopped."""

    step: int
    vm: str
    kind: MoveKind
    cost: int
    before: Spot | None
    after: Spot | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Unmovable:
    """A guest that can only stay exactly as it is, and why."""

    vm: str
    reason: str


@dataclass(frozen=True, slots=True)
class Moves:
    """The answer. `cost` is what the steps cost, and nothing below `bound` is possible.

    `plan` has every guest that is new or changes, and `request` is what it is to be verified against.
    """

    status: MovesStatus
    cost: int
    bound: int
    moves: tuple[Move, ...]
    unmovable: tuple[Unmovable, ...]
    plan: Plan
    request: Request
