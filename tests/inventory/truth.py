"""What truth.json of a capture says of it, and the same facts of a snapshot: each None where nothing is said."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from numaplan.cpuset import CpuSet, parse_id_list
from numaplan.model.snapshot import Snapshot
from tests.corpus import corpus
from tests.inventory.trees import fresh

Truth = dict[str, Any]
Facts = Any


@cache
def truth(name: str) -> Truth:
    loaded: Truth = json.loads((corpus() / name / "truth.json").read_text(encoding="utf-8"))
    return loaded


def ids(cpus: CpuSet) -> list[int]:
    return [int(cpu) for cpu in cpus]


@dataclass(frozen=True)
class Comparison:
    """What we say and what they say, both None where they say nothing."""

    ours: Callable[[Snapshot], Facts]
    theirs: Callable[[Truth], Facts]


def hwloc(truth_: Truth, key: str) -> Facts:
    return truth_["hwloc"].get(key)


def hwloc_packages(truth_: Truth) -> Facts:
    packages = hwloc(truth_, "packages")
    return None if packages is None else sorted(package["pus"] for package in packages)


def hwloc_package_ids(truth_: Truth) -> Facts:
    packages = hwloc(truth_, "packages")
    unknown = [-1, None]
    return packages and sorted(
        [-1 if package["os_index"] in unknown else package["os_index"], package["pus"]] for package in packages
    )


def hwloc_cores(truth_: Truth) -> Facts:
    cores = hwloc(truth_, "cores")
    return None if cores is None else sorted(cores)


def hwloc_llcs(truth_: Truth) -> Facts:
    """Their last level: L3 where there is one, else L2."""
    if hwloc(truth_, "l3") is None:
        return None
    level = 3 if hwloc(truth_, "l3") else 2
    return sorted([level, cache["pus"], cache["size"]] for cache in hwloc(truth_, f"l{level}"))


def our_llcs(ours: Snapshot) -> Facts:
    level = 3 if any(llc.level == 3 for llc in ours.llcs) else 2
    found = [llc for llc in ours.llcs if llc.level == level]
    return sorted([llc.level, ids(llc.cpus), (llc.size_kib or 0) * 1024] for llc in found)


def hwloc_distances(truth_: Truth) -> Facts:
    distances = hwloc(truth_, "distances")
    return distances and distances["matrix"]


def hwloc_pci(truth_: Truth) -> Facts:
    devices = hwloc(truth_, "pci")
    return devices and sorted([each["busid"], each["vendor"], each["device"], each["class"]] for each in devices)


def lscpu_online(truth_: Truth) -> Facts:
    cpus = lscpu(truth_)
    return cpus and sorted(int(cpu) for cpu, row in cpus.items() if row["online"] == "Y")


def lscpu(truth_: Truth) -> Facts:
    """Rows by CPU; None where lscpu failed, or printed a table without CPU numbers."""
    cpus = truth_["lscpu"].get("cpus")
    return None if not cpus or "" in cpus or all(row["online"] is None for row in cpus.values()) else cpus


def lscpu_groups(column: str) -> Callable[[Truth], Facts]:
    def read(truth_: Truth) -> Facts:
        cpus = lscpu(truth_)
        if not cpus:
            return None
        groups: dict[str, list[int]] = {}
        for cpu, row in cpus.items():
            if row["online"] == "Y" and row[column] is not None:
                groups.setdefault(row[column], []).append(int(cpu))
        return sorted(sorted(group) for group in groups.values()) or None

    return read


def raw_nodes(truth_: Truth) -> Facts:
    return [node["id"] for node in truth_["raw"]["nodes"]] or None


def raw_node_cpus(truth_: Truth) -> Facts:
    """None where members are links alone, which the truth only counts."""
    cpus = {node["id"]: node["cpus"] for node in truth_["raw"]["nodes"]}
    return None if None in cpus.values() else cpus or None


def raw_memory(truth_: Truth) -> Facts:
    return {node["id"]: [node["memtotal_kb"], node["memfree_kb"]] for node in truth_["raw"]["nodes"]} or None


def hwloc_nodes(truth_: Truth) -> Facts:
    """Memory in KiB by node; None where it makes up the one node of a host that shows none."""
    nodes = hwloc(truth_, "numa")
    return {node["os_index"]: node["local_memory"] // 1024 for node in nodes} if nodes and raw_nodes(truth_) else None


def raw_assumed_node(truth_: Truth) -> Facts:
    """Node, CPUs and memory in KiB of a host that shows no nodes."""
    return None if raw_nodes(truth_) else [[0, hwloc(truth_, "online_pus"), truth_["raw"]["proc_memtotal_kb"]]]


def raw_node_links(truth_: Truth) -> Facts:
    """Online CPUs of nodes whose members are links alone."""
    if not raw_nodes(truth_) or raw_node_cpus(truth_) is not None:
        return None
    tree = fresh(truth_["capture"])
    online = set(parse_id_list(truth_["raw"]["cpu_online"] or f"0-{truth_['raw']['cpu_dirs'] - 1}"))
    names = {id_: tree.names(f"sys/devices/system/node/node{id_}") for id_ in raw_nodes(truth_)}
    return {
        id_: sorted(online & {int(name[3:]) for name in each if name[:3] == "cpu" and name[3:].isdigit()})
        for id_, each in names.items()
    }


def raw_global_hugepages(truth_: Truth) -> Facts:
    """Total and free pages by size, of a host without nodes."""
    pools = truth_["raw"]["hugepages"]
    return None if raw_nodes(truth_) else {int(size): [pool["nr"], pool["free"]] for size, pool in pools.items()}


def raw_id_list(key: str) -> Callable[[Truth], Facts]:
    def read(truth_: Truth) -> Facts:
        text = truth_["raw"][key]
        return sorted(parse_id_list(text or "")) or None

    return read


def raw_ids(name: str) -> Callable[[Truth], Facts]:
    """An id of each online CPU; -1 is the kernel's word for not knowing."""

    def read(truth_: Truth) -> Facts:
        found = truth_["raw"]["ids"].get(name) or {}
        return {int(cpu): int(id_) for cpu, id_ in found.items() if int(id_) >= 0} or None

    return read


