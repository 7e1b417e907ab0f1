"""How findings say things: counts, lists cut short, places. What a finding says stands in its rule."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from numaplan.audit.threads import Thread, ThreadKind
from numaplan.cpuset import format_id_list
from numaplan.model.devices import PciAddress
from numaplan.model.finding import Evidence
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId

ONLINE = "sys/devices/system/cpu/online"
ISOLATED = "sys/devices/system/cpu/isolated"
_SHOWN = 4


def numbered(noun: str, ids: Iterable[int]) -> str:
    """``node 0``, ``nodes 0-1``, ``CPUs 2-5,8``, ``no CPUs``."""
    numbers = set(ids)
    if not numbers:
        return f"no {noun}s"
    return f"{noun}{'' if len(numbers) == 1 else 's'} {format_id_list(numbers)}"


def counted(count: int, noun: str) -> str:
    """``1 guest``, ``3 guests``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str], *, noun: str, total: int | None = None) -> str:
    """``a``, ``a and b``, ``a, b, c, d and 7 more guests``; `total` where `words` are the first of more."""
    count = len(words) if total is None else total
    if count > _SHOWN + 1:
        return f"{', '.join(words[:_SHOWN])} and {count - _SHOWN} more {noun}s"
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else f"no {noun}"


def quoted(name: Callable[[int], str], guests: Sequence[int]) -> str:
    """Guests by the name of their index, the first few of many."""
    return listed([f'"{name(guest)}"' for guest in guests[: _SHOWN + 1]], noun="guest", total=len(guests))


def threads(group: Iterable[Thread]) -> str:
    """``vCPUs 0-3``, ``the emulator``, ``iothread 1``, and those joined."""
    numbers: dict[ThreadKind, list[int]] = {}
    for thread in group:
        numbers.setdefault(thread.kind, []).append(thread.number)
    words = [
        "emulator" if kind is ThreadKind.EMULATOR else numbered(kind.value, numbers[kind])
        for kind in ThreadKind
        if kind in numbers
    ]
    return listed(words, noun="thread")


def at(guest: Guest, line: int) -> str:
    """``file:line`` of the guest's XML; the file alone where no line is known."""
    return f"{guest.file}:{line}" if line else guest.file


def pci_at(guest: Guest, address: PciAddress) -> str:
    """Where the guest's XML hands it that PCI function."""
    lines = [interface.line for interface in guest.interfaces if interface.pci == address]
    lines += [hostdev.line for hostdev in guest.hostdevs if hostdev.pci == address]
    return at(guest, lines[0] if lines else 0)


def pin(guest: Guest, group: Sequence[Thread], value: str | None = None) -> Evidence:
    """Where some threads of one guest are pinned; `value` instead of their CPUs. `group` must not be empty."""
    affinities = {thread.affinity for thread in group} - {None}
    cpus = {cpu for affinity in affinities if affinity is not None for cpu in affinity}
    said = numbered("CPU", cpus) if affinities else "no pin"
    return Evidence(threads(group), said if value is None else value, at(guest, min(thread.line for thread in group)))


def node_cpus(node: NodeId, cpus: Iterable[int]) -> Evidence:
    """Which CPUs a host node has."""
    return Evidence(f"node {node}", numbered("CPU", cpus), f"sys/devices/system/node/node{node}/cpulist")


def device_path(address: PciAddress, file: str) -> str:
    """A file of a PCI function."""
    return f"sys/bus/pci/devices/{address}/{file}"


def first(items: Iterable[Evidence], *, limit: int = 32) -> tuple[Evidence, ...]:
    """So many pieces of evidence as a reader may want."""
    return tuple(islice(items, limit))
