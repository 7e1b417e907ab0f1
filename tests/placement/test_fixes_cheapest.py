"""Of what would help the cheapest is told: at whichever node or PF it is, for all copies, with memory counted once."""

from collections.abc import Sequence
from itertools import product
from operator import add
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numaplan.api.fixes import with_fixes
from numaplan.api.place import place
from numaplan.model.plan import Status
from numaplan.model.snapshot import Snapshot
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible
from numaplan.spec.synthetic import parse_synthetic
from tests.depth import draws
from tests.placement.fixes_cases import after, question

FOUND = {Status.OPTIMAL, Status.FEASIBLE}
BARE = {"reserved_cpus": "0", "reserved_memory": "0KiB"}
NO_POOLS = {"reserved_memory": "0KiB"}
FOUR_NODES = "1 package, 4 nodes, 20 cores, 64GiB; e0@0: 16 VFs; distances 12 32"
FOUR_RESERVED = {"reserved_cpus": "0,5,10,15", "reserved_memory": "1GiB"}


def vm(name: str = "a", vcpus: int = 1, **keys: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever vnf.yaml takes
    return {"name": name, "vcpus": vcpus, "memory": "1GiB", **keys}


def sentences(host: str, policy: dict[str, Any], *vms: dict[str, Any]) -> list[str]:
    """What the fixes say, each of them carried out and found to be enough."""
    asked = question({"apiVersion": "numaplan/v1", "host": policy, "vms": list(vms)}, parse_synthetic(host))
    plan = place(asked).plan
    assert plan.status is Status.INFEASIBLE
    conflict = with_fixes(asked, plan).conflict
    assert conflict is not None
    for fix in conflict.fixes:
        assert place(after(asked, fix)).plan.status in FOUND, fix
    return [fix.sentence for fix in conflict.fixes]


def test_more_memory_is_enough_for_every_copy() -> None:
    said = sentences("1 nodes, 8 cores, 512MiB", BARE, vm(count=3))
    assert said[0] == "have 2560 MiB more ordinary memory on node 0: cost 30"


def test_more_vfs_are_enough_for_every_copy() -> None:
    data = {"name": "data", "type": "sriov", "pf": "ens0", "count": 2}
    said = sentences("1 nodes, 8 cores, 16GiB; ens0@0: 1 of 8 VFs", BARE, vm(count=3, interfaces=[data]))
    assert said[0] == "configure 5 more VFs on ens0: cost 25"


def test_the_pool_is_widened_for_every_copy() -> None:
    policy = {**NO_POOLS, "shared_ratio": 1}
    said = sentences("1 nodes, 8 cores, 16GiB", policy, vm(count=2, cpu_policy="shared"))
    assert said[0] == "add CPUs 6-7 of node 0 to shared_cpus: cost 10"
    tight = {**BARE, "shared_cpus": "1", "shared_ratio": 1}
    said = sentences("1 nodes, 2 cores, 16GiB", tight, vm(vcpus=3, count=3, cpu_policy="shared"))
    assert said[0] == "let shared_ratio be 9: cost 80"


def test_memory_that_is_reserved_and_not_there_is_added_too() -> None:
    said = sentences("1 nodes, 8 cores, 1GiB", {"reserved_cpus": "0"}, vm(memory="2GiB"))
    assert said[0] == "have 3 GiB more ordinary memory on node 0: cost 30"


@pytest.mark.parametrize(
    ("host", "first", "second"),
    [
        pytest.param(
            "8 nodes, 16 cores, 64GiB; 1GiB@0=1, 1GiB@1=1, 1GiB@2=1, 1GiB@7=3",
            "reserve 1 more 1 GiB page on node 7: cost 1",
            "reserve 3 more 1 GiB pages on node 0: cost 3",
            id="one-node-has-most",
        ),
        pytest.param(
            "32 nodes, 64 cores, 256GiB; 1GiB@21=2, 1GiB@31=3",
            "reserve 1 more 1 GiB page on node 31: cost 1",
            "reserve 2 more 1 GiB pages on node 21: cost 2",
            id="many-nodes",
        ),
        pytest.param(
            "8 nodes, 16 cores, 64GiB; 1GiB@5=3, 1GiB@6=2, 1GiB@7=3",
            "reserve 1 more 1 GiB page on node 5: cost 1",
            "reserve 1 more 1 GiB page on node 7: cost 1",
            id="two-alike",
        ),
    ],
)
def test_the_nodes_that_miss_least_get_the_pages(host: str, first: str, second: str) -> None:
    assert sentences(host, BARE, vm(memory="4GiB", page_size="1GiB"))[:2] == [first, second]


def test_of_pages_that_cost_the_same_on_several_nodes_none_is_more_than_needed() -> None:
    cells = [{"vcpus": 2, "memory": "1536MiB"}, {"vcpus": 2, "memory": "2GiB"}]
    guest = vm(vcpus=4, memory="3584MiB", cells=cells, page_size="2MiB")
    said = sentences("2 nodes, 6 cores, 12GiB", BARE, guest)
    assert said[0] == "reserve 768 more 2 MiB pages on node 0 and 1024 more 2 MiB pages on node 1: cost 4"


def test_the_only_node_that_has_the_cpus_is_found_among_many() -> None:
    policy = {"reserved_cpus": "0-31", "reserved_memory": "0KiB"}
    guest = vm(vcpus=2, memory="2GiB", page_size="1GiB", emulator="isolate")
    said = sentences("16 nodes, 48 cores, 64GiB; 1GiB@12=1", policy, guest)
    assert said[0] == "reserve 1 more 1 GiB page on node 12: cost 1"


def test_the_pf_that_misses_least_gets_the_vfs() -> None:
    policy = {**BARE, "physnets": {"p": ["ens0", "ens1", "ens2"]}}
    data = {"name": "d", "type": "sriov", "physnet": "p", "count": 4}
    spec = "3 nodes, 12 cores, 24GiB; ens0@0: 1 of 8 VFs; ens1@1: 1 of 8 VFs; ens2@2: 3 of 8 VFs"
    said = sentences(spec, policy, vm(interfaces=[data]))
    assert said[:2] == ["configure 1 more VF on ens2: cost 5", "configure 3 more VFs on ens0: cost 15"]


def test_of_several_nodes_those_that_miss_least_get_the_pages() -> None:
    guest = vm(vcpus=2, cells=2, memory="8GiB", page_size="1GiB")
    said = sentences("3 nodes, 12 cores, 48GiB; 1GiB@0=3, 1GiB@2=3", BARE, guest)
    assert said[0] == "reserve 1 more 1 GiB page on node 0 and 1 more 1 GiB page on node 2: cost 2"


def test_of_several_choices_of_nodes_the_cheapest_is_told() -> None:
    guest = vm(vcpus=2, cells=2, memory="4GiB", page_size="1GiB")
    said = sentences("3 nodes, 9 cores, 96GiB; 1GiB@0=1", {**BARE, "reserved_cpus": ""}, guest)
    assert said[0] == "reserve 1 more 1 GiB page on node 0 and 2 more 1 GiB pages on node 1: cost 3"


def test_a_little_on_each_of_several_nodes_is_told_before_more_on_one() -> None:
    guests = [vm(name, 2, memory="3GiB", page_size="1GiB") for name in "ab"]
    said = sentences("2 nodes, 8 cores, 64GiB; 1GiB@0=2, 1GiB@1=2", BARE, *guests)
    assert said[:2] == [
        "reserve 1 more 1 GiB page on node 0 and 1 more 1 GiB page on node 1: cost 2",
        "reserve 4 more 1 GiB pages on node 1: cost 4",
    ]


@pytest.mark.parametrize(
    ("spec", "reserved"),
    [("1 nodes, 8 cores, 3GiB; 1GiB=1, 2MiB=512", "0KiB"), ("1 nodes, 8 cores, 4GiB; 1GiB=1, 2MiB=512", "1GiB")],
)
def test_pages_of_two_sizes_are_not_made_of_the_same_memory(spec: str, reserved: str) -> None:
    guests = [vm("a", memory="2GiB", page_size="1GiB"), vm("b", memory="2GiB", page_size="2MiB")]
    said = sentences(spec, {"reserved_cpus": "0", "reserved_memory": reserved}, *guests)
    assert said[0] == (
        "reserve 1 more 1 GiB page on node 0 and 512 more 2 MiB pages on node 0"
        " (which needs 1 GiB more memory there): cost 12"
    )


@pytest.mark.parametrize(
    "keys", [{}, {"emulator": "isolate", "vcpus": 3, "iothreads": 1}], ids=["emulator", "iothread"]
)
def test_threads_that_lack_a_cpu_to_float_on_get_one(keys: dict[str, Any]) -> None:
    said = sentences("2 nodes, 8 cores, 16GiB", NO_POOLS, vm(**{"vcpus": 4, **keys}))
    assert said[:2] == [
        "add CPU 3 of node 0 to shared_cpus: cost 5",
        "add CPU 7 of node 1 to shared_cpus: cost 5",
    ]


def test_pools_on_several_nodes_are_made_at_once() -> None:
    guest = vm(vcpus=2, cells=2, cpu_policy="shared", memory="2GiB")
    said = sentences("2 nodes, 8 cores, 16GiB", NO_POOLS, guest)
    assert said[0] == "add CPU 3 of node 0 and CPU 7 of node 1 to shared_cpus: cost 10"


def test_pools_on_several_nodes_leave_dedicated_vcpus_their_cpus() -> None:
    policy = {**NO_POOLS, "shared_ratio": 1}
    guests = [vm("a", 8, cells=4, cpu_policy="shared", memory="4GiB"), vm("b", 6)]
    assert sentences("4 nodes, 32 cores, 64GiB", policy, *guests)[0] == (
        "add CPUs 6-7 of node 0, CPUs 14-15 of node 1, CPUs 22-23 of node 2"
        " and CPUs 30-31 of node 3 to shared_cpus: cost 40"
    )


def test_what_a_smaller_pool_makes_needless_is_not_told_beside_it() -> None:
    cells = [{"vcpus": 3, "memory": "1GiB"}, {"vcpus": 2, "memory": "1GiB"}]
    wide = {"name": "d", "vcpus": 5, "cells": cells, "page_size": "1GiB"}
    narrow = vm("s", cpu_policy="shared", page_size="2MiB")
    policy = {"reserved_cpus": "0,4"}
    said = sentences("2 packages, 2 nodes, 8 cores, 1 threads; 1GiB=8, 2MiB=2", policy, wide, narrow)
    assert said[0] == "let s's page_size be 1GiB and add CPU 3 of node 0 to shared_cpus: cost 7"


@pytest.mark.parametrize(
    ("host", "reserved", "guests", "said"),
    [
        pytest.param(
            "1 packages, 1 nodes, 3 cores, 4 threads; 1GiB=8; siblings adjacent",
            "0-3,6,10-11",
            [vm(vcpus=4, page_size="1GiB", thread_policy="require")],
            "reserve CPU 6 no longer: cost 20",
            id="core-that-misses-less",
        ),
        pytest.param(
            "1 packages, 1 nodes, 3 cores, 4 threads; 1GiB=8; siblings adjacent",
            "0-3,6-7,9-11",
            [vm(vcpus=4, page_size="1GiB", thread_policy="require")],
            "reserve CPUs 6-7 no longer: cost 40",
            id="two-of-one-core",
        ),
        pytest.param(
            "2 packages, 2 nodes, 8 cores, 2 threads; 1GiB=16; siblings adjacent",
            "0,1,3,5,6,7,9,10,14",
            [
                vm("a", 4, page_size="1GiB", thread_policy="prefer"),
                vm("b", 3, page_size="1GiB", thread_policy="isolate"),
            ],
            "reserve CPU 6 no longer: cost 20",
            id="core-that-is-all-reserved",
        ),
    ],
)
def test_no_fewer_reserved_cpus_of_other_cores_are_enough(
    host: str, reserved: str, guests: list[dict[str, Any]], said: str
) -> None:
    told = [each for each in sentences(host, {"reserved_cpus": reserved}, *guests) if "no longer" in each]
    assert told[0] == said


def test_of_the_guests_that_may_be_away_from_their_vfs_those_are_told_to_which_that_costs_least() -> None:
    guests = [
        vm(name, 3, interfaces=[{"name": "d", "pf": "ens0", "count": count}])
        for name, count in (("a", 4), ("b", 3), ("c", 1), ("d", 2))
    ]
    policy = {"reserved_cpus": "0,11", "reserved_memory": "0KiB"}
    said = sentences("2 packages, 2 nodes, 22 cores, 64GiB; ens0@0: 16 VFs", policy, *guests)
    assert said[:2] == ["let c's affinity of d be preferred: cost 110", "let d's affinity of d be preferred: cost 220"]


DATABASES = [
    pytest.param({}, id="required"),
    pytest.param({"required": False, "priority": 5}, id="optional"),
    pytest.param({"required": False, "priority": 5, "count": 2}, id="one-of-two-has-a-place"),
]


@pytest.mark.parametrize("keys", DATABASES)
def test_distance_costs_what_the_vm_adds_beside_those_that_are_placed_with_it(keys: dict[str, Any]) -> None:
    firewalls = vm("fw", 2, count=3, interfaces=[{"name": "d", "pf": "e0"}])
    said = sentences(FOUR_NODES, FOUR_RESERVED, firewalls, vm("db", 8, cells=2, **keys))
    assert said[:2] == ["let fw's affinity of d be socket: cost 20", "split fw into two cells: cost 150"]


def test_distance_costs_no_less_where_optional_guests_lie_further_apart_without_the_vm() -> None:
    data = {"name": "d", "pf": "e0", "count": 2}
    firewalls = vm("fw", 2, count=2, emulator="isolate", interfaces=[data])
    alone = sentences(FOUR_NODES, FOUR_RESERVED, firewalls)
    beside = sentences(FOUR_NODES, FOUR_RESERVED, firewalls, vm("db", 8, cells=2, count=2, required=False, priority=5))
    assert alone == beside
    assert alone[:2] == ["let fw's emulator be share: cost 20", "let fw's affinity of d be socket: cost 40"]


def test_fewer_copies_of_one_vm_and_another_left_out_are_told_where_that_is_cheaper_than_one_alone() -> None:
    routers, core = vm("vrouter", 4, count=3, cells=2, memory="2GiB"), vm("core", 4, cells=4, memory="4GiB")
    policy = {"reserved_cpus": "0,3,6,9", "reserved_memory": "0KiB"}
    assert sentences("4 nodes, 12 cores, 64GiB", policy, routers, core) == [
        "place 2 of 3 copies of vrouter and let core be left out (required: false): cost 2000",
        "let vrouter be left out (required: false): cost 3000",
    ]


@st.composite
def shortages(draw: st.DrawFn) -> tuple[dict[str, Any], list[int], list[int]]:
    """A request of guests with pages and VFs, and how many of both two or three nodes have: seldom enough."""
    nodes = draw(st.integers(2, 3))
    vms = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        cells = draw(st.integers(1, 2))
        pages = cells * draw(st.integers(1, 2))
        guest = vm(name, cells * draw(st.integers(1, 2)), memory=f"{pages}GiB", page_size="1GiB")
        if cells > 1:
            guest["cells"] = cells
        if draw(st.booleans()):
            affinity = draw(st.sampled_from(["required", "preferred"]))
            guest["interfaces"] = [
                {"name": "d", "physnet": "p", "count": draw(st.integers(1, 2)), "affinity": affinity}
            ]
        vms.append(guest)
    policy = {**BARE, "reserved_cpus": "", "physnets": {"p": [f"ens{node}" for node in range(nodes)]}}
    amounts = st.lists(st.integers(0, 2), min_size=nodes, max_size=nodes)
    # Of a PF without VFs, nobody knows what they would be like.
    return {"apiVersion": "numaplan/v1", "host": policy, "vms": vms}, draw(amounts), [1, *draw(amounts)[1:]]


def with_supply(pages: Sequence[int], vfs: Sequence[int]) -> Snapshot:
    nodes = len(pages)
    huge = ", ".join(f"1GiB@{node}={count}" for node, count in enumerate(pages))
    ports = "".join(f"; ens{node}@{node}: {count} of 8 VFs" for node, count in enumerate(vfs))
    return parse_synthetic(f"{nodes} nodes, {3 * nodes} cores, {32 * nodes}GiB; {huge}{ports}")


@settings(deadline=None, derandomize=True, max_examples=draws(5), database=None)
@given(shortages())
def test_no_choice_of_more_pages_or_of_more_vfs_is_cheaper_than_the_one_that_is_told(
    drawn: tuple[dict[str, Any], list[int], list[int]],
) -> None:
    document, pages, vfs = drawn
    asked = question(document, with_supply(pages, vfs))

    def fits(more_pages: Sequence[int], more_vfs: Sequence[int]) -> bool:
        snapshot = with_supply([*map(add, pages, more_pages)], [*map(add, vfs, more_vfs)])
        return feasible(build_problem(asked.request, host_facts(asked.request, snapshot)), Budget()) is Outcome.FEASIBLE

    none = [0] * len(pages)
    choices = sorted(product(range(4), repeat=len(pages)), key=sum)
    plan = place(asked).plan
    assume(plan.status is Status.INFEASIBLE)
    conflict = with_fixes(asked, plan).conflict
    assert conflict is not None
    told = {word: [fix.cost for fix in conflict.fixes if word in fix.sentence] for word in ("page", "VF")}
    best = {
        "page": next((sum(more) for more in choices if fits(more, none)), None),
        "VF": next((5 * sum(more) for more in choices if fits(none, more)), None),
    }
    for word, cost in best.items():
        if cost is not None:
            assert min(told[word], default=None) == cost, (word, [fix.sentence for fix in conflict.fixes])
