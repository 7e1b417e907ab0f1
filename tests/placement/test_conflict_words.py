"""What a conflict says is missing: each number a shortage."""

from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.devices import IommuGroup, IommuGroupId, Link, PciAddress, PciDevice
from numaplan.model.host import NodeId
from numaplan.model.request import (
    Affinity,
    DeviceRequest,
    GuestRequest,
    InterfaceRequest,
    InterfaceType,
    PageSize,
    Request,
)
from numaplan.model.snapshot import Snapshot
from numaplan.placement.conflict import explain
from numaplan.placement.conflict.entry import choice
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.totals import Excess
from numaplan.placement.facts import host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.why.places import explain_places
from tests.hosts import GIB, Nic, host
from tests.requests import ask, guest, vfs


def sentences(request: Request, snapshot: Snapshot) -> dict[tuple[str | None, str], str]:
    found, _ = conflict(request, host_facts(request, snapshot))
    return {(member.vm, member.constraint): member.sentence for member in found.members}


def reason(request: Request, snapshot: Snapshot) -> str:
    _, (unplaced,) = conflict(request, host_facts(request, snapshot))
    return unplaced.reason


def test_memory_that_no_node_has_is_told_node_by_node_though_it_may_lie_on_any() -> None:
    request = ask(guest("a", 1, memory_gib=3, memory_policy="preferred"), reserved="0")
    said = "nodes 0-1 each: 2 GiB of ordinary memory, needs 3 GiB"
    assert reason(request, host("2n:2c:1t", memory_gib=2)) == f"no node has the memory for it: {said}"
    two = guest("a", [1, 1], memory_gib=1, memory_policy="preferred")
    two = replace(two, cells=(two.cells[0], replace(two.cells[1], memory_kib=3 << 20)))
    request = ask(two, reserved="0")
    assert reason(request, host("2n:2c:1t", memory_gib=2)) == f"no node has the memory for its cell 1: {said}"


def test_threads_of_one_more_core_that_are_free_on_different_ones_are_no_place() -> None:
    beside = guest("b", 1)
    request = ask(guest("a", 6, thread_policy="require"), beside, reserved="3,5-7,9-11,13-15")
    said = "no node can take it: node 0: 1 whole free core and no more than 1 free thread on another, needs 1 and 2"
    assert reasons(request, host("1n:4c:4t")) == {"a": said, "b": 'fits alone; "a" has no place even alone'}
    request = ask(guest("a", 2, thread_policy="require"), reserved="0,3-7,8-15")
    said = "no node can take it: node 0: no more than 1 free thread on one core, needs 2"
    assert reason(request, host("1n:4c:4t")) == said


def test_a_core_whose_threads_lie_in_two_caches_is_one_core() -> None:
    built = host("1n:3c:2t", llcs_per_node=3)
    caches = [replace(built.llcs[0], cpus=CpuSet.parse(cpus)) for cpus in ("0-2", "3-5")]
    request, snapshot = ask(guest("a", 3, thread_policy="isolate"), reserved="0,3"), replace(built, llcs=tuple(caches))
    assert reason(request, snapshot) == "no node can take it: node 0: 2 free cores, needs 3"
    said = "thread_policy isolate: needs 3 cores to itself; free cores: node 0: 2"
    assert sentences(request, snapshot)["a", "thread_policy"] == said


def test_a_thread_policy_speaks_of_no_more_cores_than_the_other_members_need() -> None:
    """The emulator would need a fifth core, but takes no part."""
    asked = guest("a", 2, thread_policy="isolate", emulator="isolate", iothreads=2, iothread_policy="dedicated")
    assert sentences(ask(asked, reserved="0,4"), host("1n:4c:2t")) == {
        ("a", "vcpus"): "no node can take it: node 0: 3 free cores, needs 4",
        ("a", "thread_policy"): "thread_policy isolate: needs 4 cores to itself; free cores: node 0: 3",
        ("a", "iothreads"): "iothreads: needs 2 CPUs for these on the node of cell 0; free CPUs: node 0: 6",
    }


