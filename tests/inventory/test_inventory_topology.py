import pytest

from numaplan.inventory.cpus import read_cpu_states
from numaplan.inventory.nodes import read_nodes
from numaplan.inventory.topology import Topology, has_single_threads, read_topology
from numaplan.model.host import Core, Package
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, absent, cpu_files, flaws, tree

CPU = "sys/devices/system/cpu"
Files = dict[str, str | To | None]


def read(made: HostTree) -> Topology:
    states = read_cpu_states(made)
    return read_topology(made, states.online, read_nodes(made, states.online).node_of)


def topology_gaps(made: HostTree) -> list[tuple[str, str]]:
    return [(what, why) for what, why in flaws(made) if what.startswith(CPU)]


def topology_absent(made: HostTree) -> list[str]:
    return [what for what in absent(made) if "/topology" in what]


def shape(cores: tuple[Core, ...]) -> list[str]:
    return [str(core.cpus) for core in cores]


def packages(found: tuple[Package, ...]) -> list[tuple[int | None, str, tuple[int, ...]]]:
    return [(package.id, str(package.cpus), package.numa_nodes) for package in found]


def test_packages_and_cores_are_those_of_the_sibling_lists() -> None:
    made = tree(cpu_files(8, threads=2, nodes=2))
    topology = read(made)
    assert packages(topology.packages) == [(0, "0-3", (0,)), (1, "4-7", (1,))]
    assert shape(topology.cores) == ["0-1", "2-3", "4-5", "6-7"]
    core = topology.cores[3]
    assert (core.package, core.numa_node, core.core_id, core.die_id) == (1, 1, 1, None)
    assert not topology_gaps(made)


def test_a_core_keeps_the_thread_that_is_still_online() -> None:
    topology = read(tree(cpu_files(8, threads=2, nodes=2, offline=[2])))
    assert shape(topology.cores) == ["0-1", "3", "4-5", "6-7"]
    assert packages(topology.packages)[0] == (0, "0-1,3", (0,))


def test_siblings_that_are_offline_do_not_count() -> None:
    files: Files = cpu_files(4, threads=2, offline=[1])
    files[f"{CPU}/cpu0/topology/thread_siblings_list"] = "0-1\n"
    made = tree(files)
    assert shape(read(made).cores) == ["0", "2-3"]
    assert not topology_gaps(made)


def test_masks_serve_where_there_are_no_lists() -> None:
    files: Files = {f"{CPU}/cpu{cpu}": None for cpu in range(4)}
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings"] = ("00000000,00000005\n", "00000000,0000000a\n")[cpu % 2]
        files[f"{CPU}/cpu{cpu}/topology/core_siblings"] = "f\n"
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "-1\n"
    topology = read(tree(files))
    assert shape(topology.cores) == ["0,2", "1,3"]
    assert packages(topology.packages) == [(None, "0-3", (0,))]


def test_the_new_names_are_above_the_old_ones() -> None:
    files: Files = cpu_files(2)
    for cpu in range(2):
        files[f"{CPU}/cpu{cpu}/topology/core_cpus_list"] = "0-1\n"
        files[f"{CPU}/cpu{cpu}/topology/package_cpus_list"] = f"{cpu}\n"
    topology = read(tree(files))
    assert shape(topology.cores) == ["0-1"]
    assert [str(package.cpus) for package in topology.packages] == ["0", "1"]


def test_equal_core_ids_do_not_make_siblings() -> None:
    files: Files = cpu_files(4)
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/core_id"] = "0\n"
    assert shape(read(tree(files)).cores) == ["0", "1", "2", "3"]


def test_a_broken_list_gives_way_to_the_next_file_with_a_gap() -> None:
    files: Files = cpu_files(4, threads=2)
    files[f"{CPU}/cpu0/topology/thread_siblings_list"] = "5,3-1,7\n"
    files[f"{CPU}/cpu0/topology/thread_siblings"] = "3\n"
    made = tree(files)
    assert shape(read(made).cores) == ["0-1", "2-3"]
    assert topology_gaps(made) == [(f"{CPU}/cpu0/topology/thread_siblings_list", "ids do not ascend: '5,3-1,7\\n'")]


