"""Every way for one placed guest to lie on nodes with all others held: what it costs, or what is missing there.

Counted, not searched: the constraints of constraints.py for a single guest beside fixed ones.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.model.host import NodeId
from numaplan.model.plan import Placement
from numaplan.placement.demands import ports_in_reach, uplink_node
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.problem import CellDemand, GuestClass, Problem
from numaplan.placement.why.beside import Beside, CoreState, Host, given_devices
from numaplan.placement.why.cheapest import Offer, Stock, Want, cheapest
from numaplan.placement.why.devices import devices_lack, serve_devices
from numaplan.placement.why.lack import Lack, Nodes, listed
from numaplan.units import format_count, format_size

# So many cells, nodes and PFs compete that counting gave up.
UNDECIDED: Final = "whether its memory, VFs and devices fit there was not found out"


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
    """Cell k on `nodes[k]`: its least cost, or the first thing that is missing there."""

    nodes: Nodes
    cost: Cost | None
    lack: Lack | None = None


def cost_now(host: Host, placement: Placement) -> Cost:
    """What the guest costs where the plan has it."""
    problem = host.problem
    guests = host.class_of[placement.vm]
    nodes = tuple(cell.numa_node for cell in placement.cells)
    devices = sum(
        problem.device_cost(problem.device_kinds[host.kind_of[address]], nodes)
        for addresses in given_devices(placement)
        for address in addresses
    )
    memory = sum(
        problem.memory_cost(demand, cell.numa_node, cell.memory_node)
        for demand, cell in zip(guests.cells, placement.cells, strict=True)
    )
    return Cost(_cells_cost(problem, nodes), devices + _uplinks_cost(problem, guests, nodes), memory)


def other_ways(host: Host, beside: Beside, placement: Placement) -> Iterator[Way]:
    """Every other way, equal cells told apart only once."""
    guests = host.class_of[placement.vm]
    now = canonical(guests, tuple(cell.numa_node for cell in placement.cells))
    for nodes in every_way(host.problem, guests):
        if nodes != now:
            yield way_there(host, beside, placement.vm, nodes=nodes)


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
        missing = cell.cpus(width)
        for free in sorted(room.values(), reverse=True):
            fewest += missing > 0
            missing -= free
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


def way_there(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> Way:
    """What it costs to lie on `nodes`, or what is missing."""
    guests = host.class_of[vm]
    problem = host.problem
    lack = (
        _links_lack(host, beside, vm, nodes=nodes)
        or _cells_lack(problem, beside, guests, nodes=nodes)
        or _floating_lack(host, beside, vm, nodes=nodes)
        or _overhead_lack(problem, beside, nodes)
        or _ports_lack(problem, guests, nodes)
    )
    if lack is not None:
        return Way(nodes, None, lack)
    memory_left = _memory_left(problem, beside, guests, nodes=nodes)
    memory = cheapest(_memory_wants(problem, guests, nodes), memory_left)
    devices = serve_devices(problem, beside, guests, nodes=nodes)
    if not (memory.decided and devices.decided):
        return Way(nodes, None, Lack(None, UNDECIDED))
    if memory.cost is None:
        return Way(nodes, None, _memory_lack(memory_left, guests, nodes))
    if devices.cost is None:
        return Way(nodes, None, devices_lack(problem, beside, guests, nodes=nodes))
    uplinks = _uplinks_cost(problem, guests, nodes)
    return Way(nodes, Cost(_cells_cost(problem, nodes), devices.cost + uplinks, memory.cost))


def _cells_cost(problem: Problem, nodes: Nodes) -> int:
    facts = problem.facts
    return facts.policy.costs.cell * sum(facts.distance(a, b) for i, a in enumerate(nodes) for b in nodes[:i])


def _uplinks_cost(problem: Problem, guests: GuestClass, nodes: Nodes) -> int:
    facts = problem.facts
    ports = [uplink_node(facts, interface.bridge) for interface in guests.request.interfaces if interface.type.is_port]
    return facts.policy.costs.vf * sum(min(facts.distance(port, node) for node in nodes) for port in ports)


def _by_node(guests: GuestClass, nodes: Nodes) -> dict[NodeId, list[CellDemand]]:
    found: dict[NodeId, list[CellDemand]] = defaultdict(list)
    for cell, node in zip(guests.cells, nodes, strict=True):
        found[node].append(cell)
    return found


def _cells_lack(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> Lack | None:
    """CPUs and the shared pool, node by node."""
    facts = problem.facts
    for node, cells in _by_node(guests, nodes).items():
        shared = sum(cell.shared for cell in cells)
        said = _cpu_lack(problem, beside, cells, node=node)
        if said is None and shared > beside.pool[node]:
            room = format_count(beside.pool[node], "more shared vCPU")
            said = (
                f"no shared CPUs, needs {shared}"
                if not facts.shared & facts.online(node)
                else f"room for {room}, needs {shared}"
            )
        if said is not None:
            here = [k for k, other in enumerate(nodes) if other == node]
            return Lack(node, f"has {said}{_for_cells(guests, here)}")
    return None


def _for_cells(guests: GuestClass, cells: Sequence[int]) -> str:
    """Which cells of several it is that a node cannot take: others, or fewer of them, may well lie there."""
    if len(set(guests.cells)) == 1:
        return f" for {len(cells)} cells" if len(cells) > 1 else ""
    return f" for cell{'s' * (len(cells) > 1)} {format_id_list(cells)}"


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
    if (said := next((said for lacking, said in lacks if lacking), None)) is not None:
        return said
    parts = [cell.part for cell in cells if cell.part]
    if parts and not _parts_fit(here, wanted, parts=parts):
        threads = format_count(max(parts), "more free thread")
        return f"no core with {threads}, needs one for what is left of {format_count(need, 'CPU')}"
    return None


def _parts_fit(here: Mapping[CoreState, int], wanted: int, *, parts: list[int]) -> bool:
    """Whether parts of cores find cores beside `wanted` whole ones; opened cores first, for whole ones are scarce."""
    rooms = sorted(
        (state.whole, state.free) for state, count in here.items() for _ in range(min(count, len(parts) + wanted))
    )
    open_rooms = [free for whole, free in rooms if not whole]
    whole_cores = sum(count for state, count in here.items() if state.whole) - wanted
    width = max((state.free for state in here if state.whole), default=0)
    wants = [
        Want(1, tuple(Offer(0, ((i, part),)) for i in range(len(open_rooms) + min(whole_cores, len(parts)))))
        for part in sorted(parts, reverse=True)
    ]
    stocks: dict[Stock, int] = dict(enumerate(open_rooms + [width] * min(whole_cores, len(parts))))
    return cheapest(wants, stocks).cost is not None


def _links_lack(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> Lack | None:
    """Affinity and anti_affinity, its own and those of others that name it."""
    mine = frozenset(nodes)
    facts = host.problem.facts
    where = {**facts.guest_nodes, **beside.nodes}
    for word, agrees in (("affinity", _together), ("anti_affinity", frozenset.isdisjoint)):
        partners = list(getattr(host.asked[vm], word))
        partners += [name for name in beside.nodes if vm in getattr(host.asked[name], word)]
        for name in dict.fromkeys(partners):
            theirs = where.get(name)
            if theirs and not agrees(mine, theirs):
                return Lack(None, f'{word} to "{name}", which is on {listed(sorted(theirs))}')
    return None


def _together(mine: frozenset[NodeId], theirs: frozenset[NodeId]) -> bool:
    return mine <= theirs or theirs <= mine


def _floating_lack(host: Host, beside: Beside, vm: str, *, nodes: Nodes) -> Lack | None:
    """Where the host names no pool: a CPU that nobody holds for every guest whose threads float."""
    if host.problem.facts.names_pools:
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


def _memory_left(problem: Problem, beside: Beside, guests: GuestClass, *, nodes: Nodes) -> Mapping[Stock, int]:
    """Memory by node and page size, less what QEMU itself would take; none where the host does not list any."""
    sizes = {SMALL_PAGE_KIB, *(size for cell in guests.cells for size in cell.page_sizes_kib)}
    places = [(node, size) for node in problem.facts.nodes for size in sorted(sizes)]
    left: dict[Stock, int] = {place: beside.capacity_kib.get(place, 0) for place in places}
    for node in set(nodes):
        left[node, SMALL_PAGE_KIB] -= problem.facts.policy.guest_overhead_kib
    return left


def _memory_wants(problem: Problem, guests: GuestClass, nodes: Nodes) -> list[Want]:
    wants = []
    for cell, node in zip(guests.cells, nodes, strict=True):
        offers = [
            Offer(problem.memory_cost(cell, node, other), (((other, size), cell.memory_kib),))
            for other in ((node,) if cell.strict else problem.facts.nodes)
            for size in cell.page_sizes_kib
        ]
        wants.append(Want(1, tuple(sorted(offers, key=lambda offer: offer.cost))))
    return wants


def _memory_lack(left: Mapping[Stock, int], guests: GuestClass, nodes: Nodes) -> Lack:
    for k, (cell, node) in enumerate(zip(guests.cells, nodes, strict=True)):
        have = {size: left.get((node, size), 0) for size in cell.page_sizes_kib}
        if not have:
            size = format_size(cell.memory_kib)
            return Lack(node, f"has no pages of a size that divides {size}{_for_cells(guests, [k])}")
        best = max(have, key=lambda size: (have[size], size))
        if cell.strict and have[best] < cell.memory_kib:
            if best == SMALL_PAGE_KIB:
                said = f"{format_size(have[best])} of ordinary memory left, needs {format_size(cell.memory_kib)}"
            else:
                pages = format_count(have[best] // best, f"free {format_size(best)} page")
                said = f"{pages}, needs {cell.memory_kib // best}"
            return Lack(node, f"has {said}{_for_cells(guests, [k])}")
    return Lack(None, "its cells find too little memory together")
