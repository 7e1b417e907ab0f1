import pytest

from numaplan.inventory.cpus import (
    parse_isolated,
    parse_isolcpus,
    parse_nohz_full_parameter,
    parse_switch,
    read_cpu_states,
)
from tests.inventory.trees import absent, flaws, tree

CPU = "sys/devices/system/cpu"


def folders(count: int) -> dict[str, None]:
    return {f"{CPU}/cpu{cpu}": None for cpu in range(count)}


def test_the_lists_of_the_kernel_decide() -> None:
    made = tree({**folders(8), f"{CPU}/present": "0-7\n", f"{CPU}/online": "0-4,6-7\n", f"{CPU}/isolated": "2-3\n"})
    states = read_cpu_states(made)
    assert (str(states.present), str(states.online), str(states.offline)) == ("0-7", "0-4,6-7", "5")
    assert str(states.isolated) == "2-3"
    assert not flaws(made)


def test_cpu_0_can_be_offline() -> None:
    states = read_cpu_states(tree({**folders(3), f"{CPU}/online": "1-2\n"}))
    assert (str(states.online), str(states.offline)) == ("1-2", "0")


def test_without_lists_each_cpu_says_whether_it_is_online() -> None:
    made = tree({**folders(4), f"{CPU}/cpu1/online": "0\n", f"{CPU}/cpu2/online": "1\n"})
    states = read_cpu_states(made)
    assert (str(states.present), str(states.online)) == ("0-3", "0,2-3")
    assert not flaws(made)


def test_without_an_online_list_the_offline_list_counts() -> None:
    states = read_cpu_states(tree({**folders(4), f"{CPU}/offline": "2\n"}))
    assert str(states.online) == "0-1,3"


def test_a_cpu_that_the_list_claims_without_a_folder_is_left_out_with_a_gap() -> None:
    made = tree({**folders(2), f"{CPU}/present": "0-3\n", f"{CPU}/online": "0-3\n"})
    assert str(read_cpu_states(made).online) == "0-1"
    assert flaws(made) == [(f"{CPU}/online", "CPUs 2-3 have no folder and are left out")]


def test_a_broken_online_list_is_a_gap_and_the_folders_decide() -> None:
    made = tree({**folders(2), f"{CPU}/present": "0-1\n", f"{CPU}/online": "0-4294967295\n"})
    assert str(read_cpu_states(made).online) == "0-1"
    assert flaws(made) == [(f"{CPU}/online", "no list of ids: '0-4294967295\\n'")]


def test_a_list_that_contradicts_a_cpus_own_file_is_a_gap() -> None:
    made = tree({**folders(2), f"{CPU}/online": "0\n", f"{CPU}/cpu1/online": "1\n"})
    assert str(read_cpu_states(made).online) == "0"
    assert flaws(made) == [(f"{CPU}/online", "CPU 1 is not in it, but cpu1/online says 1")]


def test_an_online_cpu_that_is_not_present_is_a_gap() -> None:
    made = tree({**folders(2), f"{CPU}/present": "0\n", f"{CPU}/online": "0-1\n"})
    assert str(read_cpu_states(made).present) == "0-1"
    assert flaws(made) == [(f"{CPU}/present", "CPUs 1 are online but not in it")]


def test_a_host_without_any_cpu_is_a_gap() -> None:
    made = tree({"sys": None})
    assert not len(read_cpu_states(made).present)
    assert flaws(made) == [(CPU, "no CPU is online")]


def test_ids_beyond_any_kernels_are_gaps() -> None:
    made = tree({**folders(1), f"{CPU}/cpu9999": None, f"{CPU}/cpufreq": None, f"{CPU}/cpu01": None})
    assert str(read_cpu_states(made).present) == "0"
    assert flaws(made) == [(f"{CPU}/cpu9999", "an id of 8192 or more")]


@pytest.mark.parametrize("text", ["  (null)\n", "(null)\n", "\n", " \n", "\0\n"])
def test_a_null_pointer_in_the_list_means_no_cpu(text: str) -> None:
    made = tree({**folders(2), f"{CPU}/online": "0-1\n", f"{CPU}/isolated": text, f"{CPU}/nohz_full": text})
    states = read_cpu_states(made)
    assert not len(states.isolated)
    assert not len(states.nohz_full)
    assert not flaws(made)


