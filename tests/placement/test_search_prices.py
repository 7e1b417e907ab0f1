"""Prices bound the priority of every plan, whatever they are, and lead a greedy plan to guests that are worth it."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.first_fit import all_first_fits
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement import objective, prices
from numaplan.placement.clock import UNLIMITED
from numaplan.placement.constraints import formulate
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.formulation import Formulation, coarse_units
from numaplan.placement.greedy import greedy_plans
from numaplan.placement.options import build_problem
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest, vfs

WORK = 5.0
DRAWS = settings(max_examples=draws(25), deadline=None, derandomize=True)


def model_of(request: Request, snapshot: Snapshot) -> Formulation:
    problem = build_problem(request, host_facts(request, snapshot))
    return formulate(problem, coarse_units(problem), fine=False)


def most_of(f: Formulation) -> int:
    found = prices.prices(f)
    return sum(unit.count * unit.guest.priority for unit in f.units) if found is None else found.most


@DRAWS
@given(requests_and_hosts(), st.lists(st.integers(0, 20 * prices.PARTS), min_size=12, max_size=12))
def test_no_plan_is_worth_more_than_any_prices_say(case: Case, dear: list[int]) -> None:
    f = model_of(case.request, case.snapshot)
    solved = f.model.solve(objective.priority(f), maximize=True, work=WORK)
    assert solved.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    if solved.solution:
        assert most_of(f) >= solved.bound
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prices, "_dual", lambda _units, scarce: dear[: len(scarce)])
            assert most_of(f) >= solved.bound


@pytest.mark.parametrize(
    ("wants", "most"),
    [
        # Eight CPUs less one: the two that are worth the most for their size, and three quarters of the third.
        ([(3, 9, 1), (1, 4, 1), (4, 8, 1), (4, 4, 1)], 9 + 4 + 6),
        # Four pages: one guest, and two thirds of the other.
        ([(1, 6, 2), (1, 6, 3)], 6 + 4),
        ([(1, 0, 1), (1, 5, 1)], 5),
    ],
)
def test_the_host_filled_to_the_brim_is_worth_the_most(wants: list[tuple[int, int, int]], most: int) -> None:
    guests = [
        guest(f"g{i}", vcpus, required=False, priority=priority, memory_gib=pages, page_size="1GiB")
        for i, (vcpus, priority, pages) in enumerate(wants)
    ]
    request = ask(*guests, reserved="0")
    assert most_of(model_of(request, host("2n:4c:1t", pages={"1GiB": 2}))) == most


def test_what_is_required_is_bought_at_any_price() -> None:
    """Of seven CPUs the required guest has five; the two that are left go to whom they are worth the most."""
    wants = [(5, 1, True), (2, 3, False), (4, 8, False)]
    guests = [guest(f"g{i}", cpus, priority=worth, required=must) for i, (cpus, worth, must) in enumerate(wants)]
    assert most_of(model_of(ask(*guests, reserved="0"), host("2n:4c:1t"))) == 1 + 4


def test_vfs_have_a_price_too() -> None:
    """Three VFs for four guests that want two or one, and CPUs for all."""
    wants = [(2, 6), (2, 5), (1, 2), (1, 1)]
    guests = [
        guest(f"g{i}", 1, priority=worth, required=False, interfaces=[vfs("d", "p0", count)])
        for i, (count, worth) in enumerate(wants)
    ]
    assert most_of(model_of(ask(*guests), host("1n:8c:1t", nics=[Nic("p0", 0, 3)]))) == 6 + 2


@pytest.mark.parametrize("odd_kib", [0, 4, 2048])
def test_prices_are_as_good_where_memory_comes_in_small_pages(odd_kib: int) -> None:
    """One guest of another size makes the unit of which all are multiples small, and the price of one tiny."""
    guests = [guest(f"g{i}", 1, memory_gib=64, priority=3, required=False) for i in range(40)]
    cell = guests[0].cells[0]
    guests[0] = replace(guests[0], cells=(replace(cell, memory_kib=cell.memory_kib + odd_kib),))
    assert most_of(model_of(ask(*guests), host("2n:32c:1t", memory_gib=768))) == 3 * 24


@pytest.mark.parametrize("seed", range(3))
def test_a_greedy_plan_of_many_guests_is_near_what_their_prices_allow(seed: int) -> None:
    """Those that are worth much for their CPUs may want much memory, or one of few VFs."""
    dice = Random(seed)  # noqa: S311  # a test, no secret
    guests = [
        guest(
            f"g{i}",
            dice.randint(1, 8),
            memory_gib=dice.randint(1, 8),
            page_size="1GiB",
            priority=dice.randint(1, 50),
            required=False,
            interfaces=[vfs("d", "p0", 1, affinity="preferred")] if dice.random() < 0.5 else [],
        )
        for i in range(150)
    ]
    request, snapshot = ask(*guests), host("2n:16c:2t", pages={"1GiB": 60}, nics=[Nic("p0", 0, 16)])
    f = model_of(request, snapshot)
    worth = max(objective.priority(f).value(_values(f, ways)) for ways in greedy_plans(f, UNLIMITED))
    assert worth > 0.9 * most_of(f)
    worths = {guest.name: guest.priority for guest in request.guests}
    assert worth > max(sum(worths[each.vm] for each in run) for run in all_first_fits(request, snapshot))


def _values(f: Formulation, ways: dict[int, int]) -> list[int]:
    return [ways.get(var, 0) for var in range(f.model.size)]
