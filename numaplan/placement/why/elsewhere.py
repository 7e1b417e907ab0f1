"""Every way for one placed guest to lie on nodes with all others held: what it costs, or what is missing there.

Counted, not searched: the constraints of constraints.py for a single guest beside fixed ones.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.placement.demands import cells_cost, node_cost, ports_in_reach, uplinks_cost
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.objective import fewest_llcs
from numaplan.placement.problem import CellDemand, GuestClass, Problem
from numaplan.placement.ties import nested
from numaplan.placement.why.beside import Beside, Host
from numaplan.placement.why.cheapest import Offer, Service, Steps, Stock, Want
from numaplan.placement.why.devices import devices_lack, serve_devices
from numaplan.placement.why.lack import Lack, Nodes, for_cells, listed
from numaplan.placement.why.memory import memory_lack, memory_want, serve_memory
from numaplan.units import format_count, format_size

# So many cells, nodes and PFs compete that counting gave up.
UNDECIDED: Final = "whether it fits there was not found out"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cross-node cost of one guest, by what it is paid for."""

    cells: int
    devices: int
    memory: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.cells + self.devices + self.memory


@dataclass(frozen=True, slots=True)
class Way:
    """Cell k on `nodes[k]`: its least cost, or the first thing that is missing there.

    Where neither was found out, `least` is what it costs at the least, if it fits.
    """

    nodes: Nodes
    cost: Cost | None
    lack: Lack | None = None
    least: int | None = None


def cost_now(host: Host, placement: Placement) -> Cost:
    """What the guest costs where the plan has it."""
    problem = host.problem
    guests = host.class_of[placement.vm]
    nodes = tuple(cell.numa_node for cell in placement.cells)
    devices = sum(
        problem.device_cost(problem.device_kinds[host.kind_of[address]], nodes)
        for addresses in placement.functions
        for address in addresses
    )
    memory = sum(
        problem.memory_cost(demand, cell.numa_node, cell.memory_node)
        for demand, cell in zip(guests.cells, placement.cells, strict=True)
    )
    return Cost(cells_cost(problem.facts, nodes), devices + uplinks_cost(problem.facts, guests.request, nodes), memory)


def other_ways(host: Host, beside: Beside, placement: Placement) -> list[Way]:
    """Every other way, equal cells told apart only once."""
    guests = host.class_of[placement.vm]
    now = canonical(guests, tuple(cell.numa_node for cell in placement.cells))
    return ways_there(host, beside, placement.vm, [way for way in every_way(host.problem, guests) if way != now])


def ways_there(host: Host, beside: Beside, vm: str, ways: Sequence[Nodes]) -> list[Way]:
    """What it costs to lie on each of `ways`, or what is missing there.

    There is an end to what is tried in all: the ways that can be the cheapest come first.
    """
    counting = _Counting(host, beside, vm)
    found = {nodes: counting.first_look(nodes) for nodes in ways}
    open_ways = [way for way in found.values() if way.lack is None]
    for way in sorted(open_ways, key=lambda way: (way.least or 0, way.nodes)):
        found[way.nodes] = counting.count(way)
    return list(found.values())


def every_way(problem: Problem, guests: GuestClass) -> Sequence[Nodes]:
    """The nodes for its cells that are worth a look, equal cells told apart only once."""
    if len(guests.cells) == 1:
        return [(node,) for node in problem.facts.nodes]
    found = (option.nodes for option in guests.options if option.keep is None)
    return list(dict.fromkeys(nodes for way in found for nodes in _first_exchanged(guests, way)))


def _first_exchanged(guests: GuestClass, nodes: Nodes) -> Iterator[Nodes]:
    """The way itself, and where the first cell is apart, those in which it changes places with one that needs as much.

    The options have only one of these, for they come to the same in counts.
    """
    yield nodes
    for k in range(1, len(nodes) if _is_first_apart(guests) else 0):
        if guests.cells[k] != guests.cells[0]:
            return
        yield canonical(guests, (nodes[k], *nodes[1:k], nodes[0], *nodes[k + 1 :]))


