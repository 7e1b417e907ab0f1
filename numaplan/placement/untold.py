"""What the host does not tell, or tells against itself, of the cores, nodes and pages that every answer rests on."""

from collections.abc import Iterator
from typing import Final

from numaplan.model.snapshot import LIBVIRT, Snapshot
from numaplan.units import format_count, format_size

_WHOLE: Final = frozenset({"sys/devices/system/cpu", "sys/devices/system/node", LIBVIRT})
_HUGEPAGES: Final = "hugepages"
_MOST_NAMED: Final = 3


def untold(snapshot: Snapshot) -> Iterator[str]:
    """A note on each gap of the inventory in these, the first few of many; and on more that is free than there is.

    And where the guests that libvirt defines are not known, whose CPUs, memory and devices then count as free.
    """
    told = [
        f"{gap.what}: {gap.why}" for gap in snapshot.gaps if gap.what in _WHOLE or _HUGEPAGES in gap.what.split("/")
    ]
    for gap in told[:_MOST_NAMED]:
        yield f"not known of this host: {gap}"
    if (more := len(told) - _MOST_NAMED) > 0:
        yield f"not known of this host: {format_count(more, 'fact')} more, which numaplan inventory lists"
    for node in snapshot.nodes:
        for pool in node.hugepages:
            if pool.free > pool.total:
                pages = f"{pool.free} free pages of {format_size(pool.size_kib)}, of {pool.total}"
                yield f"the inventory contradicts itself: node {node.id} has {pages}"
        if node.memory_kib is not None and node.available_kib is not None and node.available_kib > node.memory_kib:
            memory = f"{format_size(node.available_kib)} of memory available, of {format_size(node.memory_kib)}"
            yield f"the inventory contradicts itself: node {node.id} has {memory}"
