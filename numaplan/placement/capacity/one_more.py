"""Why one copy more has no place: the least addition that makes room for it, proven on the host as it would be."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from numaplan.model.capacity import NextCopy, Shortage
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId, NumaNode
from numaplan.model.request import CellRequest, DeviceRequest, InterfaceRequest, PageSize, Request, ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.addition import Addition, Grown, least_addition
from numaplan.placement.capacity.elastic import Stretch, grown_facts
from numaplan.placement.capacity.model import CopiesProblem, WaysTaken, copies_problem
from numaplan.placement.capacity.room import Room
from numaplan.placement.capacity.supply import Supply, Thing
from numaplan.placement.conflict.asks import listed
from numaplan.placement.conflict.reasons import why_not_alone
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import SMALL_PAGE_KIB, USUAL_PAGE_KIB, HostFacts, host_facts
from numaplan.placement.kinds import entries
from numaplan.placement.problem import CellDemand
from numaplan.units import format_count, format_size

_UNSETTLED: Final = "what one more {vm} would need was not settled within the limit of work"
_ENOUGH: Final = (
    "one more {vm} has a place with {sentence}; whether less would do was not settled within the limit of work"
)
_LINKED: Final = (
    "no addition to a node makes room for one more {vm}: its {links} no node to it that has all that it needs, or could"
    " have it"
)
_NO_POOL: Final = (
    "no addition to a node makes room for one more {vm}: it has shared vCPUs, and the host section of vnf.yaml names no"
    " shared_cpus that are online"
)
_ALONE: Final = "no addition to a node makes room for one more {vm}, which has no place even alone: {reason}"
_NOTHING: Final = "adding CPUs, memory or VFs to the existing nodes does not make room for one more {vm}"


def next_copy(request: Request, snapshot: Snapshot, asked: CopiesProblem, held: WaysTaken, count: int) -> NextCopy:
    """What it takes to place `count` copies, one more than find a place.

    `request` has one copy at least, as what copies ask for is looked up on the host for those that it has. One copy
    less and the others lie as `held` says.
    """
    vm, as_it_is = asked.copies.vm, snapshot
    if asked.problem.truncated:
        return NextCopy(_UNSETTLED.format(vm=vm))
    if any(_lacks_page_size(asked.problem.facts, *cell) for cell in _copy_cells(asked)):
        snapshot = replace(snapshot, nodes=tuple(_listing_usual_pages(node) for node in snapshot.nodes))
        asked = copies_problem(request, host_facts(request, snapshot), asked.copies)
    supplies = tuple(_supplies(asked))
    needs = {supply: _need(asked, supply) for supply in supplies}
    stretch = Stretch(request, snapshot, asked, supplies, count=count)
    host = Grown(request, snapshot, asked, held, count)
    found = least_addition(host, stretch, needs)
    if found is None:
        return NextCopy(_UNSETTLED.format(vm=vm))
    if not found.more:
        return NextCopy(_blame(request, as_it_is, stretch, needs))
    ordered = sorted(found.more, key=lambda supply: supply.order)
    rows = [(supply, _shortage(host, found, supply, most=stretch.of_copy(supply))) for supply in ordered]
    sentence = " and ".join(_phrase(supply, row) for supply, row in rows)
    if not found.proven:
        return NextCopy(_ENOUGH.format(vm=vm, sentence=sentence))
    return NextCopy(f"one more {vm} needs {sentence}", tuple(row for _, row in rows))


def _copy_cells(asked: CopiesProblem) -> Iterator[tuple[CellRequest, CellDemand]]:
    return zip(asked.guests.request.cells, asked.guests.cells, strict=True)


def _lacks_page_size(facts: HostFacts, cell: CellRequest, demand: CellDemand) -> bool:
    """Whether a cell could lie in huge pages, and no size of these that the host lists will do."""
    if cell.memory_kib % USUAL_PAGE_KIB or any(size > SMALL_PAGE_KIB for size in demand.page_sizes_kib):
        return False
    # Ordinary memory does as well, where the host says how much of it there is.
    untold = any(node.available_kib is None for node in facts.snapshot.nodes)
    return cell.page_size is PageSize.LARGE or (cell.page_size is PageSize.ANY and untold)


def _listing_usual_pages(node: NumaNode) -> NumaNode:
    """The node as a kernel shows it that has huge pages of the usual size, and none of them reserved."""
    if node.memory_kib == 0 or node.pool(USUAL_PAGE_KIB) is not None:
        return node
    return node.with_pages(USUAL_PAGE_KIB, 0)


def _blame(request: Request, snapshot: Snapshot, stretch: Stretch, needs: Mapping[Supply, int]) -> str:
    """Why no addition makes room for one more."""
    asked = stretch.base
    vm = asked.copies.vm
    if not asked.problem.facts.shared and any(cell.shared for cell in asked.guests.cells):
        return _NO_POOL.format(vm=vm)
    if stretch.count == 1 and (reason := _no_place_alone(request, snapshot, stretch)):
        return _ALONE.format(vm=vm, reason=reason)
    if asked.is_linked:
        free = stretch.least(needs, single=False, linked=False).outcome
        if free in (Outcome.OPTIMAL, Outcome.FEASIBLE):
            return _LINKED.format(vm=vm, links=_links(asked, others=stretch.count > 1))
    return _NOTHING.format(vm=vm)


def _no_place_alone(request: Request, snapshot: Snapshot, stretch: Stretch) -> str | None:
    """Why a copy that no link binds has no place without the others; None where it has one or that is not known.

    CPUs and memory that nodes can have more of are there in plenty, so that they are not to blame. Page sizes stay
    those that the host lists, and VFs those that it has: the sentence tells them.
    """
    sizes = {0} | {pool.size_kib for node in snapshot.nodes for pool in node.hugepages}
    plenty = {supply: more for supply, more in stretch.reach.items() if supply.pf is None and supply.size_kib in sizes}
    facts = grown_facts(request, snapshot, plenty, threads=stretch.threads)
    alone = copies_problem(request, facts, stretch.base.copies)
    if any(why_not_alone(request, alone.problem, alone.problem.classes[c]) is None for c in alone.staying):
        return None
    reason = why_not_alone(request, alone.problem, alone.guests)
    return None if reason is None else reason.sentence


def _links(asked: CopiesProblem, *, others: bool) -> str:
    """The links that bind a copy and their verb; `others`: there are other copies."""
    copies = asked.copies
    names = {guest.name for guests in asked.problem.classes for guest in guests.members}
    names |= {name for name, nodes in asked.problem.facts.guest_nodes.items() if nodes}
    said = []
    for word, partners, itself in (
        ("affinity", copies.near, copies.together),
        ("anti_affinity", copies.far, copies.apart),
    ):
        there = [name for name in partners if name in names]
        whom = [listed(there)] * bool(there) + ["the other copies"] * (itself and others)
        if whom:
            said.append(f"{word} to {' and '.join(whom)}")
    return f"{' and '.join(said)} {'leaves' if len(said) == 1 else 'leave'}"


def _supplies(asked: CopiesProblem) -> Iterator[Supply]:
    """Everything of which somebody could use more, in the order in which equals are named."""
    facts = asked.problem.facts
    cells = [cell for guests in asked.problem.classes for cell in guests.cells]
    nodes = facts.snapshot.nodes
    peopled = [node.id for node in nodes if node.cpus]
    if any(cell.cpus(facts.threads) for cell in cells):
        yield from (Supply(0, Thing.CPU, node) for node in peopled)
    if facts.threads > 1 and any(cell.whole or cell.part for cell in cells):
        yield from (Supply(1, Thing.WHOLE_CORE, node) for node in peopled)
    sizes = {size for cell in cells for size in cell.page_sizes_kib}
    for size in sorted(sizes - {SMALL_PAGE_KIB}, reverse=True):
        yield from (Supply(2, Thing.PAGE, node.id, size) for node in nodes if node.memory_kib != 0)
    if SMALL_PAGE_KIB in sizes or facts.policy.guest_overhead_kib:
        told = [node.id for node in nodes if node.available_kib is not None]
        yield from (Supply(3, Thing.ORDINARY, node) for node in told)
    if facts.shared and any(cell.shared for cell in cells):
        yield from (Supply(4, Thing.SHARED_VCPU, node) for node in peopled)
    rates = any(demand.mbps for guests in asked.problem.classes for demand in guests.devices)
    for pf, node_id in _pfs(asked):
        yield Supply(5, Thing.VF, node_id, pf=pf)
        if rates and facts.link_speed(pf) is not None:
            yield Supply(6, Thing.BANDWIDTH, node_id, pf=pf)


def _pfs(asked: CopiesProblem) -> Iterator[tuple[PciAddress, NodeId | None]]:
    """The PFs of which somebody could use more VFs."""
    facts = asked.problem.facts
    wanted = [entry for guests in asked.problem.classes for entry in entries(guests.request)]
    passed = any(isinstance(entry, DeviceRequest) for entry in wanted)
    for device in facts.snapshot.pci:
        # The first VF takes a PF away from whoever gets it as a whole.
        if device.sriov is None or (passed and not device.sriov.configured):
            continue
        if any(_takes(facts, device.address, entry) for entry in wanted):
            yield device.address, device.numa_node


def _takes(facts: HostFacts, pf: PciAddress, entry: InterfaceRequest | DeviceRequest) -> bool:
    """Whether further VFs of the PF would do: some of them, where they are named by their index."""
    vfs = [vf for vf in facts.snapshot.pci if vf.physfn == pf]
    if isinstance(entry, DeviceRequest):
        return entry.address is None and any((entry.vendor, entry.device) == (vf.vendor, vf.device) for vf in vfs)
    if entry.vf_indexes is not None and max(entry.vf_indexes, default=-1) < len(vfs):
        return False
    alike = any(entry.vendor in (None, vf.vendor) and entry.device in (None, vf.device) for vf in vfs)
    # What the first VF of a PF will be is not known.
    if not alike and (vfs or entry.vendor is not None or entry.device is not None):
        return False
    if entry.pf is not None:
        return facts.goes_by(pf, (entry.pf,))
    return entry.physnet is None or facts.goes_by(pf, dict(facts.policy.physnets).get(entry.physnet, ()))


def _need(asked: CopiesProblem, supply: Supply) -> int:
    """The most that one copy takes of a supply; 0 where it takes none, or cannot lie there."""
    if supply.thing in (Thing.VF, Thing.BANDWIDTH):
        return _need_of_pf(asked, supply)
    cells = asked.guests.cells
    amounts = [_need_of_cell(supply, cell) for cell in cells]
    if not asked.guests.request.distinct_nodes:
        amounts.append(sum(amounts))
    # QEMU is there once, however many cells a guest has on the node.
    overhead = asked.problem.facts.policy.guest_overhead_kib if supply.thing is Thing.ORDINARY else 0
    return max(amounts) + overhead


def _need_of_cell(supply: Supply, cell: CellDemand) -> int:
    match supply.thing:
        case Thing.CPU:
            return cell.threads + cell.part + cell.isolated
        case Thing.WHOLE_CORE:
            return cell.whole
        case Thing.PAGE if supply.size_kib in cell.page_sizes_kib:
            return cell.memory_kib // supply.size_kib
        case Thing.ORDINARY if SMALL_PAGE_KIB in cell.page_sizes_kib:
            return cell.memory_kib
        case Thing.SHARED_VCPU:
            return cell.shared
    return 0


def _need_of_pf(asked: CopiesProblem, supply: Supply) -> int:
    asks = zip(entries(asked.guests.request), asked.guests.devices, strict=True)
    return sum(
        # On PFs that differ, no more than one of an entry's VFs is of this one.
        (1 if demand.distinct else demand.count) * (demand.mbps if supply.thing is Thing.BANDWIDTH else 1)
        for entry, demand in asks
        if supply.pf is not None and _takes(asked.problem.facts, supply.pf, entry)
    )


def _shortage(host: Grown, found: Addition, supply: Supply, *, most: int) -> Shortage:
    """What is left there is what one copy takes there, once it has its place, less what is missing.

    Where no copy lies there even then, it is for others that have to move there, and nothing is left for them.
    """
    missing = found.more[supply]
    have = _taken(host, found, supply, most=most) - missing
    have = have if 0 < have <= _most_left(host.asked, supply) else 0
    return Shortage(_resource(host.asked, supply), supply.node, have, have + missing)


def _taken(host: Grown, found: Addition, supply: Supply, *, most: int) -> int:
    """What a copy takes of a supply: the one that takes the most of it, which is no more than `most`."""
    if supply.node is None or supply.thing in (Thing.VF, Thing.BANDWIDTH):
        return _need(host.asked, supply)
    taken = _taken_in(host, found.more, supply, room=found.room, node=supply.node)
    # Where more is added than one could take, nothing of that is there anyway.
    if taken or most <= found.more[supply]:
        return taken
    return _taken_in(host, found.more, supply, room=host.room(found.more, node=supply.node), node=supply.node)


def _taken_in(host: Grown, more: Mapping[Supply, int], supply: Supply, *, room: Room, node: NodeId) -> int:
    """The most that a copy takes of a supply at its node where the copies have this room."""
    if supply.thing in (Thing.PAGE, Thing.ORDINARY) and room.memory_kib is not None:
        kib = room.memory_kib.get((node, supply.size_kib or SMALL_PAGE_KIB), 0)
        return kib // (supply.size_kib or 1)
    ways = sorted(way for way in room.ways if node in way)
    if not ways:
        return 0
    most = max(ways, key=lambda way: _there(host.asked, supply, way))
    if supply.thing is Thing.WHOLE_CORE:
        return host.cores_taken(more, node, most)
    floating = supply.thing is Thing.CPU and host.floats_on_last(more, supply)
    return _there(host.asked, supply, most) + floating


def _there(asked: CopiesProblem, supply: Supply, way: tuple[NodeId, ...]) -> int:
    """What the cells of a copy that goes this way ask for at the supply's node."""
    overhead = asked.problem.facts.policy.guest_overhead_kib if supply.thing is Thing.ORDINARY else 0
    cells = zip(asked.guests.cells, way, strict=True)
    return sum(_need_of_cell(supply, cell) for cell, node in cells if node == supply.node) + overhead


