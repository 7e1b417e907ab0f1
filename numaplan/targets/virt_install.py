"""The options of `virt-install` for a guest that is not there yet (virt-install(1), 4.1 and newer).

They make the pins, memory, cells and devices of the XML that ``-o xml`` prints.
"""

import re
from collections.abc import Iterator
from typing import Final

from numaplan.cpuset import format_id_list
from numaplan.domxml.devices import ALIAS_PREFIX
from numaplan.model.devices import PciAddress
from numaplan.model.guest import CellId, Guest
from numaplan.model.plan import Placement
from numaplan.model.request import CpuCache, GuestRequest, InterfaceRequest, InterfaceType, MemoryAllocation
from numaplan.model.slots import Slot, device_slots, interface_slots
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets.asked import (
    MIB_KIB,
    SMALL_PAGE_KIB,
    cell_distances,
    has_balloon,
    has_huge_pages,
    is_strict,
    memory_kib,
    memory_nodes,
    shares_memory,
    shows_cells,
    vcpu_pins,
)
from numaplan.targets.shell import long_command
from numaplan.targets.virt_install_buses import Buses, buses_of

# What a suboption's value may hold without quotes: virt-install takes it apart as a shell would, at commas.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=-]+|[0-9,-]+", re.ASCII)
# Of the caches that a CPU model brings along QEMU emulates the third level alone (formatdomain, ``<cache>``).
_CACHES: Final = {
    CpuCache.PASSTHROUGH: (("mode", "host-passthrough"), ("cache.mode", "passthrough")),
    CpuCache.EMULATE: (("cache.mode", "emulate"), ("cache.level", "3")),
    CpuCache.DISABLE: (("cache.mode", "disable"),),
}

_Pairs = list[tuple[str, str]]


def render(request: GuestRequest, placement: Placement, snapshot: Snapshot, existing: Guest | None) -> Rendered:
    """One command; what is no part of a placement (disk, system) and what it has no option for is in `cannot`."""
    cells = shows_cells(placement, None)
    distances, not_told = cell_distances(placement, snapshot, None)
    cannot = [*_cannot(request, placement, existing), *([not_told] if not_told else [])]
    options = [
        f"--name={request.name}",
        *_memory(placement),
        f"--vcpus=vcpu={request.vcpus},vcpu.placement=static",
        _option("cputune", _cputune(request, placement)),
        _option("numatune", _numatune(request, placement, cells=cells)),
        _option("memorybacking", _memorybacking(request, placement, cells=cells)),
        _option("cpu", [*_cpu(request, placement), *(_cells(request, placement, distances) if cells else [])]),
    ]
    if request.memory_backing.hard_limit_kib is not None:
        options.append(f"--memtune=hard_limit={request.memory_backing.hard_limit_kib}")
    if placement.iothreads:
        options.append(f"--iothreads=iothreads={len(placement.iothreads)}")
    buses = buses_of(request, placement, snapshot)
    if buses.machine is not None:
        options.append(f"--machine={buses.machine}")
    options += [_option("controller", pairs) for pairs in buses.controllers]
    options += _networks(request, placement, buses)
    options += [_option("hostdev", _hostdev(slot, buses)) for slot in device_slots(request, placement)]
    balloon = has_balloon(request, placement, None)
    if balloon is False:
        options.append("--memballoon=model=none")
    has_devices = bool(placement.devices) or any(interface.vfs for interface in placement.interfaces)
    if len(placement.cells) > 1 and has_devices and not buses.controllers:
        cannot.append("which of its cells a device is near is not told to the guest")
    text = long_command(("virt-install",), [(option,) for option in options if option]) + "\n"
    return Rendered(text, tuple(cannot))


