import pytest

from numaplan.cpuset import CpuId, CpuSet
from numaplan.inventory.cpus import read_cpu_states
from numaplan.inventory.hybrid import parse_capacity, with_kinds
from numaplan.inventory.topology import read_topology
from numaplan.model.host import Core, CoreKind, Source
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, fresh, gaps, tree

Files = dict[str, str | To | None]
CPU = "sys/devices/system/cpu"


def cores(*cpus: str) -> tuple[Core, ...]:
    return tuple(Core(CpuSet.parse(each), package=None, numa_node=None, core_id=None, die_id=None) for each in cpus)


def capacities(*values: int) -> Files:
    return {f"{CPU}/cpu{cpu}/cpu_capacity": f"{value}\n" for cpu, value in enumerate(values)}


def test_cores_that_are_alike_have_no_kind_and_no_capacity() -> None:
    made = tree({"sys/devices/cpu/type": "4\n", f"{CPU}/cpu0": None, f"{CPU}/cpu1": None})
    assert with_kinds(made, cores("0", "1")) == cores("0", "1")
    assert not made.gaps


def test_the_counters_of_each_kind_name_its_cpus() -> None:
    made = tree(
        {
            "sys/devices/cpu_core/cpus": "0-3\n",
            "sys/devices/cpu_atom/cpus": "4-5\n",
            "sys/devices/cpu_lowpower/cpus": "6\n",
        }
    )
    read = with_kinds(made, cores("0-1", "2-3", "4", "5", "6"))
    assert [core.kind for core in read] == [
        CoreKind.PERFORMANCE,
        CoreKind.PERFORMANCE,
        CoreKind.EFFICIENCY,
        CoreKind.EFFICIENCY,
        CoreKind.LOW_POWER,
    ]
    assert not made.gaps


def test_a_core_of_no_kind_or_of_two_is_a_gap() -> None:
    made = tree({"sys/devices/cpu_core/cpus": "0-2\n", "sys/devices/cpu_atom/cpus": "2-3\n"})
    read = with_kinds(made, cores("0-1", "2", "3", "4"))
    assert [core.kind for core in read] == [CoreKind.PERFORMANCE, None, CoreKind.EFFICIENCY, None]
    assert [what for what, _ in gaps(made)] == ["sys/devices/cpu_atom/cpus", "sys/devices/cpu_core/cpus"]


@pytest.mark.parametrize("text", ["", "\0", "x\n", "-1\n", "5,3-1\n", "0-99999\n"])
def test_a_broken_list_costs_the_kind_of_its_cores(text: str) -> None:
    made = tree({"sys/devices/cpu_core/cpus": "0\n", "sys/devices/cpu_atom/cpus": text})
    assert [core.kind for core in with_kinds(made, cores("0", "1"))] == [CoreKind.PERFORMANCE, None]
    assert "sys/devices/cpu_atom/cpus" in [what for what, _ in gaps(made)]


def test_capacities_are_read_once_a_core() -> None:
    store = MadeStore(capacities(1024, 1024, 446, 446))
    read = HostTree(store, Source.CAPTURE)
    assert [core.capacity for core in with_kinds(read, cores("0-1", "2-3"))] == [1024, 446]
    assert store.reads == [f"{CPU}/cpu0/cpu_capacity", f"{CPU}/cpu2/cpu_capacity"]
    assert not read.gaps


def test_a_core_without_a_capacity_among_others_with_one_is_a_gap() -> None:
    made = tree({**capacities(1024), f"{CPU}/cpu1": None, f"{CPU}/cpu2/cpu_capacity": "0\n"})
    assert [core.capacity for core in with_kinds(made, cores("0", "1", "2"))] == [1024, None, None]
    assert [what for what, _ in gaps(made)] == [f"{CPU}/cpu1/cpu_capacity", f"{CPU}/cpu2/cpu_capacity"]


@pytest.mark.parametrize("text", ["", "0\n", "1025\n", "-1\n", "x\n"])
def test_what_is_no_capacity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_capacity(text)


def test_no_cores_are_fine() -> None:
    assert with_kinds(tree({"sys": None}), ()) == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nri-sample1", {"0-7": (CoreKind.PERFORMANCE, None), "8-15": (CoreKind.EFFICIENCY, None)}),
        ("lscpu-arm-A510-A710-A715-X3", {"0-2": (None, 280), "3-6": (None, 855), "7": (None, 1024)}),
        ("hwloc-128arm-2pa2n8cluster4co", {"0-127": (None, 1024)}),
        ("host-flat", {"0-15": (None, None)}),
    ],
)
def test_captured_hosts_have_kinds_and_capacities(
    name: str, expected: dict[str, tuple[CoreKind | None, int | None]]
) -> None:
    read = fresh(name)
    found = read_topology(read, read_cpu_states(read).online, {}).cores
    before = read.gaps
    groups: dict[tuple[CoreKind | None, int | None], set[CpuId]] = {}
    for core in with_kinds(read, found):
        groups.setdefault((core.kind, core.capacity), set()).update(core.cpus)
    assert {str(CpuSet(cpus)): what for what, cpus in groups.items()} == expected
    assert read.gaps == before
