"""The hosts that the lab makes, as data: what QEMU is told, and so what the kernel must say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A NUMA node: its CPUs in the kernel's list form, its memory and its pools, and SR-IOV ports behind it."""

    cpus: str
    memory_mib: int = 0
    pages_1gib: int = 0
    pages_2mib: int = 0
    ports: int = 0


@dataclass(frozen=True)
class Topology:
    """A host. `distances[a][b]` is the SLIT entry; `offline` are CPUs that are taken away after the start.

    QEMU numbers the threads of a core one after the other; a die has an L3 of its own.
    """

    name: str
    sockets: int
    dies: int
    cores: int
    threads: int
    nodes: tuple[Node, ...]
    distances: tuple[tuple[int, ...], ...]
    offline: str = ""

    @property
    def cpus(self) -> int:
        """How many CPUs it has."""
        return self.sockets * self.dies * self.cores * self.threads

    @property
    def memory_mib(self) -> int:
        """All of its memory."""
        return sum(node.memory_mib for node in self.nodes)


FLAT = Topology(
    name="flat",
    sockets=2,
    dies=1,
    cores=4,
    threads=2,
    nodes=(
        Node("0-7", memory_mib=5120, pages_1gib=1, pages_2mib=512, ports=1),
        Node("8-15", memory_mib=4096, pages_1gib=1, pages_2mib=512, ports=1),
    ),
    distances=((10, 21), (21, 10)),
)
SNC = Topology(
    name="snc",
    sockets=2,
    dies=1,
    cores=4,
    threads=2,
    nodes=(
        Node("0-3", memory_mib=4096, pages_2mib=256, ports=1),
        Node("4-7", memory_mib=2560, pages_2mib=256),
        Node("8-11", memory_mib=2560, pages_2mib=256, ports=1),
        Node("12-15", memory_mib=2560, pages_2mib=256),
    ),
    distances=((10, 12, 21, 21), (12, 10, 21, 21), (21, 21, 10, 12), (21, 21, 12, 10)),
)
UNEVEN = Topology(
    name="uneven",
    sockets=2,
    dies=1,
    cores=4,
    threads=2,
    nodes=(
        Node("0-7", memory_mib=4096, pages_2mib=256, ports=1),
        Node("8-11", memory_mib=2560, pages_2mib=256, ports=1),
        Node("12-15"),
        Node("", memory_mib=2560, pages_2mib=256),
    ),
    distances=((10, 21, 21, 17), (21, 10, 12, 28), (21, 12, 10, 28), (17, 28, 28, 10)),
    offline="5",
)
CACHES = Topology(
    name="caches",
    sockets=2,
    dies=2,
    cores=2,
    threads=2,
    nodes=(
        Node("0-7", memory_mib=4096, pages_2mib=256, ports=1),
        Node("8-15", memory_mib=3072, pages_2mib=256, ports=1),
    ),
    distances=((10, 32), (32, 10)),
)
TOPOLOGIES = {topology.name: topology for topology in (FLAT, SNC, UNEVEN, CACHES)}
