"""What ways to fill nodes allow bounds the priority of every plan, and tells what sums over the host do not."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.plan import LevelName
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import objective
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.filling.ceiling import ceiling
from numaplan.placement.filling.program import PARTS, Program
from numaplan.placement.first import greedy_plan
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.joined import joined
from numaplan.placement.levels import Budget, Run
from numaplan.placement.options import build_problem
from numaplan.placement.packing import counted_priority
from numaplan.placement.symmetry import Symmetry
from tests.depth import draws
from tests.hosts import host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

WORK: Final = 5.0
# Less than any plan is worth: nothing is proven before all is tried.
NOTHING_KNOWN: Final = -1


def model_of(request: Request, snapshot: Snapshot) -> Formulation:
    problem = joined(build_problem(request, host_facts(request, snapshot))).problem
    return formulate(problem, coarse_units(problem), fine=False)


@settings(max_examples=draws(40), deadline=None, derandomize=True, database=None)
@given(requests_and_hosts(), st.lists(st.integers(0, 20 * PARTS), min_size=60, max_size=60))
def test_no_plan_is_worth_more_whatever_the_weights(case: Case, heavy: list[int]) -> None:
    f = model_of(case.request, case.snapshot)
    solved = f.model.solve(objective.priority(f), maximize=True, work=WORK)
    assert solved.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    if not solved.solution:
        return
    most = ceiling(f, NOTHING_KNOWN)
    assert most is None or most >= solved.bound
    # One that is known to be the most ends the work.
    assert ceiling(f, solved.bound) in (None, solved.bound, most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Program, "weights", lambda each, _priced: dict(zip(each._lumps, heavy, strict=False)))
        most = ceiling(f, NOTHING_KNOWN)
        assert most is None or most >= solved.bound


def test_guests_of_which_a_node_wastes_much_are_worth_no_more_than_have_a_place() -> None:
    """Seven CPUs of each of four nodes hold one guest of four, though seven times four is enough for seven."""
    guests = [guest(f"g{i}", 4, priority=2, required=False) for i in range(7)]
    request = ask(*guests, reserved="0,8,16,24")
    assert ceiling(model_of(request, host("4n:8c:1t")), NOTHING_KNOWN) == 4 * 2


def test_who_is_required_takes_room_from_who_is_worth_more() -> None:
    """A node of seven CPUs holds one guest of four: of two nodes one is the required guest's."""
    guests = [guest("must", 4, priority=1), *(guest(f"g{i}", 4, priority=9, required=False) for i in range(2))]
    assert ceiling(model_of(ask(*guests, reserved="0,8"), host("2n:8c:1t")), NOTHING_KNOWN) == 1 + 9


@pytest.mark.parametrize(("fill", "worth"), [(0.95, 159), (1.05, 216)])
def test_it_proves_a_priority_where_cpus_and_pages_are_scarce_at_once(fill: float, worth: int) -> None:
    """On eight nodes: the solver alone has found these plans soon, and did not prove them in four times that work."""
    found = make_instance(HOSTS[3], fill, seed=1)
    assert worth < sum(guest.priority for guest in found.request.guests)
    f = model_of(found.request, found.snapshot)
    priority = counted_priority(f)
    run = Run(Budget(scale=0.25))
    seen = Symmetry(run, f, {LevelName.PRIORITY: priority})
    reached = run.levels(f, [(LevelName.PRIORITY, priority)], solution=plan_of(f), best=seen.best, improve=seen.improve)
    assert [(bound.value, bound.bound, bound.proven) for bound in reached.bounds] == [(worth, worth, True)]


def plan_of(f: Formulation) -> tuple[int, ...]:
    return greedy_plan(f, objective.cross_node_cost(f), UNLIMITED)
