"""The kernel's settings, of hosts made of a few files and of captured ones; and every file of a whole host broken."""

import errno
import os
from dataclasses import dataclass

import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.cpus import read_cpu_states
from numaplan.inventory.hmat import with_access
from numaplan.inventory.hybrid import with_kinds
from numaplan.inventory.identity import read_identity
from numaplan.inventory.kernel import parse_choice, parse_default_page_kib, parse_smt_control, read_kernel
from numaplan.model.host import Core, CpuStates, HostIdentity, NodeId, NumaNode, Source
from numaplan.model.kernel import Isolcpus, Kernel, Ksm, Smt, TransparentHugepages
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, fresh, gaps, tree

Files = dict[str, str | To | None]
CPU = "sys/devices/system/cpu"
MM = "sys/kernel/mm"
VM = "proc/sys/vm"
GROUPS = "sys/kernel/iommu_groups"
# Files that every kernel has.
BASE: Files = {"proc/cmdline": "quiet\n", "proc/meminfo": "MemTotal: 1 kB\n"}
STATES = CpuStates(present=CpuSet.parse("0-3"), online=CpuSet.parse("0-3"))

WHOLE: Files = {
    "proc/cmdline": "quiet iommu=pt isolcpus=nohz,domain,2-N nohz_full=2-3 rcu_nocbs=2-3 irqaffinity=0-1\n",
    "proc/meminfo": "MemTotal:       16303560 kB\nHugepagesize:       2048 kB\n",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: X\nflags\t\t: fpu vmx constant_tsc\n",
    "proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
    "proc/sys/kernel/hostname": "kvm01\n",
    "proc/sys/kernel/osrelease": "6.12.0\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    f"{VM}/zone_reclaim_mode": "0\n",
    f"{VM}/overcommit_memory": "1\n",
    f"{CPU}/possible": "0-7\n",
    f"{CPU}/smt/control": "on\n",
    f"{CPU}/smt/active": "1\n",
    f"{CPU}/vulnerabilities/l1tf": "Mitigation: PTE Inversion; VMX: conditional cache flushes, SMT vulnerable\n",
    f"{CPU}/vulnerabilities/mds": "Vulnerable; SMT Host state unknown\n",
    **{
        f"{CPU}/vulnerabilities/{name}": "Not affected\n"
        for name in ("meltdown", "spectre_v1", "spectre_v2", "spec_store_bypass")
    },
    f"{MM}/transparent_hugepage/enabled": "always [madvise] never\n",
    f"{MM}/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
    f"{MM}/ksm/run": "1\n",
    f"{MM}/ksm/merge_across_nodes": "0\n",
    f"{MM}/ksm/pages_sharing": "12345\n",
    "sys/class/iommu/dmar0": To("../../devices/virtual/iommu/dmar0"),
    "sys/class/misc/kvm": To("../../devices/virtual/misc/kvm"),
    "sys/devices/virtual/misc/kvm": None,
    "sys/module/kvm_intel/parameters/nested": "Y\n",
    "sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory\n",
    "sys/fs/cgroup/cpuset.cpus.effective": "0-3\n",
    "sys/fs/cgroup/cpuset.mems.effective": "0\n",
    "sys/fs/cgroup/machine.slice/cpuset.cpus": "2-3\n",
    "sys/fs/cgroup/machine.slice/cpuset.cpus.effective": "2-3\n",
    "sys/fs/cgroup/machine.slice/cpuset.mems": "0\n",
    "sys/fs/cgroup/machine.slice/cpuset.mems.effective": "0\n",
    "sys/fs/cgroup/machine.slice/cpuset.cpus.partition": "root\n",
    "sys/devices/cpu_core/cpus": "0-1\n",
    "sys/devices/cpu_atom/cpus": "2-3\n",
    "sys/devices/system/node/node0/access0/initiators/node0": To("../../../node0"),
    "sys/devices/system/node/node0/access0/initiators/read_bandwidth": "100\n",
    "sys/devices/system/node/node0/access0/initiators/write_bandwidth": "100\n",
    "sys/devices/system/node/node0/access0/initiators/read_latency": "80\n",
    "sys/devices/system/node/node0/access0/initiators/write_latency": "80\n",
    **{f"{CPU}/cpu{cpu}/cpu_capacity": f"{1024 - cpu}\n" for cpu in range(4)},
    **{
        f"{CPU}/cpufreq/policy{cpu}/{name}": f"{value}\n"
        for cpu in range(4)
        for name, value in {
            "affected_cpus": cpu,
            "scaling_driver": "intel_pstate",
            "scaling_governor": "performance",
            "scaling_min_freq": 800000,
            "scaling_max_freq": 3500000,
            "cpuinfo_min_freq": 800000,
            "cpuinfo_max_freq": 3900000,
            "base_frequency": 2100000,
            "energy_performance_preference": "performance",
        }.items()
    },
}


