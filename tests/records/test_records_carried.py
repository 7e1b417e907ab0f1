"""Plans that are carried out later: the request and what the plan rests on come back, and nothing else does."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from numaplan.errors import InputError
from numaplan.model.plan import Plan
from numaplan.model.request import GuestRequest, Request
from numaplan.records.plan import plan_json, read_carried_plan, read_plan
from numaplan.records.request import request_document
from numaplan.records.request_form import RequestForm, to_request
from numaplan.records.schemas import schema
from tests.depth import draws
from tests.records.carried import carried_plan
from tests.records.nouns import any_of
from tests.records.samples import EVIL, full_plan, refused_plan

HERE = Path(__file__).parent
CHECK = Draft202012Validator(json.loads(schema("plan")))
TEXT = plan_json(carried_plan())
MUTATIONS = draws(250)
MAC = "52:54:00:12:34:56"

Edit = Callable[[dict[str, Any]], object]


def in_order(request: Request) -> Request:
    """As a site's request is: guests and physnets once each, vCPUs in numeric order, MAC addresses that are some."""

    def guest(asked: GuestRequest) -> GuestRequest:
        cells = (replace(cell, vcpus=tuple(sorted(set(cell.vcpus)))) for cell in asked.cells)
        ports = (replace(port, mac=None if port.mac is None else MAC) for port in asked.interfaces)
        return replace(asked, cells=tuple(cells), interfaces=tuple(ports))

    policy = replace(request.policy, physnets=tuple(dict(request.policy.physnets).items()))
    return Request(policy, tuple({asked.name: guest(asked) for asked in request.guests}.values()))


def refusal_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_carried_plan(text, "plan.json")
    return str(caught.value)


def edited(edit: Edit, *, signed: bool = False) -> str:
    document = json.loads(TEXT)
    edit(document)
    return signed_again(document) if signed else json.dumps(document)


def signed_again(document: dict[str, Any]) -> str:
    """The document with the checksum that it should have, as `plan_document` makes it."""
    del document["checksum"]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    document["checksum"] = "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps(document)


def test_the_document_says_what_was_asked_and_what_it_rests_on(golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "carried-plan.json", TEXT)
    CHECK.validate(json.loads(TEXT))


def test_a_plan_comes_back_whole() -> None:
    assert read_carried_plan(TEXT, "plan.json") == carried_plan() == read_plan(TEXT, "plan.json")


@settings(max_examples=draws(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_of(Request).map(in_order))
def test_any_request_reads_back_equal_and_is_valid_by_our_schema(request: Request) -> None:
    written = json.loads(json.dumps(request_document(request)))
    assert to_request(RequestForm.model_validate(written)) == request
    plan = replace(full_plan(), request=request, basis=carried_plan().basis)
    assert read_carried_plan(plan_json(plan), "plan.json") == plan
    CHECK.validate(json.loads(plan_json(plan)))


def test_every_field_of_a_guest_is_written_by_its_own_name() -> None:
    guest = json.loads(TEXT)["request"]["guests"][0]
    assert list(guest) == [field.name for field in fields(GuestRequest)]


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_survives_with_its_checksum(text: str) -> None:
    basis = carried_plan().basis
    assert basis is not None
    plan = replace(carried_plan(), hostname=text, basis=replace(basis, host=((f"x{text}", text),)))
    assert read_carried_plan(plan_json(plan), "plan.json") == plan


def test_how_the_document_is_laid_out_does_not_count() -> None:
    document = json.loads(TEXT)
    backwards = dict(reversed(document.items()))
    assert read_carried_plan(json.dumps(backwards, indent=7), "plan.json") == carried_plan()


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["placements"][0]["cells"][0]["vcpus"].update({"0": "3"}),
        lambda d: d["request"]["guests"][0].update(priority=9),
        lambda d: d["basis"]["host"].update(hostname="compute-8"),
        lambda d: d["basis"]["guests"][1]["xml"].pop("cputune"),
        lambda d: d.update(change_guest_topology=False),
        lambda d: d["notes"].append("by hand"),
        lambda d: d.update(remark="by hand"),
        lambda d: d.update(checksum="sha256:0"),
        lambda d: d["host"].update(hostname=None),
    ],
)
def test_a_plan_that_was_changed_is_refused(edit: Edit) -> None:
    changed = edited(edit)
    assert refusal_of(changed) == "plan.json: the plan was changed since numaplan wrote it; place again with --out"
    assert isinstance(read_plan(changed, "plan.json"), Plan)


