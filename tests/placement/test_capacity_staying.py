"""Copies that are there on a core that another guest has to itself: none can be placed there, and they may stay."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from numaplan.cpuset import CpuSet
from numaplan.model.guest import Guest
from numaplan.model.plan import Plan, Status
from numaplan.model.request import GuestRequest, PageSize, Request, ThreadPolicy
from numaplan.model.snapshot import Snapshot
from numaplan.placement.capacity.fit import Counted, count_copies
from numaplan.placement.search import Budget
from numaplan.placement.solve import solve
from numaplan.placement.verification.facts import Facts
from numaplan.placement.verify import placement_violations
from tests.audit.audited import guest as there
from tests.depth import draws
from tests.hosts import host
from tests.placement.growing import with_more
from tests.placement.random_cases import Case, requests_and_hosts
from tests.placement.test_capacity_exact import LINKS, MANY, taken_for_large
from tests.requests import ask, guest

deterministic = settings(
    max_examples=draws(12), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
PRESENT = ("a", "a-2")


def isolated(*pins: str) -> Guest:
    return there("iso", pins, thread_policy="isolate", running=True)


def count(request: Request, snapshot: Snapshot, vm: str, *, together: bool = False, apart: bool = False) -> Counted:
    found = count_copies(request, snapshot, vm, together=together, apart=apart)
    assert isinstance(found, Counted)
    assert list(placement_violations(Facts(found.request, snapshot), found.capacity.placements)) == []
    assert found.capacity.proven
    assert {p.vm for p in found.capacity.placements} >= set(found.capacity.copies)
    assert found.capacity.fit == len(found.capacity.copies)
    return found


def test_a_copy_that_has_a_place_where_it_is_alone_stays_there_and_counts() -> None:
    others = [isolated("2"), there("odd", ["1", "5", "3"], running=True)]
    snapshot = host("1n:4c:2t", guests=[*others, there("v", ["7", "6"], running=True)])
    found = count(ask(guest("v", 2), reserved="0,4"), snapshot, "v").capacity
    assert (found.fit, found.copies) == (1, ("v",))
    assert [cpus for cell in found.placements[0].cells for _, cpus in cell.vcpus] == [CpuSet([7]), CpuSet([6])]
    assert found.next.sentence == "one more v needs 2 more free CPUs on node 0 (have 0, need 2)"


def test_of_several_copies_that_are_there_the_one_that_can_stay_is_named() -> None:
    """CPU 5 is beside the isolated guest, and the only one that is left for guests."""
    present = [there(f"v-{i}", [cpu]) for i, cpu in ((1, "2"), (2, "3"), (3, "5"))]
    snapshot = host("1n:4c:2t", guests=[isolated("1"), *present])
    found = count(ask(guest("v", 1), reserved="0,2-4,6-7"), snapshot, "v").capacity
    assert (found.fit, found.copies) == (1, ("v-3",))


def test_a_copy_that_stays_is_one_of_those_that_others_of_it_are_beside() -> None:
    snapshot = host("1n:4c:2t", guests=[isolated("1"), there("v-1", ["5"])])
    found = count(ask(guest("v", 1), reserved="0,4"), snapshot, "v").capacity
    assert (found.fit, found.copies[0]) == (5, "v-1")


def test_pages_that_the_host_lacks_keep_a_copy_from_staying_and_that_is_proven() -> None:
    snapshot = host("2n:2c:2t", guests=[isolated("5"), there("v-1", ["1"], memory_gib=1)])
    found = count(ask(guest("v", 1, page_size=PageSize.HUGE_1G), reserved="0,4"), snapshot, "v").capacity
    assert found.fit == 0
    assert found.next.sentence == "one more v needs 1 more free 1 GiB page on node 0 (have 0, need 1)"


def test_where_the_others_have_no_place_a_copy_that_may_stay_is_no_reason_to_doubt_it() -> None:
    snapshot = host("2n:2c:2t", guests=[isolated("5"), there("v-1", ["1"], memory_gib=1)])
    request = ask(guest("v", 1), guest("b", 1, page_size=PageSize.HUGE_1G), reserved="0,4")
    found = count_copies(request, snapshot, "v", together=False, apart=False)
    assert isinstance(found, Plan)
    assert found.status is Status.INFEASIBLE


@pytest.mark.parametrize(("together", "apart", "fit"), [(False, False, 3), (True, False, 2), (False, True, 2)])
def test_links_between_copies_bind_those_that_stay(*, together: bool, apart: bool, fit: int) -> None:
    """One stays on node 0, where nothing is free; two have a place on node 1."""
    snapshot = host("2n:2c:2t", guests=[isolated("5"), there("v-1", ["1"])])
    request = ask(guest("v", 1), reserved="0,4,2,6")
    assert count(request, snapshot, "v", together=together, apart=apart).capacity.fit == fit


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An isolated guest and one or two copies of "a", each with a CPU beside it or one that is free."""
    case = draw(requests_and_hosts(existing=False, small=draw(st.booleans())))
    snapshot = case.snapshot
    wide = [core for core in snapshot.cores if len(core.cpus & snapshot.cpus.online) > 1]
    assume(wide)
    first = case.request.guests[0]
    vcpus = first.vcpus
    cores = draw(st.lists(st.sampled_from(wide), min_size=1, max_size=2, unique_by=lambda core: core.name))
    alone = [min(core.cpus & snapshot.cpus.online) for core in cores]
    beside = [cpu for core in cores for cpu in core.cpus & snapshot.cpus.online if cpu not in alone]
    rest = [cpu for cpu in snapshot.cpus.online if cpu not in (*alone, *beside)]
    copies = []
    for name in PRESENT[: draw(st.integers(1, 2))]:
        cpus = draw(st.permutations(beside))[: draw(st.integers(1, vcpus))]
        cpus += draw(st.permutations(rest))[: vcpus - len(cpus)]
        node = next(node.id for node in snapshot.nodes if cpus[0] in node.cpus)
        cells = [[int(vcpu) for vcpu in cell.vcpus] for cell in first.cells] if len(first.cells) > 1 else []
        copies.append(
            there(
                name,
                [str(cpu) for cpu in cpus],
                vcpus=vcpus,
                cells=cells,
                memory=draw(st.sampled_from([None, ("strict", [int(node)])])) if not cells else None,
                memory_gib=1,
                emulator=draw(st.sampled_from([None, str(draw(st.sampled_from([*beside, *rest, *alone])))])),
                running=draw(st.sampled_from([True, True, None])),
            )
        )
    if first.thread_policy is ThreadPolicy.ISOLATE and draw(st.booleans()):
        first = replace(first, thread_policy=ThreadPolicy.PREFER)
    request = replace(case.request, guests=(first, *case.request.guests[1:]))
    return Case(request, replace(snapshot, guests=(isolated(*map(str, alone)), *copies)))


