"""What a naive reader of sysfs gets wrong, pitfall by pitfall, on the captures that have it.

`TESTED` names for each line of the corpus's PITFALLS.md the tests that show it, here and elsewhere.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from numaplan.inventory.host import read_host
from numaplan.model.devices import PciAddress
from numaplan.model.host import NumaNode
from numaplan.model.snapshot import Snapshot
from tests.corpus import corpus
from tests.inventory.trees import To, cpu_files, fresh, snapshot, tree

HERE = Path(__file__)
CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"
POWER = ("virhostcpu-ppc64-subcores1", "virhostcpu-ppc64-deconf-cpus")

# The beginning of each line, and the tests: those of this file, then those of others by file.
TESTED: Final[dict[str, tuple[str, ...]]] = {
    "Memory-only nodes": (
        "test_a_node_of_memory_alone_has_no_cpus",
        "test_a_node_may_have_cpus_and_no_memory_or_neither",
        "test_inventory_nodes.py::test_the_pool_of_the_host_is_not_shared_out_among_nodes",
        "test_inventory_nodes.py::test_a_node_all_of_whose_cpus_are_offline_has_none",
    ),
    "Node ids have holes": (
        "test_node_ids_with_holes_keep_their_own_distances",
        "test_inventory_nodes.py::test_distances_follow_the_online_nodes_and_not_their_ids",
        "test_inventory_nodes.py::test_a_row_of_another_length_is_a_gap_and_says_nothing",
        "test_inventory_nodes.py::test_asymmetric_distances_stay_as_they_are",
    ),
    "Node membership": (
        "test_members_of_a_node_may_be_links_alone_with_offline_cpus_among_them",
        "test_inventory_nodes.py::test_members_may_stand_in_a_mask_only",
        "test_inventory_nodes.py::test_members_may_be_links_only_and_offline_ones_do_not_count",
        "test_inventory_nodes.py::test_of_two_nodes_that_overlap_the_lower_keeps_the_cpus",
        "test_inventory_nodes.py::test_a_host_without_nodes_has_one_with_all_cpus_and_a_gap",
    ),
    "Offline CPUs": (
        "test_an_offline_cpu_is_in_no_core_no_node_and_no_cache",
        "test_a_host_without_a_list_of_online_cpus_is_read_from_the_files_of_each_cpu",
        "test_possible_cpus_are_not_present_ones",
        "test_inventory_cpus.py::test_a_cpu_that_the_list_claims_without_a_folder_is_left_out_with_a_gap",
        "test_inventory_cpus.py::test_cpu_0_can_be_offline",
    ),
    "physical_package_id": (
        "test_an_unknown_package_id_is_none_and_sparse_ones_are_kept",
        "test_core_ids_that_repeat_join_nothing",
        "test_inventory_topology.py::test_an_id_on_which_siblings_differ_is_that_of_most",
        "test_inventory_topology.py::test_equal_core_ids_do_not_make_siblings",
        "test_inventory_topology.py::test_ids_of_two_dies_or_nodes_are_two_cores",
    ),
    "Containment fails both ways": ("test_a_node_holds_two_packages_and_a_package_and_its_cache_hold_two_nodes",),
    "SMT and hybrid": (
        "test_cores_of_one_package_may_be_of_different_width",
        "test_threads_of_power_may_be_off_but_one",
        "test_a_node_may_have_several_last_level_caches_and_a_host_none",
    ),
    "Hugepages": (
        "test_pages_come_in_the_sizes_of_the_architecture",
        "test_nodes_have_pools_where_the_host_shows_none",
        "test_a_pool_of_the_whole_host_is_no_nodes",
        "test_inventory_memory.py::test_pools_of_every_size_by_size",
    ),
    "PCI locality": (
        "test_most_devices_of_many_a_host_are_on_no_known_node",
        "test_inventory_pci.py::test_local_cpus_tell_the_node_where_the_kernel_has_no_file_for_it",
        "test_inventory_pci.py::test_local_cpus_do_not_change_what_the_kernel_says",
        "test_inventory_pci.py::test_a_node_that_the_host_lacks_is_unknown_with_a_gap",
    ),
    "PCI domains": (
        "test_domains_may_have_five_digits",
        "test_vfs_may_be_on_the_bus_behind_that_of_their_pf",
        "test_a_pf_may_have_no_vf_and_a_group_several_devices",
        "test_inventory_pci.py::test_without_group_folders_the_links_of_the_devices_make_the_groups",
    ),
    "Memory": ("test_the_memory_of_the_nodes_is_not_made_to_add_up",),
    "The capturing process may have been confined": ("test_a_cpuset_of_the_capturing_process_hides_nothing",),
    "Tars": (
        "test_old_and_new_names_side_by_side_are_one_topology",
        "test_sources_tree.py::test_the_root_is_the_shallowest_folder_that_holds_the_sys_of_a_host",
        "test_sources_tree.py::test_links_of_a_nested_root_stay_below_it",
        "test_sources_tree.py::test_relative_and_absolute_links_resolve_inside_the_root",
        "test_sources_tree.py::test_link_name_needs_no_target",
        "test_inventory_attribute.py::test_nuls_that_tar_padded_a_file_with_are_not_part_of_it",
    ),
    "Other architectures": ("test_hosts_of_other_architectures_are_read_whole",),
    "Other tools have bugs of their own": (
        "test_inventory_corpus.py::test_every_difference_is_one_that_is_looked_at",
        "test_inventory_expected.py::test_every_difference_is_one_that_is_looked_at",
    ),
}


def test_every_pitfall_is_tested() -> None:
    text = (corpus() / "PITFALLS.md").read_text(encoding="utf-8")
    heads = re.findall(r"^- \*\*[`]?([^*`]+)", text, re.MULTILINE)
    assert len(heads) == len(re.findall(r"^- ", text, re.MULTILINE))
    assert [next((head for head in TESTED if each.startswith(head)), each) for each in heads] == list(TESTED)


@pytest.mark.parametrize("name", sorted({name for names in TESTED.values() for name in names}))
def test_the_tests_that_are_named_exist(name: str) -> None:
    file, _, test = name.rpartition("::")
    path = next(HERE.parents[1].glob(f"*/{file}")) if file else HERE
    assert f"def {test}(" in path.read_text(encoding="utf-8")


def nodes(read: Snapshot) -> dict[int, NumaNode]:
    return {int(node.id): node for node in read.nodes}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("nri-server", {4, 5}),
        ("qemu61-A", {2}),
        ("host-cxl", {3}),
        ("hwloc-fakeheteromemtiers", {4, 6, 8, 9}),
        ("lscpu-ppc64-POWER7-64cpu", {1}),
    ],
)
def test_a_node_of_memory_alone_has_no_cpus(name: str, ids: set[int]) -> None:
    read = snapshot(name)
    assert {id_ for id_, node in nodes(read).items() if not len(node.cpus)} == ids
    assert all(core.numa_node not in ids for core in read.cores)
    assert all(not nodes(read)[id_].packages for id_ in ids)


def test_a_node_may_have_cpus_and_no_memory_or_neither() -> None:
    meminfo = "MemTotal: {} kB\nMemFree: 0 kB\nActive(file): 0 kB\nInactive(file): 0 kB\nSReclaimable: 0 kB\n"
    files = cpu_files(4, nodes=2)
    files |= {f"{NODE}/online": "0-2\n", f"{NODE}/node2/cpulist": "\n"}
    files |= {f"{NODE}/node{node}/distance": "10 20 30\n" for node in range(3)}
    files |= {f"{NODE}/node{node}/meminfo": meminfo.format(size) for node, size in ((0, 8), (1, 0), (2, 0))}
    read = nodes(read_host(tree(files)))
    assert [(str(node.cpus), node.memory_kib) for node in read.values()] == [("0-1", 8), ("2-3", 0), ("", 0)]


def test_node_ids_with_holes_keep_their_own_distances() -> None:
    ids = [0, 1, 2, 33, 34, 45, 72, 73]
    read = nodes(snapshot("hwloc-48amd64-4pa2n6c-sparse"))
    assert list(read) == ids
    for id_, node in read.items():
        assert [other for other, _ in node.distances] == ids
        assert [other for other, value in node.distances if value == 10] == [id_]


@pytest.mark.parametrize("name", POWER)
def test_members_of_a_node_may_be_links_alone_with_offline_cpus_among_them(name: str) -> None:
    read = snapshot(name)
    links = {f"cpu{cpu}" for cpu in read.cpus.offline}
    assert list(nodes(read)) == [0, 1, 16, 17]
    assert any(links & set(fresh(name).names(f"{NODE}/node{id_}")) for id_ in nodes(read))
    assert sum(len(node.cpus) for node in read.nodes) == len(read.cpus.online)


@pytest.mark.parametrize(
    ("name", "offline"),
    [
        ("qemu61-A", "5"),
        ("lscpu-s390-lpar", "0,6-7"),
        ("ghw-linux-amd64-offlineCPUs", "2-3"),
        ("hwloc-16em64t-4s2c2t-offlines", "2,5,13-14"),
        ("hwloc-16amd64-8n2c-cpusets", "4"),
    ],
)
def test_an_offline_cpu_is_in_no_core_no_node_and_no_cache(name: str, offline: str) -> None:
    read = snapshot(name)
    assert str(read.cpus.offline) == offline
    for parts in (read.packages, read.cores, read.nodes, read.llcs):
        assert all(not len(part.cpus & read.cpus.offline) for part in parts)


@pytest.mark.parametrize("name", ["hwloc-16em64t-4s2c2t-offlines", "ocp-bare-metal_worker1.internal"])
def test_a_host_without_a_list_of_online_cpus_is_read_from_the_files_of_each_cpu(name: str) -> None:
    assert fresh(name).text(f"{CPU}/online") is None
    assert f"{CPU}/online" in [gap.what for gap in snapshot(name).gaps]
    assert len(snapshot(name).cpus.online) in {12, 80}


def test_possible_cpus_are_not_present_ones() -> None:
    assert fresh("hwloc-32amd64-4s2n4c-cgroup2").text(f"{CPU}/possible") == "0-47\n"
    assert str(snapshot("hwloc-32amd64-4s2n4c-cgroup2").cpus.present) == "0-31"


def test_an_unknown_package_id_is_none_and_sparse_ones_are_kept() -> None:
    unknown = snapshot("hwloc-256ppc-8n8s4t")
    assert {package.id for package in unknown.packages} == {None}
    assert len(unknown.packages) == 64
    assert [package.id for package in snapshot("hwloc-128arm-2pa2n8cluster4co").packages] == [36, 8442]


def test_core_ids_that_repeat_join_nothing() -> None:
    arm = snapshot("lscpu-arm-A510-A710-A715-X3")
    assert sorted(core.core_id or 0 for core in arm.cores) == [0, 0, 0, 1, 1, 2, 2, 3]
    dies = snapshot("vircaps-basic-dies")
    named = [(core.package, core.die_id, core.core_id) for core in dies.cores]
    assert len(named) == len(set(named)) == 12
    assert len({die for _, die, _ in named}) * 2 == len({(package, die) for package, die, _ in named})


def test_a_node_holds_two_packages_and_a_package_and_its_cache_hold_two_nodes() -> None:
    assert nodes(snapshot("lscpu-x86_64-64cpu"))[0].packages == (0, 1)
    clustered = snapshot("host-snc")
    assert [package.numa_nodes for package in clustered.packages] == [(0, 1), (2, 3)]
    assert [llc.numa_nodes for llc in clustered.llcs] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("name", "widths"),
    [("hwloc-20em64t-hybrid-1p6c2t+2ca4co1t", [1] * 8 + [2] * 6), ("qemu61-A", [1, 2, 2, 2])],
)
def test_cores_of_one_package_may_be_of_different_width(name: str, widths: list[int]) -> None:
    assert sorted(len(core.cpus) for core in snapshot(name).cores) == widths


@pytest.mark.parametrize("name", POWER)
def test_threads_of_power_may_be_off_but_one(name: str) -> None:
    read = snapshot(name)
    assert {len(core.cpus) for core in read.cores} == {1}
    assert len(read.cores) == len(read.cpus.online) < len(read.cpus.present)


def test_a_node_may_have_several_last_level_caches_and_a_host_none() -> None:
    files = cpu_files(4)
    for cpu in range(4):
        folder = f"{CPU}/cpu{cpu}/cache/index3"
        files |= {f"{folder}/level": "3\n", f"{folder}/type": "Unified\n", f"{folder}/size": "8192K\n"}
        files[f"{folder}/shared_cpu_list"] = "0-1\n" if cpu < 2 else "2-3\n"
    assert [(str(llc.cpus), llc.numa_nodes) for llc in read_host(tree(files)).llcs] == [("0-1", (0,)), ("2-3", (0,))]
    assert snapshot("lscpu-s390-lpar").llcs == ()


def test_pages_come_in_the_sizes_of_the_architecture() -> None:
    for node in snapshot("hwloc-128arm-2pa2n8cluster4co").nodes:
        assert [pool.size_kib for pool in node.hugepages] == [64, 2048, 32768, 1048576]


def test_nodes_have_pools_where_the_host_shows_none() -> None:
    assert not fresh("ocp-bare-metal_worker1.internal").names("sys/kernel/mm/hugepages")
    read = nodes(snapshot("ocp-bare-metal_worker1.internal"))
    assert {id_: [pool.total for pool in node.hugepages] for id_, node in read.items()} == {0: [128, 0], 1: [0, 0]}


def test_a_pool_of_the_whole_host_is_no_nodes() -> None:
    read = snapshot("hwloc-32amd64-4s2n4c-cgroup2")
    assert all(node.hugepages == () for node in read.nodes)
    assert f"{NODE}/node{{0-7}}/hugepages" in [gap.what for gap in read.gaps]


@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("hwloc-40intel64-2g2n4c+pcilocality", 36),
        ("ghw-linux-amd64-8581cf3a529e5d8b97ea876eade2f60d", 72),
        ("ocp-sno_sno", 25),
        ("ocp-bare-metal_worker1.internal", 0),
        ("qemu61-A", 7),
    ],
)
def test_most_devices_of_many_a_host_are_on_no_known_node(name: str, unknown: int) -> None:
    read = snapshot(name)
    known = {device.numa_node for device in read.pci} - {None}
    assert sum(device.numa_node is None for device in read.pci) == unknown
    assert known <= {node.id for node in read.nodes}


def test_domains_may_have_five_digits() -> None:
    read = snapshot("hwloc-2pa-pcidomain32bits")
    assert [str(device.address) for device in read.pci[-2:]] == ["10000:00:00.0", "10000:00:04.0"]


def test_vfs_may_be_on_the_bus_behind_that_of_their_pf() -> None:
    bus = "sys/devices/pci0000:3a"
    pf, vf = f"{bus}/0000:3b:00.0", f"{bus}/0000:3c:00.1"
    files = cpu_files(1)
    for folder in (pf, vf):
        files |= {f"{folder}/vendor": "0x8086\n", f"{folder}/device": "0x1572\n", f"{folder}/class": "0x020000\n"}
        files[f"sys/bus/pci/devices/{folder.rpartition('/')[2]}"] = To(f"/{folder}")
    files |= {f"{pf}/sriov_totalvfs": "64\n", f"{pf}/sriov_numvfs": "1\n"}
    files |= {f"{pf}/virtfn0": To("../0000:3c:00.1"), f"{vf}/physfn": To("../0000:3b:00.0")}
    first, second = read_host(tree(files)).pci
    assert first.sriov is not None
    assert (first.sriov.vfs, second.physfn) == ((PciAddress(0, 0x3C, 0, 1),), PciAddress(0, 0x3B, 0, 0))


def test_a_pf_may_have_no_vf_and_a_group_several_devices() -> None:
    pfs = [device.sriov for device in snapshot("hwloc-32intel64-2p8co2t+8ve").pci if device.sriov is not None]
    assert [(pf.configured, pf.vfs) for pf in pfs] == [(0, ())] * 2
    shared = [group for group in snapshot("qemu61-A").iommu_groups if len(group.devices) > 1]
    assert [[str(device) for device in group.devices] for group in shared] == [
        ["0000:00:1f.0", "0000:00:1f.2", "0000:00:1f.3"]
    ]
    assert not fresh("procfs-fixtures").names("sys/kernel/iommu_groups")
    assert [group.id for group in snapshot("procfs-fixtures").iommu_groups] == [2, 11]


def test_the_memory_of_the_nodes_is_not_made_to_add_up() -> None:
    for name, total in (("hwloc-40intel64-2g2n4c+pcilocality", 536857436), ("hwloc-256ppc-8n8s4t", 516423680)):
        text = fresh(name).text("proc/meminfo") or ""
        assert sum(node.memory_kib or 0 for node in snapshot(name).nodes) == total
        assert f" {total} kB" not in text
    assert fresh("nri-server").text("proc/meminfo") is None
    assert all(node.memory_kib for node in snapshot("nri-server").nodes)


@pytest.mark.parametrize(
    ("name", "cpus", "count"),
    [
        ("hwloc-16amd64-8n2c-cpusets", "0-3,5-15", 8),
        ("hwloc-32amd64-4s2n4c-cgroup2", "0-31", 8),
        ("hwloc-4fake-4gr1nu1pu", "0-3", 4),
    ],
)
def test_a_cpuset_of_the_capturing_process_hides_nothing(name: str, cpus: str, count: int) -> None:
    read = snapshot(name)
    assert (str(read.cpus.online), len(read.nodes)) == (cpus, count)
    assert sum(len(node.cpus) for node in read.nodes) == len(read.cpus.online)


def test_old_and_new_names_side_by_side_are_one_topology() -> None:
    names = fresh("qemu61-A").names(f"{CPU}/cpu0/topology")
    assert {"core_siblings", "package_cpus", "thread_siblings", "core_cpus"} <= set(names)
    assert [str(package.cpus) for package in snapshot("qemu61-A").packages] == ["0-3", "4,6-7"]


@pytest.mark.parametrize(
    ("name", "packages", "cores", "cpus"),
    [
        ("hwloc-128arm-2pa2n8cluster4co", 2, 128, 128),
        ("hwloc-256ppc-8n8s4t", 64, 64, 256),
        ("hwloc-8ia64-2s2c2t", 2, 4, 8),
        ("lscpu-arm-A510-A710-A715-X3", 3, 8, 8),
        ("lscpu-armv7", 1, 2, 2),
        ("lscpu-ppc-qemu", 1, 1, 1),
        ("lscpu-rv64-milkvpioneer", 1, 64, 64),
        ("lscpu-s390-kvm", 3, 3, 3),
        ("lscpu-s390-lpar", 7, 17, 17),
    ],
)
def test_hosts_of_other_architectures_are_read_whole(name: str, packages: int, cores: int, cpus: int) -> None:
    read = snapshot(name)
    assert (len(read.packages), len(read.cores), len(read.cpus.online)) == (packages, cores, cpus)
