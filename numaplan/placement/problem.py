"""The request in counts: what each guest needs, how it can lie on nodes, what kinds of core and VF there are.

Equal things are one: guests with the same needs are a class, cores with the same free threads a kind, VFs of one PF
a kind. So the search stays small, and symmetric answers are not tried twice.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from numaplan.cpuset import CpuId, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.model.request import Affinity, GuestRequest
from numaplan.placement.facts import HostFacts, Place
from numaplan.units import GIB_KIB

_NOWHERE: Final[frozenset[NodeId]] = frozenset()

# Where all ways to lie have more cells together, a model of them is so large that it is looked at less often.
VAST: Final = 20_000


@dataclass(frozen=True, slots=True)
class CoreKind:
    """Cores of one node and LLC with the same free threads. `cores` are these free threads, core by core.

    `whole`: as wide as the host's SMT and all free, as policy require wants it. `full`: every online thread may go to
    a guest and is free. `isolable`: no sibling is held by a guest that stays. `llc` is None outside every LLC.
    `split`: the core, all of it free, of which this is a part; the others lie elsewhere, or on no node. `scattered`:
    the core, free or not, whose threads lie in several LLCs or nodes.
    """

    node: NodeId
    llc: int | None
    free: int
    whole: bool
    full: bool
    isolable: bool
    split: CpuId | None
    scattered: CpuId | None
    cores: tuple[CpuSet, ...]

    @property
    def cpus(self) -> int:
        """How many free threads they have together."""
        return self.free * len(self.cores)


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """Interchangeable VFs of one PF (`pf`), or one other device. `bundle`: the IOMMU group that goes as one."""

    pf: PciAddress | None
    node: NodeId | None
    members: tuple[PciAddress, ...]
    bundle: int | None = None


@dataclass(frozen=True, slots=True)
class CellDemand:
    """What the CPUs of a cell set come to, and its memory.

    `isolated` cores to itself; `whole` cores; a `part` of that many threads on one further core; any `threads`.
    `shared` vCPUs of the pool. `page_sizes_kib` are those that fit, in no order.
    """

    isolated: int
    whole: int
    part: int
    threads: int
    shared: int
    memory_kib: int
    page_sizes_kib: tuple[int, ...]
    strict: bool

    def cpus(self, width: int) -> int:
        """How many CPUs it holds on a host with cores of `width` threads."""
        return self.isolated + self.whole * width + self.part + self.threads


@dataclass(frozen=True, slots=True)
class DeviceDemand:
    """`count` devices out of `kinds` (numbers in Problem.device_kinds), each needing `mbps` of its PF's link."""

    name: str
    count: int
    kinds: tuple[int, ...]
    affinity: Affinity
    mbps: int
    distinct: bool


@dataclass(frozen=True, slots=True)
class KeptCore:
    """A kept guest's use of the only core of a core kind. `alone`: nobody else may use the rest of it."""

    kind: int
    cpus: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Keep:
    """A guest that stays exactly where its XML has it. `memory_nodes` are None where its XML binds none.

    `devices` are (demand, device kind, how many); they may be those of its VFs alone, as another device is no move.
    `exact`: they are all, and each of its functions serves what it serves there.
    `cell_sets` are the CPUs that each cell holds; `cores` leaves out those of cores that another guest has to itself.
    `llc_spans` is what it adds to that level.
    """

    placement: Placement
    cores: tuple[KeptCore, ...]
    devices: tuple[tuple[int, int, int], ...]
    memory_nodes: tuple[NodeId | None, ...]
    cell_sets: tuple[tuple[CpuId, ...], ...]
    llc_spans: int
    exact: bool = True

    @property
    def cpus(self) -> CpuSet:
        """All that its cells hold."""
        return CpuSet(cpu for cpus in self.cell_sets for cpu in cpus)

    def has(self, demand: int) -> bool:
        """Whether it stays with what it has of that demand."""
        return any(d == demand for d, _, _ in self.devices)


@dataclass(frozen=True, slots=True)
class Option:
    """One way to lie on nodes: cell k on `nodes[k]`. `cost` is what does not depend on which VF and memory it gets.

    `memory` are the nodes on which the memory of a guest stays that is not kept otherwise.
    """

    nodes: tuple[NodeId, ...]
    cost: int
    keep: Keep | None = None
    memory: tuple[NodeId, ...] | None = None

    @property
    def places_kept(self) -> tuple[Place, ...]:
        """Node and page size of the memory of each cell of a guest that is kept."""
        cells = () if self.keep is None else self.keep.placement.cells
        return tuple((cell.memory_node, cell.page_size_kib) for cell in cells)

    def memory_node(self, cell: int) -> NodeId | None:
        """The node that the memory of a cell has to stay on; None: none in particular."""
        nodes = self.memory if self.keep is None else self.keep.memory_nodes
        return None if nodes is None else nodes[cell]


