"""The reasons against trying everything: on small random hosts each way costs what we say, or does not exist."""

from typing import Final

from hypothesis import HealthCheck, given, settings

from numaplan.model.plan import Plan
from numaplan.placement.facts import host_facts
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.why.beside import Host
from numaplan.placement.why.elsewhere import UNDECIDED, canonical, cost_now, other_ways
from numaplan.placement.why.places import explain_places
from tests.depth import draws
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.why_bruteforce import cheapest_ways

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
