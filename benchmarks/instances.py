"""Telco hosts and requests of any fullness, made from a seed: what the placement benchmark solves.

The same kind of host, fill and seed give the same instance on any machine.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from numaplan.model.request import GuestRequest, InterfaceRequest, PageSize, Request
from numaplan.model.snapshot import Snapshot
from tests.hosts import Nic, host
from tests.requests import ask, guest, vfs

PHYSNETS: Final = ("core", "edge")
FILLS: Final = (0.50, 0.80, 0.95, 1.05)
# The most guests that an instance has, whatever room is left.
MOST_GUESTS: Final = 250
FLAVOURS: Final = 12
# One in so many guests is tied to another, and a small one may be tied to the same nodes.
GUESTS_A_PAIR: Final = 10
SMALL_VCPUS: Final = 4
HUGE: Final = (PageSize.HUGE_1G, PageSize.LARGE)


@dataclass(frozen=True)
class HostKind:
    """A shape as tests/hosts.py reads it, and where its NICs are: node by node, for each physical network in turn."""

    name: str
    shape: str
    llcs_per_node: int
    nodes_per_package: int
    near: int
    far: int
    nic_nodes: tuple[int, ...]

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        return int(self.shape.split(":")[0][:-1])

    @property
    def cpus(self) -> int:
        """How many logical CPUs it has."""
        nodes, cores, threads = (int(part[:-1]) for part in self.shape.split(":"))
        return nodes * cores * threads


HOSTS: Final = (
    HostKind("2 nodes", "2n:32c:2t", 1, 1, 11, 21, (0, 0, 1, 1)),
    HostKind("2 x SNC2", "4n:16c:2t", 1, 2, 12, 21, (0, 1, 2, 3)),
    HostKind("2 x 8 CCX", "2n:64c:2t", 8, 1, 11, 32, (0, 0, 1, 1)),
    HostKind("NPS4", "8n:16c:2t", 2, 4, 12, 32, (0, 2, 4, 6)),
    HostKind("8 sockets", "16n:32c:2t", 2, 2, 12, 21, (0, 1, 4, 5, 8, 9, 12, 13)),
)


@dataclass(frozen=True)
class Instance:
    """One question: which of these guests go where on this host."""

    kind: str
    fill: float
    seed: int
    request: Request
    snapshot: Snapshot

    @property
    def name(self) -> str:
        """For a row of a table."""
        return f"{self.kind}, {self.fill:.2f}, {self.seed}"


def make_instance(kind: HostKind, fill: float, seed: int) -> Instance:
    """Guests that ask for `fill` of the host's CPUs, each optional and with a priority, in no order of their own.

    They ask for as much of the pages of 1 GiB and 2 MiB, and of the VFs of each network, which are the same on each
    node and PF. Even seeds make many small guests, odd ones fewer large ones.
    """
    dice = random.Random(f"{kind.name} {fill} {seed}")  # noqa: S311  # a benchmark, no secret
    free = kind.cpus - 2 * kind.nodes
    guests = _guests(dice, wanted=round(fill * free), flavours=FLAVOURS + kind.cpus // 32, large=bool(seed % 2))
    nics = [
        Nic(
            f"{PHYSNETS[i % 2]}{i // 2}",
            node=node,
            vfs=_share(_vfs_wanted(guests, PHYSNETS[i % 2]), 2 / len(kind.nic_nodes), fill),
            speed_mbps=100_000,
        )
        for i, node in enumerate(kind.nic_nodes)
    ]
    snapshot = host(
        kind.shape,
        llcs_per_node=kind.llcs_per_node,
        nodes_per_package=kind.nodes_per_package,
        pages={
            "1GiB": _pages(guests, HUGE, 1 << 20, kind.nodes, fill),
            "2MiB": _pages(guests, (PageSize.HUGE_2M,), 1 << 11, kind.nodes, fill),
        },
        memory_gib=32,
        distances=_distances(kind),
        nics=nics,
    )
    physnets = {net: tuple(nic.name for nic in nics if nic.name.startswith(net)) for net in PHYSNETS}
    request = ask(*_linked(dice, guests), reserved=_first_cores(kind), physnets=physnets)
    return Instance(kind.name, fill, seed, request, snapshot)


def _share(wanted: int, part: float, fill: float) -> int:
    """What each node or PF has where `wanted` of something are `fill` of all that there is."""
    return max(1, math.ceil(wanted / fill * part))


def _pages(guests: Sequence[GuestRequest], sizes: Sequence[PageSize], kib: int, nodes: int, fill: float) -> int:
    """Pages of `kib` on each node, enough for the largest cell at least."""
    wanted = [cell.memory_kib // kib for asked in guests for cell in asked.cells if cell.page_size in sizes]
    return max(_share(sum(wanted), 1 / nodes, fill), *wanted, 1)


def _vfs_wanted(guests: Sequence[GuestRequest], net: str) -> int:
    return sum(i.count for asked in guests for i in asked.interfaces if i.physnet == net)


def _linked(dice: random.Random, guests: Sequence[GuestRequest]) -> list[GuestRequest]:
    """Some pairs of guests with one cell: a small one on the node of another, others on nodes apart."""
    linked = list(guests)
    single = [i for i, asked in enumerate(guests) if len(asked.cells) == 1]
    dice.shuffle(single)
    pairs = list(zip(single[::2], single[1::2], strict=False))
    for i, j in pairs[: len(guests) // GUESTS_A_PAIR]:
        if guests[i].vm != guests[j].vm and not guests[j].interfaces and guests[j].vcpus <= SMALL_VCPUS:
            linked[j] = replace(guests[j], affinity=(guests[i].name,))
        else:
            linked[j] = replace(guests[j], anti_affinity=(guests[i].name,))
    return linked


def _first_cores(kind: HostKind) -> str:
    """A core of each node is the host's own."""
    nodes, cores, threads = (int(part[:-1]) for part in kind.shape.split(":"))
    firsts = [n * cores + t * nodes * cores for n in range(nodes) for t in range(threads)]
    return ",".join(str(cpu) for cpu in sorted(firsts))


