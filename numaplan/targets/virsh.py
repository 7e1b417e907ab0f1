"""Re-pins a guest that runs: `virsh` commands with --live (virsh(1)); the next start is not their business."""

import re
from collections.abc import Iterable

from numaplan.cpuset import CpuSet, format_id_list
from numaplan.model.guest import Guest, IothreadId, ThreadKind
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest, Realtime
from numaplan.model.slots import device_slots, interface_slots
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets.asked import (
    SMALL_PAGE_KIB,
    is_strict,
    memory_kib,
    memory_nodes,
    shows_cells,
    vcpu_pins,
)
from numaplan.targets.shell import command
from numaplan.units import format_count, format_size

_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", re.ASCII)


def render(request: GuestRequest, placement: Placement, snapshot: Snapshot, existing: Guest | None) -> Rendered:
    """A command for each thread that can be pinned now; what only a new definition can change is in `cannot`."""
    del snapshot
    if existing is None:
        return Rendered("", ("libvirt has no such guest to pin: -o virt-install or -o xml is for a new one",))
    cannot = []
    if existing.running is False:
        cannot.append("it does not run, and --live needs that: place without -o has the diff of its XML")
    domain, ambiguous = _domain(existing)
    cannot += ambiguous
    iothreads = _iothreads(placement, existing)
    lines = [
        command("virsh", "vcpupin", "--domain", domain, "--vcpu", str(vcpu), "--cpulist", str(cpus), "--live")
        for vcpu, cpus in vcpu_pins(placement)
        if cpus and vcpu < existing.vcpus
    ]
    if placement.emulator:
        lines.append(
            command("virsh", "emulatorpin", "--domain", domain, "--cpulist", str(placement.emulator), "--live")
        )
    lines += [
        command("virsh", "iothreadpin", "--domain", domain, "--iothread", str(i), "--cpulist", str(cpus), "--live")
        for i, cpus in iothreads.items()
        if cpus
    ]
    nodes = format_id_list(memory_nodes(placement))
    if _can_move_memory(existing) and nodes != _nodes_there(existing):
        lines.append(command("virsh", "numatune", "--domain", domain, "--nodeset", nodes, "--live"))
        cannot.append(
            "memory that it has already moves to the other nodes slowly or, where a device of the host is passed"
            " through, not at all before it starts anew"
        )
    cannot += _needs_definition(request, placement, existing)
    return Rendered("".join(f"{line}\n" for line in lines), tuple(cannot))


def _domain(guest: Guest) -> tuple[str, list[str]]:
    """What virsh finds the guest by: it takes a number for an id, and a UUID for one, before it looks for a name."""
    if not guest.name.isdecimal() and not _UUID.fullmatch(guest.name):
        return guest.name, []
    if guest.uuid is not None:
        return guest.uuid, []
    return guest.name, [f'virsh takes "{guest.name}" for an id or UUID first: look which guest that is']


def _iothreads(placement: Placement, existing: Guest) -> dict[IothreadId, CpuSet]:
    """The iothreads that there are, as its XML would have them: those beyond the plan run as the emulator."""
    planned = [cpus for _, cpus in sorted(placement.iothreads)]
    return {
        number: planned[k] if k < len(planned) else placement.emulator for k, number in enumerate(existing.iothread_ids)
    }


def _can_move_memory(existing: Guest) -> bool:
    """Of a guest that runs libvirt changes the nodes in mode "restrictive" alone (virsh(1), numatune)."""
    return existing.memory is not None and existing.memory.mode == "restrictive" and not existing.memnodes


def _nodes_there(existing: Guest) -> str | None:
    nodes = None if existing.memory is None else existing.memory.nodes
    return None if nodes is None else format_id_list(nodes)


def _needs_definition(request: GuestRequest, placement: Placement, existing: Guest) -> list[str]:
    """A sentence on all that the plan wants otherwise than the guest has it, and that no live command changes."""
    wants = [
        *_sizes(request, placement, existing),
        *_memory(request, placement, existing),
        *_devices(request, placement, existing),
        *_manners(request, existing),
    ]
    return (
        [f"what takes a new definition (the diff of place without -o) and a start: {'; '.join(wants)}"] if wants else []
    )


def _these(noun: str, ids: Iterable[int]) -> str:
    """The ids with their noun: node 0, nodes 0-1."""
    found = list(ids)
    return f"{noun if len(found) == 1 else f'{noun}s'} {format_id_list(found)}"


