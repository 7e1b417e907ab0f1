"""Guests in an inventory: what their XML asks for, and where running ones are in fact."""

from collections.abc import Iterable
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest, GuestThread, ThreadKind, VcpuId
from numaplan.model.snapshot import Snapshot
from numaplan.report.text import NONE, UNKNOWN, clean, count, grid, number, wrap_list
from numaplan.units import format_size

_LIST_WIDTH: Final = 24
# Helpers come and go; those that may run on the same CPUs are counted in one row.
_COUNTED: Final = frozenset({ThreadKind.VHOST, ThreadKind.OTHER})


def guests(snapshot: Snapshot) -> str:
    """A row a guest, from its XML."""
    if not snapshot.guests:
        return ""
    return grid(
        ["guest", "vCPUs", "memory", "may run on CPUs", "node", "PCI devices", "state"],
        [_guest_row(snapshot, guest) for guest in snapshot.guests],
        right=["vCPUs", "memory"],
    )


def _guest_row(snapshot: Snapshot, guest: Guest) -> list[str]:
    pins = {pin.vcpu: pin.cpus for pin in guest.vcpu_pins}
    unpinned = any(VcpuId(vcpu) not in pins for vcpu in range(guest.vcpus))
    anywhere = unpinned and guest.vcpu_cpuset is None
    bound = [*pins.values(), *([guest.vcpu_cpuset] if unpinned and guest.vcpu_cpuset is not None else [])]
    cpus = CpuSet(cpu for affinity in bound for cpu in affinity)
    return [
        clean(guest.name),
        str(guest.vcpus),
        UNKNOWN if guest.memory_kib is None else format_size(guest.memory_kib),
        "any" if anywhere else wrap_list(str(cpus) or NONE, _LIST_WIDTH),
        "any" if anywhere else _nodes(snapshot, cpus),
        "\n".join(str(address) for address in guest.pci_addresses) or NONE,
        _state(guest),
    ]


def _nodes(snapshot: Snapshot, cpus: CpuSet) -> str:
    return ",".join(str(node.id) for node in snapshot.nodes if node.cpus & cpus) or NONE


def _state(guest: Guest) -> str:
    """The word of libvirt, else whether it runs."""
    if guest.state is not None:
        return clean(guest.state)
    match guest.running:
        case None:
            return UNKNOWN
        case True:
            return "running"
        case False:
            return "shut off"


def guest_threads(snapshot: Snapshot) -> str:
    """Where the threads of running guests may run now."""
    rows = [
        [clean(guest.name), *row]
        for guest in snapshot.guests
        if guest.live is not None
        for row in _thread_rows(snapshot, guest.live.threads)
    ]
    headers = ["guest", "thread", "TID", "may run now on CPUs", "node"]
    return grid(headers, rows, right=["TID"]) if rows else ""


def _thread_rows(snapshot: Snapshot, threads: Iterable[GuestThread]) -> Iterable[list[str]]:
    counted: dict[tuple[ThreadKind, CpuSet], int] = {}
    for thread in threads:
        if thread.kind in _COUNTED:
            key = (thread.kind, thread.affinity)
            counted[key] = counted.get(key, 0) + 1
            continue
        index = "" if thread.index is None else f" {thread.index}"
        yield [f"{_kind(thread.kind)}{index}", number(thread.tid), *_place(snapshot, thread.affinity)]
    for (kind, cpus), amount in counted.items():
        yield [count(amount, f"{_kind(kind)} thread"), NONE, *_place(snapshot, cpus)]


def _kind(kind: ThreadKind) -> str:
    return "vCPU" if kind is ThreadKind.VCPU else kind.value


def _place(snapshot: Snapshot, cpus: CpuSet) -> list[str]:
    return [wrap_list(str(cpus) or NONE, 2 * _LIST_WIDTH), _nodes(snapshot, cpus)]


def guest_memory(snapshot: Snapshot) -> str:
    """Where the memory of running guests lies now, and where it may lie."""
    rows: list[list[str]] = []
    for guest in snapshot.guests:
        if guest.live is None or not (guest.live.memory or guest.live.allowed_nodes is not None):
            continue
        allowed = guest.live.allowed_nodes
        may = UNKNOWN if allowed is None else ",".join(map(str, allowed)) or NONE
        pid = number(guest.live.pid)
        rows += [
            [clean(guest.name), pid, str(part.node), format_size(part.page_size_kib), format_size(part.size_kib), may]
            for part in guest.live.memory
        ] or [[clean(guest.name), pid, UNKNOWN, UNKNOWN, UNKNOWN, may]]
    headers = ["guest", "PID", "memory on node", "pages", "amount", "may be on nodes"]
    return grid(headers, rows, right=["PID", "memory on node", "pages", "amount"]) if rows else ""