def _distances(kind: HostKind) -> list[list[int]]:
    def entry(a: int, b: int) -> int:
        if a == b:
            return 10
        return kind.near if a // kind.nodes_per_package == b // kind.nodes_per_package else kind.far

    return [[entry(a, b) for b in range(kind.nodes)] for a in range(kind.nodes)]


def _guests(dice: random.Random, *, wanted: int, flavours: int, large: bool) -> list[GuestRequest]:
    """Copies of some flavours until their CPUs come to `wanted`, as nearly as they can."""
    kinds = [_flavour(dice, i, large=large) for i in range(flavours)]
    weights = [dice.choice((1, 2, 4)) for _ in kinds]
    guests: list[GuestRequest] = []
    left = wanted
    while len(guests) < MOST_GUESTS and left >= min(_cpus(flavour) for flavour in kinds):
        flavour = dice.choices(kinds, weights)[0]
        if _cpus(flavour) <= left:
            left -= _cpus(flavour)
            guests.append(replace(flavour, name=f"{flavour.vm}-{len(guests)}"))
    dice.shuffle(guests)
    return guests


def _cpus(asked: GuestRequest) -> int:
    """The CPUs that it takes from others, siblings that it keeps idle included."""
    cpus = asked.vcpus + asked.own_emulator_cpus
    return 2 * cpus if asked.thread_policy == "isolate" else cpus


def _flavour(dice: random.Random, number: int, *, large: bool) -> GuestRequest:
    """One of the roles, its sizes drawn once for all its copies."""
    role = (_router, _firewall, _control, _database, _cache, _control)[number % 6]
    made = role(dice, large=large)
    vm = f"{role.__name__[1:]}{number}"
    return replace(made, name=vm, vm=vm, required=False, priority=dice.randint(1, 10))


def _router(dice: random.Random, *, large: bool) -> GuestRequest:
    """Many CPUs, little memory, VFs of both networks on its socket if not nearer."""
    vcpus = dice.choice((6, 8, 10) if large else (4, 4, 6))
    return guest(
        "",
        vcpus,
        memory_gib=dice.choice((4, 6, 8)),
        page_size="1GiB",
        thread_policy=dice.choice(("require", "require", "prefer", "isolate")),
        emulator=dice.choice(("share", "isolate")),
        interfaces=_networks(dice, PHYSNETS, affinity=("socket", "preferred")),
    )


def _firewall(dice: random.Random, *, large: bool) -> GuestRequest:
    """VFs of one network, often on its very node."""
    vcpus = dice.choice((4, 8, 12) if large else (2, 4, 8))
    return guest(
        "",
        vcpus,
        memory_gib=vcpus * dice.choice((2, 4)),
        page_size="1GiB",
        thread_policy=dice.choice(("prefer", "require")),
        interfaces=_networks(dice, (dice.choice(PHYSNETS),), affinity=("required", "socket", "preferred")),
    )


def _control(dice: random.Random, *, large: bool) -> GuestRequest:
    """Small, of any CPUs and mostly small pages."""
    vcpus = dice.choice((1, 2, 4) if large else (1, 2, 3))
    return guest("", vcpus, memory_gib=dice.choice((1, 2, 4)), page_size=dice.choice(("4KiB", "2MiB", "any")))


def _database(dice: random.Random, *, large: bool) -> GuestRequest:
    """Two cells with much memory."""
    vcpus = dice.choice((4, 6, 8) if large else (3, 4, 6))
    return guest(
        "",
        (vcpus, vcpus),
        memory_gib=vcpus * dice.choice((4, 6)),
        page_size=dice.choice(("1GiB", "large")),
        memory_policy=dice.choice(("strict", "preferred")),
        thread_policy=dice.choice(("prefer", "require")),
    )


def _cache(dice: random.Random, *, large: bool) -> GuestRequest:
    """Few CPUs and much memory."""
    vcpus = dice.choice((2, 4) if large else (1, 2, 3))
    return guest(
        "",
        vcpus,
        memory_gib=vcpus * dice.choice((8, 10, 12)),
        page_size="1GiB",
        thread_policy=dice.choice(("prefer", "require", "isolate")),
    )


def _networks(dice: random.Random, nets: Sequence[str], *, affinity: Sequence[str]) -> list[InterfaceRequest]:
    near = dice.choice(affinity)
    return [vfs(net, net, dice.choice((1, 1, 2)), affinity=near, mbps=1000, physnet=True) for net in nets]
