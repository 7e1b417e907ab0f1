"""Neighbourhoods only ever better a solution, and a solve answers the same whatever it spends its work on."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import LevelName
from numaplan.placement import neighbourhood, objective
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Aim, Linear, Outcome, Solved, Solving
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.levels import Budget, Progress, Run, Turn, hold
from numaplan.placement.neighbourhood import improve
from numaplan.placement.options import build_problem
from tests.depth import draws
from tests.hosts import host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

DRAWS = settings(max_examples=draws(10), deadline=None, derandomize=True)
# One that no solution of these reaches.
FAR = 10**6


def made(kind: int, seed: int) -> tuple[Formulation, Linear, Linear, tuple[int, ...]]:
    """A model, its priority and cost, and a greedy solution."""
    instance = make_instance(HOSTS[kind], 0.95, seed)
    problem = build_problem(instance.request, host_facts(instance.request, instance.snapshot))
    f = formulate(problem, coarse_units(problem), fine=False)
    ways = next(iter(greedy_plans(f, UNLIMITED)))
    cost = objective.cross_node_cost(f)
    start = f.model.solve(cost, maximize=False, work=1, fixed=ways).solution
    return f, objective.priority(f), cost, start


@pytest.mark.parametrize("kind", [3, 4])
def test_neighbourhoods_better_the_goal_and_say_no_more_of_the_bound(kind: int) -> None:
    f, priority, cost, start = made(kind, 1)
    hold(f, LevelName.PRIORITY, priority, priority.value(start))
    known = Solved(Outcome.FEASIBLE, start, 0, 0.0)
    found = improve(Run(Budget()), f, Turn(LevelName.CROSS_NODE_COST, cost, known, None, 0.05))
    assert cost.value(found.solution) < cost.value(start)
    assert (found.outcome, found.bound) == (Outcome.FEASIBLE, 0)
    assert is_solution(f, found.solution)


def test_of_hundreds_without_a_place_some_are_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(7)  # noqa: S311  # a case, no secret
    guests = [
        guest(f"g{i}", dice.randint(1, 6), memory_gib=dice.randint(1, 8), required=False, priority=dice.randint(1, 50))
        for i in range(700)
    ]
    request = ask(*guests, reserved="0")
    problem = build_problem(request, host_facts(request, host("16n:16c:2t", memory_gib=60)))
    f = formulate(problem, coarse_units(problem), fine=False)
    priority = objective.priority(f)
    start = f.model.solve(ZERO, maximize=True, work=1, fixed=next(iter(greedy_plans(f, UNLIMITED)))).solution

    def bettered() -> int:
        turn = Turn(LevelName.PRIORITY, priority, Solved(Outcome.FEASIBLE, start, FAR, 0.0), None, 0.05)
        found = improve(Run(Budget()), f, turn)
        assert is_solution(f, found.solution)
        return priority.value(found.solution)

    some = bettered()
    monkeypatch.setattr(neighbourhood, "MOST_WAITING", FAR)
    assert some > bettered() >= priority.value(start)


def test_on_many_nodes_the_cheaper_of_two_plans_of_one_priority_is_taken() -> None:
    f, priority, cost, start = made(4, 1)
    dear = f.model.solve(cost, maximize=True, work=1, fixed=dict(placed(f, start))).solution
    assert cost.value(dear) > cost.value(start)
    known = Solved(Outcome.UNKNOWN, dear, FAR, 0.0)
    found = improve(Run(Budget()), f, Turn(LevelName.PRIORITY, priority, known, cost, 0.1))
    assert (found.outcome, found.bound) == (Outcome.UNKNOWN, FAR)
    assert priority.value(found.solution) >= priority.value(dear)
    assert cost.value(found.solution) < cost.value(dear)
    assert is_solution(f, found.solution)


def test_what_meets_its_bound_on_many_nodes_is_proven_before_the_solver_is_asked() -> None:
    f, priority, cost, start = made(4, 1)
    known = Solved(Outcome.UNKNOWN, start, priority.value(start), 0.0)
    found = improve(Run(Budget()), f, Turn(LevelName.PRIORITY, priority, known, cost, 1.0))
    assert found == Solved(Outcome.OPTIMAL, start, known.bound, 0.0)


@pytest.mark.parametrize("outcome", [Outcome.OPTIMAL, Outcome.UNKNOWN])
def test_on_few_nodes_what_is_proven_or_was_not_tried_is_left_alone(outcome: Outcome) -> None:
    f, priority, cost, start = made(3, 1)
    known = Solved(outcome, start, FAR, 0.0)
    assert improve(Run(Budget()), f, Turn(LevelName.PRIORITY, priority, known, cost, 1.0)) is known


def turn_for_cost() -> tuple[Formulation, Turn]:
    """The cost of a greedy plan on many nodes, to be bettered a little."""
    f, priority, cost, start = made(4, 1)
    hold(f, LevelName.PRIORITY, priority, priority.value(start))
    return f, Turn(LevelName.CROSS_NODE_COST, cost, Solved(Outcome.FEASIBLE, start, 0, 0.0), None, 0.05)


def test_two_at_a_time_find_what_they_find_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    f, turn = turn_for_cost()
    start, wait = Solving.start, Solving.wait
    under_way: set[Solving] = set()
    most: list[int] = []

    def started(solving: Solving) -> None:
        under_way.add(solving)
        most.append(len(under_way))
        start(solving)

    def waited(solving: Solving, tick: Callable[[], None] | None = None) -> Solved:
        found = wait(solving, tick)
        under_way.remove(solving)
        return found

    def solved_when_asked_for(solving: Solving, tick: Callable[[], None] | None = None) -> Solved:
        start(solving)
        return wait(solving, tick)

    monkeypatch.setattr(Solving, "start", started)
    monkeypatch.setattr(Solving, "wait", waited)
    beside = improve(Run(Budget()), f, turn)
    assert max(most) == 2
    assert turn.goal.value(beside.solution) < turn.goal.value(turn.known.solution)
    monkeypatch.setattr(Solving, "start", lambda _: None)
    monkeypatch.setattr(Solving, "wait", solved_when_asked_for)
    assert improve(Run(Budget()), f, turn) == beside


def test_no_solver_is_left_working_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    f, turn = turn_for_cost()
    told: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 4:
            raise KeyboardInterrupt

    start = Solving.start
    begun: list[Solving] = []

    def started(solving: Solving) -> None:
        begun.append(solving)
        start(solving)

    monkeypatch.setattr(Solving, "start", started)
    with pytest.raises(KeyboardInterrupt):
        improve(Run(Budget(report=interrupt)), f, turn)
    assert len(begun) == 3
    assert not any(solving.is_working for solving in begun)


@DRAWS
@given(requests_and_hosts())
def test_every_aim_has_the_same_optimum(case: Case) -> None:
    problem = build_problem(case.request, host_facts(case.request, case.snapshot))
    f = formulate(problem, coarse_units(problem), fine=False)
    for goal, maximize in ((objective.priority(f), True), (objective.cross_node_cost(f), False)):
        found = [f.model.solve(goal, maximize=maximize, work=10, aim=aim) for aim in Aim]
        assert len({(one.outcome, one.bound) for one in found}) == 1
        for one in found:
            assert one.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
            assert one.outcome is Outcome.INFEASIBLE or goal.value(one.solution) == one.bound


@DRAWS
@given(requests_and_hosts(), st.sampled_from([0.0, 1e-4, 1e-3, 1e-2]), st.sampled_from(Aim))
def test_no_bound_is_beyond_the_optimum_however_soon_a_solve_ends(case: Case, work: float, aim: Aim) -> None:
    problem = build_problem(case.request, host_facts(case.request, case.snapshot))
    f = formulate(problem, coarse_units(problem), fine=False)
    cost = objective.cross_node_cost(f)
    for goal, maximize in ((objective.priority(f), True), (cost, False), (cost * -1, False), (cost * -1, True)):
        best = f.model.solve(goal, maximize=maximize, work=10)
        soon = f.model.solve(goal, maximize=maximize, work=work, aim=aim)
        if best.outcome is Outcome.OPTIMAL:
            value = goal.value(best.solution)
            assert soon.bound >= value if maximize else soon.bound <= value
            assert soon.outcome is not Outcome.OPTIMAL or soon.bound == value


def placed(f: Formulation, solution: tuple[int, ...]) -> list[tuple[int, int]]:
    """Every guest's way, as variables and their values."""
    return [(count.terms[0][0], count.value(solution)) for u in range(len(f.units)) for _, count in f.options(u)]


def is_solution(f: Formulation, solution: tuple[int, ...]) -> bool:
    """Whether the model takes every value of it."""
    fixed = dict(enumerate(solution))
    return f.model.solve(ZERO, maximize=False, work=1, fixed=fixed).outcome is Outcome.OPTIMAL
