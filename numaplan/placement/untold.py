"""What the host does not tell of the cores, nodes and huge pages that every answer rests on."""

from collections.abc import Iterator
from typing import Final

from numaplan.model.snapshot import Snapshot
from numaplan.units import format_count

_WHOLE: Final = frozenset({"sys/devices/system/cpu", "sys/devices/system/node"})
_HUGEPAGES: Final = "hugepages"
_MOST_NAMED: Final = 3


def untold(snapshot: Snapshot) -> Iterator[str]:
    """A note on each gap of the inventory in these, the first few of many."""
    told = [
        f"{gap.what}: {gap.why}" for gap in snapshot.gaps if gap.what in _WHOLE or _HUGEPAGES in gap.what.split("/")
    ]
    for gap in told[:_MOST_NAMED]:
        yield f"not known of this host: {gap}"
    if (more := len(told) - _MOST_NAMED) > 0:
        yield f"not known of this host: {format_count(more, 'fact')} more, which numaplan inventory lists"
