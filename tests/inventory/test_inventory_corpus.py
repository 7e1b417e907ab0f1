"""Captures of real machines against what other tools and the kernel's own files say of them."""

from typing import Final

import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.host import read_host
from tests.corpus import corpus
from tests.inventory.differences import (
    AMD_MODULES,
    ARM_CORES,
    ARM_PACKAGES,
    HWLOC_NODES,
    LONG_DOMAINS,
    LOST_CORE,
    NO_CORES,
    NO_SLIT,
    OFFLINE_IDS,
    OFFLINE_MEMBERS,
    SIZE_IN_M,
    TWO_CORE_IDS,
)
from tests.inventory.trees import capture_id, captures, fresh, snapshot
from tests.inventory.truth import (
    Comparison,
    hwloc,
    hwloc_cores,
    hwloc_distances,
    hwloc_llcs,
    hwloc_nodes,
    hwloc_package_ids,
    hwloc_packages,
    hwloc_pci,
    ids,
    lscpu_groups,
    lscpu_online,
    our_distances,
    our_hugepages,
    our_ids,
    our_llcs,
    our_pci,
    raw_assumed_node,
    raw_distances,
    raw_global_hugepages,
    raw_hugepages,
    raw_id_list,
    raw_ids,
    raw_isolated,
    raw_memory,
    raw_node_cpus,
    raw_node_links,
    raw_nodes,
    raw_pci,
    raw_sriov,
    truth,
)

NAMES = [capture_id(path) for path in captures()]
WITH_TRUTH = [name for name in NAMES if (corpus() / name / "truth.json").is_file()]

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
    "hwloc nodes": Comparison(lambda ours: {node.id: node.memory_kib or 0 for node in ours.nodes}, hwloc_nodes),
    "raw nodes with cpus": Comparison(
        lambda ours: [node.id for node in ours.nodes if len(node.cpus)], raw_id_list("node_has_cpu")
    ),
    "raw nodes with memory": Comparison(
        lambda ours: [node.id for node in ours.nodes if node.memory_kib], raw_id_list("node_has_memory")
    ),
    "raw assumed node": Comparison(
        lambda ours: [[node.id, ids(node.cpus), node.memory_kib] for node in ours.nodes], raw_assumed_node
    ),
    "raw node links": Comparison(lambda ours: {node.id: ids(node.cpus) for node in ours.nodes}, raw_node_links),
    "raw global hugepages": Comparison(
        lambda ours: {pool.size_kib: [pool.total, pool.free] for pool in ours.nodes[0].hugepages}, raw_global_hugepages
    ),
    "raw package ids": Comparison(our_ids(lambda package: package.id, "packages"), raw_ids("physical_package_id")),
    "raw core ids": Comparison(our_ids(lambda core: core.core_id, "cores"), raw_ids("core_id")),
    "raw die ids": Comparison(our_ids(lambda core: core.die_id, "cores"), raw_ids("die_id")),
    "raw sriov": Comparison(
        lambda ours: {
            str(each.address): [each.sriov.total, each.sriov.configured, len(each.sriov.vfs)]
            for each in ours.pci
            if each.sriov is not None
        },
        raw_sriov,
    ),
    "raw hugepages": Comparison(our_hugepages, raw_hugepages),
    "raw distances": Comparison(our_distances, raw_distances),
    "raw pci": Comparison(our_pci, raw_pci),
    "raw iommu groups": Comparison(
        lambda ours: {str(each.id): [str(device) for device in each.devices] for each in ours.iommu_groups},
        lambda t: t["raw"]["iommu_groups"],
    ),
}

# Where we differ from what others say, and why; tests/inventory/differences.py proves that each reason holds.
DIFFERENCES: Final = {
    ("hwloc-16amd64-8n2c-cpusets", "raw node cpus"): OFFLINE_MEMBERS,
    ("hwloc-16em64t-4s2c2t-offlines", "raw node cpus"): OFFLINE_MEMBERS,
    ("hwloc-16amd64-8n2c-cpusets", "raw core ids"): OFFLINE_IDS,
    ("hwloc-16amd64-8n2c-cpusets", "raw package ids"): OFFLINE_IDS,
    ("hwloc-2pa-pcidomain32bits", "hwloc pci"): LONG_DOMAINS,
    ("hwloc-4fake-4gr1nu1pu", "hwloc cores"): NO_CORES,
    ("hwloc-64amd64-4p2n4ca2co", "hwloc cores"): AMD_MODULES,
    ("hwloc-64amd64-4s2n4ca2co", "hwloc cores"): AMD_MODULES,
    ("hwloc-64amd64-4p2n4ca2co", "raw core ids"): TWO_CORE_IDS,
    ("hwloc-64amd64-4s2n4ca2co", "raw core ids"): TWO_CORE_IDS,
    ("lscpu-vmware_fpe", "raw core ids"): TWO_CORE_IDS,
    ("procfs-fixtures", "hwloc nodes"): HWLOC_NODES,
    ("virhostcpu-ppc64-deconf-cpus", "hwloc nodes"): HWLOC_NODES,
    ("virhostcpu-ppc64-subcores1", "hwloc nodes"): HWLOC_NODES,
    ("virhostcpu-x86_64-test1", "hwloc nodes"): HWLOC_NODES,
    ("hwloc-8ia64-2s2c2t", "raw distances"): NO_SLIT,
    ("lscpu-arm-A510-A710-A715-X3", "lscpu cores"): ARM_CORES,
    ("lscpu-arm-A510-A710-A715-X3", "lscpu packages"): ARM_PACKAGES,
    ("vircaps-resctrl-skx-twocaches", "hwloc llcs"): SIZE_IN_M,
    ("virhostcpu-x86_64-test1", "hwloc cores"): LOST_CORE,
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


# The nine facts of a host, and what may witness each.
FACTS: Final = {
    "packages": ("hwloc packages", "lscpu packages", "raw package ids"),
    "nodes": ("raw nodes", "hwloc nodes", "raw assumed node"),
    "CPUs of each node": ("raw node cpus", "raw node links", "raw assumed node"),
    "memory": ("raw memory", "raw assumed node"),
    "cores": ("hwloc cores", "lscpu cores", "raw core ids"),
    "L3 domains": ("hwloc llcs",),
    "distances": ("raw distances", "hwloc distances"),
    "PCI ids": ("raw pci",),
    "PCI locality": ("raw pci",),
}
UNWITNESSED: Final = {
    ("virhostcpu-x86_64-test3", "L3 domains"): "hwloc gives up on it, and it has no caches",
    ("virhostcpu-x86_64-test7", "L3 domains"): "hwloc gives up on it, and it has no caches",
}


def test_each_of_the_nine_facts_has_a_witness_on_every_capture() -> None:
    looked_at = set(PAIRS)
    missing = {
        (name, fact)
        for name in WITH_TRUTH
        for fact, witnesses in FACTS.items()
        if not any((name, each) in looked_at for each in witnesses)
    }
    assert missing == set(UNWITNESSED)


@pytest.mark.parametrize(("name", "what"), PAIRS)
def test_what_other_tools_say(name: str, what: str) -> None:
    comparison = COMPARISONS[what]
    ours, theirs = comparison.ours(snapshot(name)), comparison.theirs(truth(name))
    if (name, what) in DIFFERENCES:
        assert ours != theirs, "no difference any more: take it off the table"
        assert DIFFERENCES[name, what].holds(ours, theirs, snapshot(name)), DIFFERENCES[name, what].why
    else:
        assert ours == theirs
