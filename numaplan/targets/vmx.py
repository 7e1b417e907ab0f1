"""Settings of an ESXi virtual machine (.vmx): vSphere Resource Management, "Virtual NUMA Controls" and its kin.

A line is ``name = "value"``. Where realtime is asked for, ESXi gives each vCPU a core of its own choice (latency
sensitivity high); else each vCPU has the affinity that the plan gives it.
"""

import re
from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import CpuSet
from numaplan.model.devices import PciAddress
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import CpuPolicy, GuestRequest, InterfaceType, ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets.asked import (
    SMALL_PAGE_KIB,
    device_at,
    has_huge_pages,
    is_strict,
    is_uneven,
    mebibytes,
    memory_nodes,
    ports,
    vcpu_pins,
)
from numaplan.units import GIB_KIB, format_count, format_size

_TRUE: Final = "TRUE"
# A quote, the sign of the escape itself, and what would end a line stand as their bytes in hex.
_ESCAPED: Final = re.compile(r'["|\x00-\x1f\x7f\x85\u2028\u2029]')

_Settings = list[tuple[str, str]]


def render(request: GuestRequest, placement: Placement, snapshot: Snapshot, existing: Guest | None) -> Rendered:
    """The settings; ESXi's own numbers for CPUs, nodes and devices may be others, which `cannot` says."""
    del existing
    settings = [
        (".encoding", "UTF-8"),
        ("displayName", request.name),
        *_cpus(request, placement),
        *_nodes(request, placement),
        *_memory(request, placement),
        *_devices(placement, snapshot),
        *_ports(request),
    ]
    text = "".join(f'{name} = "{_value(value)}"\n' for name, value in settings)
    return Rendered(text, tuple(_cannot(request, placement)))


def _value(value: str) -> str:
    return _ESCAPED.sub(lambda found: "".join(f"|{byte:02X}" for byte in found[0].encode()), value)


def _list(ids: CpuSet | list[int]) -> str:
    """ESXi's form of a list that every version takes: no ranges."""
    return ",".join(str(number) for number in ids)


