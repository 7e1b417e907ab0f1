"""What pins alone cannot do for a guest that runs."""

from numaplan.cpuset import format_id_list
from numaplan.model.guest import Guest, RunningGuest
from numaplan.model.plan import Placement
from numaplan.units import format_count


def beyond_pins(now: Guest, planned: Guest, placement: Placement, live: RunningGuest | None) -> tuple[str, ...]:
    """What the plan wants of a running guest and no pin changes, a phrase each; () where its pins are all it needs.

    `now` is what it runs as, `planned` the same with the plan in it. Memory that is not bound may lie where the plan
    wants it all the same, as `live` can tell.
    """
    found = []
    if now.vcpus != planned.vcpus:
        found.append(f"{format_count(planned.vcpus, 'vCPU')}, it has {now.vcpus}")
    if now.memory_kib != planned.memory_kib or _cells(now) != _cells(planned):
        found.append("other memory or NUMA cells than it has")
    if (_bindings(now), _pages(now)) != (_bindings(planned), _pages(planned)) and not _lies_there(placement, live):
        nodes = format_id_list({int(cell.memory_node) for cell in placement.cells})
        found.append(f"its memory on node {nodes} in the planned pages, which only a start can give it")
    if missing := sorted(set(planned.pci_addresses) - set(now.pci_addresses)):
        found.append(f"{', '.join(map(str, missing))}, which it does not have")
    if len(now.iothread_ids) != len(planned.iothread_ids):
        found.append(f"{format_count(len(planned.iothread_ids), 'iothread')}, it has {len(now.iothread_ids)}")
    return tuple(found)


def _cells(guest: Guest) -> list[tuple[int, tuple[int, ...], int]]:
    return [(int(cell.id), tuple(map(int, cell.vcpus)), cell.memory_kib) for cell in guest.cells]


def _bindings(guest: Guest) -> list[tuple[int | None, str, tuple[int, ...] | None]]:
    found = [*guest.memnodes] + ([] if guest.memory is None else [guest.memory])
    return [(binding.cell, binding.mode, binding.nodes) for binding in found]


def _pages(guest: Guest) -> list[tuple[int | None, tuple[int, ...] | None]]:
    return [(page.size_kib, page.cells) for page in guest.hugepages]


def _lies_there(placement: Placement, live: RunningGuest | None) -> bool:
    """Whether all of the guest's memory is known to lie on the planned nodes in the planned pages."""
    if live is None or not live.memory:
        return False
    planned = {(cell.memory_node, cell.page_size_kib) for cell in placement.cells}
    return all((resident.node, resident.page_size_kib) in planned for resident in live.memory)
