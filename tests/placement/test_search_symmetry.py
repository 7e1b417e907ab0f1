"""Sums over what is alike bound every plan, and plans that have the best of them are found on large hosts."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import LevelName
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import aggregate as aggregates
from numaplan.placement import objective, symmetry
from numaplan.placement.aggregate import aggregate
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import ZERO, Linear, Model, Outcome, Solved
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.levels import Budget, Goals, Progress, Reached, Run, Turn, hold
from numaplan.placement.options import build_problem
from numaplan.placement.packing import counted_priority
from numaplan.placement.search import search
from numaplan.placement.symmetry import Symmetry
from tests.depth import draws
from tests.hosts import host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

DRAWS = settings(max_examples=draws(10), deadline=None, derandomize=True)
EVERYTHING = 1.0


def coarse(request: Request, snapshot: Snapshot) -> tuple[Formulation, Linear, Linear]:
    """The model of a request, with its priority and its cost."""
    problem = build_problem(request, host_facts(request, snapshot))
    f = formulate(problem, coarse_units(problem), fine=False)
    return f, counted_priority(f), objective.cross_node_cost(f)


@DRAWS
@given(requests_and_hosts())
def test_the_sums_of_every_solution_are_a_solution_of_the_aggregate(case: Case) -> None:
    f, priority, cost = coarse(case.request, case.snapshot)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregates, "MOST_LEFT", EVERYTHING)
        for goal, maximize in ((priority, True), (cost, False), (cost, True)):
            small = aggregate(f.model, goal)
            assert small is not None
            assert sorted(var for alike in small.classes for var in alike) == list(range(f.model.size))
            found = f.model.solve(goal, maximize=maximize, work=5)
            if not found.solution:
                continue
            sums = [0] * small.model.size
            for var, value in small.hint(found.solution).items():
                sums[var] = value
            assert small.expression(goal).value(sums) == goal.value(found.solution)
            for row in small.model.rows():
                assert row.low <= sum(coef * sums[var] for var, coef in row.terms) <= row.high
            assert all(
                low <= sums[var] <= high for var in range(small.model.size) for low, high in [small.model.range(var)]
            )
            bound = small.model.solve(small.expression(goal), maximize=maximize, work=5).bound
            assert bound >= goal.value(found.solution) if maximize else bound <= goal.value(found.solution)


@st.composite
def knapsacks(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Sizes and worths of things, and how much each of some like bins holds."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    worths = draw(st.lists(st.integers(1, 9), min_size=len(sizes), max_size=len(sizes)))
    return sizes, worths, draw(st.integers(1, 20))


@DRAWS
@given(knapsacks(), st.integers(2, 4), st.integers(1, 3))
def test_rounded_constraints_keep_every_packing_of_like_bins(
    drawn: tuple[list[int], list[int], int], bins: int, copies: int
) -> None:
    sizes, worths, room = drawn
    model = Model()
    inside = [[model.integer(0, copies) for _ in sizes] for _ in range(bins)]
    for held in inside:
        model.at_most(weighted(held, sizes), room)
    for i in range(len(sizes)):
        model.at_most(weighted([held[i] for held in inside], [1] * bins), copies)
    goal = weighted([x for held in inside for x in held], worths * bins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregates, "MOST_LEFT", EVERYTHING)
        small = aggregate(model, goal)
    assert small is not None
    assert len(small.classes) == 1 + len(set(zip(sizes, worths, strict=True)))
    best = model.solve(goal, maximize=True, work=5)
    bound = small.model.solve(small.expression(goal), maximize=True, work=5)
    assert (best.outcome, bound.outcome) == (Outcome.OPTIMAL, Outcome.OPTIMAL)
    assert bound.bound >= best.bound


def weighted(things: list[Linear], weights: list[int]) -> Linear:
    """So much of each."""
    found = ZERO
    for thing, weight in zip(things, weights, strict=True):
        found += thing * weight
    return found


def test_no_sum_forgets_that_a_guest_is_on_one_node() -> None:
    """Nine pages on each of four nodes are thirty-six, but no more than four guests of five."""
    request = ask(*(guest(f"g{i}", 1, required=False, memory_gib=5, page_size="1GiB") for i in range(7)))
    f, priority, _ = coarse(request, host("4n:4c:1t", pages={"1GiB": 9}))
    small = aggregate(f.model, priority)
    assert small is not None
    assert small.model.solve(small.expression(priority), maximize=True, work=1).bound == 4


def test_a_constraint_of_many_sizes_is_rounded_by_some_of_them() -> None:
    """Hundreds of guests that ask for as much memory each, on four like nodes."""
    request = ask(*(guest(f"g{i}", 1, required=False, memory_gib=1 + i) for i in range(300)))
    f, priority, _ = coarse(request, host("4n:4c:1t", memory_gib=1000))
    small = aggregate(f.model, priority)
    assert small is not None
    assert sum(1 for _ in small.model.rows()) < sum(1 for _ in f.model.rows()) + 200
    assert small.model.solve(small.expression(priority), maximize=True, work=1).bound == 12


def test_likeness_is_told_by_all_that_a_thing_stands_in() -> None:
    """Three variables of one range and cost: two in a constraint each, the third in one of another end."""
    model = Model()
    first, second, third = (model.integer(0, 5) for _ in range(3))
    for x, high in ((first, 3), (second, 3), (third, 4)):
        model.at_most(x, high)
    small = aggregate(model, weighted([first, second, third], [1, 1, 1]))
    assert small is None  # three classes of four variables are no less work
    fourth = model.integer(0, 5)
    model.at_most(fourth, 3)
    fifth = model.integer(0, 5)
    model.at_most(fifth, 3)
    goal = weighted([first, second, third, fourth, fifth], [1] * 5)
    small = aggregate(model, goal)
    assert small is not None
    assert small.classes == ((0,), (1, 2, 4, 5), (3,))
    assert small.model.solve(small.expression(goal), maximize=True, work=1).bound == 16


def test_where_hardly_anything_is_alike_there_is_no_aggregate() -> None:
    """Every node has pages of its own number."""
    request = ask(*(guest(f"g{i}", 1, required=False, memory_gib=2, page_size="1GiB") for i in range(6)))
    f, priority, _ = coarse(request, host("4n:4c:1t", pages={"1GiB": (3, 5, 7, 9)}))
    assert aggregate(f.model, priority) is None


@DRAWS
@given(requests_and_hosts())
def test_a_search_by_sums_reaches_the_same_levels(case: Case) -> None:
    """Hosts of any size are searched as if they were large."""
    problem = build_problem(case.request, host_facts(case.request, case.snapshot))
    plain = search(problem, Budget())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aggregates, "MOST_LEFT", EVERYTHING)
        patch.setattr(symmetry, "MANY_NODES", 1)
        by_sums = search(problem, Budget())
    assert by_sums.outcome is plain.outcome
    if plain.outcome is Outcome.OPTIMAL:
        assert [dataclasses.astuple(b) for b in by_sums.bounds] == [dataclasses.astuple(b) for b in plain.bounds]


def begun(run: Run, seed: int, fill: float) -> tuple[Formulation, tuple[Linear, Linear], Symmetry, tuple[int, ...]]:
    """A request to the largest host with its priority and cost, what symmetry tells of it, and a greedy plan."""
    made = make_instance(HOSTS[4], fill, seed)
    f, priority, cost = coarse(made.request, made.snapshot)
    start = f.model.solve(cost, maximize=False, work=0.1, fixed=greedy_plans(f, UNLIMITED)[0]).solution
    return f, (priority, cost), Symmetry(run, f, {LevelName.PRIORITY: priority, LevelName.CROSS_NODE_COST: cost}), start


def upper(seed: int, fill: float, budget: Budget) -> tuple[Formulation, Goals, Reached]:
    """The two upper levels of a request to the largest host."""
    run = Run(budget)
    f, (priority, cost), known, start = begun(run, seed, fill)
    goals = ((LevelName.PRIORITY, priority), (LevelName.CROSS_NODE_COST, cost))
    return f, goals, run.levels(f, goals, solution=start, best=known.best, improve=known.improve)


def test_a_plan_of_the_best_sums_is_found_and_so_proven_on_the_largest_host() -> None:
    told: list[Progress] = []
    f, goals, reached = upper(7, 0.95, Budget(report=told.append))
    assert [(bound.name, bound.proven) for bound in reached.bounds] == [
        (LevelName.PRIORITY, True),
        (LevelName.CROSS_NODE_COST, True),
    ]
    assert [goal.value(reached.solution) for _, goal in goals] == [bound.value for bound in reached.bounds]
    fixed = dict(enumerate(reached.solution))
    assert f.model.solve(ZERO, maximize=False, work=1, fixed=fixed).outcome is Outcome.OPTIMAL
    # What is told is what a plan costs, not what it is away from the sums that are looked for.
    told_cost = [progress.value for progress in told if progress.level == "cross_node_cost" and progress.value]
    assert told_cost == sorted(told_cost, reverse=True)


def test_a_way_towards_the_sums_that_is_of_no_use_makes_no_plan_dearer() -> None:
    """It is sent towards the dearest sums of all, and nothing betters it after that."""
    run = Run(Budget())
    f, (priority, cost), known, start = begun(run, 4, 0.95)
    hold(f, LevelName.PRIORITY, priority, priority.value(start))
    assert known.best(LevelName.CROSS_NODE_COST, ()) is not None
    small = aggregate(f.model, cost)
    assert small is not None
    dear = small.model.solve(small.expression(cost), maximize=True, work=1).solution
    turn = Turn(LevelName.CROSS_NODE_COST, cost, Solved(Outcome.UNKNOWN, start, cost.value(start) // 2, 0.0), None, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(symmetry, "BRIEF", dataclasses.replace(symmetry.BRIEF, stale=0))
        patch.setattr(Symmetry, "_nearest", lambda *_: dear)
        found = known.improve(run, f, turn)
    assert cost.value(found.solution) <= cost.value(start)


@pytest.mark.parametrize(
    ("clock", "took", "ways"), [(100.0, 15.0, 5), (100.0, 30.0, 2), (100.0, 50.0, 1), (None, 50.0, 2)]
)
def test_another_way_towards_the_sums_begins_only_where_the_clock_lets_it_end(
    clock: float | None, took: float, ways: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn has 80 of these 100 seconds."""
    left = [clock]
    run = Run(Budget(remaining=lambda: left[-1]))
    f, (_, cost), known, start = begun(run, 1, 0.5)
    assert known.best(LevelName.CROSS_NODE_COST, ()) is not None

    def towards(_: Symmetry, __: tuple[int, ...], turn: Turn, *___: object) -> Turn:
        left.append(None if left[-1] is None else left[-1] - took)
        return turn

    monkeypatch.setattr(Symmetry, "_towards", towards)
    monkeypatch.setattr(Symmetry, "_search", lambda _, turn, *__: turn)
    turn = Turn(
        LevelName.CROSS_NODE_COST, cost, Solved(Outcome.FEASIBLE, start, cost.value(start) // 2, 0.0), None, 1.0
    )
    assert known.improve(run, f, turn).solution == start
    assert len(left) - 1 == ways


def test_what_meets_its_bound_is_proven_whatever_the_sums() -> None:
    run = Run(Budget())
    f, (_, cost), known, start = begun(run, 1, 0.5)
    assert known.best(LevelName.CROSS_NODE_COST, ()) is not None
    turn = Turn(LevelName.CROSS_NODE_COST, cost, Solved(Outcome.FEASIBLE, start, cost.value(start), 0.0), None, 1.0)
    assert known.improve(run, f, turn) == Solved(Outcome.OPTIMAL, start, cost.value(start), 0.0)


def test_bounds_by_sums_are_no_better_than_what_the_solver_finds() -> None:
    made = make_instance(HOSTS[4], 0.5, 1)
    f, priority, cost = coarse(made.request, made.snapshot)
    known = Symmetry(Run(Budget()), f, {LevelName.PRIORITY: priority, LevelName.CROSS_NODE_COST: cost})
    most = known.best(LevelName.PRIORITY, ())
    assert most is not None
    found = f.model.solve(priority, maximize=True, work=4)
    assert priority.value(found.solution) <= most
    hold(f, LevelName.PRIORITY, priority, priority.value(found.solution))
    least = known.best(LevelName.CROSS_NODE_COST, ())
    assert least is not None
    assert cost.value(f.model.solve(cost, maximize=False, work=2).solution) >= least


@pytest.mark.parametrize("budget", [Budget(scale=0.001), Budget(remaining=lambda: 0.0)])
def test_in_haste_nothing_is_summed_up(budget: Budget) -> None:
    made = make_instance(HOSTS[4], 0.5, 1)
    f, priority, cost = coarse(made.request, made.snapshot)
    known = Symmetry(Run(budget), f, {LevelName.PRIORITY: priority, LevelName.CROSS_NODE_COST: cost})
    assert known.best(LevelName.PRIORITY, ()) == sum(asked.priority for asked in made.request.guests)
    assert known.best(LevelName.CROSS_NODE_COST, ()) is None
