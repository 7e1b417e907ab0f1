"""The fixes of requests whose conflict is plain: what they say, what they cost, and what their patch is."""

from dataclasses import replace
from typing import Any

import pytest

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.api.question import Question
from numaplan.model.host import HugepagePool
from numaplan.model.plan import Document, Fix, Operation, Status
from numaplan.model.snapshot import Snapshot
from tests.hosts import Nic, host
from tests.placement.fixes_cases import question

GIB = 1 << 20
# Guests whose memory is no number of pages of 1 GiB, nor always one of pages of 2 MiB.
WRONG = (("b", 512), ("c", 513), ("d", 514))


def vm(name: str = "a", vcpus: int = 2, **keys: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever vnf.yaml takes
    return {"name": name, "vcpus": vcpus, "memory": "1GiB", **keys}


def ask(snapshot: Snapshot, *vms: dict[str, Any], **policy: Any) -> Question:  # noqa: ANN401  # as above
    policy = {"reserved_cpus": "", "reserved_memory": "0KiB", **policy}
    return question({"apiVersion": "numaplan/v1", "host": policy, "vms": list(vms)}, snapshot)


def fixes(snapshot: Snapshot, *vms: dict[str, Any], **policy: Any) -> tuple[Fix, ...]:  # noqa: ANN401  # as above
    asked = ask(snapshot, *vms, **policy)
    plan = place(asked).plan
    assert plan.status is Status.INFEASIBLE
    conflict = with_fixes(asked, plan).conflict
    assert conflict is not None
    return conflict.fixes


def sentences(*arguments: Any, **policy: Any) -> list[str]:  # noqa: ANN401  # those of `fixes`
    return [fix.sentence for fix in fixes(*arguments, **policy)]


def test_a_guest_that_is_too_wide_for_the_node_of_its_vfs_may_be_away_from_them_or_in_two_halves() -> None:
    snapshot = host("2n:3c:1t", nics=[Nic("ens0", 0, 2)])
    data = {"name": "data", "pf": "ens0"}
    assert sentences(snapshot, vm("a", interfaces=[data]), vm("b", interfaces=[data]), reserved_cpus="0,3") == [
        "let a's affinity of data be preferred: cost 110",
        "let b's affinity of data be preferred: cost 110",
        "split a and b into two cells: cost 280",
        "let a be left out (required: false): cost 1000",
        "let b be left out (required: false): cost 1000",
    ]


def test_the_nearest_affinity_that_is_enough_is_chosen() -> None:
    snapshot = host("2n:3c:1t", nodes_per_package=2, nics=[Nic("ens0", 0, 2)])
    data = {"name": "data", "pf": "ens0"}
    first = fixes(snapshot, vm("a", interfaces=[data]), vm("b", interfaces=[data]), reserved_cpus="0,3")[0]
    assert first.sentence == "let a's affinity of data be socket: cost 110"
    assert first.patch == (Operation("add", "/vms/0/interfaces/0/affinity", "socket"),)


def test_the_least_number_of_pages_is_reserved_and_made_of_ordinary_memory() -> None:
    snapshot = host("2n:4c:1t", pages={"1GiB": [1, 2]}, memory_gib=4)
    first, second, *_ = fixes(snapshot, vm(memory="4GiB", page_size="1GiB"))
    assert (first.sentence, first.document) == ("reserve 2 more 1 GiB pages on node 1: cost 2", Document.INVENTORY)
    assert first.patch == (
        Operation("replace", "/numa_nodes/1/free_kib", 2 * GIB),
        Operation("replace", "/numa_nodes/1/available_kib", 2 * GIB),
        Operation("replace", "/numa_nodes/1/hugepages/0/total", 4),
        Operation("replace", "/numa_nodes/1/hugepages/0/free", 4),
    )
    assert second.sentence == "reserve 3 more 1 GiB pages on node 0: cost 3"


def test_pages_for_which_a_node_has_no_memory_left_need_more_of_it() -> None:
    snapshot = host("1n:4c:1t", pages={"1GiB": 1}, memory_gib=3)
    said = sentences(snapshot, vm(memory="4GiB", page_size="1GiB"), reserved_memory="1GiB")
    assert said[:1] == [
        "reserve 3 more 1 GiB pages on node 0 (which needs 1 GiB more memory there): cost 13",
    ]


def test_a_host_that_shows_no_pools_is_asked_for_the_pages_that_are_wanted() -> None:
    snapshot = host("2n:4c:1t")
    bare = replace(snapshot, nodes=tuple(replace(node, hugepages=()) for node in snapshot.nodes))
    assert "reserve 3 more 1 GiB pages on node 0: cost 3" in sentences(bare, vm(memory="3GiB", page_size="1GiB"))


@pytest.mark.parametrize("page_size", ["large", "2MiB"])
@pytest.mark.parametrize("sizes", [(), (GIB,)], ids=["no pools", "1 GiB pools"])
def test_pages_of_the_usual_size_are_reserved_though_the_host_lists_none(
    page_size: str, sizes: tuple[int, ...]
) -> None:
    snapshot = host("1n:4c:1t")
    pools = tuple(HugepagePool(size, total=4, free=4) for size in sizes)
    bare = replace(snapshot, nodes=tuple(replace(node, hugepages=pools) for node in snapshot.nodes))
    said = sentences(bare, vm(memory="1536MiB", page_size=page_size))
    assert said[0] == "reserve 768 more 2 MiB pages on node 0: cost 2"


def test_what_no_node_needs_alone_is_asked_of_several() -> None:
    snapshot = host("2n:3c:1t", pages={"1GiB": [1, 1]}, memory_gib=8)
    guests = [vm(name, memory="2GiB", page_size="1GiB") for name in ("a", "b")]
    said = sentences(snapshot, *guests)
    assert said[0] == "reserve 1 more 1 GiB page on node 0 and 1 more 1 GiB page on node 1: cost 2"


def test_a_vf_more_is_a_whole_device_with_a_group_of_its_own() -> None:
    snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 2)])
    first = fixes(snapshot, vm(interfaces=[{"name": "data", "pf": "ens0", "count": 3}]))[0]
    assert first.sentence == "configure 1 more VF on ens0: cost 5"
    assert [operation.path for operation in first.patch] == [
        "/pci/0/sriov/configured",
        "/pci/0/sriov/vfs",
        "/pci/3",
        "/iommu_groups/3",
    ]
    added = first.patch[2].value
    assert isinstance(added, dict)
    assert (added["address"], added["physfn"], added["netdevs"]) == ("0000:11:00.2", "0000:10:00.0", [])
    assert first.patch[3].value == {"id": added["iommu_group"], "devices": ["0000:11:00.2"]}


