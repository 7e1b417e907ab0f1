"""Hosts in words: what they come to, and what is refused, at its column."""

import pytest

from numaplan.cpuset import CpuSet
from numaplan.errors import ExitCode, InputError
from numaplan.model.devices import PciAddress
from numaplan.model.snapshot import Snapshot
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.spec.synthetic import parse_synthetic

GIB = 1 << 20
SHORT = "2 packages, 2 nodes, 32 cores, 2 threads; 1GiB=64; ens1f0@0: 16 VFs"
LONG = (
    "2 packages, 2 nodes per package, 16 cores per node, 2 threads, 2 L3 of 32MiB per node, 192GiB per node;"
    " 1GiB=64 per node, 2MiB=0, 1GiB@3=8; ens1f0@0: 16 of 64 VFs 25Gbit/s 8086:154c; ens2f0@3: 300 VFs, 100Gbit/s;"
    " isolated 2-31,34-63; distances 11 32"
)


def cpus(snapshot: Snapshot) -> list[str]:
    return [str(node.cpus) for node in snapshot.nodes]


def test_numbers_are_those_of_the_whole_host_and_shared_out_evenly() -> None:
    snapshot = parse_synthetic(SHORT)
    assert [str(package.cpus) for package in snapshot.packages] == ["0-15,32-47", "16-31,48-63"]
    assert cpus(snapshot) == ["0-15,32-47", "16-31,48-63"]
    assert len(snapshot.cores) == 32
    assert [[(pool.size_kib, pool.free) for pool in node.hugepages] for node in snapshot.nodes] == [[(GIB, 32)]] * 2


def test_numbers_per_node_and_per_package_are_not() -> None:
    snapshot = parse_synthetic(LONG)
    assert [package.numa_nodes for package in snapshot.packages] == [(0, 1), (2, 3)]
    assert len(snapshot.cores) == 64
    assert [[pool.free for pool in node.hugepages] for node in snapshot.nodes] == [[0, 64], [0, 64], [0, 64], [0, 8]]
    assert [node.available_kib for node in snapshot.nodes] == [128 * GIB, 128 * GIB, 128 * GIB, 184 * GIB]
    assert snapshot.cpus.isolated == CpuSet.parse("2-31,34-63")


def test_siblings_are_numbered_as_on_intel_or_follow_each_other() -> None:
    apart = parse_synthetic("2 nodes, 4 cores, 2 threads")
    adjacent = parse_synthetic("2 nodes, 4 cores, 2 threads; siblings adjacent")
    assert [str(core.cpus) for core in apart.cores] == ["0,4", "1,5", "2,6", "3,7"]
    assert [str(core.cpus) for core in adjacent.cores] == ["0-1", "2-3", "4-5", "6-7"]
    assert (cpus(apart), cpus(adjacent)) == (["0-1,4-5", "2-3,6-7"], ["0-3", "4-7"])


def test_a_node_has_one_last_level_cache_or_as_many_as_are_said() -> None:
    assert [str(llc.cpus) for llc in parse_synthetic("2 nodes, 4 cores").llcs] == ["0-1", "2-3"]
    llcs = parse_synthetic("2 nodes, 8 cores, 4 L3 of 16MiB").llcs
    assert [(str(llc.cpus), llc.size_kib) for llc in llcs] == [(f"{n}-{n + 1}", 16384) for n in (0, 2, 4, 6)]


@pytest.mark.parametrize(
    ("words", "matrix"),
    [
        ("", [[10, 12, 21, 21], [12, 10, 21, 21], [21, 21, 10, 12], [21, 21, 12, 10]]),
        ("; distances 11 32", [[10, 11, 32, 32], [11, 10, 32, 32], [32, 32, 10, 11], [32, 32, 11, 10]]),
        (
            "; distances 10 20 30 40, 11 10 31 41, 12 22 10 42, 13 23 33 10",
            [[10, 20, 30, 40], [11, 10, 31, 41], [12, 22, 10, 42], [13, 23, 33, 10]],
        ),
    ],
)
def test_distances_are_near_and_far_or_a_whole_matrix(words: str, matrix: list[list[int]]) -> None:
    snapshot = parse_synthetic(f"2 packages, 4 nodes, 4 cores{words}")
    assert [[entry for _, entry in node.distances] for node in snapshot.nodes] == matrix


def test_the_matrix_of_one_node_is_one_entry() -> None:
    assert parse_synthetic("2 cores; distances 10").nodes[0].distances == ((0, 10),)


