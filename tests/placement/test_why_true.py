"""The reasons against trying everything: on small random hosts each way costs what we say, or does not exist."""

import re
from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, given, settings

from numaplan.model.plan import Plan
from numaplan.placement.facts import host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from numaplan.placement.why.beside import Host
from numaplan.placement.why.elsewhere import UNDECIDED, canonical, cost_now, other_ways
from numaplan.placement.why.places import explain_places
from tests.depth import draws
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.why_bruteforce import cheapest_ways, most_free_nodes

TOLD: Final = re.compile(r"leave (at most )?(\d+) nodes? free instead of (\d+)")

QUICK: Final = settings(
    max_examples=draws(15), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def planned(case: Case) -> Plan:
    return solve(case.request, case.snapshot, budget=Budget())


@QUICK
@given(requests_and_hosts())
def test_a_guest_fits_elsewhere_exactly_where_and_at_the_cost_that_we_say(case: Case) -> None:
    plan = planned(case)
    host = Host(case.request, host_facts(case.request, case.snapshot), plan.placements)
    for placement in plan.placements:
        guests = host.class_of[placement.vm]
        here = canonical(guests, tuple(cell.numa_node for cell in placement.cells))
        ways = list(other_ways(host, host.beside(placement), placement))
        assert UNDECIDED not in {way.lack.sentence for way in ways if way.lack is not None}
        said = {way.nodes: way.cost.total for way in ways if way.cost is not None}
        tried = cheapest_ways(case.request, case.snapshot, plan.placements, placement.vm)
        tried = {nodes: cost for nodes, cost in tried.items() if nodes == canonical(guests, nodes)}
        assert tried.pop(here) <= cost_now(host, placement).total
        assert said == tried


@QUICK
@given(requests_and_hosts())
def test_the_runner_up_is_the_cheapest_place_elsewhere_and_no_plan_that_is_proven_beats_itself(case: Case) -> None:
    plan = planned(case)
    facts = host_facts(case.request, case.snapshot)
    host = Host(case.request, facts, plan.placements)
    whys = explain_places(case.request, facts, plan.placements)
    assert [why.vm for why in whys] == [placement.vm for placement in plan.placements]
    for why, placement in zip(whys, plan.placements, strict=True):
        now = cost_now(host, placement).total
        costs = [w.cost.total for w in other_ways(host, host.beside(placement), placement) if w.cost is not None]
        assert why.reasons
        if why.runner_up is None:
            assert costs == []
        else:
            assert why.runner_up.extra_cost == min(costs) - now
            proven = next(level.proven for level in plan.levels if level.name == "cross_node_cost")
            assert why.runner_up.extra_cost >= 0 or not proven


@settings(QUICK, max_examples=draws(60))
@given(requests_and_hosts())
def test_so_many_nodes_are_free_elsewhere_at_the_same_cost_as_is_told(case: Case) -> None:
    plan = planned(case)
    free = next((level.value for level in plan.levels if level.name == "free_nodes"), 0)
    for why in explain_places(case.request, host_facts(case.request, case.snapshot), plan.placements):
        other = why.runner_up
        if other is None or other.extra_cost != 0 or "caches" in other.sentence:
            continue
        there = most_free_nodes(case.request, case.snapshot, plan.placements, why.vm, nodes=other.nodes)
        told = TOLD.search(other.sentence)
        if told is None:
            assert there >= free
        else:
            assert int(told[3]) == free
            assert there <= int(told[2]) if told[1] else there == int(told[2])


@QUICK
@given(requests_and_hosts())
def test_no_next_best_place_is_refused_by_the_verifier(case: Case) -> None:
    plan = planned(case)
    whys = explain_places(case.request, host_facts(case.request, case.snapshot), plan.placements)
    assert verify(case.request, case.snapshot, replace(plan, whys=whys)) == ()
