"""Where a wall-clock limit ends, what is still to be explained or mended is given up, and said to be; no clock here."""

from dataclasses import replace
from typing import Final

import pytest

from numaplan.api.clock import ENDLESS, Clock
from numaplan.api.fixes import with_fixes
from numaplan.api.place import Asking, place
from numaplan.model.plan import Plan, Status
from numaplan.placement import demands
from numaplan.placement.clock import is_over
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.judge import FOR_A_CONFLICT, Judge
from numaplan.placement.facts import host_facts
from numaplan.placement.fixes.proposals import proposals
from numaplan.placement.options import build_problem
from numaplan.placement.verify import verify
from tests.hosts import host
from tests.placement.fixes_cases import question
from tests.requests import ask, guest

HOST: Final = host("2n:4c:1t", memory_gib=8)
SIZES: Final = (2, 3, 3)
TOO_MANY: Final = ask(*(guest(f"g{i}", vcpus) for i, vcpus in enumerate(SIZES)), reserved="0,4")
DOCUMENT: Final = {
    "apiVersion": "numaplan/v1",
    "host": {"reserved_cpus": "0,4", "reserved_memory": "0KiB"},
    "vms": [{"name": f"g{i}", "vcpus": vcpus, "memory": "1GiB"} for i, vcpus in enumerate(SIZES)],
}
DONE: Final = Clock(0.0, now=lambda: 1.0)


class Steps:
    """A time that goes on by a second whenever it is asked for, from 0."""

    def __init__(self) -> None:
        self.asked = -1

    def __call__(self) -> float:
        self.asked += 1
        return float(self.asked)


def impossible() -> Plan:
    plan = place(question(DOCUMENT, HOST)).plan
    assert plan.status is Status.INFEASIBLE
    return plan


def test_a_clock_counts_down_from_its_start_and_one_without_a_limit_never_ends() -> None:
    clock = Clock(1.5, now=Steps())
    assert [clock.remaining(), clock.is_over, clock.remaining()] == [0.5, True, -1.5]
    assert ENDLESS.remaining() is None
    assert not ENDLESS.is_over
    assert [is_over(lambda left=left: left) for left in (None, 0.1, 0.0, -1.0)] == [False, False, True, True]  # type: ignore[misc]


def test_a_judge_without_time_knows_nothing_and_counts_nothing() -> None:
    problem = build_problem(TOO_MANY, host_facts(TOO_MANY, HOST))
    assert Judge(FOR_A_CONFLICT).can(problem) is False
    assert Judge(FOR_A_CONFLICT, lambda: 0.0).can(problem) is None
    assert Judge(FOR_A_CONFLICT, lambda: 0.0).can(lambda: 1 / 0) is None  # type: ignore[arg-type, return-value]  # never called


def test_a_judge_takes_guests_to_lie_anywhere_that_have_more_ways_than_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unequal cells that may share nodes; of the ways that are looked at, all have them on one."""
    monkeypatch.setattr(demands, "MAX_OPTIONS", 8)
    snapshot = host("8n:5c:1t")
    guests = [guest(f"g{i}", (1, 2), distinct_nodes=False) for i in range(10)]
    request = ask(*guests, reserved="0")
    problem = build_problem(request, host_facts(request, snapshot))
    assert problem.truncated
    assert Judge(FOR_A_CONFLICT).can(problem) is not False


def test_a_conflict_without_time_to_make_it_small_is_told_with_none_of_it_proven() -> None:
    facts = host_facts(TOO_MANY, HOST)
    small, _ = conflict(TOO_MANY, facts)
    large, reasons = conflict(TOO_MANY, facts, lambda: 0.0)
    assert all(member.proven for member in small.members)
    assert not any(member.proven for member in large.members)
    assert {(m.vm, m.constraint) for m in small.members} <= {(m.vm, m.constraint) for m in large.members}
    assert all("(no proof was found within the limit" in member.sentence for member in large.members)
    assert [reason.vm for reason in reasons] == ["g0", "g1", "g2"]


def test_without_time_nothing_is_proposed() -> None:
    names = {guest.name for guest in TOO_MANY.guests}
    assert proposals(TOO_MANY, HOST, names, change_topology=False).found
    late = proposals(TOO_MANY, HOST, names, change_topology=False, remaining=lambda: 0.0)
    assert (late.found, late.complete) == ((), False)


def test_fixes_that_the_time_did_not_suffice_for_are_said_to_be_missing() -> None:
    plan = impossible()
    late = with_fixes(question(DOCUMENT, HOST), plan, clock=DONE)
    assert late.conflict is not None
    assert late.conflict.fixes == ()
    assert late.notes == (*plan.notes, "the time ended before everything was looked for that would help")
    in_time = with_fixes(question(DOCUMENT, HOST), plan, clock=Clock(9.0, now=lambda: 1.0))
    assert in_time == with_fixes(question(DOCUMENT, HOST), plan)
    assert in_time.notes == plan.notes


def test_fixes_that_are_found_before_the_time_ends_are_proven_ones() -> None:
    plan = impossible()
    every = with_fixes(question(DOCUMENT, HOST), plan)
    assert every.conflict is not None
    found = []
    for seconds in (5.0, 20.0, 60.0, 200.0, 5_000.0):
        some = with_fixes(question(DOCUMENT, HOST), plan, clock=Clock(seconds, now=Steps()))
        assert some.conflict is not None
        found.append(len(some.conflict.fixes))
        assert {fix.sentence for fix in some.conflict.fixes} <= {fix.sentence for fix in every.conflict.fixes}
    assert found == sorted(found)
    assert found[-1] == len(every.conflict.fixes) > 0


def test_a_plan_without_time_is_a_valid_one_and_says_that_reasons_were_not_looked_for() -> None:
    vms = [{"name": "a", "vcpus": 2, "memory": "1GiB"}]
    asked = question({**DOCUMENT, "vms": vms}, HOST)
    answer = place(asked, Asking(time_limit_s=0.5, why=True), DONE)
    assert answer.plan.whys == ()
    assert "the time ended before it was looked for what binds each guest to its place" in answer.plan.notes
    assert verify(asked.request, asked.snapshot, replace(answer.plan, notes=())) == ()
    assert len(place(asked, Asking(why=True)).plan.whys) == 1
