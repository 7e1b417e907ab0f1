"""What the coarse model implies may be said outright: no value is lost by it, and none is gained."""

from hypothesis import given, settings

from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import objective
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome, Solved
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import coarse_units
from numaplan.placement.options import build_problem
from numaplan.placement.packing import counted_priority
from tests.depth import draws
from tests.hosts import host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest

WORK = 5.0
DRAWS = settings(max_examples=draws(10), deadline=None, derandomize=True)


def best_priority(request: Request, snapshot: Snapshot, *, counted: bool) -> Solved:
    problem = build_problem(request, host_facts(request, snapshot))
    coarse = formulate(problem, coarse_units(problem), fine=False)
    goal = counted_priority(coarse) if counted else objective.priority(coarse)
    solved = coarse.model.solve(goal, maximize=True, work=WORK)
    assert not solved.solution or goal.value(solved.solution) == objective.priority(coarse).value(solved.solution)
    return solved


@DRAWS
@given(requests_and_hosts())
def test_the_best_priority_is_the_same_with_guests_counted_and_the_host_summed_up(case: Case) -> None:
    plain = best_priority(case.request, case.snapshot, counted=False)
    counted = best_priority(case.request, case.snapshot, counted=True)
    assert plain.outcome is counted.outcome
    assert plain.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    assert plain.bound == counted.bound


def test_a_core_to_oneself_counts_for_no_more_threads_than_it_has_free() -> None:
    """Of core 1 (CPUs 1 and 5) the sibling is reserved: two guests on cores of their own need three CPUs in all."""
    request = ask(*(guest(f"g{i}", 1, required=False, thread_policy="isolate") for i in range(2)), reserved="0,4,5,3,7")
    solved = best_priority(request, host("1n:4c:2t"), counted=True)
    assert solved.outcome is Outcome.OPTIMAL
    assert solved.bound == 2


def test_memory_that_may_be_of_several_sizes_is_no_part_of_the_sum_over_one() -> None:
    sizes = ("1GiB", "1GiB", "any")
    request = ask(*(guest(f"g{i}", 1, required=False, memory_gib=1, page_size=size) for i, size in enumerate(sizes)))
    solved = best_priority(request, host("1n:4c:1t", pages={"1GiB": 2}, memory_gib=8), counted=True)
    assert solved.outcome is Outcome.OPTIMAL
    assert solved.bound == len(sizes)