def _cannot(request: GuestRequest, placement: Placement, existing: Guest | None) -> Iterator[str]:
    if existing is not None:
        yield "there is a guest of that name, and virt-install is for a new one: place without -o has the diff"
    yield "disk, system and installation source are no part of a plan: add --disk, --osinfo, --import or --location"
    yield "what numaplan's metadata tells an audit (thread policy, shared vCPUs) has no option: -o xml has the element"
    if request.cpu_cache is not CpuCache.PASSTHROUGH:
        yield "the plan says nothing of the CPU model: add --cpu mode or model"
    if request.memory_backing.locked and request.memory_backing.hard_limit_kib is None:
        yield "libvirt locks no memory without a limit: give memory_backing.hard_limit in vnf.yaml"
    if _is_refused(request, placement):
        yield "memory on demand: libvirt refuses that beside huge pages"
    for interface in request.interfaces:
        if interface.type is InterfaceType.VHOSTUSER:
            yield (
                f'interface "{interface.name}": the plan does not know the socket of a vhost-user port: add --network'
                " type=vhostuser,source.type=unix,source.path=SOCKET,source.mode=server,model.type=virtio"
            )
        elif interface.type is InterfaceType.VIRTIO and interface.bridge is None:
            yield f'interface "{interface.name}": vnf.yaml names no bridge: add --network'
        elif interface.type is InterfaceType.SRIOV and interface.trust:
            yield f'interface "{interface.name}": trust is set on the PF: ip link set PF vf N trust on'


def _memory(placement: Placement) -> list[str]:
    """--memory counts in MiB; what is no multiple is put right in the XML."""
    kib = memory_kib(placement)
    option = f"--memory={-(-kib // MIB_KIB)}"
    if kib % MIB_KIB == 0:
        return [option]
    words = [f"./{name}={kib}" for name in ("memory", "currentMemory")]
    return [option, *(f"--xml={word}" for word in words)]


def _cputune(request: GuestRequest, placement: Placement) -> _Pairs:
    pairs = []
    for i, (vcpu, cpus) in enumerate((v, c) for v, c in vcpu_pins(placement) if c):
        pairs += [(f"vcpupin{i}.vcpu", str(vcpu)), (f"vcpupin{i}.cpuset", str(cpus))]
    if placement.emulator:
        pairs.append(("emulatorpin.cpuset", str(placement.emulator)))
    for i, (iothread, cpus) in enumerate((n, c) for n, c in sorted(placement.iothreads) if c):
        pairs += [(f"iothreadpin{i}.iothread", str(iothread)), (f"iothreadpin{i}.cpuset", str(cpus))]
    if request.realtime is not None:
        pairs += [
            ("vcpusched0.vcpus", format_id_list(request.realtime.vcpus)),
            ("vcpusched0.scheduler", "fifo"),
            ("vcpusched0.priority", str(request.realtime.priority)),
        ]
    return pairs


def _numatune(request: GuestRequest, placement: Placement, *, cells: bool) -> _Pairs:
    nodes = memory_nodes(placement)
    strict = any(is_strict(request, cell.id) for cell in placement.cells) or len(nodes) > 1
    pairs = [("memory.mode", _mode(strict=strict)), ("memory.nodeset", format_id_list(nodes))]
    for i, cell in enumerate(placement.cells if cells else ()):
        pairs += [
            (f"memnode{i}.cellid", str(cell.id)),
            (f"memnode{i}.mode", _mode(strict=is_strict(request, cell.id))),
            (f"memnode{i}.nodeset", str(cell.memory_node)),
        ]
    return pairs


def _mode(*, strict: bool) -> str:
    return "strict" if strict else "preferred"


def _memorybacking(request: GuestRequest, placement: Placement, *, cells: bool) -> _Pairs:
    """Of a guest with cells each cell says itself who maps its memory."""
    sizes = sorted({c.page_size_kib for c in placement.cells if c.page_size_kib != SMALL_PAGE_KIB}, reverse=True)
    pairs = []
    for i, size in enumerate(sizes):
        own = [cell.id for cell in placement.cells if cell.page_size_kib == size]
        pairs += [(f"hugepages.page{i}.size", str(size)), (f"hugepages.page{i}.unit", "KiB")]
        if len(own) < len(placement.cells):
            pairs.append((f"hugepages.page{i}.nodeset", format_id_list(own)))
    backing = request.memory_backing
    pairs += [(name, "on") for name in ("nosharepages", "locked") if getattr(backing, name)]
    shared = shares_memory(request)
    if shared and any(cell.page_size_kib == SMALL_PAGE_KIB for cell in placement.cells):
        # Without it they would lie in a file on a disk of the host.
        pairs.append(("source.type", "memfd"))
    if shared and not cells:
        pairs.append(("access.mode", "shared"))
    if backing.allocation is not None and not _is_refused(request, placement):
        pairs.append(("allocation.mode", backing.allocation.value))
    return pairs


