"""Snapshots to and from inventory JSON (schema ``numaplan/inventory/1``)."""

import re
from collections.abc import Mapping
from typing import Final

from numaplan.cpuset import EMPTY, CpuId, CpuSet
from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciDevice, Sriov
from numaplan.model.host import (
    Core,
    CpuStates,
    DieId,
    HostIdentity,
    HugepagePool,
    LlcDomain,
    NodeId,
    NumaNode,
    Package,
    PackageId,
)
from numaplan.model.snapshot import Gap, Snapshot
from numaplan.records.consistency import mistakes_of
from numaplan.records.document import dump, load, refusal
from numaplan.records.guests import guest_document, to_guest
from numaplan.records.inventory_form import (
    INVENTORY_SCHEMA,
    CoreForm,
    CpusForm,
    HostForm,
    InventoryForm,
    LinkForm,
    LlcForm,
    NodeForm,
    PackageForm,
    PciForm,
)

_HEX: Final = re.compile("[0-9a-f]+", re.ASCII | re.IGNORECASE)


def inventory_json(snapshot: Snapshot) -> str:
    """The inventory document of a snapshot; the same snapshot gives the same bytes."""
    host = snapshot.host
    cpus = snapshot.cpus
    return dump(
        {
            "schema": INVENTORY_SCHEMA,
            "host": {
                "hostname": host.hostname,
                "kernel": host.kernel,
                "architecture": host.architecture,
                "source": host.source.value,
                "cpu_model": host.cpu_model,
                "virtualization": {"kvm": host.kvm, "iommu": host.iommu},
            },
            "packages": [_package_document(package) for package in snapshot.packages],
            "numa_nodes": [_node_document(node) for node in snapshot.nodes],
            "llcs": [_llc_document(llc) for llc in snapshot.llcs],
            "cores": [_core_document(core) for core in snapshot.cores],
            "cpus": {
                "present": str(cpus.present),
                "online": str(cpus.online),
                "offline": str(cpus.offline),
                "isolated": str(cpus.isolated),
                "nohz_full": str(cpus.nohz_full),
            },
            "pci": [_pci_document(device) for device in snapshot.pci],
            "iommu_groups": [
                {"id": group.id, "devices": [str(address) for address in group.devices]}
                for group in snapshot.iommu_groups
            ],
            "guests": [guest_document(guest) for guest in snapshot.guests],
            "links": [_link_document(link) for link in snapshot.links],
            "kernel": {},
            "gaps": [{"what": gap.what, "why": gap.why} for gap in snapshot.gaps],
        }
    )


def read_inventory(text: str, file: str) -> Snapshot:
    """The snapshot in an inventory document, whoever wrote it; lists come in the order that a Snapshot has.

    Nothing is derived that the document does not say. Raises InputError for a document that is malformed,
    of another schema, or contradicts itself.
    """
    form = load(text, file, form=InventoryForm, schema=INVENTORY_SCHEMA)
    if mistakes := mistakes_of(form):
        raise refusal(mistakes, file)
    return Snapshot(
        host=_to_host(form.host),
        cpus=_to_cpus(form.cpus),
        packages=tuple(sorted(map(_to_package, form.packages), key=_package_order)),
        nodes=tuple(sorted(map(_to_node, form.numa_nodes), key=lambda node: node.id)),
        llcs=tuple(sorted(map(_to_llc, form.llcs), key=_llc_order)),
        cores=tuple(sorted(map(_to_core, form.cores), key=lambda core: core.name)),
        pci=_to_devices(form),
        iommu_groups=tuple(
            sorted(
                (IommuGroup(IommuGroupId(group.id), tuple(sorted(group.devices))) for group in form.iommu_groups),
                key=lambda group: group.id,
            )
        ),
        links=tuple(sorted(map(_to_link, form.links), key=lambda link: link.name)),
        guests=tuple(sorted((to_guest(guest, file) for guest in form.guests), key=lambda guest: guest.name)),
        gaps=tuple(sorted(Gap(gap.what, gap.why) for gap in form.gaps)),
    )


def _package_document(package: Package) -> Mapping[str, object]:
    return {"id": package.id, "cpus": str(package.cpus), "numa_nodes": list(package.numa_nodes)}


def _node_document(node: NumaNode) -> Mapping[str, object]:
    return {
        "id": node.id,
        "packages": list(node.packages),
        "cpus": str(node.cpus),
        "memory_kib": node.memory_kib,
        "free_kib": node.free_kib,
        "available_kib": node.available_kib,
        "hugepages": [
            {"size_kib": pool.size_kib, "total": pool.total, "free": pool.free, "surplus": pool.surplus}
            for pool in node.hugepages
        ],
        "distances": {str(other): distance for other, distance in node.distances},
    }


