"""Nodes in an inventory, with what lies in them: cores, free CPUs, memory, huge pages, caches, clocks."""

from collections import Counter
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.host import NumaNode
from numaplan.model.snapshot import Snapshot
from numaplan.report.holding import Holding
from numaplan.report.text import NONE, UNKNOWN, gib, grid, known, number, wrap_list
from numaplan.units import format_size

# By how many columns of CPU lists there are: the table stays within 120.
_LIST_WIDTHS: Final = (24, 20, 14)
_LLC_WIDTH: Final = 48
_KHZ_PER_MHZ: Final = 1000


def nodes(snapshot: Snapshot, held: Holding) -> str:
    """A row a node. ``free`` are CPUs that no thread of a guest is pinned to alone; all of them where none is held."""
    if not snapshot.nodes:
        return ""
    isolated = snapshot.cpus.isolated
    lists = {"free": held.taken, "isolated": isolated}
    width = _LIST_WIDTHS[sum(bool(cpus) for cpus in lists.values())]
    headers = ["node", "package", "cores", "CPUs", "free", "isolated", "GiB avail/total", "huge pages", "distances"]
    rows = [
        [
            str(node.id),
            ",".join(map(str, node.packages)) or (UNKNOWN if node.cpus else NONE),
            _cores(snapshot, node),
            wrap_list(str(node.cpus) or NONE, width),
            wrap_list(str(node.cpus - held.taken) or NONE, width),
            wrap_list(str(node.cpus & isolated) or NONE, width),
            f"{gib(node.available_kib)}/{gib(node.memory_kib)}",
            _pools(node),
            _distances(snapshot, node, width),
        ]
        for node in snapshot.nodes
    ]
    for header, cpus in lists.items():
        if not cpus:
            headers, rows = _without(headers, rows, header)
    return grid(headers, rows, right=["node", "GiB avail/total"])


def _without(headers: list[str], rows: list[list[str]], header: str) -> tuple[list[str], list[list[str]]]:
    at = headers.index(header)
    return [*headers[:at], *headers[at + 1 :]], [[*row[:at], *row[at + 1 :]] for row in rows]


def _pools(node: NumaNode) -> str:
    pools = [f"{_page(pool.size_kib)} {pool.free}/{pool.total} free" for pool in reversed(node.hugepages)]
    return "\n".join(pools) or NONE


def _page(size_kib: int) -> str:
    return format_size(size_kib).replace(" ", "")


def _cores(snapshot: Snapshot, node: NumaNode) -> str:
    """Cores by how many of their threads are online: ``16 x 2``, a line for each width."""
    widths = Counter(
        len(core.cpus) for core in snapshot.cores if core.numa_node == node.id or (core.cpus and core.cpus <= node.cpus)
    )
    return "\n".join(f"{cores} x {threads}" for threads, cores in sorted(widths.items(), reverse=True)) or NONE


def _distances(snapshot: Snapshot, node: NumaNode, width: int) -> str:
    if not node.distances:
        return UNKNOWN
    known_ones = dict(node.distances)
    ids = sorted({other.id for other in snapshot.nodes} | set(known_ones))
    return wrap_list(",".join(f"{other}:{number(known_ones.get(other))}" for other in ids), width)


def memory_access(snapshot: Snapshot) -> str:
    """How fast each node's memory is from its nearest initiators, where firmware says so (ACPI HMAT)."""
    rows = [
        [
            str(node.id),
            str(access.access),
            ",".join(map(str, access.initiators)) or NONE,
            number(access.read_bandwidth_mibps),
            number(access.write_bandwidth_mibps),
            number(access.read_latency_ns),
            number(access.write_latency_ns),
        ]
        for node in snapshot.nodes
        for access in node.access
    ]
    headers = ["node", "access", "from nodes", "read MiB/s", "write MiB/s", "read ns", "write ns"]
    return grid(headers, rows, right=[h for h in headers if h != "from nodes"]) if rows else ""


def core_kinds(snapshot: Snapshot) -> str:
    """What a hybrid host, or one whose cores differ in capacity, has of which kind."""
    found: dict[tuple[str, str], list[int]] = {}
    for core in snapshot.cores:
        if core.kind is not None or core.capacity is not None:
            kind = NONE if core.kind is None else core.kind.value.replace("_", " ")
            found.setdefault((kind, number(core.capacity)), []).extend(core.cpus)
    if not found:
        return ""
    rows = [[kind, capacity, wrap_list(str(CpuSet(cpus)), _LLC_WIDTH)] for (kind, capacity), cpus in found.items()]
    return grid(["core kind", "capacity", "CPUs"], rows, right=["capacity"])


def llcs(snapshot: Snapshot, *, every: bool) -> str:
    """Unless `every` is wanted, only where they say more than the nodes do: several in one node, or one in several."""
    found = snapshot.llcs
    per_node = Counter(node for llc in found for node in llc.numa_nodes)
    plain = all(amount == 1 for amount in per_node.values()) and all(len(llc.numa_nodes) == 1 for llc in found)
    if not found or (plain and not every):
        return ""
    rows = [
        [
            ",".join(map(str, llc.numa_nodes)) or UNKNOWN,
            f"L{llc.level}",
            UNKNOWN if llc.size_kib is None else format_size(llc.size_kib),
            wrap_list(str(llc.cpus), _LLC_WIDTH),
        ]
        for llc in found
    ]
    return grid(["node", "last-level cache", "size", "CPUs"], rows, right=["node"])


def frequencies(snapshot: Snapshot) -> str:
    """How CPUs scale; those that are set alike in one row."""
    found: dict[tuple[str, ...], list[int]] = {}
    for policy in snapshot.kernel.frequencies:
        key = (
            known(policy.driver),
            known(policy.governor),
            f"{_mhz(policy.min_khz)}-{_mhz(policy.max_khz)}",
            f"{_mhz(policy.hardware_min_khz)}-{_mhz(policy.hardware_max_khz)}",
            _mhz(policy.base_khz),
            known(policy.energy_preference),
        )
        found.setdefault(key, []).extend(policy.cpus)
    if not found:
        return ""
    rows = [[wrap_list(str(CpuSet(cpus)), _LLC_WIDTH), *key] for key, cpus in found.items()]
    headers = ["CPUs", "driver", "governor", "MHz", "hardware MHz", "base MHz", "energy preference"]
    return grid(headers, rows, right=["MHz", "hardware MHz", "base MHz"])


def _mhz(khz: int | None) -> str:
    return number(None if khz is None else khz // _KHZ_PER_MHZ)
