"""NP101 to NP104: severities, words and limits, on hosts of two nodes of four cores with two threads."""

from dataclasses import replace

import pytest

from numaplan.model.finding import Severity
from numaplan.model.host import NodeId
from numaplan.model.snapshot import Gap
from tests.audit.audited import VF0, VF1, findings, guest, on, only, severities, unchecked
from tests.hosts import Nic, host

ABSENT = "which the host does not have"
E, W, N = Severity.ERROR, Severity.WARNING, Severity.INFO


# NP101


def test_dedicated_vcpus_on_two_nodes_are_one_error_with_all_numbers() -> None:
    finding = only(on(guest(pins=["0", "1", "4", "8"])), "NP101")
    assert finding.severity is E
    assert finding.subject == "cell 0"
    assert finding.message == "cell 0 has vCPUs on nodes 0-1: vCPUs 0-1,3 on node 0, vCPU 2 on node 1"
    assert finding.fix is not None
    assert finding.fix.startswith("pin vCPU 2 to CPUs of node 0 (0-3,8-11), ")
    assert [(e.what, e.value, e.where) for e in finding.evidence] == [
        ("vCPUs 0-1,3", "CPUs 0-1,8 (node 0)", "a.xml:10"),
        ("vCPU 2", "CPU 4 (node 1)", "a.xml:12"),
        ("node 0", "CPUs 0-3,8-11", "sys/devices/system/node/node0/cpulist"),
        ("node 1", "CPUs 4-7,12-15", "sys/devices/system/node/node1/cpulist"),
    ]


@pytest.mark.parametrize(
    ("pins", "expected"),
    [
        (["0-1,4", "0"], [W]),
        (["0-3", "4-7"], [W]),
        (["0-3", "0-3"], []),
        (["0-15", "0-15"], []),
        (["0-20", "0-20"], []),
        (["0,99", "1"], []),
        (["99", "98"], []),
        (["0", "4-7"], [W]),
    ],
)
def test_a_wide_pin_is_a_warning_where_it_spans_nodes_but_not_the_whole_host(
    pins: list[str], expected: list[Severity]
) -> None:
    assert severities(on(guest(pins=pins)), "NP101") == expected


def test_a_cpuset_that_spans_nodes_is_a_warning_at_its_own_line() -> None:
    finding = only(on(guest(vcpus=4, cpuset="2-5")), "NP101")
    assert finding.severity is W
    assert finding.evidence[0].where == "a.xml:5"


def test_guests_without_pins_are_left_to_the_scheduler() -> None:
    assert findings(on(guest(vcpus=8)), "NP101") == []


def test_vcpus_left_open_beside_pinned_ones_are_info() -> None:
    finding = only(on(guest(pins=["0", "1"], vcpus=4)), "NP101")
    assert finding.severity is N
    assert finding.message == "cell 0 has vCPUs 0-1 on node 0, but vCPUs 2-3 may run on every node"


def test_each_cell_is_judged_alone() -> None:
    assert findings(on(guest(pins=["0", "1", "4", "5"], cells=[[0, 1], [2, 3]])), "NP101") == []
    finding = only(on(guest(pins=["0", "4", "5", "6"], cells=[[0, 1], [2, 3]])), "NP101")
    assert finding.subject == "cell 0"


def test_automatic_placement_is_not_checked_whatever_its_cpuset_says() -> None:
    snapshot = on(guest(vcpus=2, cpuset="3-4", auto=True))
    assert findings(snapshot, "NP101") == []
    assert unchecked(snapshot, "NP101") == ['placement "auto": numad chooses the CPUs at the start of "a"']


def test_a_host_that_shows_no_nodes_is_not_checked_for_locality() -> None:
    gap = Gap("sys/devices/system/node", "not exposed")
    snapshot = replace(on(guest(pins=["0", "3"], vfs=[VF0]), shape="1n:4c:1t"), gaps=(gap,))
    for rule in ("NP101", "NP102", "NP103"):
        assert unchecked(snapshot, rule) == ["the host may have NUMA nodes that it does not show"]


def test_a_gap_about_one_file_of_a_node_does_not_hide_the_nodes() -> None:
    gap = Gap("sys/devices/system/node/node0/meminfo", "permission denied")
    snapshot = replace(on(guest(pins=["0"]), shape="1n:4c:1t"), gaps=(gap,))
    assert unchecked(snapshot, "NP101") == []