def asked_for(case: Case, names: tuple[str, ...], spare: tuple[str, ...], *, together: bool, apart: bool) -> Request:
    """The required guests with these copies of guest "a", and those that the host has besides may go."""
    every = (*names, *spare)

    def expanded(partners: tuple[str, ...], me: str) -> tuple[str, ...]:
        found = [name for partner in partners for name in (every if partner == "a" else [partner])]
        return tuple(name for name in found if name != me)

    made: list[GuestRequest] = []
    for one in case.request.guests:
        near = (*one.affinity, *(["a"] * (together and one.name == "a")))
        far = (*one.anti_affinity, *(["a"] * (apart and one.name == "a")))
        for name in every if one.name == "a" else [one.name] * one.required:
            linked = replace(one, name=name, affinity=expanded(near, name), anti_affinity=expanded(far, name))
            made.append(replace(linked, required=name not in spare))
    return replace(case.request, guests=tuple(made))


def has_place(case: Case, number: int, *, together: bool, apart: bool) -> bool:
    """Whether so many copies have a place, whichever of those that are there are among them."""
    present = tuple(guest.name for guest in case.snapshot.guests if guest.name in PRESENT)
    new = tuple(f"a-{i + 3}" for i in range(max(0, number - len(present))))
    for some in combinations(present, min(number, len(present))):
        spare = tuple(name for name in present if name not in some)
        request = asked_for(case, (*some, *new), spare, together=together, apart=apart)
        status = solve(request, case.snapshot, budget=Budget()).status if request.guests else Status.OPTIMAL
        assert status is not Status.UNKNOWN
        if status is not Status.INFEASIBLE:
            return True
    return False


@deterministic
@given(cases(), LINKS, MANY)
def test_so_many_copies_have_a_place_and_one_more_has_none_whoever_stays(
    case: Case,
    links: tuple[bool, bool],
    many: bool,  # noqa: FBT001
) -> None:
    together, apart = links
    with taken_for_large() if many else ExitStack():
        found = count_copies(case.request, case.snapshot, "a", together=together, apart=apart)
    fit = found.capacity.fit if isinstance(found, Counted) else 0
    assert has_place(case, fit, together=together, apart=apart) == isinstance(found, Counted)
    if not isinstance(found, Counted):
        assert found.status is Status.INFEASIBLE
        return
    assert found.capacity.proven
    assert list(placement_violations(Facts(found.request, case.snapshot), found.capacity.placements)) == []
    assert not has_place(case, fit + 1, together=together, apart=apart)
    rows = found.capacity.next.short
    for less in (None, *rows):
        request, snapshot = case.request, case.snapshot
        for row in rows:
            request, snapshot = with_more(request, snapshot, row, row.missing - (row is less))
        # A shared CPU has room for several vCPUs, so that one vCPU less may take the same CPU.
        if rows and (less is None or less.resource != "shared vCPUs"):
            more = has_place(Case(request, snapshot), fit + 1, together=together, apart=apart)
            assert more == (less is None), (rows, less)
