"""What one more copy needs is one kind of thing where that is enough, told with what is there of it."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.capacity import Capacity
from numaplan.model.devices import Link
from numaplan.model.guest import Guest
from numaplan.model.host import NodeId
from numaplan.model.request import Affinity, DeviceRequest, InterfaceRequest, InterfaceType, Request
from numaplan.model.snapshot import Snapshot
from numaplan.model.switch import OpenVswitch, SocketMemory
from numaplan.placement.capacity.fit import Counted, count_copies
from tests.hosts import Nic, host
from tests.placement.growing import with_more
from tests.requests import ask, guest, vfs


def counted(request: Request, snapshot: Snapshot) -> Capacity:
    found = count_copies(request, snapshot, "fw", together=False, apart=False)
    assert isinstance(found, Counted)
    assert found.capacity.proven
    return found.capacity


@pytest.mark.parametrize(
    ("shape", "vcpus", "threads", "reserved", "needs"),
    [
        pytest.param(
            "1n:2c:2t",
            3,
            "require",
            "0-3",
            "2 more whole free cores on node 0 (have 0, need 2)",
            id="a whole core and a thread",
        ),
        pytest.param(
            "1n:2c:4t",
            2,
            "require",
            "0-5",
            "1 more whole free core on node 0 (have 0, need 1)",
            id="two threads of a core",
        ),
        pytest.param(
            "1n:2c:2t",
            5,
            "require",
            "0,2",
            "2 more whole free cores on node 0 (have 1, need 3)",
            id="two whole cores and a thread",
        ),
        pytest.param(
            "1n:2c:4t",
            6,
            "require",
            "0,2,4,6",
            "1 more whole free core on node 0 (have 1, need 2)",
            id="a whole core and two threads of one more",
        ),
        pytest.param(
            "1n:2c:2t",
            7,
            "require",
            None,
            "2 more whole free cores on node 0 (have 2, need 4)",
            id="an odd thread and a CPU to float on share a core",
        ),
        pytest.param(
            "1n:2c:1t", 2, "prefer", None, "1 more free CPU on node 0 (have 2, need 3)", id="a CPU to float on"
        ),
    ],
)
def test_one_kind_of_cores_is_named_where_it_is_enough(
    shape: str, vcpus: int, threads: str, reserved: str | None, needs: str
) -> None:
    request = ask(guest("fw", vcpus, thread_policy=threads), reserved=reserved)
    snapshot = host(shape)
    found = counted(request, snapshot)
    (row,) = found.next.short
    assert (found.fit, found.next.sentence) == (0, f"one more fw needs {needs}")
    assert counted(*with_more(request, snapshot, row, row.missing)).fit > 0
    assert counted(*with_more(request, snapshot, row, row.missing - 1)).fit == 0


@pytest.mark.parametrize(("reserved", "shared"), [("0-1", "2,8-11"), ("0-2,10", None)], ids=["shared", "reserved"])
def test_cpus_that_are_added_are_none_of_those_that_the_site_names_and_the_host_lacks(
    reserved: str, shared: str | None
) -> None:
    request, snapshot = ask(guest("fw", 4), reserved=reserved, shared=shared), host("1n:8c:1t")
    found = counted(request, snapshot)
    assert (found.fit, found.next.sentence) == (1, "one more fw needs 3 more free CPUs on node 0 (have 1, need 4)")
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 2


def test_cpus_that_are_added_are_none_that_a_switch_or_a_guest_that_stays_names() -> None:
    request = ask(guest("fw", 4), reserved="0-1")
    stays = Guest("stays", "stays.xml", 1, 1 << 20, vcpu_cpuset=CpuSet.parse("7-8"), running=True)
    needs = "one more fw needs 3 more free CPUs on node 0 (have 1, need 4)"
    assert counted(request, host("1n:8c:1t", guests=[stays])).next.sentence == needs
    switch = OpenVswitch(dpdk=True, dpdk_init=True, pmd_cpus=CpuSet.parse("2,8-9"), lcore_cpus=CpuSet.parse("10"))
    assert counted(request, replace(host("1n:8c:1t"), openvswitch=switch)).next.sentence == needs


def test_what_is_there_is_told_as_the_others_leave_it_where_they_use_what_is_added() -> None:
    """Without it, they leave nothing: on the added core one of theirs has no sibling that idles."""
    request = ask(guest("fw", 2), guest("alone", 2, thread_policy="isolate"), reserved="0,3")
    snapshot = host("1n:3c:2t")
    found = counted(request, snapshot)
    assert (found.fit, found.next.sentence) == (0, "one more fw needs 1 more free CPU on node 0 (have 1, need 2)")
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 1


def test_the_uplink_of_a_vm_that_has_no_place_yet_is_known() -> None:
    built = host("1n:2c:1t", nics=[Nic("ens0", 0, 1)])
    snapshot = replace(built, links=(Link("br0", "bridge", lowers=("ens0",)), *built.links))
    port = InterfaceRequest("wan", InterfaceType.VIRTIO, bridge="br0", affinity=Affinity.REQUIRED)
    found = counted(ask(guest("fw", 3, interfaces=[port]), reserved="0"), snapshot)
    assert found.next.sentence == "one more fw needs 2 more free CPUs on node 0 (have 1, need 3)"


@pytest.mark.parametrize(
    ("indexes", "needs"),
    [
        (range(4), "one more fw needs 2 more free VFs of ens0 on node 0 (have 0, need 2)"),
        (range(3), "adding CPUs, memory or VFs to the existing nodes does not make room for one more fw"),
    ],
    ids=["that a PF can have", "that it has, and too few others"],
)
def test_more_vfs_are_asked_for_where_those_that_are_named_by_index_would_do(indexes: range, needs: str) -> None:
    data = replace(vfs("data", "ens0", 2), vf_indexes=frozenset(indexes))
    found = counted(ask(guest("fw", 1, interfaces=[data]), reserved="0"), host("1n:4c:1t", nics=[Nic("ens0", 0, 2)]))
    assert (found.fit, found.next.sentence) == (1, needs)


def test_memory_that_lies_apart_from_the_cpus_counts_what_is_there() -> None:
    request = ask(guest("fw", 2, memory_gib=4, page_size="1GiB", memory_policy="preferred"), reserved="0,4-7")
    found = counted(request, host("2n:4c:1t", pages={"1GiB": [0, 3]}))
    assert found.next.sentence == "one more fw needs 1 more free 1 GiB page on node 1 (have 3, need 4)"


@pytest.mark.parametrize(
    ("page_size", "needs"),
    [
        ("1GiB", "1 more free 1 GiB page on node 0 (have 1, need 2)"),
        ("4KiB", "1 GiB more of ordinary memory on node 0 (have 1 GiB, need 2 GiB)"),
    ],
)
def test_all_cells_whose_memory_lies_on_one_node_count_there(page_size: str, needs: str) -> None:
    request = ask(guest("fw", (1, 1), page_size=page_size, memory_policy="preferred"), reserved="0")
    built = host("2n:6c:1t", pages={"1GiB": [1, 0]})
    memory = [replace(node, available_kib=kib) for node, kib in zip(built.nodes, (1 << 20, 0), strict=True)]
    found = counted(request, replace(built, nodes=tuple(memory)))
    assert (found.fit, found.next.sentence) == (0, f"one more fw needs {needs}")


def test_a_whole_core_beside_an_odd_thread_that_is_there_is_all_that_counts() -> None:
    """The fourth copy's part goes to the core that the third one's has opened."""
    request = ask(guest("fw", 6, thread_policy="require"), reserved="5,11,17,23")
    found = counted(request, host("1n:6c:4t"))
    assert (found.fit, found.next.sentence) == (
        3,
        "one more fw needs 1 more whole free core on node 0 (have 0, need 1)",
    )


def test_one_vf_more_is_enough_where_the_indexes_name_one_that_is_there() -> None:
    data = replace(vfs("data", "ens0", 2), vf_indexes=frozenset(range(2)))
    found = counted(ask(guest("fw", 1, interfaces=[data]), reserved="0"), host("1n:4c:1t", nics=[Nic("ens0", 0, 1)]))
    assert found.next.sentence == "one more fw needs 1 more free VF of ens0 on node 0 (have 1, need 2)"


def test_as_many_vfs_are_asked_for_as_it_takes_to_reach_the_first_index() -> None:
    data = replace(vfs("data", "ens0", 1), vf_indexes=frozenset({3}))
    found = counted(ask(guest("fw", 1, interfaces=[data]), reserved="0"), host("1n:4c:1t", nics=[Nic("ens0", 0, 1)]))
    assert found.next.sentence == "one more fw needs 3 more free VFs of ens0 on node 0 (have 0, need 3)"


def test_of_unequal_cells_the_one_that_lies_there_counts() -> None:
    request = ask(guest("fw", (6, 2)), guest("other", 5), reserved="0,7")
    found = counted(request, host("2n:7c:1t"))
    assert (found.fit, found.next.sentence) == (0, "one more fw needs 1 more free CPU on node 1 (have 1, need 2)")


def test_of_vfs_on_pfs_that_differ_one_of_each_counts() -> None:
    data = replace(vfs("data", "", 2, mbps=3000, distinct_pfs=True), pf=None)
    request = ask(guest("fw", 1, interfaces=[data]), reserved="0")
    found = counted(request, host("1n:8c:1t", nics=[Nic("ens0", 0, 1), Nic("ens1", 0, 4)]))
    assert found.next.sentence == "one more fw needs 1 more free VF of ens0 on node 0 (have 0, need 1)"
    found = counted(request, host("1n:8c:1t", nics=[Nic("ens0", 0, 8, speed_mbps=4000), Nic("ens1", 0, 8)]))
    assert found.next.sentence == (
        "one more fw needs 2000 more Mbit/s of the link of ens0 on node 0 (have 1000, need 3000)"
    )


def test_memory_counts_no_more_than_a_node_has() -> None:
    """What lies apart there may be another guest's, of which a copy's would be more than there is."""
    small = guest("small", 2, memory_gib=3, page_size="1GiB", memory_policy="preferred")
    large = guest("fw", 2, memory_gib=8, page_size="1GiB", memory_policy="preferred")
    found = counted(ask(large, small, reserved="0"), host("2n:4c:1t", pages={"1GiB": [8, 2]}))
    assert found.next.sentence == "one more fw needs 1 more free 1 GiB page on node 1 (have 0, need 1)"


def test_memory_that_is_reserved_beyond_what_there_is_comes_first() -> None:
    """Half a GiB is missing there before anything fits."""
    built = host("2n:8c:1t")
    few = tuple(replace(node, available_kib=kib) for node, kib in zip(built.nodes, (3 << 19, 6 << 20), strict=True))
    request = ask(guest("fw", 6, memory_gib=4), guest("other", 2), reserved="0,8", reserved_memory_gib=2)
    snapshot = replace(built, nodes=few)
    found = counted(request, snapshot)
    assert found.next.sentence == (
        "one more fw needs 1536 MiB more of ordinary memory on node 0 (have 0 KiB, need 1536 MiB)"
    )
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 1


@pytest.mark.parametrize(
    ("page_size", "pages", "wanted_gib", "needs"),
    [
        ("large", {"2MiB": 600, "1GiB": 0}, 1, "424 more free 2 MiB pages on node 0 (have 88, need 512)"),
        ("1GiB", {"2MiB": 600, "1GiB": 0}, 1, "2 more free 1 GiB pages on node 0 (have 0, need 2)"),
        ("1GiB", {"1GiB": 1}, 4, "4 more free 1 GiB pages on node 0 (have 0, need 4)"),
    ],
    ids=["any size", "that size", "more than there is"],
)
def test_pages_that_a_switch_takes_first_are_added_too(
    page_size: str, pages: dict[str, int], wanted_gib: int, needs: str
) -> None:
    memory = (SocketMemory(NodeId(0), wanted_gib << 20),)
    switch = OpenVswitch(dpdk=False, dpdk_init=True, socket_memory=memory)
    request = ask(guest("fw", 2, page_size=page_size), reserved="0")
    snapshot = replace(host("1n:8c:1t", pages=pages), openvswitch=switch)
    found = counted(request, snapshot)
    assert (found.fit, found.next.sentence) == (0, f"one more fw needs {needs}")
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 1
    assert counted(*with_more(request, snapshot, row, row.missing - 1)).fit == 0


def test_further_vfs_serve_devices_that_are_asked_for_by_their_ids() -> None:
    built = host("1n:8c:1t", nics=[Nic("ens0", 0, 2)])
    vf = next(device for device in built.pci if device.physfn is not None)
    card = replace(guest("fw", 1), devices=(DeviceRequest("card", vf.vendor, vf.device),))
    found = counted(ask(card, reserved="0"), built)
    assert (found.fit, found.next.sentence) == (
        2,
        "one more fw needs 1 more free VF of ens0 on node 0 (have 0, need 1)",
    )


def test_a_link_that_only_its_function_names_carries_no_more_than_it_can() -> None:
    built = host("1n:8c:1t", nics=[Nic("ens0", 0, 8, speed_mbps=10_000)])
    unnamed = replace(built, links=tuple(replace(link, pci=None) for link in built.links))
    request = ask(guest("fw", 1, interfaces=[vfs("data", "ens0", 1, mbps=6000)]), reserved="0")
    assert counted(request, unnamed).next == counted(request, built).next
    assert "2000 more Mbit/s" in counted(request, unnamed).next.sentence