def test_a_list_that_lacks_its_own_cpu_is_a_gap() -> None:
    files: Files = cpu_files(2)
    files[f"{CPU}/cpu1/topology/thread_siblings_list"] = "0\n"
    made = tree(files)
    assert shape(read(made).cores) == ["0", "1"]
    assert topology_gaps(made) == [(f"{CPU}/cpu1/topology/thread_siblings_list", "does not name CPU 1 itself")]


def test_siblings_that_contradict_each_other_are_gaps() -> None:
    files: Files = cpu_files(4, threads=2)
    files[f"{CPU}/cpu0/topology/thread_siblings_list"] = "0\n"
    made = tree(files)
    assert shape(read(made).cores) == ["0-1", "2-3"]
    assert [what for what, _ in topology_gaps(made)] == [
        f"{CPU}/cpu0/topology/thread_siblings_list",
        f"{CPU}/cpu1/topology/thread_siblings_list",
    ]


def test_an_id_on_which_siblings_differ_is_that_of_most() -> None:
    files: Files = cpu_files(4)
    files[f"{CPU}/cpu2/topology/physical_package_id"] = "7\n"
    made = tree(files)
    assert packages(read(made).packages) == [(0, "0-3", (0,))]
    assert topology_gaps(made) == [
        (f"{CPU}/cpu2/topology/physical_package_id", "7, which its siblings do not agree on; 0 is taken")
    ]


def test_an_unknown_package_id_is_no_gap_when_no_cpu_knows_it() -> None:
    files: Files = cpu_files(4, nodes=2)
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "-1\n"
    made = tree(files)
    topology = read(made)
    assert packages(topology.packages) == [(None, "0-1", (0,)), (None, "2-3", (1,))]
    assert topology.cores[0].package is None
    assert not topology_gaps(made)


def test_an_unknown_id_of_one_cpu_alone_is_a_gap() -> None:
    files: Files = cpu_files(4)
    files[f"{CPU}/cpu3/topology/core_id"] = "-1\n"
    made = tree(files)
    assert read(made).cores[3].core_id is None
    assert topology_gaps(made) == [(f"{CPU}/cpu3/topology/core_id", "-1, unlike the file of other CPUs")]


def test_two_packages_of_one_id_stay_two_with_a_gap() -> None:
    files: Files = cpu_files(4, nodes=2)
    for cpu in (2, 3):
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "0\n"
    made = tree(files)
    assert packages(read(made).packages) == [(0, "0-1", (0,)), (0, "2-3", (1,))]
    assert topology_gaps(made) == [
        (f"{CPU}/cpu2/topology/physical_package_id", "0 names two packages: CPUs 0-1 and CPUs 2-3")
    ]


def without(files: Files, *names: str) -> Files:
    return {path: content for path, content in files.items() if path.rpartition("/")[2] not in names}


def test_ids_group_cpus_where_there_are_no_sibling_files() -> None:
    files = without(cpu_files(8, threads=2, nodes=2), "thread_siblings_list", "core_siblings_list")
    made = tree(files)
    topology = read(made)
    assert packages(topology.packages) == [(0, "0-3", (0,)), (1, "4-7", (1,))]
    assert shape(topology.cores) == ["0-1", "2-3", "4-5", "6-7"]
    assert not topology_gaps(made)


def test_ids_of_two_dies_or_nodes_are_two_cores() -> None:
    files = without(cpu_files(4, nodes=2), "thread_siblings_list", "core_siblings_list")
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = "0\n"
        files[f"{CPU}/cpu{cpu}/topology/core_id"] = "0\n"
        files[f"{CPU}/cpu{cpu}/topology/die_id"] = f"{cpu % 2}\n"
    assert shape(read(tree(files)).cores) == ["0", "1", "2", "3"]


