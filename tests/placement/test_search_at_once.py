"""Both upper levels at once, where the first plan leaves somebody out: all find a place after all, or they do not."""

from collections.abc import Iterator
from unittest.mock import Mock, patch

import pytest

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import LevelName, Plan
from numaplan.placement import levels
from numaplan.placement.levels import UPPER, Run
from numaplan.placement.objective import priority
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from tests.hosts import host
from tests.requests import ask, guest

# Seven cores are left on each node: 4 + 3 on one and 3 + 2 + 2 on the other, which no greedy order finds.
TIGHT = (4, 3, 3, 2, 2)
HOST = "2n:8c:1t"
RESERVED = "0,8"


@pytest.fixture(autouse=True)
def solved() -> Iterator[Mock]:
    """What is asked of the solver one level after the other."""
    with patch.object(Run, "solve", autospec=True, side_effect=Run.solve) as spied:
        yield spied


def asked(solved: Mock) -> set[str]:
    return {call.args[3] for call in solved.call_args_list}


def planned(sizes: tuple[int, ...], *, required: bool) -> Plan:
    request = ask(*(guest(f"g{i}", size, required=required) for i, size in enumerate(sizes)), reserved=RESERVED)
    snapshot = host(HOST)
    plan = solve(request, snapshot, budget=Budget())
    assert not verify(request, snapshot, plan)
    return plan


def upper(plan: Plan) -> dict[str, tuple[int, int, bool]]:
    return {level.name: (level.value, level.bound, level.proven) for level in plan.levels[:2]}


@pytest.mark.parametrize("required", [False, True])
def test_where_all_find_a_place_after_all_neither_level_is_asked_for_by_itself(*, required: bool, solved: Mock) -> None:
    plan = planned(TIGHT, required=required)
    assert len(plan.placements) == len(TIGHT)
    assert upper(plan) == {"priority": (len(TIGHT), len(TIGHT), True), "cross_node_cost": (0, 0, True)}
    assert not UPPER & asked(solved)


def test_where_one_finds_no_place_the_levels_are_asked_for_in_turn(solved: Mock) -> None:
    plan = planned((*TIGHT, 1), required=False)
    assert len(plan.placements) == len(TIGHT)
    assert upper(plan) == {"priority": (len(TIGHT), len(TIGHT), True), "cross_node_cost": (0, 0, True)}
    assert asked(solved) >= UPPER


def test_where_that_is_not_asked_the_values_are_the_same(monkeypatch: pytest.MonkeyPatch, solved: Mock) -> None:
    plan = planned(TIGHT, required=False)
    monkeypatch.setattr("numaplan.placement.search.MANY_NODES", 0)
    assert planned(TIGHT, required=False).levels == plan.levels
    assert asked(solved) >= UPPER


def test_a_plan_for_all_whose_cost_is_not_soon_proven_is_where_the_levels_begin(solved: Mock) -> None:
    instance = make_instance(HOSTS[3], 0.95, 7)
    plan = solve(instance.request, instance.snapshot, budget=Budget(scale=0.2))
    everybody = sum(guest.priority for guest in instance.request.guests)
    assert upper(plan)["priority"] == (everybody, everybody, True)
    calls = [call for call in solved.call_args_list if call.args[3] in UPPER]
    assert {call.args[3] for call in calls} == {"cross_node_cost"}
    # What was found and proven at once is neither looked for nor bounded again.
    first = calls[0]
    assert priority(first.args[1]).value(first.kwargs["solution"]) == everybody
    assert first.kwargs["step"] == levels.UPPER_ON_FEW[LevelName.CROSS_NODE_COST][1].steps[0]
    assert 0 < first.kwargs["best"] <= upper(plan)["cross_node_cost"][1]
    assert upper(plan)["cross_node_cost"][0] <= first.args[2].value(first.kwargs["solution"])
