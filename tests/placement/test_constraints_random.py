"""Hard constraints against trying everything, on odd hosts: nodes of one kind, bridges, switches, cards in company."""

from hypothesis import HealthCheck, given, settings

from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from tests.depth import draws
from tests.placement.bruteforce import differences
from tests.placement.random_cases import Case, requests_and_hosts


@settings(max_examples=draws(15), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts(odd=True))
def test_on_odd_hosts_no_plan_is_better_than_ours_and_none_exists_where_we_say_so(case: Case) -> None:
    plan = solve(case.request, case.snapshot, budget=Budget())
    assert differences(case.request, case.snapshot, plan) == ()