@dataclass(frozen=True)
class Everything:
    kernel: Kernel
    cores: tuple[Core, ...]
    nodes: tuple[NumaNode, ...]
    host: HostIdentity


def everything(read: HostTree) -> Everything:
    cores = [Core(CpuSet((cpu,)), package=None, numa_node=None, core_id=None, die_id=None) for cpu in STATES.online]
    return Everything(
        read_kernel(read, cpus=STATES),
        with_kinds(read, cores),
        with_access(read, [NumaNode(NodeId(0), packages=(), cpus=STATES.online)]),
        read_identity(read, device_groups=False),
    )


def kernel(files: Files) -> Kernel:
    return read_kernel(tree(BASE | files), cpus=STATES)


def test_every_setting_of_a_whole_host_is_read_and_nothing_is_a_gap() -> None:
    made = tree(WHOLE)
    read = everything(made).kernel
    assert not made.gaps
    assert read.isolcpus == Isolcpus(("nohz", "domain"), CpuSet.parse("2-7"))
    assert (str(read.rcu_nocbs), str(read.irq_affinity), read.default_hugepage_kib) == ("2-3", "0-1", 2048)
    assert (read.iommu, read.iommu_passthrough) == ("intel", True)
    assert read.smt == Smt("on", active=True)
    assert read.transparent_hugepages == TransparentHugepages("madvise", "madvise")
    assert read.ksm == Ksm(1, merge_across_nodes=False, pages_sharing=12345)
    assert (read.numa_balancing, read.zone_reclaim_mode, read.overcommit_memory) == (1, 0, 1)
    assert [each.name for each in read.vulnerabilities if each.smt_vulnerable] == ["l1tf"]
    assert [each.path for each in read.cpusets] == ["/", "/machine.slice"]
    assert [str(each.cpus) for each in read.frequencies] == ["0-3"]
    assert read.values("nohz_full") == ("2-3",)


def test_a_kernel_that_says_nothing_is_believed() -> None:
    made = tree({**BASE, "proc/cmdline": "\n"})
    assert read_kernel(made, cpus=STATES) == Kernel()
    assert not made.gaps


FAULTS: dict[str, int | bytes] = {
    "gone": errno.ENOENT,
    "forbidden": errno.EACCES,
    "broken": errno.EIO,
    "refused": errno.EINVAL,
    "busy": errno.EBUSY,
    "empty": b"",
    "garbage": b"\xff\xfegarbage\x1b[2J",
    "NUL": b"\0\0\0\0",
    "minus one": b"-1\n",
    "huge": b"99999999999999999999\n",
    "backwards": b"5,3-1,7\n",
}
ANY_TEXT_WILL_DO = {"proc/cmdline", "proc/sys/kernel/hostname", "proc/sys/kernel/osrelease", "proc/sys/kernel/arch"}


@dataclass
class Faulty(MadeStore):
    path: str = ""
    fault: int | bytes = b""

    def read(self, path: str) -> bytes:
        if path != self.path:
            return super().read(path)
        if isinstance(self.fault, int):
            raise OSError(self.fault, os.strerror(self.fault), path)
        return self.fault


def opened() -> tuple[str, ...]:
    made = tree(WHOLE)
    everything(made)
    return made.opened


