"""NUMA nodes (/sys/devices/system/node, Documentation/ABI/stable/sysfs-devices-node)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.inventory.attribute import (
    bits_of,
    cpus_of,
    each_of,
    ids_of,
    note_absent,
    parse_cpu_bits,
    parse_integer,
    parse_mask_bits,
    read_attribute,
    read_each,
)
from numaplan.inventory.memory import GLOBAL_POOLS, MemoryInfo, is_pool, read_memory, read_node_memories, read_pools
from numaplan.model.host import HugepagePool, NodeId, NumaNode
from numaplan.sources.tree import HostTree

NODE_ROOT: Final = "sys/devices/system/node"
# CONFIG_NODES_SHIFT is at most 10 on every architecture.
NODE_LIMIT: Final = 1024

# The files that name the CPUs of a node, in the order of trust.
_MEMBERS: Final[tuple[tuple[str, Callable[[str], int]], ...]] = (
    ("cpulist", parse_cpu_bits),
    ("cpumap", parse_mask_bits),
)
_NODE_NAME = re.compile(r"node(0|[1-9][0-9]{0,4})", re.ASCII)
_CPU_NAME = re.compile(r"cpu(0|[1-9][0-9]{0,4})", re.ASCII)
# ACPI 6.5, 5.2.17: a node is 10 from itself, no other distance is smaller, and 255 is out of reach. Device trees allow
# more than a byte.
_NEAREST: Final = 10
_FARTHEST: Final = 65535


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes by id, without packages; `node_of` says on which node a CPU is; `exposed`: the host shows nodes at all."""

    nodes: tuple[NumaNode, ...]
    node_of: Mapping[CpuId, NodeId]
    exposed: bool


def read_nodes(tree: HostTree, online: CpuSet) -> Nodes:
    """Every online node. A host without node folders has one node 0 with all CPUs, and a gap that says so."""
    folders = _read_folders(tree)
    if not folders:
        tree.note(NODE_ROOT, "NUMA is not exposed: one node 0 with all CPUs is assumed")
        node = _node(0, online, memory=read_memory(tree, "proc/meminfo"), pools=read_pools(tree, GLOBAL_POOLS))
        return Nodes((node,), dict.fromkeys(online, node.id), exposed=False)
    listed = _read_online(tree, folders)
    ids = [id_ for id_ in listed if id_ in folders]
    members = _members(tree, ids, online=bits_of(online))
    memories = read_node_memories(tree, f"{NODE_ROOT}/node{{}}/meminfo", ids)
    pools = _read_all_pools(tree, memories)
    rows = _read_distances(tree, ids, columns=listed)
    nodes = []
    for id_ in ids:
        node = _node(id_, cpus_of(members[id_]), memory=memories[id_], pools=pools[id_])
        distances = zip(listed, rows.get(id_, ()), strict=id_ in rows)
        shown = tuple((NodeId(other), value) for other, value in distances if other in folders)
        nodes.append(replace(node, distances=shown))
    node_of = {cpu: NodeId(id_) for id_ in ids for cpu in ids_of(members[id_])}
    if homeless := [cpu for cpu in online if cpu not in node_of]:
        tree.note(NODE_ROOT, f"CPUs {format_id_list(homeless)} are in no node")
    return Nodes(tuple(nodes), node_of, exposed=True)


def parse_node_list(text: str) -> tuple[int, ...]:
    """Nodes of a kernel list, ascending; raises ValueError."""
    bits = parse_cpu_bits(text)
    if bits.bit_length() > NODE_LIMIT:
        raise ValueError(f"a node id of {NODE_LIMIT} or more")
    return tuple(int(id_) for id_ in ids_of(bits))


def parse_distances(text: str) -> tuple[int, ...]:
    """The entries of a distance file, in the order of the online nodes; raises ValueError."""
    words = text.split()
    if not words:
        raise ValueError("no distances")
    if len(words) > NODE_LIMIT:
        raise ValueError(f"more than {NODE_LIMIT} distances")
    return tuple(parse_integer(word, lowest=_NEAREST, highest=_FARTHEST) for word in words)


def _node(id_: int, cpus: CpuSet, *, memory: MemoryInfo, pools: tuple[HugepagePool, ...]) -> NumaNode:
    return NumaNode(
        id=NodeId(id_),
        packages=(),
        cpus=cpus,
        memory_kib=memory.total_kib,
        free_kib=memory.free_kib,
        available_kib=memory.available_kib,
        hugepages=pools,
    )


def _read_folders(tree: HostTree) -> frozenset[int]:
    ids = set()
    for name in tree.names(NODE_ROOT):
        match = _NODE_NAME.fullmatch(name)
        if match is None:
            continue
        if int(match[1]) >= NODE_LIMIT:
            tree.note(f"{NODE_ROOT}/{name}", f"a node id of {NODE_LIMIT} or more")
        else:
            ids.add(int(match[1]))
    return frozenset(ids)