def test_a_pf_without_vfs_gets_them_where_another_of_its_model_shows_their_addresses() -> None:
    snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 2), Nic("ens1", 0, 0)])
    first = fixes(snapshot, vm(interfaces=[{"name": "data", "pf": "ens1"}]))[0]
    assert first.sentence == "configure 1 more VF on ens1: cost 5"


def test_as_many_copies_are_placed_as_fit() -> None:
    snapshot = host("2n:3c:1t")
    last = fixes(snapshot, vm(count=5, cells=1))[-1]
    assert last.sentence == "place 2 of 5 copies of a: cost 3000"
    assert last.patch == (Operation("replace", "/vms/0/count", 2),)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("fw", "place 2 of 3 copies of fw: cost 1000"),
        ("fw-1", "place 2 of 3 copies of fw: cost 1000"),
        ("fw-3", "let fw be left out (required: false): cost 3000"),
    ],
)
def test_a_copy_that_another_vm_names_stays_or_may_be_left_out_with_all(named: str, said: str) -> None:
    guests = [vm("fw", count=3), vm("x", 1, affinity=[named])]
    assert sentences(host("1n:6c:1t"), *guests) == [said]


def test_a_single_copy_has_no_number_by_which_others_could_name_it() -> None:
    guests = [vm("fw", count=2, anti_affinity=["fw"]), vm("x", 1, affinity=["fw-1"])]
    assert sentences(host("1n:6c:1t"), *guests)[-1] == "let fw be left out (required: false): cost 2000"


def test_what_is_worth_least_is_left_out_where_one_guest_is_not_enough() -> None:
    snapshot = host("1n:5c:1t")
    guests = [vm(name, priority=priority) for name, priority in (("a", 3), ("b", 1), ("c", 1), ("d", 3))]
    assert sentences(snapshot, *guests)[-1] == "let b and c be left out (required: false): cost 2000"


def test_cpus_that_the_host_keeps_or_that_nobody_shares_are_named() -> None:
    snapshot = host("1n:4c:2t")
    said = sentences(snapshot, vm(vcpus=5), reserved_cpus="0-1,4-5")
    assert said[0] == "reserve CPU 1 no longer: cost 20"
    shared = sentences(snapshot, vm(vcpus=6, cpu_policy="shared"), shared_cpus="0")
    assert shared[:2] == ["add CPU 4 of node 0 to shared_cpus: cost 5", "let shared_ratio be 6: cost 20"]