@pytest.mark.parametrize("kind", FAULTS)
def test_no_fact_changes_without_a_gap_that_names_the_file(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numaplan.sources.tree._PAUSE_S", 0)
    whole = everything(tree(WHOLE))
    silent = []
    for path in opened():
        if path in ANY_TEXT_WILL_DO and kind in {"minus one", "huge", "backwards"}:
            continue
        read = HostTree(Faulty(WHOLE, path=path, fault=FAULTS[kind]), Source.CAPTURE)
        if everything(read) != whole and path not in [gap.what for gap in read.gaps]:
            silent.append(path)
    assert not silent


# Files whose absence is a fact: kernels, and drivers, of which nothing else tells that they should have them.
OPTIONAL = (
    "proc/mounts",
    "proc/sys/",
    "sys/kernel/mm/ksm/merge_across_nodes",
    "sys/kernel/mm/transparent_hugepage/defrag",
    "sys/devices/system/cpu/vulnerabilities/mds",
)


def test_a_file_that_must_be_there_is_missed() -> None:
    whole = everything(tree(WHOLE))
    silent = []
    for path in opened():
        read = tree({other: text for other, text in WHOLE.items() if other != path} | {path.rpartition("/")[0]: None})
        if everything(read) != whole and path not in [gap.what for gap in read.gaps]:
            silent.append(path)
    assert [path for path in silent if not path.startswith(OPTIONAL)] == []


def test_every_file_is_read_once() -> None:
    store = MadeStore(WHOLE)
    everything(HostTree(store, Source.CAPTURE))
    assert len(store.reads) == len(set(store.reads))


def test_a_thousand_cpus_cost_eight_files_a_policy_and_a_few_for_the_host() -> None:
    files = {path: text for path, text in WHOLE.items() if "policy" not in path and "cpu_capacity" not in path}
    for cpu in range(1024):
        files |= {
            f"{CPU}/cpufreq/policy{cpu}/{path.rpartition('/')[2]}": text
            for path, text in WHOLE.items()
            if "policy0" in path
        }
        files[f"{CPU}/cpufreq/policy{cpu}/affected_cpus"] = f"{cpu}\n"
    store = MadeStore(files)
    cpus = CpuSet(range(1024))
    read = read_kernel(HostTree(store, Source.CAPTURE), cpus=CpuStates(present=cpus, online=cpus))
    assert [str(each.cpus) for each in read.frequencies] == ["0-1023"]
    assert len(store.reads) <= 8 * 1024 + 32


@pytest.mark.parametrize(
    ("files", "driver", "passthrough"),
    [
        ({}, None, None),
        ({"sys/class/iommu": None, "proc/cmdline": "intel_iommu=on iommu=pt\n"}, None, None),
        ({GROUPS: None, "proc/cmdline": "intel_iommu=on iommu=pt\n"}, None, None),
        ({"proc/cmdline": "intel_iommu=on iommu=pt\n"}, "intel", True),
        ({"proc/cmdline": "intel_iommu=on,sm_on\n"}, "intel", None),
        ({"proc/cmdline": "intel_iommu=off iommu=pt\n"}, None, None),
        ({"sys/class/iommu/dmar1": None, "sys/class/iommu/dmar0": None}, "intel", None),
        ({"sys/class/iommu/ivhd0": None, "proc/cmdline": "iommu=nopt\n"}, "amd", False),
        ({"sys/class/iommu/smmu3.0x0000000009050000": None}, "arm-smmu-v3", None),
        ({"sys/class/iommu/smmu.0x2b400000": None}, "iommu", None),
        ({"sys/class/iommu/0000:00:02.0": None}, "iommu", None),
        (
            {"sys/class/iommu/dmar0": None, f"{GROUPS}/0/type": "DMA-FQ\n", f"{GROUPS}/1/type": "identity\n"},
            "intel",
            False,
        ),
        (
            {"sys/class/iommu/dmar0": None, f"{GROUPS}/0/type": "identity\n", f"{GROUPS}/1/type": "DMA\n"},
            "intel",
            False,
        ),
        (
            {"sys/class/iommu/dmar0": None, f"{GROUPS}/0/type": "identity\n", f"{GROUPS}/1/type": "identity\n"},
            "intel",
            True,
        ),
        ({"sys/class/iommu/dmar0": None, f"{GROUPS}/0/devices": None}, "intel", None),
    ],
)
def test_the_iommu_is_the_one_whose_units_are_there(
    files: Files, driver: str | None, *, passthrough: bool | None
) -> None:
    read = kernel(files)
    assert (read.iommu, read.iommu_passthrough) == (driver, passthrough)


def test_as_a_rule_one_group_tells_whether_the_host_is_translated() -> None:
    files = {"sys/class/iommu/dmar0": None, **{f"{GROUPS}/{group}/type": "DMA-FQ\n" for group in range(300)}}
    store = MadeStore(BASE | files)
    assert read_kernel(HostTree(store, Source.CAPTURE), cpus=STATES).iommu_passthrough is False
    assert [path for path in store.reads if path.startswith(GROUPS)] == [f"{GROUPS}/0/type"]


@pytest.mark.parametrize(
    ("files", "size"),
    [
        (
            {
                "proc/meminfo": "MemTotal: 1 kB\nHugepagesize:    1048576 kB\n",
                "proc/cmdline": "default_hugepagesz=2M\n",
            },
            1 << 20,
        ),
        ({"proc/meminfo": "MemTotal: 1 kB\n"}, None),
        ({"proc/cmdline": "default_hugepagesz=2M default-hugepagesz=1G\n"}, 1 << 20),
        ({}, None),
    ],
)
def test_the_default_hugepage_is_what_the_kernel_has_else_what_was_asked_for(files: Files, size: int | None) -> None:
    assert kernel(files).default_hugepage_kib == size


def test_a_page_size_at_boot_that_is_none_is_a_gap() -> None:
    made = tree({**BASE, "proc/cmdline": "default_hugepagesz=big\n"})
    assert read_kernel(made, cpus=STATES).default_hugepage_kib is None
    assert [what for what, _ in gaps(made)] == ["proc/cmdline"]


@pytest.mark.parametrize(
    "text",
    ["", "Hugepagesize: 2048 kB\n", "MemTotal: 1 kB\nHugepagesize: 2M\n", "MemTotal: 1 kB\nHugepagesize: 0 kB\n"],
)
def test_a_meminfo_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_default_page_kib(text)


@pytest.mark.parametrize("word", ["on", "off", "forceoff", "notsupported", "notimplemented", "4"])
def test_smt_is_controlled_by_a_word_or_a_number_of_threads(word: str) -> None:
    assert parse_smt_control(f"{word}\n") == word


@pytest.mark.parametrize("text", ["", "maybe\n", "0\n", "-1\n", "on off\n"])
def test_other_words_do_not_control_smt(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_smt_control(text)


@pytest.mark.parametrize(
    "text", ["", "always never\n", "[always] [never]\n", "[always\n", "[] never\n", "1\n", "\x1b[2J\n"]
)
def test_a_choice_has_one_word_in_brackets(text: str) -> None:
    with pytest.raises(ValueError, match="brackets"):
        parse_choice(text)


def captured(name: str) -> Kernel:
    read = fresh(name)
    return read_kernel(read, cpus=read_cpu_states(read))


def test_the_lab_host_is_set_up_as_it_was_booted() -> None:
    read = captured("host-flat")
    assert (read.iommu, read.iommu_passthrough, read.default_hugepage_kib) == ("intel", True, 2048)
    assert (read.smt, read.numa_balancing, read.transparent_hugepages.enabled) == (Smt("on", active=True), 1, "always")
    assert read.values("hugepages") == ("0:1,1:1", "0:256,1:256")
    statuses = {each.name: each for each in read.vulnerabilities}
    assert len(statuses) == 17
    assert statuses["mds"].status == "Vulnerable; SMT Host state unknown"
    assert not any(each.smt_vulnerable for each in read.vulnerabilities)


def test_a_captured_telco_host_isolates_from_managed_interrupts_only() -> None:
    read = captured("ocp-bare-metal_worker1.internal")
    assert read.isolcpus == Isolcpus(("managed_irq",), CpuSet.parse("0-4,11-79"))
    assert (str(read.rcu_nocbs), read.default_hugepage_kib) == ("0-4,11-79", 1 << 20)
    assert (read.iommu, read.iommu_passthrough) == ("intel", True)