def _sizes(request: GuestRequest, placement: Placement, existing: Guest) -> list[str]:
    wants = []
    if existing.vcpus != request.vcpus:
        wants.append(f"{format_count(request.vcpus, 'vCPU')}, it has {existing.vcpus}")
    missing = len(placement.iothreads) - len(existing.iothread_ids)
    if missing > 0:
        iothreads = format_count(len(placement.iothreads), "iothread")
        wants.append(f"{iothreads} with the devices that use them, it has {missing} fewer")
    if existing.memory_kib is not None and existing.memory_kib != memory_kib(placement):
        wants.append(f"memory of {format_size(memory_kib(placement))}, it has {format_size(existing.memory_kib)}")
    cells = [(cell.id, tuple(vcpu for vcpu, _ in cell.vcpus), cell.memory_kib) for cell in placement.cells]
    there = [(cell.id, cell.vcpus, cell.memory_kib) for cell in existing.cells]
    if cells != there and shows_cells(placement, existing):
        wants.append("other NUMA cells than it has")
    if placement.topology is not None and placement.topology != existing.topology:
        topology = placement.topology
        shown = f"{topology.sockets} x {topology.dies} x {topology.cores} x {topology.threads}"
        by = "" if existing.topology is None else ", by --change-guest-topology"
        wants.append(f"a CPU topology of {shown} (sockets, dies, cores, threads){by}")
    return wants


def _memory(request: GuestRequest, placement: Placement, existing: Guest) -> list[str]:
    wants = []
    nodes = format_id_list(memory_nodes(placement))
    if not _can_move_memory(existing) and nodes != _nodes_there(existing):
        wants.append(f"memory on {_these('node', memory_nodes(placement))}")
    if existing.memory is not None and existing.memory.mode == "restrictive":
        modes = {"strict" if is_strict(request, cell.id) else "preferred" for cell in placement.cells}
        wants.append(f"memory bound in mode {' and '.join(sorted(modes))}, it is restrictive")
    bound = {binding.cell: binding.nodes for binding in existing.memnodes}
    wants += [
        f"memory of cell {cell.id} on node {cell.memory_node}"
        for cell in placement.cells
        if bound.get(cell.id, (cell.memory_node,)) != (cell.memory_node,)
    ]
    for size in sorted({cell.page_size_kib for cell in placement.cells}):
        ids = [cell.id for cell in placement.cells if cell.page_size_kib == size]
        if any(_page_size(existing, cell) != size for cell in ids):
            wants.append(f"pages of {format_size(size)} for {_these('cell', ids)}")
    return wants


def _page_size(existing: Guest, cell: int) -> int | None:
    named = [page for page in existing.hugepages if page.cells is None or cell in page.cells]
    exact = [page for page in named if page.cells is not None]
    return (exact or named)[0].size_kib if named else SMALL_PAGE_KIB


def _devices(request: GuestRequest, placement: Placement, existing: Guest) -> list[str]:
    slots = [*interface_slots(request, placement), *device_slots(request, placement)]
    return [f'"{slot.name}" as {slot.address}' for slot in slots if slot.address not in existing.pci_addresses]


def _is_realtime(realtime: Realtime, existing: Guest) -> bool:
    """Whether its vCPUs are scheduled so in its XML."""
    there = {
        vcpu
        for scheduler in existing.schedulers
        if (scheduler.kind, scheduler.policy, scheduler.priority) == (ThreadKind.VCPU, "fifo", realtime.priority)
        for vcpu in scheduler.threads
    }
    return there == set(realtime.vcpus)


def _manners(request: GuestRequest, existing: Guest) -> list[str]:
    wants = []
    if request.realtime is not None and not _is_realtime(request.realtime, existing):
        wants.append(f"{_these('vCPU', request.realtime.vcpus)} scheduled fifo at priority {request.realtime.priority}")
    backing = request.memory_backing
    there = existing.backing
    if backing.locked and (there is None or not there.locked):
        wants.append("memory that is never swapped out")
    if backing.nosharepages and (there is None or not there.nosharepages):
        wants.append("pages that are never merged with those of others")
    for word, there_word in (
        (backing.access, None if there is None else there.access),
        (backing.allocation, None if there is None else there.allocation),
    ):
        if word is not None and word.value != there_word:
            wants.append(f"memory that is {word.value}")
    if request.cpu_cache is not None and request.cpu_cache.value != existing.cpu_cache:
        wants.append(f"CPU caches in mode {request.cpu_cache.value}")
    return wants
