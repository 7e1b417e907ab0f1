"""NP201 to NP204: severities, words and limits, on hosts of two nodes of four cores with two threads."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.finding import Severity
from tests.audit.audited import findings, guest, on, only, severities, unchecked

E, W, N = Severity.ERROR, Severity.WARNING, Severity.INFO


# NP201


def test_guests_that_share_several_cpus_are_one_finding() -> None:
    finding = only(on(guest("a", ["2", "3"]), guest("b", ["3", "2"])), "NP201")
    assert finding.severity is E
    assert (finding.guest, finding.subject) == ("a", "CPUs 2-3")
    assert finding.message == 'CPUs 2-3 are pinned by 2 guests: "a" and "b"'
    assert [(e.what, e.value, e.where) for e in finding.evidence] == [
        ('vCPUs 0-1 of "a"', "CPUs 2-3", "a.xml:10"),
        ('vCPUs 0-1 of "b"', "CPUs 2-3", "b.xml:10"),
    ]
    assert finding.fix == 'pin vCPUs 0-1 of "b" to other CPUs (free ones: 0-1,4-15), or run `numaplan place`'


def test_many_guests_on_one_cpu_are_named_in_part() -> None:
    finding = only(on(*(guest(f"g{number}", ["2"]) for number in range(9))), "NP201")
    assert finding.message == 'CPU 2 is pinned by 9 guests: "g0", "g1", "g2", "g3" and 5 more guests'


def test_two_vcpus_of_one_guest_on_a_cpu_are_an_error_too() -> None:
    finding = only(on(guest(pins=["2", "2", "3"])), "NP201")
    assert finding.severity is E
    assert finding.message == 'CPU 2 is pinned by several vCPUs of one guest: vCPUs 0-1 of "a"'


def test_a_cpuset_of_one_cpu_is_a_pin() -> None:
    assert severities(on(guest("a", vcpus=1, cpuset="2"), guest("b", ["2"])), "NP201") == [E]


def test_a_guest_that_does_not_run_holds_its_cpus() -> None:
    assert severities(on(guest("a", ["2"], running=False), guest("b", ["2"], running=True)), "NP201") == [E]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"emulator": "2"}, {"emulator": "2"}, [N]),
        ({"iothreads": ["2"]}, {"emulator": "2"}, [N]),
        ({"pins": ["2"]}, {"emulator": "2"}, [E]),
        ({"pins": ["2"]}, {"iothreads": ["2"]}, [E]),
        ({"pins": ["2"], "shared_vcpus": [0]}, {"pins": ["2"], "shared_vcpus": [0]}, [N]),
        ({"pins": ["2"], "shared_vcpus": [0]}, {"pins": ["2"]}, [E]),
        ({"pins": ["2", "2"], "shared_vcpus": [0, 1]}, {}, []),
        ({"pins": ["2"], "emulator": "2"}, {}, []),
        ({"pins": ["2-3"]}, {"pins": ["2"]}, []),
        ({"pins": ["2-3"]}, {"pins": ["2-3"]}, []),
        ({"pins": ["40"]}, {"pins": ["40"]}, [E]),
    ],
)
def test_only_pins_to_one_cpu_count_and_a_vcpu_must_be_among_them(
    first: dict[str, object], second: dict[str, object], expected: list[Severity]
) -> None:
    snapshot = on(guest("a", **first), guest("b", **second))  # type: ignore[arg-type]  # options of all types
    assert severities(snapshot, "NP201") == expected


# NP202


@pytest.mark.parametrize(
    ("policy", "mine", "theirs", "expected"),
    [
        (None, ["2"], ["10"], N),
        ("prefer", ["2"], ["10"], N),
        ("isolate", ["2"], ["10"], W),
        ("require", ["2", "3"], ["10"], W),
        ("require", ["1", "9", "2"], ["10"], N),
        ("require", ["1", "2", "3"], ["10"], W),
        ("require", ["1", "9", "2", "3"], ["10"], W),
    ],
)
def test_a_shared_core_is_info_unless_a_policy_forbids_it(
    policy: str | None, mine: list[str], theirs: list[str], expected: Severity
) -> None:
    finding = only(on(guest("z", mine, thread_policy=policy), guest("b", theirs)), "NP202")
    assert finding.severity is expected
    assert finding.guest == ("z" if expected is W else "b")
    assert (f'"z" says {policy}' in finding.message) == (expected is W)


def test_an_emulator_on_the_sibling_of_an_isolated_vcpu_is_info() -> None:
    assert severities(on(guest("a", ["2"], thread_policy="isolate"), guest("b", emulator="10")), "NP202") == [N]


def test_shared_cores_of_the_same_guests_are_one_finding() -> None:
    finding = only(on(guest("a", ["2", "3"]), guest("b", ["10", "11"])), "NP202")
    assert finding.message == '2 cores (CPUs 2,10 and 3,11) shared by 2 guests: "a" and "b"'
    assert finding.subject == "cores 2-3"
    assert finding.evidence[0].where == "sys/devices/system/cpu/cpu2/topology/thread_siblings_list"


def test_two_guests_on_the_same_thread_are_no_matter_of_siblings() -> None:
    assert findings(on(guest("a", ["2"]), guest("b", ["2"])), "NP202") == []


def test_adjacent_siblings_are_found_as_well() -> None:
    snapshot = on(guest("a", ["0"]), guest("b", ["1"]))
    core = replace(snapshot.cores[0], cpus=CpuSet.parse("0-1"))
    assert severities(replace(snapshot, cores=(core,)), "NP202") == [N]


# NP203 and NP204


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"pins": ["2"], "emulator": "0-2"}, [("emulator", W)]),
        ({"pins": ["2"], "emulator": "2"}, [("emulator", W)]),
        ({"pins": ["2"], "emulator": "0", "iothreads": ["2", "0"]}, [("iothread 1", W)]),
        ({"pins": ["2"], "iothreads": ["", ""]}, [("emulator and iothreads 1-2", W)]),
        ({"pins": ["2"], "emulator": "0", "iothreads": [""]}, [("iothread 1", W)]),
        ({"pins": {0: "2"}, "vcpus": 2, "cpuset": "0-2"}, [("emulator", W)]),
        ({"vcpus": 4}, []),
        ({"vcpus": 1, "cpuset": "2"}, [("emulator", W)]),
        ({"pins": ["2"], "shared_vcpus": [0]}, []),
        ({"pins": ["2-3"]}, []),
    ],
)
def test_each_thread_of_qemu_is_held_against_dedicated_cpus(
    options: dict[str, object], expected: list[tuple[str, Severity]]
) -> None:
    snapshot = on(guest("a", **options))  # type: ignore[arg-type]  # options of all types
    assert [(f.subject, f.severity) for f in findings(snapshot, "NP203")] == expected


def test_the_message_says_whose_vcpus_are_disturbed() -> None:
    own, other = findings(on(guest("a", ["2"], emulator="2"), guest("b", emulator="1-2")), "NP203")
    assert own.message == "emulator may run on CPU 2, dedicated to its own vCPUs"
    assert other.message == 'emulator may run on CPU 2, dedicated to vCPUs of "a"'
    assert [e.where for e in other.evidence] == ["b.xml:50", "a.xml:10"]
    assert own.fix == "pin emulator by <emulatorpin> to CPUs that no vCPU holds (0-1,3,8-11), or run `numaplan place`"


def test_the_kernel_keeps_threads_without_pins_off_isolated_cpus() -> None:
    finding = only(on(guest(pins=["2"]), isolated="2-3"), "NP203")
    assert finding.severity is N
    assert "isolated" in finding.message
    assert "sys/devices/system/cpu/isolated" in [e.where for e in finding.evidence]


def test_isolation_does_not_excuse_a_pin_that_names_the_cpu() -> None:
    assert severities(on(guest(pins=["2"], emulator="1-2"), isolated="2-3"), "NP203") == [W]


def test_only_what_is_not_isolated_counts_where_some_dedicated_cpus_are() -> None:
    finding = only(on(guest(pins=["2", "1"]), isolated="2-3"), "NP203")
    assert finding.severity is W
    assert finding.message == "emulator may run on CPU 1, dedicated to its own vCPUs"


def test_automatic_placement_is_no_reason_to_accuse() -> None:
    snapshot = on(guest("a", ["2"], emulator="0"), guest("b", auto=True))
    assert findings(snapshot, "NP203") == findings(snapshot, "NP204") == []
    for rule in ("NP203", "NP204"):
        assert unchecked(snapshot, rule) == ['placement "auto": numad chooses the CPUs at the start of "b"']


@pytest.mark.parametrize(
    ("options", "isolated", "expected"),
    [
        ({"vcpus": 2}, "", [W]),
        ({"vcpus": 2}, "2", [N]),
        ({"vcpus": 2, "cpuset": "1-2"}, "2", [W]),
        ({"vcpus": 2, "cpuset": "0-1"}, "", []),
        ({"pins": ["4"], "vcpus": 2, "emulator": "0"}, "", [N]),
        ({"pins": ["4", "4-5"], "emulator": "0"}, "", []),
    ],
)
def test_floating_vcpus_are_held_against_dedicated_cpus_of_others(
    options: dict[str, object], isolated: str, expected: list[Severity]
) -> None:
    snapshot = on(guest("a", ["2"], emulator="0"), guest("b", **options), isolated=isolated)  # type: ignore[arg-type]  # options of all types
    assert severities(snapshot, "NP204") == expected
