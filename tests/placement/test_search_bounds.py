"""What the coarse model says of the lower levels holds for every plan, and greedy starts are plans."""

from hypothesis import given, settings

from numaplan.model.plan import LEVELS, MAXIMIZED, Status
from numaplan.model.request import InterfaceRequest, InterfaceType
from numaplan.placement import objective
from numaplan.placement.bounds import Relaxation, relaxed_levels
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import coarse_units
from numaplan.placement.levels import Bound, Budget, Run
from numaplan.placement.options import build_problem
from numaplan.placement.solve import solve
from numaplan.placement.start import starts
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

EXAMPLES = 60
DRAWS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)


@DRAWS
@given(requests_and_hosts())
def test_no_plan_beats_the_relaxed_bound_of_a_level_it_holds_for(case: Case) -> None:
    plan = solve(case.request, case.snapshot, budget=Budget())
    if plan.status is not Status.OPTIMAL:
        return
    problem = build_problem(case.request, host_facts(case.request, case.snapshot))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    goals = [("priority", objective.priority(coarse)), ("cross_node_cost", objective.cross_node_cost(coarse))]
    bounds = Run(Budget()).levels(coarse, [*goals, *relaxed_levels(coarse)], solution=()).bounds
    relaxation = Relaxation(problem, bounds[len(goals) :])
    assert [(b.name, b.value) for b in bounds[:2]] == [(level.name, level.value) for level in plan.levels[:2]]
    above: list[Bound] = []
    for level in plan.levels[len(goals) :]:
        best = relaxation.best(level.name, above)
        assert best is not None
        assert level.value <= best if level.name in MAXIMIZED else level.value >= best
        above.append(Bound(level.name, level.value, level.bound, level.proven))
    assert [bound.name for bound in above] == list(LEVELS[len(goals) :])


def test_greedy_starts_are_plans_where_guests_ask_for_cpus_and_memory_alone() -> None:
    request = ask(*(guest(f"g{i}", 1 + i % 4, required=False, priority=1 + i % 3) for i in range(20)))
    problem = build_problem(request, host_facts(request, host("4n:4c:2t", llcs_per_node=2)))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    priority = objective.priority(coarse)
    found = [coarse.model.solve(ZERO, maximize=False, work=1, fixed=ways).solution for ways in starts(coarse)]
    assert all(found)
    worth = [priority.value(solution) for solution in found]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 0


def test_a_greedy_start_takes_a_link_of_unknown_speed_to_carry_anything() -> None:
    port = InterfaceRequest("d", InterfaceType.SRIOV, pf="ens0", mbps=9000)
    request = ask(*(guest(f"g{i}", 1, interfaces=(port,)) for i in range(3)))
    placed = {}
    for speed in (None, 10000):
        snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 4, speed_mbps=speed)])
        problem = build_problem(request, host_facts(request, snapshot))
        coarse = formulate(problem, coarse_units(problem), fine=False)
        placed[speed] = max(sum(ways.values()) for ways in starts(coarse))
    assert placed == {None: 3, 10000: 1}