def test_a_guest_that_is_only_found_to_have_no_place_is_told_so_and_not_beside_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explain, "why_not_alone", lambda *_: None)
    found = reasons(ask(guest("a", 6), guest("b", 1), reserved="0"), host("1n:4c:1t"))
    assert found == {
        "a": "no way to lie on the nodes gives it all that it asks for at once: node 0: 3 free CPUs, needs 6",
        "b": 'fits alone; "a" has no place even alone',
    }


def test_a_cell_without_memory_is_no_trouble_for_a_conflict() -> None:
    """libvirt has such cells, and a guest that has one keeps it."""
    asked = guest("a", (1, 5), page_size="any", memory_policy="preferred", cpu_policy="shared", distinct_nodes=False)
    bare = replace(asked, cells=(replace(asked.cells[0], memory_kib=0), asked.cells[1]))
    said = reason(ask(bare, reserved="0"), host("2n:8c:1t", memory_gib=64))
    assert said.startswith("no node can take its cell 0: nodes 0-1 each: no shared CPUs")


def test_nodes_that_lack_the_same_are_told_at_once() -> None:
    said = reason(ask(guest("a", 6), reserved="0,5,10"), host("5n:5c:1t"))
    assert said == "no node can take it: nodes 0-2 each: 4 free CPUs, needs 6; nodes 3-4 each: 5 free CPUs, needs 6"
    said = reason(ask(guest("a", 6), reserved="5"), host("3n:5c:1t"))
    assert said == "no node can take it: nodes 0,2 each: 5 free CPUs, needs 6; node 1: 4 free CPUs, needs 6"


def test_free_memory_is_told_by_page_size_where_guests_may_use_several() -> None:
    def asked(name: str) -> GuestRequest:
        first, second = guest(name, [1, 2]).cells
        first = replace(first, page_size=PageSize.ANY)
        second = replace(second, page_size=PageSize.HUGE_1G, memory_kib=2 << 20)
        return replace(guest(name, [1, 2]), cells=(first, second))

    found = sentences(ask(asked("a"), asked("b"), reserved="0"), host("2n:8c:1t", memory_gib=6, pages={"1GiB": [0, 2]}))
    free = "free MiB in pages of 4 KiB: nodes 0-1: 6144 each; of 1 GiB: node 0: 0, node 1: 2048"
    assert found["a", "memory"] == f"needs cell 0: 1 GiB, cell 1: 2 GiB of memory; {free}"
    assert found["b", "page_size"].endswith(free)


NO_PAGES = "is not a multiple of any page size that it may use"


@pytest.mark.parametrize(
    ("page_size", "pages", "asks", "has", "lack"),
    [
        ("large", None, "needs huge pages", "the host has no huge pages", "no huge pages"),
        (
            "large",
            {"2MiB": 4, "1GiB": 4},
            "needs huge pages",
            f"its memory {NO_PAGES}; the host has huge pages of 2 MiB and 1 GiB only",
            f"1 MiB {NO_PAGES} (the host has huge pages of 2 MiB and 1 GiB only)",
        ),
        ("2MiB", None, "may use no other size", "the host has no huge pages", "no huge pages"),
    ],
)
def test_huge_pages_that_memory_has_none_of_are_told_by_what_the_host_has(
    page_size: str, pages: dict[str, int] | None, asks: str, has: str, lack: str
) -> None:
    asked = guest("a", 1, page_size=page_size)
    asked = replace(asked, cells=(replace(asked.cells[0], memory_kib=1024),))
    request, snapshot = ask(asked, reserved="0"), host("2n:4c:1t", pages=pages)
    assert reason(request, snapshot) == f"no node can take it: nodes 0-1 each: {lack}"
    assert sentences(request, snapshot)["a", "page_size"] == f"page_size {page_size}: {asks}; {has}"


@pytest.mark.parametrize(
    ("pages", "has"), [(None, "no huge pages"), ({"2MiB": 4}, "huge pages of 2 MiB only")], ids=["none", "others"]
)
def test_a_named_page_size_that_the_host_lacks_is_told_with_those_that_it_has(
    pages: dict[str, int] | None, has: str
) -> None:
    request, snapshot = ask(guest("a", 1, page_size="1GiB"), reserved="0"), host("2n:4c:1t", pages=pages)
    assert reason(request, snapshot) == f"no node can take it: nodes 0-1 each: {has}, needs 1 of 1 GiB"
    assert sentences(request, snapshot)["a", "page_size"] == f"page_size 1GiB: needs 1 such page; the host has {has}"


