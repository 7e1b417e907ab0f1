"""Places on the way of traffic as stations: what they are called, and on which nodes they stand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.graph.threads import live_cpus, vcpu_cpus
from numaplan.graph.wiring import BONDS, SWITCHES, Place, Spot, Wiring
from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest, GuestHostdev, GuestInterface, ThreadKind
from numaplan.model.host import NodeId
from numaplan.model.path import Station, StationKind
from numaplan.model.snapshot import Snapshot

_LINK_KINDS: Final[Mapping[str, StationKind]] = {
    "tap": StationKind.TAP,
    "macvtap": StationKind.MACVTAP,
    "veth": StationKind.VETH,
    "vlan": StationKind.VLAN,
    "macvlan": StationKind.MACVLAN,
    **dict.fromkeys(SWITCHES, StationKind.BRIDGE),
    **dict.fromkeys(BONDS, StationKind.BOND),
}


class Stations:
    """The stations of a host."""

    def __init__(self, snapshot: Snapshot, wiring: Wiring) -> None:
        self._wiring = wiring
        self._node_of = {cpu: node.id for node in snapshot.nodes for cpu in node.cpus}
        self._everywhere = CpuSet(self._node_of)
        self._polling: dict[str, dict[CpuId, NodeId | None]] = {}
        switch = snapshot.openvswitch
        for pmd in () if switch is None else switch.pmds:
            for queue in pmd.queues:
                self._polling.setdefault(queue.interface, {})[pmd.cpu] = pmd.node

    def of_guest(self, guest: Guest, entry: GuestInterface | GuestHostdev) -> tuple[Station, ...]:
        """The guest where its vCPUs may run, and the threads that carry an interface's packets where there are any.

        vhost threads stand in the guest's control group for emulator threads, so its pin is theirs (libvirt,
        formatdomain: emulatorpin); where neither confines them they may run anywhere.
        """
        cpus = vcpu_cpus(guest)
        station = self._threads(StationKind.GUEST, guest.name, cpus)
        if entry.pci is not None or (isinstance(entry, GuestInterface) and entry.socket is not None):
            return (station,)
        vhost = live_cpus(guest, ThreadKind.VHOST)
        if vhost is not None:
            return station, self._threads(StationKind.VHOST, guest.name, vhost)
        emulator = live_cpus(guest, ThreadKind.EMULATOR)
        if emulator is not None:
            return station, self._threads(StationKind.EMULATOR, guest.name, emulator)
        is_virtio = isinstance(entry, GuestInterface) and (entry.model or "virtio").startswith("virtio")
        kind = StationKind.VHOST if is_virtio else StationKind.EMULATOR
        return station, self._threads(kind, guest.name, guest.emulator_affinity())

    def of_way(self, way: Sequence[Place]) -> Iterator[Station]:
        """The stations of places; threads that poll stand between the port that they poll and the bridge."""
        for position, place in enumerate(way):
            own, polling = self._station(place), self._pollers(place)
            is_guest_end = position == 0
            yield from (own, *polling) if is_guest_end else (*polling, own)

    def doubts(self, way: Iterable[Place]) -> set[str]:
        """What the host does not say of places on a way."""
        found = set()
        for place in way:
            station = self._station(place)
            if station.kind is StationKind.PORT and not station.nodes:
                found.add(f"the node of {station.name} is not known")
            if self._wiring.is_polled(place) and place.name not in self._polling:
                found.add(f"which threads poll {place.name} is not known")
        return found

    def _threads(self, kind: StationKind, name: str, cpus: CpuSet | None) -> Station:
        allowed = self._everywhere if cpus is None else cpus
        nodes = {self._node_of[cpu] for cpu in allowed if cpu in self._node_of}
        return Station(kind, name, tuple(sorted(nodes)), allowed)

    def _pollers(self, place: Place) -> tuple[Station, ...]:
        polling = self._polling.get(place.name, {}) if self._wiring.interface_at(place) is not None else {}
        if not polling:
            return ()
        nodes = {node if node is not None else self._node_of.get(cpu) for cpu, node in polling.items()}
        known = sorted(node for node in nodes if node is not None)
        return (Station(StationKind.PMD, place.name, tuple(known), CpuSet(polling)),)

    def _station(self, place: Place) -> Station:
        function = self._wiring.function(place)
        if function is not None:
            return self._port(place, function)
        nodes: tuple[NodeId, ...] = ()
        interface = self._wiring.interface_at(place)
        if interface is not None and interface.node is not None:
            nodes = (interface.node,)
        return Station(self._kind(place), place.name, nodes)

    def _port(self, place: Place, function: PciAddress) -> Station:
        """A function is called as its interface; one without is called by its address."""
        device = self._wiring.device_of(function)
        node = None if device is None else device.numa_node
        interface = self._wiring.interface_at(place)
        if node is None and interface is not None:
            node = interface.node
        own = self._wiring.devices.get(function)
        name = place.name
        if place.spot is Spot.FUNCTION and own is not None and own.netdevs:
            name = min(own.netdevs)
        kind = StationKind.PORT if self._wiring.is_uplink(place) else StationKind.FUNCTION
        return Station(kind, name, () if node is None else (node,), EMPTY, function)

    def _kind(self, place: Place) -> StationKind:
        match place.spot:
            case Spot.OVS_BRIDGE:
                return StationKind.OVS_BRIDGE
            case Spot.OVS_BOND:
                return StationKind.BOND
            case Spot.OVS_INTERFACE:
                interface = self._wiring.interface_at(place)
                if interface is not None and interface.peer is not None:
                    return StationKind.PATCH
                if interface is not None and interface.remote is not None:
                    return StationKind.TUNNEL
                return StationKind.LINK if interface is None or interface.socket is None else StationKind.SOCKET
        link = self._wiring.links.get(place.name)
        return StationKind.LINK if link is None or link.kind is None else _LINK_KINDS.get(link.kind, StationKind.LINK)
