"""What is plugged into what: one step of traffic outward, from any place on the host."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from numaplan.model.devices import Link, PciAddress, PciDevice
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OvsInterface, OvsPort

# The kernel's datapath is the master of every port, whatever bridge it belongs to.
OVS_DATAPATH: Final = "ovs-system"

SWITCHES: Final = frozenset({"bridge"})
BONDS: Final = frozenset({"bond", "team"})
# Interfaces of Open vSwitch that are interfaces of the host by the same name (ovs-vswitchd.conf.db(5), "type").
_HOST_TYPES: Final = frozenset({"", "system", "internal", "tap", "afxdp", "afxdp-nonpmd"})


class Spot(StrEnum):
    """What kind of thing a place is."""

    LINK = "link"
    FUNCTION = "function"
    OVS_BRIDGE = "ovs_bridge"
    OVS_BOND = "ovs_bond"
    OVS_INTERFACE = "ovs_interface"


class Place(NamedTuple):
    """A place where traffic passes; orders by spot and name."""

    spot: Spot
    name: str


def run_path(path: str) -> str:
    """A socket's path with /var/run, which is a link to /run nearly everywhere, as /run."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


class Wiring:
    """The places of a host."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.links = {link.name: link for link in snapshot.links}
        self.devices = {device.address: device for device in snapshot.pci}
        switch = snapshot.openvswitch
        self.knows_openvswitch = switch is not None
        self.ovs_bridges = {} if switch is None else {bridge.name: bridge for bridge in switch.bridges}
        self.ovs_interfaces = {} if switch is None else {entry.name: entry for entry in switch.interfaces}
        self._sockets = {
            run_path(entry.socket): name
            for name, entry in sorted(self.ovs_interfaces.items(), reverse=True)
            if entry.socket is not None
        }
        self._members: dict[str, set[str]] = {}
        for link in snapshot.links:
            if link.master is not None:
                self._members.setdefault(link.master, set()).add(link.name)
        self._bonds: dict[str, list[Place]] = {}
        self._ports: dict[str, list[Place]] = {}
        self._homes: dict[Place, Place] = {}
        for bridge in self.ovs_bridges.values():
            for port in bridge.ports:
                self._plug(Place(Spot.OVS_BRIDGE, bridge.name), port)
        self._steps: dict[Place, tuple[Place, ...]] = {}

    def beyond(self, place: Place) -> tuple[Place, ...]:
        """The places to which traffic that a guest sends may go from there, sorted; none beyond a physical port."""
        steps = self._steps.get(place)
        if steps is None:
            found = () if self.is_uplink(place) else self._beyond(place)
            steps = self._steps[place] = tuple(sorted(step for step in set(found) if not self._is_guest_end(step)))
        return steps

    def is_uplink(self, place: Place) -> bool:
        """Whether it is a physical port: it has a function, and that is no VF."""
        function = self.function(place)
        return function is not None and self._port_of(function) is None

    def function(self, place: Place) -> PciAddress | None:
        """The PCI function behind a place."""
        match place.spot:
            case Spot.FUNCTION:
                return PciAddress.parse(place.name)
            case Spot.LINK:
                link = self.links.get(place.name)
                # A bond or bridge on top of a port may be taken for it by a careless source.
                return None if link is None or link.kind in SWITCHES | BONDS else link.pci
            case Spot.OVS_INTERFACE:
                interface = self.ovs_interfaces.get(place.name)
                return None if interface is None else interface.pci
        return None

    def device_of(self, address: PciAddress) -> PciDevice | None:
        """The device whose word counts for a function: a VF's PF where the host shows it."""
        device = self.devices.get(address)
        if device is None or device.physfn is None:
            return device
        return self.devices.get(device.physfn, device)

    def behind_socket(self, path: str) -> Place | None:
        """The interface of Open vSwitch that has that vhost-user socket."""
        name = self._sockets.get(run_path(path))
        return None if name is None else self._interface(name)

    def named(self, name: str) -> Place | None:
        """A link, or else an interface of Open vSwitch, of that name."""
        place = self._interface(name)
        return place if name in self.links or place in self._homes else None

    def bridge(self, name: str) -> Place | None:
        """A bridge of that name, Open vSwitch's before the kernel's: its own port is a link by the same name."""
        if name in self.ovs_bridges:
            return Place(Spot.OVS_BRIDGE, name)
        return Place(Spot.LINK, name) if name in self.links or name in self._members else None

    def interface_at(self, place: Place) -> OvsInterface | None:
        """What Open vSwitch says of an interface."""
        is_interface = place.spot in {Spot.LINK, Spot.OVS_INTERFACE}
        return self.ovs_interfaces.get(place.name) if is_interface else None

    def is_polled(self, place: Place) -> bool:
        """Whether it is a port of user space that threads should poll."""
        interface = self.interface_at(place)
        home = self._homes.get(place)
        if home is not None and home.spot is Spot.OVS_BOND:
            home = self._homes.get(home)
        bridge = None if home is None else self.ovs_bridges.get(home.name)
        polled = interface is not None and interface.type.startswith(("dpdk", "afxdp"))
        return polled and bridge is not None and bridge.datapath == "netdev"

    def _plug(self, home: Place, port: OvsPort) -> None:
        """Several interfaces make a port a bond, which is a place of its own."""
        places = [self._interface(name) for name in port.interfaces]
        ports = self._ports.setdefault(home.name, [])
        if len(places) > 1:
            bond = Place(Spot.OVS_BOND, port.name)
            self._bonds[port.name] = places
            self._homes[bond] = home
            ports.append(bond)
            home = bond
        else:
            ports.extend(places)
        self._homes |= dict.fromkeys(places, home)

    def _interface(self, name: str) -> Place:
        interface = self.ovs_interfaces.get(name)
        is_host = interface is None or interface.type in _HOST_TYPES
        return Place(Spot.LINK if is_host else Spot.OVS_INTERFACE, name)

    def _port_of(self, address: PciAddress) -> PciAddress | None:
        device = self.devices.get(address)
        return None if device is None else device.physfn

    def _beyond(self, place: Place) -> Iterator[Place]:
        function = self.function(place)
        if function is not None:
            port = self._port_of(function)
            if port is not None:
                yield Place(Spot.FUNCTION, str(port))
            return
        match place.spot:
            case Spot.LINK:
                yield from self._beyond_link(place.name)
            case Spot.OVS_BRIDGE:
                yield from self._ports.get(place.name, ())
            case Spot.OVS_BOND:
                yield from self._bonds[place.name]
        if place in self._homes:
            yield self._homes[place]
        interface = self.interface_at(place)
        if interface is not None and interface.peer is not None:
            yield self._interface(interface.peer)

    def _beyond_link(self, name: str) -> Iterator[Place]:
        link = self.links.get(name, Link(name))
        names = {*link.lowers, *self._members.get(name, ())}
        names |= {other for other in (link.master, link.peer) if other is not None}
        yield from (self._interface(other) for other in names - {name, OVS_DATAPATH})

    def _is_guest_end(self, place: Place) -> bool:
        """Taps and vhost-user ports lead to guests only; nothing that passes them finds a way out."""
        if place.spot is Spot.LINK:
            link = self.links.get(place.name)
            return link is not None and link.kind in {"tap", "macvtap"}
        interface = self.interface_at(place)
        return interface is not None and interface.socket is not None
