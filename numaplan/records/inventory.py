"""Snapshots to inventory JSON (schema ``numaplan/inventory/1``); the way back is `read`: writing needs no forms."""

from collections.abc import Sequence
from typing import Final

from numaplan.model.host import Core, CpuStates, HostIdentity, LlcDomain, MemoryAccess, NumaNode, Package
from numaplan.model.path import TrafficPath
from numaplan.model.snapshot import Snapshot
from numaplan.records.devices import group_document, holders_of, link_document, pci_document
from numaplan.records.guests import guest_document
from numaplan.records.kernel import irq_document, kernel_document
from numaplan.records.paths import path_document
from numaplan.records.switch import switch_document
from numaplan.records.text import cpu_list, dump

INVENTORY_SCHEMA: Final = "numaplan/inventory/1"


def inventory_json(snapshot: Snapshot, paths: Sequence[TrafficPath] = ()) -> str:
    """The inventory document of a snapshot, with the traffic paths of its guests; the same snapshot, the same bytes."""
    holders = holders_of(snapshot.guests)
    return dump(
        {
            "schema": INVENTORY_SCHEMA,
            "host": _host_document(snapshot.host),
            "packages": [_package_document(package) for package in snapshot.packages],
            "numa_nodes": [_node_document(node) for node in snapshot.nodes],
            "llcs": [_llc_document(llc) for llc in snapshot.llcs],
            "cores": [_core_document(core) for core in snapshot.cores],
            "cpus": _cpus_document(snapshot.cpus),
            "pci": [pci_document(device, holders.get(device.address, ())) for device in snapshot.pci],
            "iommu_groups": [group_document(group) for group in snapshot.iommu_groups],
            "guests": [guest_document(guest) for guest in snapshot.guests],
            "links": [link_document(link) for link in snapshot.links],
            "kernel": kernel_document(snapshot.kernel),
            "irqs": [irq_document(irq) for irq in snapshot.irqs],
            "openvswitch": None if snapshot.openvswitch is None else switch_document(snapshot.openvswitch),
            "traffic_paths": [path_document(path) for path in paths],
            "gaps": [{"what": gap.what, "why": gap.why} for gap in snapshot.gaps],
        }
    )


def _host_document(host: HostIdentity) -> dict[str, object]:
    return {
        "hostname": host.hostname,
        "kernel": host.kernel,
        "architecture": host.architecture,
        "source": host.source.value,
        "cpu_model": host.cpu_model,
        "cpu_flags": list(host.cpu_flags),
        "virtualization": {"kvm": host.kvm, "iommu": host.iommu, "nested": host.nested},
        "boot_id": host.boot_id,
    }


def _package_document(package: Package) -> dict[str, object]:
    return {"id": package.id, "cpus": cpu_list(package.cpus), "numa_nodes": list(package.numa_nodes)}


def _node_document(node: NumaNode) -> dict[str, object]:
    return {
        "id": node.id,
        "packages": list(node.packages),
        "cpus": cpu_list(node.cpus),
        "memory_kib": node.memory_kib,
        "free_kib": node.free_kib,
        "available_kib": node.available_kib,
        "hugepages": [
            {"size_kib": pool.size_kib, "total": pool.total, "free": pool.free, "surplus": pool.surplus}
            for pool in node.hugepages
        ],
        "distances": {str(other): distance for other, distance in node.distances},
        "access": [_access_document(access) for access in node.access],
    }


def _access_document(access: MemoryAccess) -> dict[str, object]:
    return {
        "access": access.access,
        "initiators": list(access.initiators),
        "read_bandwidth_mibps": access.read_bandwidth_mibps,
        "write_bandwidth_mibps": access.write_bandwidth_mibps,
        "read_latency_ns": access.read_latency_ns,
        "write_latency_ns": access.write_latency_ns,
    }


def _llc_document(llc: LlcDomain) -> dict[str, object]:
    return {
        "level": llc.level,
        "cpus": cpu_list(llc.cpus),
        "size_kib": llc.size_kib,
        "numa_nodes": list(llc.numa_nodes),
    }


def _core_document(core: Core) -> dict[str, object]:
    return {
        "cpus": list(core.cpus),
        "package": core.package,
        "numa_node": core.numa_node,
        "core_id": core.core_id,
        "die_id": core.die_id,
        "kind": None if core.kind is None else core.kind.value,
        "capacity": core.capacity,
    }


def _cpus_document(cpus: CpuStates) -> dict[str, object]:
    return {
        "present": cpu_list(cpus.present),
        "online": cpu_list(cpus.online),
        "offline": cpu_list(cpus.offline),
        "isolated": cpu_list(cpus.isolated),
        "nohz_full": cpu_list(cpus.nohz_full),
    }