def test_siblings_that_would_only_be_idle_stay_reserved() -> None:
    said = sentences(host("1n:4c:2t"), vm(vcpus=3, thread_policy="isolate"), reserved_cpus="0-2,4-6")
    assert said[0] == "reserve CPUs 1-2 no longer: cost 40"


def test_a_cpu_that_makes_a_core_whole_is_given_up_before_a_core_that_is_reserved() -> None:
    said = sentences(host("1n:4c:2t"), vm(vcpus=4, thread_policy="require"), reserved_cpus="0-3,4,7")
    assert said[0] == "reserve CPUs 1-2 no longer: cost 40"


def test_a_cpu_of_each_of_two_nodes_is_given_up_where_more_of_one_are_needed() -> None:
    guests = [vm("a", 3, thread_policy="require"), vm("b", 2, thread_policy="isolate")]
    snapshot = host("2n:4c:2t")
    first, *_ = fixes(snapshot, *guests, reserved_cpus="0-2,4-6,8-10,12-14")
    assert first.sentence == "reserve CPUs 2,6 no longer: cost 40"
    assert first.patch == (Operation("replace", "/host/reserved_cpus", "0-1,4-5,8-10,12-14"),)
    for back in ("0-2,4-5,8-10,12-14", "0-1,4-6,8-10,12-14"):
        assert place(ask(snapshot, *guests, reserved_cpus=back)).plan.status is Status.INFEASIBLE


def test_cpus_that_are_given_up_beside_something_else_are_told_as_one_set_and_none_is_idle() -> None:
    guests = [vm(name, 3, thread_policy="isolate", memory="2GiB", page_size="2MiB") for name in "ab"]
    snapshot = host("2n:4c:2t", memory_gib=8)
    said = sentences(snapshot, *guests, reserved_cpus="0-2,4-6,8-10,12-14", reserved_memory="7GiB")
    assert said[0] == (
        "let a's thread_policy and b's thread_policy be require, let a's page_size and b's page_size be 4KiB,"
        " reserve CPUs 2,6 no longer and reserve 6 GiB instead of 7 GiB of memory on each node: cost 90"
    )


def test_thread_policies_and_cpus_of_qemu_are_given_up_as_far_as_needed() -> None:
    snapshot = host("1n:2c:2t")
    said = sentences(snapshot, vm(vcpus=3, thread_policy="isolate", emulator="isolate"))
    assert "let a's thread_policy be require: cost 20" in said
    tight = sentences(snapshot, vm(vcpus=4, emulator="isolate"), shared_cpus="")
    assert not any("thread_policy" in each for each in tight)


def test_links_cells_and_pfs_that_must_be_apart_may_be_together() -> None:
    one = host("1n:8c:1t", nics=[Nic("ens0", 0, 2)])
    assert "drop a from b's anti_affinity: cost 50" in sentences(one, vm("a"), vm("b", anti_affinity=["a"]))
    assert "let cells of a share a node (distinct_nodes: false): cost 20" in sentences(one, vm(cells=2))
    data = {"name": "data", "pf": "ens0", "count": 2, "distinct_pfs": True}
    assert "let VFs of a's data share a PF (distinct_pfs: false): cost 20" in sentences(one, vm(interfaces=[data]))


def test_several_kinds_are_changed_where_no_single_one_is_enough() -> None:
    snapshot = host("1n:4c:1t")
    said = sentences(snapshot, vm(cells=2, memory="1GiB", page_size="2MiB"))
    assert said[0] == "let a's page_size be 4KiB and let cells of a share a node (distinct_nodes: false): cost 22"


def test_one_guest_is_split_where_not_all_of_them_can_be() -> None:
    snapshot = host("2n:9c:1t", nodes_per_package=1, memory_gib=32)
    guests = [vm("a", 6), vm("b", 6, anti_affinity=["a"]), vm("c", 4)]
    assert sentences(snapshot, *guests, reserved_cpus="0,9")[0] == "split c into two cells: cost 140"
    tight = host("2n:9c:1t", memory_gib=4)
    guests[1] = vm("b", 6)
    said = sentences(tight, *guests, reserved_cpus="0,9", guest_overhead="768MiB")
    assert said[0] == "split c into two cells: cost 140"


