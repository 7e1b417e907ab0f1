"""Changes of several kinds in one fix: each document has one, however many guests and nodes there are."""

from typing import Any

import pytest

from numaplan.model.host import NodeId
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.facts import host_facts
from numaplan.placement.fixes import proposals
from numaplan.placement.fixes.least import Least
from numaplan.placement.fixes.lever import Case
from numaplan.placement.fixes.probe import MAX_CASES, Probe
from numaplan.placement.fixes.supply import supply_groups
from tests.hosts import host
from tests.placement.test_fixes_cheapest import BARE, sentences, vm
from tests.requests import ask, guest

Vm = dict[str, Any]


def paged(count: int) -> list[Vm]:
    """Guests that need pages on two nodes each."""
    cells = [{"vcpus": 1, "memory": "512MiB"}, {"vcpus": 1, "memory": "1GiB"}]
    return [{"name": f"p{i}", "cells": cells, "page_size": "2MiB"} for i in range(count)]


def short_of_pages_and_a_vf(guests: int, cores: int) -> list[str]:
    """What helps so many guests that need VFs and as many that need pages on two nodes, where one node has some."""
    data = {"name": "d", "pf": "ens0", "count": 2, "affinity": "preferred"}
    wired = [vm(f"v{i}", interfaces=[data]) for i in range(guests)]
    synthetic = (
        f"1 packages, 2 nodes, {cores} cores per node, 2 threads, 48GiB per node, 1GiB=0, 2MiB@0=512"
        f"; ens0@1: {2 * guests - 1} of {2 * guests} VFs"
    )
    return sentences(synthetic, {"reserved_cpus": "0"}, *wired, *paged(guests))


def test_of_many_guests_no_more_are_left_out_than_must_be_where_others_can_make_do() -> None:
    assert short_of_pages_and_a_vf(12, cores=6) == [
        (
            "let v11, p6, p7, p8, p9, p10 and p11 be left out (required: false) and let p0's page_size, p1's page_size,"
            " p2's page_size, p3's page_size, p4's page_size and p5's page_size be 4KiB: cost 7024"
        ),
        "let v11, p0, p1, p2, p3, p4, p5, p6 and 5 more be left out (required: false): cost 13000",
    ]


def test_what_helps_in_one_document_stands_in_nobodys_way_in_the_other() -> None:
    assert short_of_pages_and_a_vf(2, cores=2) == [
        "reserve 1024 more 2 MiB pages on node 1 and configure 1 more VF on ens0: cost 7",
        "let v1 be left out (required: false) and let p0's page_size and p1's page_size be 4KiB: cost 1008",
        "let v1, p0 and p1 be left out (required: false): cost 3000",
    ]


def test_what_several_nodes_and_pfs_miss_is_told_though_none_of_it_is_proven_to_be_the_cheapest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proposals, "COST_WORK", 0.01)
    pools = ", ".join(f"2MiB@{n}={512 * (n % 3)}" for n in range(8))
    ports = "".join(f"; ens{n}@{n}: {1 + n % 4} of 8 VFs" for n in range(1, 8, 2))
    wired = [
        vm(f"b{i}", 2, page_size="2MiB", interfaces=[{"name": "d", "physnet": "p", "count": 1 + i % 2}])
        for i in range(10)
    ]
    policy = {**BARE, "physnets": {"p": [f"ens{n}" for n in range(1, 8, 2)]}}
    synthetic = f"4 packages, 8 nodes, 6 cores per node, 1 threads, 24GiB per node, {pools}{ports}"
    said = sentences(synthetic, policy, *paged(8), *wired)
    assert said[0].startswith("reserve ")
    assert said[0].endswith("and configure 3 more VFs on ens1: cost 30")


def test_of_what_the_guests_of_a_conflict_do_not_need_nothing_is_asked_of_them_twice() -> None:
    request = ask(guest("a", 1), *(guest(f"b{i}", 1, page_size="2MiB") for i in range(3)), reserved="0")
    snapshot = host("1n:8c:1t", pages={"2MiB": 0}, memory_gib=64)
    probe = Probe(request.guests[:1], change_topology=False, remaining=UNLIMITED)
    (pages,) = supply_groups(request.guests[1:2], request.guests, host_facts(request, snapshot))[0].levers
    assert pages.adds is not None
    assert pages.adds.node == NodeId(0)
    assert Least(Case(request, snapshot), probe, [pages]).leanest({0: 1600}) == {0: 1536}
    # Of 0 to 1599 pages one number is found in eleven halves.
    assert probe.cases < 2 * 11


def test_cases_are_allowed_beyond_those_that_were_tried() -> None:
    probe = Probe([], change_topology=False, remaining=UNLIMITED)
    probe.cases = MAX_CASES
    assert probe.tired
    probe.allow(1)
    assert not probe.tired
    probe.allow(0)
    assert probe.tired
    assert not probe.spent
