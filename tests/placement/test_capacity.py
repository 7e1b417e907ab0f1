"""How many copies fit, on hosts built here: links, guests that are there, others that move, words for one more."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from numaplan.cpuset import CpuSet
from numaplan.model.capacity import Capacity
from numaplan.model.guest import Guest, VcpuId, VcpuPin
from numaplan.model.host import NodeId
from numaplan.model.plan import Limit, Plan, Status
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import demands
from numaplan.placement.capacity import fit
from numaplan.placement.capacity.addition import Grown
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.capacity.room import Room
from numaplan.placement.capacity.supply import Supply
from numaplan.placement.cpsat import Outcome
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations
from numaplan.spec.synthetic import parse_synthetic
from tests.hosts import GIB, Nic, host
from tests.placement.growing import with_more
from tests.requests import ask, guest, vfs


def counted(
    request: Request, snapshot: Snapshot, vm: str = "fw", *, together: bool = False, apart: bool = False
) -> Capacity:
    found = count_copies(request, snapshot, vm, together=together, apart=apart)
    assert isinstance(found, Counted)
    assert list(placement_violations(Facts(found.request, snapshot), found.capacity.placements)) == []
    assert found.capacity.proven
    assert found.capacity.fit == len(found.capacity.copies)
    return found.capacity


def pinned(name: str, *cpus: int) -> Guest:
    pins = tuple(VcpuPin(VcpuId(i), CpuSet.parse(str(cpu)), line=1) for i, cpu in enumerate(cpus))
    return Guest(name, f"{name}.xml", len(cpus), GIB, vcpu_pins=pins, running=True)


NO_ADDITION = "no addition to a node makes room for one more fw"
NO_NODE = "no node to it that has all that it needs, or could have it"
HOST = host("2n:4c:2t", pages={"1GiB": [4, 9]}, nics=[Nic("ens0", 0, 4), Nic("ens1", 1, 4)], memory_gib=16)


@pytest.mark.parametrize(
    ("request_", "fit", "sentence"),
    [
        (ask(guest("fw", 4), reserved="0"), 3, "1 more free CPU on node 0 (have 3, need 4)"),
        (
            ask(guest("fw", 4, thread_policy="require"), reserved="0"),
            3,
            "1 more whole free core on node 0 (have 1, need 2)",
        ),
        (
            ask(guest("fw", 3, thread_policy="isolate"), reserved="0"),
            2,
            "2 more free cores of its own on node 0 (have 1, need 3)",
        ),
        (
            ask(guest("fw", 1, page_size="1GiB", memory_gib=3), reserved="0"),
            4,
            "2 more free 1 GiB pages on node 0 (have 1, need 3)",
        ),
        (
            ask(guest("fw", 3, memory_gib=9), reserved="0"),
            2,
            "2 GiB more of ordinary memory on node 0 (have 7 GiB, need 9 GiB)",
        ),
        (
            ask(guest("fw", 1, interfaces=[vfs("data", "ens0", 3)]), reserved="0"),
            1,
            "2 more free VFs of ens0 on node 0 (have 1, need 3)",
        ),
        (
            ask(guest("fw", 1, interfaces=[vfs("data", "ens0", mbps=10000)]), reserved="0"),
            2,
            "5000 more Mbit/s of the link of ens0 on node 0 (have 5000, need 10000)",
        ),
        (
            ask(guest("fw", 3, cpu_policy="shared"), reserved="0", shared="1-2"),
            2,
            "room for 1 more shared vCPU on node 0 (have 2, need 3)",
        ),
        (ask(guest("fw", 16), reserved="0"), 0, "8 more free CPUs on node 1 (have 8, need 16)"),
        (
            ask(guest("fw", 16, page_size="1GiB", memory_gib=16), reserved="0"),
            0,
            "8 more free CPUs on node 1 (have 8, need 16) and 7 more free 1 GiB pages on node 1 (have 9, need 16)",
        ),
    ],
    ids=["CPUs", "whole cores", "own cores", "pages", "memory", "VFs", "bandwidth", "pool", "large", "two at once"],
)
def test_one_more_needs_the_least_of_what_is_short(request_: Request, fit: int, sentence: str) -> None:
    found = counted(request_, HOST)
    assert found.fit == fit
    assert found.next.sentence == f"one more fw needs {sentence}"


@pytest.mark.parametrize(
    ("spec", "wanted", "sentence"),
    [
        pytest.param(
            "2 nodes, 16 cores; 1GiB@0=9, 1GiB@1=11",
            guest("fw", 1, page_size="1GiB", memory_gib=3),
            "1 more free 1 GiB page on node 1 (have 2, need 3)",
            id="pages",
        ),
        pytest.param(
            "2 nodes, 8 cores; 1GiB@1=2",
            guest("fw", 1, page_size="1GiB", memory_gib=3),
            "1 more free 1 GiB page on node 1 (have 2, need 3)",
            id="a-node-without",
        ),
        pytest.param(
            "2 nodes, 8 cores, 14GiB; 2MiB@0=3072",
            guest("fw", 1, memory_gib=8),
            "1 GiB more of ordinary memory on node 1 (have 7 GiB, need 8 GiB)",
            id="memory",
        ),
    ],
)
def test_the_node_that_misses_least_is_named(spec: str, wanted: GuestRequest, sentence: str) -> None:
    assert counted(ask(wanted, reserved="0"), parse_synthetic(spec)).next.sentence == f"one more fw needs {sentence}"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("2 nodes, 8 cores, 2GiB", "3 GiB more of ordinary memory on node 0 (have 0 KiB, need 3 GiB)"),
        (
            "2 nodes, 8 cores, 7GiB; 2MiB@0=1024",
            "512 MiB more of ordinary memory on node 1 (have 1536 MiB, need 2 GiB)",
        ),
    ],
    ids=["on-all-nodes", "on-another-node"],
)
def test_a_node_with_less_than_is_reserved_lacks_that_only_where_somebody_wants_memory_there(
    spec: str, sentence: str
) -> None:
    request = ask(guest("fw", 1, memory_gib=2), reserved="0", reserved_memory_gib=2)
    assert counted(request, parse_synthetic(spec)).next.sentence == f"one more fw needs {sentence}"


def sized(page_size: str, *mib: int, memory_policy: str = "strict") -> GuestRequest:
    """A guest with a cell of each size."""
    one = guest("fw", [1] * len(mib), page_size=page_size, memory_policy=memory_policy)
    return replace(
        one, cells=tuple(replace(cell, memory_kib=size << 10) for cell, size in zip(one.cells, mib, strict=True))
    )


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("2 nodes, 4 cores, 8GiB; 1GiB=4", sized("large", 1536)),
        ("2 nodes, 4 cores, 8GiB", sized("large", 1536)),
        ("2 nodes, 4 cores; 1GiB=4", sized("any", 1536)),
        ("2 nodes, 4 cores", sized("any", 1536)),
        ("2 nodes, 4 cores; 1GiB@1=4", sized("large", 2048, 1536)),
        ("2 nodes, 4 cores", sized("large", 1536, memory_policy="preferred")),
    ],
    ids=["large", "large-no-pages", "any", "any-no-pages", "cells", "preferred"],
)
def test_pages_of_a_size_that_the_host_lacks_are_enough_and_fewer_are_not(spec: str, wanted: GuestRequest) -> None:
    request, snapshot = ask(wanted, reserved="0"), parse_synthetic(spec)
    found = counted(request, snapshot)
    assert found.fit == 0
    assert found.next.sentence.startswith("one more fw needs 768 more free 2 MiB pages on node 0 (")
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 1
    assert counted(*with_more(request, snapshot, row, row.missing - 1)).fit == 0


@pytest.mark.parametrize(
    ("spec", "wanted", "sentence"),
    [
        ("1 nodes, 4 cores, 8GiB; 1GiB=1", sized("large", 2048), "1 more free 1 GiB page on node 0 (have 1, need 2)"),
        (
            "1 nodes, 4 cores, 2GiB",
            sized("any", 3072),
            "1 GiB more of ordinary memory on node 0 (have 2 GiB, need 3 GiB)",
        ),
    ],
    ids=["listed-pages", "ordinary-memory"],
)
def test_pages_of_a_size_that_the_host_lacks_are_not_asked_for_where_others_will_do(
    spec: str, wanted: GuestRequest, sentence: str
) -> None:
    assert counted(ask(wanted, reserved="0"), parse_synthetic(spec)).next.sentence == f"one more fw needs {sentence}"


def test_no_pages_help_where_none_divide_the_memory() -> None:
    found = counted(ask(sized("large", 1537), reserved="0"), parse_synthetic("2 nodes, 4 cores, 8GiB; 1GiB=4"))
    assert found.next.short == ()
    assert found.next.sentence == (
        f"{NO_ADDITION}, which has no place even alone: no node can take it: nodes 0-1 each: 1537 MiB is not a"
        " multiple of any page size that it may use (the host has huge pages of 1 GiB only)"
    )


@pytest.mark.parametrize("shared", [None, "40"])
def test_a_vm_of_shared_vcpus_on_a_host_without_a_pool_is_told_that(shared: str | None) -> None:
    for wanted in (guest("fw", 2, cpu_policy="shared"), guest("fw", 2, cpu_policy="mixed", dedicated=[0])):
        found = counted(ask(wanted, reserved="0", shared=shared), HOST, apart=True)
        assert (found.fit, found.next.short) == (0, ())
        assert found.next.sentence == (
            "no addition to a node makes room for one more fw: it has shared vCPUs, and the host section of vnf.yaml"
            " names no shared_cpus that are online"
        )


def test_a_node_without_shared_cpus_can_have_a_pool_where_another_node_has_one() -> None:
    """Node 0 has the pool, node 1 the PF."""
    request = ask(guest("fw", 3, cpu_policy="shared", interfaces=[vfs("data", "ens1")]), reserved="0", shared="1")
    snapshot = parse_synthetic("2 nodes, 8 cores, 8GiB; ens1@1: 2 VFs")
    found = counted(request, snapshot)
    assert found.fit == 0
    assert found.next.sentence == "one more fw needs room for 3 more shared vCPUs on node 1 (have 0, need 3)"
    (row,) = found.next.short
    assert counted(*with_more(request, snapshot, row, row.missing)).fit == 1


def test_the_count_of_the_request_means_nothing() -> None:
    one = counted(ask(guest("fw", 4)), HOST)
    three = counted(ask(*(replace(guest(f"fw-{i}", 4), vm="fw") for i in (1, 2, 3))), HOST)
    assert (one.fit, one.next) == (three.fit, three.next)


def test_other_guests_are_placed_beside_the_copies_and_move_for_them() -> None:
    # Left where one would put it first, "big" would leave room for no copy that needs a VF there.
    request = ask(guest("big", 6), guest("fw", 2, interfaces=[vfs("data", "ens0")]), reserved="0,1,8,9")
    assert counted(request, HOST).fit == 2
    assert counted(ask(guest("fw", 2), guest("big", 6), reserved="0"), HOST).fit == 4


def test_guests_that_need_not_be_placed_make_way_and_are_told() -> None:
    request = ask(guest("fw", 4), guest("extra", 8, required=False), reserved="0")
    found = counted(request, HOST)
    assert found.fit == 3
    assert "left out, as they are not required: extra" in found.notes


def test_where_the_others_have_no_place_there_is_a_conflict_and_no_number() -> None:
    found = count_copies(ask(guest("fw", 2), guest("huge", 9)), HOST, "fw", together=False, apart=False)
    assert not isinstance(found, Counted)
    assert found.status is Status.INFEASIBLE
    assert found.conflict is not None


def test_copies_that_keep_apart_are_one_a_node() -> None:
    found = counted(ask(guest("fw", 2), reserved="0"), HOST, apart=True)
    assert found.fit == 2
    assert found.next.short == ()
    assert found.next.sentence == f"{NO_ADDITION}: its anti_affinity to the other copies leaves {NO_NODE}"


def test_copies_that_keep_together_are_on_one_node() -> None:
    found = counted(ask(guest("fw", 2), reserved="0"), HOST, together=True)
    assert found.fit == 4
    assert {placement.nodes for placement in found.placements} == {(1,)}
    assert found.next.sentence == "one more fw needs 2 more free CPUs on node 1 (have 0, need 2)"


@pytest.mark.parametrize("mine", [True, False])
def test_links_to_other_guests_hold_for_every_copy_whoever_names_the_other(*, mine: bool) -> None:
    db = guest("db", 2, anti_affinity=() if mine else ["fw"])
    request = ask(db, guest("fw", 2, anti_affinity=["db"] if mine else ()), reserved="0")
    found = counted(request, HOST)
    assert found.fit == 4
    nodes = {placement.vm: placement.nodes for placement in found.placements}
    assert all(nodes[copy] != nodes["db"] for copy in found.copies)


def test_guests_that_stay_keep_what_they_hold_and_bind_what_is_linked_to_them() -> None:
    staying = host("2n:4c:2t", guests=[pinned("old", 0, 1, 2)])
    assert counted(ask(guest("fw", 3), reserved="4"), staying).fit == 3
    assert counted(ask(guest("fw", 3, affinity=["old"]), reserved="4"), staying).fit == 1
    assert counted(ask(guest("fw", 3, anti_affinity=["old"]), reserved="4"), staying).fit == 2


def test_a_pool_on_which_too_many_float_already_lacks_these_as_well() -> None:
    floating = tuple(VcpuPin(VcpuId(i), CpuSet.parse("0-3"), line=1) for i in range(3))
    full = host("1n:4c:1t", guests=[Guest("old", "old.xml", 3, GIB, vcpu_pins=floating, running=True)])
    request = ask(guest("fw", 2, cpu_policy="shared"), shared="0", shared_ratio=2)
    found = counted(request, full)
    assert found.fit == 0
    assert found.next.sentence == "one more fw needs room for 3 more shared vCPUs on node 0 (have 0, need 3)"


@pytest.mark.parametrize("names", [("fw",), ("fw-1", "fw-7"), ("fw", "fw-2", "fw-3", "fw-4", "fw-5")])
def test_copies_that_are_there_give_back_what_they_hold_and_count_as_copies(names: tuple[str, ...]) -> None:
    there = [pinned(name, 3 * i % 16, 3 * i % 16 + 1) for i, name in enumerate(names)]
    found = counted(ask(guest("fw", 4), reserved="4"), host("2n:4c:2t", guests=there))
    assert found.fit == 3
    assert found.copies[: len(names)] == names[:3]
    told = "1 copy of fw is" if len(names) == 1 else f"{len(names)} copies of fw are"
    assert any(note.startswith(f"{told} on the host already (fw") for note in found.notes)


def test_a_guest_of_another_name_is_no_copy() -> None:
    there = [pinned("fw-01", 0, 1), pinned("fw-x", 2, 3), pinned("fwd", 4, 5)]
    assert counted(ask(guest("fw", 4), reserved="14"), host("2n:4c:2t", guests=there)).fit == 2


def test_an_iommu_group_goes_to_one_copy_whole() -> None:
    paired = host("1n:8c:1t", nics=[Nic("ens0", 0, 6, per_group=2)])
    assert counted(ask(guest("fw", 1, interfaces=[vfs("data", "ens0", 2)])), paired).fit == 3
    assert counted(ask(guest("fw", 1, interfaces=[vfs("data", "ens0", 1)])), paired).fit == 0


@pytest.mark.parametrize("near", [True, False])
def test_a_link_of_another_guest_to_one_that_is_left_out_binds_no_copy(*, near: bool) -> None:
    """Copies that IOMMU groups tell apart are several units of one name."""
    paired = host("2n:8c:1t", nics=[Nic("ens0", 0, 6, per_group=2), Nic("ens1", int(near), 1)])
    gone = ["gone"]
    other = guest(
        "db",
        1,
        interfaces=[vfs("data", "ens1")],
        affinity=gone if near else [],
        anti_affinity=[] if near else gone,
    )
    copies = guest("fw", 1, interfaces=[vfs("data", "ens0", 2)])
    assert counted(ask(other, copies, guest("gone", 1, required=False)), paired).fit == 3


def test_the_same_question_has_the_same_answer() -> None:
    request = ask(guest("fw", [2, 1]), guest("db", 3, thread_policy="isolate"), reserved="0")
    assert counted(request, HOST) == counted(request, HOST)


def test_where_it_is_not_settled_whether_less_would_do_what_is_enough_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Grown.room

    def undecided(host: Grown, more: Mapping[Supply, int], *, node: NodeId | None = None) -> Room:
        found = real(host, more, node=node)
        return Room(Outcome.UNKNOWN) if found.outcome is Outcome.INFEASIBLE else found

    monkeypatch.setattr(Grown, "room", undecided)
    found = counted(ask(guest("fw", 3, thread_policy="isolate"), reserved="0"), HOST)
    assert found.next.short == ()
    assert found.next.sentence == (
        "one more fw has a place with 2 more free cores of its own on node 0 (have 1, need 3);"
        " whether less would do was not settled within the limit of work"
    )


def test_nothing_is_proven_where_there_are_more_ways_to_lie_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those looked at have both cells on one node, where two of five CPUs are left over for cells of others."""
    request = ask(guest("fw", (1, 2), distinct_nodes=False), reserved="0")
    snapshot = host("8n:5c:1t")
    monkeypatch.setattr(demands, "MAX_OPTIONS", 8)
    found = count_copies(request, snapshot, "fw", together=False, apart=False)
    assert isinstance(found, Counted)
    assert not found.capacity.proven


def test_where_cpus_are_not_named_within_the_limit_there_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "WORK", 0.0)
    found = count_copies(ask(guest("fw", 2), reserved="0"), host("2n:4c:2t"), "fw", together=False, apart=False)
    assert isinstance(found, Plan)
    assert (found.status, found.limit, found.placements) == (Status.UNKNOWN, Limit.WORK, ())


@pytest.mark.parametrize(("caches", "fit"), [(("0-3", "4-7"), 0), (("0-3,5-7", "4"), 3)])
def test_no_number_is_proven_where_cores_with_threads_in_several_caches_may_hold_more(
    caches: tuple[str, str], fit: int
) -> None:
    snapshot = host("1n:4c:2t")
    apart = tuple(replace(snapshot.llcs[0], cpus=CpuSet.parse(cpus)) for cpus in caches)
    request = ask(guest("fw", 2, thread_policy="require"))
    found = count_copies(request, replace(snapshot, llcs=apart), "fw", together=False, apart=False)
    assert isinstance(found, Counted)
    assert (found.capacity.fit, found.capacity.proven) == (fit, False)
    assert any("threads in several caches" in note for note in found.capacity.notes)
