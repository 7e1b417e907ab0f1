import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.hmat import parse_performance, with_access
from numaplan.model.host import MemoryAccess, NodeId, NumaNode
from tests.inventory.trees import To, fresh, gaps, tree

Files = dict[str, str | To | None]
NODE = "sys/devices/system/node"
NUMBERS = ("read_bandwidth", "write_bandwidth", "read_latency", "write_latency")


def nodes(*ids: int) -> tuple[NumaNode, ...]:
    return tuple(NumaNode(NodeId(id_), packages=(), cpus=CpuSet()) for id_ in ids)


def access(node: int, number: int, *initiators: int, **numbers: int) -> Files:
    folder = f"{NODE}/node{node}/access{number}/initiators"
    files: Files = {folder: None}
    files |= {f"{folder}/node{each}": To(f"../../../node{each}") for each in initiators}
    # The kernel shows all four as soon as it knows one.
    files |= {f"{folder}/{name}": f"{numbers.get(name, 0)}\n" for name in NUMBERS if numbers}
    return files


def test_a_host_without_hmat_says_nothing() -> None:
    made = tree({f"{NODE}/node0/cpulist": "0\n"})
    assert with_access(made, nodes(0)) == nodes(0)
    assert not made.gaps


def test_a_node_has_its_nearest_initiators_of_each_class_and_their_speed() -> None:
    made = tree(
        access(0, 0, 0, read_bandwidth=131072, write_bandwidth=65536, read_latency=80, write_latency=81)
        | access(2, 0, 3, read_bandwidth=8000, read_latency=250)
        | access(2, 1, 0, 1, read_bandwidth=4000, write_latency=400)
        | access(1, 0)
    )
    read = with_access(made, nodes(0, 1, 2, 3))
    assert [node.access for node in read] == [
        (MemoryAccess(0, (NodeId(0),), 131072, 65536, 80, 81),),
        (),
        (
            MemoryAccess(0, (NodeId(3),), read_bandwidth_mibps=8000, read_latency_ns=250),
            MemoryAccess(1, (NodeId(0), NodeId(1)), read_bandwidth_mibps=4000, write_latency_ns=400),
        ),
        (),
    ]
    assert not made.gaps


def test_by_zero_the_kernel_means_that_it_was_not_told() -> None:
    made = tree(access(0, 0, 0, read_bandwidth=1000, read_latency=0))
    assert with_access(made, nodes(0))[0].access == (MemoryAccess(0, (NodeId(0),), read_bandwidth_mibps=1000),)
    assert parse_performance("0\n") is None


def test_a_number_without_its_kin_is_a_gap() -> None:
    files = access(0, 0, 0, read_latency=80)
    del files[f"{NODE}/node0/access0/initiators/write_latency"]
    made = tree(files)
    assert with_access(made, nodes(0))[0].access == (MemoryAccess(0, (NodeId(0),), read_latency_ns=80),)
    assert gaps(made) == [(f"{NODE}/node0/access0/initiators/write_latency", "not there")]


def test_an_initiator_that_is_no_node_of_the_host_is_a_gap() -> None:
    made = tree(access(0, 0, 0, 7))
    assert with_access(made, nodes(0))[0].access == (MemoryAccess(0, (NodeId(0),)),)
    assert gaps(made) == [(f"{NODE}/node0/access0/initiators", "nodes 7 are not online")]


@pytest.mark.parametrize("text", ["", "\0", "x\n", "-1\n", "99999999999999999999\n", "4294967296\n"])
def test_a_number_that_is_none_is_a_gap(text: str) -> None:
    path = f"{NODE}/node0/access0/initiators/read_latency"
    made = tree(access(0, 0, 0, write_latency=90) | {path: text})
    assert with_access(made, nodes(0))[0].access == (MemoryAccess(0, (NodeId(0),), write_latency_ns=90),)
    assert [what for what, _ in gaps(made)] == [path]


def test_memory_tiers_of_a_captured_host() -> None:
    read = fresh("hwloc-fakeheteromemtiers")
    found = with_access(read, nodes(0, 1, 2, 4, 6, 8, 9))
    assert {node.id: (node.access[0].initiators, node.access[0].read_bandwidth_mibps) for node in found} == {
        0: ((0,), 1000),
        1: ((1,), 1000),
        2: ((2,), 10000),
        4: ((1,), 10000),
        6: ((1,), 100),
        8: ((0,), 100),
        9: ((2,), 100),
    }
    assert {(len(node.access), node.access[0].access, node.access[0].read_latency_ns) for node in found} == {
        (1, 1, None)
    }
    assert not read.gaps
