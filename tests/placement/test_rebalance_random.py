"""Moves on small hosts drawn at random, compared with the best of all ways and replayed step by step."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from numaplan.model.moves import Moves, MovesStatus
from numaplan.placement.rebalance.moves import rebalance
from numaplan.placement.verify import verify
from tests.audit.carried_out import guests_of
from tests.depth import draws
from tests.placement.rebalance_cases import Case, cases, cheapest, costly, mending, returning
from tests.placement.replay import Replay

thorough = settings(
    max_examples=draws(25),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check(case: Case) -> Moves:
    """What holds of any moves: they exist where any do, none are cheaper, and each step of them is possible.

    Less is proven where it is not known whether a guest runs, and a note says so.
    """
    moves = rebalance(case.request, case.snapshot)
    best = cheapest(case)
    assert verify(moves.request, case.snapshot, moves.plan) == ()
    doubtful = any("counts as needed anew" in note for note in moves.plan.notes)
    assert not doubtful or any(guest.running is None for guest in case.snapshot.guests)
    if best is None:
        assert moves.status in (MovesStatus.INFEASIBLE, *((MovesStatus.UNKNOWN,) if doubtful else ()))
        assert (moves.plan.conflict is not None) == (moves.status is MovesStatus.INFEASIBLE)
        return moves
    assert moves.status not in (MovesStatus.INFEASIBLE, MovesStatus.UNKNOWN)
    assert moves.bound < best if doubtful else moves.bound == best
    assert moves.cost >= best
    assert (moves.cost == moves.bound) == (moves.status is not MovesStatus.FEASIBLE)
    assert Replay(case.snapshot, moves).wrong == []
    return moves


@thorough
@given(cases())
def test_room_is_made_where_any_moves_make_it_at_the_least_cost_and_step_by_step(case: Case) -> None:
    check(case)


@thorough
@given(cases().map(mending))
def test_a_host_is_mended_where_any_moves_mend_it_at_the_least_cost_and_step_by_step(case: Case) -> None:
    moves = check(case)
    if moves.status in (MovesStatus.INFEASIBLE, MovesStatus.UNKNOWN):
        return
    placed = {placement.vm for placement in moves.plan.placements}
    stay = tuple(guest for guest in case.snapshot.guests if guest.name not in placed)
    after = replace(case.snapshot, guests=(*stay, *guests_of(moves.plan, moves.request)))
    assert costly(after) == []


@thorough
@given(returning())
def test_guests_that_are_asked_for_and_there_give_way_at_the_least_cost_and_step_by_step(case: Case) -> None:
    check(case)
