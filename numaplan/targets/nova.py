"""A flavor for OpenStack Nova: extra specs (nova, "Extra Specs"). Nova itself chooses host, nodes, CPUs and VFs."""

import shlex
from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import (
    Affinity,
    CpuPolicy,
    EmulatorPolicy,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    IothreadPolicy,
    Realtime,
)
from numaplan.model.slots import interface_slots
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets.asked import (
    SMALL_PAGE_KIB,
    affinities,
    has_huge_pages,
    is_strict,
    is_uneven,
    mebibytes,
    placement_in_words,
)
from numaplan.targets.shell import command, long_command
from numaplan.units import format_count

_ALIAS_BREAKS: Final = frozenset(":,")
# `openstack port create --numa-policy-...` (python-openstackclient).
_PORT_POLICY: Final = {
    Affinity.REQUIRED: "--numa-policy-required",
    Affinity.PREFERRED: "--numa-policy-preferred",
    Affinity.SOCKET: "--numa-policy-socket",
}

_Specs = list[tuple[str, str]]


def render(request: GuestRequest, placement: Placement, snapshot: Snapshot, existing: Guest | None) -> Rendered:
    """A new flavor of the guest's name and its properties."""
    sizes = [mebibytes(cell) for cell in placement.cells]
    specs = [
        *_cpus(request, placement),
        *_cells(placement, sizes),
        *_memory(request, placement),
        *_devices(request, placement),
    ]
    create = command(
        "openstack",
        "flavor",
        "create",
        f"--vcpus={request.vcpus}",
        f"--ram={sum(sizes)}",
        "--",
        request.name,
    )
    properties = [(f"--property={name}={value}",) for name, value in specs]
    settings = long_command(("openstack", "flavor", "set"), [*properties, ("--", request.name)])
    del snapshot, existing
    return Rendered(f"{create}\n{settings}\n", tuple(_cannot(request, placement)))


def _cpus(request: GuestRequest, placement: Placement) -> _Specs:
    """Nova refuses thread and emulator policies beside shared CPUs, and either mask beside the other."""
    specs = [("hw:cpu_policy", request.cpu_policy.value)]
    if request.cpu_policy is not CpuPolicy.SHARED:
        specs.append(("hw:cpu_thread_policy", request.thread_policy.value))
        share = request.emulator is EmulatorPolicy.SHARE
        specs.append(("hw:emulator_threads_policy", "share" if share else "isolate"))
    if _is_realtime(request) and request.realtime is not None:
        specs += [("hw:cpu_realtime", "yes"), *_realtime_mask(request, request.realtime)]
    elif request.cpu_policy is CpuPolicy.MIXED:
        specs.append(("hw:cpu_dedicated_mask", format_id_list(request.dedicated_vcpus)))
    topology = placement.topology
    if topology is not None and topology.vcpus == request.vcpus and topology.dies == 1:
        specs += [
            ("hw:cpu_sockets", str(topology.sockets)),
            ("hw:cpu_cores", str(topology.cores)),
            ("hw:cpu_threads", str(topology.threads)),
        ]
    return specs


def _realtime_mask(request: GuestRequest, realtime: Realtime) -> _Specs:
    """By exclusion, which every Nova takes for what it is; none where all vCPUs are meant."""
    others = [vcpu for cell in request.cells for vcpu in cell.vcpus if vcpu not in realtime.vcpus]
    mask = ",".join(f"^{run}" for run in format_id_list(others).split(","))
    return [("hw:cpu_realtime_mask", mask)] if others else []


def _is_realtime(request: GuestRequest) -> bool:
    """Whether Nova can say so: of a mixed guest the realtime vCPUs are the dedicated ones."""
    if request.realtime is None or request.cpu_policy is CpuPolicy.SHARED:
        return False
    return request.cpu_policy is CpuPolicy.DEDICATED or request.realtime.vcpus == request.dedicated_vcpus


def _cells(placement: Placement, sizes: list[int]) -> _Specs:
    specs = [("hw:numa_nodes", str(len(placement.cells)))]
    for cell, size in zip(placement.cells, sizes, strict=True):
        if cell.vcpus:
            specs.append((f"hw:numa_cpus.{cell.id}", format_id_list(vcpu for vcpu, _ in cell.vcpus)))
        specs.append((f"hw:numa_mem.{cell.id}", str(size)))
    return specs


def _memory(request: GuestRequest, placement: Placement) -> _Specs:
    """One page size a flavor; a bare number is KiB."""
    sizes = {cell.page_size_kib for cell in placement.cells}
    if len(sizes) > 1:
        page_size = "any" if SMALL_PAGE_KIB in sizes else "large"
    else:
        page_size = "small" if sizes == {SMALL_PAGE_KIB} else str(max(sizes))
    locked = [("hw:locked_memory", "true")] if request.memory_backing.locked else []
    return [("hw:mem_page_size", page_size), *locked]


def _devices(request: GuestRequest, placement: Placement) -> _Specs:
    policies = affinities(request)
    specs = [("hw:pci_numa_affinity_policy", policies[0].value)] if len(policies) == 1 else []
    aliases = [f"{device.name}:1" for device in placement.devices if _ALIAS_BREAKS.isdisjoint(device.name)]
    return [*specs, ("pci_passthrough:alias", ",".join(aliases))] if aliases else specs