def test_a_range_of_vfs_is_named_with_its_pf() -> None:
    asked = InterfaceRequest("i", InterfaceType.SRIOV, pf="eth1", vf_indexes=frozenset({2, 3, 9}))
    assert choice(asked, 1) == "1 VF with pf eth1#2-3,9"


CARD, AUDIO = PciAddress(0, 0xB1, 0, 0), PciAddress(0, 0xB1, 0, 1)


def with_card(snapshot: Snapshot) -> Snapshot:
    """The host with a graphics card on node 1, the audio function of which is in its IOMMU group."""
    group = IommuGroupId(500)
    card = PciDevice(CARD, "10de", "20b5", "030000", NodeId(1), iommu_group=group)
    audio = PciDevice(AUDIO, "10de", "1aef", "040300", NodeId(1), iommu_group=group)
    return replace(
        snapshot,
        pci=tuple(sorted((*snapshot.pci, card, audio), key=lambda device: device.address)),
        iommu_groups=(*snapshot.iommu_groups, IommuGroup(group, (CARD, AUDIO))),
    )


def reasons(request: Request, snapshot: Snapshot) -> dict[str, str]:
    _, unplaced = conflict(request, host_facts(request, snapshot))
    return {one.vm: one.reason for one in unplaced}


@pytest.mark.parametrize(
    ("wanted", "constraint", "said"),
    [
        (
            vfs("d", "net", 3, physnet=True, distinct_pfs=True),
            "distinct_pfs",
            'interface "d" with distinct_pfs: needs 3 PFs with a free VF; the host has 2',
        ),
        (
            vfs("d", "net", physnet=True, mbps=20_000),
            "mbps",
            'interface "d" needs 20000 Mbit/s for its VF; links: ens0: 10000, ens1: 10000',
        ),
    ],
    ids=["PFs", "links"],
)
def test_a_device_of_the_same_name_is_not_counted_for_an_interface(
    wanted: InterfaceRequest, constraint: str, said: str
) -> None:
    nics = [Nic("ens0", 0, 4, 10_000), Nic("ens1", 0, 4, 10_000), Nic("other", 0, 4, 25_000)]
    built = host("1n:8c:1t", nics=nics)
    other = next(device for device in built.pci if "other" in device.netdevs)
    pci = (replace(device, device="1234") if device.physfn == other.address else device for device in built.pci)
    asked = replace(guest("a", 1, interfaces=[wanted]), devices=(DeviceRequest("d", "8086", "1234"),))
    request = ask(asked, reserved="0", physnets={"net": ("ens0", "ens1")})
    assert sentences(request, replace(built, pci=tuple(pci)))["a", f"interfaces.d.{constraint}"] == said


@pytest.mark.parametrize("affinity", [Affinity.REQUIRED, Affinity.SOCKET])
def test_a_guest_that_asks_for_a_whole_iommu_group_is_not_told_that_a_part_of_it_is_not_near(
    affinity: Affinity,
) -> None:
    card = DeviceRequest("card", vendor="10de", device="20b5", affinity=Affinity.PREFERRED)
    audio = DeviceRequest("audio", address=AUDIO, affinity=affinity)
    fits = replace(guest("a", 1), devices=(card, audio))
    request = ask(guest("big", 99), fits, reserved="0")
    assert reasons(request, with_card(host("2n:4c:1t")))["a"] == 'fits alone; "big" has no place even alone'
    full = ask(fits, reserved="0,4-7")
    assert reasons(full, with_card(host("2n:4c:1t")))["a"] == (
        f'device "audio" needs 1 device with address {AUDIO} with affinity {affinity}:'
        " node 0: 0 free; node 1: 1 free, but no room: 0 free CPUs, needs 1"
    )


