"""The search against trying everything: on small random hosts both must come to the same, level by level."""

from hypothesis import HealthCheck, given, settings

from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from tests.placement.bruteforce import differences
from tests.placement.random_cases import Case, requests_and_hosts


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests_and_hosts())
def test_no_plan_is_better_than_ours_and_none_exists_where_we_say_so(case: Case) -> None:
    plan = solve(case.request, case.snapshot, budget=Budget())
    assert differences(case.request, case.snapshot, plan) == ()
