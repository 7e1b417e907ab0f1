import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.cpusets import Mount, parse_mounts, parse_partition, read_cpusets
from numaplan.model.host import NodeId
from numaplan.model.kernel import Cpuset
from tests.inventory.trees import To, fresh, gaps, tree

Files = dict[str, str | To | None]
ROOT = "sys/fs/cgroup"
MOUNTED: Files = {"proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"}
GUEST = "machine-qemu\\x2d1\\x2dvm1.scope"


def group(folder: str, *, cpus: str = "", effective: str = "0-15", mems: str = "", nodes: str = "0-1") -> Files:
    return {
        f"{folder}/cpuset.cpus": f"{cpus}\n",
        f"{folder}/cpuset.cpus.effective": f"{effective}\n",
        f"{folder}/cpuset.mems": f"{mems}\n",
        f"{folder}/cpuset.mems.effective": f"{nodes}\n",
        f"{folder}/cpuset.cpus.partition": "member\n",
    }


def unified() -> Files:
    return {
        **MOUNTED,
        f"{ROOT}/cpuset.cpus.effective": "0-15\n",
        f"{ROOT}/cpuset.mems.effective": "0-1\n",
        f"{ROOT}/init.scope": None,
    }


ROOT_GROUP = Cpuset("/", CpuSet.parse("0-15"), (NodeId(0), NodeId(1)))


def test_the_root_has_what_is_effective() -> None:
    made = tree(unified())
    assert read_cpusets(made) == (ROOT_GROUP,)
    assert not made.gaps


def test_groups_that_ask_for_nothing_have_what_their_parent_has_and_are_left_out() -> None:
    made = tree(
        unified() | group(f"{ROOT}/machine.slice") | group(f"{ROOT}/user.slice") | {f"{ROOT}/system.slice": None}
    )
    assert read_cpusets(made) == (ROOT_GROUP,)
    assert not made.gaps


def test_slices_and_guests_that_are_confined_are_told_by_path() -> None:
    files = unified()
    files |= group(f"{ROOT}/system.slice", cpus="0-1", effective="0-1")
    files |= group(f"{ROOT}/machine.slice", cpus="2-15", effective="2-15")
    files |= group(f"{ROOT}/machine.slice/{GUEST}", mems="1", nodes="1")
    files |= group(f"{ROOT}/machine.slice/{GUEST}/libvirt", cpus="8-11,99", effective="8-11")
    files |= group(f"{ROOT}/machine.slice/machine-prod.slice/machine-qemu\\x2d2\\x2dvm2.scope", cpus="4", effective="4")
    files |= group(f"{ROOT}/machine.slice/other.service", cpus="5", effective="5")
    made = tree(files)
    assert [(each.path, str(each.cpus), each.nodes) for each in read_cpusets(made)] == [
        ("/", "0-15", (0, 1)),
        ("/machine.slice", "2-15", None),
        ("/machine.slice/machine-prod.slice/machine-qemu\\x2d2\\x2dvm2.scope", "4", None),
        (f"/machine.slice/{GUEST}", "None", (1,)),
        (f"/machine.slice/{GUEST}/libvirt", "8-11", None),
        ("/system.slice", "0-1", None),
    ]
    assert not made.gaps


def test_a_hierarchy_that_has_the_controller_has_its_files() -> None:
    read = fresh("hwloc-32amd64-4s2n4c-cgroup2")
    assert read_cpusets(read) == ()
    assert gaps(read) == [
        ("cgroup/unified/cpuset.cpus.effective", "not there"),
        ("cgroup/unified/cpuset.mems.effective", "not there"),
    ]


def test_guests_stand_elsewhere_without_systemd() -> None:
    made = tree(unified() | group(f"{ROOT}/machine/prod.partition/qemu-1-vm1.libvirt-qemu", cpus="4", effective="4"))
    assert [each.path for each in read_cpusets(made)] == ["/", "/machine/prod.partition/qemu-1-vm1.libvirt-qemu"]


def test_a_partition_has_cpus_of_its_own_even_where_it_asks_for_none() -> None:
    files = unified() | group(f"{ROOT}/machine.slice", effective="4-7")
    files[f"{ROOT}/machine.slice/cpuset.cpus.partition"] = "isolated\n"
    assert read_cpusets(tree(files))[1] == Cpuset("/machine.slice", CpuSet.parse("4-7"), None, "isolated")