def test_kinds_that_help_together_are_found_though_splitting_beside_them_would_do_harm() -> None:
    snapshot = host("2n:5c:2t", memory_gib=4)
    apart = [("a", ["b", "c"]), ("b", ["c"]), ("c", [])]
    guests = [vm(name, 4, thread_policy="isolate", anti_affinity=others) for name, others in apart]
    said = sentences(snapshot, *guests, reserved_cpus="0,5,10,15", guest_overhead="1GiB")
    assert (
        said[0] == "let b's thread_policy and c's thread_policy be require and drop c from b's anti_affinity: cost 90"
    )


def test_one_guest_is_left_out_and_others_make_do_where_leaving_out_alone_takes_more() -> None:
    snapshot = host("2n:9c:1t", nics=[Nic("ens0", 0, 4)], memory_gib=8)
    hopeless = vm("a", interfaces=[{"name": "data", "pf": "ens0", "count": 5}])
    guests = [vm("b", 8, emulator="isolate"), vm("c", 5, iothreads={"count": 4, "policy": "dedicated"})]
    assert sentences(snapshot, hopeless, *guests, reserved_cpus="0,8") == [
        "let a be left out (required: false), let b's emulator be share and reserve CPU 8 no longer: cost 1030",
        "let a and b be left out (required: false): cost 2000",
    ]


def test_what_many_guests_need_each_for_itself_is_told_of_them_alone() -> None:
    snapshot = host("2n:44c:1t", pages={"1GiB": 20, "2MiB": 8192}, memory_gib=64)
    # Half a page on each of two nodes.
    guests = [vm(f"g{i}", 2, page_size="1GiB", cells=1 + i % 2) for i in range(40)]
    fix = fixes(snapshot, *guests)[0]
    assert fix.sentence == (
        "let g1's page_size, g3's page_size, g5's page_size, g7's page_size, g9's page_size, g11's page_size, "
        "g13's page_size, g15's page_size and 12 more be 2MiB: cost 40"
    )
    assert [operation.path for operation in fix.patch] == [f"/vms/{i}/page_size" for i in range(1, 40, 2)]


def test_guests_that_all_need_another_value_get_the_first_that_is_enough_for_each() -> None:
    snapshot = host("1n:10c:1t", pages={"1GiB": 4, "2MiB": 2048}, memory_gib=32)
    guests = [vm("a", page_size="1GiB"), *(vm(name, memory=f"{mib}MiB", page_size="1GiB") for name, mib in WRONG)]
    assert sentences(snapshot, *guests)[0] == (
        "let b's page_size and d's page_size be 2MiB and let c's page_size be 4KiB: cost 6"
    )


def test_a_plan_that_is_not_infeasible_stays_as_it_is() -> None:
    asked = ask(host("1n:4c:1t"), vm())
    plan = place(asked).plan
    assert with_fixes(asked, plan) is plan


def test_the_same_question_gives_the_same_fixes() -> None:
    snapshot = host("2n:4c:2t", pages={"1GiB": 1}, nics=[Nic("ens0", 0, 2)])
    guests = [vm(name, 4, page_size="1GiB", interfaces=[{"name": "d", "pf": "ens0"}]) for name in "abc"]
    assert fixes(snapshot, *guests) == fixes(snapshot, *guests)


def test_of_many_guests_that_may_be_left_out_the_first_are_told_by_name_and_the_patch_has_all() -> None:
    (fix,) = fixes(host("1n:2c:1t"), *(vm(f"g{i}") for i in range(12)), reserved_cpus="0")
    assert fix.sentence == ("let g0, g1, g2, g3, g4, g5, g6, g7 and 4 more be left out (required: false): cost 12000")
    assert [operation.path for operation in fix.patch] == [f"/vms/{i}/required" for i in range(12)]


def test_pages_are_made_of_what_no_guest_can_want_of_their_node() -> None:
    """Of cells on nodes of their own one lies on each, and QEMU's own memory is wanted there once for them all."""
    either = vm("a", memory="8GiB", page_size="any", cells=2)
    told = sentences(
        host("2n:4c:1t", pages={"1GiB": 0}, memory_gib=8), either, vm("b", memory="4GiB", page_size="1GiB")
    )
    assert "reserve 4 more 1 GiB pages on node 0: cost 4" in told
    both = vm("a", memory="8GiB", page_size="1GiB", cells=2, distinct_nodes=False)
    told = sentences(host("1n:4c:1t", pages={"1GiB": 0}, memory_gib=12), both, guest_overhead="4GiB")
    assert "reserve 8 more 1 GiB pages on node 0: cost 8" in told