@pytest.mark.parametrize("key", ["request", "basis", "checksum"])
@pytest.mark.parametrize("edit", [lambda d, key: d.pop(key), lambda d, key: d.update({key: None})])
def test_a_plan_of_before_is_refused_and_can_still_be_verified(
    key: str, edit: Callable[[dict[str, Any], str], object]
) -> None:
    document = json.loads(TEXT)
    edit(document, key)
    assert refusal_of(json.dumps(document)) == (
        f"plan.json: this plan holds no {key}: it was made by an older version, or by hand; place again with --out"
    )
    assert read_plan(json.dumps(document), "plan.json").placements == carried_plan().placements


def test_a_plan_without_placements_is_refused() -> None:
    text = plan_json(refused_plan())
    assert refusal_of(text) == "plan.json:3:13: this plan is infeasible: there is nothing to carry out"


@pytest.mark.parametrize(
    ("edit", "wanted"),
    [
        (lambda d: d["request"]["guests"][0].update(tomorrow=1), "request: says more than this version"),
        (lambda d: d["request"]["host"]["costs"].update(tomorrow=1), "request: says more than this version"),
        (lambda d: d["basis"].update(tomorrow={}), "basis: says more than this version"),
        (lambda d: d["placements"][0].update(tomorrow={}), "placements: says more than this version"),
        (lambda d: d["request"]["guests"][0].pop("vm"), "request.guests[0].vm: is missing"),
        (
            lambda d: d["request"]["guests"][0].update(iothreads=-1),
            "request.guests[0].iothreads: expected a number of 0",
        ),
        (lambda d: d["request"]["guests"][0].update(emulator="any"), "request.guests[0].emulator: expected 'share'"),
        (lambda d: d["request"]["guests"][0]["cells"][0].update(vcpus=[0]), "cells[0].vcpus: expected a string"),
        (lambda d: d["request"]["host"].update(reserved_cpus="0-9999999"), "host.reserved_cpus: expected a CPU list"),
        (lambda d: d["basis"]["host"].update(hostname=7), "basis.host.hostname: expected a string"),
    ],
)
def test_a_checksum_makes_nothing_right_that_is_wrong(edit: Edit, wanted: str) -> None:
    assert wanted in refusal_of(edited(edit, signed=True))


@settings(max_examples=MUTATIONS, deadline=None, derandomize=True)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 3), st.characters(codec="utf-8"))
def test_a_plan_whose_text_was_damaged_is_the_same_plan_or_an_input_error(at: int, how: int, other: str) -> None:
    damaged = (
        TEXT[:at] + other + TEXT[at + 1 :],
        TEXT[:at] + TEXT[at + 1 :],
        TEXT[:at] + other + TEXT[at:],
        TEXT[:at],
    )[how]
    try:
        plan = read_carried_plan(damaged, "plan.json")
    except InputError as error:
        assert str(error).startswith("plan.json")  # noqa: PT017  # either outcome is right
    else:
        assert plan == carried_plan()


@settings(max_examples=MUTATIONS // 2, deadline=None, derandomize=True)
@given(st.data())
def test_whatever_one_value_is_replaced_by_it_is_the_same_plan_or_an_input_error(data: st.DataObject) -> None:
    document = json.loads(TEXT)
    places = list(_slots(document))
    holder, key = places[data.draw(st.integers(0, len(places) - 1))]
    before = holder[key]
    holder[key] = data.draw(st.sampled_from([None, True, -1, 1.5, 2**70, "", "\x1b\udc80", "0-8191", [], {}, [[]], 0]))
    try:
        plan = read_carried_plan(json.dumps(document), "plan.json")
    except InputError as error:
        assert str(error).startswith("plan.json")  # noqa: PT017  # either outcome is right
    else:
        assert (plan, holder[key]) == (carried_plan(), before)


def _slots(node: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401  # what JSON holds
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [(node, key) for key, _ in pairs] + [slot for _, value in pairs for slot in _slots(value)]
