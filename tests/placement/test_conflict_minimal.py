"""A conflict is impossible, and each thing less is possible: tried on hosts and requests drawn at random."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.model.host import HugepagePool
from numaplan.model.plan import Conflict
from numaplan.model.request import GuestRequest, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.conflict.aspects import aspects, meant, name_of, relaxed
from numaplan.placement.conflict.explain import conflict
from numaplan.placement.conflict.judge import FOR_A_CONFLICT, Judge
from numaplan.placement.conflict.necessary import necessary
from numaplan.placement.conflict.shares import whole
from numaplan.placement.cpsat import Outcome
from numaplan.placement.facts import BOUNDLESS_KIB, host_facts
from numaplan.placement.options import build_problem
from numaplan.placement.problem import Problem
from numaplan.placement.search import Budget, feasible
from tests.depth import draws
from tests.hosts import Nic, host
from tests.placement.bruteforce import optimum
from tests.placement.random_cases import Case, requests_and_hosts
from tests.requests import ask, guest, vfs

DRAWS: Final = draws(20)

repeatable = settings(max_examples=DRAWS, deadline=None, derandomize=True, database=None)


def required(request: Request) -> Request:
    return replace(request, guests=tuple(replace(guest, required=True) for guest in request.guests))


def only(request: Request, names: set[str]) -> Request:
    return replace(request, guests=tuple(guest for guest in request.guests if guest.name in names))


def can(request: Request, snapshot: Snapshot) -> bool:
    outcome = feasible(build_problem(request, host_facts(request, snapshot)), Budget())
    assert outcome in {Outcome.FEASIBLE, Outcome.INFEASIBLE}
    return outcome is Outcome.FEASIBLE


def found(case: Case) -> tuple[Request, Conflict] | None:
    request = required(case.request)
    if can(request, case.snapshot):
        return None
    return request, conflict(request, host_facts(request, case.snapshot))[0]


def with_boundless_pages(snapshot: Snapshot) -> Snapshot:
    """For guests that ask for no memory."""
    pool = HugepagePool(BOUNDLESS_KIB, total=64, free=64)
    return replace(snapshot, nodes=tuple(replace(node, hugepages=(*node.hugepages, pool)) for node in snapshot.nodes))


def asked(request: Request, members: list[tuple[str | None, str]]) -> Request:
    """The guests of a conflict with nothing asked for but what its members name."""
    guests: list[GuestRequest] = []
    for one in request.guests:
        named = {constraint for vm, constraint in members if vm == one.name}
        kept = {aspect for aspect in aspects(one) if name_of(one, aspect) in named}
        assert {name_of(one, aspect) for aspect in kept} | {"placed"} >= named
        if named:
            guests.append(relaxed(one, meant(kept)))
    return replace(request, guests=tuple(guests))


def judge_guests(case: Case, *, brute: bool) -> None:
    if (answer := found(case)) is None:
        return
    request, made = answer
    names = {member.vm for member in made.members if member.vm is not None}

    def possible(some: set[str]) -> bool:
        part = only(request, some)
        return optimum(part, case.snapshot) is not None if brute else can(part, case.snapshot)

    assert names
    assert not possible(names)
    for name in sorted(names):
        assert len(names) == 1 or possible(names - {name}), name


def judge_aspects(case: Case, *, brute: bool) -> None:
    if (answer := found(case)) is None:
        return
    request, made = answer
    snapshot = with_boundless_pages(case.snapshot)
    members = [(member.vm, member.constraint) for member in made.members]

    def possible(some: list[tuple[str | None, str]]) -> bool:
        part = asked(request, some)
        return optimum(part, snapshot) is not None if brute else can(part, snapshot)

    assert len(set(members)) == len(members)
    assert not any("no proof" in member.sentence for member in made.members)
    assert not possible(members)
    for member in members:
        assert possible([other for other in members if other != member]), member


@repeatable
@given(requests_and_hosts(existing=False))
def test_the_guests_of_a_conflict_have_no_place_together_and_without_any_one_of_them_they_have(case: Case) -> None:
    judge_guests(case, brute=False)


@repeatable
@given(requests_and_hosts(existing=False))
def test_what_a_conflict_names_is_impossible_and_without_any_one_of_it_possible(case: Case) -> None:
    judge_aspects(case, brute=False)


@st.composite
def with_copies(draw: st.DrawFn) -> Case:
    """Guests several times over, as `count` makes them: links name the first of the copies."""
    case = draw(requests_and_hosts(existing=False))
    guests = [
        replace(guest, name=f"{guest.name}{copy}" if copy else guest.name)
        for guest in case.request.guests
        for copy in range(draw(st.integers(1, 5)))
    ]
    return Case(replace(case.request, guests=tuple(guests)), case.snapshot)


@st.composite
def with_tied_copies(draw: st.DrawFn) -> Case:
    """The same where links name all copies of a guest, and copies may be tied to each other."""
    case = draw(requests_and_hosts(existing=False))
    own = {guest.name: draw(st.sampled_from(["", "", "affinity", "anti_affinity"])) for guest in case.request.guests}
    copies = {name: [f"{name}{copy}" for copy in range(draw(st.integers(1, 4)))] for name in own}

    def tied(guest: GuestRequest, name: str, key: str) -> tuple[str, ...]:
        names = [*getattr(guest, key), *([guest.name] if own[guest.name] == key else [])]
        return tuple(copy for one in dict.fromkeys(names) for copy in copies.get(one, [one]) if copy != name)

    guests = [
        replace(
            guest, name=name, affinity=tied(guest, name, "affinity"), anti_affinity=tied(guest, name, "anti_affinity")
        )
        for guest in case.request.guests
        for name in copies[guest.name]
    ]
    return Case(replace(case.request, guests=tuple(guests)), case.snapshot)


@repeatable
@given(with_tied_copies())
def test_of_copies_that_are_tied_all_that_is_named_is_needed(case: Case) -> None:
    judge_guests(case, brute=False)
    judge_aspects(case, brute=False)


@repeatable
@given(with_copies())
def test_of_many_equal_guests_no_more_are_named_than_are_one_too_many(case: Case) -> None:
    judge_guests(case, brute=False)


@repeatable
@given(with_copies())
def test_of_equal_guests_each_is_named_with_what_is_needed_of_it(case: Case) -> None:
    judge_aspects(case, brute=False)


@settings(repeatable, max_examples=DRAWS // 2)
@given(requests_and_hosts(existing=False, small=True))
def test_trying_every_way_comes_to_the_same_guests(case: Case) -> None:
    judge_guests(case, brute=True)


@settings(repeatable, max_examples=DRAWS // 2)
@given(requests_and_hosts(existing=False, small=True))
def test_trying_every_way_comes_to_the_same_aspects(case: Case) -> None:
    judge_aspects(case, brute=True)


def test_what_was_needed_beside_an_interface_is_tried_again_without_it() -> None:
    # Both VFs go as one: who has x can do without y's affinity, and who has not can have no y at all.
    asked = guest("a", 2, interfaces=[vfs("x", "ens0", affinity="preferred"), vfs("y", "ens0")])
    snapshot = host("2n:4c:1t", nics=[Nic("ens0", 1, 2, per_group=2)])
    case = Case(ask(asked, reserved="0,4-7"), snapshot)
    answer = found(case)
    assert answer is not None
    assert [member.constraint for member in answer[1].members] == ["interfaces.y"]
    judge_aspects(case, brute=False)


class Slow(Judge):
    """Knows no answer while guest "a" asks for CPUs and no link speaks of it, and tells of no guests that they fit."""

    def can(self, problem: Problem | Callable[[], Problem]) -> bool | None:
        asked = problem if isinstance(problem, Problem) else problem()
        by_name = {guest.name: guest for guests in asked.classes for guest in guests.members}
        linked = any("a" in guest.anti_affinity for guest in by_name.values())
        unknown = not linked and "a" in by_name and bool(by_name["a"].dedicated_vcpus)
        return None if unknown or super().can(asked) is not False else False


def test_who_takes_part_by_no_more_than_a_link_goes_with_that_link() -> None:
    """Guest "c" names "a" and needs it as little as that link, which is seen when nothing else is left of "a"."""
    request = ask(guest("a", 1), guest("b", (1, 1)), guest("c", 4, anti_affinity=["a"]), reserved="4")
    facts = host_facts(request, host("2n:4c:1t"))
    shares = whole([(one,) for one in request.guests])
    found = necessary(request.policy, facts, shares, Slow(FOR_A_CONFLICT))
    assert [(share.members[0].name, sorted(aspect.kind for aspect in share.kept)) for share in found] == [
        ("b", ["distinct_nodes", "vcpus"]),
        ("c", ["vcpus"]),
    ]
