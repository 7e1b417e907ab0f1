"""What guests ask of a host in counts is kept as long as there are few ways in all, and is the same found anew."""

import pytest

from numaplan.cpuset import CpuSet
from numaplan.placement import demands
from numaplan.placement.demands import demands_on
from numaplan.placement.facts import host_facts
from tests.hosts import host
from tests.requests import ask, guest


def test_what_is_asked_is_found_once_whoever_asks() -> None:
    one, other = (guest(name, (1, 2), priority=n) for n, name in enumerate("ab", 1))
    known = demands_on(host_facts(ask(one, other), host("4n:4c:1t")), CpuSet(), ())
    assert known.of(one, 100) is known.of(other, 100)
    assert len(known.of(one, 100).options) == 12
    assert len(known.of(one, 5).options) == 5


def test_no_more_is_kept_than_so_many_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "MAX_KEPT", 20)
    guests = [guest(str(n), (1, n)) for n in range(2, 5)]
    known = demands_on(host_facts(ask(*guests), host("4n:4c:1t")), CpuSet(), ())
    first = known.of(guests[0], 100)
    assert known.of(guests[0], 100) is first
    for each in guests[1:]:
        known.of(each, 100)
    again = known.of(guests[0], 100)
    assert again is not first
    assert again == first
