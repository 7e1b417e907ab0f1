"""Whether cells can share the nodes out among them: every way to fill a node, and how often each way is taken.

What totals count one by one is here counted together: cores of their own, whole cores, CPUs, shared vCPUs, memory of
one page size and of all; that equal cells of a guest lie apart; and where no pool is named, the CPU that nobody holds
beside what floats. VFs and links are left out, so a refusal is a proof, and a filling only a place to start from.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from numaplan.model.host import NodeId
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Linear, Model, Outcome, total
from numaplan.placement.filling.needs import Needs, beside_what_floats, cell_needs, memory_needs, room_on
from numaplan.placement.formulation import Formulation, MemoryKey, coarse_units, memory_key
from numaplan.placement.lies import Lies, lies_in
from numaplan.placement.problem import CellDemand, GuestClass, Problem

# CP-SAT's deterministic time to choose among the ways to fill nodes, and to place guests as such a choice says.
WORK: Final = 0.1

# So many ways to fill nodes are looked at in all, with so many lumps; where there are more, the smallest are left out.
MOST_WAYS: Final = 2_000
MOST_LUMPS: Final = 12


@dataclass(frozen=True, slots=True, order=True)
class Lump:
    """Cells that go to one node, one of `nodes`, and what they need there of each thing that is counted.

    `floats`: and a CPU of that node that nobody holds, which may be the same for all. So many of a guest lie `apart`,
    each on another node.
    """

    needs: Needs
    nodes: tuple[NodeId, ...]
    floats: bool = False
    apart: int = 1


# Nodes of one kind have as much room, for the same lumps. A way to fill one tells how often each of these lies there.
NodeKind = tuple[Needs, tuple[Lump, ...]]
Way = tuple[int, ...]
Ways = Mapping[NodeKind, Sequence[Way]]


def ways_to_use(kind: NodeKind) -> Iterator[NodeKind]:
    """The two ways to use a node: with a CPU that nobody holds, for all lumps, or for those alone that do not float.

    As a node each, with the room and the lumps that it has then; only the latter where nothing floats.
    """
    room, lumps = kind
    others = tuple(lump for lump in lumps if not lump.floats)
    beside = None if len(others) == len(lumps) else beside_what_floats(room)
    if beside is not None:
        yield beside, lumps
    yield room, others


@dataclass(frozen=True, slots=True)
class Load:
    """How many of each lump are wanted, and the room that each node has."""

    wanted: Mapping[Lump, int]
    room: Mapping[NodeId, Needs]

    @classmethod
    def of(cls, problem: Problem, *, cores_only: bool = False) -> "Load":
        """All cells, none where ways to use cores were left out; `cores_only`: by their dedicated CPUs alone."""
        wanted: Counter[Lump] = Counter()
        for guests in () if problem.uncounted else problem.classes:
            for lump, count in lumps_of(problem, guests, cores_only=cores_only).items():
                wanted[lump] += count * len(guests.members)
        return cls(wanted, {node: room_on(problem, node, cores_only=cores_only) for node in problem.facts.nodes})

    def most(self, lump: Lump) -> int:
        """No more of a lump than this lie on one node."""
        return -(-self.wanted[lump] // lump.apart)

    def beside(self, nodes: Collection[NodeId], way: Mapping[Lump, int]) -> "Load":
        """What is left of it beside `nodes` that are all filled so."""
        wanted = {lump: max(0, count - len(nodes) * way.get(lump, 0)) for lump, count in self.wanted.items()}
        return Load(wanted, {node: room for node, room in self.room.items() if node not in nodes})

    def kind(self, node: NodeId, lumps: Sequence[Lump]) -> NodeKind:
        """What of `lumps` may lie on a node, and the room for that."""
        return self.room[node], tuple(lump for lump in lumps if node in lump.nodes)

    def shares(self) -> Mapping[Lump, float]:
        """The largest part of anything on the roomiest node that each lump needs, where it needs anything."""
        most = [max(amounts) for amounts in zip(*self.room.values(), strict=True)]
        return {
            lump: max(float(need / max(have, 1)) for need, have in zip(lump.needs, most, strict=True))
            for lump in self.wanted
            if any(lump.needs)
        }


@dataclass(frozen=True, slots=True)
class Filling:
    """INFEASIBLE: the cells have no place. OPTIMAL: `slots` of a node take so many of each lump; else not known.

    `lumps`: how many different ones there are.
    """

    outcome: Outcome
    slots: Mapping[tuple[NodeId, Lump], int] = field(default_factory=dict)
    lumps: int = 0


def fill(problem: Problem, *, cores_only: bool = False, whole: int | None = None) -> Filling:
    """Fills the nodes with all cells of `problem`; `cores_only`: by their dedicated CPUs alone.

    Where there are too many ways for that, with the largest of them, unless they are to be `whole`: all if there are
    no more different ones than that, else none.
    """
    load = Load.of(problem, cores_only=cores_only)
    sizes = load.shares()
    lumps = sorted(sizes, key=lambda lump: (-sizes[lump], lump))
    largest = lumps[:MOST_LUMPS] if whole is None or len(lumps) <= whole else []
    while largest and len(load.room) > 1:
        if (ways := _all_ways(load, largest)) is not None:
            found = _chosen(load, largest, ways)
            # A choice that is blind to the small ones is no good place to start from.
            return found if len(largest) == len(lumps) or not found.slots else Filling(Outcome.UNKNOWN)
        largest = largest[: len(largest) * 3 // 4] if whole is None else []
    return Filling(Outcome.UNKNOWN, lumps=len(lumps))


def lumps_of(problem: Problem, guests: GuestClass, *, cores_only: bool = False) -> Mapping[Lump, int]:
    """What each guest of a class wants: how many of each lump."""
    cells = [lump for _, lump in _lumps(problem, guests, cores_only=cores_only)]
    memory = [] if cores_only else [lump for _, lump in _memory_lumps(problem, guests)]
    return Counter([*cells, *memory])


def keep_to(f: Formulation, filling: Filling) -> None:
    """Demands that a node has no more cells, and no more memory from elsewhere, than `filling` has slots for."""
    used: dict[tuple[NodeId, Lump], list[Linear]] = {slot: [] for slot in filling.slots}
    flows: dict[MemoryKey, Lump] = {}
    for u, unit in enumerate(f.units):
        for k, lump in _lumps(f.problem, unit.guests, cores_only=False):
            for node in lump.nodes:
                if (node, lump) in used:
                    used[node, lump].append(f.on(u, k, node))
        for k, lump in _memory_lumps(f.problem, unit.guests):
            options = (unit.guests.options[o] for o in unit.options)
            flows.update((memory_key(f.problem, unit.guests.cells[k], option, k), lump) for option in options)
    for key, lump in flows.items():
        for (node, _), flow in f.memory_flows[key].items():
            if (node, lump) in used:
                used[node, lump].append(flow)
    for slot, cells in used.items():
        f.model.at_most(total(cells), filling.slots[slot])


def placed_so(problem: Problem, filling: Filling) -> Lies:
    """Where the guests of `problem` lie with no more cells on a node than `filling` has slots for; {}: not found."""
    f = formulate(problem, coarse_units(problem), fine=False)
    keep_to(f, filling)
    solution = f.model.solve(ZERO, maximize=False, work=WORK).solution
    return lies_in(f, solution) if solution else {}


def _lumps(problem: Problem, guests: GuestClass, *, cores_only: bool) -> Iterator[tuple[int, Lump]]:
    """(a cell, what goes with it): cells that always share a node are one lump, and those that lie apart are alike."""
    if guests.partial:
        alike = Counter(guests.cells) if guests.request.distinct_nodes else Counter[CellDemand]()
        for k, cell in enumerate(guests.cells):
            needs = cell_needs(problem, guests, k, cores_only=cores_only)
            yield k, Lump(needs, problem.facts.nodes, apart=max(1, alike[cell]))
        return
    together: dict[tuple[NodeId, ...], list[int]] = {}
    for k in range(len(guests.cells)):
        together.setdefault(tuple(option.nodes[k] for option in guests.options), []).append(k)
    # On several nodes, any of them will do for what floats.
    floats = guests.floats and len(together) == 1 and not cores_only
    equal: dict[tuple[CellDemand, ...], list[tuple[NodeId, ...]]] = {}
    for nodes, cells in together.items():
        equal.setdefault(tuple(guests.cells[k] for k in cells), []).append(nodes)
    for alike_nodes in equal.values():
        are_apart = all(len(set(way)) == len(way) for way in zip(*alike_nodes, strict=True))
        # Which of equal cells has which node makes no difference.
        shared = {node for nodes in alike_nodes for node in nodes}
        for nodes in alike_nodes:
            cells = together[nodes]
            each = [cell_needs(problem, guests, k, cores_only=cores_only) for k in cells]
            reach = tuple(sorted(shared if are_apart else set(nodes)))
            apart = len(alike_nodes) if are_apart else 1
            yield cells[0], Lump(tuple(map(sum, zip(*each, strict=True))), reach, floats, apart)


def _memory_lumps(problem: Problem, guests: GuestClass) -> Iterator[tuple[int, Lump]]:
    """(a cell, its memory) of cells whose memory may lie on any node."""
    for k in range(len(guests.cells)):
        needs = memory_needs(problem, guests, k)
        if needs is not None and any(needs):
            yield k, Lump(needs, problem.facts.nodes)


def _all_ways(load: Load, lumps: Sequence[Lump]) -> Ways | None:
    """How often each lump lies on a node that is full, for each kind of node; None where there are too many ways."""
    found: dict[NodeKind, list[Way]] = {}
    left = MOST_WAYS
    for node in sorted(load.room):
        kind = load.kind(node, lumps)
        if kind not in found:
            found[kind] = []
            for room, some in ways_to_use(kind):
                for way in _ways(room, [(lump.needs, load.most(lump)) for lump in some]):
                    left -= 1
                    if left < 0:
                        return None
                    if way is not None:
                        found[kind].append(in_order(kind[1], some, way))
    return found


def in_order(lumps: Sequence[Lump], some: Sequence[Lump], way: Way) -> Way:
    """How often each of `lumps` lies there where `some` of them lie so often."""
    counts = dict(zip(some, way, strict=True))
    return tuple(counts.get(lump, 0) for lump in lumps)


def _ways(room: Needs, lumps: Sequence[tuple[Needs, int]]) -> Iterator[Way | None]:
    """The fullest ways first; None for one in which something more has a place."""
    if not lumps:
        yield ()
        return
    # Most lumps need few of the things that are counted.
    parts = [[(i, each) for i, each in enumerate(need) if each] for need, _ in lumps]

    def extend(way: Way, left: list[int]) -> Iterator[Way | None]:
        need, wanted = parts[len(way)], lumps[len(way)][1]
        most = min([wanted, *(left[i] // each for i, each in need)])
        rest = left.copy()
        for i, each in need:
            rest[i] -= most * each
        if len(way) + 1 == len(lumps):
            full = (*way, most)
            yield None if takes_more(full, rest) else full
            return
        for count in range(most, -1, -1):
            yield from extend((*way, count), rest)
            for i, each in need:
                rest[i] += each

    def takes_more(way: Way, rest: list[int]) -> bool:
        return any(
            count < wanted and all(each <= rest[i] for i, each in need)
            for count, (_, wanted), need in zip(way, lumps, parts, strict=True)
        )

    yield from extend((), list(room))


def _chosen(load: Load, lumps: Sequence[Lump], ways: Ways) -> Filling:
    """A way for each node, so that every lump has as many slots as are wanted."""
    model = Model()
    times: dict[NodeKind, list[Linear]] = {}
    slots: dict[Lump, list[Linear]] = {lump: [] for lump in lumps}
    for kind, full in ways.items():
        nodes = sum(load.kind(node, lumps) == kind for node in load.room)
        times[kind] = [model.integer(0, nodes) for _ in full]
        model.at_most(total(times[kind]), nodes)
        for way, often in zip(full, times[kind], strict=True):
            for lump, count in zip(kind[1], way, strict=True):
                slots[lump].append(often * count)
    for lump, places in slots.items():
        model.at_least(total(places), load.wanted[lump])
    solved = model.solve(ZERO, maximize=False, work=WORK)
    if not solved.solution:
        return Filling(solved.outcome)
    taken = {
        kind: [way for way, often in zip(full, times[kind], strict=True) for _ in range(often.value(solved.solution))]
        for kind, full in ways.items()
    }
    found: dict[tuple[NodeId, Lump], int] = {}
    for node in sorted(load.room):
        kind = load.kind(node, lumps)
        way = taken[kind].pop() if taken[kind] else (0,) * len(kind[1])
        found.update({(node, lump): count for lump, count in zip(kind[1], way, strict=True)})
    return Filling(Outcome.OPTIMAL, found)
