import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.nodes import Nodes, parse_distances, parse_node_list, read_nodes
from numaplan.model.host import HugepagePool
from numaplan.sources.tree import HostTree
from tests.inventory.trees import To, absent, cpu_files, flaws, tree

NODE = "sys/devices/system/node"
POOLS = "sys/kernel/mm/hugepages"
Files = dict[str, str | To | None]
MEMINFO = "MemTotal: 9 kB\nMemFree: 5 kB\nActive(file): 1 kB\nInactive(file): 1 kB\nSReclaimable: 1 kB\n"


def read(made: HostTree, online: str = "0-3") -> Nodes:
    return read_nodes(made, CpuSet.parse(online))


def shape(nodes: Nodes) -> list[tuple[int, str]]:
    return [(node.id, str(node.cpus)) for node in nodes.nodes]


def distances(nodes: Nodes) -> list[dict[int, int]]:
    return [dict(node.distances) for node in nodes.nodes]


def pool(folder: str, count: int) -> Files:
    names = {"nr_hugepages": count, "free_hugepages": count, "surplus_hugepages": 0}
    return {f"{folder}/hugepages-2048kB/{name}": f"{value}\n" for name, value in names.items()}


def test_distances_follow_the_online_nodes_and_not_their_ids() -> None:
    made = tree(
        {
            f"{NODE}/online": "0,2,8\n",
            f"{NODE}/node0/cpulist": "0-1\n",
            f"{NODE}/node2/cpulist": "2-3\n",
            f"{NODE}/node8/cpulist": "\n",
            f"{NODE}/node0/distance": "10 20 30\n",
            f"{NODE}/node2/distance": "21 10 31\n",
            f"{NODE}/node8/distance": "32 33 10\n",
        }
    )
    nodes = read(made)
    assert shape(nodes) == [(0, "0-1"), (2, "2-3"), (8, "")]
    assert distances(nodes) == [{0: 10, 2: 20, 8: 30}, {0: 21, 2: 10, 8: 31}, {0: 32, 2: 33, 8: 10}]
    assert nodes.exposed
    assert not flaws(made)


def test_without_a_list_of_online_nodes_the_folders_are_all_online() -> None:
    made = tree(
        {f"{NODE}/node12/cpulist": "2-3\n", f"{NODE}/node4/cpulist": "0-1\n", f"{NODE}/node4/distance": "10 40\n"}
    )
    nodes = read(made)
    assert shape(nodes) == [(4, "0-1"), (12, "2-3")]
    assert distances(nodes) == [{4: 10, 12: 40}, {}]
    assert not flaws(made)


def test_a_row_of_another_length_is_a_gap_and_says_nothing() -> None:
    made = tree({f"{NODE}/online": "0-1\n", f"{NODE}/node0/distance": "10 21 21\n", f"{NODE}/node1/cpulist": "0-3\n"})
    assert distances(read(made)) == [{}, {}]
    assert flaws(made) == [(f"{NODE}/node0/distance", "3 distances for 2 online nodes")]


def test_a_node_that_is_offline_is_left_out() -> None:
    made = tree({f"{NODE}/online": "0\n", f"{NODE}/node0/cpulist": "0-3\n", f"{NODE}/node1/cpulist": "\n"})
    assert shape(read(made)) == [(0, "0-3")]
    assert flaws(made) == [(f"{NODE}/node1", f"not in {NODE}/online: the node is left out")]


def test_an_online_node_without_a_folder_keeps_its_column() -> None:
    made = tree({f"{NODE}/online": "0-2\n", f"{NODE}/node0/cpulist": "0-3\n", f"{NODE}/node2/distance": "21 31 10\n"})
    nodes = read(made)
    assert distances(nodes) == [{}, {0: 21, 2: 10}]
    assert flaws(made) == [(f"{NODE}/online", "nodes 1 have no folder and are left out")]


def test_asymmetric_distances_stay_as_they_are() -> None:
    made = tree(
        {f"{NODE}/node0/distance": "10 20\n", f"{NODE}/node1/distance": "40 10\n", f"{NODE}/node0/cpulist": "0-3\n"}
    )
    assert distances(read(made)) == [{0: 10, 1: 20}, {0: 40, 1: 10}]


def test_members_may_stand_in_a_mask_only() -> None:
    made = tree({f"{NODE}/node0/cpumap": "00000000,00000003\n", f"{NODE}/node1/cpumap": "c\n"})
    assert shape(read(made)) == [(0, "0-1"), (1, "2-3")]
    assert not flaws(made)


def test_members_may_be_links_only_and_offline_ones_do_not_count() -> None:
    made = tree({f"{NODE}/node0/cpu{cpu}": To(f"../../cpu/cpu{cpu}") for cpu in (0, 1, 2, 3, 900)})
    assert shape(read(made, "0,2-3")) == [(0, "0,2-3")]
    assert not flaws(made)


def test_a_broken_list_gives_way_to_the_mask_with_a_gap() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-\n", f"{NODE}/node0/cpumap": "f\n"})
    assert shape(read(made)) == [(0, "0-3")]
    assert flaws(made) == [(f"{NODE}/node0/cpulist", "no list of ids: '0-\\n'")]


def test_a_list_that_contradicts_the_links_is_a_gap() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-3\n", f"{NODE}/node0/cpu0": None, f"{NODE}/node0/cpu1": None})
    assert shape(read(made)) == [(0, "0-3")]
    assert flaws(made) == [(f"{NODE}/node0/cpulist", "CPUs 0-3, but the links in the node's folder are of CPUs 0-1")]


