"""What the host does not tell of cores, nodes and huge pages stands beside every answer that rests on it."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.request import DeviceRequest
from numaplan.model.snapshot import Gap
from numaplan.placement.facts import host_facts
from numaplan.placement.levels import Budget
from numaplan.placement.solve import solve
from tests.hosts import GIB, Nic, host
from tests.requests import ask, guest

SIBLINGS = Gap("sys/devices/system/cpu", "CPUs 0-7 have neither sibling masks nor a core id: each counts as a core")
NO_LIBVIRT = Gap("libvirt", "no libvirtd answers on this KVM host")
ELSEWHERE = Gap("sys/devices/system/cpu/isolated", "not there")


def notes(*gaps: Gap) -> list[str]:
    snapshot = replace(host("1n:4c:2t"), gaps=gaps)
    return [note for note in host_facts(ask(guest("a"), reserved="0"), snapshot).notes if "not known" in note]


def test_cpus_whose_siblings_are_not_known_are_noted_and_what_nothing_rests_on_is_not() -> None:
    assert notes(ELSEWHERE, SIBLINGS) == [f"not known of this host: {SIBLINGS.what}: {SIBLINGS.why}"]
    assert notes(ELSEWHERE) == []


def test_of_many_pools_that_cannot_be_read_the_first_are_named() -> None:
    folder = "sys/devices/system/node/node{}/hugepages/hugepages-2048kB/free_hugepages"
    found = notes(*(Gap(folder.format(node), "not there") for node in range(8)))
    assert [folder.format(node) in note for node, note in enumerate(found)] == [True, True, True, False]
    assert found[-1] == "not known of this host: 5 facts more, which numaplan inventory lists"


def test_guests_that_nobody_told_of_are_noted() -> None:
    assert notes(NO_LIBVIRT) == [f"not known of this host: libvirt: {NO_LIBVIRT.why}"]


def test_cpus_that_nohz_full_leaves_to_the_host_are_named_where_guests_may_get_them() -> None:
    def said(nohz_full: str) -> str:
        snapshot = host("1n:4c:2t")
        cpus = replace(snapshot.cpus, nohz_full=CpuSet.parse(nohz_full))
        return next(note for note in host_facts(ask(guest("a")), replace(snapshot, cpus=cpus)).notes if "every" in note)

    every = "reserved_cpus is not set and the host isolates no CPUs: every CPU may go to a guest"
    assert said("2-7") == f"{every}, also CPUs 0-1, which nohz_full leaves to the host"
    assert said("0-7") == said("") == every


def test_more_that_is_free_than_there_is_is_noted() -> None:
    snapshot = host("1n:4c:2t", pages={"2MiB": 4}, memory_gib=16)
    (node,) = snapshot.nodes
    pools = tuple(replace(pool, free=pool.total + 1) for pool in node.hugepages)
    odd = replace(node, hugepages=pools, memory_kib=GIB, available_kib=2 * GIB)
    found = host_facts(ask(guest("a"), reserved="0"), replace(snapshot, nodes=(odd,))).notes
    assert [note for note in found if "contradicts" in note] == [
        "the inventory contradicts itself: node 0 has 5 free pages of 2 MiB, of 4",
        "the inventory contradicts itself: node 0 has 2 GiB of memory available, of 1 GiB",
    ]
    assert not any("contradicts" in note for note in host_facts(ask(guest("a"), reserved="0"), snapshot).notes)


@pytest.mark.parametrize(
    ("addresses", "up", "told"), [(None, True, True), (None, False, False), (None, None, False), (False, True, False)]
)
def test_of_a_port_that_carries_traffic_it_is_noted_that_nobody_knows_whether_the_host_needs_it(
    addresses: bool | None,  # noqa: FBT001  # pytest passes by name
    up: bool | None,  # noqa: FBT001
    told: bool,  # noqa: FBT001
) -> None:
    snapshot = host("1n:4c:2t", nics=[Nic("ens0", 0, 0)])
    links = tuple(replace(link, addresses=addresses, up=up) for link in snapshot.links)
    port = replace(guest("a"), devices=(DeviceRequest("nic", address=snapshot.pci[0].address),))
    plan = solve(ask(port, reserved="0"), replace(snapshot, links=links), budget=Budget())
    assert ("a: the host does not say whether 0000:10:00.0 bears an address of its own" in plan.notes) is told
