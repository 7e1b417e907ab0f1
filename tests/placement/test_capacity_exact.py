"""The number of copies against trying everything, and what one more is said to need against hosts that have it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final
from unittest.mock import patch

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from numaplan.model.plan import Status
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from tests.depth import draws
from tests.placement.bruteforce import optimum
from tests.placement.growing import with_more
from tests.placement.random_cases import Case, requests_and_hosts

# Trying everything takes too long for more guests.
MOST_GUESTS: Final = 3

# Whether the vm names itself in affinity, in anti_affinity.
LINKS: Final = st.sampled_from([(False, False), (False, False), (True, False), (False, True)])

# As on hosts of many nodes, where copies are looked for in neighbourhoods.
MANY: Final = st.booleans()

deterministic = settings(
    max_examples=draws(6), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def with_number(request: Request, number: int, *, together: bool, apart: bool) -> Request:
    """The required guests of a request with so many copies of guest "a"."""
    names = [f"a-{i + 1}" for i in range(number)]

    def expanded(partners: tuple[str, ...], me: str) -> tuple[str, ...]:
        every = [name for partner in partners for name in (names if partner == "a" else [partner])]
        return tuple(name for name in every if name != me)

    made: list[GuestRequest] = []
    for guest in request.guests:
        if guest.name == "a":
            near = (*guest.affinity, *(["a"] if together else []))
            far = (*guest.anti_affinity, *(["a"] if apart else []))
            made += [
                replace(
                    guest, name=name, required=True, affinity=expanded(near, name), anti_affinity=expanded(far, name)
                )
                for name in names
            ]
        elif guest.required:
            made.append(
                replace(
                    guest,
                    affinity=expanded(guest.affinity, guest.name),
                    anti_affinity=expanded(guest.anti_affinity, guest.name),
                )
            )
    return replace(request, guests=tuple(made))


@contextmanager
def taken_for_large() -> Iterator[None]:
    """Every host is searched as one of many nodes is."""
    with ExitStack() as stack:
        for module in ("most", "addition", "room"):
            stack.enter_context(patch(f"numaplan.placement.capacity.{module}.MANY_NODES", 1))
        yield


def count(case: Case, *, together: bool, apart: bool, many: bool) -> Counted | None:
    with taken_for_large() if many else ExitStack():
        found = count_copies(case.request, case.snapshot, "a", together=together, apart=apart)
    if isinstance(found, Counted):
        assert found.capacity.proven
        return found
    assert found.status is Status.INFEASIBLE
    return None


@deterministic
@given(requests_and_hosts(existing=False, small=True), LINKS, MANY)
def test_so_many_copies_have_a_place_and_one_more_has_none(case: Case, links: tuple[bool, bool], many: bool) -> None:  # noqa: FBT001
    together, apart = links
    found = count(case, together=together, apart=apart, many=many)
    fit = 0 if found is None else found.capacity.fit
    required = sum(guest.required for guest in case.request.guests if guest.name != "a")
    assume(fit + 1 + required <= MOST_GUESTS)
    more = optimum(with_number(case.request, fit + 1, together=together, apart=apart), case.snapshot)
    assert more is None
    same = optimum(with_number(case.request, fit, together=together, apart=apart), case.snapshot)
    assert (same is None) == (found is None)


def has_place(request: Request, snapshot: Snapshot) -> bool:
    status = solve(request, snapshot, budget=Budget()).status
    assert status is not Status.UNKNOWN
    return status is not Status.INFEASIBLE


@deterministic
@given(requests_and_hosts(existing=False), LINKS, MANY)
def test_what_one_more_needs_is_enough_and_no_less_is(case: Case, links: tuple[bool, bool], many: bool) -> None:  # noqa: FBT001
    together, apart = links
    found = count(case, together=together, apart=apart, many=many)
    assume(found is not None)
    assert found is not None
    rows = found.capacity.next.short
    assert "not settled" not in found.capacity.next.sentence
    wanted = with_number(case.request, found.capacity.fit + 1, together=together, apart=apart)
    assert not has_place(wanted, case.snapshot)
    for less in (None, *rows):
        request, host = wanted, case.snapshot
        for row in rows:
            request, host = with_more(request, host, row, row.missing - (row is less))
        # A shared CPU has room for several vCPUs, so that one vCPU less may take the same CPU.
        if rows and (less is None or less.resource != "shared vCPUs"):
            assert has_place(request, host) == (less is None), (rows, less)