# NP102


@pytest.mark.parametrize(
    ("pins", "mode", "nodes", "expected"),
    [
        (["4"], "strict", [0], [E]),
        (["4"], "restrictive", [0], [E]),
        (["4"], "preferred", [0], [N]),
        (["4"], "interleave", [0], [W]),
        (["4"], "interleave", [0, 1], [W]),
        (["4"], "strict", [0, 1], [N]),
        (["4"], "strict", [1], []),
        (["4"], "preferred", [1], []),
        (["0", "4"], "strict", [0], [W]),
        (["0", "4"], "interleave", [0, 1], []),
        (["0", "4"], "strict", [0, 1], []),
        (["0-15"], "strict", [0], []),
        (["99"], "strict", [0], []),
        (["4"], "strict", [9], []),
    ],
)
def test_memory_is_judged_by_mode_and_by_how_much_of_it_is_remote(
    pins: list[str], mode: str, nodes: list[int], expected: list[Severity]
) -> None:
    assert severities(on(guest(pins=pins, memory=(mode, nodes))), "NP102") == expected


def test_a_finding_on_memory_names_both_nodes_their_distance_and_the_element() -> None:
    finding = only(on(guest(pins=["4", "5"], memory=("strict", [0]))), "NP102")
    assert finding.message == "cell 0 has vCPUs on node 1, but its memory is bound to node 0 (strict), distance 21"
    assert finding.evidence[0].where == "a.xml:70"
    assert finding.fix == "bind it with <memory mode='strict' nodeset='1'/>, or run `numaplan place`"


def test_a_memnode_outweighs_the_binding_of_the_guest() -> None:
    pins, cells = ["0", "4"], [[0], [1]]
    good = guest(pins=pins, cells=cells, memory=("strict", [0]), memnodes={1: ("strict", [1])})
    assert findings(on(good), "NP102") == []
    bad = guest(pins=pins, cells=cells, memory=("strict", [0]), memnodes={0: ("strict", [1]), 1: ("strict", [1])})
    finding = only(on(bad), "NP102")
    assert (finding.subject, finding.evidence[0].where) == ("cell 0", "a.xml:71")
    assert "<memnode cellid='0' mode='strict' nodeset='0'/>" in str(finding.fix)


def test_memory_that_numad_chooses_is_not_checked() -> None:
    snapshot = on(guest(pins=["4"], memory=("strict", None)))
    assert findings(snapshot, "NP102") == []
    assert unchecked(snapshot, "NP102") == ['placement "auto": numad chooses the memory at the start of "a"']


def test_memory_of_a_node_without_cpus_is_a_choice_and_a_warning() -> None:
    snapshot = on(guest(pins=["4"], memory=("strict", [2])))
    memory_only = replace(snapshot.nodes[0], id=NodeId(2), cpus=snapshot.cpus.offline)
    assert severities(replace(snapshot, nodes=(*snapshot.nodes, memory_only)), "NP102") == [W]


def test_vcpus_on_a_node_without_memory_cannot_have_it_near() -> None:
    snapshot = on(guest(pins=["4"], memory=("strict", [0])))
    bare = (snapshot.nodes[0], replace(snapshot.nodes[1], memory_kib=0))
    assert severities(replace(snapshot, nodes=bare), "NP102") == [N]


# NP103


def test_a_vf_on_another_node_is_a_warning_with_its_node_and_the_distance() -> None:
    finding = only(on(guest(pins=["0", "1"], vfs=[VF0]), nic_node=1), "NP103")
    assert finding.severity is W
    assert finding.subject == VF0
    assert finding.message == f"VF {VF0} is on node 1, but its cell is on node 0, distance 21"
    assert [e.where for e in finding.evidence[:2]] == ["a.xml:80", f"sys/bus/pci/devices/{VF0}/numa_node"]


def test_a_device_that_is_no_vf_is_judged_alike() -> None:
    finding = only(on(guest(pins=["0"], hostdevs=["0000:10:00.0"]), nic_node=1), "NP103")
    assert finding.message.startswith("device 0000:10:00.0 is on node 1")