def raw_sriov(truth_: Truth) -> Facts:
    devices = truth_["raw"]["pci"]
    return {
        each["busid"]: [int(each["sriov_totalvfs"]), int(each["sriov_numvfs"]), len(each.get("virtfn") or [])]
        for each in devices
        if each.get("sriov_totalvfs") is not None
    }


def our_ids(values: Callable[[Any], object], parts: str) -> Callable[[Snapshot], Facts]:
    def read(ours: Snapshot) -> Facts:
        return {
            int(cpu): values(part) for part in getattr(ours, parts) for cpu in part.cpus if values(part) is not None
        }

    return read


def raw_isolated(truth_: Truth) -> Facts:
    text = truth_["raw"]["cpu_isolated"]
    return None if text is None else sorted(parse_id_list(text))


def raw_hugepages(truth_: Truth) -> Facts:
    return {
        node["id"]: {int(size): [pool["nr"], pool["free"], pool["surplus"]] for size, pool in node["hugepages"].items()}
        for node in truth_["raw"]["nodes"]
        if node["hugepages"]
    }


def our_hugepages(ours: Snapshot) -> Facts:
    return {
        node.id: {pool.size_kib: [pool.total, pool.free, pool.surplus] for pool in node.hugepages}
        for node in ours.nodes
        if node.hugepages
    }


def raw_distances(truth_: Truth) -> Facts:
    return {node["id"]: node["distance"] for node in truth_["raw"]["nodes"] if node["distance"]}


def our_distances(ours: Snapshot) -> Facts:
    return {node.id: [value for _, value in node.distances] for node in ours.nodes if node.distances}


def raw_pci(truth_: Truth) -> Facts:
    devices = truth_["raw"]["pci"]
    return {
        each["busid"]: [
            each["vendor"],
            each["device"],
            each["class"],
            each["numa_node"],
            each.get("driver"),
            None if each.get("iommu_group") is None else int(each["iommu_group"]),
        ]
        for each in devices
    }


def our_pci(ours: Snapshot) -> Facts:
    return {
        str(each.address): [
            each.vendor,
            each.device,
            each.pci_class,
            -1 if each.numa_node is None else each.numa_node,
            each.driver,
            each.iommu_group,
        ]
        for each in ours.pci
    }