def _llc_document(llc: LlcDomain) -> Mapping[str, object]:
    return {
        "level": llc.level,
        "cpus": str(llc.cpus),
        "size_kib": llc.size_kib,
        "numa_nodes": list(llc.numa_nodes),
    }


def _core_document(core: Core) -> Mapping[str, object]:
    return {
        "cpus": list(core.cpus),
        "package": core.package,
        "numa_node": core.numa_node,
        "core_id": core.core_id,
        "die_id": core.die_id,
    }


def _pci_document(device: PciDevice) -> Mapping[str, object]:
    sriov = device.sriov
    return {
        "address": str(device.address),
        "vendor": device.vendor,
        "device": device.device,
        "class": device.pci_class,
        "numa_node": device.numa_node,
        "driver": device.driver,
        "iommu_group": device.iommu_group,
        "netdevs": list(device.netdevs),
        "sriov": None
        if sriov is None
        else {"total": sriov.total, "configured": sriov.configured, "vfs": [str(vf) for vf in sriov.vfs]},
        "physfn": None if device.physfn is None else str(device.physfn),
    }


def _link_document(link: Link) -> Mapping[str, object]:
    return {
        "name": link.name,
        "kind": link.kind,
        "pci": None if link.pci is None else str(link.pci),
        "speed_mbps": link.speed_mbps,
        "master": link.master,
        "lowers": list(link.lowers),
        "addresses": link.addresses,
    }


def _to_host(form: HostForm) -> HostIdentity:
    virtualization = form.virtualization
    return HostIdentity(
        form.source,
        hostname=form.hostname,
        kernel=form.kernel,
        architecture=form.architecture,
        cpu_model=form.cpu_model,
        kvm=None if virtualization is None else virtualization.kvm,
        iommu=None if virtualization is None else virtualization.iommu,
    )


def _to_cpus(form: CpusForm) -> CpuStates:
    present = form.online | (form.offline or EMPTY) if form.present is None else form.present
    return CpuStates(present, form.online, form.isolated or EMPTY, form.nohz_full or EMPTY)


def _to_nodes(ids: list[int]) -> tuple[NodeId, ...]:
    return tuple(NodeId(id_) for id_ in sorted(ids))


def _to_package(form: PackageForm) -> Package:
    return Package(None if form.id is None else PackageId(form.id), form.cpus, _to_nodes(form.numa_nodes))


def _package_order(package: Package) -> tuple[bool, int, list[CpuId]]:
    return (package.id is None, package.id or 0, list(package.cpus))


def _to_node(form: NodeForm) -> NumaNode:
    pools = (HugepagePool(pool.size_kib, pool.total, pool.free, pool.surplus) for pool in form.hugepages)
    return NumaNode(
        NodeId(form.id),
        tuple(PackageId(id_) for id_ in sorted(form.packages)),
        form.cpus,
        memory_kib=form.memory_kib,
        free_kib=form.free_kib,
        available_kib=form.available_kib,
        hugepages=tuple(sorted(pools, key=lambda pool: pool.size_kib)),
        distances=tuple((NodeId(other), distance) for other, distance in sorted(form.distances.items())),
    )


def _to_llc(form: LlcForm) -> LlcDomain:
    return LlcDomain(form.level, form.cpus, form.size_kib, _to_nodes(form.numa_nodes))


def _llc_order(llc: LlcDomain) -> tuple[list[CpuId], int]:
    return (list(llc.cpus), llc.level)


def _to_core(form: CoreForm) -> Core:
    return Core(
        CpuSet(form.cpus),
        None if form.package is None else PackageId(form.package),
        None if form.numa_node is None else NodeId(form.numa_node),
        form.core_id,
        None if form.die_id is None else DieId(form.die_id),
    )


def _to_devices(form: InventoryForm) -> tuple[PciDevice, ...]:
    """Functions in order; where a function does not name its IOMMU group, the group that lists it says it."""
    listed = {address: group.id for group in form.iommu_groups for address in group.devices}
    devices = (_to_pci(device, listed.get(device.address)) for device in form.pci)
    return tuple(sorted(devices, key=lambda device: device.address))


def _lower_hex(text: str) -> str:
    return text.lower() if _HEX.fullmatch(text) else text


def _to_pci(form: PciForm, listed: int | None) -> PciDevice:
    sriov = form.sriov
    group = listed if form.iommu_group is None else form.iommu_group
    return PciDevice(
        form.address,
        _lower_hex(form.vendor),
        _lower_hex(form.device),
        _lower_hex(form.pci_class),
        None if form.numa_node is None else NodeId(form.numa_node),
        form.driver,
        None if group is None else IommuGroupId(group),
        tuple(form.netdevs),
        None if sriov is None else Sriov(sriov.total, sriov.configured, tuple(sriov.vfs)),
        form.physfn,
    )


def _to_link(form: LinkForm) -> Link:
    return Link(form.name, form.kind, form.pci, form.speed_mbps, form.master, tuple(form.lowers), form.addresses)
