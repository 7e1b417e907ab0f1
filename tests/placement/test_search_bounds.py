"""What the coarse model says of the lower levels holds for every plan, and the model takes greedy plans."""

import pytest
from hypothesis import given, settings

from numaplan.model.plan import LEVELS, MAXIMIZED, LevelName, Limit, Status
from numaplan.model.request import InterfaceRequest, InterfaceType
from numaplan.placement import greedy, objective
from numaplan.placement.bounds import Relaxation, relaxed_levels
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.levels import Bound, Budget, Run
from numaplan.placement.options import build_problem
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

DRAWS = settings(max_examples=draws(10), deadline=None, derandomize=True)


@DRAWS
@given(requests_and_hosts())
def test_no_plan_beats_the_relaxed_bound_of_a_level_it_holds_for(case: Case) -> None:
    plan = solve(case.request, case.snapshot, budget=Budget())
    if plan.status is not Status.OPTIMAL:
        return
    problem = build_problem(case.request, host_facts(case.request, case.snapshot))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    goals = [
        (LevelName.PRIORITY, objective.priority(coarse)),
        (LevelName.CROSS_NODE_COST, objective.cross_node_cost(coarse)),
    ]
    bounds = Run(Budget()).levels(coarse, [*goals, *relaxed_levels(coarse)], solution=()).bounds
    relaxation = Relaxation(problem, bounds[len(goals) :])
    assert [(b.name, b.value) for b in bounds[:2]] == [(level.name, level.value) for level in plan.levels[:2]]
    above: list[Bound] = []
    for level in plan.levels[len(goals) :]:
        name = LevelName(level.name)
        best = relaxation.best(name, above)
        assert best is not None
        assert level.value <= best if name in MAXIMIZED else level.value >= best
        above.append(Bound(name, level.value, level.bound, level.proven))
    assert [bound.name for bound in above] == list(LEVELS[len(goals) :])


def test_the_model_takes_greedy_plans_where_guests_ask_for_cpus_and_memory_alone() -> None:
    request = ask(*(guest(f"g{i}", 1 + i % 4, required=False, priority=1 + i % 3) for i in range(20)))
    problem = build_problem(request, host_facts(request, host("4n:4c:2t", llcs_per_node=2)))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    priority = objective.priority(coarse)
    found = [
        coarse.model.solve(ZERO, maximize=False, work=1, fixed=ways).solution
        for ways in greedy_plans(coarse, UNLIMITED)
    ]
    assert all(found)
    worth = [priority.value(solution) for solution in found]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 0


def test_a_greedy_plan_takes_a_link_of_unknown_speed_to_carry_anything() -> None:
    port = InterfaceRequest("d", InterfaceType.SRIOV, pf="ens0", mbps=9000)
    request = ask(*(guest(f"g{i}", 1, interfaces=(port,)) for i in range(3)))
    placed = {}
    for speed in (None, 10000):
        snapshot = host("1n:4c:1t", nics=[Nic("ens0", 0, 4, speed_mbps=speed)])
        problem = build_problem(request, host_facts(request, snapshot))
        coarse = formulate(problem, coarse_units(problem), fine=False)
        placed[speed] = max(sum(ways.values()) for ways in greedy_plans(coarse, UNLIMITED))
    assert placed == {None: 3, 10000: 1}


def _half_required() -> Formulation:
    """Four guests that are required and twelve that are not, three more than find a place."""
    sizes = [2, 1, 3, 1, 2, 2, 3, 1, 2, 1, 3, 1, 2, 4, 2, 3]
    request = ask(*(guest(f"g{i}", vcpus, required=i % 4 == 3) for i, vcpus in enumerate(sizes)))
    problem = build_problem(request, host_facts(request, host("4n:4c:2t")))
    return formulate(problem, coarse_units(problem), fine=False)


def _placed(f: Formulation, ways: dict[int, int]) -> tuple[int, int]:
    """How many of those that are required have a place, and how many of the others."""
    count = {True: 0, False: 0}
    for unit, choice in zip(f.units, f.choice, strict=True):
        count[unit.guest.required] += sum(ways[var] for x in choice.values() for var, _ in x.terms)
    return count[True], count[False]


def test_greedy_plans_end_with_the_time_but_have_all_required_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    f = _half_required()
    assert [_placed(f, ways) for ways in greedy_plans(f, UNLIMITED)[:1]] == [(4, 9)]
    assert greedy_plans(f, lambda: 0.0) == greedy_plans(f, UNLIMITED)
    monkeypatch.setattr(greedy, "SOON", 0)
    assert greedy_plans(f, lambda: 1.0) == greedy_plans(f, UNLIMITED)
    assert [_placed(f, ways) for ways in greedy_plans(f, lambda: 0.0)] == [(4, 0)]
    left = iter([3.0, 2.0, 1.0])
    assert [_placed(f, ways) for ways in greedy_plans(f, lambda: next(left, 0.0))] == [(4, 3)]


def test_a_plan_of_greedy_plans_that_ended_with_the_time_is_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greedy, "SOON", 0)
    request = ask(guest("g", 4), *(guest(f"h{i}", 2, required=False) for i in range(4)))
    snapshot = host("2n:4c:2t")
    plan = solve(request, snapshot, budget=Budget(remaining=lambda: 0.0))
    assert (plan.status, plan.limit, [each.vm for each in plan.placements]) == (Status.FEASIBLE, Limit.WALL, ["g"])
    assert verify(request, snapshot, plan) == ()


@pytest.mark.parametrize("scale", [1.0, 0.0001])
def test_a_level_with_a_plan_goes_to_the_solver_where_there_is_work_for_more_than_a_look(scale: float) -> None:
    """For less the known plan is told at once; where there is none, one is sought all the same."""
    problem = build_problem(ask(guest("g", 2, required=False)), host_facts(ask(), host("1n:4c:1t")))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    priority = objective.priority(coarse)
    nobody = coarse.model.solve(priority, maximize=False, work=1).solution
    run = Run(Budget(scale=scale))
    found = run.solve(coarse, priority, LevelName.PRIORITY, solution=nobody)
    assert priority.value(found.solution) == (1 if scale == 1 else 0)
    assert run.limit is (Limit.NONE if scale == 1 else Limit.WORK)
    if scale < 1:
        assert Run(Budget(scale=scale)).solve(coarse, priority, LevelName.PRIORITY).work > 0
