"""The way of every guest's traffic, interface by interface, and where it crosses from one NUMA node to another."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from numaplan.graph.slit import slit_entries, span
from numaplan.graph.stations import Stations
from numaplan.graph.wiring import OVS_DATAPATH, SWITCHES, Place, Spot, Wiring
from numaplan.model.devices import NETWORK_CLASS_PREFIX
from numaplan.model.guest import Guest, GuestHostdev, GuestInterface
from numaplan.model.host import NodeId, PackageId
from numaplan.model.path import Crossing, Route, Station, TrafficPath
from numaplan.model.snapshot import Snapshot

# Types of <interface> that never touch the host's network devices (formatdomain, "Network interfaces").
_NO_DEVICE: Final = frozenset({"user", "server", "client", "mcast", "udp", "null"})


def traffic_paths(snapshot: Snapshot, guests: Sequence[Guest] | None = None) -> tuple[TrafficPath, ...]:
    """The paths of all guests' interfaces, or of those of some, in the order of the guests and of their XML.

    Traffic is followed to the physical ports by the fewest steps. Where the host routes instead, it is not followed.
    """
    finder = _Finder(snapshot)
    chosen = snapshot.guests if guests is None else guests
    return tuple(path for guest in chosen for path in finder.paths(guest))


class _Start(NamedTuple):
    """Where an interface meets the host; `place` None: not known, and `why`."""

    place: Place | None
    why: str | None = None


class _Finder:
    def __init__(self, snapshot: Snapshot) -> None:
        self._wiring = Wiring(snapshot)
        self._stations = Stations(snapshot, self._wiring)
        self._devices = self._wiring.devices
        self._slit = slit_entries(snapshot.nodes)
        self._packages = {node.id: frozenset(node.packages) for node in snapshot.nodes}

    def paths(self, guest: Guest) -> Iterator[TrafficPath]:
        """Its interfaces, then network functions that it got as any other device."""
        for position, interface in enumerate(guest.interfaces):
            yield self._path(guest, interface, position)
        for hostdev in guest.hostdevs:
            device = self._devices.get(hostdev.pci)
            if device is not None and device.pci_class.startswith(NETWORK_CLASS_PREFIX):
                yield self._path(guest, hostdev, None)

    def _path(self, guest: Guest, entry: GuestInterface | GuestHostdev, position: int | None) -> TrafficPath:
        start = self._start(entry)
        unknown = set() if start.why is None else {start.why}
        head = self._stations.of_guest(guest, entry)
        ways, doubts = ([()], set[str]()) if start.place is None else self._ways(start.place)
        routes = []
        for way in ways:
            stations = (*head, *self._stations.of_way(way))
            is_whole = bool(way) and self._wiring.is_uplink(way[-1])
            routes.append(Route(stations, self._crossings(stations), stations[-1] if is_whole else None))
            unknown |= self._stations.doubts(way)
        return TrafficPath(
            guest=guest.name,
            interface=position,
            name=_name(entry, position),
            routes=tuple(sorted(routes, key=_order)),
            unknown=tuple(sorted(unknown | doubts)),
        )

    def _start(self, entry: GuestInterface | GuestHostdev) -> _Start:
        """The host's end where there is one, which only a running guest has; else what its XML names."""
        if entry.pci is not None:
            return _Start(Place(Spot.FUNCTION, str(entry.pci)))
        if isinstance(entry, GuestHostdev):
            return _Start(None)
        target = None if entry.target is None else self._wiring.named(entry.target)
        if entry.socket is not None:
            place = self._wiring.behind_socket(entry.socket) or target
            is_known = self._wiring.knows_openvswitch
            asked = "no port of Open vSwitch has" if is_known else "nobody could say which port has"
            return _Start(place, None if place else f"{asked} the socket {entry.socket}")
        link = None if target is None else self._wiring.links.get(target.name)
        # A macvtap is joined to nothing but what it stands on, which not every source tells.
        if target is not None and (entry.type != "direct" or (link is not None and link.lowers)):
            return _Start(target)
        return self._source(entry)

    def _source(self, entry: GuestInterface) -> _Start:
        place, why = None, f"what an interface of type {entry.type} is joined to is not known"
        match entry.type, entry.source:
            case "bridge", str(source):
                place, why = self._wiring.bridge(source), f"the host shows no bridge {source}"
            case "direct", str(source):
                place, why = self._wiring.named(source), f"the host shows no interface {source}"
            case "network", source:
                why = f"which bridge or port the libvirt network {source or ''} uses is not known"
            case kind, _ if kind in _NO_DEVICE:
                why = f"an interface of type {kind} has no device on the host"
        return _Start(place, None if place else why)

    def _ways(self, start: Place) -> tuple[list[tuple[Place, ...]], set[str]]:
        """The shortest way to every physical port that can be reached; else the one to the nearest bridge."""
        parents: dict[Place, Place | None] = {start: None}
        order = [start]
        for place in order:  # grows while it is walked: the nearest places first
            for step in self._wiring.beyond(place):
                if step not in parents:
                    parents[step] = place
                    order.append(step)
        doubts = {doubt for place in order if (doubt := self._way_out(place)) is not None}
        ends = [place for place in order if self._wiring.is_uplink(place)]
        if not ends:
            end = next((place for place in order if self._is_switch(place)), order[-1])
            doubts.add(f"no physical port is reached from {end.name}")
            doubts |= {doubt for place in order if (doubt := self._loose_end(place)) is not None}
            ends = [end]
        return [_way(parents, end) for end in ends], doubts

    def _is_switch(self, place: Place) -> bool:
        link = self._wiring.links.get(place.name)
        is_bridge = place.spot is Spot.LINK and link is not None and link.kind in SWITCHES
        return is_bridge or place.spot is Spot.OVS_BRIDGE

    def _way_out(self, place: Place) -> str | None:
        """What leaves by a port whose function, or whose route, the host does not show."""
        interface = self._wiring.interface_at(place)
        if interface is None:
            return None
        if interface.remote is not None:
            return f"tunnel {interface.name} to {interface.remote} leaves by the host's routes, which are not followed"
        if interface.type == "dpdk" and interface.pci is None:
            return f"the function behind the DPDK port {interface.name} is not known"
        return None

    def _loose_end(self, place: Place) -> str | None:
        link = self._wiring.links.get(place.name) if place.spot is Spot.LINK else None
        if link is None:
            return None
        if link.kind == "veth" and link.peer is None:
            return f"the other end of {link.name} is not known: it may be in another network namespace"
        if link.master == OVS_DATAPATH and not self._wiring.knows_openvswitch:
            return f"{link.name} is a port of Open vSwitch, whose bridges nobody could say"
        return None

    def _crossings(self, stations: Sequence[Station]) -> tuple[Crossing, ...]:
        placed = [station for station in stations if station.nodes]
        return tuple(
            self._crossing(origin, target)
            for origin, target in pairwise(placed)
            if len({*origin.nodes, *target.nodes}) > 1
        )

    def _crossing(self, origin: Station, target: Station) -> Crossing:
        ones, others = self._package_set(origin.nodes), self._package_set(target.nodes)
        return Crossing(
            origin=origin,
            target=target,
            certain=not set(origin.nodes) & set(target.nodes),
            package=not ones & others if ones and others else None,
            distance=span(lambda one, other: self._slit.get((one, other)), origin.nodes, target.nodes),
        )

    def _package_set(self, nodes: Sequence[NodeId]) -> frozenset[PackageId]:
        """The packages of all those nodes; none where one of them is not known."""
        found = [self._packages.get(node, frozenset()) for node in nodes]
        return frozenset().union(*found) if all(found) else frozenset()


def _way(parents: dict[Place, Place | None], end: Place) -> tuple[Place, ...]:
    way = []
    here: Place | None = end
    while here is not None:
        way.append(here)
        here = parents[here]
    return tuple(reversed(way))


def _order(route: Route) -> tuple[str, ...]:
    """By the port, then by the stations before it."""
    end = "" if route.uplink is None else route.uplink.name
    return (end, *(station.name for station in route.stations))


def _name(entry: GuestInterface | GuestHostdev, position: int | None) -> str:
    if entry.alias:
        return entry.alias
    if isinstance(entry, GuestInterface) and (entry.target or entry.mac):
        return entry.target or entry.mac or ""
    return f"interface {position}" if entry.pci is None else str(entry.pci)
