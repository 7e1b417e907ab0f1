"""From counts to names: which CPUs, which VFs, which memory node. Always possible, so nothing is decided here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, IothreadId
from numaplan.model.plan import CellPlacement, DevicePlacement, InterfacePlacement, Placement
from numaplan.model.request import EmulatorPolicy, GuestRequest, InterfaceRequest, IothreadPolicy, ThreadPolicy
from numaplan.placement.facts import HostFacts, Place
from numaplan.placement.floating import floating_cpus, idle_siblings
from numaplan.placement.formulation import DeviceKey, Formulation, MemoryKey, device_key, memory_key, near_kinds
from numaplan.placement.handout import name_cpus
from numaplan.placement.kinds import current_devices, entries
from numaplan.placement.problem import Option
from numaplan.placement.shape import guest_topology


def expand(f: Formulation, solution: Sequence[int]) -> tuple[tuple[Placement, ...], tuple[str, ...]]:
    """The placements that a fine solution stands for, unit by unit, and notes on them."""
    facts = f.problem.facts
    chosen = {u: option for u in range(len(f.units)) for option, count in f.options(u) if count.value(solution)}
    cell_sets = name_cpus(f, solution, chosen=chosen)
    memory = _name_memory(f, solution, chosen=chosen)
    devices = _name_devices(f, solution, chosen=chosen)
    placements = [
        _placement(facts, f.units[u].guest, option, sets=cell_sets[u], memory=memory[u], devices=devices[u])
        for u, option in chosen.items()
    ]
    return _float(facts, [f.units[u].guest for u in chosen], placements)


def _placement(
    facts: HostFacts,
    request: GuestRequest,
    option: Option,
    *,
    sets: list[tuple[CpuSet, ...]],
    memory: list[Place],
    devices: Sequence[tuple[PciAddress, ...]],
) -> Placement:
    """One guest, without the CPUs that its other threads float on. `sets` are the CPUs of each cell set in order."""
    cells = []
    extra: tuple[CpuSet, ...] = ()
    for k, (cell, cpus, (memory_node, page)) in enumerate(zip(request.cells, sets, memory, strict=True)):
        pool = facts.shared & facts.online(option.nodes[k])
        dedicated = iter(cpus)
        vcpus = tuple((v, next(dedicated) if v in request.dedicated_vcpus else pool) for v in cell.vcpus)
        cells.append(CellPlacement(CellId(k), option.nodes[k], vcpus, memory_node, cell.memory_kib, page))
        if k == 0:
            extra = tuple(dedicated)
    interfaces = []
    others = []
    for entry, addresses in zip(entries(request), devices, strict=True):
        if isinstance(entry, InterfaceRequest):
            interfaces.append(InterfacePlacement(entry.name, addresses))
        else:
            others.append(DevicePlacement(entry.name, addresses[0]))
    emulator = CpuSet(cpu for cpus in extra[: request.own_emulator_cpus] for cpu in cpus)
    own = extra[request.own_emulator_cpus :]
    return Placement(
        request.name,
        tuple(cells),
        emulator,
        iothreads=tuple((IothreadId(i + 1), own[i] if own else CpuSet()) for i in range(request.iothreads)),
        interfaces=tuple(interfaces),
        devices=tuple(others),
        topology=guest_topology(facts, request, tuple(cells)),
    )


def _float(
    facts: HostFacts, requests: list[GuestRequest], placements: list[Placement]
) -> tuple[tuple[Placement, ...], tuple[str, ...]]:
    """Fills in where emulators and iothreads float, once it is known what everybody holds."""
    sets = [exclusive_cpus(request, placement) for request, placement in zip(requests, placements, strict=True)]
    held = CpuSet(cpu for cpus in sets for cpu in cpus)
    isolated = CpuSet(
        cpu
        for request, cpus in zip(requests, sets, strict=True)
        if request.thread_policy is ThreadPolicy.ISOLATE
        for cpu in cpus
    )
    idle = idle_siblings(facts, isolated)
    finished = []
    notes = []
    for request, placement in zip(requests, placements, strict=True):
        floats_emulator = request.emulator is EmulatorPolicy.SHARE
        floats_iothreads = request.iothreads > 0 and request.iothread_policy is IothreadPolicy.SHARE
        done = placement
        if floats_emulator or floats_iothreads:
            cpus, note = floating_cpus(facts, placement.nodes, held=held, idle=idle)
            if note is not None:
                notes.append(f"{request.name}: {note}")
            if floats_emulator:
                done = replace(done, emulator=cpus)
            if floats_iothreads:
                done = replace(done, iothreads=tuple((thread, cpus) for thread, _ in done.iothreads))
        finished.append(done)
    return tuple(finished), tuple(notes)


def exclusive_cpus(request: GuestRequest, placement: Placement) -> CpuSet:
    """Every CPU that a placement gives to one thread alone."""
    cpus = [cpu for cell in placement.cells for v, one in cell.vcpus if v in request.dedicated_vcpus for cpu in one]
    if request.emulator is not EmulatorPolicy.SHARE:
        cpus += list(placement.emulator)
    if request.iothread_policy is IothreadPolicy.DEDICATED:
        cpus += [cpu for _, one in placement.iothreads for cpu in one]
    return CpuSet(cpus)


def _name_memory(f: Formulation, solution: Sequence[int], *, chosen: Mapping[int, Option]) -> dict[int, list[Place]]:
    """(node, page size) of the memory of every cell, unit by unit, of those that stay what they have if it is left."""
    left: dict[MemoryKey, list[Place]] = {
        key: [place for place, flow in sorted(flows.items()) for _ in range(flow.value(solution))]
        for key, flows in f.memory_flows.items()
    }
    keys = {
        (u, k): memory_key(f.problem, cell, option, k)
        for u, option in chosen.items()
        for k, cell in enumerate(f.units[u].guests.cells)
    }
    kept = {}
    for u, option in chosen.items():
        for k, place in enumerate(option.places_kept):
            if place in left[keys[u, k]]:
                left[keys[u, k]].remove(place)
                kept[u, k] = place
    found: dict[int, list[Place]] = {u: [] for u in chosen}
    for (u, k), key in keys.items():
        found[u].append(kept.get((u, k)) or left[key].pop(0))
    return found


def _name_devices(
    f: Formulation, solution: Sequence[int], *, chosen: Mapping[int, Option]
) -> dict[int, Sequence[tuple[PciAddress, ...]]]:
    """The addresses for every entry, unit by unit."""
    kept = {u: option.keep.placement.functions for u, option in chosen.items() if option.keep is not None}
    gone = {address for entries_ in kept.values() for addresses in entries_ for address in addresses}
    left = [[address for address in kind.members if address not in gone] for kind in f.problem.device_kinds]
    supply: dict[DeviceKey, list[PciAddress]] = {}
    for key, flows in f.device_flows.items():
        by_pf = sorted(flows.items(), key=lambda item: (str(f.problem.device_kinds[item[0]].pf), item[0]))
        supply[key] = [left[i].pop(0) for i, flow in by_pf for _ in range(flow.value(solution))]
    demands: dict[DeviceKey, list[tuple[int, int, int]]] = defaultdict(list)
    for u, option in chosen.items():
        for d, demand in enumerate(f.units[u].guests.devices):
            if option.keep is None or not option.keep.has(d):
                near = near_kinds(f.problem, demand.kinds, demand.affinity, option.nodes)
                demands[device_key(f.problem, u, demand, near)].append((u, d, demand.count))
    named: dict[tuple[int, int], tuple[PciAddress, ...]] = {}
    for key, wanted in demands.items():
        items = supply[key]
        for n, (u, d, count) in enumerate(wanted):
            # Where no two may be of one PF, taking every n-th of a list sorted by PF sees to it.
            step = len(wanted) if key.count is not None else 1
            start = n if key.count is not None else sum(c for _, _, c in wanted[:n])
            named[u, d] = tuple(sorted(items[start + i * step] for i in range(count)))
    owned = _own_first(f, named, kept=gone)
    # Who is kept has the functions of all entries, or of its interfaces, which come first.
    return {
        u: [*kept.get(u, ()), *(owned[u, d] for d in range(len(kept.get(u, ())), len(f.units[u].guests.devices)))]
        for u in chosen
    }


def _own_first(
    f: Formulation, named: Mapping[tuple[int, int], tuple[PciAddress, ...]], *, kept: AbstractSet[PciAddress]
) -> Mapping[tuple[int, int], tuple[PciAddress, ...]]:
    """The same kinds, their members exchanged so that a guest keeps the functions that it has, each in its place."""
    kinds = f.problem.device_kinds
    kind_of = {address: i for i, kind in enumerate(kinds) for address in kind.members}
    existing = {guest.name: guest for guest in f.problem.facts.snapshot.guests}
    has = {
        u: current_devices(f.problem.facts, f.units[u].guest, existing[f.units[u].guest.name])
        for u in {u for u, _ in named}
        if f.units[u].guest.name in existing
    }
    if not has:
        return named
    given = set(kept)
    places: dict[tuple[int, int], list[PciAddress | None]] = {}
    left: dict[tuple[int, int], list[int]] = {}
    for (u, d), addresses in named.items():
        places[u, d] = [None] * len(addresses)
        left[u, d] = [kind_of[address] for address in addresses]
        for place, address in enumerate(has[u][d] if u in has else ()):
            if address is not None and address not in given and kind_of.get(address) in left[u, d]:
                places[u, d][place] = address
                given.add(address)
                left[u, d].remove(kind_of[address])
    free = [iter([address for address in kind.members if address not in given]) for kind in kinds]
    found = {}
    for key, own in places.items():
        others = iter([next(free[i]) for i in left[key]])
        found[key] = tuple(next(others) if address is None else address for address in own)
    return found
