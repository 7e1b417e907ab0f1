import errno
import os

import pytest

from numaplan.cpuset import CpuSet
from numaplan.inventory.frequencies import parse_cpu_words, parse_khz, parse_name, parse_preference, read_frequencies
from numaplan.model.host import Source
from numaplan.model.kernel import FrequencyPolicy
from numaplan.sources.tree import HostTree
from tests.inventory.trees import MadeStore, To, fresh, gaps, tree

Files = dict[str, str | To | None]
CPU = "sys/devices/system/cpu"
POLICIES = f"{CPU}/cpufreq"


def policy(folder: str, cpus: str, **changes: str | None) -> Files:
    facts: dict[str, str | None] = {
        "affected_cpus": cpus,
        "related_cpus": cpus,
        "scaling_driver": "intel_pstate",
        "scaling_governor": "powersave",
        "scaling_min_freq": "800000",
        "scaling_max_freq": "3500000",
        "cpuinfo_min_freq": "800000",
        "cpuinfo_max_freq": "3900000",
        "scaling_cur_freq": "1234567",
        "base_frequency": "2100000",
        "energy_performance_preference": "balance_performance",
        **changes,
    }
    return {f"{folder}/{name}": f"{value}\n" for name, value in facts.items() if value is not None}


def hosted(*cpus: int, **changes: str | None) -> Files:
    files: Files = {}
    for cpu in cpus:
        files |= policy(f"{POLICIES}/policy{cpu}", str(cpu), **changes)
        files[f"{CPU}/cpu{cpu}/cpufreq"] = To(f"../cpufreq/policy{cpu}")
    return files


EVERYDAY = FrequencyPolicy(
    CpuSet.parse("0-3"),
    driver="intel_pstate",
    governor="powersave",
    min_khz=800000,
    max_khz=3500000,
    hardware_min_khz=800000,
    hardware_max_khz=3900000,
    base_khz=2100000,
    energy_preference="balance_performance",
)


def test_policies_that_agree_are_one() -> None:
    made = tree(hosted(0, 1, 2, 3))
    assert read_frequencies(made, CpuSet.parse("0-3")) == (EVERYDAY,)
    assert not made.gaps


def test_policies_that_differ_are_several_by_their_lowest_cpu() -> None:
    read = read_frequencies(tree(hosted(1, 3, scaling_governor="performance") | hosted(0, 2)), CpuSet.parse("0-3"))
    assert [(str(each.cpus), each.governor) for each in read] == [("0,2", "powersave"), ("1,3", "performance")]


def test_a_policy_may_have_several_cpus() -> None:
    made = tree(policy(f"{POLICIES}/policy0", "0 1 2 3"))
    assert read_frequencies(made, CpuSet.parse("0-2"))[0].cpus == CpuSet.parse("0-2")
    assert not made.gaps


def test_a_host_that_does_not_scale_says_nothing() -> None:
    made = tree({f"{POLICIES}": None, f"{CPU}/cpu0": None})
    assert read_frequencies(made, CpuSet.parse("0")) == ()
    assert not made.gaps


def test_what_a_driver_does_not_offer_is_none() -> None:
    made = tree(hosted(0, base_frequency=None, energy_performance_preference=None))
    (read,) = read_frequencies(made, CpuSet.parse("0"))
    assert (read.base_khz, read.energy_preference, read.governor) == (None, None, "powersave")
    assert not made.gaps


def test_policies_of_offline_cpus_are_not_asked() -> None:
    class Inactive(MadeStore):
        def read(self, path: str) -> bytes:
            assert "policy1/" not in path
            return super().read(path)

    read = HostTree(Inactive(hosted(0, 1)), Source.CAPTURE)
    assert [str(each.cpus) for each in read_frequencies(read, CpuSet.parse("0"))] == ["0"]
    assert not read.gaps


def test_a_policy_named_after_an_offline_cpu_is_found_by_the_online_one() -> None:
    made = tree(policy(f"{POLICIES}/policy0", "1") | {f"{CPU}/cpu1/cpufreq": To("../cpufreq/policy0")})
    assert [str(each.cpus) for each in read_frequencies(made, CpuSet.parse("1"))] == ["1"]
    assert not made.gaps