def _read_online(tree: HostTree, folders: frozenset[int]) -> tuple[int, ...]:
    """Online nodes, ascending: the columns of the distance files stand for just these."""
    path = f"{NODE_ROOT}/online"
    listed = read_attribute(tree, path, parse_node_list, expected=True)
    if not listed:
        if listed is not None:
            tree.note(path, "names no node: all that have a folder are taken")
        return tuple(sorted(folders))
    if missing := set(listed) - folders:
        tree.note(path, f"nodes {format_id_list(missing)} have no folder and are left out")
    if not set(listed) & folders:
        return tuple(sorted(folders))
    for id_ in sorted(folders - set(listed)):
        # The folder of a node goes when the node does (drivers/base/node.c), so one of the two is wrong.
        tree.note(f"{NODE_ROOT}/node{id_}", f"not in {path}: the node is left out")
    return listed


def _members(tree: HostTree, ids: Sequence[int], *, online: int) -> dict[int, int]:
    members: dict[int, int] = {}
    ranks: dict[int, int] = {}
    taken = 0
    for id_ in ids:
        cpus, ranks[id_] = _read_cpus(tree, id_, online=online)
        if twice := cpus & taken:
            tree.note(
                f"{NODE_ROOT}/node{id_}",
                f"CPUs {format_id_list(ids_of(twice))} are in a lower node too, and stay there",
            )
        members[id_] = cpus & ~taken
        taken |= cpus
    first = min(ranks.values()) % len(_MEMBERS)
    note_absent(tree, f"{NODE_ROOT}/node{{}}/{_MEMBERS[first][0]}", [id_ for id_ in ids if ranks[id_] != first])
    return members


def _read_cpus(tree: HostTree, id_: int, *, online: int) -> tuple[int, int]:
    """Online CPUs of a node and the rank in `_MEMBERS` of the file that names them, past its end for none.

    Without such a file these are its cpuM links, which may name offline CPUs too.
    """
    folder = f"{NODE_ROOT}/node{id_}"
    links = 0
    for name in tree.names(folder):
        match = _CPU_NAME.fullmatch(name)
        if match is not None and int(match[1]) < online.bit_length():
            links |= 1 << int(match[1])
    links &= online
    for rank, (name, parse) in enumerate(_MEMBERS):
        cpus = read_attribute(tree, f"{folder}/{name}", parse)
        if cpus is None:
            continue
        if links and links != cpus & online:
            said, linked = (format_id_list(ids_of(each)) or "none" for each in (cpus & online, links))
            tree.note(f"{folder}/{name}", f"CPUs {said}, but the links in the node's folder are of CPUs {linked}")
        return cpus & online, rank
    return links, len(_MEMBERS)


def _read_all_pools(tree: HostTree, memories: Mapping[int, MemoryInfo]) -> dict[int, tuple[HugepagePool, ...]]:
    """Pools by node: the kernel shows each of its page sizes on each node that has memory."""
    folder = f"{NODE_ROOT}/node{{}}/hugepages"
    shown = {id_: tree.names(folder.format(id_)) for id_ in memories}
    sizes = {name for names in (*shown.values(), tree.names(GLOBAL_POOLS)) for name in names if is_pool(name)}
    peopled = [id_ for id_, memory in memories.items() if memory.total_kib != 0]
    bare = [id_ for id_ in peopled if sizes and not tree.exists(folder.format(id_))]
    pools = {id_: read_pools(tree, folder.format(id_)) for id_ in memories}
    if bare == list(memories) and len(bare) == 1:
        return {id_: read_pools(tree, GLOBAL_POOLS) for id_ in bare}
    if bare:
        tree.note(each_of(folder, bare), "not there: the node's share of the host's hugepages is not known")
    for size in sorted(sizes):
        if lacking := [id_ for id_ in peopled if id_ not in bare and size not in shown[id_]]:
            tree.note(each_of(f"{folder}/{size}", lacking), "not there")
    return pools


def _read_distances(tree: HostTree, ids: Sequence[int], *, columns: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The entries of each node that has as many as there are `columns`."""
    pattern = f"{NODE_ROOT}/node{{}}/distance"
    rows = read_each(tree, pattern, ids, parse_distances)
    note_absent(tree, pattern, [id_ for id_ in ids if id_ not in rows])
    for id_, entries in rows.items():
        if len(entries) != len(columns):
            tree.note(pattern.format(id_), f"{len(entries)} distances for {len(columns)} online nodes")
    return {id_: entries for id_, entries in rows.items() if len(entries) == len(columns)}
