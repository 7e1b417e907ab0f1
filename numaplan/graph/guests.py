"""Guests in the graph: where they are confined to, what they were handed, and where their interfaces lead."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from numaplan.cpuset import CpuId, CpuSet, format_id_list
from numaplan.graph.builder import GraphBuilder
from numaplan.graph.keys import Edge, Vertex, guest_key, interface_key, ovs_bridge_key
from numaplan.graph.threads import vcpu_cpus
from numaplan.graph.wiring import run_path
from numaplan.model.guest import Guest, GuestInterface, GuestThread, ThreadKind, VcpuId
from numaplan.model.snapshot import Snapshot

_T = TypeVar("_T")


def add_guests(builder: GraphBuilder, snapshot: Snapshot) -> None:
    """Every guest, with an edge to each CPU that a thread of it is confined to, by its XML or in fact."""
    switch = snapshot.openvswitch
    bridges = frozenset(() if switch is None else (bridge.name for bridge in switch.bridges))
    sockets = {
        run_path(interface.socket): interface.name
        for interface in reversed(() if switch is None else switch.interfaces)
        if interface.socket is not None
    }
    for guest in snapshot.guests:
        key = _add_guest(builder, guest)
        _add_pins(builder, guest, online=snapshot.cpus.online)
        for binding in (*(() if guest.memory is None else (guest.memory,)), *guest.memnodes):
            for node in binding.nodes or ():
                builder.edge(key, builder.node(node), Edge.BINDS, mode=binding.mode)
        for address in guest.pci_addresses:
            builder.edge(key, builder.pci(address), Edge.USES)
        for position, interface in enumerate(guest.interfaces):
            part = _add_interface(builder, interface, key=interface_key(guest.name, position))
            builder.edge(key, part, Edge.CONTAINS)
            _wire(builder, interface, key=part, bridges=bridges, sockets=sockets)


def _add_guest(builder: GraphBuilder, guest: Guest) -> str:
    cpus = vcpu_cpus(guest)
    return builder.vertex(
        guest_key(guest.name),
        Vertex.GUEST,
        name=guest.name,
        uuid=guest.uuid,
        vcpus=guest.vcpus,
        memory_kib=guest.memory_kib,
        running=guest.running,
        state=guest.state,
        vcpu_cpus=None if cpus is None else str(cpus),
    )


def _add_pins(builder: GraphBuilder, guest: Guest, *, online: CpuSet) -> None:
    pins = {pin.vcpu: pin.cpus for pin in reversed(guest.vcpu_pins)}
    vcpus = _by_cpu((vcpu, pins.get(VcpuId(vcpu), guest.vcpu_cpuset)) for vcpu in range(guest.vcpus))
    iothreads = _by_cpu((iothread, guest.iothread_affinity(iothread)) for iothread in guest.iothread_ids)
    emulator = guest.emulator_affinity() or CpuSet()
    live = () if guest.live is None else guest.live.threads
    threads = _by_cpu((_label(thread), thread.affinity) for thread in live if not online <= thread.affinity)
    for cpu in CpuSet([*vcpus, *emulator, *iothreads, *threads]):
        builder.edge(
            guest_key(guest.name),
            builder.cpu(cpu),
            Edge.PINS,
            vcpus=format_id_list(vcpus.get(cpu, ())),
            emulator=1 if cpu in emulator else None,
            iothreads=format_id_list(iothreads.get(cpu, ())),
            threads=",".join(sorted(threads.get(cpu, ()))),
        )


def _by_cpu(sets: Iterable[tuple[_T, CpuSet | None]]) -> dict[CpuId, set[_T]]:
    found: dict[CpuId, set[_T]] = {}
    for name, cpus in sets:
        for cpu in cpus or ():
            found.setdefault(cpu, set()).add(name)
    return found


def _label(thread: GuestThread) -> str:
    """``vcpu:3``, ``vhost``: what a live thread does, its name left out, for that may be anything."""
    numbered = thread.kind in {ThreadKind.VCPU, ThreadKind.IOTHREAD} and thread.index is not None
    return f"{thread.kind.value}:{thread.index}" if numbered else thread.kind.value


def _add_interface(builder: GraphBuilder, interface: GuestInterface, *, key: str) -> str:
    return builder.vertex(
        key,
        Vertex.INTERFACE,
        interface_type=interface.type,
        mac=interface.mac,
        alias=interface.alias,
        source=interface.source,
        socket=interface.socket,
        vlan=interface.vlan,
        model=interface.model,
        queues=interface.queues,
    )


def _wire(
    builder: GraphBuilder,
    interface: GuestInterface,
    *,
    key: str,
    bridges: frozenset[str],
    sockets: Mapping[str, str],
) -> None:
    """What stands on the host's side of an interface."""
    source = interface.source
    if interface.pci is not None:
        builder.edge(key, builder.pci(interface.pci), Edge.LINK)
    if interface.socket is not None and run_path(interface.socket) in sockets:
        builder.edge(key, builder.ovs_interface(sockets[run_path(interface.socket)]), Edge.LINK)
    elif interface.target is not None:
        builder.edge(key, builder.link(interface.target), Edge.LINK)
    if interface.type == "bridge" and source is not None:
        builder.member(ovs_bridge_key(source) if source in bridges else builder.link(source), key)
    if interface.type == "direct" and source is not None:
        builder.member(key, builder.link(source))
