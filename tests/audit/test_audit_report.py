"""Every rule has its hosts and its text; the report is ordered, complete and fast."""

import re
from dataclasses import replace

import pytest
from lxml import etree

from numaplan.audit.audit import audit, explanation
from numaplan.audit.rule import Rule
from numaplan.audit.rules import RULES
from numaplan.cpuset import CpuSet
from numaplan.errors import InputError
from numaplan.model.finding import Finding, NotChecked, Severity
from numaplan.model.snapshot import Gap
from tests.audit.audited import HOSTS, VF0, findings, guest, on
from tests.hosts import GIB, host

FIXED = {"NP101", "NP102", "NP103", "NP201", "NP202", "NP203", "NP301"}
RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
by_id = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def test_the_ids_that_others_rely_on_are_there_in_order() -> None:
    ids = [rule.id for rule in RULES]
    assert set(ids) >= FIXED
    assert ids == sorted(set(ids))


def test_every_rule_has_a_host_that_trips_it_and_one_that_does_not() -> None:
    assert set(HOSTS) == {rule.id for rule in RULES}


def test_where_guests_are_not_known_no_rule_was_checked() -> None:
    report = audit(replace(host("1n:2c:1t"), gaps=(Gap("libvirt", "no libvirtd answers on this KVM host"),)))
    assert report.not_checked == (NotChecked("all rules", "no libvirtd answers on this KVM host"),)
    assert audit(host("1n:2c:1t")).not_checked == ()


@by_id
def test_a_rule_finds_its_bad_host(rule: Rule) -> None:
    assert findings(HOSTS[rule.id][0], rule.id)


@by_id
def test_a_rule_spares_its_good_host(rule: Rule) -> None:
    assert findings(HOSTS[rule.id][1], rule.id) == []


@by_id
def test_no_finding_is_graver_than_its_rule_says(rule: Rule) -> None:
    for bad, _ in HOSTS.values():
        assert all(RANK[finding.severity] >= RANK[rule.severity] for finding in findings(bad, rule.id))


@by_id
def test_a_finding_says_what_where_and_how(rule: Rule) -> None:
    for finding in findings(HOSTS[rule.id][0], rule.id):
        assert finding.guest in {"a", "b"}
        assert finding.subject
        assert re.search(r"\d", finding.message)
        assert not finding.message.endswith(".")
        assert finding.wanted
        assert finding.fix
        assert any(re.fullmatch(r"[ab]\.xml(:\d+)?", evidence.where) for evidence in finding.evidence)
        assert all(evidence.what and evidence.value and evidence.where for evidence in finding.evidence)


@by_id
def test_an_explanation_has_all_sections(rule: Rule) -> None:
    text = explanation(rule.id)
    assert text.startswith(f"{rule.id} {rule.name} ({rule.severity}, since ")
    parts = re.split(r"\n(?=What it checks:|Why it matters:|Bad:|Good:|How to fix:)", text)
    assert len(parts) == 6
    assert all(len(part.strip().splitlines()) > 1 for part in parts)
    assert rule.bad.splitlines()[0] in text
    assert text.endswith("\n")


@by_id
def test_an_explanation_fits_a_terminal_but_for_xml(rule: Rule) -> None:
    prose = re.sub(r"\n(Bad|Good):\n.*?(?=\n\n)", "", explanation(rule.id), flags=re.DOTALL)
    assert max(len(line) for line in prose.splitlines()) <= 80


@by_id
def test_the_xml_of_an_explanation_is_well_formed(rule: Rule) -> None:
    for text in (rule.bad, rule.good):
        assert len(etree.fromstring(f"<domain>{text}</domain>")) > 0


def test_an_id_may_be_typed_in_small_letters() -> None:
    assert explanation(" np203 ") == explanation("NP203")


def test_an_unknown_id_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'NP999'.*NP101, NP102.*NP401"):
        explanation("NP999")