def _most_left(asked: CopiesProblem, supply: Supply) -> int:
    """What there is of a supply where no guest of the request has taken any."""
    facts = asked.problem.facts
    if supply.thing in (Thing.PAGE, Thing.ORDINARY) and supply.node is not None:
        kib = facts.capacity_kib.get((supply.node, supply.size_kib or SMALL_PAGE_KIB), 0)
        return kib // (supply.size_kib or 1)
    if supply.thing is Thing.BANDWIDTH:
        return facts.link_speed(supply.pf) or 0
    if supply.thing is Thing.VF:
        return sum(vf.physfn == supply.pf and vf.address not in facts.held_devices for vf in facts.snapshot.pci)
    return sys.maxsize


def _resource(asked: CopiesProblem, supply: Supply) -> str:
    match supply.thing:
        case Thing.CPU:
            isolates = asked.guests.request.thread_policy is ThreadPolicy.ISOLATE
            name = "cores of their own" if isolates else "CPUs"
        case Thing.WHOLE_CORE:
            name = "whole cores"
        case Thing.PAGE:
            name = f"{format_size(supply.size_kib)} pages"
        case Thing.ORDINARY:
            name = "ordinary memory"
        case Thing.SHARED_VCPU:
            name = "shared vCPUs"
        case Thing.VF:
            name = f"VFs of {_name(asked, supply.pf)}"
        case Thing.BANDWIDTH:
            name = f"Mbit/s of {_name(asked, supply.pf)}"
    return name


