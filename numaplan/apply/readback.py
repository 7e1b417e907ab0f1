"""What libvirt and the kernel made of a plan, thread by thread and pool by pool.

What is expected comes from the plan alone, so that a mistake in the patch, or in our reading of XML, shows here.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from numaplan.cpuset import CpuSet, format_id_list, parse_libvirt_list
from numaplan.model.applied import Check
from numaplan.model.guest import Guest, GuestThread, RunningGuest, ThreadKind
from numaplan.model.plan import Placement
from numaplan.units import format_size

_SMALL_PAGE_KIB = 4
_NOTHING = "nothing"


def told_checks(placement: Placement, rows: Mapping[str, object]) -> tuple[Check, ...]:
    """Against what libvirt's calls say of the guest's next start (`Definitions.told`)."""
    vcpus, iothreads = _rows(rows.get("vcpus")), _rows(rows.get("iothreads"))
    wanted = _iothreads(placement, [int(number) for number in iothreads])
    found = [
        *_pin_checks("vCPU", _vcpus(placement), vcpus),
        ("emulator", str(placement.emulator), _text(rows.get("emulator"))),
        *_pin_checks("iothread", wanted, iothreads),
        ("memory's nodes", _memory_nodes(placement), _node_list(rows.get("nodeset"))),
    ]
    return tuple(Check(placement.vm, *each, "libvirt") for each in found)


def definition_checks(placement: Placement, guest: Guest) -> tuple[Check, ...]:
    """Against the definition that libvirt gave back, for what it has no calls for: cells, pages, devices."""
    bindings = {binding.cell: binding.nodes for binding in guest.memnodes}
    general = None if guest.memory is None else guest.memory.nodes
    found = []
    for cell in placement.cells:
        nodes = bindings.get(cell.id, general)
        name = f"cell {cell.id}"
        wanted = _memory_nodes(placement) if cell.id not in bindings else str(cell.memory_node)
        found.append((f"{name}: memory's node", wanted, _NOTHING if nodes is None else format_id_list(nodes)))
        pages = _page_size(guest, cell.id)
        found.append((f"{name}: page size", format_size(cell.page_size_kib), pages))
    planned = [vf for interface in placement.interfaces for vf in interface.vfs]
    planned += [device.address for device in placement.devices]
    there = set(guest.pci_addresses)
    found += [(f"device {address}", "handed over", "handed over" if address in there else _NOTHING)
              for address in planned]  # fmt: skip
    return tuple(Check(placement.vm, *each, "definition") for each in found)


def running_checks(placement: Placement, live: RunningGuest) -> tuple[Check, ...]:
    """Against what the kernel says of the guest's threads and, where that is known, of its memory."""
    found = [*_thread_checks(placement, live.threads)]
    if live.memory:
        found += _memory_checks(placement, live)
    return tuple(Check(placement.vm, *each, "kernel") for each in found)


def _thread_checks(placement: Placement, threads: tuple[GuestThread, ...]) -> Iterator[tuple[str, str, str]]:
    vcpus = _vcpus(placement)
    numbers = [thread.index for thread in threads if thread.kind is ThreadKind.IOTHREAD and thread.index is not None]
    iothreads = _iothreads(placement, numbers)
    for thread in threads:
        match thread.kind:
            case ThreadKind.VCPU:
                yield f"vCPU {thread.index}", str(vcpus.get(thread.index or 0, "")), str(thread.affinity)
            case ThreadKind.IOTHREAD:
                yield f"iothread {thread.index}", str(iothreads.get(thread.index or 0, "")), str(thread.affinity)
            case ThreadKind.EMULATOR:
                yield "emulator", str(placement.emulator), str(thread.affinity)
            case ThreadKind.VHOST:
                # They are QEMU's own in libvirt's eyes: anywhere where that may run.
                fits = thread.affinity <= placement.emulator
                yield (
                    f"vhost {thread.tid}",
                    str(placement.emulator),
                    str(placement.emulator if fits else thread.affinity),
                )
            case ThreadKind.OTHER:
                continue


def _memory_checks(placement: Placement, live: RunningGuest) -> Iterator[tuple[str, str, str]]:
    """Huge pages are there from the start, ordinary ones as the guest touches them: of those only the node counts."""
    planned: dict[tuple[int, int], int] = {}
    for cell in placement.cells:
        key = int(cell.memory_node), cell.page_size_kib
        planned[key] = planned.get(key, 0) + cell.memory_kib
    found: dict[tuple[int, int], int] = {}
    for resident in live.memory:
        key = int(resident.node), resident.page_size_kib
        found[key] = found.get(key, 0) + resident.size_kib
    for node, size in sorted(planned.keys() | found.keys()):
        if size == _SMALL_PAGE_KIB:
            continue
        what = f"node {node}: pages of {format_size(size)}"
        yield what, format_size(planned.get((node, size), 0)), format_size(found.get((node, size), 0))
    nodes = {node for node, _ in planned}
    elsewhere = {node for (node, size), kib in found.items() if size == _SMALL_PAGE_KIB and kib} - nodes
    wanted = format_id_list(nodes)
    yield "ordinary pages' nodes", wanted, wanted if not elsewhere else format_id_list(nodes | elsewhere)


def _vcpus(placement: Placement) -> dict[int, CpuSet]:
    return {int(vcpu): cpus for cell in placement.cells for vcpu, cpus in cell.vcpus}


def _iothreads(placement: Placement, numbers: Iterable[int]) -> dict[int, CpuSet]:
    """What the plan wants of the iothreads that there are: its own in their order, then as the emulator.

    Where there are fewer than planned, those that are missing stand behind them.
    """
    planned = [cpus for _, cpus in sorted(placement.iothreads)]
    there = sorted(numbers)
    missing = (number for number in count(1) if number not in there)
    there += [next(missing) for _ in range(len(planned) - len(there))]
    return {number: planned[k] if k < len(planned) else placement.emulator for k, number in enumerate(there)}


def _rows(found: object) -> dict[str, object]:
    return found if isinstance(found, dict) else {}


def _pin_checks(kind: str, planned: Mapping[int, CpuSet], rows: Mapping[str, object]) -> list[tuple[str, str, str]]:
    return [(f"{kind} {number}", str(cpus), _text(rows.get(str(number)))) for number, cpus in sorted(planned.items())]


def _memory_nodes(placement: Placement) -> str:
    return format_id_list({int(cell.memory_node) for cell in placement.cells})


def _node_list(nodeset: object) -> str:
    if not isinstance(nodeset, str) or not nodeset:
        return _NOTHING
    try:
        return format_id_list(parse_libvirt_list(nodeset))
    except ValueError:
        return nodeset


def _page_size(guest: Guest, cell: int) -> str:
    named = [page for page in guest.hugepages if page.cells is not None and cell in page.cells]
    general = [page for page in guest.hugepages if page.cells is None]
    for page in (*named, *general):
        return "the host's default" if page.size_kib is None else format_size(page.size_kib)
    return format_size(_SMALL_PAGE_KIB)


def _text(value: object) -> str:
    return value if isinstance(value, str) and value else _NOTHING