def test_of_two_nodes_that_overlap_the_lower_keeps_the_cpus() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-2\n", f"{NODE}/node1/cpulist": "2-3\n"})
    assert shape(read(made)) == [(0, "0-2"), (1, "3")]
    assert flaws(made) == [(f"{NODE}/node1", "CPUs 2 are in a lower node too, and stay there")]


def test_a_cpu_in_no_node_is_a_gap() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-1\n"})
    nodes = read(made)
    assert set(nodes.node_of) == {0, 1}
    assert flaws(made) == [(NODE, "CPUs 2-3 are in no node")]


def test_a_node_all_of_whose_cpus_are_offline_has_none() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-3\n", f"{NODE}/node1/cpulist": "4-7\n"})
    assert shape(read(made)) == [(0, "0-3"), (1, "")]
    assert not flaws(made)


def test_a_host_without_nodes_has_one_with_all_cpus_and_a_gap() -> None:
    made = tree(
        {
            f"{NODE}/has_cpu": "0\n",
            "proc/meminfo": MEMINFO,
        }
        | pool(POOLS, 7)
    )
    nodes = read(made)
    assert shape(nodes) == [(0, "0-3")]
    node = nodes.nodes[0]
    assert (node.memory_kib, node.free_kib, node.available_kib, node.distances) == (9, 5, 8, ())
    assert node.hugepages == (HugepagePool(2048, total=7, free=7),)
    assert not nodes.exposed
    assert flaws(made) == [(NODE, "NUMA is not exposed: one node 0 with all CPUs is assumed")]


def test_the_pool_of_the_host_is_that_of_its_only_node() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-3\n"} | pool(POOLS, 7))
    assert read(made).nodes[0].hugepages == (HugepagePool(2048, total=7, free=7),)


def test_the_pool_of_the_host_is_not_shared_out_among_nodes() -> None:
    made = tree(
        {
            f"{NODE}/node0/cpulist": "0-3\n",
            f"{NODE}/node1/cpulist": "\n",
            f"{NODE}/node1/meminfo": "Node 1 MemTotal: 0 kB\n",
        }
        | pool(POOLS, 7)
    )
    assert [node.hugepages for node in read(made).nodes] == [(), ()]
    # Node 1 has no memory, so it cannot have pages.
    why = "not there: the node's share of the host's hugepages is not known"
    assert [gap for gap in flaws(made) if "hugepages" in gap[0]] == [(f"{NODE}/node0/hugepages", why)]


def test_a_nodes_own_pool_is_above_that_of_the_host() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-3\n"} | pool(POOLS, 7) | pool(f"{NODE}/node0/hugepages", 5))
    assert read(made).nodes[0].hugepages == (HugepagePool(2048, total=5, free=5),)


def test_a_broken_list_of_online_nodes_is_a_gap_and_the_folders_decide() -> None:
    made = tree({f"{NODE}/online": "0-4294967295\n", f"{NODE}/node0/cpulist": "0-3\n"})
    assert shape(read(made)) == [(0, "0-3")]
    assert flaws(made) == [(f"{NODE}/online", "no list of ids: '0-4294967295\\n'")]


def test_nodes_beyond_any_kernels_are_gaps() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0-3\n", f"{NODE}/node1024/cpulist": "\n"})
    assert shape(read(made)) == [(0, "0-3")]
    assert flaws(made) == [(f"{NODE}/node1024", "a node id of 1024 or more")]


@pytest.mark.parametrize(
    "text", ["", "\n", "10 x\n", "10 -1\n", "10 0\n", "10 99999999999\n", "10 2", "\0", "10 " * 1025]
)
def test_what_are_no_distances_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"distances|number|within"):
        parse_distances(text)


def test_a_node_list_is_bounded() -> None:
    with pytest.raises(ValueError, match="1024 or more"):
        parse_node_list("0-1024\n")


@pytest.mark.parametrize("file", ["cpulist", "distance", "meminfo"])
def test_a_file_that_one_node_lacks_is_missed(file: str) -> None:
    files: Files = cpu_files(4, nodes=2) | {f"{NODE}/node{node}/meminfo": MEMINFO for node in (0, 1)}
    whole = tree(files)
    read(whole)
    assert absent(whole) == []
    del files[f"{NODE}/node1/{file}"]
    made = tree(files)
    read(made)
    assert absent(made) == [f"{NODE}/node1/{file}"]


def test_files_that_all_nodes_lack_are_one_gap() -> None:
    made = tree(cpu_files(4, nodes=2))
    read(made)
    assert absent(made) == [f"{NODE}/node{{0-1}}/meminfo"]


def test_a_page_size_that_one_node_lacks_is_missed() -> None:
    files: Files = cpu_files(4, nodes=2) | {f"{NODE}/node{node}/meminfo": MEMINFO for node in (0, 1)}
    for node in (0, 1):
        pool = f"{NODE}/node{node}/hugepages/hugepages-2048kB"
        files |= {f"{pool}/{name}_hugepages": "0\n" for name in ("nr", "free", "surplus")}
    pool = f"{NODE}/node0/hugepages/hugepages-1048576kB"
    files |= {f"{pool}/{name}_hugepages": "0\n" for name in ("nr", "free", "surplus")}
    made = tree(files)
    read(made)
    assert absent(made) == [f"{NODE}/node1/hugepages/hugepages-1048576kB"]