def _phrase(supply: Supply, row: Shortage) -> str:
    more, have, need = row.missing, str(row.have), str(row.need)
    match supply.thing:
        case Thing.CPU if row.resource == "cores of their own":
            what = f"{format_count(more, 'more free core')} of its own"
        case Thing.CPU:
            what = format_count(more, "more free CPU")
        case Thing.WHOLE_CORE:
            what = format_count(more, "more whole free core")
        case Thing.PAGE:
            what = f"{format_count(more, f'more free {format_size(supply.size_kib)} page')}"
        case Thing.ORDINARY:
            what = f"{format_size(more)} more of ordinary memory"
            have, need = format_size(row.have), format_size(row.need)
        case Thing.SHARED_VCPU:
            what = f"room for {format_count(more, 'more shared vCPU')}"
        case Thing.VF:
            what = f"{more} more free VF{'' if more == 1 else 's'} of {row.resource.removeprefix('VFs of ')}"
        case Thing.BANDWIDTH:
            what = f"{more} more Mbit/s of the link of {row.resource.removeprefix('Mbit/s of ')}"
    where = "" if row.numa_node is None else f" on node {row.numa_node}"
    return f"{what}{where} (have {have}, need {need})"


def _name(asked: CopiesProblem, pf: PciAddress | None) -> str:
    """The interface of a PF, as the site calls it."""
    facts = asked.problem.facts
    names = [link.name for link in facts.snapshot.links if link.pci == pf]
    names += facts.devices[pf].netdevs if pf is not None else ()
    return next(iter(names), str(pf))
