"""Each fact that a plan rests on is watched: whichever has another value, or is lost, is told."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from numaplan.apply.stale import differences
from numaplan.model.plan import Basis, GuestFacts
from tests.apply.standing import Standing, standing_host

Pairs = tuple[tuple[str, str], ...]

# It says in short what the pins say.
SHORT = "CPUs of its own"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Basis:
    standing: Standing = standing_host(tmp_path_factory.mktemp("standing"))
    assert standing.plan.basis is not None
    return standing.plan.basis


def told(planned: Basis, now: Basis) -> list[str]:
    return [str(problem) for problem in differences(planned, now)]


def basis(*host: tuple[str, str], guests: tuple[GuestFacts, ...] = ()) -> Basis:
    return Basis(host, guests)


def guest(*facts: tuple[str, str], name: str = "fw1") -> GuestFacts:
    return GuestFacts(name, facts)


def each_changed(pairs: Pairs) -> Iterator[tuple[str, str, Pairs]]:
    """Each fact by its name with its value, and all of them with that one changed."""
    for place, (what, value) in enumerate(pairs):
        yield what, value, (*pairs[:place], (what, "7777"), *pairs[place + 1 :])


def each_lost(pairs: Pairs) -> Iterator[tuple[str, Pairs]]:
    for place, (what, _) in enumerate(pairs):
        yield what, (*pairs[:place], *pairs[place + 1 :])


def test_a_basis_does_not_differ_from_itself(planned: Basis) -> None:
    assert told(planned, planned) == []


def test_each_fact_of_the_host_is_told_where_it_changed(planned: Basis) -> None:
    assert len(planned.host) > 30
    for what, value, changed in each_changed(planned.host):
        [sentence, *_] = told(planned, replace(planned, host=changed))
        assert value in sentence or what.startswith(("memory of", "use by", "names of")), what


def test_each_fact_of_the_host_is_told_where_it_is_lost(planned: Basis) -> None:
    for what, lost in each_lost(planned.host):
        assert len(told(planned, replace(planned, host=lost))) >= 1, what


def test_each_fact_of_a_guest_is_told_where_it_changed_or_is_lost(planned: Basis) -> None:
    for place, each in enumerate(planned.guests):

        def with_facts(facts: Pairs, each: GuestFacts = each, place: int = place) -> Basis:
            others = list(planned.guests)
            others[place] = replace(each, facts=facts)
            return replace(planned, guests=tuple(others))

        for what, _, changed in each_changed(each.facts):
            assert len(told(planned, with_facts(changed))) == (what != SHORT), what
        for what, lost in each_lost(each.facts):
            assert len(told(planned, with_facts(lost))) == (what != SHORT), what


def test_each_part_of_the_xml_of_a_guest_of_the_plan_is_told(planned: Basis) -> None:
    place = next(place for place, each in enumerate(planned.guests) if each.name == "fw1")
    each = planned.guests[place]
    for variant in (*(pairs for _, _, pairs in each_changed(each.xml)), *(pairs for _, pairs in each_lost(each.xml))):
        others = list(planned.guests)
        others[place] = replace(each, xml=variant)
        [sentence] = told(planned, replace(planned, guests=tuple(others)))
        assert sentence.endswith("its XML")


def test_cpus_that_come_and_go_are_told_in_one_sentence() -> None:
    [sentence] = told(basis(("online CPUs", "0-7,9")), basis(("online CPUs", "0-8")))
    assert sentence == "host: CPU 9 went offline and CPU 8 came online: online CPUs were 0-7,9, are 0-8"


def test_what_follows_from_a_cpu_that_went_offline_is_not_told_again() -> None:
    before = basis(
        ("online CPUs", "0-15"),
        ("CPUs of node 1", "8-15"),
        ("SMT siblings", "8-9"),
        guests=(guest(("vCPUs", "0-1 on 8-11, 2 on any CPU"), ("emulator", "8-11"), ("iothreads", "1 on 8,10")),),
    )
    after = basis(
        ("online CPUs", "0-9,11-15"),
        ("CPUs of node 1", "8-9,11-15"),
        ("SMT siblings", "8-9,11"),
        guests=(guest(("vCPUs", "0-1 on 8-9,11, 2 on any CPU"), ("emulator", "8-9,11"), ("iothreads", "1 on 8")),),
    )
    assert told(before, after) == ["host: CPU 10 went offline: online CPUs were 0-15, are 0-9,11-15"]
    moved = replace(after, host=(*after.host[:1], ("CPUs of node 1", "9,11-15"), *after.host[2:]))
    assert "host: node 1 has CPUs 9,11-15, had 8-15" in told(before, moved)
    repinned = replace(after, guests=(guest(("vCPUs", "0-1 on 8-9, 2 on any CPU"), ("emulator", "8-9,11")),))
    assert told(before, repinned)[1:] == [
        "fw1: its vCPUs are pinned otherwise: were 0-1 on 8-11, 2 on any CPU, are 0-1 on 8-9, 2 on any CPU",
        "fw1: iothreads: was 1 on 8,10, and can no longer be read",
    ]


def test_a_part_that_is_gone_is_told_once() -> None:
    node = (("CPUs of node 1", "8-15"), ("memory of node 1", "there"), ("pages of 2 MiB of node 1", "3"))
    assert told(basis(*node), basis()) == ["host: node 1 is gone"]
    pf = (("names of 0000:21:00.0", "eth1"), ("VFs of 0000:21:00.0", "4 of 7"))
    assert told(basis(*pf), basis()) == ["host: eth1 (0000:21:00.0) is gone, or shows no SR-IOV any more"]


def test_the_driver_of_a_function_that_no_guest_took_is_told() -> None:
    """Whatever else happens: only what a guest holds follows from its start."""
    then = basis(("driver of 0000:21:10.0", "igbvf"), guests=(guest(("running", "no"), ("devices", "0000:21:10.2")),))
    now = basis(
        ("driver of 0000:21:10.0", "vfio-pci"), guests=(guest(("running", "yes"), ("devices", "0000:21:10.2")),)
    )
    assert told(then, now) == [
        "host: 0000:21:10.0 is bound to vfio-pci, was bound to igbvf",
        "fw1: it was shut off, and runs now",
    ]
    took = replace(now, guests=(guest(("running", "yes"), ("devices", "0000:21:10.0")),))
    assert told(then, took) == ["fw1: it was shut off, and runs now"]


def test_of_a_guest_that_is_as_the_plan_wants_it_nothing_is_told_whatever_it_is_called() -> None:
    then = basis(("hostname", "a"), guests=(guest(("vCPUs", "0 on 4"), name="host"), guest(("vCPUs", "0 on 5"))))
    now = basis(("hostname", "b"), guests=(guest(("vCPUs", "0 on 6"), name="host"), guest(("vCPUs", "0 on 7"))))
    assert len(differences(then, now)) == 3
    assert [str(problem) for problem in differences(then, now, done={"host"})] == [
        "host: the plan was made for the host a, this is b",
        "fw1: its vCPUs are pinned otherwise: were 0 on 5, are 0 on 7",
    ]
    other = guest(("UUID", "2"), name="fw1")
    before = basis(guests=(guest(("UUID", "1")),))
    assert told(before, basis(guests=(other,))) == ["fw1: another guest bears its name: its UUID was 1, is 2"]
    assert len(differences(before, basis(guests=(other,)), done={"fw1"})) == 1
    gone = replace(now, guests=now.guests[1:])
    assert "host: the guest is gone" in [str(problem) for problem in differences(then, gone, done={"host"})]


def test_what_is_no_fact_of_ours_is_told_all_the_same() -> None:
    assert told(basis(("weather", "fine")), basis(("weather", "wet"))) == ["host: weather were fine, are wet"]