def _is_refused(request: GuestRequest, placement: Placement) -> bool:
    """Libvirt takes memory on demand in ordinary pages alone (qemuValidateDomainDefMemory)."""
    return request.memory_backing.allocation is MemoryAllocation.ONDEMAND and has_huge_pages(placement)


def _cpu(request: GuestRequest, placement: Placement) -> _Pairs:
    pairs: _Pairs = list(_CACHES[request.cpu_cache]) if request.cpu_cache is not None else []
    topology = placement.topology
    if topology is not None and topology.vcpus == request.vcpus:
        pairs += [
            ("topology.sockets", str(topology.sockets)),
            ("topology.dies", str(topology.dies)),
            ("topology.cores", str(topology.cores)),
            ("topology.threads", str(topology.threads)),
        ]
    return pairs


def _cells(request: GuestRequest, placement: Placement, distances: list[tuple[CellId, CellId, int]]) -> _Pairs:
    pairs: _Pairs = []
    for i, cell in enumerate(placement.cells):
        said = [("id", str(cell.id))]
        if cell.vcpus:
            said.append(("cpus", format_id_list(vcpu for vcpu, _ in cell.vcpus)))
        said += [("memory", str(cell.memory_kib)), ("unit", "KiB")]
        if shares_memory(request):
            said.append(("memAccess", "shared"))
        others = [(other, distance) for one, other, distance in distances if one == cell.id]
        for k, (other, distance) in enumerate(others):
            said += [(f"distances.sibling{k}.id", str(other)), (f"distances.sibling{k}.value", str(distance))]
        pairs += [(f"numa.cell{i}.{name}", value) for name, value in said]
    return pairs


def _networks(request: GuestRequest, placement: Placement, buses: Buses) -> list[str]:
    """All interfaces in the guest's order; without any virt-install would add one to its default network."""
    slots = interface_slots(request, placement)
    networks = []
    for interface in request.interfaces:
        if interface.type is InterfaceType.VIRTIO and interface.bridge is not None:
            networks.append(_option("network", _port(interface, interface.bridge)))
        networks += [_option("network", _vf(slot, buses)) for slot in slots if slot.name == interface.name]
    return networks or ["--network=none"]


def _port(interface: InterfaceRequest, bridge: str) -> _Pairs:
    pairs = [("bridge", bridge), ("model.type", "virtio")]
    if interface.queues is not None:
        pairs.append(("driver.queues", str(interface.queues)))
    if interface.mac is not None:
        pairs.append(("mac.address", interface.mac))
    return pairs


def _vf(slot: Slot, buses: Buses) -> _Pairs:
    """virt-install has no option for the VF behind an interface: its XPath suboptions write the elements."""
    pairs = [("type", "hostdev")]
    if slot.mac is not None:
        pairs.append(("mac.address", slot.mac))
    paths = ["./@managed=yes", "./source/address/@type=pci", *_address_paths(slot.address)]
    if slot.vlan is not None:
        paths.append(f"./vlan/tag/@id={slot.vlan}")
    return [*pairs, *_place(slot, buses), *_xpaths(paths)]


def _hostdev(slot: Slot, buses: Buses) -> _Pairs:
    """By address, and not by --hostdev's name, which must be a device of the machine that virt-install runs on."""
    paths = ["./@mode=subsystem", "./@managed=yes", *_address_paths(slot.address)]
    return [("type", "pci"), *_place(slot, buses), *_xpaths(paths)]


def _place(slot: Slot, buses: Buses) -> _Pairs:
    return [("alias.name", ALIAS_PREFIX + slot.aliases[0]), *buses.address_of(slot.aliases[0])]


def _address_paths(address: PciAddress) -> list[str]:
    return [
        f"./source/address/@domain={address.domain:#06x}",
        f"./source/address/@bus={address.bus:#04x}",
        f"./source/address/@slot={address.slot:#04x}",
        f"./source/address/@function={address.function:#x}",
    ]


def _xpaths(paths: list[str]) -> _Pairs:
    return [(f"xpath{i}.set", path) for i, path in enumerate(paths)]


def _option(name: str, pairs: _Pairs) -> str:
    """An option with its suboptions; "" where there is nothing to say."""
    return f"--{name}=" + ",".join(f"{key}={_value(value)}" for key, value in pairs) if pairs else ""


def _value(value: str) -> str:
    """In double quotes as a shell knows them where it has to be; lists of ids stay as the manual writes them."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
