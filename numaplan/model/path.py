"""The way of a guest's traffic through the host: stations from the guest to a port, and where it changes node."""

from dataclasses import dataclass
from enum import StrEnum

from numaplan.cpuset import EMPTY, CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.host import NodeId


class StationKind(StrEnum):
    """What traffic passes through.

    `VHOST` and `EMULATOR` are the guest's threads that carry it, `PMD` the threads of Open vSwitch that poll an
    interface, `SOCKET` a vhost-user port; `FUNCTION` is what SR-IOV makes of a port, `PORT` a physical port.
    """

    GUEST = "guest"
    VHOST = "vhost"
    EMULATOR = "emulator"
    FUNCTION = "function"
    TAP = "tap"
    MACVTAP = "macvtap"
    SOCKET = "socket"
    PMD = "pmd"
    BRIDGE = "bridge"
    OVS_BRIDGE = "ovs_bridge"
    PATCH = "patch"
    VETH = "veth"
    VLAN = "vlan"
    MACVLAN = "macvlan"
    BOND = "bond"
    TUNNEL = "tunnel"
    LINK = "link"
    PORT = "port"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """SLIT entries between two sets of nodes: of the nearest two, and of the farthest."""

    smallest: int
    largest: int


@dataclass(frozen=True, slots=True)
class Station:
    """One stop. `nodes` are those on which it stands or may run: none for what has no place of its own (a bridge works
    where its caller runs), and where the host does not say.

    `cpus` are those of threads; `pci` the function of a port. Threads that poll are called as what they poll.
    """

    kind: StationKind
    name: str
    nodes: tuple[NodeId, ...] = ()
    cpus: CpuSet = EMPTY
    pci: PciAddress | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two stations of a route, one after the other but for those without a node, that are not on one node.

    `certain`: they share no node; else threads that may run on several can avoid it. `package`: they share no package
    either, None where that is not known. `distance` is None where the host does not say.
    """

    origin: Station
    target: Station
    certain: bool
    package: bool | None
    distance: Span | None


@dataclass(frozen=True, slots=True)
class Route:
    """One way: from the guest to a physical port; `uplink` is None where it ends before."""

    stations: tuple[Station, ...]
    crossings: tuple[Crossing, ...]
    uplink: Station | None


@dataclass(frozen=True, slots=True)
class TrafficPath:
    """Every way of one interface, by the names of their ports: several where a bond, or a bridge, has several.

    `interface` is its place among the guest's interfaces, None for a network function that is no ``<interface>``.
    `unknown` are sentences about what the host does not say.
    """

    guest: str
    interface: int | None
    name: str
    routes: tuple[Route, ...]
    unknown: tuple[str, ...] = ()

    @property
    def uplinks(self) -> tuple[Station, ...]:
        """The physical ports, by name."""
        return tuple(route.uplink for route in self.routes if route.uplink is not None)