def _cannot(request: GuestRequest, placement: Placement) -> Iterator[str]:
    yield f"Nova chooses nodes and CPUs itself; the plan has {placement_in_words(placement)}"
    yield from _cannot_cpus(request, placement)
    yield from _cannot_memory(request, placement)
    yield from _cannot_ports(request, placement)
    if len(affinities(request)) > 1:
        words = ", ".join(affinity.value for affinity in affinities(request))
        yield f"a flavor has one hw:pci_numa_affinity_policy, the devices want {words}: set it on the ports"
    for device in placement.devices:
        where = f'device "{device.name}" ({device.address})'
        if _ALIAS_BREAKS.isdisjoint(device.name):
            yield f"{where}: the alias must stand in nova.conf ([pci] alias), and Nova chooses among its devices"
        else:
            yield f"{where}: an alias of Nova has no colon or comma: give it another name in pci_passthrough:alias"


def _cannot_cpus(request: GuestRequest, placement: Placement) -> Iterator[str]:
    if request.realtime is not None and not _is_realtime(request):
        vcpus = format_id_list(request.realtime.vcpus)
        yield f"realtime vCPUs {vcpus}: of a mixed guest Nova takes all dedicated vCPUs for realtime ones, or none"
    elif request.realtime is not None:
        priority = request.realtime.priority
        yield f"realtime priority {priority}: that is realtime_scheduler_priority in nova.conf ([libvirt])"
    if request.emulator is EmulatorPolicy.SET and request.own_emulator_cpus != 1:
        yield f"{format_count(request.own_emulator_cpus, 'CPU')} for the emulator: with isolate Nova gives it one"
    if request.iothreads or request.iothread_policy is IothreadPolicy.DEDICATED:
        yield "iothreads: Nova makes none that a flavor could ask for"
    topology = placement.topology
    if topology is not None and topology.dies > 1:
        yield f"a CPU topology with {topology.dies} dies: Nova knows sockets, cores and threads"
    if request.cpu_cache is not None:
        yield f"CPU caches in mode {request.cpu_cache.value}"
    if not request.distinct_nodes:
        yield "cells on one node: Nova puts each cell of a guest on a node of its own"
    if request.affinity or request.anti_affinity:
        yield "affinity of guests to nodes of each other: Nova's server groups speak of hosts"


def _cannot_memory(request: GuestRequest, placement: Placement) -> Iterator[str]:
    if any(not is_strict(request, cell.id) for cell in placement.cells):
        yield "memory_policy preferred: with NUMA cells Nova binds memory strictly"
    if len({cell.page_size_kib for cell in placement.cells}) > 1:
        pages = ", ".join(f"cell {cell.id} {cell.page_size_kib} KiB" for cell in placement.cells)
        yield f"pages of several sizes ({pages}): a flavor has one hw:mem_page_size"
    if is_uneven(placement):
        yield "memory that is no multiple of 1 MiB is rounded up"
    backing = request.memory_backing
    if backing.nosharepages and not has_huge_pages(placement):
        yield "pages that are never merged: Nova says so for huge pages alone"
    if backing.hard_limit_kib is not None:
        yield f"a limit of {backing.hard_limit_kib} KiB on its memory"
    words = [word.value for word in (backing.access, backing.allocation) if word is not None]
    if words:
        yield f"memory that is {' and '.join(words)}"


def _cannot_ports(request: GuestRequest, placement: Placement) -> Iterator[str]:
    """Interfaces are ports of Neutron; the command for each."""
    slots = interface_slots(request, placement)
    for interface in request.interfaces:
        if interface.type is not InterfaceType.SRIOV:
            yield from _cannot_port(interface)
            continue
        for slot in (slot for slot in slots if slot.name == interface.name):
            port = _port(interface, slot.aliases[0], slot.mac, direct=True)
            where = f"and its VF Nova's choice (the plan has {slot.address})"
            yield f'interface "{interface.name}" is a port, {where}: {port}'
        if interface.vlan is not None:
            yield f'interface "{interface.name}": VLAN {interface.vlan} is its network\'s provider:segmentation_id'


def _cannot_port(interface: InterfaceRequest) -> Iterator[str]:
    port = _port(interface, interface.name, interface.mac, direct=False)
    yield f'interface "{interface.name}" is a port: {port}'
    if interface.queues is not None and interface.queues > 1:
        yield f'interface "{interface.name}": {interface.queues} queues: Nova makes one for each vCPU, or one'


def _port(interface: InterfaceRequest, name: str, mac: str | None, *, direct: bool) -> str:
    """NETWORK stands for a network of Neutron; that of a VF has the physnet as its provider:physical_network."""
    words = ["openstack", "port", "create", "--vnic-type=direct" if direct else "--vnic-type=normal"]
    if direct:
        words.append(_PORT_POLICY[interface.affinity])
    if mac is not None:
        words.append(f"--mac-address={mac}")
    if interface.trust:
        words.append("--binding-profile=trusted=true")
    network = "NETWORK" if interface.physnet is None else f"NETWORK-OF-{interface.physnet}"
    return f"{command(*words)} --network={shlex.quote(network)} -- {shlex.quote(name)}"
