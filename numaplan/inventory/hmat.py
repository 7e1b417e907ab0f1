"""How fast CPUs reach a node's memory (/sys/devices/system/node/nodeN/accessM).

Documentation/admin-guide/mm/numaperf.rst; the numbers are those of ACPI's HMAT, or of a CXL device's CDAT.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.inventory.attribute import parse_integer
from numaplan.inventory.listed import read_listed
from numaplan.inventory.nodes import NODE_ROOT
from numaplan.model.host import MemoryAccess, NodeId, NumaNode
from numaplan.sources.tree import HostTree

_ACCESS = re.compile(r"access([0-9])", re.ASCII)
_NODE = re.compile(r"node(0|[1-9][0-9]{0,4})", re.ASCII)
_NUMBERS: Final = frozenset({"read_bandwidth", "write_bandwidth", "read_latency", "write_latency"})
# The kernel prints an unsigned int.
_HIGHEST: Final = 2**32 - 1


def with_access(tree: HostTree, nodes: Sequence[NumaNode]) -> tuple[NumaNode, ...]:
    """The nodes with what the firmware says of their memory, by class of access; nothing on most hosts."""
    known = frozenset(node.id for node in nodes)
    return tuple(replace(node, access=_read_node(tree, node.id, known=known)) for node in nodes)


def parse_performance(text: str) -> int | None:
    """MiB/s or ns; None for 0, by which the kernel means that it was not told. Raises ValueError."""
    return parse_integer(text, highest=_HIGHEST) or None


def _read_node(tree: HostTree, id_: NodeId, *, known: frozenset[NodeId]) -> tuple[MemoryAccess, ...]:
    folder = f"{NODE_ROOT}/node{id_}"
    classes = sorted(int(match[1]) for name in tree.names(folder) if (match := _ACCESS.fullmatch(name)))
    read = (_read_access(tree, f"{folder}/access{number}/initiators", number, known=known) for number in classes)
    return tuple(access for access in read if access is not None)


def _read_access(tree: HostTree, folder: str, number: int, *, known: frozenset[NodeId]) -> MemoryAccess | None:
    """None where the class names no initiator and has no number, as at a node that has CPUs but no memory."""
    # They come together, or not at all (node_set_perf_attrs() in drivers/base/node.c).
    told = not _NUMBERS.isdisjoint(tree.names(folder))

    def performance(name: str) -> int | None:
        return read_listed(tree, folder, name, parse_performance, expected=told)

    linked = {NodeId(int(match[1])) for name in tree.names(folder) if (match := _NODE.fullmatch(name))}
    if unknown := linked - known:
        tree.note(folder, f"nodes {format_id_list(unknown)} are not online")
    access = MemoryAccess(
        access=number,
        initiators=tuple(sorted(linked & known)),
        read_bandwidth_mibps=performance("read_bandwidth"),
        write_bandwidth_mibps=performance("write_bandwidth"),
        read_latency_ns=performance("read_latency"),
        write_latency_ns=performance("write_latency"),
    )
    return None if access == MemoryAccess(number, ()) else access
