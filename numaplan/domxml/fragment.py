"""For a guest without XML: a small domain of its own that says all that the plan needs."""

from collections.abc import Iterator

from numaplan.domxml.assign import slot_element
from numaplan.domxml.devices import ALIAS_PREFIX
from numaplan.domxml.element import Layout, New, render
from numaplan.domxml.locality import node_of
from numaplan.domxml.patch import Patched, patch_guest
from numaplan.errors import InputError
from numaplan.model.plan import Placement
from numaplan.model.request import CpuCache, DeviceLocality, GuestRequest, InterfaceRequest, InterfaceType
from numaplan.model.slots import interface_slots
from numaplan.model.snapshot import Snapshot


def needed_guest(request: GuestRequest, placement: Placement, host: Snapshot, *, file: str = "vnf.yaml") -> Patched:
    """The elements that the guest would need, as one ``<domain>`` that is valid but has no disk, console or CPU model.

    It is a fragment to copy from: ``virsh define`` takes it, but there is nothing in it to boot. Notes say what
    it lacks of what vnf.yaml asks for. Raises InputError for locked memory without a limit, which `file` asks for.
    """
    if request.memory_backing.locked and request.memory_backing.hard_limit_kib is None:
        what = f'guest "{request.name}" has no XML that could have a limit for its locked memory'
        raise InputError(what, file, "give memory_backing.hard_limit, above its memory")
    memory = sum(cell.memory_kib for cell in placement.cells)
    devices = New("devices", children=tuple(_interfaces(request, placement)))
    # libvirt takes the host's caches with the host's CPU alone.
    is_host_cpu = request.cpu_cache is CpuCache.PASSTHROUGH
    cpu = (New("cpu", (("mode", "host-passthrough"),)),) if is_host_cpu else ()
    domain = New(
        "domain",
        (("type", "kvm"),),
        children=(
            New("name", text=request.name),
            New("memory", (("unit", "KiB"),), text=str(memory)),
            New("vcpu", (("placement", "static"),), text=str(request.vcpus)),
            New("os", children=(_machine(request, placement, host),)),
            *cpu,
            *((devices,) if devices.children else ()),
        ),
    )
    skeleton = render(domain, Layout(), indent="") + "\n"
    patched = patch_guest(
        skeleton.encode(),
        f"{request.name}.xml",
        request=request,
        placement=placement,
        host=host,
        change_topology=True,
    )
    left_out = tuple(
        f'interface "{interface.name}" is not in the XML for it: vhostuser needs the path of a socket'
        for interface in request.interfaces
        if interface.type is InterfaceType.VHOSTUSER
    )
    return Patched(patched.data, (*patched.notes, *left_out))


def _machine(request: GuestRequest, placement: Placement, host: Snapshot) -> New:
    """The one that can show a guest of several cells where its devices are, if there is anything to show."""
    given = [vf for interface in placement.interfaces for vf in interface.vfs]
    given += [device.address for device in placement.devices]
    is_known = any(node_of(host, address) is not None for address in given)
    shows = is_known and len(placement.cells) > 1 and request.device_locality is DeviceLocality.AUTO
    architecture = host.host.architecture
    if not shows or architecture != "x86_64":
        return New("type", text="hvm")
    return New("type", (("arch", architecture), ("machine", "q35")), text="hvm")


def _interfaces(request: GuestRequest, placement: Placement) -> Iterator[New]:
    """All interfaces in the guest's order, as that is the order in which it numbers them."""
    slots = interface_slots(request, placement)
    for interface in request.interfaces:
        if interface.type is InterfaceType.VIRTIO:
            if interface.bridge is not None:
                yield _virtio(interface)
            continue
        for slot in slots:
            if slot.name == interface.name:
                yield slot_element(slot, alias=ALIAS_PREFIX + slot.aliases[0])


def _virtio(interface: InterfaceRequest) -> New:
    mac = () if interface.mac is None else (New("mac", (("address", interface.mac),)),)
    queues = () if interface.queues is None else (New("driver", (("queues", str(interface.queues)),)),)
    source = New("source", (("bridge", interface.bridge or ""),))
    return New(
        "interface", (("type", "bridge"),), children=(*mac, source, New("model", (("type", "virtio"),)), *queues)
    )