def test_a_guest_that_leaves_a_part_of_an_iommu_group_to_another_is_told_so() -> None:
    card = replace(guest("a", 1), devices=(DeviceRequest("card", address=CARD),))
    audio = replace(guest("b", 1), devices=(DeviceRequest("audio", address=AUDIO),))
    said = reasons(ask(card, audio, reserved="0"), with_card(host("2n:4c:1t")))
    part = (
        "a VF or device that it needs shares its IOMMU group with one that it did not ask for"
        " (needed: 1; free: 1 whole group of 2)"
    )
    assert said == {"a": part, "b": part}


def test_a_conflict_over_a_part_of_an_iommu_group_says_that_all_of_it_is_needed() -> None:
    both = replace(guest("a", 1), devices=(DeviceRequest("card", address=CARD), DeviceRequest("audio", address=AUDIO)))
    found = sentences(ask(both, reserved="0,4-7"), with_card(host("2n:4c:1t")))
    group = f"goes only with its whole IOMMU group ({CARD}, {AUDIO})"
    assert found == {
        ("a", "devices.audio"): (
            f'device "audio" needs 1 device with address {AUDIO}; free: node 0: 0, node 1: 1, 1 of which {group}'
        )
    }
    pairs = host("2n:4c:1t", nics=(Nic("e0", 0, 4, per_group=2),))
    request = ask(guest("a", 1, interfaces=[vfs("x", "e0", 3)]), reserved="0")
    assert sentences(request, pairs) == {
        ("a", "interfaces.x"): (
            'interface "x" needs 3 VFs with pf e0; free: node 0: 4, node 1: 0,'
            " 4 of which go only with their whole IOMMU group of 2"
        )
    }
    assert reason(request, pairs).endswith(" (needed: 3; free: 2 whole groups of 2)")


NICS = (Nic("e0", 0, 4, speed_mbps=10000), Nic("e1", 1, 2, speed_mbps=10000))
BLAMED = {
    "bandwidth": (
        guest("a", 1, interfaces=[vfs("x", "e0", 2, mbps=6000)]),
        (
            "its VFs need more bandwidth than the links of the PFs near it carry"
            " (needed: 6000 Mbit/s for 2 VFs; e0 on node 0 carries 10000)"
        ),
    ),
    "VFs of two interfaces": (
        guest("a", 1, interfaces=[vfs("x", "e0", 3), vfs("y", "e0", 2)]),
        (
            "its interfaces and devices together find too few VFs and devices near it, or of PFs of their own"
            ' (needed: 3 for "x", 2 for "y"; node 0: 4 free of 1 PF; node 1: 0 free)'
        ),
    ),
    "CPUs": (
        guest("a", [3, 3], distinct_nodes=False),
        (
            "its cells together need more free CPUs than their nodes have"
            " (needed: 6 CPUs; free CPUs: node 0: 3, node 1: 0)"
        ),
    ),
    "memory": (
        guest("a", [1, 1], memory_gib=3, distinct_nodes=False),
        (
            "it needs more memory in all than the nodes in its reach have"
            " (needed: 6 GiB in pages of 4 KiB; free MiB in pages of 4 KiB: nodes 0-1: 4096 each)"
        ),
    ),
}


@pytest.mark.parametrize("blamed", BLAMED)
def test_a_constraint_that_is_to_blame_comes_with_need_and_have(blamed: str) -> None:
    asked, said = BLAMED[blamed]
    assert reason(ask(asked, reserved="0,4-7"), host("2n:4c:1t", memory_gib=4, nics=NICS)) == said


def test_a_share_of_a_link_is_told_with_how_many_want_it() -> None:
    found = sentences(ask(BLAMED["bandwidth"][0], reserved="0"), host("2n:4c:1t", nics=NICS))
    assert found["a", "interfaces.x.mbps"] == (
        'interface "x" needs 6000 Mbit/s for each of its 2 VFs; links: e0: 10000'
    )


def test_how_many_are_needed_near_is_told() -> None:
    request = ask(
        guest("a", 1, interfaces=[vfs("x", "p", 3, physnet=True)]), reserved="0-3", physnets={"p": ("e0", "e1")}
    )
    assert sentences(request, host("2n:4c:1t", nics=NICS))["a", "interfaces.x.affinity"] == (
        'interface "x" with affinity required: needs 3 VFs on a node of the guest; free: node 0: 4, node 1: 2'
    )


