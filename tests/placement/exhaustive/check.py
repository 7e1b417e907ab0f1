"""Whether placements as the plan document has them keep every hard meaning of FORMATS, and what their levels are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from tests.placement.exhaustive.reading import NOBODY, Cpus, Json, cpu_list
from tests.placement.exhaustive.wishes import CellWish, PortWish, Wish
from tests.placement.exhaustive.world import SMALL_KIB, Function, World, affinities, memory_node
from tests.placement.exhaustive.world import functions_of as functions_there


def broken(world: World, wishes: Sequence[Wish], placements: Sequence[Json]) -> set[str]:
    """A word on each meaning that is broken; of guests that are missing only the required ones are told."""
    wish_of = {wish.name: wish for wish in wishes}
    placed = {placement["vm"]: placement for placement in placements}
    found = {f"{wish.name} is required" for wish in wishes if wish.required and wish.name not in placed}
    if len(placed) < len(placements) or not placed.keys() <= wish_of.keys():
        return found | {"a guest twice, or one that nobody asked for"}
    both = [(wish_of[name], placement) for name, placement in placed.items()]
    if unlike := {f"{wish.name}: not as asked" for wish, placement in both if not _as_asked(world, wish, placement)}:
        return found | unlike
    given = Counter(cpu for wish, placement in both for cpu in given_cpus(wish, placement))
    functions = Counter(address for _, placement in both for address in functions_of(placement))
    found |= {f"cpu {cpu} twice" for cpu, times in given.items() if times > 1}
    found |= {f"{address} twice" for address, times in functions.items() if times > 1}
    held = frozenset(given) | world.taken
    for wish, placement in both:
        found |= {f"{wish.name}: {what}" for what in _alone(world, wish, placement, held)}
    return (
        found
        | set(_memory(world, both))
        | set(_pools(world, both))
        | set(_partners(world, both))
        | set(_links(world, both))
    )


def values(world: World, wishes: Sequence[Wish], placements: Sequence[Json]) -> tuple[int, ...]:
    """The seven levels, in their order."""
    placed = {placement["vm"]: placement for placement in placements}
    both = [(wish, placed[wish.name]) for wish in wishes if wish.name in placed]
    given = frozenset(cpu for wish, placement in both for cpu in given_cpus(wish, placement))
    memory = {cell["memory_node"] for _, placement in both for cell in placement["cells"]}
    there = [wish for wish in wishes if wish.name in world.there]
    moves = sum(wish.name not in placed or is_moved(world, wish, placed[wish.name]) for wish in there)
    return (
        sum(wish.priority for wish, _ in both),
        sum(cost(world, wish, placement) for wish, placement in both),
        sum(spans(world, wish, placement) for wish, placement in both),
        *free_counts(world, given, memory),
        moves,
    )


def free_counts(world: World, given: Cpus, memory: Cpus | set[int]) -> tuple[int, int, int]:
    """Whole nodes, last-level caches and cores that are left where `given` CPUs and memory of those nodes go away."""
    held = given | world.taken
    return (
        sum(node not in memory and not world.cpus_of[node] & held for node in world.nodes),
        sum(bool(llc & world.allocatable) and not llc & held for llc in world.llcs),
        sum(core <= world.allocatable and not core & held for core in world.cores),
    )


def cost(world: World, wish: Wish, placement: Json) -> int:
    """What one guest adds to cross_node_cost."""
    costs = {"vf": 10, "cell": 10, "memory_gib": 1} | world.site.get("costs", {})
    cells = placement["cells"]
    nodes = {cell["numa_node"] for cell in cells}
    ends = [world.functions[address].node for address in functions_of(placement)]
    ends += [world.port_node(port.bridge) for port in wish.ports if port.is_bridged]
    near = sum(min(world.distance(end, node) for node in nodes) for end in ends)
    pairs = sum(world.distance(one["numa_node"], other["numa_node"]) for one, other in combinations(cells, 2))
    memory = sum(
        world.distance(cell["numa_node"], cell["memory_node"]) * -(-cell["memory_kib"] // (1 << 20)) for cell in cells
    )
    return int(costs["vf"] * near + costs["cell"] * pairs + costs["memory_gib"] * memory)


def spans(world: World, wish: Wish, placement: Json) -> int:
    """The caches that its cells with dedicated vCPUs touch."""
    sets = [_cell_set(wish, placement, index) for index, cell in enumerate(wish.cells) if cell.dedicated]
    return sum(bool(llc & frozenset(cell_set)) for cell_set in sets for llc in world.llcs)


def is_moved(world: World, wish: Wish, placement: Json) -> bool:
    """Whether a guest that is there gets another CPU, memory node or VF than its XML names.

    Where threads float that share follows from the pools, and memory that is bound to no one node is where it is.
    """
    return (
        cpus_moved(world, wish, placement) or memory_moved(world, wish, placement) or vfs_moved(world, wish, placement)
    )


def cpus_moved(world: World, wish: Wish, placement: Json) -> bool:
    """Whether a vCPU, or an emulator or iothread with CPUs of its own, runs elsewhere than in the XML."""
    guest = world.there[wish.name]
    now = affinities(guest)
    vcpus, emulator, iothreads = now[: guest["vcpus"]], now[guest["vcpus"]], now[guest["vcpus"] + 1 :]
    pinned = dict(enumerate(vcpus))
    if any(
        pinned.get(int(vcpu)) != cpu_list(cpus) for cell in placement["cells"] for vcpu, cpus in cell["vcpus"].items()
    ):
        return True
    if wish.own_emulator and emulator != cpu_list(placement["emulator"]):
        return True
    wanted = [cpu_list(cpus) for _, cpus in sorted(placement["iothreads"].items())]
    return not wish.iothreads_share and wanted != iothreads[: len(wanted)]


def memory_moved(world: World, wish: Wish, placement: Json) -> bool:
    """Whether memory that the XML binds to a node lies on another one."""
    guest = world.there[wish.name]
    return any(memory_node(guest, cell["id"]) not in (None, cell["memory_node"]) for cell in placement["cells"])


def vfs_moved(world: World, wish: Wish, placement: Json) -> bool:
    """Whether it gets a VF that it does not have."""
    have = set(functions_there(world.there[wish.name]))
    return any(one not in have and world.functions[one].pf is not None for one in functions_of(placement))


def given_cpus(wish: Wish, placement: Json) -> list[int]:
    """Every CPU that it gets for one of its threads alone, once for each thread."""
    return [cpu for index in range(len(wish.cells)) for cpu in _cell_set(wish, placement, index)]


def functions_of(placement: Json) -> list[str]:
    """Every VF and device that it gets."""
    vfs = [vf for interface in placement["interfaces"] for vf in interface["vfs"]]
    return vfs + [device["address"] for device in placement["devices"]]


def policy_kept(world: World, wish: Wish, *, vcpus: Sequence[int], others: Sequence[int], held: Cpus) -> bool:
    """Whether one cell set, CPUs of vCPUs and others, keeps the thread policy where `held` are all CPUs given away."""
    cell_set = frozenset(vcpus) | frozenset(others)
    used = Counter(world.core_of[cpu] for cpu in cell_set)
    if wish.thread_policy == "prefer" or not cell_set:
        return True
    if wish.thread_policy == "isolate":
        return all(len(core & (held | cell_set)) == 1 for core in used)
    whole, rest = divmod(len(cell_set), world.width)
    full = {core for core, count in used.items() if count == world.width}
    first = sum(world.core_of[cpu] in full for cpu in vcpus)
    alone = len(full) == whole and len(used) == whole + bool(rest)
    return world.width > 1 and alone and first == min(len(vcpus), whole * world.width)


def _cell_set(wish: Wish, placement: Json, index: int) -> list[int]:
    vcpus = placement["cells"][index]["vcpus"]
    found = [cpu for vcpu in wish.cells[index].dedicated for cpu in sorted(cpu_list(vcpus[str(vcpu)]))]
    return found + _others(wish, placement) if index == 0 else found


def _others(wish: Wish, placement: Json) -> list[int]:
    own = sorted(cpu_list(placement["emulator"])) if wish.own_emulator else []
    threads = [] if wish.iothreads_share else placement["iothreads"].values()
    return own + [cpu for cpus in threads for cpu in sorted(cpu_list(cpus))]


def _as_asked(world: World, wish: Wish, placement: Json) -> bool:
    """The cells, vCPUs, memory, threads and functions that were asked for, each on something that the host has."""
    cells = placement["cells"]
    wanted = [(i, tuple(map(str, cell.vcpus)), cell.memory_kib) for i, cell in enumerate(wish.cells)]
    counts = [(port.name, port.count) for port in wish.ports if port.is_vf and port.count]
    devices = [port.name for port in wish.ports if not port.is_vf]
    return (
        [(cell["id"], tuple(cell["vcpus"]), cell["memory_kib"]) for cell in cells] == wanted
        and all({cell["numa_node"], cell["memory_node"]} <= set(world.nodes) for cell in cells)
        and [*placement["iothreads"]] == [str(n) for n in range(1, wish.iothreads + 1)]
        and [(port["name"], len(port["vfs"])) for port in placement["interfaces"] if port["vfs"]] == counts
        and [device["name"] for device in placement["devices"]] == devices
        and all(address in world.functions for address in functions_of(placement))
        and frozenset(given_cpus(wish, placement)) <= world.online
    )


def _alone(world: World, wish: Wish, placement: Json, held: Cpus) -> Iterator[str]:
    """What a guest breaks that does not depend on the others but for the CPUs that they hold."""
    nodes = frozenset(cell["numa_node"] for cell in placement["cells"])
    if wish.distinct_nodes and len(nodes) < len(wish.cells):
        yield "two cells on a node"
    for index, (cell, has) in enumerate(zip(wish.cells, placement["cells"], strict=True)):
        yield from _cell(world, cell, has)
        cell_set = _cell_set(wish, placement, index)
        if not frozenset(cell_set) <= world.free & world.cpus_of[has["numa_node"]]:
            yield f"cell {index} has a CPU that is not free on its node"
        vcpus = [cpu for vcpu in cell.dedicated for cpu in cpu_list(has["vcpus"][str(vcpu)])]
        others = _others(wish, placement) if index == 0 else []
        if not policy_kept(world, wish, vcpus=vcpus, others=others, held=held):
            yield f"cell {index} breaks {wish.thread_policy}"
    if wish.own_emulator and len(cpu_list(placement["emulator"])) != wish.own_emulator:
        yield "emulator CPUs"
    if not wish.iothreads_share and any(len(cpu_list(cpus)) != 1 for cpus in placement["iothreads"].values()):
        yield "iothread CPUs"
    floating = [] if wish.own_emulator else [placement["emulator"]]
    floating += placement["iothreads"].values() if wish.iothreads_share else []
    if not all(_floats_well(world, cpu_list(cpus), nodes, held) for cpus in floating):
        yield "threads that share float elsewhere"
    yield from _functions(world, wish, placement, nodes)


def _cell(world: World, wish: CellWish, has: Json) -> Iterator[str]:
    pool = world.shared & world.cpus_of[has["numa_node"]]
    for vcpu, cpus in has["vcpus"].items():
        if int(vcpu) in wish.dedicated and len(cpu_list(cpus)) != 1:
            yield "a dedicated vCPU without one CPU"
        if int(vcpu) not in wish.dedicated and (not pool or cpu_list(cpus) != pool):
            yield "a shared vCPU off the pool"
    if not wish.takes(has["page_size_kib"]):
        yield "page size"
    if wish.strict and has["memory_node"] != has["numa_node"]:
        yield "memory on another node"


def _floats_well(world: World, cpus: Cpus, nodes: frozenset[int], held: Cpus) -> bool:
    rung = world.ladder(nodes)
    here = frozenset(cpu for node in nodes for cpu in world.cpus_of[node])
    return cpus == rung if rung is not None else bool(cpus) and cpus <= here - held


def _functions(world: World, wish: Wish, placement: Json, nodes: frozenset[int]) -> Iterator[str]:
    mine = set(functions_of(placement))
    if any(not world.functions[address].mates <= mine for address in mine):
        yield "a part of an IOMMU group"
    parts: list[tuple[PortWish, list[Function]]] = []
    for port in wish.ports:
        chosen = [d["address"] for d in placement["devices"] if d["name"] == port.name]
        if port.is_vf:
            chosen = [vf for entry in placement["interfaces"] if entry["name"] == port.name for vf in entry["vfs"]]
        parts.append((port, [world.functions[address] for address in chosen]))
    for port, functions in parts:
        for function in functions:
            if function.why_not is not None:
                yield f"{function.address} is not to be had: {function.why_not}"
            if not port.matches(function):
                yield f"{function.address} is not what {port.name} asks for"
            if not port.reaches(world, function.node, nodes):
                yield f"{function.address} is too far"
        if port.is_bridged and not port.reaches(world, world.port_node(port.bridge), nodes):
            yield f"the port of {port.bridge} is too far"
        pfs = Counter(function.pf for function in functions)
        if port.distinct_pfs and any(count > 1 for count in pfs.values()):
            yield "distinct_pfs"


def _memory(world: World, both: Sequence[tuple[Wish, Json]]) -> Iterator[str]:
    used: Counter[tuple[int, int]] = Counter()
    for _, placement in both:
        for node in {cell["numa_node"] for cell in placement["cells"]} if world.overhead_kib else ():
            used[node, SMALL_KIB] += world.overhead_kib
        for cell in placement["cells"]:
            used[cell["memory_node"], cell["page_size_kib"]] += cell["memory_kib"]
    for place, kib in used.items():
        if kib > world.capacity_kib.get(place, 0):
            yield f"memory of {place}"


def _pools(world: World, both: Sequence[tuple[Wish, Json]]) -> Iterator[str]:
    used: Counter[int] = Counter()
    for wish, placement in both:
        for cell, has in zip(wish.cells, placement["cells"], strict=True):
            used[has["numa_node"]] += len(cell.vcpus) - len(cell.dedicated)
    for node, vcpus in used.items():
        if vcpus and vcpus > world.room(node):
            yield f"pool of node {node}"


def _partners(world: World, both: Sequence[tuple[Wish, Json]]) -> Iterator[str]:
    on = {wish.name: frozenset(cell["numa_node"] for cell in placement["cells"]) for wish, placement in both}
    for wish, _ in both:
        if not partners_kept(world, wish, on):
            yield f"{wish.name}: partners"


def partners_kept(world: World, wish: Wish, on: dict[str, frozenset[int]]) -> bool:
    """Whether a guest is where its partners want it; `on` has the nodes of each guest that is placed."""
    mine = on[wish.name]
    theirs = {name: on.get(name, world.staying_nodes(name)) for name in wish.affinity | wish.anti_affinity}
    near = (theirs[name] for name in wish.affinity)
    far = (theirs[name] or NOBODY for name in wish.anti_affinity)
    return all(nodes is None or mine <= nodes or nodes <= mine for nodes in near) and not any(mine & n for n in far)


def _links(world: World, both: Sequence[tuple[Wish, Json]]) -> Iterator[str]:
    load: Counter[str] = Counter()
    for wish, placement in both:
        mbps = {port.name: port.mbps for port in wish.ports if port.is_vf}
        for entry in placement["interfaces"]:
            for vf in entry["vfs"]:
                load[world.functions[vf].pf or vf] += mbps[entry["name"]]
    for pf, wanted in load.items():
        speed = world.link_mbps(pf)
        if speed is not None and wanted > speed:
            yield f"link of {pf}"


def larger_pages(world: World, wishes: Sequence[Wish], placements: Sequence[Json]) -> Iterator[str]:
    """Cells that could have larger pages where they are, with all else as it is."""
    wish_of = {wish.name: wish for wish in wishes}
    both = [(wish_of[placement["vm"]], placement) for placement in placements]
    for wish, placement in both:
        for cell, has in zip(wish.cells, placement["cells"], strict=True):
            size = has["page_size_kib"]
            for place in sorted(world.capacity_kib):
                if place[0] == has["memory_node"] and place[1] > size and cell.takes(place[1]):
                    has["page_size_kib"] = place[1]
                    if not any(_memory(world, both)):
                        yield f"{wish.name}: cell {has['id']} could have pages of {place[1]} KiB, has {size} KiB"
            has["page_size_kib"] = size