def _is_first_apart(guests: GuestClass) -> bool:
    """Whether the first cell has other vCPUs than the next and so is not its equal, whatever threads of QEMU add."""
    return len({len(cell.vcpus) for cell in guests.request.cells[:2]}) > 1


def fewest_spans(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> int:
    """The fewest last-level caches that its cells with dedicated vCPUs can touch on `nodes`, each cell by itself."""
    guests, width = host.class_of[vm], host.problem.facts.threads
    fewest = 0
    for cell, node, asked in zip(guests.cells, nodes, guests.request.cells, strict=True):
        room: dict[int | None, int] = defaultdict(int)
        for state, count in beside.cores.items():
            if state.node == node:
                room[state.llc] += (count if state.isolable else 0) if cell.isolated else state.free * count
        if None in room or guests.request.dedicated_vcpus.isdisjoint(asked.vcpus):
            continue
        fewest += fewest_llcs(room.values(), cell.cpus(width))
    return fewest


def canonical(guests: GuestClass, nodes: Nodes) -> Nodes:
    """The same way with the nodes of equal cells that follow each other in order."""
    ordered: list[NodeId] = []
    start = 0
    for k in range(1, len(nodes) + 1):
        if k == len(nodes) or guests.cells[k] != guests.cells[k - 1] or (k == 1 and _is_first_apart(guests)):
            ordered += sorted(nodes[start:k])
            start = k
    return tuple(ordered)


class _Counting:
    """The ways of one guest, counted within so many steps. Of what comes again on many ways the answer is kept."""

    def __init__(self, host: Host, beside: Beside, vm: str) -> None:
        self.host, self.beside, self.vm = host, beside, vm
        self.guests = host.class_of[vm]
        self.steps = Steps()
        self._cells: dict[tuple[NodeId, tuple[int, ...]], Lack | None] = {}
        self._wants: dict[tuple[int, NodeId], Want] = {}
        self._memory: dict[tuple[tuple[NodeId, bool, int, tuple[int, ...]], ...], Service] = {}
        self._devices: dict[frozenset[NodeId], Service] = {}
        self._no_devices: dict[frozenset[NodeId], Lack] = {}

    def first_look(self, nodes: Nodes) -> Way:
        """What is missing, where that is easily told; else what it costs at the least."""
        host, beside, guests, problem = self.host, self.beside, self.guests, self.host.problem
        lack = (
            _links_lack(host, beside, self.vm, nodes=nodes)
            or self._cells_lack(nodes)
            or _floating_lack(host, beside, self.vm, nodes=nodes)
            or _overhead_lack(problem, beside, nodes)
            or _ports_lack(problem, guests, nodes)
        )
        if lack is not None:
            return Way(nodes, None, lack, least=self._fixed_cost(nodes) if lack.sentence == UNDECIDED else None)
        served = self._serve_memory(nodes).least + self._serve_devices(nodes).least
        return Way(nodes, None, least=served + self._fixed_cost(nodes))

    def count(self, way: Way) -> Way:
        """What a way costs at which nothing is missing at first look, or what is missing after all."""
        nodes, guests, problem = way.nodes, self.guests, self.host.problem
        memory = self._serve_memory(nodes).served(self.steps)
        devices = self._serve_devices(nodes).served(self.steps)
        if memory.decided and memory.cost is None:
            return Way(nodes, None, memory_lack(problem, self.beside, guests, nodes=nodes))
        if devices.decided and devices.cost is None:
            return Way(nodes, None, self._devices_lack(nodes))
        if not (memory.decided and devices.decided) or memory.cost is None or devices.cost is None:
            return replace(way, lack=Lack(None, UNDECIDED))
        uplinks = uplinks_cost(problem.facts, guests.request, nodes)
        return Way(nodes, Cost(cells_cost(problem.facts, nodes), devices.cost + uplinks, memory.cost))

    def _fixed_cost(self, nodes: Nodes) -> int:
        return node_cost(self.host.problem.facts, self.guests.request, nodes)

    def _cells_lack(self, nodes: Nodes) -> Lack | None:
        """CPUs and the shared pool, node by node; that it was not found out only where no node lacks any."""
        lacks = []
        for node in dict.fromkeys(nodes):
            here = tuple(k for k, other in enumerate(nodes) if other == node)
            if (node, here) not in self._cells:
                self._cells[node, here] = self._node_lack(node, here)
            lacks.append(self._cells[node, here])
        return min(filter(None, lacks), key=lambda lack: lack.sentence == UNDECIDED, default=None)

    def _node_lack(self, node: NodeId, here: tuple[int, ...]) -> Lack | None:
        """CPUs and the shared pool of a node for the cells `here`."""
        facts, cells = self.host.problem.facts, [self.guests.cells[k] for k in here]
        said = _cpu_lack(self.host.problem, self.beside, cells, node=node)
        shared, room = sum(cell.shared for cell in cells), self.beside.pool[node]
        if said is None and shared > room:
            no_pool = not facts.shared & facts.online(node)
            have = "no shared CPUs" if no_pool else f"room for {format_count(room, 'more shared vCPU')}"
            said = f"{have}, needs {shared}"
        if said is None and (parts := Counter(cell.part for cell in cells if cell.part)):
            served = _serve_parts(self.beside, cells, parts, node=node).served(self.steps)
            if not served.decided:
                return Lack(None, UNDECIDED)
            if served.cost is None:
                need = format_count(sum(cell.cpus(facts.threads) for cell in cells), "CPU")
                threads = format_count(max(parts), "more free thread")
                said = f"no core with {threads}, needs one for what is left of {need}"
        return None if said is None else Lack(node, f"has {said}{for_cells(self.guests, here)}")

    def _serve_memory(self, nodes: Nodes) -> Service:
        pairs = zip(self.guests.cells, nodes, strict=True)
        key = tuple(sorted((node, cell.strict, cell.memory_kib, cell.page_sizes_kib) for cell, node in pairs))
        if key not in self._memory:
            wants = [self._memory_want(k, node) for k, node in enumerate(nodes)]
            self._memory[key] = serve_memory(self.host.problem, self.beside, self.guests, nodes=nodes, wants=wants)
        return self._memory[key]

    def _memory_want(self, k: int, node: NodeId) -> Want:
        if (k, node) not in self._wants:
            self._wants[k, node] = memory_want(self.host.problem, self.guests.cells[k], node)
        return self._wants[k, node]

    def _serve_devices(self, nodes: Nodes) -> Service:
        key = frozenset(nodes)
        if key not in self._devices:
            self._devices[key] = serve_devices(self.host.problem, self.beside, self.guests, nodes=nodes)
        return self._devices[key]

    def _devices_lack(self, nodes: Nodes) -> Lack:
        key, asked = frozenset(nodes), (self.host.problem, self.beside, self.guests)
        if key not in self._no_devices:
            self._no_devices[key] = devices_lack(*asked, nodes=nodes, steps=self.steps)
        return self._no_devices[key]


def _by_node(guests: GuestClass, nodes: Nodes) -> dict[NodeId, list[CellDemand]]:
    found: dict[NodeId, list[CellDemand]] = defaultdict(list)
    for cell, node in zip(guests.cells, nodes, strict=True):
        found[node].append(cell)
    return found


def _cpu_lack(problem: Problem, beside: Beside, cells: list[CellDemand], *, node: NodeId) -> str | None:
    width = problem.facts.threads
    need = sum(cell.cpus(width) for cell in cells)
    here = {state: count for state, count in beside.cores.items() if state.node == node}
    free = sum(state.free * count for state, count in here.items())
    isolable = sum(count for state, count in here.items() if state.isolable)
    whole = sum(count for state, count in here.items() if state.whole)
    isolated = sum(cell.isolated for cell in cells)
    wanted = sum(cell.whole for cell in cells)
    if (need or any(cell.shared for cell in cells)) and not problem.facts.online(node):
        return "no CPUs"
    lacks = (
        (wanted > 0 and width == 1, "no SMT, which thread_policy require needs"),
        (isolable < isolated, f"{format_count(isolable, 'free core')}, needs {isolated} for thread_policy isolate"),
        (whole < wanted, f"{format_count(whole, 'whole free core')}, needs {wanted}"),
        (free < need, f"{format_count(free, 'free CPU')}, needs {need}"),
    )
    return next((said for lacking, said in lacks if lacking), None)


def _serve_parts(beside: Beside, cells: Sequence[CellDemand], parts: Mapping[int, int], *, node: NodeId) -> Service:
    """So many parts of cores by their threads beside whole ones; opened cores first, for whole ones are scarce."""
    here = {state: count for state, count in beside.cores.items() if state.node == node}
    wanted, many = sum(cell.whole for cell in cells), sum(parts.values())
    rooms = sorted((state.whole, state.free) for state, count in here.items() for _ in range(min(count, many + wanted)))
    open_rooms = [free for whole, free in rooms if not whole]
    whole_cores = sum(count for state, count in here.items() if state.whole) - wanted
    width = max((state.free for state in here if state.whole), default=0)
    stocks: dict[Stock, int] = dict(enumerate(open_rooms + [width] * min(whole_cores, many)))
    wants = [
        Want(count, tuple(Offer(0, ((i, part),)) for i in stocks))
        for part, count in sorted(parts.items(), reverse=True)
    ]
    return Service(wants, stocks)


def _links_lack(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> Lack | None:
    """Affinity and anti_affinity, its own and those of others that name it."""
    mine = frozenset(nodes)
    facts = host.problem.facts
    where = {**facts.guest_nodes, **beside.nodes}
    for word, agrees in (("affinity", nested), ("anti_affinity", frozenset.isdisjoint)):
        partners = list(getattr(host.asked[vm], word))
        partners += [name for name in beside.nodes if vm in getattr(host.asked[name], word)]
        for name in dict.fromkeys(partners):
            theirs = where.get(name)
            if theirs and not agrees(mine, theirs):
                return Lack(None, f'{word} to "{name}", which is on {listed(sorted(theirs))}')
    return None


def _floating_lack(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> Lack | None:
    """Where the host names no pool: a CPU that nobody holds for every guest whose threads float."""
    if host.problem.facts.has_pools:
        return None
    width = host.problem.facts.threads
    unheld = dict(beside.unheld)
    for node, cells in _by_node(host.class_of[vm], nodes).items():
        unheld[node] -= sum(cell.cpus(width) for cell in cells)
    for name, theirs in {**beside.nodes, vm: frozenset(nodes)}.items():
        if host.class_of[name].floats and not any(unheld[node] > 0 for node in theirs):
            whose = "its emulator" if name == vm else f'the emulator of "{name}"'
            return Lack(None, f"no CPU would be left for {whose} to float on")
    return None


def _overhead_lack(problem: Problem, beside: Beside, nodes: Nodes) -> Lack | None:
    """What QEMU itself takes of ordinary pages on each node."""
    overhead = problem.facts.policy.guest_overhead_kib
    for node in sorted(set(nodes)) if overhead else ():
        have = beside.capacity_kib.get((node, SMALL_PAGE_KIB), 0)
        if have < overhead:
            return Lack(
                node, f"has {format_size(have)} of ordinary memory left, needs {format_size(overhead)} for QEMU"
            )
    return None


def _ports_lack(problem: Problem, guests: GuestClass, nodes: Nodes) -> Lack | None:
    """Ports of bridges that must lead out near the guest."""
    if ports_in_reach(problem.facts, guests.request, nodes):
        return None
    return Lack(None, "a bridge of its interfaces leads to no physical port near enough")