@pytest.mark.parametrize("text", ["", "\0", "junk\n", "(nul"])
def test_a_broken_list_of_isolated_cpus_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"list|empty"):
        parse_isolated(text)


@pytest.mark.parametrize(
    ("parameters", "isolated"),
    [
        ("quiet isolcpus=2-3 ro", "2-3"),
        ("isolcpus=managed_irq,0-4,11-79", ""),
        ("isolcpus=nohz,domain,1,3", "1,3"),
        ("isolcpus=domain,managed_irq,4-N", "4-7"),
        ("isolcpus=0-7:2/4", "0-1,4-5"),
        ("noisolcpus=1 isolcpus", ""),
        ("init=/x -- isolcpus=1", ""),
        ('isolcpus="1-2"', "1-2"),
    ],
)
def test_only_isolation_from_the_schedulers_domains_counts(parameters: str, isolated: str) -> None:
    assert str(parse_isolcpus(parameters, last=7)) == isolated


@pytest.mark.parametrize("value", ["", "x", "3-1", "1,", "domain,", "99999"])
def test_a_broken_isolcpus_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"CPU list|backwards|or more"):
        parse_isolcpus(f"isolcpus={value}", last=7)


def test_the_command_line_tells_where_the_kernel_does_not() -> None:
    made = tree({**folders(8), f"{CPU}/online": "0-7\n", "proc/cmdline": "isolcpus=2-3 nohz_full=2-N\n"})
    states = read_cpu_states(made)
    assert (str(states.isolated), str(states.nohz_full)) == ("2-3", "2-7")


def test_the_kernels_list_is_above_the_command_line() -> None:
    made = tree({**folders(8), f"{CPU}/isolated": "\n", "proc/cmdline": "isolcpus=2-3\n"})
    assert not len(read_cpu_states(made).isolated)


def test_a_broken_command_line_is_a_gap() -> None:
    made = tree({**folders(2), "proc/cmdline": "isolcpus=3-1\n"})
    assert not len(read_cpu_states(made).isolated)
    assert flaws(made) == [("proc/cmdline", "range runs backwards: '3-1': 'isolcpus=3-1\\n'")]


def test_nohz_full_may_be_all() -> None:
    assert str(parse_nohz_full_parameter("nohz_full=all", last=3)) == "0-3"


@pytest.mark.parametrize("text", ["2\n", "-1\n", "\n", "yes\n"])
def test_a_switch_is_0_or_1(text: str) -> None:
    with pytest.raises(ValueError, match="no"):
        parse_switch(text)


def test_lists_that_every_kernel_has_are_missed_where_they_are_absent() -> None:
    made = tree({f"{CPU}/cpu0": None})
    read_cpu_states(made)
    assert absent(made) == ["proc/cmdline", f"{CPU}/isolated", f"{CPU}/online", f"{CPU}/present"]


def test_the_last_possible_cpu_is_missed_only_where_a_parameter_needs_it() -> None:
    files = {f"{CPU}/cpu0": None, f"{CPU}/present": "0\n", f"{CPU}/online": "0\n", f"{CPU}/isolated": "\n"}
    plain = tree(files | {"proc/cmdline": "quiet\n"})
    read_cpu_states(plain)
    assert absent(plain) == []
    named = tree(files | {"proc/cmdline": "nohz_full=N\n"})
    assert str(read_cpu_states(named).nohz_full) == "0"
    assert absent(named) == [f"{CPU}/possible"]


def test_without_lists_a_cpu_that_does_not_say_whether_it_is_online_is_missed_but_for_the_first() -> None:
    made = tree({**folders(4), f"{CPU}/cpu1/online": "1\n", f"{CPU}/cpu2/online": "0\n"})
    assert str(read_cpu_states(made).online) == "0-1,3"
    assert f"{CPU}/cpu3/online" in absent(made)
