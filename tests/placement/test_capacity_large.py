"""How many copies fit on a host of 16 nodes beside others that may be moved, and what one more needs there."""

import random
from dataclasses import replace

import pytest

from benchmarks.instances import HOSTS, make_instance
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity import most
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.conflict.judge import Patience
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import host_facts
from numaplan.placement.filling.fillings import Filling
from numaplan.placement.filling.weighing import Scales
from numaplan.placement.options import build_problem
from numaplan.placement.search import Budget, feasible
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations
from tests.hosts import host
from tests.placement.growing import with_more
from tests.requests import ask, guest

# A plan, and no good one.
HASTE = Budget(scale=0.001)


def test_what_one_more_needs_on_many_nodes_is_settled_and_enough_and_no_less_is() -> None:
    full = make_instance(HOSTS[4], 1.05, seed=3)
    placed = {placement.vm for placement in solve(full.request, full.snapshot, budget=HASTE).placements[::2]}
    others = tuple(replace(each, required=True) for each in full.request.guests if each.name in placed)
    copy = guest("copy", 6, memory_gib=6, page_size="1GiB", thread_policy="require")
    found = count_copies(
        replace(full.request, guests=(*others, copy)), full.snapshot, "copy", together=False, apart=False
    )
    assert isinstance(found, Counted)
    assert found.capacity.proven
    assert not list(placement_violations(Facts(found.request, full.snapshot), found.capacity.placements))
    (row,) = found.capacity.next.short
    more = replace(full.request, guests=(*others, *_copies(copy, found.capacity.fit + 1)))
    assert _has_room(*with_more(more, full.snapshot, row, row.missing)) is Outcome.FEASIBLE
    assert _has_room(*with_more(more, full.snapshot, row, row.missing - 1)) is Outcome.INFEASIBLE


def test_what_one_more_needs_is_settled_where_others_fill_nearly_all_of_many_nodes() -> None:
    crowd = make_instance(HOSTS[4], 0.8, seed=2)
    others = tuple(replace(each, required=True) for each in crowd.request.guests)
    copy = guest("copy", 10, memory_gib=16, page_size="1GiB")
    found = count_copies(
        replace(crowd.request, guests=(*others, copy)), crowd.snapshot, "copy", together=False, apart=False
    )
    assert isinstance(found, Counted)
    assert found.capacity.proven
    assert not list(placement_violations(Facts(found.request, crowd.snapshot), found.capacity.placements))
    assert [(row.resource, row.missing) for row in found.capacity.next.short] == [("CPUs", 1)]


def test_what_no_neighbourhood_finds_is_asked_for_a_copy_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(1)  # noqa: S311  # a test, no secret
    sizes = [dice.choice((9, 7, 5, 3, 11)) for _ in range(32)]
    snapshot = host("9n:16c:2t", pages={"1GiB": 16})
    others = [guest(f"g{i}", size, memory_gib=size // 2 + 1, page_size="1GiB") for i, size in enumerate(sizes)]
    request = ask(*others, guest("copy", 5, memory_gib=2, page_size="1GiB"), reserved="0")

    def count() -> Counted:
        found = count_copies(request, snapshot, "copy", together=False, apart=False)
        assert isinstance(found, Counted)
        return found

    quickly = count().capacity
    no_patience = Patience(Budget(scale=0.0001), few=0, many=0, unknown=0)
    monkeypatch.setattr(most, "PATIENCE", no_patience)
    monkeypatch.setattr(Scales, "fill", lambda _scales, _load: Filling(Outcome.UNKNOWN))
    monkeypatch.setattr(most, "more_placed", lambda _f, _placed, _most, known, **_: known)
    monkeypatch.setattr(most, "WORK", 0.0001)
    monkeypatch.setattr(most, "_DOUBT_WORK", 0.0001)
    slowly = count().capacity
    assert (slowly.fit, slowly.proven) == (quickly.fit, True)
    monkeypatch.setattr(most, "_counting_up", lambda _asked, found: found)
    assert not count().capacity.proven


def _copies(copy: GuestRequest, count: int) -> list[GuestRequest]:
    return [replace(copy, name=f"copy-{i + 1}") for i in range(count)]


def _has_room(request: Request, snapshot: Snapshot) -> Outcome:
    """By the model of all guests, which the count and the search for additions have no part in."""
    return feasible(build_problem(request, host_facts(request, snapshot)), Budget())
