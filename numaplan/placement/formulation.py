"""The variables of the placement model, and the sums over them that constraints and objective speak of.

Two grains. Coarse: one unit a class, CPUs counted by node; small enough to prove priority and cost on large hosts.
Fine: one unit a guest, CPUs counted by node and LLC, which the lower levels of the objective need.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.request import Affinity, GuestRequest
from numaplan.placement.cpsat import ZERO, Linear, Model, total
from numaplan.placement.facts import Place
from numaplan.placement.problem import CellDemand, CoreKind, DeviceDemand, GuestClass, Option, Problem, near_enough

Region = tuple[NodeId, int | None]

# What a cell set takes from a region: whole cores to idle siblings of, whole cores, parts of a core, any threads.
TAKES: Final = ("isolated", "whole", "part", "threads")


@dataclass(frozen=True, slots=True)
class Unit:
    """`count` guests that the model does not tell apart: members `first`... of class `number`.

    `options` are the numbers of the class's options that are open to it.
    """

    number: int
    guests: GuestClass
    first: int
    count: int
    options: tuple[int, ...]

    @property
    def guest(self) -> GuestRequest:
        """The first guest that it stands for."""
        return self.guests.members[self.first]

    @property
    def names(self) -> tuple[str, ...]:
        """The guests that it stands for."""
        return tuple(guest.name for guest in self.guests.members[self.first : self.first + self.count])


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """Cells whose memory is the same to the model: its size, its page sizes, and what each node would cost."""

    memory_kib: int
    page_sizes_kib: tuple[int, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """Demands that are the same to the model: device kinds with their cost, bandwidth, and what must not be mixed.

    `count` is set where each guest's devices must lie on PFs of their own, `unit` where IOMMU groups go as one.
    """

    kinds: tuple[tuple[int, int], ...]
    mbps: int
    count: int | None
    unit: int | None


@dataclass(frozen=True, slots=True)
class KindUse:
    """How many cores of a core kind are handed out: to `isolated` sets, as `whole` ones, and opened thread by thread.

    `patterns` are (parts that an opened core serves, how many such cores).
    """

    isolated: Linear
    whole: Linear
    patterns: tuple[tuple[tuple[int, ...], Linear], ...]

    @property
    def opened(self) -> Linear:
        """Cores opened thread by thread."""
        return total(count for _, count in self.patterns)


class Formulation:
    """A model with its variables; constraints.py and objective.py add what binds them."""

    def __init__(self, problem: Problem, units: Sequence[Unit], *, fine: bool) -> None:
        self.problem = problem
        self.units = tuple(units)
        self.fine = fine
        self.model = Model()
        self.choice: list[dict[int, Linear]] = [
            {o: self.model.integer(0, unit.count) for o in unit.options} for unit in self.units
        ]
        self.takes: dict[tuple[int, int, Region, str], Linear] = {}
        self.touches: dict[tuple[int, int, Region], Linear] = {}
        self.kind_use: dict[int, KindUse] = {}
        self.memory_flows: dict[MemoryKey, dict[Place, Linear]] = {}
        self.device_flows: dict[DeviceKey, dict[int, Linear]] = {}
        self.memory_cost = ZERO
        self.device_cost = ZERO
        self._on: dict[tuple[int, int, NodeId, bool], Linear] = {}
        self._kept: dict[int, list[tuple[Linear, int, bool]]] = defaultdict(list)
        self._regions = self._find_regions()
        for u, unit in enumerate(self.units):
            self._index(u, unit)

    def _index(self, u: int, unit: Unit) -> None:
        lists: dict[tuple[int, int, NodeId, bool], list[Linear]] = defaultdict(list)
        for o, count in self.choice[u].items():
            option = unit.guests.options[o]
            for k, node in enumerate(option.nodes):
                lists[u, k, node, option.keep is not None].append(count)
            for core in () if option.keep is None else option.keep.cores:
                self._kept[core.kind].append((count, core.cpus, core.alone))
        self._on.update({key: total(parts) for key, parts in lists.items()})

    def placed(self, u: int) -> Linear:
        """How many guests of unit `u` are placed."""
        return total(self.choice[u].values())

    def on(self, u: int, cell: int, node: NodeId, *, kept: bool | None = None) -> Linear:
        """How many guests of unit `u` have `cell` on `node`; only those kept as they are, or only the others."""
        return total(self._on.get((u, cell, node, k), ZERO) for k in (False, True) if kept in (None, k))

    def options(self, u: int) -> list[tuple[Option, Linear]]:
        """The ways open to unit `u`, each with how many of its guests go that way."""
        return [(self.units[u].guests.options[o], count) for o, count in self.choice[u].items()]

    def uses(self, u: int, node: NodeId) -> Linear:
        """How many guests of unit `u` have a cell on `node`."""
        return total(count for option, count in self.options(u) if node in option.nodes)

    def any_of(self, parts: Sequence[Linear]) -> Linear:
        """1 where one of `parts` is."""
        if len(parts) == 1:
            return parts[0]
        there = self.model.boolean()
        for part in parts:
            self.model.at_most(part - there, 0)
        return there

    def cells(self) -> list[tuple[int, int, CellDemand]]:
        """(unit, cell number, demand) of every cell."""
        return [(u, k, cell) for u, unit in enumerate(self.units) for k, cell in enumerate(unit.guests.cells)]

    def region(self, kind: CoreKind) -> Region:
        """Where the CPUs of `kind` are counted at this grain."""
        return (kind.node, kind.llc if self.fine else None)

    def regions(self) -> list[Region]:
        """Every region with something to give, in a fixed order."""
        return self._regions

    def _find_regions(self) -> list[Region]:
        found = {self.region(kind) for kind in self.problem.core_kinds}
        return sorted(found, key=lambda region: (region[0], -1 if region[1] is None else region[1]))

    def kept(self, kind: int) -> list[tuple[Linear, int, bool]]:
        """(whether a guest is kept there, CPUs it holds on the core, whether alone) for each guest that may be kept."""
        return self._kept.get(kind, [])


def memory_key(problem: Problem, cell: CellDemand, option: Option, k: int) -> MemoryKey:
    """The key of cell `k` of a guest that goes the way of `option`."""
    node = option.nodes[k]
    bound = option.memory_node(k)
    if bound is not None:
        nodes: tuple[NodeId, ...] = (bound,)
    else:
        nodes = (node,) if cell.strict else problem.facts.nodes
    places = tuple((other, problem.memory_cost(cell, node, other)) for other in nodes)
    return MemoryKey(cell.memory_kib, cell.page_sizes_kib, places)


def near_kinds(
    problem: Problem, kinds: Sequence[int], affinity: Affinity, nodes: tuple[NodeId, ...]
) -> tuple[tuple[int, int], ...]:
    """Those of `kinds` that are near enough to a guest on `nodes`, and what one device of each costs it."""
    facts, known = problem.facts, problem.device_kinds
    return tuple(
        (i, problem.device_cost(known[i], nodes)) for i in kinds if near_enough(facts, affinity, known[i].node, nodes)
    )


def device_key(problem: Problem, unit: int, demand: DeviceDemand, near: tuple[tuple[int, int], ...]) -> DeviceKey:
    """The key of a demand of a guest that is `near` these kinds."""
    bundled = any(problem.device_kinds[i].bundle is not None for i, _ in near)
    return DeviceKey(near, demand.mbps, demand.count if demand.distinct else None, unit if bundled else None)


def coarse_units(problem: Problem) -> list[Unit]:
    """One unit a class."""
    return [
        Unit(c, guests, 0, len(guests.members), tuple(range(len(guests.options))))
        for c, guests in enumerate(problem.classes)
    ]


def _as_kept(guests: GuestClass, chosen: int) -> tuple[int, ...]:
    """That option; of one that is kept also those in which it is, with its devices or without."""
    if guests.options[chosen].keep is None:
        return (chosen,)
    return tuple(o for o, option in enumerate(guests.options) if option.keep is not None)


def fine_units(problem: Problem, fixed: Mapping[str, int | None] | None = None) -> list[Unit]:
    """One unit a guest; with `fixed`, each has only the option named there (None: it is left out)."""
    units = []
    for c, guests in enumerate(problem.classes):
        for i, guest in enumerate(guests.members):
            options = tuple(range(len(guests.options)))
            if fixed is not None:
                chosen = fixed.get(guest.name)
                options = () if chosen is None else _as_kept(guests, chosen)
            units.append(Unit(c, guests, i, 1, options))
    return units
