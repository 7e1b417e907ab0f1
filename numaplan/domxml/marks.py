"""Writes numaplan's own element in ``<metadata>``; metadata.py says what stands in it."""

from numaplan.cpuset import format_id_list
from numaplan.domxml.element import New
from numaplan.domxml.metadata import NAMESPACE, metadata_element, read_metadata
from numaplan.domxml.task import SMALL_PAGE_KIB, Task
from numaplan.model.devices import PciAddress
from numaplan.model.plan import Placement
from numaplan.model.request import Affinity, GuestRequest, ThreadPolicy


def patch_metadata(task: Task) -> None:
    """Writes what an audit of the carried-out plan has to know, so that it takes no decision for an oversight.

    A guest for which there is nothing of the kind to say gets no metadata.
    """
    request, placement = task.request, task.placement
    shared = [int(vcpu) for cell in placement.cells for vcpu, _ in cell.vcpus if vcpu not in request.dedicated_vcpus]
    loose = ",".join(str(address) for address in _loose(request, placement))
    wanted = {
        "thread_policy": request.thread_policy.value,
        "shared_vcpus": format_id_list(shared),
        "loose_devices": loose,
    }
    element = metadata_element(task.document)
    if element is not None:
        there = read_metadata(task.document)
        same = {
            "thread_policy": there.thread_policy == wanted["thread_policy"],
            "shared_vcpus": sorted(there.shared_vcpus) == sorted(shared),
            "loose_devices": there.loose_devices == _loose(request, placement),
        }
        for name, value in wanted.items():
            if not value:
                task.edits.drop_attribute(element, name)
            elif not same[name]:
                task.edits.set_attribute(element, name, value)
        return
    if request.thread_policy is ThreadPolicy.PREFER and not shared and not loose and not _has_small_pages(task):
        return
    new = New(
        "numaplan:guest",
        (("xmlns:numaplan", NAMESPACE), *((name, value) for name, value in wanted.items() if value)),
    )
    metadata = task.root.child("metadata")
    if metadata is None:
        task.add_to_domain(New("metadata", children=(new,)))
    else:
        task.edits.insert(metadata, new, after=metadata.children[-1] if metadata.children else None)


def _loose(request: GuestRequest, placement: Placement) -> tuple[PciAddress, ...]:
    """Passed-through functions that need not be on a node of the guest."""
    interfaces = {interface.name for interface in request.interfaces if interface.affinity is not Affinity.REQUIRED}
    devices = {device.name for device in request.devices if device.affinity is not Affinity.REQUIRED}
    loose = {vf for interface in placement.interfaces if interface.name in interfaces for vf in interface.vfs}
    loose |= {device.address for device in placement.devices if device.name in devices}
    return tuple(sorted(loose))


def _has_small_pages(task: Task) -> bool:
    """Whether the plan gives ordinary pages to a guest with devices that would rather have huge ones."""
    placement = task.placement
    given = bool(placement.devices) or any(interface.vfs for interface in placement.interfaces)
    there = task.guest.hostdevs or any(i.type in {"hostdev", "vhostuser"} for i in task.guest.interfaces)
    return (given or bool(there)) and any(cell.page_size_kib == SMALL_PAGE_KIB for cell in placement.cells)
