"""IOMMU groups (/sys/kernel/iommu_groups, Documentation/ABI/testing/sysfs-kernel-iommu_groups)."""

from collections.abc import Sequence
from dataclasses import replace

from numaplan.inventory.identity import IOMMU_GROUPS
from numaplan.inventory.pci import parse_group, parse_pci_name
from numaplan.model.devices import IommuGroup, IommuGroupId, PciAddress, PciDevice
from numaplan.sources.tree import HostTree


def read_iommu_groups(tree: HostTree, devices: Sequence[PciDevice] = ()) -> tuple[IommuGroup, ...]:
    """Groups that hold PCI functions, by id; other devices (of a platform bus) are left out.

    None where each of `devices` links to its group: the kernel makes link and entry together (iommu_group_add_device()
    in drivers/iommu/iommu.c), and a host has a group for each of its thousands of VFs.
    """
    if devices and all(device.iommu_group is not None for device in devices):
        return ()
    groups = []
    for name in tree.names(IOMMU_GROUPS):
        group = parse_group(name)
        if group is None:
            tree.note(f"{IOMMU_GROUPS}/{name}", "no IOMMU group")
            continue
        names = tree.names(f"{IOMMU_GROUPS}/{name}/devices")
        members = [address for each in names if (address := parse_pci_name(each)) is not None]
        if members:
            groups.append(IommuGroup(group, tuple(sorted(members))))
    return tuple(sorted(groups, key=lambda group: group.id))


def merge_groups(
    tree: HostTree, groups: Sequence[IommuGroup], devices: Sequence[PciDevice]
) -> tuple[tuple[IommuGroup, ...], tuple[PciDevice, ...]]:
    """Groups and devices that agree: a group has every device that links to it, a device the group that lists it.

    Where the two contradict each other, the device's own link decides, with a gap.
    """
    listed = {address: group.id for group in groups for address in group.devices}
    joined = []
    for device in devices:
        group = listed.get(device.address)
        if device.iommu_group is None and group is not None:
            joined.append(replace(device, iommu_group=group))
            continue
        if groups and device.iommu_group != group:
            path = f"{IOMMU_GROUPS}/{device.iommu_group}/devices"
            tree.note(path, f"lacks {device.address}, which links to it")
        joined.append(device)
    members: dict[IommuGroupId, set[PciAddress]] = {}
    known = {device.address for device in devices}
    for group_ in groups:
        members[group_.id] = {address for address in group_.devices if address not in known}
    for device in joined:
        if device.iommu_group is not None:
            members.setdefault(device.iommu_group, set()).add(device.address)
    merged = tuple(IommuGroup(id_, tuple(sorted(addresses))) for id_, addresses in sorted(members.items()) if addresses)
    return merged, tuple(joined)
