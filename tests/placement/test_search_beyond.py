"""What is looked for beyond a value, and near a bound: it proves what is proven of everything."""

import itertools
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import Plan
from numaplan.placement import levels
from numaplan.placement.cpsat import Aim, Linear, Model, Outcome, total
from numaplan.placement.levels import Among, Round, Run, Step
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify

MOST = 3

sizes = st.lists(st.tuples(st.integers(-4, 9), st.integers(0, 7)), min_size=1, max_size=4)


def knapsack(things: list[tuple[int, int]], room: int) -> tuple[Model, Linear, list[int]]:
    """A model of up to MOST of each (worth, weight) thing in a knapsack, what they are worth, and all that can be."""
    model = Model()
    counts = [model.integer(0, MOST) for _ in things]
    model.at_most(total(x * weight for x, (_, weight) in zip(counts, things, strict=True)), room)
    goal = total(x * worth for x, (worth, _) in zip(counts, things, strict=True)) + 5
    worths = [
        5 + sum(n * worth for n, (worth, _) in zip(taken, things, strict=True))
        for taken in itertools.product(range(MOST + 1), repeat=len(things))
        if sum(n * weight for n, (_, weight) in zip(taken, things, strict=True)) <= room
    ]
    return model, goal, worths


@settings(deadline=None)
@given(
    things=sizes,
    room=st.integers(0, 20),
    beyond=st.integers(-40, 90),
    maximize=st.booleans(),
    aim=st.sampled_from((Aim.BOTH, Aim.PROOF, Aim.CORE)),
)
def test_beyond_a_value_is_what_is_better_than_it(
    things: list[tuple[int, int]], room: int, beyond: int, *, maximize: bool, aim: Aim
) -> None:
    model, goal, worths = knapsack(things, room)
    best: Callable[..., int] = max if maximize else min
    better = [worth for worth in worths if (worth > beyond if maximize else worth < beyond)]
    found = model.solve(goal, maximize=maximize, work=5, aim=aim, beyond=beyond)
    assert found.outcome is (Outcome.OPTIMAL if better else Outcome.INFEASIBLE)
    # Of everything, not of what is better alone: no solution has more than this.
    assert found.bound == best([*better, beyond])
    if better:
        assert goal.value(found.solution) == best(better)


@settings(deadline=None)
@given(things=sizes, room=st.integers(0, 20), beyond=st.integers(-40, 90), maximize=st.booleans())
def test_any_answer_beyond_a_value_is_one_and_says_nothing_of_the_best(
    things: list[tuple[int, int]], room: int, beyond: int, *, maximize: bool
) -> None:
    model, goal, worths = knapsack(things, room)
    better = {worth for worth in worths if (worth > beyond if maximize else worth < beyond)}
    found = model.solve(goal, maximize=maximize, work=5, aim=Aim.ANY, beyond=beyond)
    assert found.outcome is (Outcome.FEASIBLE if better else Outcome.INFEASIBLE)
    if better:
        assert goal.value(found.solution) in better
        best = max(worths) if maximize else min(worths)
        assert found.bound >= best if maximize else found.bound <= best
    else:
        assert found.bound == beyond


def test_the_model_itself_stays_as_it_is() -> None:
    model, goal, worths = knapsack([(3, 2), (5, 4)], 7)
    assert model.solve(goal, maximize=True, work=5, beyond=max(worths)).outcome is Outcome.INFEASIBLE
    assert goal.value(model.solve(goal, maximize=True, work=5).solution) == max(worths)


def planned(fill: float, seed: int) -> Plan:
    instance = make_instance(HOSTS[1], fill, seed)
    plan = solve(instance.request, instance.snapshot, budget=Budget())
    assert not verify(instance.request, instance.snapshot, plan)
    return plan


@pytest.mark.parametrize("seed", range(4))
def test_what_is_proven_near_the_bound_is_what_is_proven_anyway(seed: int) -> None:
    near = Round((Step(1e-5, Aim.PROOF), *[Step(0.5, Aim.BOTH, Among.NEAR)] * 5, Step(1.0, Aim.PROOF, Among.BETTER)))
    # As often as there is something better, it is asked whether there is still.
    asked = Round((Step(1e-5, Aim.PROOF), *[Step(1.0, Aim.ANY, Among.BETTER)] * 40))
    plain = Round((Step(1.0, Aim.BOTH),))
    found = []
    for steps in (near, asked, plain):
        with (
            patch.object(levels, "UPPER_ON_FEW", dict.fromkeys(levels.UPPER, (steps,))),
            patch.object(Run, "solve", autospec=True, side_effect=Run.solve) as solved,
        ):
            found.append([(level.value, level.bound, level.proven) for level in planned(1.05, seed).levels[:2]])
        beyond = [call.kwargs.get("beyond") for call in solved.call_args_list]
        assert any(value is not None for value in beyond) is (steps is not plain)
    assert found[0] == found[1] == found[2]
    assert all(proven for _, _, proven in found[0])