def test_a_partition_that_the_kernel_refuses_says_why() -> None:
    files = unified() | group(f"{ROOT}/machine.slice", cpus="4-7", effective="4-7")
    files[f"{ROOT}/machine.slice/cpuset.cpus.partition"] = "root invalid (Parent is not a partition root)\n"
    assert read_cpusets(tree(files))[1].partition == "root invalid (Parent is not a partition root)"


def test_the_root_of_a_container_is_not_the_hosts() -> None:
    made = tree({**MOUNTED, **group(ROOT, cpus="2-3", effective="2-3")})
    assert [str(each.cpus) for each in read_cpusets(made)] == ["2-3"]
    assert gaps(made) == [(ROOT, "not the host's root group: it is seen from within a container")]


def test_in_version_1_an_empty_list_means_nothing_may_run_there() -> None:
    root = f"{ROOT}/cpuset"
    made = tree(
        {
            "proc/mounts": "c /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\nc /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            f"{ROOT}/unified/cgroup.procs": "1\n",
            f"{root}/cpuset.cpus": "0-7\n",
            f"{root}/cpuset.effective_cpus": "0-6\n",
            f"{root}/cpuset.mems": "0\n",
            f"{root}/machine.slice/cpuset.cpus": "\n",
            f"{root}/machine.slice/cpuset.mems": "\n",
        }
    )
    assert read_cpusets(made) == (
        Cpuset("/", CpuSet.parse("0-6"), (NodeId(0),)),
        Cpuset("/machine.slice", CpuSet(), ()),
    )
    assert not made.gaps


def test_without_mounts_the_usual_places_are_tried() -> None:
    files = unified()
    del files["proc/mounts"]
    assert read_cpusets(tree(files)) == (ROOT_GROUP,)
    assert [each.path for each in read_cpusets(tree({"dev/cpuset/cpus": "0-3\n", "dev/cpuset/mems": "0\n"}))] == ["/"]


def test_a_host_without_the_controller_says_nothing() -> None:
    made = tree({**MOUNTED, f"{ROOT}/cgroup.controllers": "cpu io memory\n", f"{ROOT}/machine.slice": None})
    assert read_cpusets(made) == ()
    assert not made.gaps


def test_a_group_whose_name_is_no_text_costs_that_group() -> None:
    made = tree(unified() | group(f"{ROOT}/machine.slice/machine-\x1b[2J.scope", cpus="1", effective="1"))
    assert read_cpusets(made) == (ROOT_GROUP,)
    assert [what for what, _ in gaps(made)] == [f"{ROOT}/machine.slice"]


def test_groups_are_counted() -> None:
    files = unified() | {f"{ROOT}/machine.slice/machine-{number}.scope": None for number in range(5000)}
    made = tree(files)
    assert read_cpusets(made) == (ROOT_GROUP,)
    assert gaps(made) == [(ROOT, "more than 4096 groups: the others are left out")]


def test_mount_points_are_unescaped() -> None:
    assert parse_mounts("none /a\\040b cgroup2 rw,x 0 0\n") == (Mount("a b", "cgroup2", ("rw", "x")),)


@pytest.mark.parametrize("text", ["", "\0", "garbage\n", "-1\n", "a b c d\n"])
def test_mounts_that_are_none_are_a_gap_where_no_usual_place_has_the_controller(text: str) -> None:
    made = tree({"proc/mounts": text})
    assert read_cpusets(made) == ()
    assert [what for what, _ in gaps(made)] == ["proc/mounts"]


def test_mounts_are_not_opened_where_a_usual_place_has_the_controller() -> None:
    made = tree({**unified(), "proc/mounts": "garbage\n"})
    assert read_cpusets(made) == (ROOT_GROUP,)
    assert "proc/mounts" not in made.opened
    assert gaps(made) == []


@pytest.mark.parametrize("text", ["", "other\n", "member\x1b[2J\n", "0\n", "root " + "x" * 300])
def test_what_is_no_kind_of_partition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="partition"):
        parse_partition(text)


@pytest.mark.parametrize(
    ("name", "cpus"),
    [
        ("hwloc-fakeheteromemtiers", "0-5"),
        ("hwloc-32intel64-2p8co2t+8ve", "0-31"),
        ("hwloc-40intel64-2g2n4c+pcilocality", "0-39"),
        # Its one group holds the process that took the capture, and is none of a host's services.
        ("hwloc-16amd64-8n2c-cpusets", None),
    ],
)
def test_captured_hosts_have_a_root(name: str, cpus: str | None) -> None:
    read = fresh(name)
    expected = [] if cpus is None else [("/", cpus)]
    assert [(each.path, str(each.cpus)) for each in read_cpusets(read)] == expected
    assert not read.gaps