@dataclass(frozen=True, slots=True)
class GuestClass:
    """Guests with the same needs. `floats`: its emulator or iothreads run on CPUs that nobody holds.

    Each may stand for several guests that share their nodes. `partial`: `options` are not all of their ways to lie.
    `stays_beside`: it may stay on a core that another guest has to itself, whose CPUs are counted for nobody.
    """

    members: tuple[GuestRequest, ...]
    cells: tuple[CellDemand, ...]
    devices: tuple[DeviceDemand, ...]
    options: tuple[Option, ...]
    floats: bool
    exists: bool
    stands_for: int = 1
    partial: bool = False
    stays_beside: bool = False

    @property
    def request(self) -> GuestRequest:
        """The first of its members, which speaks for all."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that the model is built from. `scattered`: some ways to use cores were left out.

    `bundles` gives each IOMMU group that goes as one its number of members.
    """

    facts: HostFacts
    classes: tuple[GuestClass, ...]
    core_kinds: tuple[CoreKind, ...]
    device_kinds: tuple[DeviceKind, ...]
    bundles: Mapping[int, int]
    scattered: bool

    @property
    def truncated(self) -> bool:
        """Whether some ways to lie on nodes, or to use cores, were left out: no search that fails is then a proof."""
        return self.scattered or any(guests.partial for guests in self.classes)

    @property
    def uncounted(self) -> bool:
        """Whether there is more to be had of cores than the core kinds tell: what they have not is no proof then."""
        return self.scattered or any(guests.stays_beside for guests in self.classes)

    def cpus_beside(self, nodes: Collection[NodeId]) -> int:
        """How many CPUs on these nodes only who is there may have, beside a guest that has their cores to itself."""
        if not any(guests.stays_beside for guests in self.classes):
            return 0
        return sum(len(self.facts.online(node) & self.facts.idle) for node in nodes)

    def sizes_that_hold(self, guests: GuestClass, cell: CellDemand) -> tuple[int, ...]:
        """Those of a cell's page sizes of which some node has enough for it.

        All of them where none has, and for who is there, as it may stay with what it has.
        """
        most = _most_kib(self.facts)
        holding = tuple(size for size in cell.page_sizes_kib if most.get(size, 0) >= cell.memory_kib)
        return cell.page_sizes_kib if guests.exists or not holding else holding

    @property
    def is_vast(self) -> bool:
        """Whether there are so many ways to lie that one look at a model of them takes longer than many other looks."""
        return sum(len(guests.options) * len(guests.cells) for guests in self.classes) > VAST

    def only(self, names: Collection[str]) -> "Problem":
        """The problem of these guests alone, which then all are required."""
        classes = []
        for guests in self.classes:
            members = tuple(replace(guest, required=True) for guest in guests.members if guest.name in names)
            if members:
                classes.append(replace(guests, members=members))
        return replace(self, classes=tuple(classes))

    def alone(self, guests: GuestClass) -> "Problem":
        """The problem of the first guest of a class, as a required one."""
        members = (replace(guests.request, required=True),)
        return replace(self, classes=(replace(guests, members=members),))

    def device_cost(self, kind: DeviceKind, nodes: tuple[NodeId, ...]) -> int:
        """What one device of `kind` costs a guest on `nodes`."""
        distance = min(self.facts.distance(kind.node, node) for node in nodes)
        return self.facts.policy.costs.vf * distance

    def memory_cost(self, cell: CellDemand, node: NodeId, memory_node: NodeId) -> int:
        """What it costs that a cell on `node` has its memory on `memory_node`."""
        gib = -(-cell.memory_kib // GIB_KIB)
        return self.facts.policy.costs.memory_gib * self.facts.distance(node, memory_node) * gib

    def admits(self, demand: DeviceDemand, kind: DeviceKind, nodes: tuple[NodeId, ...]) -> bool:
        """Whether a device of `kind` is near enough to `nodes` for `demand`."""
        return near_enough(self.facts, demand.affinity, kind.node, nodes)


@lru_cache(maxsize=8)  # the same host is counted again and again
def _most_kib(facts: HostFacts) -> Mapping[int, int]:
    """The most that any node has free in pages of each size."""
    most: dict[int, int] = {}
    for (_, size), kib in facts.capacity_kib.items():
        most[size] = max(most.get(size, 0), kib)
    return most


def near_enough(facts: HostFacts, affinity: Affinity, device_node: NodeId | None, nodes: tuple[NodeId, ...]) -> bool:
    """Whether a device on `device_node` satisfies `affinity` for a guest whose cells lie on `nodes`."""
    match affinity:
        case Affinity.PREFERRED:
            return True
        case Affinity.REQUIRED:
            return device_node in nodes
        case Affinity.SOCKET:
            return device_node is not None and not facts.beside.get(device_node, _NOWHERE).isdisjoint(nodes)
