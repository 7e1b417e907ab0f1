"""audit_json, and the JSON Schemas of all documents."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from numaplan.inventory.host import read_host
from numaplan.model.finding import Report
from numaplan.records.audit import audit_json
from numaplan.records.inventory import inventory_json
from numaplan.records.plan import plan_json
from numaplan.records.schemas import schema
from numaplan.sources.tree import open_tree
from tests.corpus import corpus
from tests.records.samples import EVIL, evil_snapshot, full_plan, full_report, full_snapshot, refused_plan

HERE = Path(__file__).parent


def validator(kind: str) -> Draft202012Validator:
    parsed = json.loads(schema(kind))
    Draft202012Validator.check_schema(parsed)
    return Draft202012Validator(parsed)


def test_the_document_is_the_contract_s(golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "audit.json", audit_json(full_report()))


def test_an_audit_without_findings_says_so() -> None:
    assert json.loads(audit_json(Report((), (), 3))) == {
        "schema": "numaplan/audit/1",
        "findings": [],
        "not_checked": [],
        "summary": {"guests": 3, "error": 0, "warning": 0, "info": 0},
    }


@pytest.mark.parametrize("text", EVIL, ids=ascii)
def test_any_string_survives_as_ascii(text: str) -> None:
    written = audit_json(full_report(text))
    assert written.isascii()
    assert json.loads(written)["findings"][1]["guest"] == text


def test_our_inventories_are_valid_by_our_schema() -> None:
    check = validator("inventory")
    for snapshot in (full_snapshot(), evil_snapshot("\x1b\udc80"), read_host(open_tree(_capture()))):
        check.validate(json.loads(inventory_json(snapshot)))


def _capture() -> Path:
    return next(iter(sorted(corpus().glob("lab/*.tar.gz"))))


def test_our_plans_are_valid_by_our_schema() -> None:
    for plan in (full_plan(), refused_plan()):
        validator("plan").validate(json.loads(plan_json(plan)))


def test_our_audits_are_valid_by_our_schema() -> None:
    validator("audit").validate(json.loads(audit_json(full_report())))


@pytest.mark.parametrize("kind", ["inventory", "plan", "audit"])
def test_a_schema_refuses_a_document_of_another_kind(kind: str) -> None:
    assert not validator(kind).is_valid({"schema": f"numaplan/{kind}/2"})
    assert not validator(kind).is_valid({"schema": "numaplan/other/1"})


@pytest.mark.parametrize("kind", ["inventory", "plan", "audit"])
def test_a_schema_is_the_same_text_each_time(kind: str) -> None:
    assert schema(kind) == schema(kind)
    assert schema(kind).endswith("}\n")


def test_there_is_no_schema_of_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="recipe"):
        schema("recipe")