def test_kernels_before_4_3_have_policies_below_their_cpus() -> None:
    files: Files = policy(f"{CPU}/cpu0/cpufreq", "0 1") | policy(f"{CPU}/cpu2/cpufreq", "2", scaling_governor="x")
    files[f"{CPU}/cpu1/cpufreq"] = To("../cpu0/cpufreq")
    made = tree(files)
    assert [(str(each.cpus), each.governor) for each in read_frequencies(made, CpuSet.parse("0-2"))] == [
        ("0-1", "powersave"),
        ("2", "x"),
    ]
    assert not made.gaps


def test_a_cpu_without_a_policy_among_others_with_one_is_a_gap() -> None:
    made = tree(hosted(0, 1))
    assert [str(each.cpus) for each in read_frequencies(made, CpuSet.parse("0-3"))] == ["0-1"]
    assert gaps(made) == [(POLICIES, "CPUs 2-3 are in no policy")]


def test_a_cpu_of_two_policies_stays_in_the_lower_one() -> None:
    made = tree(policy(f"{POLICIES}/policy0", "0 1") | policy(f"{POLICIES}/policy1", "1", scaling_governor="x"))
    assert [str(each.cpus) for each in read_frequencies(made, CpuSet.parse("0-1"))] == ["0-1"]
    assert gaps(made) == [(f"{POLICIES}/policy1/affected_cpus", "CPUs 1 are in another policy too")]


def test_the_related_cpus_help_where_the_affected_ones_are_broken() -> None:
    made = tree(policy(f"{POLICIES}/policy0", "0 1", affected_cpus="?"))
    assert [str(each.cpus) for each in read_frequencies(made, CpuSet.parse("0-1"))] == ["0-1"]
    assert [what for what, _ in gaps(made)] == [f"{POLICIES}/policy0/affected_cpus"]


def test_a_driver_is_read_once_and_the_current_speed_never() -> None:
    store = MadeStore(hosted(*range(64)))
    read_frequencies(HostTree(store, Source.CAPTURE), CpuSet(range(64)))
    assert len([path for path in store.reads if path.endswith("scaling_driver")]) == 1
    assert not [path for path in store.reads if "cur_freq" in path]
    assert len(store.reads) == 8 * 64 + 1


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EIO, errno.EINVAL, errno.EACCES, errno.ENOENT])
def test_a_policy_that_answers_with_an_error_is_a_gap(number: int) -> None:
    path = f"{POLICIES}/policy0/scaling_governor"

    class Refusing(MadeStore):
        def read(self, path_: str) -> bytes:
            if path_ == path:
                raise OSError(number, os.strerror(number), path_)
            return super().read(path_)

    read = HostTree(Refusing(hosted(0)), Source.CAPTURE)
    (only,) = read_frequencies(read, CpuSet.parse("0"))
    assert (only.governor, only.max_khz) == (None, 3500000)
    assert [what for what, _ in gaps(read)] == [path]


@pytest.mark.parametrize("text", ["", "x", "0-3", "-1", "9000"])
def test_words_that_are_no_cpus_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_cpu_words(text)


@pytest.mark.parametrize("text", ["", "<unknown>\n", "-1\n", "4294967295\n", "\0"])
def test_what_is_no_frequency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_khz(text)


@pytest.mark.parametrize("text", ["", "-1\n", "5,3-1,7\n", "two words\n", "\x1b[2J\n", "x" * 40])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        parse_name(text)


def test_a_preference_is_a_word_or_the_hardwares_own_number() -> None:
    assert [parse_preference(text) for text in ("balance_power\n", "128\n")] == ["balance_power", "128"]
    with pytest.raises(ValueError, match="255"):
        parse_preference("256\n")


@pytest.mark.parametrize(
    ("name", "online", "expected"),
    [
        (
            "hwloc-20em64t-hybrid-1p6c2t+2ca4co1t",
            "0-19",
            {"0-3,6-7,10-11": 5000000, "4-5,8-9": 5200000, "12-19": 3900000},
        ),
        ("lscpu-arm-A510-A710-A715-X3", "0-7", {"0-2": 1017600, "3-6": 1056000, "7": 998400}),
        ("hwloc-48amd64-4pa2n6c-sparse", "0-47", {"0-47": 1700000}),
        ("lscpu-x86_64-64cpu", "0-63", {"0-63": 1996000}),
    ],
)
def test_captured_hosts_scale(name: str, online: str, expected: dict[str, int]) -> None:
    read = fresh(name)
    policies = read_frequencies(read, CpuSet.parse(online))
    assert {str(each.cpus): each.max_khz for each in policies} == expected
    assert not read.gaps
