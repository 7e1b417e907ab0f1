"""Captures of real machines against what other tools and the kernel's own files say of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pytest

from numaplan.cpuset import CpuSet, parse_id_list
from numaplan.inventory.host import read_host
from numaplan.model.snapshot import Snapshot
from tests.corpus import corpus
from tests.inventory.trees import capture_id, captures, fresh, snapshot

NAMES = [capture_id(path) for path in captures()]
WITH_TRUTH = [name for name in NAMES if (corpus() / name / "truth.json").is_file()]

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


COMPARISONS: Final = {
    "hwloc online": Comparison(lambda ours: ids(ours.cpus.online), lambda t: hwloc(t, "online_pus")),
    "hwloc packages": Comparison(lambda ours: sorted(ids(each.cpus) for each in ours.packages), hwloc_packages),
    "hwloc package ids": Comparison(
        lambda ours: sorted([-1 if each.id is None else each.id, ids(each.cpus)] for each in ours.packages),
        hwloc_package_ids,
    ),
    "hwloc cores": Comparison(lambda ours: sorted(ids(each.cpus) for each in ours.cores), hwloc_cores),
    "hwloc llcs": Comparison(our_llcs, hwloc_llcs),
    "hwloc distances": Comparison(
        lambda ours: [[value for _, value in node.distances] for node in ours.nodes], hwloc_distances
    ),
    "hwloc pci": Comparison(
        lambda ours: sorted([str(each.address), each.vendor, each.device, each.pci_class[:4]] for each in ours.pci),
        hwloc_pci,
    ),
    "lscpu online": Comparison(lambda ours: ids(ours.cpus.online), lscpu_online),
    "lscpu cores": Comparison(lambda ours: sorted(ids(each.cpus) for each in ours.cores), lscpu_groups("core")),
    "lscpu packages": Comparison(lambda ours: sorted(ids(each.cpus) for each in ours.packages), lscpu_groups("socket")),
    "lscpu nodes": Comparison(
        lambda ours: sorted(ids(node.cpus) for node in ours.nodes if len(node.cpus)), lscpu_groups("node")
    ),
    "raw online": Comparison(lambda ours: str(ours.cpus.online), lambda t: t["raw"]["cpu_online"]),
    "raw present": Comparison(lambda ours: str(ours.cpus.present), lambda t: t["raw"]["cpu_present"]),
    "raw isolated": Comparison(lambda ours: ids(ours.cpus.isolated), raw_isolated),
    "raw nodes": Comparison(lambda ours: [node.id for node in ours.nodes], raw_nodes),
    "raw node cpus": Comparison(lambda ours: {node.id: ids(node.cpus) for node in ours.nodes}, raw_node_cpus),
    "raw memory": Comparison(
        lambda ours: {node.id: [node.memory_kib, node.free_kib] for node in ours.nodes}, raw_memory
    ),
    "raw hugepages": Comparison(our_hugepages, raw_hugepages),
    "raw distances": Comparison(our_distances, raw_distances),
    "raw pci": Comparison(our_pci, raw_pci),
    "raw iommu groups": Comparison(
        lambda ours: {str(each.id): [str(device) for device in each.devices] for each in ours.iommu_groups},
        lambda t: t["raw"]["iommu_groups"],
    ),
}

OFFLINE = "the file of the node names CPUs that are offline, and a node's CPUs are its online ones"
AMD_MODULES = "the kernel's thread siblings are the halves of a module; hwloc splits them, since their core ids differ"
ARM_CLUSTERS = "lscpu makes one socket of three clusters, and cores of CPUs whose core ids repeat from one to the next"

# Where we differ from what others say, and why.
DIFFERENCES: Final = {
    ("hwloc-16amd64-8n2c-cpusets", "raw node cpus"): OFFLINE,
    ("hwloc-16em64t-4s2c2t-offlines", "raw node cpus"): OFFLINE,
    ("hwloc-2pa-pcidomain32bits", "hwloc pci"): "hwloc 2.9 drops PCI domains of more than four digits",
    ("hwloc-4fake-4gr1nu1pu", "hwloc cores"): "nothing says what a core is: each CPU counts as one, with a gap",
    ("hwloc-64amd64-4p2n4ca2co", "hwloc cores"): AMD_MODULES,
    ("hwloc-64amd64-4s2n4ca2co", "hwloc cores"): AMD_MODULES,
    ("hwloc-8ia64-2s2c2t", "raw distances"): "a node at distance 0 from itself: less than 10 is no SLIT entry",
    ("lscpu-arm-A510-A710-A715-X3", "lscpu cores"): ARM_CLUSTERS,
    ("lscpu-arm-A510-A710-A715-X3", "lscpu packages"): ARM_CLUSTERS,
    ("vircaps-resctrl-skx-twocaches", "hwloc llcs"): "hwloc reads no cache size in M; the file says 33M",
    ("virhostcpu-x86_64-test1", "hwloc cores"): "CPU 1 names CPU 0 alone as its sibling; its core id is another one",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_capture_is_read_and_holds_together(name: str) -> None:
    read = snapshot(name)
    online = read.cpus.online
    assert len(online)
    assert online <= read.cpus.present
    for parts in (read.packages, read.cores):
        assert sum(len(part.cpus) for part in parts) == len(online)
        assert CpuSet(cpu for part in parts for cpu in part.cpus) == online
    for whole in (read.nodes, read.llcs):
        assert sum(len(part.cpus) for part in whole) == len({cpu for part in whole for cpu in part.cpus})
    known = {node.id for node in read.nodes}
    assert all(device.numa_node in known for device in read.pci if device.numa_node is not None)
    assert list(read.pci) == sorted(read.pci, key=lambda device: device.address)
    assert list(read.gaps) == sorted(set(read.gaps))


@pytest.mark.parametrize("name", NAMES)
def test_a_capture_reads_the_same_every_time(name: str) -> None:
    assert read_host(fresh(name)) == snapshot(name)


def test_what_libvirt_counts_without_any_sibling_masks() -> None:
    # linux-x86_64-test3.expected and test7.expected: Magny-Cours, whose core ids repeat, and which has no threads.
    assert len(snapshot("virhostcpu-x86_64-test3").cores) == 48
    assert len(snapshot("virhostcpu-x86_64-test7").cores) == 24


PAIRS = [
    (name, what)
    for name in WITH_TRUTH
    for what, comparison in COMPARISONS.items()
    if comparison.theirs(truth(name)) is not None
]


def test_every_difference_is_one_that_is_looked_at() -> None:
    assert set(DIFFERENCES) <= set(PAIRS)


@pytest.mark.parametrize(("name", "what"), PAIRS)
def test_what_other_tools_say(name: str, what: str) -> None:
    comparison = COMPARISONS[what]
    ours, theirs = comparison.ours(snapshot(name)), comparison.theirs(truth(name))
    if (name, what) in DIFFERENCES:
        assert ours != theirs, "no difference any more: take it off the table"
    else:
        assert ours == theirs
