"""Hosts with interfaces plugged together, and paths spelled in one line."""

from collections.abc import Sequence
from dataclasses import replace

from numaplan.cpuset import CpuSet
from numaplan.graph.paths import traffic_paths
from numaplan.model.devices import Link, PciAddress
from numaplan.model.guest import EmulatorPin, Guest, GuestHostdev, GuestInterface, RunningGuest, VcpuId, VcpuPin
from numaplan.model.path import Crossing, Route, TrafficPath
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch
from tests.hosts import GIB, Nic, host

PF0, PF1, PF2 = (PciAddress(0, bus, 0, 0) for bus in (0x10, 0x20, 0x30))
VF0 = PciAddress(0, 0x11, 0, 0)
TAP = GuestInterface("bridge", 10, "52:54:00:00:00:01", "data", source="br0", target="vnet0", model="virtio")


def wired(
    *links: Link,
    interfaces: Sequence[GuestInterface] = (TAP,),
    switch: OpenVswitch | None = None,
    vcpus: str | None = "0",
    emulator: str | None = "0",
    live: RunningGuest | None = None,
    hostdevs: Sequence[GuestHostdev] = (),
) -> Snapshot:
    """Four nodes, two a package, a core each; ports a, b and c at nodes 0, 2 and none; one guest on node 0."""
    guest = Guest(
        "g",
        "g.xml",
        1,
        GIB,
        vcpu_pins=() if vcpus is None else (VcpuPin(VcpuId(0), CpuSet.parse(vcpus), 1),),
        emulator_pin=None if emulator is None else EmulatorPin(CpuSet.parse(emulator), 2),
        interfaces=tuple(interfaces),
        hostdevs=tuple(hostdevs),
        live=live,
    )
    nics = [Nic("a", 0, 1), Nic("b", 2, 0), Nic("c", None, 0)]
    slit = [[10, 12, 32, 33], [12, 10, 32, 32], [32, 32, 10, 12], [33, 32, 12, 10]]
    built = host("4n:1c:1t", nodes_per_package=2, nics=nics, distances=slit, guests=[guest])
    named = {link.name: link for link in built.links} | {link.name: link for link in links}
    return replace(built, links=tuple(named.values()), openvswitch=switch)


def port(name: str, master: str | None = None) -> Link:
    """One of the ports a, b and c in a bridge or bond."""
    return Link(name, pci={"a": PF0, "b": PF1, "c": PF2}[name], master=master)


def spelled(route: Route) -> str:
    """``guest:g@0 tap:vnet0 bridge:br0 port:a@0``."""
    return " ".join(
        f"{station.kind}:{station.name}" + (f"@{','.join(map(str, station.nodes))}" if station.nodes else "")
        for station in route.stations
    )


def crossed(crossing: Crossing) -> str:
    return f"{crossing.origin.kind}:{crossing.origin.name} {crossing.target.kind}:{crossing.target.name}"


def path(snapshot: Snapshot) -> TrafficPath:
    (found,) = traffic_paths(snapshot)
    return found


def routes(snapshot: Snapshot) -> list[str]:
    return [spelled(route) for route in path(snapshot).routes]