def test_ids_that_repeat_are_no_siblings_where_cpuinfo_knows_of_no_threads() -> None:
    files = without(cpu_files(4, threads=2), "thread_siblings_list")
    files["proc/cpuinfo"] = "processor\t: 0\nsiblings\t: 4\ncpu cores\t: 4\n"
    assert shape(read(tree(files)).cores) == ["0", "1", "2", "3"]


def test_without_any_ids_each_cpu_is_a_core_with_a_gap() -> None:
    files = without(cpu_files(2), "thread_siblings_list", "core_siblings_list", "core_id", "physical_package_id")
    made = tree(files)
    topology = read(made)
    assert shape(topology.cores) == ["0", "1"]
    assert [why for _, why in topology_gaps(made)] == [
        "CPUs 0-1 have neither sibling masks nor a core id: each counts as a core",
        "CPUs 0-1 have neither sibling masks nor a package id: each core counts as a package",
    ]


def test_a_package_may_span_nodes_and_a_node_packages() -> None:
    files: Files = cpu_files(8, nodes=4)
    for cpu in range(8):
        files[f"{CPU}/cpu{cpu}/topology/core_siblings_list"] = "0-3\n" if cpu < 4 else "4-7\n"
        files[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = f"{cpu // 4}\n"
    assert packages(read(tree(files)).packages) == [(0, "0-3", (0, 1)), (1, "4-7", (2, 3))]


def test_a_core_that_spans_nodes_has_none_with_a_gap() -> None:
    files: Files = cpu_files(4, nodes=2)
    for cpu in (1, 2):
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"] = "1-2\n"
    made = tree(files)
    cores = read(made).cores
    assert shape(cores) == ["0", "1-2", "3"]
    assert cores[1].numa_node is None
    assert (f"{CPU}/cpu1/topology", "the core of CPUs 1-2 spans several nodes") in topology_gaps(made)


@pytest.mark.parametrize(
    ("cpuinfo", "single"),
    [
        ("siblings\t: 12\ncpu cores\t: 12\n", True),
        ("siblings\t: 24\ncpu cores\t: 12\n", False),
        ("processor\t: 0\n", False),
        ("", False),
    ],
)
def test_cpuinfo_counts_threads(cpuinfo: str, *, single: bool) -> None:
    assert has_single_threads(cpuinfo) is single


@pytest.mark.parametrize("file", ["physical_package_id", "core_id", "thread_siblings_list", "core_siblings_list"])
def test_a_file_that_one_cpu_lacks_is_missed(file: str) -> None:
    files: Files = cpu_files(4, threads=2)
    whole = tree(files)
    read(whole)
    assert topology_absent(whole) == []
    del files[f"{CPU}/cpu2/topology/{file}"]
    made = tree(files)
    read(made)
    assert topology_absent(made) == [f"{CPU}/cpu2/topology/{file}"]


def test_a_die_id_is_missed_only_where_other_cpus_have_one() -> None:
    files: Files = cpu_files(4) | {f"{CPU}/cpu{cpu}/topology/die_id": "0\n" for cpu in (0, 1, 3)}
    made = tree(files)
    read(made)
    assert topology_absent(made) == [f"{CPU}/cpu2/topology/die_id"]


def test_cpus_without_a_topology_are_one_gap() -> None:
    files = {path: text for path, text in cpu_files(4).items() if not path.startswith((f"{CPU}/cpu1/", f"{CPU}/cpu2/"))}
    made = tree(files)
    assert len(read(made).cores) == 4
    assert topology_absent(made) == [f"{CPU}/cpu{{1-2}}/topology"]


def test_threads_of_a_core_are_in_one_package_even_where_nothing_names_it() -> None:
    # As on a PlayStation 3: sibling masks of threads, and nothing else.
    dropped = ("core_siblings_list", "physical_package_id", "core_id")
    made = tree({path: text for path, text in cpu_files(4, threads=2).items() if not path.endswith(dropped)})
    assert packages(read(made).packages) == [(None, "0-1", (0,)), (None, "2-3", (0,))]
    assert [why for _, why in topology_gaps(made)] == [
        "CPUs 0-3 have neither sibling masks nor a package id: each core counts as a package"
    ]
