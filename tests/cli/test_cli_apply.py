"""``apply`` on domain XML files: what it shows, what it does, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import DOMAINS, HOST, VNF, Ran, numaplan

Apply = Callable[..., Ran]


@pytest.fixture
def domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example's guests, and a state directory of its own."""
    monkeypatch.setenv("NUMAPLAN_STATE", str(tmp_path / "state"))
    folder = tmp_path / "domains"
    shutil.copytree(DOMAINS, folder)
    return folder


@pytest.fixture
def plan(tmp_path: Path, domains: Path) -> Path:
    path = tmp_path / "plan.json"
    done = numaplan("place", VNF, "--snapshot", HOST, "--domains", domains, "--out", path)
    assert done.code == 0, done.err
    return path


def apply(plan: Path, domains: Path, *extra: object) -> Ran:
    return numaplan("apply", plan, "--snapshot", HOST, "--domains", domains, *extra)


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_without_yes_it_shows_the_same_diff_as_place_and_changes_nothing(plan: Path, domains: Path) -> None:
    before = texts(domains)
    shown = apply(plan, domains)
    assert shown.code == 0, shown.err
    assert shown.out == numaplan("place", VNF, "--snapshot", HOST, "--domains", domains).out
    assert "dry run: nothing was changed" in shown.err
    assert texts(domains) == before


def test_with_yes_the_files_are_what_place_would_have_written(plan: Path, domains: Path, tmp_path: Path) -> None:
    numaplan("place", VNF, "--snapshot", HOST, "--domains", domains, "--patched", tmp_path / "patched")
    done = apply(plan, domains, "--yes")
    assert done.code == 0, done.err
    assert "done; to undo it: " in done.err
    assert "numaplan rollback " in done.err
    patched = texts(tmp_path / "patched")
    assert {name: data for name, data in texts(domains).items() if name in patched} == patched


def test_placing_again_after_it_is_an_empty_diff(plan: Path, domains: Path) -> None:
    assert apply(plan, domains, "--yes").code == 0
    again = numaplan("place", VNF, "--snapshot", HOST, "--domains", domains)
    assert (again.code, again.out) == (0, "")


def test_a_plan_that_is_carried_out_already_has_nothing_to_do(plan: Path, domains: Path) -> None:
    assert apply(plan, domains, "--yes").code == 0
    before = texts(domains)
    again = apply(plan, domains, "--yes", "-o", "table")
    assert (again.code, again.out, again.err) == (0, "", "nothing to do: every guest is as the plan wants it\n")
    assert texts(domains) == before


def test_the_id_that_it_names_puts_everything_back(plan: Path, domains: Path) -> None:
    before = texts(domains)
    document = json.loads(apply(plan, domains, "--yes", "-o", "json").out)
    assert [guest["vm"] for guest in document["guests"]] == ["router", "firewall", "control", "database"]
    assert numaplan("rollback", document["transaction"]).code == 0
    assert texts(domains) == before


def test_a_guest_that_was_edited_since_is_named_and_nothing_is_written(plan: Path, domains: Path) -> None:
    edited = domains / "router.xml"
    edited.write_text(edited.read_text().replace("<cputune>", "<memtune/><cputune>", 1).replace("</os>", "</os><pm/>"))
    before = texts(domains)
    refused = apply(plan, domains, "--yes")
    assert refused.code == 6
    assert "router: <pm> was added to its XML" in refused.err
    assert texts(domains) == before


def test_a_plan_that_was_tampered_with_is_refused(plan: Path, domains: Path) -> None:
    plan.write_text(plan.read_text().replace('"numa_node": 0', '"numa_node": 1', 1))
    refused = apply(plan, domains, "--yes")
    assert refused.code == 5
    assert "the plan was changed since numaplan wrote it" in refused.err


def test_a_plan_that_does_not_hold_is_refused_whatever_its_checksum_says(plan: Path, domains: Path) -> None:
    from numaplan.records.plan import plan_json, read_plan  # noqa: PLC0415

    wrong = plan.read_text().replace('"0": "2"', '"0": "8"', 1)
    assert wrong != plan.read_text()
    plan.write_text(plan_json(read_plan(wrong, "plan.json")))
    refused = apply(plan, domains, "--yes")
    assert refused.code == 6
    assert "the plan does not fit any more" in refused.err


def test_a_guest_that_nova_made_needs_force(plan: Path, domains: Path) -> None:
    xml = domains / "firewall.xml"
    owned = '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"/></metadata>'
    xml.write_text(xml.read_text().replace("</metadata>", owned))
    assert numaplan("place", VNF, "--snapshot", HOST, "--domains", domains, "--out", plan).code == 0
    refused = apply(plan, domains, "--yes")
    assert refused.code == 5
    assert "firewall: nova made this guest" in refused.err
    assert apply(plan, domains, "--yes", "--force").code == 0


def test_guests_that_do_not_run_are_not_pinned_anew(plan: Path, domains: Path) -> None:
    before = texts(domains)
    refused = apply(plan, domains, "--live", "--yes")
    assert refused.code == 5
    assert "it does not run, so there is nothing to re-pin" in refused.err
    assert texts(domains) == before


def test_guests_must_come_from_somewhere_that_can_be_changed(plan: Path) -> None:
    refused = numaplan("apply", plan, "--snapshot", HOST)
    assert refused.code == 5
    assert "give --domains DIR or --connect URI" in refused.err


def test_two_ways_at_once_are_a_usage_error(plan: Path, domains: Path) -> None:
    assert apply(plan, domains, "--live", "--config").code == 2