def test_one_of_a_thing_is_not_told_in_the_plural() -> None:
    one_page = host("1n:4c:1t", pages={"1GiB": 1})
    said = reason(ask(guest("a", 1, memory_gib=2, page_size="1GiB"), reserved="0"), one_page)
    assert said == "no node can take it: node 0: 1 free 1 GiB page, needs 2"
    over = Excess("CPUs", portion=8, need=2, have=1, nodes=None, weights={})
    assert over.sentence == "they need 2 times 8 CPUs, the host can give that 1 time"


def test_two_guests_that_must_share_nodes_and_must_not_are_told_so() -> None:
    said = 'fits alone, but not together with "{}": "a" and "b" are linked by affinity and by anti_affinity,'
    for a, b in (
        (guest("a", 1, affinity=["b"], anti_affinity=["b"]), guest("b", 1)),
        (guest("a", 1, anti_affinity=["b"]), guest("b", 1, affinity=["a"])),
    ):
        request, snapshot = ask(a, b), host("2n:4c:1t")
        _, reasons = conflict(request, host_facts(request, snapshot))
        assert [each.reason for each in reasons] == [f"{said.format(other)} which exclude each other" for other in "ba"]


def test_a_device_that_its_iommu_group_keeps_back_is_named_beside_those_that_are_free() -> None:
    snapshot = with_card(host("2n:4c:1t"))
    alone = PciDevice(PciAddress(0, 1, 0, 0), "10de", "20b5", "030000", NodeId(0))
    snapshot = replace(snapshot, pci=(alone, *snapshot.pci))
    card = (DeviceRequest("card", vendor="10de", device="20b5"),)
    a, b = (replace(guest(name, 1), devices=card) for name in "ab")
    bound = f"{CARD} goes only together with the rest of its IOMMU group ({AUDIO})"
    needs = "needs 1 device with vendor 10de, device 20b5"
    found = sentences(ask(a, b, reserved="0"), snapshot)
    assert found["a", "devices.card"] == f'device "card" {needs}; free: node 0: 1, node 1: 0; {bound}'
    assert reasons(ask(a, reserved="0-3"), snapshot) == {
        "a": (
            f'device "card" {needs} with affinity required: node 0: 1 free, but no room: 0 free CPUs, needs 1;'
            f" node 1: 0 free; {bound}"
        )
    }
    request = ask(a, reserved="0")
    plan = solve(request, snapshot, budget=Budget())
    (why,) = explain_places(request, host_facts(request, snapshot), plan.placements)
    assert why.reasons == (f'node 1 has 0 free devices near enough for "card", {needs}: {bound}',)


def test_a_link_that_its_function_alone_names_carries_as_much_as_one_that_names_its_function() -> None:
    told = host("1n:8c:1t", nics=[Nic("e0", 0, 4, speed_mbps=10000)])
    untold = replace(told, links=tuple(replace(link, pci=None) for link in told.links))
    one = guest("a", 1, interfaces=[vfs("x", "e0", 2, mbps=6000)])
    many = [guest(name, 1, interfaces=[vfs("x", "e0", 1, mbps=6000)]) for name in "ab"]
    for request in (ask(one, reserved="0"), ask(*many, reserved="0")):
        said = conflict(request, host_facts(request, told))
        assert "10000" in said[1][0].reason
        assert conflict(request, host_facts(request, untold)) == said
    free = host_facts(ask(one), replace(told, links=(Link("lo", speed_mbps=1),)))
    assert [free.link_speed(address) for address in (None, told.pci[0].address)] == [None, None]


def test_memory_that_no_page_divides_is_told_to_the_kib() -> None:
    asked = guest("a", 1)
    asked = replace(asked, cells=(replace(asked.cells[0], memory_kib=GIB + 1),))
    found = reason(ask(asked, reserved="0"), host("1n:4c:1t", pages={"1GiB": 4}))
    assert found.startswith(f"no node can take it: node 0: {GIB + 1} KiB {NO_PAGES}")
