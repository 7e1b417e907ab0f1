"""The levels of the objective as sums over the model's variables; model/plan.py has their order."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from numaplan.cpuset import CpuId
from numaplan.model.host import NodeId
from numaplan.placement.cpsat import Linear, total
from numaplan.placement.facts import Place
from numaplan.placement.formulation import TAKES, Formulation, MemoryKey, Region, Unit, memory_key
from numaplan.placement.problem import CellDemand


def priority(f: Formulation) -> Linear:
    """The priorities of the placed guests."""
    return total(f.placed(u) * unit.guests.request.priority for u, unit in enumerate(f.units))


def cross_node_cost(f: Formulation) -> Linear:
    """VFs, devices and virtio uplinks to their guest, cells to each other, memory to its cell."""
    by_option = total(count * option.cost for u in range(len(f.units)) for option, count in f.options(u))
    return by_option + f.memory_cost + f.device_cost


def llc_spans(f: Formulation) -> Linear:
    """How many LLCs the cell sets of cells with dedicated vCPUs touch; fine grain only."""
    spans = []
    least: dict[tuple[CellDemand, NodeId], int] = {}
    regions = f.regions()
    for u, k, cell in f.cells():
        if not spans_count(f.units[u], k):
            continue
        touches: dict[NodeId, list[Linear]] = {}
        for region in regions:
            taken = [f.takes[u, k, region, take] for take in TAKES if (u, k, region, take) in f.takes]
            if region[1] is None or not taken:
                continue
            touch = f.touches[u, k, region] = f.model.boolean()
            f.model.at_most(total(taken) - touch * f.model.upper(total(taken)), 0)
            touches.setdefault(region[0], []).append(touch)
        for node, parts in touches.items():
            if (cell, node) not in least:
                least[cell, node] = least_spans(f, cell, node)
            f.model.at_least(total(parts) - f.on(u, k, node, kept=False) * least[cell, node], 0)
            spans.extend(parts)
    for u in range(len(f.units)):
        spans += [kept * option.keep.llc_spans for option, kept in f.options(u) if option.keep is not None]
    return total(spans)


def spans_count(unit: Unit, cell: int) -> bool:
    """Whether the LLCs that a cell touches count: whether it has dedicated vCPUs."""
    request = unit.guests.request
    return not request.dedicated_vcpus.isdisjoint(request.cells[cell].vcpus)


def least_spans(f: Formulation, cell: CellDemand, node: NodeId) -> int:
    """The fewest LLCs that can hold a cell set on an otherwise empty node."""
    by_llc: dict[int | None, int] = defaultdict(int)
    for kind in f.problem.core_kinds:
        if kind.node == node:
            cores = len(kind.cores)
            by_llc[kind.llc] += (cores if kind.isolable else 0) if cell.isolated else cores * kind.free
    if None in by_llc:
        return 0
    return fewest_llcs(by_llc.values(), cell.cpus(f.problem.facts.threads))


def fewest_llcs(rooms: Iterable[int], cpus: int) -> int:
    """How many LLCs with these rooms hold so many CPUs, the roomiest first; all of them where they do not."""
    count = 0
    for room in sorted(rooms, reverse=True):
        count += cpus > 0
        cpus -= room
    return count


def free_nodes(f: Formulation) -> Linear:
    """Nodes on which nothing is given and no CPU is taken."""
    facts = f.problem.facts
    width = facts.threads
    count = []
    for node in facts.nodes:
        if facts.online(node).isdisjoint(facts.taken):
            given = [f.on(u, k, node) for u, k, cell in f.cells() if cell.cpus(width)]
            given += [flow for flows in f.memory_flows.values() for (at, _), flow in flows.items() if at == node]
            free = _free(f, given)
            # Follows from the above, but without it the relaxation sees no use in filling a node.
            room = sum(kind.cpus for kind in f.problem.core_kinds if kind.node == node)
            room += f.problem.cpus_beside([node])
            held = total(f.on(u, k, node) * cell.cpus(width) for u, k, cell in f.cells() if cell.cpus(width))
            f.model.at_most(held + free * room, room)
            count.append(free)
    return total(count)


def free_llcs(f: Formulation) -> Linear:
    """LLCs with something to give, all of it free; fine grain only, and after llc_spans."""
    facts = f.problem.facts
    takes: dict[int | None, list[tuple[tuple[int, int, Region], str, Linear]]] = defaultdict(list)
    for (u, k, region, take), x in f.takes.items():
        takes[region[1]].append(((u, k, region), take, x))
    touches: dict[int | None, list[Linear]] = defaultdict(list)
    for (_, _, region), touch in f.touches.items():
        touches[region[1]].append(touch)
    kinds: dict[int | None, list[int]] = defaultdict(list)
    for i, kind in enumerate(f.problem.core_kinds):
        kinds[kind.llc].append(i)
    count = []
    for number, cpus in enumerate(facts.llcs):
        if not cpus & facts.allocatable or not cpus.isdisjoint(facts.taken):
            continue
        given = touches[number] + [x for key, _, x in takes[number] if key not in f.touches]
        for i in kinds[number]:
            given += [kept for kept, _, _ in f.kept(i)]
            given.append(f.kind_use[i].isolated + f.kind_use[i].whole + f.kind_use[i].opened)
        free = _free(f, given)
        # Follows from the above, but without it the relaxation sees no use in sharing a cache.
        room = sum(f.problem.core_kinds[i].cpus for i in kinds[number])
        held = total(x * _threads(f, key, take) for key, take, x in takes[number])
        f.model.at_most(held + free * room, room)
        count.append(free)
    return total(count)


def _threads(f: Formulation, key: tuple[int, int, Region], take: str) -> int:
    """The threads that one of what a cell takes is."""
    if take == "whole":
        return f.problem.facts.threads
    return f.units[key[0]].guests.cells[key[1]].part if take == "part" else 1


def free_cores(f: Formulation) -> Linear:
    """Cores all of whose threads may go to a guest, and none does or is kept idle."""
    count = []
    split: dict[CpuId, list[Linear]] = defaultdict(list)
    for i, kind in enumerate(f.problem.core_kinds):
        use = f.kind_use[i]
        used = use.isolated + use.whole + use.opened
        if kind.full:
            count.append(Linear(constant=len(kind.cores)) - used)
        if kind.split is not None:
            split[kind.split].append(used)
    count += [_free(f, parts) for _, parts in sorted(split.items())]
    facts = f.problem.facts
    # Cores on no node are given to nobody.
    nowhere = [c for c in facts.snapshot.cores if all(cpu not in facts.node_of for cpu in c.cpus)]
    free = sum(core.cpus <= facts.allocatable - facts.taken for core in nowhere)
    return total(count) + free


def moves(f: Formulation) -> Linear:
    """Guests that are there already and do not stay just as they are."""
    count = []
    for u, unit in enumerate(f.units):
        if unit.guests.exists:
            kept = total(kept for option, kept in f.options(u) if option.keep is not None)
            count.append(Linear(constant=unit.count) - kept)
    return total(count)


def tie_break(f: Formulation) -> Linear:
    """The tie-break below all levels: guests that stay keep their devices; larger pages, then those that cells have."""
    same = _pages_kept(f)
    weight = f.model.upper(same) + 1
    sizes = sorted({size for key in f.memory_flows for size in key.page_sizes_kib})
    flows = (flow for flows in f.memory_flows.values() for flow in flows.items())
    pages = same + total(flow * sizes.index(size) * weight for (_, size), flow in flows)
    weight = f.model.upper(pages) + 1
    options = (way for u in range(len(f.units)) for way in f.options(u))
    changed = [kept * -weight for option, kept in options if option.keep is not None and not option.keep.exact]
    return total((pages, *changed))


def _pages_kept(f: Formulation) -> Linear:
    """How many cells of guests that may stay find their memory in pages of the size that they have, of several."""
    there: Counter[tuple[MemoryKey, Place]] = Counter()
    for u, unit in enumerate(f.units):
        option = next((option for option, _ in f.options(u) if option.keep is not None), None)
        for k, place in enumerate(() if option is None else option.places_kept):
            if option is not None and len(unit.guests.cells[k].page_sizes_kib) > 1:
                there[memory_key(f.problem, unit.guests.cells[k], option, k), place] += 1
    same = []
    for (key, place), count in there.items():
        if (flow := f.memory_flows.get(key, {}).get(place)) is not None:
            same.append(f.model.integer(0, count))
            f.model.at_most(same[-1] - flow, 0)
    return total(same)


def _free(f: Formulation, given: list[Linear]) -> Linear:
    """1 where nothing is given. A condition for each part: one on their sum would say the same, but prove less."""
    parts = [part for part in given if part.terms]
    if not parts:
        return Linear(constant=1)
    free = f.model.boolean()
    for part in parts:
        f.model.zero_if(free, part)
    return free
