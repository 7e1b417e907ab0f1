"""Each aspect of a guest as a sentence with its numbers: what is needed, and what every node has for that."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from numaplan.cpuset import format_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId
from numaplan.model.request import (
    DeviceRequest,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    PageSize,
)
from numaplan.placement.conflict.aspects import Aspect, Kind
from numaplan.placement.conflict.entry import choice, given, group_bound, noun
from numaplan.placement.facts import SMALL_PAGE_KIB
from numaplan.placement.kinds import bound_to_groups, entries
from numaplan.placement.lacks import alike, huge_pages, huge_sizes_kib, isolable_cores
from numaplan.placement.problem import CoreKind, DeviceDemand, GuestClass, Problem
from numaplan.units import format_count, format_few, format_size

_MOST_NAMED: Final = 5
_HUGE: Final = frozenset({PageSize.LARGE, PageSize.HUGE_2M, PageSize.HUGE_1G})

Amount = TypeVar("Amount", int, str)


def ask(problem: Problem, guests: GuestClass, aspect: Aspect) -> str:
    """What the guests of a class of `problem` need by `aspect`, and what the host has."""
    return _ASKS[aspect.kind](problem, guests, aspect.index)


def ask_overhead(problem: Problem) -> str:
    """What QEMU itself takes, and the ordinary memory that there is for it."""
    capacity = problem.facts.capacity_kib
    free = {node: format_size(capacity.get((node, SMALL_PAGE_KIB), 0)) for node in problem.facts.nodes}
    each = format_size(problem.facts.policy.guest_overhead_kib)
    return f"each guest needs {each} of ordinary memory for QEMU on each of its nodes; free: {_grouped('node', free)}"


def listed(names: Sequence[str]) -> str:
    """Names in quotes, the first few of many."""
    return format_few([f'"{name}"' for name in names], _MOST_NAMED)


def by_node(have: Mapping[NodeId, int]) -> str:
    """``node 0: 8, nodes 1-3: 4 each``: nodes that have as much stand together."""
    return _grouped("node", have)


def _grouped(word: str, amounts: Mapping[NodeId, Amount] | Mapping[int, Amount]) -> str:
    return ", ".join(
        f"{word} {some[0]}: {amount}" if len(some) == 1 else f"{word}s {format_id_list(some)}: {amount} each"
        for amount, some in alike(amounts.items()).items()
    )


def free_cores(problem: Problem) -> str:
    """The cores of each node that can be had by one alone."""
    kinds = problem.core_kinds
    have = {node: isolable_cores(kind for kind in kinds if kind.node == node) for node in problem.facts.nodes}
    return f"free cores: {by_node(have)}"


def cores_by_node(problem: Problem, count: Callable[[CoreKind], int]) -> str:
    """How many of what `count` says of a kind of core each node has."""
    kinds = problem.core_kinds
    return by_node({node: sum(count(kind) for kind in kinds if kind.node == node) for node in problem.facts.nodes})


def _free_cpus(problem: Problem) -> str:
    return f"free CPUs: {cores_by_node(problem, lambda kind: kind.cpus)}"


def _by_cell(guest: GuestRequest, amounts: Sequence[int], what: str) -> str:
    total = format_count(sum(amounts), what)
    if len(guest.cells) == 1:
        return total
    return f"{total} ({_grouped('cell', dict(enumerate(amounts)))})"


def _vcpus(problem: Problem, guests: GuestClass, _: int) -> str:
    guest = guests.request
    amounts = [sum(vcpu in guest.dedicated_vcpus for vcpu in cell.vcpus) for cell in guest.cells]
    return f"needs {_by_cell(guest, amounts, 'CPU')} for its vCPUs; {_free_cpus(problem)}"


def _thread_policy(problem: Problem, guests: GuestClass, _: int) -> str:
    guest = guests.request
    isolated, whole = [cell.isolated for cell in guests.cells], [cell.whole for cell in guests.cells]
    if sum(isolated):
        return f"thread_policy isolate: needs {_by_cell(guest, isolated, 'core')} to itself; {free_cores(problem)}"
    if problem.facts.threads == 1:
        return "thread_policy require: needs SMT, which the host does not have"
    have = cores_by_node(problem, lambda kind: len(kind.cores) if kind.whole else 0)
    needs = f"needs {_by_cell(guest, whole, 'whole core')}"
    part = max(cell.part for cell in guests.cells)
    more = f" and {format_count(part, 'thread')} of one more" if part else ""
    return f"thread_policy require: {needs}{more}; whole free cores: {have}"


def _emulator(problem: Problem, guests: GuestClass, _: int) -> str:
    guest = guests.request
    if guest.emulator is EmulatorPolicy.SHARE:
        return _floating(problem, "its emulator")
    cpus = format_count(guest.own_emulator_cpus, "CPU")
    return f"emulator {guest.emulator.value}: needs {cpus} of its own on the node of cell 0; {_free_cpus(problem)}"


def _iothreads(problem: Problem, guests: GuestClass, _: int) -> str:
    guest = guests.request
    if guest.iothread_policy is IothreadPolicy.SHARE:
        return _floating(problem, f"its {format_count(guest.iothreads, 'iothread')}")
    cpus = format_count(guest.iothreads, "CPU")
    return f"iothreads: needs {cpus} for these on the node of cell 0; {_free_cpus(problem)}"


def _floating(problem: Problem, who: str) -> str:
    facts = problem.facts
    online = {node: len(facts.unheld(node)) for node in facts.nodes}
    why = "the host names neither shared_cpus nor reserved_cpus"
    if facts.shared or facts.reserved:
        why = "each shared and reserved CPU is that of a guest's vCPU"
    return f"{who} must float on a CPU of its nodes that nobody holds, as {why}; CPUs: {by_node(online)}"


def _shared_vcpus(problem: Problem, guests: GuestClass, _: int) -> str:
    needs = _by_cell(guests.request, [cell.shared for cell in guests.cells], "shared vCPU")
    if not problem.facts.shared:
        return f"needs room for {needs}; the host names no shared_cpus"
    return f"needs room for {needs}; room in the pool: {by_node(problem.facts.pool_left)}"


def _free_pages(problem: Problem, guests: GuestClass) -> str:
    """What there is in each page size that it may use: pages of a huge size, else MiB."""
    sizes = sorted({size for cell in guests.cells for size in cell.page_sizes_kib})
    if sizes:
        return free_memory(problem, sizes)
    none = "its memory is not a multiple of any page size that it may use"
    if not all(cell.page_size in _HUGE for cell in guests.request.cells):
        return none
    has = f"the host has {huge_pages(problem.facts)}"
    return f"{none}; {has}" if huge_sizes_kib(problem.facts) else has


def free_memory(problem: Problem, sizes: Sequence[int]) -> str:
    """What each node has in pages of these sizes, in ascending order: pages of a huge size, else MiB."""
    if len(sizes) == 1 and sizes[0] > SMALL_PAGE_KIB:
        if sizes[0] not in huge_sizes_kib(problem.facts):
            return f"the host has {huge_pages(problem.facts)}"
        capacity = problem.facts.capacity_kib
        have = {node: capacity.get((node, sizes[0]), 0) // sizes[0] for node in problem.facts.nodes}
        return f"free {format_size(sizes[0])} pages: {by_node(have)}"
    # Memory of a cell is of one page size: sums over the sizes would show what nobody can have.
    return "free MiB in pages " + "; ".join(f"of {format_size(size)}: {_free_mib(problem, size)}" for size in sizes)


def _free_mib(problem: Problem, size: int) -> str:
    """Of ordinary pages some hosts do not tell how many there are."""
    nodes = problem.facts.snapshot.nodes
    untold = [node.id for node in nodes if size == SMALL_PAGE_KIB and node.available_kib is None]
    capacity = problem.facts.capacity_kib
    have = {node: capacity.get((node, size), 0) // 1024 for node in problem.facts.nodes if node not in untold}
    hidden = f"{'nodes' if len(untold) > 1 else 'node'} {format_id_list(untold)}: not told" if untold else ""
    return ", ".join(part for part in (by_node(have), hidden) if part)


def _memory(problem: Problem, guests: GuestClass, _: int) -> str:
    amounts = [format_size(cell.memory_kib) for cell in guests.cells]
    cells = _grouped("cell", dict(enumerate(amounts)))
    return f"needs {amounts[0] if len(amounts) == 1 else cells} of memory; {_free_pages(problem, guests)}"


def _page_size(problem: Problem, guests: GuestClass, _: int) -> str:
    sizes = ", ".join(dict.fromkeys(cell.page_size.value for cell in guests.request.cells))
    pages = [cell.memory_kib // cell.page_sizes_kib[0] for cell in guests.cells if len(cell.page_sizes_kib) == 1]
    whole = len(pages) == len(guests.cells) and guests.cells[0].page_sizes_kib[0] > SMALL_PAGE_KIB
    other = "needs huge pages" if sizes == PageSize.LARGE else "may use no other size"
    asked = f"needs {format_count(sum(pages), 'such page')}" if whole else other
    return f"page_size {sizes}: {asked}; {_free_pages(problem, guests)}"


def _memory_policy(problem: Problem, guests: GuestClass, _: int) -> str:
    return f"memory_policy strict: needs its memory on the nodes of its CPUs; {_free_pages(problem, guests)}"


def _distinct_nodes(problem: Problem, guests: GuestClass, _: int) -> str:
    return (
        f"distinct_nodes: needs {len(guests.cells)} nodes for as many cells; the host has"
        f" {format_count(len(problem.facts.nodes), 'node')}"
    )


def _entry(guest: GuestRequest, kind: Kind, index: int) -> InterfaceRequest | DeviceRequest:
    return guest.interfaces[index] if kind is Kind.INTERFACE else guest.devices[index]


def _demanded(
    guests: GuestClass, name: str, *, device: bool
) -> list[tuple[InterfaceRequest | DeviceRequest, DeviceDemand]]:
    """The entries of that name with their demands: a device can be called as an interface is."""
    first = sum(i.type is InterfaceType.SRIOV for i in guests.request.interfaces)
    pairs = list(zip(entries(guests.request), guests.devices, strict=True))
    return [pair for pair in (pairs[first:] if device else pairs[:first]) if pair[1].name == name]


def _pfs(problem: Problem, guests: GuestClass, name: str) -> set[PciAddress]:
    """The PFs of which an interface can have VFs."""
    kinds = {i for _, demand in _demanded(guests, name, device=False) for i in demand.kinds}
    return {pf for i in kinds if (pf := problem.device_kinds[i].pf) is not None}


def _free_devices(problem: Problem, guests: GuestClass, name: str, *, device: bool) -> str:
    """How many VFs or devices there are for an entry, node by node."""
    asked = _demanded(guests, name, device=device)
    kinds = [problem.device_kinds[i] for _, demand in asked for i in demand.kinds]
    bound = [each for entry, demand in asked for each in bound_to_groups(problem, entry, demand)]
    have = {node: sum(len(k.members) for k in kinds if k.node == node) for node in problem.facts.nodes}
    lost = sum(len(kind.members) for kind in kinds if kind.node not in have)
    said = f"free: {by_node(have)}"
    said += f", {lost} of which the host does not say the node" if lost else ""
    said += f"; {group_bound(problem.facts, bound)}" if bound else ""
    bundled = sum(len(kind.members) for kind in kinds if kind.bundle is not None)
    if not bundled:
        return said
    groups = {kind.bundle for kind in kinds if kind.bundle is not None}
    if len(groups) == 1:
        members = sorted(each for kind in problem.device_kinds if kind.bundle in groups for each in kind.members)
        group = f"({format_few([str(address) for address in members], _MOST_NAMED)})"
    else:
        group = f"of {format_id_list({problem.bundles[group] for group in groups})}"
    it = "goes only with its" if bundled == 1 else "go only with their"
    return f"{said}, {bundled} of which {it} whole IOMMU group {group}"


def _wanted(kind: Kind, problem: Problem, guests: GuestClass, index: int) -> str:
    entry = _entry(guests.request, kind, index)
    if isinstance(entry, InterfaceRequest) and entry.type is not InterfaceType.SRIOV:
        return f'{noun(entry)} needs bridge "{entry.bridge}"'
    count = 1 if isinstance(entry, DeviceRequest) else entry.count
    have = _free_devices(problem, guests, entry.name, device=kind is Kind.DEVICE)
    return f"{noun(entry)} needs {choice(entry, count)}; {have}"


def _near(kind: Kind, problem: Problem, guests: GuestClass, index: int) -> str:
    entry = _entry(guests.request, kind, index)
    where = {"required": "on a node of the guest", "socket": "on a package of the guest"}[entry.affinity.value]
    said = f"{noun(entry)} with affinity {entry.affinity.value}: needs"
    if isinstance(entry, InterfaceRequest) and entry.type is not InterfaceType.SRIOV:
        nodes = problem.facts.port_nodes.get(entry.bridge or "", frozenset())
        known = f"node {format_id_list(nodes)}" if nodes else "a node that is not known"
        known = f"several nodes ({format_id_list(nodes)})" if len(nodes) > 1 else known
        return f"{said} its uplink {where}; bridge {entry.bridge} leads to {known}"
    wanted = given(entry, 1 if isinstance(entry, DeviceRequest) else entry.count)
    return f"{said} {wanted} {where}; {_free_devices(problem, guests, entry.name, device=kind is Kind.DEVICE)}"


def _mbps(problem: Problem, guests: GuestClass, index: int) -> str:
    interface = guests.request.interfaces[index]
    pfs = _pfs(problem, guests, interface.name)
    names = {link.name for pf in pfs for link in problem.facts.links.get(pf, ())}
    links = [
        f"{link.name}: {link.speed_mbps or 'not known'}" for link in problem.facts.snapshot.links if link.name in names
    ]
    wanted = "its VF" if interface.count == 1 else f"each of its {given(interface, interface.count)}"
    return f"{noun(interface)} needs {interface.mbps} Mbit/s for {wanted}; links: {', '.join(links) or 'none'}"


def _distinct_pfs(problem: Problem, guests: GuestClass, index: int) -> str:
    interface = guests.request.interfaces[index]
    pfs = _pfs(problem, guests, interface.name)
    return f"{noun(interface)} with distinct_pfs: needs {interface.count} PFs with a free VF; the host has {len(pfs)}"


def _affinity(problem: Problem, guests: GuestClass, _: int) -> str:
    return f"affinity: needs the nodes of {_partners(problem, guests.request.affinity)}"


def _anti_affinity(problem: Problem, guests: GuestClass, _: int) -> str:
    count = format_count(len(problem.facts.nodes), "node")
    partners = _partners(problem, guests.request.anti_affinity)
    return f"anti_affinity: needs nodes without {partners}; the host has {count}"


def _partners(problem: Problem, names: Sequence[str]) -> str:
    """The partners; of those that stay on the host, where they are."""
    staying = {name: problem.facts.guest_nodes[name] for name in names if name in problem.facts.guest_nodes}
    where = [f'"{name}" stays on {format_id_list(nodes)}' for name, nodes in sorted(staying.items()) if nodes]
    return listed(names) + (f" ({', '.join(where[:_MOST_NAMED])})" if where else "")


_ASKS: Final[Mapping[Kind, Callable[[Problem, GuestClass, int], str]]] = {
    Kind.VCPUS: _vcpus,
    Kind.THREAD_POLICY: _thread_policy,
    Kind.EMULATOR: _emulator,
    Kind.IOTHREADS: _iothreads,
    Kind.SHARED_VCPUS: _shared_vcpus,
    Kind.MEMORY: _memory,
    Kind.PAGE_SIZE: _page_size,
    Kind.MEMORY_POLICY: _memory_policy,
    Kind.DISTINCT_NODES: _distinct_nodes,
    Kind.INTERFACE: lambda problem, guests, index: _wanted(Kind.INTERFACE, problem, guests, index),
    Kind.INTERFACE_AFFINITY: lambda problem, guests, index: _near(Kind.INTERFACE, problem, guests, index),
    Kind.MBPS: _mbps,
    Kind.DISTINCT_PFS: _distinct_pfs,
    Kind.DEVICE: lambda problem, guests, index: _wanted(Kind.DEVICE, problem, guests, index),
    Kind.DEVICE_AFFINITY: lambda problem, guests, index: _near(Kind.DEVICE, problem, guests, index),
    Kind.AFFINITY: _affinity,
    Kind.ANTI_AFFINITY: _anti_affinity,
}