def _cpus(request: GuestRequest, placement: Placement) -> _Settings:
    settings = [("numvcpus", str(request.vcpus))]
    topology = placement.topology
    if topology is not None and topology.vcpus == request.vcpus:
        settings.append(("cpuid.coresPerSocket", str(request.vcpus // topology.sockets)))
    if request.realtime is not None:
        settings.append(("sched.cpu.latencySensitivity", "high"))
        if request.own_emulator_cpus:
            settings.append(("sched.cpu.latencySensitivity.sysContexts", str(request.own_emulator_cpus)))
    else:
        settings += [(f"sched.vcpu{vcpu}.affinity", _list(cpus)) for vcpu, cpus in vcpu_pins(placement) if cpus]
    return settings


def _nodes(request: GuestRequest, placement: Placement) -> _Settings:
    settings = [("numa.nodeAffinity", _list([int(node) for node in placement.nodes]))]
    if all(is_strict(request, cell.id) for cell in placement.cells):
        settings.append(("sched.mem.affinity", _list([int(node) for node in memory_nodes(placement)])))
    if len(placement.cells) > 1 and _is_even(placement):
        # ESXi makes virtual nodes from nine vCPUs on, unless it is told otherwise.
        settings.append(("numa.vcpu.min", str(request.vcpus)))
        settings.append(("numa.vcpu.maxPerVirtualNode", str(len(placement.cells[0].vcpus))))
    return settings


def _is_even(placement: Placement) -> bool:
    """Whether its cells are as ESXi cuts them: equal, and numbered one after the other."""
    vcpus = [vcpu for cell in placement.cells for vcpu, _ in cell.vcpus]
    return len({len(cell.vcpus) for cell in placement.cells}) == 1 and vcpus == sorted(vcpus)


def _reserves_memory(request: GuestRequest, placement: Placement) -> bool:
    """What huge pages, passed-through devices and latency sensitivity high ask for, and what may not be swapped."""
    given = bool(placement.devices) or any(interface.vfs for interface in placement.interfaces)
    return has_huge_pages(placement) or given or request.realtime is not None or request.memory_backing.locked


def _memory(request: GuestRequest, placement: Placement) -> _Settings:
    size = str(sum(mebibytes(cell) for cell in placement.cells))
    settings = [("memSize", size)]
    if _reserves_memory(request, placement):
        settings += [("sched.mem.min", size), ("sched.mem.minSize", size), ("sched.mem.pin", _TRUE)]
    if all(cell.page_size_kib == GIB_KIB for cell in placement.cells):
        settings.append(("sched.mem.lpage.enable1GPage", _TRUE))
    if request.memory_backing.nosharepages:
        settings.append(("sched.mem.pshare.enable", "FALSE"))
    return settings


def _devices(placement: Placement, snapshot: Snapshot) -> _Settings:
    addresses = [vf for interface in placement.interfaces for vf in interface.vfs]
    addresses += [device.address for device in placement.devices]
    settings = []
    for number, address in enumerate(addresses):
        name = f"pciPassthru{number}"
        settings += [(f"{name}.present", _TRUE), (f"{name}.id", _address(address))]
        device = device_at(snapshot, address)
        if device is not None:
            settings += [(f"{name}.vendorId", f"0x{device.vendor}"), (f"{name}.deviceId", f"0x{device.device}")]
    return settings


def _address(address: PciAddress) -> str:
    """As ESXi writes it here: decimal."""
    return f"{address.domain:05d}:{address.bus:03d}:{address.slot:02d}.{address.function}"


def _ports(request: GuestRequest) -> _Settings:
    settings = []
    bridged = [port for port in ports(request) if port.type is InterfaceType.VIRTIO and port.bridge is not None]
    for number, port in enumerate(bridged):
        name = f"ethernet{number}"
        settings += [(f"{name}.present", _TRUE), (f"{name}.virtualDev", "vmxnet3")]
        settings.append((f"{name}.networkName", port.bridge or ""))
        if port.mac is not None:
            settings += [(f"{name}.addressType", "static"), (f"{name}.address", port.mac)]
    return settings


def _cannot(request: GuestRequest, placement: Placement) -> Iterator[str]:
    yield (
        "ESXi numbers CPUs, nodes and PCI functions its own way, siblings side by side: compare with"
        " esxcli hardware cpu list and esxcli hardware pci list before use"
    )
    yield "guest system, firmware, disks and controllers are no part of a plan"
    yield from _cannot_cpus(request, placement)
    yield from _cannot_memory(request, placement)
    yield from _cannot_devices(request, placement)


def _cannot_cpus(request: GuestRequest, placement: Placement) -> Iterator[str]:
    if request.realtime is not None:
        pins = ", ".join(f"{vcpu} on {cpus}" for vcpu, cpus in vcpu_pins(placement))
        yield (
            "with latency sensitivity high ESXi gives each vCPU a core of its own choice, which affinities would"
            f" contradict: the pins (vCPU {pins}) are left out"
        )
        yield (
            "latency sensitivity high needs all of its CPU time reserved: set sched.cpu.min to vCPUs x MHz of the"
            " host's CPUs, which a plan does not know"
        )
        yield (
            f"realtime for some vCPUs, at priority {request.realtime.priority}: latency sensitivity is that of the"
            " whole guest"
        )
    else:
        yield (
            "an affinity keeps nobody else from these CPUs, and ESXi stops balancing a guest that has one over nodes;"
            " numa.nodeAffinity counts again once the affinities are gone"
        )
        if request.cpu_policy is not CpuPolicy.SHARED:
            yield "CPUs for this guest alone: only latency sensitivity high gives that, with CPUs that ESXi chooses"
    if request.thread_policy is not ThreadPolicy.PREFER:
        yield f"thread_policy {request.thread_policy.value}: it holds through the affinities alone"
    if placement.emulator and not (request.realtime is not None and request.own_emulator_cpus):
        yield f"CPUs of its other threads ({placement.emulator}): ESXi places them itself"
    if placement.iothreads:
        yield "iothreads: ESXi has none of a guest's own"
    if len(placement.cells) > 1 and not _is_even(placement):
        sizes = ", ".join(str(len(cell.vcpus)) for cell in placement.cells)
        yield f"cells of {sizes} vCPUs: ESXi's virtual nodes are equal and numbered one after the other"
    elif len(placement.cells) > 1:
        nodes = "; ".join(f"cell {cell.id} on node {cell.numa_node}" for cell in placement.cells)
        yield f"which virtual node lies on which node ({nodes}): numa.nodeAffinity has them for the guest as a whole"
    topology = placement.topology
    if topology is not None and (topology.threads > 1 or topology.dies > 1):
        threads, dies = format_count(topology.threads, "thread"), format_count(topology.dies, "die")
        yield f"{threads} a core, {dies}: to ESXi they are cores of the socket"
    if request.cpu_cache is not None:
        yield f"CPU caches in mode {request.cpu_cache.value}"


def _cannot_memory(request: GuestRequest, placement: Placement) -> Iterator[str]:
    if any(not is_strict(request, cell.id) for cell in placement.cells):
        yield "memory_policy preferred: ESXi binds memory to nodes for the guest as a whole, or not at all"
    sizes = sorted({cell.page_size_kib for cell in placement.cells})
    if GIB_KIB in sizes and len(sizes) > 1:
        pages = ", ".join(f"cell {cell.id} {format_size(cell.page_size_kib)}" for cell in placement.cells)
        yield f"pages of several sizes ({pages}): enable1GPage is the guest's as a whole, and left out"
    elif GIB_KIB in sizes:
        yield "pages of 1 GiB are tried, not promised: start it on a host that has been up for a short time"
    elif sizes != [SMALL_PAGE_KIB]:
        yield f"pages of {format_size(max(sizes))}: ESXi takes large pages where it can, without a setting"
    if is_uneven(placement):
        yield "memory that is no multiple of 1 MiB is rounded up"
    backing = request.memory_backing
    if backing.hard_limit_kib is not None:
        yield f"a limit of {backing.hard_limit_kib} KiB on its memory"
    words = [word.value for word in (backing.access, backing.allocation) if word is not None]
    if words:
        yield f"memory that is {' and '.join(words)}"


def _cannot_devices(request: GuestRequest, placement: Placement) -> Iterator[str]:
    if placement.devices or any(interface.vfs for interface in placement.interfaces):
        yield "pciPassthruN.systemId is the host's: add it (esxcli system uuid get)"
    for interface in request.interfaces:
        name = f'interface "{interface.name}"'
        if interface.type is InterfaceType.VHOSTUSER:
            yield f"{name}: ESXi has no vhost-user"
        elif interface.type is InterfaceType.VIRTIO and interface.bridge is None:
            yield f"{name}: vnf.yaml names no bridge, and ESXi wants the name of a port group"
        elif interface.type is InterfaceType.VIRTIO:
            yield f"{name}: a vmxnet3 on a port group called {interface.bridge}, which must be there"
        elif interface.mac is not None or interface.vlan is not None or interface.trust is not None:
            yield f"{name}: MAC address, VLAN and trust of a VF are those of the port group of an SR-IOV adapter"