def test_findings_come_gravest_first_then_by_rule_guest_and_subject() -> None:
    snapshot = on(
        guest("c", ["4"], memory=("preferred", [0])),
        guest("b", ["0", "5"], vfs=[VF0]),
        guest("a", ["0", "6"], emulator="1"),
    )
    report = audit(snapshot)
    keys = [(RANK[f.severity], f.rule, f.guest or "", f.subject) for f in report.findings]
    assert keys == sorted(keys)
    assert {rank for rank, *_ in keys} == {0, 1, 2}


def test_the_order_of_the_guests_does_not_matter() -> None:
    guests = [guest("a", ["0", "4"]), guest("b", ["0"]), guest("c", vfs=[VF0]), guest("d", auto=True)]
    assert audit(on(*guests)) == audit(on(*reversed(guests)))


def test_the_report_counts_the_guests_looked_at() -> None:
    assert audit(on(guest("a"), guest("b"))).guests == 2


def test_a_host_without_guests_has_neither_findings_nor_excuses() -> None:
    report = audit(on())
    assert (report.findings, report.not_checked, report.guests) == ((), (), 0)


def test_guests_of_one_name_are_two_guests() -> None:
    twins = [replace(guest("a", ["2"]), file=f"{n}.xml") for n in "xy"]
    assert [finding.severity for finding in findings(on(*twins), "NP201")] == [Severity.ERROR]


@pytest.mark.parametrize(
    "strange",
    [
        guest(pins=["8191"], emulator="8000-8191"),
        guest(pins={0: "0", 77: "3"}, vcpus=1),
        guest(vcpus=0),
        guest(vcpus=10**9),
        guest(pins=[""], emulator="", memory=("strict", [])),
        guest(cells=[[0, 1], [900]], vcpus=2, memory=("strict", [7])),
        guest(cells=[[]], vcpus=1),
        guest(pins=["0"], vfs=["ffff:ff:1f.7"], iothreads=["", "99"]),
        guest(pins=["0"], memory=("made-up", [1])),
        guest(memory_gib=0, page_kib=GIB, vfs=[VF0]),
    ],
)
def test_strange_guests_do_not_stop_the_audit(strange: object) -> None:
    from_nowhere = replace(on(), guests=(strange,))  # type: ignore[arg-type]  # pytest types the parameters as objects
    assert audit(from_nowhere).guests == 1


def test_a_host_that_shows_nothing_is_audited_as_far_as_it_goes() -> None:
    bare = replace(host("1n:1c:1t"), nodes=(), cores=(), packages=(), llcs=())
    bare = replace(bare, cpus=replace(bare.cpus, online=CpuSet(), present=CpuSet()))
    report = audit(replace(bare, guests=(guest("a", ["0"]), guest("b", ["0"], vfs=[VF0]))))
    assert [finding.rule for finding in report.findings if finding.severity is Severity.ERROR] == ["NP201"]
    assert {"NP104", "NP202"} <= {entry.rule for entry in report.not_checked}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("spread", ["pinned apart", "all on the same", "floating"])
def test_a_thousand_guests_of_64_vcpus_are_audited_in_bounded_time(spread: str) -> None:
    cpus = 8 * 128
    guests = []
    for number in range(1000):
        pins = [str((number * 64 + v) % cpus) for v in range(64)]
        match spread:
            case "all on the same":
                pins = [str(v) for v in range(64)]
            case "floating":
                pins = [f"0-{number % 256}" for _ in range(64)] if number % 2 else []
        guests.append(guest(f"g{number:03}", pins, vcpus=64))
    snapshot = host("8n:64c:2t", guests=guests)
    assert audit(snapshot).findings


def all_findings() -> list[Finding]:
    return [finding for bad, _ in HOSTS.values() for finding in audit(bad).findings]


def test_messages_start_with_a_small_letter_an_acronym_or_a_number() -> None:
    for finding in all_findings():
        assert re.match(r"[a-z0-9]|vCPU|VF |CPU", finding.message), finding.message