def test_a_pf_has_its_vfs_on_the_next_buses_each_in_a_group_of_its_own() -> None:
    snapshot = parse_synthetic(LONG)
    devices = {device.address: device for device in snapshot.pci}
    first, second = (devices[link.pci] for link in snapshot.links if link.pci is not None)
    assert (first.numa_node, second.numa_node) == (0, 3)
    assert first.sriov is not None
    assert second.sriov is not None
    assert (first.sriov.total, first.sriov.configured, second.sriov.configured) == (64, 16, 300)
    assert first.sriov.vfs[9] == PciAddress(0, 0x11, 1, 1)
    assert {(devices[vf].vendor, devices[vf].device) for vf in first.sriov.vfs} == {("8086", "154c")}
    assert all(devices[vf].physfn == second.address and devices[vf].numa_node == 3 for vf in second.sriov.vfs)
    assert [link.speed_mbps for link in snapshot.links] == [25_000, 100_000]
    assert len({device.iommu_group for device in snapshot.pci}) == len(snapshot.pci) == 318


def test_what_is_not_said_the_host_does_not_say_either() -> None:
    snapshot = parse_synthetic("4 cores; nic@0: 0 VFs")
    assert (snapshot.nodes[0].memory_kib, snapshot.nodes[0].hugepages) == (None, ())
    assert (snapshot.pci[0].sriov, snapshot.links[0].speed_mbps) == (None, None)
    assert (snapshot.host.hostname, snapshot.host.kernel, snapshot.gaps) == ("synthetic", None, ())


@pytest.mark.parametrize("text", [SHORT, LONG, "1 core", "256 nodes, 4096 cores, 2 threads per core; p@255: 4096 VFs"])
def test_as_an_inventory_it_is_read_back_equal(text: str) -> None:
    snapshot = parse_synthetic(text)
    assert read_inventory(inventory_json(snapshot), "host.json") == snapshot


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "how many cores is not said"),
        ("3 nodes, 32 cores", 10, "32 cores in all are not shared out evenly by 3 nodes"),
        ("2 packages, 3 nodes, 6 cores", 13, "3 nodes are not shared out evenly by 2 packages"),
        ("2 packages, 4 nodes, 6 cores per package, 2 L3 per node", 43, "3 cores of a node cannot be shared out"),
        ("2 nodes, 4 cores; 1GiB=3", 19, "3 pages in all are not shared out evenly by 2 nodes"),
        ("4 cores, 2 foos", 10, "expected such as '2 packages'"),
        ("4 cores, 4 cores", 10, "said before"),
        ("0 cores", 1, "one of the cores at least"),
        ("4 cores per foo", 1, "expected 'per package' or 'per node'"),
        ("4 cores, 2 threads per node", 10, "threads are not per node"),
        ("4 cores, 1GiB; 1GiB=2", 10, "the huge pages of node 0 take 2 GiB, it has 1 GiB"),
        ("4 cores; 3MiB=2", 10, "no size of huge pages"),
        ("2 nodes, 4 cores; 1GiB@5=2", 19, "there is no node 5"),
        ("2 nodes, 4 cores; ens@2: 1 VF", 19, "there is no node 2"),
        ("2 nodes, 4 cores;  ens@1: 1 VF fast", 32, "'fast' is not understood"),
        ("4 cores; e@0: 5 of 4 VFs", 15, "5 VFs are more than the 4"),
        ("4 cores; e@0: 1 VF 0Gbit/s", 20, "a link carries something"),
        ("4 cores; isolated", 18, "no CPU is named"),
        ("4 cores; e@0: 5000 VFs", 10, "more than 256 PFs or 4,096 VFs"),
        ("4 cores; e@0: 1 VF; e@0: 1 VF", 21, "said before"),
        ("4 cores; isolated 2,9", 19, "there is no CPU 9; CPUs are 0 to 3"),
        ("4 cores; isolated 3-1", 19, "range runs backwards"),
        ("4 cores; distances 5 6", 20, "expected a number of 10 to 255"),
        ("2 nodes, 4 cores; distances 10 20 30", 29, "expected two"),
        ("4 cores; distances 20", 20, "node 0 is 20 from itself; expected 10"),
        (
            "4 cores; distances 10 12 21",
            20,
            "3 distances are given; expected two (to nodes of the same package, to others), or 1 row of 1",
        ),
        ("2 nodes, 4 cores; distances 10 30 30 20", 38, "node 1 is 20 from itself; expected 10"),
        ("4 cores; siblings twisted", 19, "expected 'siblings adjacent'"),
        ("257 nodes, 257 cores", 1, "at most 256 nodes"),
        ("8193 cores", 1, "more than 8,192 CPUs"),
        ("4 cores, 9000TiB", 10, "no size of a host"),
        ("٤ cores", 1, "is not understood"),
    ],
)
def test_what_makes_no_host_is_refused_where_it_stands(text: str, column: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_synthetic(text)
    (problem,) = caught.value.problems
    assert problem.where == f"--synthetic:1:{column}"
    assert words in str(problem)
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_description_without_end_is_not_read() -> None:
    with pytest.raises(InputError, match="at most 16384"):
        parse_synthetic("4 cores," * 10_000)
