"""The audit document (schema ``numaplan/audit/1``): written by us, read by others; the form makes its JSON Schema."""

from typing import Annotated, Literal

from pydantic import Field

from numaplan.model.finding import Severity
from numaplan.records.document import Form
from numaplan.records.fields import Id, Text


class EvidenceForm(Form):
    """An entry of ``findings[].evidence``."""

    what: Text
    value: Text
    where: Text


class FindingForm(Form):
    """An entry of ``findings``."""

    rule: Text
    severity: Annotated[Severity, Field(strict=False)]
    guest: Text | None
    subject: Text
    message: Text
    evidence: list[EvidenceForm]
    wanted: Text
    fix: Text | None


class NotCheckedForm(Form):
    """An entry of ``not_checked``."""

    rule: Text
    why: Text


class SummaryForm(Form):
    """``summary``."""

    guests: Id
    error: Id
    warning: Id
    info: Id


class AuditForm(Form):
    """The whole document."""

    schema_id: Annotated[Literal["numaplan/audit/1"], Field(alias="schema")]
    findings: list[FindingForm]
    not_checked: list[NotCheckedForm]
    summary: SummaryForm
