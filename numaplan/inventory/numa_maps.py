"""Where the memory of a guest's process lies: its numa_maps, told apart into guest memory and QEMU's own."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from numaplan.cpuset import parse_id_list
from numaplan.inventory.attribute import parse_or_note
from numaplan.model.guest import ResidentMemory
from numaplan.model.host import NodeId
from numaplan.sources.tree import HostTree

# CONFIG_NODES_SHIFT is at most 10 on every architecture.
NODE_LIMIT: Final = 1024
# glibc's malloc takes memory in arenas of at most 64 MiB (HEAP_MAX_SIZE in malloc/arena.c): whatever holds more at one
# place, and is no heap, is a guest's.
ARENA_KIB: Final = 64 << 10

_LINE = re.compile(r"[0-9a-f]{1,16} (\S+)((?: \S+)*)", re.ASCII)
_PAGES = re.compile(r"N([0-9]{1,4})=([0-9]{1,15})", re.ASCII)
_PAGE_SIZE = re.compile(r"kernelpagesize_kB=([1-9][0-9]{0,9})", re.ASCII)
# What a memory backend of QEMU's maps: memfd, anonymous shared memory, a nameless file in the folder that it was given
# (file_ram_alloc in QEMU's system/physmem.c), or a file of libvirt's that bears the backend's id. QEMU has memfds for
# other things too: what it draws on, a log of vhost's, its own translated code.
_BACKEND = re.compile(
    r"file=(?:/memfd:(?!displaysurface|vhost-log|tcg-jit).*|/dev/zero.*|/dev/shm/.*|.*/qemu_back_mem\..*"
    r"|.*/(?:ram-node[0-9]+|[a-z0-9.-]+\.ram|mem(?:dimm|nvdimm|virtiomem|virtiopmem)[0-9]+)(?:\\040\(deleted\))?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of numa_maps; `pages` by node, of `page_size_kib` each."""

    policy: str
    words: tuple[str, ...]
    page_size_kib: int
    pages: tuple[tuple[int, int], ...]

    @property
    def size_kib(self) -> int:
        """What of it lies in memory."""
        return self.page_size_kib * sum(count for _, count in self.pages)

    @property
    def is_anonymous(self) -> bool:
        """Neither a file's nor the heap or a stack."""
        return not any(word in {"heap", "stack"} or word.startswith(("file=", "stack:")) for word in self.words)


def read_resident(tree: HostTree, pid: int) -> tuple[ResidentMemory, ...]:
    """Guest memory of a QEMU process: /proc/PID/numa_maps (Documentation/filesystems/proc.rst).

    () where it may not be read, or the process has gone.
    """
    path = f"proc/{pid}/numa_maps"
    text = tree.text(path)
    mappings = None if text is None else parse_or_note(tree, path, text=text, parse=parse_numa_maps)
    return () if mappings is None else guest_memory(mappings)


def read_allowed_nodes(tree: HostTree, pid: int) -> tuple[NodeId, ...] | None:
    """Mems_allowed_list of /proc/PID/status: the nodes that its cpuset lets it take memory from."""
    path = f"proc/{pid}/status"
    text = tree.text(path)
    return None if text is None else parse_or_note(tree, path, text=text, parse=parse_allowed_nodes)


def parse_allowed_nodes(text: str) -> tuple[NodeId, ...] | None:
    """The nodes in a status file; None for a kernel without NUMA; raises ValueError."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "Mems_allowed_list":
            nodes = parse_id_list(value, limit=NODE_LIMIT)
            if not nodes:
                raise ValueError("Mems_allowed_list names no node")
            return tuple(NodeId(node) for node in sorted(nodes))
    return None


def parse_numa_maps(text: str) -> tuple[Mapping, ...]:
    """The mappings of which pages lie in memory; raises ValueError."""
    found = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line.rstrip(" "))
        if match is None:
            raise ValueError("no NUMA maps")
        words = tuple(match[2].split())
        counts = [count for word in words if (count := _PAGES.fullmatch(word)) is not None]
        if not counts:
            continue
        size = next((size for word in words if (size := _PAGE_SIZE.fullmatch(word)) is not None), None)
        if size is None:
            raise ValueError("pages without kernelpagesize_kB")
        pages = tuple((int(count[1]), int(count[2])) for count in counts)
        if max(node for node, _ in pages) >= NODE_LIMIT:
            raise ValueError(f"a node of {NODE_LIMIT} or more")
        found.append(Mapping(match[1], words, int(size[1]), pages))
    return tuple(found)


def guest_memory(mappings: Sequence[Mapping]) -> tuple[ResidentMemory, ...]:
    """The guest's memory by node and page size; QEMU's own, its libraries, heap and caches, is left out.

    The guest's are: hugetlb pages; what a memory backend maps; anonymous memory with a policy of its own, which only
    a backend with host-nodes has; and anonymous memory that is more than an arena of malloc's.
    """
    # Without a policy of its own a mapping shows that of its task, and so does the stack.
    task = next((mapping.policy for mapping in mappings if "stack" in mapping.words), "default")
    sizes: Counter[tuple[int, int]] = Counter()
    for mapping in mappings:
        own = mapping.policy != task or mapping.size_kib > ARENA_KIB
        if (
            "huge" in mapping.words
            or any(_BACKEND.fullmatch(word) for word in mapping.words)
            or (mapping.is_anonymous and own)
        ):
            for node, count in mapping.pages:
                sizes[node, mapping.page_size_kib] += count * mapping.page_size_kib
    return tuple(ResidentMemory(NodeId(node), page, size) for (node, page), size in sorted(sizes.items()) if size)
