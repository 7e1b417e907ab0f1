"""Thousands of guests that differ: what helps them is looked for within bounds, and is no more than it must be."""

import pytest

from numaplan.placement.clock import UNLIMITED
from numaplan.placement.fixes.least import Least
from numaplan.placement.fixes.leaving import leaving_out
from numaplan.placement.fixes.lever import Case, furthest
from numaplan.placement.fixes.probe import MAX_CASES, Probe
from tests.hosts import host
from tests.requests import ask, guest

MANY = ask(*(guest(f"g{i}", 1 + i % 3, memory_gib=2 + i) for i in range(1000)), reserved="0,4")
CASE = Case(MANY, host("2n:4c:1t", memory_gib=9000))


def probe() -> Probe:
    return Probe(MANY.guests, change_topology=False, remaining=UNLIMITED)


def test_of_a_thousand_that_differ_as_many_are_kept_as_one_after_the_other_finds_a_place() -> None:
    gone, _ = probe().worth_least(CASE, {guest.name for guest in MANY.guests})
    assert len(gone) == 994


def test_a_case_of_many_guests_counts_as_several() -> None:
    asked = probe()
    assert not asked.holds(CASE)
    assert asked.cases == 3


def test_nothing_is_pulled_or_given_up_once_every_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, levers = probe(), leaving_out([[guest] for guest in MANY.guests], MANY).levers
    asked.cases = 2 * MAX_CASES
    monkeypatch.setattr(Case, "with_vm", lambda *_: pytest.fail("a lever was pulled"))
    enough = furthest(levers)
    assert Least(CASE, asked, levers).fewest(enough) == enough
    assert not Least(CASE, asked, levers).holds(enough)
