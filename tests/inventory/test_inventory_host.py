import pytest

from numaplan.inventory.host import read_host
from numaplan.model.host import Source
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, cpu_files, gaps, tree

Files = dict[str, str | To | None]
PF = "sys/devices/pci0000:3a/0000:3b:00.0"
CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"


def test_an_empty_tree_is_read_with_gaps_and_without_a_traceback() -> None:
    snapshot = read_host(tree({"sys": None}))
    assert [str(node.cpus) for node in snapshot.nodes] == [""]
    assert (snapshot.packages, snapshot.cores, snapshot.llcs, snapshot.pci, snapshot.links) == ((), (), (), (), ())
    assert {"sys/devices/system/cpu", "sys/devices/system/cpu/online", NODE, "proc/meminfo"} <= {
        gap.what for gap in snapshot.gaps
    }


def test_nodes_know_the_packages_of_their_cpus() -> None:
    files: Files = cpu_files(8, nodes=2)
    files |= {f"{NODE}/online": "0-2\n", f"{NODE}/node2/cpulist": "\n"}
    files |= {f"{NODE}/node{node}/distance": "10 20 30\n" for node in range(3)}
    snapshot = read_host(tree(files))
    assert [node.packages for node in snapshot.nodes] == [(0,), (1,), ()]
    assert [package.numa_nodes for package in snapshot.packages] == [(0,), (1,)]


def test_an_interface_names_its_function_even_where_the_function_does_not_name_it() -> None:
    files: Files = cpu_files(1)
    files |= {
        "sys/bus/pci/devices/0000:3b:00.0": To("../../../devices/pci0000:3a/0000:3b:00.0"),
        f"{PF}/vendor": "0x8086\n",
        f"{PF}/device": "0x1572\n",
        f"{PF}/class": "0x020000\n",
        "sys/class/net/eth0/device": To("../../../devices/pci0000:3a/0000:3b:00.0"),
    }
    assert [device.netdevs for device in read_host(tree(files)).pci] == [("eth0",)]


def test_a_file_that_was_cut_short_is_a_gap_even_if_what_is_left_makes_sense() -> None:
    made = tree(cpu_files(16) | {"sys/devices/system/cpu/isolated": "2-1"[:1]})
    assert str(read_host(made).cpus.isolated) == "2"
    assert ("sys/devices/system/cpu/isolated", "does not end in a newline: it may be cut short") in gaps(made)


def test_a_capture_that_strips_all_line_ends_is_not_cut_short() -> None:
    files = {path: text.rstrip("\n") if isinstance(text, str) else text for path, text in cpu_files(4).items()}
    assert not [gap for gap in read_host(tree(files)).gaps if "newline" in gap.why]


def test_each_file_is_read_once() -> None:
    store = MadeStore(cpu_files(8, threads=2, nodes=2))
    read_host(HostTree(store, Source.CAPTURE))
    assert len(store.reads) == len(set(store.reads))


@pytest.mark.timeout(60)
def test_every_cpu_with_siblings_of_its_own_does_not_take_forever() -> None:
    count = 2048
    files: Files = cpu_files(1)
    files |= {f"{CPU}/present": f"0-{count - 1}\n", f"{CPU}/online": f"0-{count - 1}\n"}
    for cpu in range(count):
        for name in ("topology/thread_siblings_list", "topology/core_siblings_list", "cache/index3/shared_cpu_list"):
            files[f"{CPU}/cpu{cpu}/{name}"] = f"0-{cpu}\n"
        files |= {f"{CPU}/cpu{cpu}/cache/index3/level": "3\n", f"{CPU}/cpu{cpu}/cache/index3/type": "Unified\n"}
    snapshot = read_host(tree(files))
    assert sum(len(core.cpus) for core in snapshot.cores) == count
