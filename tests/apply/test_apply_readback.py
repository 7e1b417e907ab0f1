"""What libvirt and the kernel made of a plan: each thing that is not as planned is noticed, and nothing else is."""

from dataclasses import replace
from typing import Any

import pytest

from numaplan.apply.readback import definition_checks, running_checks, told_checks
from numaplan.cpuset import CpuSet
from numaplan.domxml.read import read_guest
from numaplan.model.applied import Check
from numaplan.model.guest import GuestThread, ResidentMemory, RunningGuest, ThreadKind
from numaplan.model.host import NodeId
from tests.hosts import GIB
from tests.placement.verify_cases import cell, placed

PLAN = placed("a", cell(1, "4", "5", page_kib=2048), emulator="12", iothreads=["6"], vfs=["0000:21:10.0"])
TOLD: dict[str, Any] = {"vcpus": {"0": "4", "1": "5"}, "emulator": "12", "iothreads": {"3": "6"}, "nodeset": "1"}
XML = """\
<domain type='kvm'><name>a</name><memory unit='GiB'>1</memory><vcpu>2</vcpu>
<memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>
<numatune><memory mode='strict' nodeset='1'/></numatune>
<devices><interface type='hostdev'><source>
<address type='pci' domain='0x0000' bus='0x21' slot='0x10' function='0x0'/></source></interface></devices></domain>
"""
THREADS = (
    GuestThread(ThreadKind.VCPU, CpuSet([4]), 0),
    GuestThread(ThreadKind.VCPU, CpuSet([5]), 1),
    GuestThread(ThreadKind.EMULATOR, CpuSet([12])),
    GuestThread(ThreadKind.IOTHREAD, CpuSet([6]), 3),
    GuestThread(ThreadKind.VHOST, CpuSet([12]), tid=7),
    GuestThread(ThreadKind.OTHER, CpuSet([0])),
)
LIVE = RunningGuest(1, THREADS, (ResidentMemory(NodeId(1), 2048, GIB), ResidentMemory(NodeId(1), 4, 100)))


def wrong(checks: tuple[Check, ...]) -> list[tuple[str, str, str]]:
    return [(check.what, check.planned, check.found) for check in checks if not check.holds]


def test_all_as_planned() -> None:
    assert wrong(told_checks(PLAN, TOLD)) == []
    assert wrong(definition_checks(PLAN, read_guest(XML.encode(), "a.xml"))) == []
    assert wrong(running_checks(PLAN, LIVE)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vcpus": {"0": "4", "1": "4"}}, ("vCPU 1", "5", "4")),
        ({"vcpus": {"0": "4"}}, ("vCPU 1", "5", "nothing")),
        ({"emulator": "0-15"}, ("emulator", "12", "0-15")),
        ({"iothreads": {"3": "5"}}, ("iothread 3", "6", "5")),
        ({"iothreads": {}}, ("iothread 1", "6", "nothing")),
        ({"nodeset": "0"}, ("memory's nodes", "1", "0")),
    ],
)
def test_what_libvirt_tells_otherwise_is_noticed(change: dict[str, Any], told: tuple[str, str, str]) -> None:
    assert wrong(told_checks(PLAN, TOLD | change)) == [told]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("nodeset='1'", "nodeset='0'", "cell 0: memory's node"),
        ("size='2048'", "size='1048576'", "cell 0: page size"),
        ("slot='0x10'", "slot='0x11'", "device 0000:21:10.0"),
    ],
)
def test_what_the_definition_says_otherwise_is_noticed(old: str, new: str, what: str) -> None:
    guest = read_guest(XML.replace(old, new).encode(), "a.xml")
    assert [each for each, _, _ in wrong(definition_checks(PLAN, guest))] == [what]


@pytest.mark.parametrize("number", range(5))
def test_a_thread_that_may_run_elsewhere_is_noticed(number: int) -> None:
    threads = list(THREADS)
    threads[number] = replace(threads[number], affinity=CpuSet([0]))
    assert len(wrong(running_checks(PLAN, replace(LIVE, threads=tuple(threads))))) == 1


def test_memory_that_lies_elsewhere_is_noticed() -> None:
    moved = replace(LIVE, memory=(ResidentMemory(NodeId(0), 2048, GIB),))
    assert [what for what, _, _ in wrong(running_checks(PLAN, moved))] == [
        "node 0: pages of 2 MiB",
        "node 1: pages of 2 MiB",
    ]
    stray = replace(LIVE, memory=(*LIVE.memory, ResidentMemory(NodeId(0), 4, 8)))
    assert wrong(running_checks(PLAN, stray)) == [("ordinary pages' nodes", "1", "0-1")]
