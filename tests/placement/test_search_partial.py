"""Where not all ways to lie are looked at, nothing untrue is claimed, and what a count shows is said."""

from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, assume, given, settings

from numaplan.cli.show_plan import summary
from numaplan.model.moves import MovesStatus
from numaplan.model.plan import MAXIMIZED, Plan, Status
from numaplan.placement import demands
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.facts import host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.rebalance.moves import rebalance
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verify import verify
from numaplan.report.plan import plan_table
from tests.audit.audited import guest as there
from tests.depth import draws
from tests.hosts import host
from tests.placement.bruteforce import optimum
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

# So few ways that most guests have more.
FEW: Final = 1
deterministic = settings(
    max_examples=draws(25), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@deterministic
@given(requests_and_hosts(existing=False, small=True))
def test_no_proof_and_no_bound_is_wrong_where_few_ways_are_looked_at(case: Case) -> None:
    with patch.object(demands, "MAX_OPTIONS", FEW):
        assume(build_problem(case.request, host_facts(case.request, case.snapshot)).truncated)
        plan = solve(case.request, case.snapshot, budget=Budget())
    best = optimum(case.request, case.snapshot)
    if plan.status is Status.INFEASIBLE:
        assert best is None
    elif plan.status is not Status.UNKNOWN:
        assert best is not None
        assert verify(case.request, case.snapshot, plan) == ()
        _check_levels(plan, best[0])


def _check_levels(plan: Plan, best: tuple[int, ...]) -> None:
    """A bound is about plans that are as good at the levels above."""
    for level, value in zip(plan.levels, best, strict=True):
        assert level.bound >= value if level.name in MAXIMIZED else level.bound <= value
        assert not level.proven or level.value == value
        if level.value != value:
            return


@pytest.fixture
def few_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "MAX_OPTIONS", 8)


@pytest.mark.usefixtures("few_ways")
def test_guests_that_need_more_cpus_than_there_are_have_no_place_whatever_their_ways() -> None:
    snapshot = host("4n:8c:1t")
    request = ask(*(guest(f"g{i}", (4, 3, 5, 2), distinct_nodes=False) for i in range(3)), reserved="0")
    plan = solve(request, snapshot, budget=Budget())
    assert plan.status is Status.INFEASIBLE
    assert plan.conflict is not None
    assert {member.vm for member in plan.conflict.members} == {"g0", "g1", "g2"}


@pytest.mark.usefixtures("few_ways")
@pytest.mark.parametrize("memory_gib", [1, 8])
def test_the_ways_that_are_looked_at_are_such_as_nodes_have_room_for(memory_gib: int) -> None:
    snapshot = host("8n:8c:1t", pages={"1GiB": 8})
    cells = (7, 6, 5, 4, 3, 2)
    request = ask(guest("g", cells, memory_gib=memory_gib, page_size="1GiB", distinct_nodes=False), reserved="0")
    plan = solve(request, snapshot, budget=Budget())
    assert plan.status is Status.FEASIBLE
    assert verify(request, snapshot, plan) == ()
    assert "not all ways of g to lie on nodes were looked at, so a better plan is not ruled out" in plan.notes
    assert "not all ways of g" in summary(plan)
    assert "not all ways of g" in plan_table(plan, snapshot)


@pytest.mark.usefixtures("few_ways")
def test_no_moves_are_said_to_be_the_cheapest_where_ways_are_left_out() -> None:
    """One guest on each node, but for the node of the reserved CPU: none has room for a cell of four."""
    guests = [there(f"a{node}", [str(4 * node)], memory=("strict", [node]), emulator="0") for node in range(1, 8)]
    moves = rebalance(ask(guest("g", (4, 3)), reserved="0"), host("8n:4c:1t", guests=guests))
    assert (moves.status, moves.bound) == (MovesStatus.FEASIBLE, 0)
    assert "not all ways of g to lie on nodes were looked at, so a cheaper way is not ruled out" in moves.plan.notes


@pytest.mark.usefixtures("few_ways")
def test_a_number_of_copies_that_is_not_proven_is_said_to_leave_ways_out() -> None:
    request = ask(guest("g", (4, 3)), reserved="0")
    counted = count_copies(request, host("8n:4c:1t"), "g", together=False, apart=False)
    assert isinstance(counted, Counted)
    assert not counted.capacity.proven
    assert counted.capacity.notes == (
        "not all ways of g to lie on nodes were looked at, so one copy more is not ruled out",
    )