def test_one_near_cell_is_enough() -> None:
    assert findings(on(guest(pins=["0", "4"], cells=[[0], [1]], vfs=[VF0]), nic_node=1), "NP103") == []


def test_a_vf_without_a_node_is_on_that_of_its_pf() -> None:
    snapshot = on(guest(pins=["0"], vfs=[VF0]), nic_node=1)
    mute = tuple(device if device.physfn is None else replace(device, numa_node=None) for device in snapshot.pci)
    finding = only(replace(snapshot, pci=mute), "NP103")
    assert finding.evidence[1].where == "sys/bus/pci/devices/0000:10:00.0/numa_node"


def test_an_unknown_node_is_not_checked_and_never_node_0() -> None:
    snapshot = on(guest(pins=["4"], vfs=[VF0, VF1]), nic_node=None)
    assert findings(snapshot, "NP103") == []
    assert unchecked(snapshot, "NP103") == [f'guest "a": the host does not say the node of {VF0} and {VF1}']


def test_a_device_that_the_host_does_not_show_is_not_checked() -> None:
    assert unchecked(on(guest(pins=["0"], vfs=["0001:ff:00.0"])), "NP103") == [
        'guest "a": the host does not show 0001:ff:00.0'
    ]


@pytest.mark.parametrize("loose", [guest(vfs=[VF0]), guest(vfs=[VF0], pins=["0"], cells=[[0], [1]])])
def test_a_cell_that_no_pin_holds_leaves_its_devices_unjudged(loose: object) -> None:
    snapshot = replace(on(nic_node=1), guests=(loose,))  # type: ignore[arg-type]  # pytest types it as an object
    assert findings(snapshot, "NP103") == []
    assert len(unchecked(snapshot, "NP103")) == 1


def test_a_device_that_may_be_elsewhere_by_its_affinity_is_info() -> None:
    finding = only(on(guest(pins=["0"], vfs=[VF0], loose=[VF0]), nic_node=1), "NP103")
    assert finding.severity is N
    assert finding.message.endswith(", as its affinity allows")


def test_one_node_has_nothing_remote() -> None:
    snapshot = host("1n:4c:1t", guests=[guest(vfs=[VF0])], nics=[Nic("ens1", None, 8)])
    assert (findings(snapshot, "NP103"), unchecked(snapshot, "NP103")) == ([], [])


# NP104


@pytest.mark.parametrize(
    ("pins", "message", "severity"),
    [
        (["40"], f"pins of vCPU 0 name CPU 40, {ABSENT}; no online CPU is left to them", E),
        (["3"], "pins of vCPU 0 name offline CPU 3; no online CPU is left to them", E),
        (["2-3"], "pins of vCPU 0 name offline CPU 3; they crowd on the rest of their CPUs", W),
        (
            ["3", "2,40"],
            f"pins of vCPUs 0-1 name offline CPU 3 and CPU 40, {ABSENT}; no online CPU is left to vCPU 0",
            E,
        ),
    ],
)
def test_pins_to_missing_cpus_are_told_apart(pins: list[str], message: str, severity: Severity) -> None:
    finding = only(on(guest(pins=pins, emulator="0"), offline="3"), "NP104")
    assert (finding.message, finding.severity) == (message, severity)


def test_a_cpuset_of_missing_cpus_is_one_finding_for_all_threads() -> None:
    finding = only(on(guest(vcpus=4, cpuset="40-43", iothreads=[""])), "NP104")
    assert finding.message.startswith("pins of vCPUs 0-3, emulator and iothread 1 name CPUs 40-43, ")
    assert [e.where for e in finding.evidence] == ["sys/devices/system/cpu/online", "a.xml:5"]


def test_memory_on_a_node_that_the_host_lacks_is_an_error() -> None:
    finding = only(on(guest(memory=("strict", [0, 7]))), "NP104")
    assert (finding.severity, finding.subject) == (E, "memory")
    assert finding.message == "memory is bound to node 7, but the host has nodes 0-1"


@pytest.mark.parametrize("doubt", ["", "/online", "/node7"])
def test_a_node_that_may_only_be_unread_is_no_finding(doubt: str) -> None:
    gap = Gap(f"sys/devices/system/node{doubt}", "left out")
    assert findings(replace(on(guest(memory=("strict", [7]))), gaps=(gap,)), "NP104") == []
